/** UDP header (RFC 768), and UDP-Lite's (RFC 3828), which differs in what its length field means. */
import type { Packet } from "./packet.ts";

export const UDP_HEADER = 8;
/** Offsets of the fields within the header. */
export const UDP_LENGTH = 4, UDP_CHECKSUM = 6;

/** True if the header is whole and its length field lies between the header's and the packet's (udp_error). */
export function udpHeaderOk(p: Packet): boolean {
  const rest = p.length - p.l4;
  if (p.fragmentOffset !== 0 || rest < UDP_HEADER) return false;
  const length = udpLength(p);
  return length >= UDP_HEADER && length <= rest;
}
/** True if the header is whole and the coverage possible: 0 for all, or at least the header (udplite_error). */
export function udpliteHeaderOk(p: Packet): boolean {
  const rest = p.length - p.l4;
  if (p.fragmentOffset !== 0 || rest < UDP_HEADER) return false;
  const coverage = udpLength(p);
  return (coverage === 0 || (coverage >= UDP_HEADER && coverage <= rest)) && udpChecksum(p) !== 0;
}
/** Offset of the payload in the packet. */
export function udpPayload(p: Packet): number {
  return p.l4 + UDP_HEADER;
}
export function udpLength(p: Packet): number {
  return p.view.getUint16(p.l4 + UDP_LENGTH);
}
export function udpChecksum(p: Packet): number {
  return p.view.getUint16(p.l4 + UDP_CHECKSUM);
}
