/** Tuples from bytes: of the packet itself, and of the packet that an ICMP error quotes (nf_ct_get_tuplepr). */
import { GRE, ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { tuple as generic } from "./proto/generic.ts";
import { tuple as gre } from "./proto/gre.ts";
import { tuple as icmp } from "./proto/icmp.ts";
import { tuple as ports } from "./proto/ports.ts";
import { DST, PROTO } from "./tuple.ts";

/** What an IPv6 packet ends with that carries nothing (RFC 8200, 4.7). */
const NO_NEXT_HEADER = 59;

/** The protocol's part of a tuple, read at `l4`. False if too little of it is there. */
function readProtocol(
  view: DataView,
  protocol: number,
  l4: number,
  end: number,
  t: Int32Array,
): boolean {
  switch (protocol) {
    case TCP:
    case UDP:
    case UDPLITE:
    case SCTP:
      return ports(view, l4, end, t, 0);
    case ICMP:
    case ICMPV6:
      return icmp(view, l4, end, t, 0);
    case GRE:
      return gre(view, l4, end, t, 0);
    default:
      return generic(view, l4, end, t, 0);
  }
}

function readIpv4(view: DataView, at: number, zone: number, protocol: number, t: Int32Array): void {
  t[0] = view.getInt32(at + 12);
  t[DST] = view.getInt32(at + 16);
  t[1] =
    t[2] =
    t[3] =
    t[DST + 1] =
    t[DST + 2] =
    t[DST + 3] =
      0;
  t[PROTO] = (zone << 16) | (4 << 8) | protocol;
}

function readIpv6(view: DataView, at: number, zone: number, protocol: number, t: Int32Array): void {
  t[0] = view.getInt32(at + 8);
  t[1] = view.getInt32(at + 12);
  t[2] = view.getInt32(at + 16);
  t[3] = view.getInt32(at + 20);
  t[DST] = view.getInt32(at + 24);
  t[DST + 1] = view.getInt32(at + 28);
  t[DST + 2] = view.getInt32(at + 32);
  t[DST + 3] = view.getInt32(at + 36);
  t[PROTO] = (zone << 16) | (6 << 8) | protocol;
}

/** The tuple of a parsed packet. False for a later fragment and for a transport header that is cut. */
export function packetTuple(p: Packet, zone: number, t: Int32Array): boolean {
  if (p.fragmentOffset !== 0 || (p.protocol === NO_NEXT_HEADER && p.family === 6)) return false;
  if (p.family === 4) readIpv4(p.view, 0, zone, p.protocol, t);
  else readIpv6(p.view, 0, zone, p.protocol, t);
  return readProtocol(p.view, p.protocol, p.l4, p.length, t);
}

/** The tuple of a packet quoted at `at`, of the same family as the one that quotes it. */
export function readTuple(p: Packet, at: number, zone: number, t: Int32Array): boolean {
  const view = p.view;
  if (p.family === 4) {
    if (at + 20 > p.length || (view.getUint16(at + 6) & 0x1fff) !== 0) return false;
    const protocol = view.getUint8(at + 9), l4 = at + ((view.getUint8(at) & 0x0f) << 2);
    if (l4 > p.length) return false;
    readIpv4(view, at, zone, protocol, t);
    return readProtocol(view, protocol, l4, p.length, t);
  }
  if (at + 40 > p.length) return false;
  const l4 = skipExtensions(p, at);
  if (l4 < 0) return false;
  readIpv6(view, at, zone, quotedProtocol, t);
  return readProtocol(view, quotedProtocol, l4, p.length, t);
}

let quotedProtocol = 0;

/**
 * Offset of the upper-layer header of the IPv6 packet quoted at `at`, or −1 behind a later fragment's header or when
 * the chain is cut (ipv6_skip_exthdr). Its protocol is left in `quotedProtocol`.
 */
function skipExtensions(p: Packet, at: number): number {
  const view = p.view;
  let next = view.getUint8(at + 6), offset = at + 40;
  for (;;) {
    switch (next) {
      case 0: // hop by hop, destination options, routing
      case 43:
      case 60:
        if (offset + 2 > p.length) return -1;
        next = view.getUint8(offset);
        offset += (view.getUint8(offset + 1) + 1) << 3;
        break;
      case 44: // fragment
        if (offset + 4 > p.length || (view.getUint16(offset + 2) & 0xfff8) !== 0) return -1;
        next = view.getUint8(offset);
        offset += 8;
        break;
      case 51: // authentication (RFC 4302, 2.2)
        if (offset + 2 > p.length) return -1;
        next = view.getUint8(offset);
        offset += (view.getUint8(offset + 1) + 2) << 2;
        break;
      case NO_NEXT_HEADER:
        return -1;
      default:
        quotedProtocol = next;
        return offset;
    }
  }
}
