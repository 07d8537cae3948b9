/**
 * From bytes to a packet that the hooks may touch: the checks that Linux makes before PREROUTING (ip_rcv, ipv6_rcv),
 * and the walk to the upper-layer header.
 *
 * After `parse` returned 0 these hold, and what reads at fixed offsets relies on them: the IP header and its options
 * are whole, `l4` ≤ `length`, and `length` is what the IP header says, padding cut. The transport header is not looked
 * at: a bad one makes a packet INVALID in conntrack, not dead. IPv4 options are judged after PREROUTING, when the
 * packet is routed: see `checkOptions` in options.ts.
 */
import { Reason, TCP, UDP } from "../netfilter.ts";
import { ipv4HeaderOk } from "./checksum.ts";
import { IPV4_FRAGMENT, IPV4_HEADER, IPV4_MF, IPV4_OFFSET, IPV4_PROTOCOL } from "./ipv4.ts";
import * as ipv6 from "./ipv6.ts";
import { checkHopByHop } from "./options.ts";
import { GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, type Packet } from "./packet.ts";

const TOO_SHORT = Reason["too-short"];
const BAD_VERSION = Reason["bad-version"];
const BAD_HEADER_LENGTH = Reason["bad-header-length"];
const BAD_TOTAL_LENGTH = Reason["bad-total-length"];
const BAD_HEADER_CHECKSUM = Reason["bad-header-checksum"];
const BAD_OFFLOAD = Reason["bad-offload"];
const MARTIAN_SOURCE = Reason["martian-source"];
const MARTIAN_DESTINATION = Reason["martian-destination"];

/** Checks a received packet and fills its structure fields. Returns 0, or the Reason why Linux would drop it. */
export function parse(p: Packet): number {
  if (p.length < 1) return TOO_SHORT;
  const version = p.bytes[0] >> 4;
  const reason = version === 4 ? receive4(p) : version === 6 ? receive6(p) : BAD_VERSION;
  if (reason !== 0) return reason;
  parseHeaders(p);
  return p.gsoType === GSO_NONE && !p.partialChecksum ? 0 : checkOffload(p);
}

/** ip_rcv: length, version, checksum, total length; cuts the padding. */
function receive4(p: Packet): number {
  if (p.length < IPV4_HEADER) return TOO_SHORT;
  const headerLength = (p.bytes[0] & 0x0f) << 2;
  if (headerLength < IPV4_HEADER) return BAD_HEADER_LENGTH;
  if (p.length < headerLength) return TOO_SHORT;
  if (!ipv4HeaderOk(p.view, 0, headerLength)) return BAD_HEADER_CHECKSUM;
  const totalLength = p.view.getUint16(2);
  if (totalLength > p.length || totalLength < headerLength) return BAD_TOTAL_LENGTH;
  p.length = totalLength;
  return 0;
}

/** ipv6_rcv: length, addresses that no link may carry (RFC 4291, 2.5.3 and 2.7), hop-by-hop options. */
function receive6(p: Packet): number {
  const view = p.view;
  if (p.length < ipv6.IPV6_HEADER) return TOO_SHORT;
  if (isLoopback(view, ipv6.IPV6_SOURCE)) return MARTIAN_SOURCE;
  if (isLoopback(view, ipv6.IPV6_DESTINATION)) return MARTIAN_DESTINATION;
  // Multicast of scope 0 (reserved) and 1 (interface-local) stays off links; multicast is never a source.
  if (
    view.getUint8(ipv6.IPV6_DESTINATION) === 0xff && (view.getUint8(ipv6.IPV6_DESTINATION + 1) & 0x0f) <= 1
  ) {
    return MARTIAN_DESTINATION;
  }
  if (view.getUint8(ipv6.IPV6_SOURCE) === 0xff) return MARTIAN_SOURCE;
  const payload = view.getUint16(ipv6.IPV6_PAYLOAD_LENGTH);
  const next = view.getUint8(ipv6.IPV6_NEXT_HEADER);
  // Length 0 with hop-by-hop options announces a jumbogram (RFC 2675), which its option has to prove.
  if (payload !== 0 || next !== ipv6.HOP_BY_HOP) {
    if (ipv6.IPV6_HEADER + payload > p.length) return BAD_TOTAL_LENGTH;
    p.length = ipv6.IPV6_HEADER + payload;
  }
  return next === ipv6.HOP_BY_HOP ? checkHopByHop(p) : 0;
}

