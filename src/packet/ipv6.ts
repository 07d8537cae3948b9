/** IPv6 header and the facts about extension headers that walking them needs (RFC 8200). */
import type { Packet } from "./packet.ts";

/** Length of the fixed header. */
export const IPV6_HEADER = 40;
/** Offsets of the fields. */
export const IPV6_PAYLOAD_LENGTH = 4, IPV6_NEXT_HEADER = 6, IPV6_HOP_LIMIT = 7;
export const IPV6_SOURCE = 8, IPV6_DESTINATION = 24;
/** Every link must carry packets of this size (RFC 8200, 5). */
export const IPV6_MIN_MTU = 1280;

/** Next-header values of the extension headers (RFC 8200, 4.1), and of nothing (4.7). */
export const HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT = 44, AUTHENTICATION = 51, NO_NEXT = 59;
export const DESTINATION_OPTIONS = 60;
/** Length of the fragment header (RFC 8200, 4.5). */
export const FRAGMENT_HEADER = 8;
/** Bits of the fragment header's offset word: the offset is in bytes once MF and reserved bits are masked. */
export const IPV6_MF = 0x0001, IPV6_OFFSET = 0xfff8;

/**
 * Whether a next-header value is one that Linux walks over to the upper layer (ipv6_ext_hdr). NO_NEXT counts as one,
 * and ends the walk; ESP does not, since nothing behind it can be read.
 */
export function isExtensionHeader(nextHeader: number): boolean {
  switch (nextHeader) {
    case HOP_BY_HOP:
    case ROUTING:
    case FRAGMENT:
    case AUTHENTICATION:
    case NO_NEXT:
    case DESTINATION_OPTIONS:
      return true;
    default:
      return false;
  }
}

/** Length of the extension header at `at`, of which two bytes must be there. */
export function extensionLength(view: DataView, at: number, nextHeader: number): number {
  if (nextHeader === FRAGMENT) return FRAGMENT_HEADER;
  const units = view.getUint8(at + 1);
  // RFC 4302, 2.2: AH alone counts in words of four bytes, less two.
  return nextHeader === AUTHENTICATION ? (units + 2) << 2 : (units + 1) << 3;
}

export function trafficClass(p: Packet): number {
  return (p.view.getUint16(0) >> 4) & 0xff;
}
export function setTrafficClass(p: Packet, value: number): void {
  p.view.setUint16(0, (p.view.getUint16(0) & 0xf00f) | ((value & 0xff) << 4));
}
export function payloadLength(p: Packet): number {
  return p.view.getUint16(IPV6_PAYLOAD_LENGTH);
}
/** Sets the payload length; `p.length` is the caller's. */
export function setPayloadLength(p: Packet, length: number): void {
  p.view.setUint16(IPV6_PAYLOAD_LENGTH, length);
}
export function hopLimit(p: Packet): number {
  return p.view.getUint8(IPV6_HOP_LIMIT);
}
export function setHopLimit(p: Packet, value: number): void {
  p.view.setUint8(IPV6_HOP_LIMIT, value);
}
export function decreaseHopLimit(p: Packet): void {
  p.view.setUint8(IPV6_HOP_LIMIT, p.view.getUint8(IPV6_HOP_LIMIT) - 1);
}

/** What `findHeader` says where there is none, and where the headers run past the packet's end. */
export const NO_HEADER = -1, CUT_HEADER = -2;

/** Where the first extension header of a sort begins, or NO_HEADER or CUT_HEADER (ipv6_find_hdr). */
export function findHeader(p: Packet, wanted: number): number {
  const { view } = p;
  let at = IPV6_HEADER, next = view.getUint8(IPV6_NEXT_HEADER);
  while (next !== wanted) {
    if (!isExtensionHeader(next) || next === NO_NEXT) return NO_HEADER;
    if (at + (next === FRAGMENT ? 4 : 2) > p.length) return CUT_HEADER;
    if (next === FRAGMENT && (view.getUint16(at + 2) & IPV6_OFFSET) !== 0) return NO_HEADER;
    const length = extensionLength(view, at, next);
    next = view.getUint8(at);
    at += length;
  }
  return at;
}
