/**
 * Fragmentation on the way out (ip_fragment, ip6_fragment).
 *
 * Two ways, as in Linux. A datagram that was gathered here and has kept its size leaves in the very pieces that it came
 * in, as far as they fit. Any other is cut into pieces as large as the MTU allows, and no larger than the largest
 * fragment that it was gathered from: whoever sent those knew of a narrow link behind us (RFC 1191 lives on what
 * routers do not paper over). Whether a packet may be cut at all is for routing to say, before.
 *
 * A packet that is made here is in pieces from the beginning, as the route that it was made for wants them
 * (ip_append_data, ip6_append_data), and keeps them when a rule sends it another way. `makePieces` notes them as if the
 * packet had been gathered from them.
 */
import { Reason, TCP } from "../netfilter.ts";
import { copyBytes } from "./copy.ts";
import { IPV4_DF, IPV4_FRAGMENT, IPV4_MF, IPV4_TOTAL_LENGTH, writeHeaderChecksum } from "./ipv4.ts";
import * as ipv6 from "./ipv6.ts";
import { fragmentOptions } from "./options.ts";
import { GSO_NONE, type Packet } from "./packet.ts";
import { isFragment, parseHeaders } from "./parse.ts";
import { completeChecksum } from "./segment.ts";
import { TCP_HEADER } from "./tcp.ts";

/**
 * Divides a packet that is made here for a route of this MTU, if it needs it. IPv4 fills the last piece up as it would
 * fill a fragment; in IPv6 it ends on 8 like all others, so that a few bytes may travel alone.
 */
export function makePieces(p: Packet, mtu: number): void {
  if (p.length <= mtu || isFragment(p) || p.gsoType !== GSO_NONE) return;
  const header = p.family === 4 ? p.l4 : fragmentPoint(p) & 0xffff;
  const space = p.family === 4 ? mtu - header : (mtu - header - ipv6.FRAGMENT_HEADER) & ~7;
  if (space < 8) return;
  p.fragCount = 0;
  for (let from = header; from < p.length; from = p.fragEnds[p.fragCount++]) {
    p.fragEnds[p.fragCount] = pieceEnd(p, from, space, false, 0);
  }
}

/**
 * Emits the packet as fragments that fit `mtu`, each in `out`. Returns 0, or the Reason why there are none:
 * "packet-too-big" (the caller reports the MTU to the sender) or "bad-extension-header". IPv6 fragments carry the
 * identification `p.fragId`: the original one for a gathered datagram, the caller's for others.
 */
export function fragment(p: Packet, mtu: number, out: Packet, emit: (o: Packet) => void): number {
  completeChecksum(p);
  return p.family === 4 ? fragment4(p, mtu, out, emit) : fragment6(p, mtu, out, emit);
}

/**
 * True if the pieces that the datagram was gathered from can be sent again: with `header` bytes in front, each has to
 * fit `space`, and all but the last to end on 8 bytes.
 */
function sendsAsReceived(p: Packet, header: number, space: number): boolean {
  if (p.fragCount < 2 || p.fragEnds[p.fragCount - 1] !== p.length) return false;
  // Linux draws an IPv4 packet's TCP header together that comes in more than one piece (tcp_v4_early_demux), and
  // cuts anew then.
  const tcpEnd = p.family === 4 && p.protocol === TCP ? p.l4 + TCP_HEADER : 0;
  if (p.fragEnds[0] < tcpEnd && tcpEnd <= p.length) return false;
  let from = header;
  for (let i = 0; i < p.fragCount; i++) {
    const size = p.fragEnds[i] - from;
    if (size < 0 || size > space || ((size & 7) !== 0 && i < p.fragCount - 1)) return false;
    from = p.fragEnds[i];
  }
  return true;
}

/** End of the piece that starts at `from`: as received, or cut to `space` bytes, on 8 unless it is the last. */
function pieceEnd(p: Packet, from: number, space: number, asReceived: boolean, index: number): number {
  if (asReceived) return p.fragEnds[index];
  return p.length - from <= space ? p.length : from + (space & ~7);
}

