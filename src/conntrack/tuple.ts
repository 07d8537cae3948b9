/**
 * A tuple names one direction of a flow: who sends, who receives, by which ports, protocol and zone.
 *
 * It is ten 32-bit words, the same for IPv4 and IPv6, so that lookup, inversion and NAT have one path:
 *
 * ```
 *  0…3  source address        IPv4 in word 0, words 1…3 zero (as the kernel's nf_inet_addr)
 *  4…7  destination address
 *  8    source port << 16 | destination port
 *         ICMP: id << 16 | type << 8 | code     GRE: source key << 16 | destination key     others: 0
 *  9    zone << 16 | family << 8 | protocol
 * ```
 *
 * Words are big-endian readings of the packet's bytes, kept as int32.
 */
import { type Family, ICMP, ICMPV6 } from "../netfilter.ts";
import * as icmpModule from "../packet/icmp.ts";

// Constants of this module, not imports: each new flow of ICMP reads them (CONTRIBUTING.md).
const {
  ICMP_ADDRESS,
  ICMP_ADDRESSREPLY,
  ICMP_ECHO,
  ICMP_ECHOREPLY,
  ICMP_INFO_REPLY,
  ICMP_INFO_REQUEST,
  ICMP_TIMESTAMP,
  ICMP_TIMESTAMPREPLY,
  ICMPV6_ECHO_REPLY,
  ICMPV6_ECHO_REQUEST,
  ICMPV6_NI_QUERY,
  ICMPV6_NI_REPLY,
} = icmpModule;

/** Words in a tuple. */
export const TUPLE_WORDS = 10;
/** Word offsets within a tuple. */
export const SRC = 0, DST = 4, PORTS = 8, PROTO = 9;
/** For this file: what is exported is read as slowly as an import (CONTRIBUTING.md). */
const AT_PORTS = PORTS, AT_PROTO = PROTO;

/** A tuple outside a record: scratch space, made once. */
export function newTuple(): Int32Array {
  return new Int32Array(TUPLE_WORDS);
}

export function tupleProtocol(t: Int32Array, at = 0): number {
  return t[at + PROTO] & 0xff;
}
export function tupleFamily(t: Int32Array, at = 0): Family {
  return ((t[at + PROTO] >> 8) & 0xff) as Family;
}
export function tupleZone(t: Int32Array, at = 0): number {
  return t[at + PROTO] >>> 16;
}
export function sourcePort(t: Int32Array, at = 0): number {
  return t[at + PORTS] >>> 16;
}
export function destinationPort(t: Int32Array, at = 0): number {
  return t[at + PORTS] & 0xffff;
}

/** ICMP type of the answer to a query type, or of the query to an answer; -1 where there is no pair. */
function invertIcmpType(protocol: number, type: number): number {
  if (protocol === ICMP) {
    switch (type) {
      case ICMP_ECHO:
        return ICMP_ECHOREPLY;
      case ICMP_ECHOREPLY:
        return ICMP_ECHO;
      case ICMP_TIMESTAMP:
        return ICMP_TIMESTAMPREPLY;
      case ICMP_TIMESTAMPREPLY:
        return ICMP_TIMESTAMP;
      case ICMP_INFO_REQUEST:
        return ICMP_INFO_REPLY;
      case ICMP_INFO_REPLY:
        return ICMP_INFO_REQUEST;
      case ICMP_ADDRESS:
        return ICMP_ADDRESSREPLY;
      case ICMP_ADDRESSREPLY:
        return ICMP_ADDRESS;
      default:
        return -1;
    }
  }
  switch (type) {
    case ICMPV6_ECHO_REQUEST:
      return ICMPV6_ECHO_REPLY;
    case ICMPV6_ECHO_REPLY:
      return ICMPV6_ECHO_REQUEST;
    case ICMPV6_NI_QUERY:
      return ICMPV6_NI_REPLY;
    case ICMPV6_NI_REPLY:
      return ICMPV6_NI_QUERY;
    default:
      return -1;
  }
}

/**
 * Writes into `out` the tuple of the answer to `t` (nf_ct_invert_tuple). The zone is kept.
 * False when there is none, as for an ICMP type that is not a query.
 */
export function invertTuple(out: Int32Array, outAt: number, t: Int32Array, at: number): boolean {
  const protocol = t[at + AT_PROTO] & 0xff;
  const ports = t[at + AT_PORTS];
  let inverted: number;
  if (protocol === ICMP || protocol === ICMPV6) {
    const type = invertIcmpType(protocol, (ports >> 8) & 0xff);
    if (type < 0) return false;
    inverted = (ports & 0xffff00ff) | (type << 8);
  } else {
    inverted = (ports >>> 16) | (ports << 16);
  }
  const s0 = t[at], s1 = t[at + 1], s2 = t[at + 2], s3 = t[at + 3];
  const d0 = t[at + 4], d1 = t[at + 5], d2 = t[at + 6], d3 = t[at + 7];
  const proto = t[at + AT_PROTO];
  out[outAt] = d0;
  out[outAt + 1] = d1;
  out[outAt + 2] = d2;
  out[outAt + 3] = d3;
  out[outAt + 4] = s0;
  out[outAt + 5] = s1;
  out[outAt + 6] = s2;
  out[outAt + 7] = s3;
  out[outAt + AT_PORTS] = inverted;
  out[outAt + AT_PROTO] = proto;
  return true;
}

/** Equal in all ten words. */
export function tupleEquals(a: Int32Array, aAt: number, b: Int32Array, bAt: number): boolean {
  return a[aAt + AT_PORTS] === b[bAt + AT_PORTS] && a[aAt] === b[bAt] && a[aAt + 4] === b[bAt + 4] &&
    a[aAt + AT_PROTO] === b[bAt + AT_PROTO] && a[aAt + 1] === b[bAt + 1] && a[aAt + 2] === b[bAt + 2] &&
    a[aAt + 3] === b[bAt + 3] && a[aAt + 5] === b[bAt + 5] && a[aAt + 6] === b[bAt + 6] &&
    a[aAt + 7] === b[bAt + 7];
}

/** Copies a tuple. */
export function copyTuple(out: Int32Array, outAt: number, t: Int32Array, at: number): void {
  out[outAt] = t[at];
  out[outAt + 1] = t[at + 1];
  out[outAt + 2] = t[at + 2];
  out[outAt + 3] = t[at + 3];
  out[outAt + 4] = t[at + 4];
  out[outAt + 5] = t[at + 5];
  out[outAt + 6] = t[at + 6];
  out[outAt + 7] = t[at + 7];
  out[outAt + AT_PORTS] = t[at + AT_PORTS];
  out[outAt + AT_PROTO] = t[at + AT_PROTO];
}
