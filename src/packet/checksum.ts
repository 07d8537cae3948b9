/**
 * Internet checksums (RFC 1071), whole and incremental (RFC 1624).
 *
 * Three forms of one 16-bit number meet here. A *sum* is the one's complement sum of 16-bit words; a *checksum* is its
 * complement, as headers carry it; a *partial* checksum (CHECKSUM_PARTIAL, VIRTIO_NET_HDR_F_NEEDS_CSUM) is the plain
 * sum of the pseudo-header alone, uncomplemented, left in the checksum field for the device to complete. A change to the
 * pseudo-header therefore patches both kinds, with opposite sign, and a change to anything else patches only the first.
 *
 * Which of the two zeros a result shows is part of the contract, since Linux's bytes are compared with ours: a sum of
 * words that are not all zero is never 0, so a checksum computed from scratch or patched is never 0xffff.
 */
import * as netfilterModule from "../netfilter.ts";
import * as blockSumModule from "./block_sum.ts";
import type { Packet } from "./packet.ts";
import { sctpChecksum, sctpChecksumField } from "./sctp.ts";
import * as sctpModule from "./sctp.ts";

// Constants of this module, not imports: each packet reads them (CONTRIBUTING.md).
const { ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE } = netfilterModule;
const { BLOCK } = blockSumModule;
const { SCTP_HEADER } = sctpModule;

/** Bytes from which on `Packet.blockSum` is worth its call. */
const LONG = 2 * BLOCK;

/** What a UDP checksum of 0 is sent as, since 0 says "not computed" (RFC 768; CSUM_MANGLED_0). */
export const MANGLED_ZERO = 0xffff;

/** A sum of 16-bit words, below 2³², as 16 bits. */
export function fold(sum: number): number {
  sum = (sum & 0xffff) + (sum >>> 16);
  return (sum & 0xffff) + (sum >>> 16);
}

/** The 16-bit number with its bytes exchanged. */
function swap(n: number): number {
  return ((n & 0xff) << 8) | (n >>> 8);
}

/**
 * The folded sum of bytes `from` … `to`−1 and `initial`. An odd last byte counts as the high half of a word.
 *
 * Words are read as little-endian, which saves exchanging bytes on every usual machine: the sum of byte-swapped words
 * is the byte-swapped sum (RFC 1071, 2(B)). The halves are summed apart, so that 68 KiB stay below 2³¹.
 */
export function sum16(view: DataView, from: number, to: number, initial = 0): number {
  let low = 0;
  let high = 0;
  let at = from;
  for (; at + 16 <= to; at += 16) {
    const a = view.getInt32(at, true);
    const b = view.getInt32(at + 4, true);
    const c = view.getInt32(at + 8, true);
    const d = view.getInt32(at + 12, true);
    low = (low + (a & 0xffff) + (b & 0xffff) + (c & 0xffff) + (d & 0xffff)) | 0;
    high = (high + (a >>> 16) + (b >>> 16) + (c >>> 16) + (d >>> 16)) | 0;
  }
  for (; at + 2 <= to; at += 2) low = (low + view.getUint16(at, true)) | 0;
  if (at < to) low = (low + view.getUint8(at)) | 0;
  return fold(swap(fold(fold(low) + fold(high))) + fold(initial));
}

/** The checksum over an IPv4 header of `length` bytes, its own field counting as 0. */
export function ipv4HeaderChecksum(view: DataView, at: number, length: number): number {
  let sum = 0;
  for (let i = at; i < at + length; i += 4) {
    const word = view.getInt32(i);
    sum += (word & 0xffff) + (word >>> 16);
  }
  return ~fold(sum - view.getUint16(at + 10)) & 0xffff;
}

/** True if the sum over an IPv4 header, its checksum included, comes out right. */
export function ipv4HeaderOk(view: DataView, at: number, length: number): boolean {
  let sum = 0;
  for (let i = at; i < at + length; i += 4) {
    const word = view.getInt32(i);
    sum += (word & 0xffff) + (word >>> 16);
  }
  return fold(sum) === 0xffff;
}

/**
 * The folded sum of the pseudo-header (RFC 9293, 3.1; RFC 8200, 8.1). Linux takes the destination from the IP header
 * even when a routing header has further ones.
 */
export function pseudoSum(p: Packet, protocol: number, length: number): number {
  const view = p.view;
  // RFC 8200's length has 32 bits; a gathered IPv6 datagram can need 17 of them.
  let sum = protocol + (length & 0xffff) + (length >>> 16);
  const end = p.family === 4 ? 20 : 40;
  for (let at = p.family === 4 ? 12 : 8; at < end; at += 4) {
    const word = view.getInt32(at);
    sum += (word & 0xffff) + (word >>> 16);
  }
  return fold(sum);
}