function isLoopback(view: DataView, at: number): boolean {
  return view.getInt32(at + 12) === 1 && view.getInt32(at + 8) === 0 && view.getInt32(at + 4) === 0 &&
    view.getInt32(at) === 0;
}

/** What the virtio-net header promises must fit the packet: fragments are not offloaded, segments have their protocol. */
function checkOffload(p: Packet): number {
  if (p.fragmentHeader !== 0 || p.fragmentOffset !== 0 || p.moreFragments) return BAD_OFFLOAD;
  switch (p.gsoType) {
    case GSO_NONE:
      return 0;
    case GSO_TCPV4:
      return p.family === 4 && p.protocol === TCP && p.gsoSize > 0 ? 0 : BAD_OFFLOAD;
    case GSO_TCPV6:
      return p.family === 6 && p.protocol === TCP && p.gsoSize > 0 ? 0 : BAD_OFFLOAD;
    case GSO_UDP_L4:
      return p.protocol === UDP && p.gsoSize > 0 ? 0 : BAD_OFFLOAD;
    default:
      return BAD_OFFLOAD;
  }
}

/** Fills the structure fields of a packet whose IP header is known to be good: after `parse`, or made by Weir itself. */
export function parseHeaders(p: Packet): void {
  if (p.bytes[0] >> 4 === 4) parse4(p);
  else parse6(p);
}

function parse4(p: Packet): void {
  const word = p.view.getUint16(IPV4_FRAGMENT);
  p.family = 4;
  p.protocol = p.view.getUint8(IPV4_PROTOCOL);
  p.l4 = (p.bytes[0] & 0x0f) << 2;
  p.fragmentOffset = (word & IPV4_OFFSET) << 3;
  p.moreFragments = (word & IPV4_MF) !== 0;
  p.fragmentHeader = 0;
  p.headerChainCut = false;
}

/**
 * Walks the extension headers as ipv6_skip_exthdr does: order and repetition do not matter, and a fragment header with
 * an offset ends the walk, since what follows it is no header.
 */
function parse6(p: Packet): void {
  const view = p.view;
  p.family = 6;
  p.fragmentOffset = 0;
  p.moreFragments = false;
  p.fragmentHeader = 0;
  p.headerChainCut = false;
  let next = view.getUint8(ipv6.IPV6_NEXT_HEADER);
  let at = ipv6.IPV6_HEADER;
  while (ipv6.isExtensionHeader(next) && next !== ipv6.NO_NEXT) {
    const header = next;
    if (header === ipv6.FRAGMENT && p.fragmentHeader === 0) p.fragmentHeader = at;
    // Linux looks at a header's first bytes only: one that is longer than the packet leads to an upper layer without bytes.
    if (at + (header === ipv6.FRAGMENT ? 4 : 2) > p.length) {
      p.headerChainCut = true;
      next = ipv6.NO_NEXT;
      at = p.length;
      break;
    }
    // The tables look at more of it than others do, and drop the packet (ipv6_find_hdr).
    if (header === ipv6.ROUTING && at + 4 > p.length) p.headerChainCut = true;
    next = view.getUint8(at);
    if (header === ipv6.FRAGMENT) {
      const word = view.getUint16(at + 2);
      p.fragmentOffset = word & ipv6.IPV6_OFFSET;
      p.moreFragments = (word & ipv6.IPV6_MF) !== 0;
      if (p.fragmentOffset !== 0) {
        at += ipv6.FRAGMENT_HEADER;
        // Which protocol the datagram has cannot be known when this fragment begins with further extension headers.
        if (ipv6.isExtensionHeader(next) && next !== ipv6.NO_NEXT) p.headerChainCut = true;
        break;
      }
    }
    at += ipv6.extensionLength(view, at, header);
  }
  p.protocol = next;
  p.l4 = at < p.length ? at : p.length;
}

/** True if the first fragment header of an IPv6 packet says that there are more of its kind: not of an atomic fragment. */
export function isPiece(p: Packet): boolean {
  const at = p.fragmentHeader;
  return at !== 0 && at + ipv6.FRAGMENT_HEADER <= p.length &&
    (p.view.getUint16(at + 2) & (ipv6.IPV6_OFFSET | ipv6.IPV6_MF)) !== 0;
}

/** True if this is a fragment for `Defrag.gather`: part of a datagram, or an IPv6 packet with a fragment header at all. */
export function isFragment(p: Packet): boolean {
  return p.fragmentHeader !== 0 || p.moreFragments || p.fragmentOffset !== 0;
}
