/** ICMPv6 (RFC 4443): the checksum covers addresses in every message; only echo has an identifier. */
import { change32 } from "../../packet/checksum.ts";
import type { Packet } from "../../packet/packet.ts";
import { follow } from "../checksum.ts";

const CHECKSUM = 2, ID = 4, HEADER = 8;
const ECHO_REQUEST = 128, ECHO_REPLY = 129;

/** Writes the identifier of an echo message, and lets the checksum follow the address, which changes sums by `address`. */
export function manipPacket(p: Packet, ip: number, l4: number, address: number, id: number): boolean {
  if (l4 + HEADER > p.length) return false;
  const type = p.bytes[l4];
  let change = 0;
  if (type === ECHO_REQUEST || type === ECHO_REPLY) {
    change = change32(p.view.getUint16(l4 + ID), id);
    p.view.setUint16(l4 + ID, id);
  }
  follow(p, ip, l4 + CHECKSUM, address, change);
  return true;
}
