/** ICMP (RFC 792) and ICMPv6 (RFC 4443) header: type, code, checksum, and four bytes that depend on the type. */
import { ICMP, ICMPV6 } from "../netfilter.ts";
import type { Packet } from "./packet.ts";

export const ICMP_HEADER = 8;
/** Offsets of the fields within the header; id and sequence in echo and its kin, where errors have MTU and pointer. */
export const ICMP_CHECKSUM = 2;
const ICMP_CODE = 1, ICMP_ID = 4, ICMP_SEQ = 6;

/** ICMP types. */
export const ICMP_ECHOREPLY = 0,
  ICMP_DEST_UNREACH = 3,
  ICMP_SOURCE_QUENCH = 4,
  ICMP_REDIRECT = 5,
  ICMP_ECHO = 8;
export const ICMP_TIME_EXCEEDED = 11, ICMP_PARAMETERPROB = 12, ICMP_TIMESTAMP = 13, ICMP_TIMESTAMPREPLY = 14;
export const ICMP_INFO_REQUEST = 15, ICMP_INFO_REPLY = 16, ICMP_ADDRESS = 17, ICMP_ADDRESSREPLY = 18;
/** Codes of destination unreachable. */
export const ICMP_NET_UNREACH = 0, ICMP_HOST_UNREACH = 1, ICMP_PROT_UNREACH = 2, ICMP_PORT_UNREACH = 3;
export const ICMP_FRAG_NEEDED = 4, ICMP_PKT_FILTERED = 13;
/** Codes of time exceeded, in both families. */
export const ICMP_EXC_TTL = 0, ICMP_EXC_FRAGTIME = 1;

/** ICMPv6 types. */
export const ICMPV6_DEST_UNREACH = 1, ICMPV6_PKT_TOOBIG = 2, ICMPV6_TIME_EXCEED = 3, ICMPV6_PARAMPROB = 4;
export const ICMPV6_ECHO_REQUEST = 128, ICMPV6_ECHO_REPLY = 129, ICMPV6_REDIRECT = 137;
/** Node information (RFC 4620). */
export const ICMPV6_NI_QUERY = 139, ICMPV6_NI_REPLY = 140;
/** The first and the last of multicast listener, router and neighbour discovery; MLDv2; multicast router discovery. */
export const ICMPV6_MLD_QUERY = 130, ICMPV6_NEIGHBOUR_ADVERT = 136, ICMPV6_MLD2_REPORT = 143;
export const ICMPV6_MRDISC_ADVERT = 151, ICMPV6_MRDISC_SOLICIT = 152;
/** Codes of ICMPv6 destination unreachable. */
export const ICMPV6_NOROUTE = 0, ICMPV6_ADM_PROHIBITED = 1, ICMPV6_NOT_NEIGHBOUR = 2, ICMPV6_PORT_UNREACH = 4;
/** Codes of ICMPv6 parameter problem. */
export const ICMPV6_HDR_FIELD = 0, ICMPV6_UNK_NEXTHDR = 1, ICMPV6_UNK_OPTION = 2;
export const ICMPV6_HDR_INCOMP = 3;

/** True if the eight bytes of header are there. */
export function icmpHeaderOk(p: Packet): boolean {
  return p.fragmentOffset === 0 && p.length - p.l4 >= ICMP_HEADER;
}
/** True if the packet is ICMP in IPv4 or ICMPv6 in IPv6. */
export function isIcmp(p: Packet): boolean {
  return p.family === 4 ? p.protocol === ICMP : p.protocol === ICMPV6;
}
export function icmpType(p: Packet): number {
  return p.view.getUint8(p.l4);
}
export function icmpCode(p: Packet): number {
  return p.view.getUint8(p.l4 + ICMP_CODE);
}
export function icmpId(p: Packet): number {
  return p.view.getUint16(p.l4 + ICMP_ID);
}
export function icmpSeq(p: Packet): number {
  return p.view.getUint16(p.l4 + ICMP_SEQ);
}

/** True for types that report about another packet, which they quote (icmp_pointers; ICMPv6 below 128). */
export function isIcmpError(family: number, type: number): boolean {
  if (family === 6) return type < 128;
  switch (type) {
    case ICMP_DEST_UNREACH:
    case ICMP_SOURCE_QUENCH:
    case ICMP_REDIRECT:
    case ICMP_TIME_EXCEEDED:
    case ICMP_PARAMETERPROB:
      return true;
    default:
      return false;
  }
}