/**
 * The folded sum of what is behind the IP header, pseudo-header included. The addresses stand in front of the transport
 * header, unless there are options or extension headers between them: then it is one stretch that is summed.
 */
function sumWithPseudo(p: Packet, protocol: number): number {
  const { l4, length } = p, rest = length - l4;
  if (l4 === 20 && p.family === 4) return sumOf(p, 12, length, protocol + rest);
  if (l4 === 40 && p.family === 6) return sumOf(p, 8, length, protocol + rest);
  return sumOf(p, l4, length, pseudoSum(p, protocol, rest));
}

/** `sum16` of a packet's bytes; of many at once where its buffer can do that. */
function sumOf(p: Packet, from: number, to: number, initial: number): number {
  const { blockSum } = p;
  if (blockSum === null || to - from < LONG) return sum16(p.view, from, to, initial);
  const rest = to - (to - from) % BLOCK;
  const sum = swap(fold(blockSum(p.header + from, p.header + rest)));
  return sum16(p.view, rest, to, sum + initial);
}

/** Offset of the checksum within the transport header, or −1 where there is no Internet checksum. */
export function checksumField(family: number, protocol: number): number {
  switch (protocol) {
    case TCP:
      return 16;
    case UDP:
    case UDPLITE:
      return 6;
    case ICMP:
      return family === 4 ? 2 : -1;
    case ICMPV6:
      return family === 6 ? 2 : -1;
    default:
      return -1;
  }
}

/** Bytes of the transport header up to the end of the checksum field; a shorter packet has no checksum. */
function hasChecksum(p: Packet, field: number): boolean {
  return field >= 0 && p.fragmentOffset === 0 && p.l4 + field + 2 <= p.length;
}

/** End of what the checksum covers: UDP-Lite says it itself (RFC 3828, 3.1), −1 when it says nonsense. */
function coverageEnd(p: Packet): number {
  if (p.protocol !== UDPLITE) return p.length;
  const coverage = p.view.getUint16(p.l4 + 4);
  if (coverage === 0) return p.length;
  return coverage < 8 || p.l4 + coverage > p.length ? -1 : p.l4 + coverage;
}

/**
 * The checksum that the transport header should carry, computed from scratch over what is there now; −1 where there is
 * none. For UDP 0 comes out as 0xffff. Right for whole datagrams only, not for one piece of a fragmented datagram.
 */
export function transportChecksum(p: Packet): number {
  const field = checksumField(p.family, p.protocol);
  if (!hasChecksum(p, field)) return -1;
  const end = coverageEnd(p);
  if (end < 0) return -1;
  const at = p.l4 + field;
  const pseudo = p.protocol === ICMP ? 0 : pseudoSum(p, p.protocol, p.length - p.l4);
  const sum = sum16(p.view, at + 2, end, sum16(p.view, p.l4, at, pseudo));
  const checksum = ~sum & 0xffff;
  return checksum === 0 && (p.protocol === UDP || p.protocol === UDPLITE) ? MANGLED_ZERO : checksum;
}

/**
 * Writes the transport checksum anew, after a change too large to follow step by step. A UDP datagram without a checksum
 * stays without, a partial checksum stays partial (with the pseudo-header as it is now), SCTP gets its CRC.
 */
export function writeTransportChecksum(p: Packet): void {
  if (p.protocol === SCTP) {
    if (p.fragmentOffset === 0 && p.l4 + SCTP_HEADER <= p.length) {
      p.view.setInt32(p.l4 + 8, sctpChecksum(p.bytes, p.l4, p.length), true);
    }
    return;
  }
  const field = checksumField(p.family, p.protocol);
  if (!hasChecksum(p, field)) return;
  const at = p.l4 + field;
  if (p.partialChecksum) {
    p.view.setUint16(at, pseudoSum(p, p.protocol, p.length - p.l4));
    return;
  }
  if (p.protocol === UDP && p.view.getUint16(at) === 0) return;
  const checksum = transportChecksum(p);
  if (checksum >= 0) p.view.setUint16(at, checksum);
}

