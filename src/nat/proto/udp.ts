/** UDP (RFC 768), where a checksum of zero says that there is none, and UDP-Lite (RFC 3828), where there is always one. */
import { UDP } from "../../netfilter.ts";
import type { Packet } from "../../packet/packet.ts";
import { changeAddress, changePort } from "../checksum.ts";

const CHECKSUM = 6, HEADER = 8;

/** Writes a port and lets the checksum follow new port and new address. The address itself is still the old one. */
export function manipPacket(
  p: Packet,
  ip: number,
  l4: number,
  protocol: number,
  manip: number,
  words: Int32Array,
  address: number,
  port: number,
): boolean {
  if (l4 + HEADER > p.length) return false;
  const view = p.view, at = l4 + manip * 2, field = l4 + CHECKSUM;
  const old = view.getUint16(at);
  view.setUint16(at, port);
  if (protocol === UDP && view.getUint16(field) === 0) return true;
  changeAddress(p, ip, field, manip, words, address);
  changePort(p, ip, field, old, port);
  if (view.getUint16(field) === 0) view.setUint16(field, 0xffff);
  return true;
}
