/**
 * ICMP errors: which flow do they speak of? (nf_conntrack_icmpv4_error, _icmpv6_error, _inet_error)
 *
 * An error quotes the packet that caused it. The quoted packet's answer, as it would arrive here, is looked up; if it
 * belongs to a flow, and the error goes to whoever that answer would go to, the error is RELATED to that flow.
 */
import {
  ICMP_HEADER,
  ICMPV6_MLD2_REPORT,
  ICMPV6_MLD_QUERY,
  ICMPV6_MRDISC_ADVERT,
  ICMPV6_MRDISC_SOLICIT,
  ICMPV6_NEIGHBOUR_ADVERT,
  ICMPV6_REDIRECT,
  isIcmpError,
} from "../packet/icmp.ts";
import type { Packet } from "../packet/packet.ts";
import { readTuple } from "./extract.ts";
import { DST, invertTuple, newTuple } from "./tuple.ts";

/** What an ICMP message is to conntrack if it is no error: a query, handled as other packets are. */
export const ICMP_QUERY = 0;
/** INVALID. */
export const ICMP_INVALID = -1;
/** Exempt: discovery of neighbours, routers and multicast listeners is never tracked. */
export const ICMP_UNTRACKED = 1;

/** ICMP types above this are unknown (NR_ICMP_TYPES). */
const LAST_ICMP_TYPE = 18;
/** Bytes of a redirect before its options (RFC 4861, 4.5), and the option that quotes the packet (4.6.3). */
const REDIRECT_LENGTH = 40, ND_OPT_REDIRECT_HDR = 4;

/**
 * Sorts an ICMP packet of its own family (`isIcmp`): one of ICMP_*, or the offset of the packet that it quotes, which is
 * greater than they.
 */
export function classify(p: Packet): number {
  const type = p.view.getUint8(p.l4);
  if (p.family === 4) {
    if (type > LAST_ICMP_TYPE) return ICMP_INVALID;
    return isIcmpError(4, type) ? p.l4 + ICMP_HEADER : ICMP_QUERY;
  }
  if (type >= ICMPV6_MLD_QUERY && type <= ICMPV6_NEIGHBOUR_ADVERT) return ICMP_UNTRACKED;
  if (type === ICMPV6_MLD2_REPORT || type === ICMPV6_MRDISC_ADVERT || type === ICMPV6_MRDISC_SOLICIT) {
    return ICMP_UNTRACKED;
  }
  if (type === ICMPV6_REDIRECT) return redirect(p);
  return isIcmpError(6, type) ? p.l4 + ICMP_HEADER : ICMP_QUERY;
}

/** A redirect comes from the link itself, or not at all (RFC 4861, 8.1). */
function redirect(p: Packet): number {
  const view = p.view, option = p.l4 + REDIRECT_LENGTH;
  if (view.getUint8(7) !== 255 || (view.getUint16(8) & 0xffc0) !== 0xfe80) return ICMP_INVALID;
  if (option + 2 > p.length || view.getUint8(option + 1) === 0) return ICMP_INVALID;
  return view.getUint8(option) === ND_OPT_REDIRECT_HDR ? option + 8 : ICMP_QUERY;
}

const inner = newTuple();

/**
 * Reads the packet quoted at `at` and writes into `out` the tuple of its answer, in a zone. False when there is none:
 * a later fragment, cut before the ports, an error about an error.
 */
export function quotedAnswer(p: Packet, at: number, zone: number, out: Int32Array): boolean {
  return readTuple(p, at, zone, inner) && invertTuple(out, 0, inner, 0);
}

/** True if the error is addressed to whom the tuple at `t[at]` is addressed. Anybody can quote anything. */
export function goesTo(p: Packet, t: Int32Array, at: number): boolean {
  const view = p.view, to = at + DST;
  if (p.family === 4) return view.getInt32(16) === t[to];
  return view.getInt32(24) === t[to] && view.getInt32(28) === t[to + 1] && view.getInt32(32) === t[to + 2] &&
    view.getInt32(36) === t[to + 3];
}
