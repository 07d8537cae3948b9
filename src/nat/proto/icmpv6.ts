/** ICMPv6 (RFC 4443): the checksum covers addresses in every message; only echo has an identifier. */
import type { Packet } from "../../packet/packet.ts";
import { changeAddress, changePort } from "../checksum.ts";

const CHECKSUM = 2, ID = 4, HEADER = 8;
const ECHO_REQUEST = 128, ECHO_REPLY = 129;

/** Lets the checksum follow the new address, and writes the identifier of an echo message. */
export function manipPacket(
  p: Packet,
  ip: number,
  l4: number,
  manip: number,
  words: Int32Array,
  address: number,
  id: number,
): boolean {
  if (l4 + HEADER > p.length) return false;
  changeAddress(p, ip, l4 + CHECKSUM, manip, words, address);
  const type = p.bytes[l4];
  if (type !== ECHO_REQUEST && type !== ECHO_REPLY) return true;
  const old = p.view.getUint16(l4 + ID);
  p.view.setUint16(l4 + ID, id);
  changePort(p, ip, l4 + CHECKSUM, old, id);
  return true;
}
