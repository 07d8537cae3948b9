/**
 * GRE: version 0 (RFC 2784) has nothing to translate; version 1 (PPTP, RFC 2637) carries the call id of the receiver,
 * which is the destination key of the tuple. The source key does not stand in the packet.
 */
import type { Packet } from "../../packet/packet.ts";
import { MANIP_DST } from "../maniptype.ts";

const VERSION = 1, CALL_ID = 6, HEADER = 8;

/** Writes the receiver's call id. False for a version that nobody knows. */
export function manipPacket(p: Packet, l4: number, manip: number, key: number): boolean {
  if (l4 + HEADER > p.length) return false;
  if (manip !== MANIP_DST) return true;
  switch (p.bytes[l4 + VERSION] & 7) {
    case 0:
      return true;
    case 1:
      p.view.setUint16(l4 + CALL_ID, key);
      return true;
    default:
      return false;
  }
}
