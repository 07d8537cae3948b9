/** TCP in the hands of NAT: a port in the header, and a checksum that covers addresses (RFC 9293, 3.1). */
import type { Packet } from "../../packet/packet.ts";
import { changeAddress, changePort } from "../checksum.ts";

/** What every quoted TCP header has: ports and sequence number (RFC 792). */
const QUOTED = 8;
const CHECKSUM = 16, HEADER = 20;

/** Writes a port and lets the checksum follow new port and new address. The address itself is still the old one. */
export function manipPacket(
  p: Packet,
  ip: number,
  l4: number,
  manip: number,
  words: Int32Array,
  address: number,
  port: number,
): boolean {
  if (l4 + QUOTED > p.length) return false;
  const at = l4 + manip * 2;
  const old = p.view.getUint16(at);
  p.view.setUint16(at, port);
  if (l4 + HEADER > p.length) return true; // quoted by an ICMP error, the checksum is cut off
  changeAddress(p, ip, l4 + CHECKSUM, manip, words, address);
  changePort(p, ip, l4 + CHECKSUM, old, port);
  return true;
}