/**
 * True if the transport checksum is right, or need not be (completed or verified by the device, absent in UDP, none in
 * the protocol). False for a header that is cut. As nf_checksum and its callers have it: the pseudo-header counts all
 * bytes behind the IP header, not UDP's own length; a UDP checksum of 0 passes, in IPv6 too; UDP-Lite is summed with
 * UDP's protocol number, so that no right one passes; ICMP in IPv6 has no pseudo-header, ICMPv6 in IPv4 never passes.
 */
export function verifyTransport(p: Packet): boolean {
  if (p.partialChecksum || p.checksumValid) return true;
  const right = verify(p);
  if (right && (p.protocol !== UDP || p.view.getUint16(p.l4 + 6) !== 0)) p.checksumVerified = true;
  return right;
}

function verify(p: Packet): boolean {
  if (p.fragmentOffset !== 0) return false;
  const view = p.view;
  const rest = p.length - p.l4;
  switch (p.protocol) {
    case TCP:
      return rest >= 18 && sumWithPseudo(p, TCP) === 0xffff;
    case UDP:
      if (rest < 8) return false;
      return view.getUint16(p.l4 + 6) === 0 || sumWithPseudo(p, UDP) === 0xffff;
    case UDPLITE:
      return verifyLite(p, rest);
    case ICMP:
      return rest >= 4 && sum16(view, p.l4, p.length) === 0xffff;
    case ICMPV6:
      return p.family === 6 && rest >= 4 && sumWithPseudo(p, ICMPV6) === 0xffff;
    case SCTP:
      return rest >= SCTP_HEADER && sctpChecksumField(view, p.l4) === sctpChecksum(p.bytes, p.l4, p.length);
    default:
      return true;
  }
}

function verifyLite(p: Packet, rest: number): boolean {
  if (rest < 8 || p.view.getUint16(p.l4 + 6) === 0) return false;
  const end = coverageEnd(p);
  // In IPv4 the kernel mixes up two arguments, one of which has room for eight bits (nf_ip_checksum_partial).
  const length = p.family === 4 ? rest & 0xff : rest;
  return end >= 0 && sum16(p.view, p.l4, end, pseudoSum(p, UDP, length)) === 0xffff;
}

/** The checksum after a 16-bit word changed (RFC 1624, equation 3; csum_replace2). */
export function update16(checksum: number, from: number, to: number): number {
  return ~fold((~checksum & 0xffff) + (~from & 0xffff) + (to & 0xffff)) & 0xffff;
}

/**
 * What a sum grows by when a 32-bit word changes, signed or unsigned. Changes may be added up, and 16-bit changes are
 * 32-bit changes of two zero-extended words.
 */
export function change32(from: number, to: number): number {
  return (~from & 0xffff) + (~from >>> 16) + (to & 0xffff) + (to >>> 16);
}

/** The checksum after its sum has changed. */
export function update(checksum: number, change: number): number {
  return ~fold((~checksum & 0xffff) + change) & 0xffff;
}

/** Patches the checksum that stands at `at`, wherever that is (in ICMP's inner headers too), after its sum has changed. */
export function patch(view: DataView, at: number, change: number): void {
  view.setUint16(at, update(view.getUint16(at), change));
}

/**
 * Patches the packet's own transport checksum for a 32-bit word that changed from `from` to `to`
 * (inet_proto_csum_replace4). `field` is the offset of the checksum in the packet; `pseudo` says that the word belongs
 * to the pseudo-header.
 */
export function replaceInTransport(
  p: Packet,
  field: number,
  from: number,
  to: number,
  pseudo: boolean,
): void {
  const change = change32(from, to);
  if (pseudo) changeTransport(p, field, change, 0);
  else changeTransport(p, field, 0, change);
}

/**
 * Patches the packet's own transport checksum, whose sum has changed by `pseudo` in the pseudo-header and by `other`
 * behind it; 0 says that nothing was touched there.
 *
 * In UDP, 0 stays 0 and a result of 0 becomes 0xffff. A partial checksum follows the pseudo-header only.
 */
export function changeTransport(p: Packet, field: number, pseudo: number, other: number): void {
  const view = p.view;
  const old = view.getUint16(field);
  if (p.partialChecksum) {
    if (pseudo !== 0) view.setUint16(field, fold(old + pseudo));
    return;
  }
  const udp = field === p.l4 + 6 && (p.protocol === UDP || p.protocol === UDPLITE);
  if (udp && old === 0) return;
  let checksum = update(old, pseudo + other);
  // Not as a condition among the arguments: V8 compiles such a call of a DataView as a call, not as a store.
  if (udp && checksum === 0) checksum = MANGLED_ZERO;
  view.setUint16(field, checksum);
}
