/** UDP (RFC 768), where a checksum of zero says that there is none, and UDP-Lite (RFC 3828), where there is always one. */
import { UDP } from "../../netfilter.ts";
import { change32 } from "../../packet/checksum.ts";
import type { Packet } from "../../packet/packet.ts";
import { follow } from "../checksum.ts";

const CHECKSUM = 6, HEADER = 8;

/** Writes a port and lets the checksum follow it and the address, which changes sums by `address`. */
export function manipPacket(
  p: Packet,
  ip: number,
  l4: number,
  protocol: number,
  manip: number,
  address: number,
  port: number,
): boolean {
  if (l4 + HEADER > p.length) return false;
  const view = p.view, at = l4 + manip * 2, field = l4 + CHECKSUM;
  const change = change32(view.getUint16(at), port);
  view.setUint16(at, port);
  // 0 says that there is no checksum, and then there will be none.
  if (protocol === UDP && view.getUint16(field) === 0) return true;
  follow(p, ip, field, address, change);
  if (view.getUint16(field) === 0) view.setUint16(field, 0xffff);
  return true;
}
