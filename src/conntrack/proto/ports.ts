/** What TCP, UDP, UDP-Lite and SCTP share: a tuple of two ports in the first four bytes. */
import { PORTS } from "../tuple.ts";

/** Reads the ports at `l4` into a tuple. The rest of the header may be cut, as in what ICMP errors quote. */
export function tuple(view: DataView, l4: number, end: number, t: Int32Array, at: number): boolean {
  if (l4 + 4 > end) return false;
  t[at + PORTS] = view.getInt32(l4);
  return true;
}

/** `sport=1000 dport=80 `, as conntrack prints them. */
export function printTuple(t: Int32Array, at: number): string {
  return `sport=${t[at + PORTS] >>> 16} dport=${t[at + PORTS] & 0xffff} `;
}
