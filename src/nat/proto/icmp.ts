/** ICMP queries (RFC 792): the identifier is the port, of both sides. Other messages carry nothing to translate. */
import { change32 } from "../../packet/checksum.ts";
import type { Packet } from "../../packet/packet.ts";
import { follow } from "../checksum.ts";

const CHECKSUM = 2, ID = 4, HEADER = 8;
/** Types with an identifier: echo, timestamp, information, address mask, and their answers. */
const QUERIES = 1 << 0 | 1 << 8 | 1 << 13 | 1 << 14 | 1 << 15 | 1 << 16 | 1 << 17 | 1 << 18;

/** Writes an identifier. The checksum does not cover addresses. */
export function manipPacket(p: Packet, ip: number, l4: number, id: number): boolean {
  if (l4 + HEADER > p.length) return false;
  const type = p.bytes[l4];
  if (type > 18 || (QUERIES >> type & 1) === 0) return true;
  const old = p.view.getUint16(l4 + ID);
  p.view.setUint16(l4 + ID, id);
  follow(p, ip, l4 + CHECKSUM, 0, change32(old, id));
  return true;
}
