/**
 * Options of IPv4 headers, and hop-by-hop options of IPv6: what a router has to check.
 *
 * IPv4 options are judged when the packet is routed, behind PREROUTING (ip_rcv_options); what a router writes into them
 * is src/routing/'s. IPv6 hop-by-hop options are judged on receipt, before any hook.
 */
import { Reason } from "../netfilter.ts";
import { IPV4_HEADER, ipv4HeaderLength, writeHeaderChecksum } from "./ipv4.ts";
import { IPV6_DESTINATION, IPV6_HEADER, IPV6_PAYLOAD_LENGTH } from "./ipv6.ts";
import type { Packet } from "./packet.ts";

const BAD_OPTION = Reason["bad-option"];
const BAD_EXTENSION_HEADER = Reason["bad-extension-header"];

/** IPv4 option types (RFC 791, 3.1; RFC 2113; RFC 1108 for SEC and CIPSO's number). Bit 0x80: copied on fragmentation. */
export const IPOPT_END = 0, IPOPT_NOOP = 1, IPOPT_RR = 7, IPOPT_TIMESTAMP = 68, IPOPT_CIPSO = 134;
export const IPOPT_LSRR = 131, IPOPT_SSRR = 137;
const IPOPT_RA = 148;
/** Bit of an option type: every fragment carries the option. */
const IPOPT_COPY = 0x80;
/** Timestamp flags: addresses too, addresses given by the sender. */
const TS_TSANDADDR = 1, TS_PRESPEC = 3;

/** True if the IPv4 packet has options: the only ones that the functions below have work with. */
function hasOptions(p: Packet): boolean {
  return p.family === 4 && p.l4 > IPV4_HEADER;
}

/**
 * Judges the IPv4 options of a received packet (ip_rcv_options). Returns 0, Reason "source-route" (refused silently,
 * unless `acceptSourceRoute`), or Reason "bad-option" with `p.errorPointer` at the culprit: Linux then answers with a
 * Parameter Problem.
 */
export function checkOptions(p: Packet, acceptSourceRoute = false): number {
  if (!hasOptions(p)) return 0;
  const pointer = findBadOption(p);
  if (pointer >= 0) {
    p.errorPointer = pointer;
    return BAD_OPTION;
  }
  if (clearBehindEnd(p)) writeHeaderChecksum(p);
  if (acceptSourceRoute) return 0;
  const end = ipv4HeaderLength(p);
  for (let at = IPV4_HEADER; at < end; at = nextOption(p, at)) {
    const type = p.bytes[at];
    if (type === IPOPT_END) break;
    if (type === IPOPT_LSRR || type === IPOPT_SSRR) return Reason["source-route"];
  }
  return 0;
}

/** Offset of the option behind the one at `at`, once the options are known to be well-formed. */
function nextOption(p: Packet, at: number): number {
  return p.bytes[at] === IPOPT_NOOP ? at + 1 : at + p.bytes[at + 1];
}

/** Zeroes what follows an end-of-options, as Linux does: nothing travels hidden there. True if something changed. */
function clearBehindEnd(p: Packet): boolean {
  const end = ipv4HeaderLength(p);
  let at = IPV4_HEADER;
  while (at < end && p.bytes[at] !== IPOPT_END) {
    if (p.bytes[at] !== IPOPT_NOOP && (at + 1 >= end || p.bytes[at + 1] < 2)) return false;
    at = nextOption(p, at);
  }
  let changed = false;
  for (at++; at < end; at++) {
    if (p.bytes[at] === 0) continue;
    p.bytes[at] = 0;
    changed = true;
  }
  return changed;
}

/** Offset of what is wrong with the options, or −1 (ip_options_compile). */
function findBadOption(p: Packet): number {
  const bytes = p.bytes;
  const end = ipv4HeaderLength(p);
  let recordRoute = false, timestamp = false, sourceRoute = false;
  let at = IPV4_HEADER;
  while (at < end) {
    const type = bytes[at];
    if (type === IPOPT_END) return -1;
    if (type === IPOPT_NOOP) {
      at++;
      continue;
    }
    if (end - at < 2) return at;
    const length = bytes[at + 1];
    if (length < 2 || length > end - at) return at;
    switch (type) {
      case IPOPT_SSRR:
      case IPOPT_LSRR:
        if (length < 3) return at + 1;
        if (bytes[at + 2] < 4) return at + 2;
        if (sourceRoute) return at;
        sourceRoute = true;
        break;
      case IPOPT_RR:
        if (recordRoute) return at;
        if (length < 3) return at + 1;
        if (bytes[at + 2] < 4) return at + 2;
        if (bytes[at + 2] <= length && bytes[at + 2] + 3 > length) return at + 2;
        recordRoute = true;
        break;
      case IPOPT_TIMESTAMP: {
        if (timestamp) return at;
        if (length < 4) return at + 1;
        const pointer = bytes[at + 2];
        if (pointer < 5) return at + 2;
        if (pointer <= length) {
          if (pointer + 3 > length) return at + 2;
          const kind = bytes[at + 3] & 0x0f;
          if ((kind === TS_TSANDADDR || kind === TS_PRESPEC) && pointer + 7 > length) return at + 2;
        } else if (bytes[at + 3] >> 4 === 15) return at + 3; // the count of missed hops would overflow
        timestamp = true;
        break;
      }
      case IPOPT_RA:
        if (length < 4) return at + 1;
        break;
      case IPOPT_CIPSO: // no domain of interpretation is configured, so none is known (cipso_v4_validate)
        return length < 8 ? at + 1 : at + 2;
      default: // unknown options pass
    }
    at += length;
  }
  return -1;
}

