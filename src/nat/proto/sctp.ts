/** SCTP (RFC 9260): ports as in TCP, and a CRC32c over the whole packet but no address. */
import type { Packet } from "../../packet/packet.ts";
import { SCTP_HEADER, sctpChecksum } from "../../packet/sctp.ts";

/** What every quoted header has: ports and verification tag. */
const QUOTED = 8;
const CHECKSUM = 8;

/**
 * Writes a port and computes the checksum anew, unless a device will. As Linux does, also over what an ICMP error
 * quotes of a packet, where it cannot be right any more.
 */
export function manipPacket(p: Packet, ip: number, l4: number, manip: number, port: number): boolean {
  if (l4 + QUOTED > p.length) return false;
  p.view.setUint16(l4 + manip * 2, port);
  if (l4 + SCTP_HEADER > p.length || (ip === 0 && p.partialChecksum)) return true;
  p.view.setInt32(l4 + CHECKSUM, sctpChecksum(p.bytes, l4, p.length), true);
  return true;
}