function fragment4(p: Packet, mtu: number, out: Packet, emit: (o: Packet) => void): number {
  const header = p.l4;
  const space = (p.fragMaxSize !== 0 && p.fragMaxSize < mtu ? p.fragMaxSize : mtu) - header;
  if (space < 8) return Reason["packet-too-big"];
  const asReceived = sendsAsReceived(p, header, space);
  const view = out.view;
  // A fragment that came in keeps its place in the datagram when it is cut again. Pieces of a gathered datagram carry
  // DF when its largest one did, so that the sender goes on learning the path's MTU.
  const start = p.fragmentOffset;
  const bits = !asReceived && p.fragDf ? IPV4_DF : 0;
  let from = header;
  for (let index = 0; from < p.length; index++) {
    const end = pieceEnd(p, from, space, asReceived, index);
    const offset = start + from - header;
    out.inherit(p);
    copyBytes(p.view, 0, view, 0, header);
    if (offset !== 0) fragmentOptions(out.bytes, header);
    copyBytes(p.view, from, view, header, end - from);
    out.length = header + end - from;
    view.setUint16(IPV4_TOTAL_LENGTH, out.length);
    view.setUint16(IPV4_FRAGMENT, bits | (end < p.length || p.moreFragments ? IPV4_MF : 0) | (offset >> 3));
    writeHeaderChecksum(out);
    parseHeaders(out);
    emit(out);
    from = end;
  }
  return 0;
}

/**
 * Where a fragment header goes (ip6_find_1stfragopt): behind hop-by-hop and routing headers, and behind destination
 * options too unless a routing header stands before them. `nextAt` of the result is the offset of the next-header byte
 * to change. Returns the offset in the low 16 bits and `nextAt` in the high ones, or −1 if the chain is cut.
 */
function fragmentPoint(p: Packet): number {
  const view = p.view;
  let nextAt = ipv6.IPV6_NEXT_HEADER;
  let at = ipv6.IPV6_HEADER;
  let routing = false;
  while (at <= p.length) {
    const next = view.getUint8(nextAt);
    if (next === ipv6.ROUTING) routing = true;
    else if (next !== ipv6.HOP_BY_HOP && (next !== ipv6.DESTINATION_OPTIONS || routing)) {
      return at | (nextAt << 16);
    }
    if (at + 2 > p.length) return -1;
    nextAt = at;
    at += ipv6.extensionLength(view, at, next);
    if (at > 0x7fff) return -1;
  }
  return -1;
}

function fragment6(p: Packet, mtu: number, out: Packet, emit: (o: Packet) => void): number {
  const point = fragmentPoint(p);
  if (point < 0) return Reason["bad-extension-header"];
  const header = point & 0xffff;
  const nextAt = point >> 16;
  if (p.fragMaxSize > mtu) return Reason["packet-too-big"];
  const limit = p.fragMaxSize === 0 ? mtu : Math.max(p.fragMaxSize, ipv6.IPV6_MIN_MTU);
  const space = limit - header - ipv6.FRAGMENT_HEADER;
  if (space < 8) return Reason["packet-too-big"];
  const asReceived = sendsAsReceived(p, header, space);
  const view = out.view;
  const payload = header + ipv6.FRAGMENT_HEADER;
  let from = header;
  for (let index = 0; from < p.length; index++) {
    const end = pieceEnd(p, from, space, asReceived, index);
    out.inherit(p);
    copyBytes(p.view, 0, view, 0, header);
    copyBytes(p.view, from, view, payload, end - from);
    out.length = payload + end - from;
    view.setUint16(ipv6.IPV6_PAYLOAD_LENGTH, out.length - ipv6.IPV6_HEADER);
    view.setUint8(nextAt, ipv6.FRAGMENT);
    view.setUint16(header, p.view.getUint8(nextAt) << 8);
    view.setUint16(header + 2, (from - header) | (end < p.length ? ipv6.IPV6_MF : 0));
    view.setInt32(header + 4, p.fragId);
    parseHeaders(out);
    emit(out);
    from = end;
  }
  return 0;
}
