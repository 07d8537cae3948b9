/** IPv4 header (RFC 791). Functions take a packet whose header `parse` has accepted, so they cannot fail. */
import { fold, ipv4HeaderChecksum, update16 } from "./checksum.ts";
import type { Packet } from "./packet.ts";

/** Length of a header without options. */
export const IPV4_HEADER = 20;
/** Offsets of the fields. */
export const IPV4_TOS = 1, IPV4_TOTAL_LENGTH = 2, IPV4_ID = 4, IPV4_FRAGMENT = 6, IPV4_TTL = 8;
export const IPV4_PROTOCOL = 9, IPV4_CHECKSUM = 10, IPV4_SOURCE = 12, IPV4_DESTINATION = 16;
/** Bits of the fragment word. */
export const IPV4_DF = 0x4000, IPV4_MF = 0x2000, IPV4_OFFSET = 0x1fff;

/** Length of the header, options included. */
export function ipv4HeaderLength(p: Packet): number {
  return (p.view.getUint8(0) & 0x0f) << 2;
}
export function totalLength(p: Packet): number {
  return p.view.getUint16(IPV4_TOTAL_LENGTH);
}
/** Replaces a 16-bit field at an even offset and keeps the header checksum right. */
function set16(p: Packet, at: number, value: number): void {
  const old = p.view.getUint16(at);
  p.view.setUint16(at, value);
  p.view.setUint16(IPV4_CHECKSUM, update16(p.view.getUint16(IPV4_CHECKSUM), old, value));
}
/** Sets the total length and keeps the checksum right; `p.length` is the caller's. */
export function setTotalLength(p: Packet, length: number): void {
  set16(p, IPV4_TOTAL_LENGTH, length);
}
/** Type of service: DSCP and ECN. */
export function tos(p: Packet): number {
  return p.view.getUint8(IPV4_TOS);
}
export function setTos(p: Packet, value: number): void {
  set16(p, 0, (p.view.getUint8(0) << 8) | (value & 0xff));
}
export function ident(p: Packet): number {
  return p.view.getUint16(IPV4_ID);
}
export function dontFragment(p: Packet): boolean {
  return (p.view.getUint16(IPV4_FRAGMENT) & IPV4_DF) !== 0;
}
export function ttl(p: Packet): number {
  return p.view.getUint8(IPV4_TTL);
}
export function setTtl(p: Packet, value: number): void {
  set16(p, IPV4_TTL, ((value & 0xff) << 8) | p.view.getUint8(IPV4_PROTOCOL));
}
/** One hop less (ip_decrease_ttl): the checksum grows by 0x0100, end-around, and never shows 0xffff. */
export function decreaseTtl(p: Packet): void {
  p.view.setUint8(IPV4_TTL, p.view.getUint8(IPV4_TTL) - 1);
  let checksum = fold(p.view.getUint16(IPV4_CHECKSUM) + 0x0100);
  if (checksum === 0xffff) checksum = 0;
  p.view.setUint16(IPV4_CHECKSUM, checksum);
}
/** Computes the header checksum anew (ip_send_check). */
export function writeHeaderChecksum(p: Packet): void {
  p.view.setUint16(IPV4_CHECKSUM, ipv4HeaderChecksum(p.view, 0, ipv4HeaderLength(p)));
}