/** Turns options that only the first fragment carries into no-ops (ip_options_fragment), for the fragments behind it. */
export function fragmentOptions(bytes: Uint8Array, headerLength: number): void {
  let at = IPV4_HEADER;
  while (at < headerLength) {
    const type = bytes[at];
    if (type === IPOPT_END) return;
    if (type === IPOPT_NOOP) {
      at++;
      continue;
    }
    const length = at + 1 < headerLength ? bytes[at + 1] : 0;
    if (length < 2 || at + length > headerLength) return;
    if ((type & IPOPT_COPY) === 0) {
      for (let i = at; i < at + length; i++) bytes[i] = IPOPT_NOOP;
    }
    at += length;
  }
}

/** IPv6 option types (RFC 8200, 4.2; RFC 2711; RFC 2675). */
const PAD1 = 0, PADN = 1, ROUTER_ALERT = 5, JUMBO = 0xc2;
/** net.ipv6.max_hbh_opts_number: more options than this are an attack on whoever walks them. */
const MAX_OPTIONS = 8;
/** Padding only aligns the header to 8 bytes, so more than 7 in a row is a covert channel (RFC 4942, 2.1.9.5). */
const MAX_PADDING = 7;

/**
 * Judges the hop-by-hop options at offset 40 (ipv6_parse_hopopts). Returns 0, Reason "bad-extension-header" (dropped
 * silently), or "bad-option" with `p.errorPointer` at the option that asks for a Parameter Problem of code 2, or code 0
 * for jumbo options. No jumbogram fits a packet's buffer, so none is taken.
 */
export function checkHopByHop(p: Packet): number {
  const bytes = p.bytes;
  if (p.length < IPV6_HEADER + 8) return BAD_EXTENSION_HEADER;
  const end = IPV6_HEADER + ((bytes[IPV6_HEADER + 1] + 1) << 3);
  if (p.length < end) return BAD_EXTENSION_HEADER;
  let at = IPV6_HEADER + 2;
  let options = 0;
  let padding = 0;
  while (at < end) {
    const type = bytes[at];
    if (type === PAD1) {
      if (++padding > MAX_PADDING) return BAD_EXTENSION_HEADER;
      at++;
      continue;
    }
    if (end - at < 2) return BAD_EXTENSION_HEADER;
    const length = bytes[at + 1] + 2;
    if (length > end - at) return BAD_EXTENSION_HEADER;
    if (type === PADN) {
      padding += length;
      if (padding > MAX_PADDING) return BAD_EXTENSION_HEADER;
      for (let i = at + 2; i < at + length; i++) if (bytes[i] !== 0) return BAD_EXTENSION_HEADER;
    } else {
      padding = 0;
      if (++options > MAX_OPTIONS) return BAD_EXTENSION_HEADER;
      if (type === ROUTER_ALERT) {
        if (length !== 4) return BAD_EXTENSION_HEADER;
      } else if (type === JUMBO) {
        return checkJumbo(p, at);
      } else {
        const reason = unknownOption(p, at);
        if (reason !== 0) return reason;
      }
    }
    at += length;
  }
  return 0;
}

/** RFC 2675, 3: errors of a jumbo payload option, of which there is always one here. */
function checkJumbo(p: Packet, at: number): number {
  if (p.bytes[at + 1] !== 4 || (at & 3) !== 2) return BAD_EXTENSION_HEADER;
  if ((p.view.getInt32(at + 2) >>> 0) <= 65535) p.errorPointer = at + 2;
  else if (p.view.getUint16(IPV6_PAYLOAD_LENGTH) !== 0) p.errorPointer = at;
  else return Reason["bad-total-length"];
  return BAD_OPTION;
}

/** RFC 8200, 4.2: the two highest bits of an unknown option say what to do with the packet. */
function unknownOption(p: Packet, at: number): number {
  switch (p.bytes[at] >> 6) {
    case 0:
      return 0;
    case 1:
      return BAD_EXTENSION_HEADER;
    case 3:
      if (p.bytes[IPV6_DESTINATION] === 0xff) return BAD_EXTENSION_HEADER;
      break;
    default:
  }
  p.errorPointer = at;
  return BAD_OPTION;
}
