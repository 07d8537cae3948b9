/** TCP in the hands of NAT: a port in the header, and a checksum that covers addresses (RFC 9293, 3.1). */
import { change32 } from "../../packet/checksum.ts";
import type { Packet } from "../../packet/packet.ts";
import { follow } from "../checksum.ts";

/** What every quoted TCP header has: ports and sequence number (RFC 792). */
const QUOTED = 8;
const CHECKSUM = 16, HEADER = 20;

/** Writes a port and lets the checksum follow it and the address, which changes sums by `address`. */
export function manipPacket(
  p: Packet,
  ip: number,
  l4: number,
  manip: number,
  address: number,
  port: number,
): boolean {
  if (l4 + QUOTED > p.length) return false;
  const at = l4 + manip * 2;
  const old = p.view.getUint16(at);
  p.view.setUint16(at, port);
  if (l4 + HEADER > p.length) return true; // quoted by an ICMP error, the checksum is cut off
  follow(p, ip, l4 + CHECKSUM, address, change32(old, port));
  return true;
}
