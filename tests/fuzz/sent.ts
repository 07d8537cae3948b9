/**
 * What came out of a router, and what its text announces.
 *
 * @module
 */
import { addressBytes } from "../kit/packets.ts";
import { addressAt, type Field } from "./wire.ts";

/** A packet that left. */
export interface Sent {
  iface: string;
  bytes: Uint8Array<ArrayBuffer>;
  /** What it is, where devices offload: bytes of each of its segments, 0 for a packet that is one. */
  burst?: number;
}

/** Where somebody says that it listens. */
export interface Announcement {
  address: Uint8Array;
  port: number;
}

/** The announcement of a line of FTP or IRC, or null. */
export function announced(bytes: Uint8Array, f: Field): Announcement | null {
  if (f.protocol !== 6 || f.later || f.l4 + 20 > bytes.length) return null;
  const from = f.l4 + (bytes[f.l4 + 12] >> 4) * 4, first = bytes[from] | 0x20;
  // P or E, or a digit.
  if (from + 6 > bytes.length) return null;
  if (first !== 0x70 && first !== 0x65 && first !== 0x32) return null;
  let line = "";
  // An announcement stands at the head, however much follows it.
  for (let i = from; i < Math.min(bytes.length, from + 400); i++) line += String.fromCharCode(bytes[i]);
  // deno-lint-ignore no-control-regex
  const dcc = /^PRIVMSG [^:]*:\x01DCC \w+ \S+ (\d+) (\d+)/.exec(line);
  if (dcc !== null) {
    const n = Number(dcc[1]) >>> 0;
    return { address: Uint8Array.of(n >>> 24, n >>> 16, n >>> 8, n), port: Number(dcc[2]) & 0xffff };
  }
  if (!/^(PORT|EPRT|227|229)/i.test(line)) return null;
  const six = /(\d+),(\d+),(\d+),(\d+),(\d+),(\d+)/.exec(line);
  if (six !== null) {
    const n = six.slice(1).map((d) => Number(d) & 255);
    return { address: Uint8Array.from(n.slice(0, 4)), port: n[4] * 256 + n[5] };
  }
  const bars = /([|!])(?:[12])?\1([0-9a-fA-F:.]*)\1(\d+)\1/.exec(line) ??
    /([|!])[12]\1([0-9a-fA-F:.]+)\1(\d+)\1/.exec(line);
  if (bars === null) return null;
  let address = addressAt(bytes, f, f.src);
  try {
    if (bars[2] !== "") address = addressBytes(bars[2]);
  } catch {
    return null; // no address after all
  }
  return { address, port: Number(bars[3]) & 0xffff };
}
