/** Protocols that nobody here knows: flows by their addresses alone. */
import type { Packet } from "../../packet/packet.ts";
import type { Sysctl } from "../../sysctl.ts";
import { TRACKED, type Tracker } from "../tracker.ts";
import { PORTS } from "../tuple.ts";

/** The one timeout, in milliseconds. */
export function timeouts(sysctl: Sysctl): Int32Array {
  return Int32Array.of(sysctl.get("net.netfilter.nf_conntrack_generic_timeout") * 1000);
}

/** There is nothing to read. */
export function tuple(_view: DataView, _l4: number, _end: number, t: Int32Array, at: number): boolean {
  t[at + PORTS] = 0;
  return true;
}

/** A packet of a flow. */
export function packet(t: Tracker, p: Packet, ct: number, ctinfo: number, defaults: Int32Array): number {
  t.refreshAcct(ct, ctinfo, p, t.timeouts(ct, defaults)[0]);
  return TRACKED;
}

/** No ports. */
export function printTuple(_t: Int32Array, _at: number): string {
  return "";
}

/** No state. */
export function print(): string {
  return "";
}
