/**
 * The IPv6 extension headers of a packet for Weir itself. A forwarder leaves them alone (RFC 8200, 4); the destination
 * has to judge them one by one, and to say which it does not know (ip6_protocol_deliver_rcu, exthdrs.c).
 */
import { ICMPV6, TCP, UDP, UDPLITE } from "../netfilter.ts";
import { ICMPV6_HDR_FIELD, ICMPV6_UNK_NEXTHDR, ICMPV6_UNK_OPTION } from "../packet/icmp.ts";
import {
  DESTINATION_OPTIONS,
  FRAGMENT,
  FRAGMENT_HEADER,
  HOP_BY_HOP,
  IPV6_DESTINATION,
} from "../packet/ipv6.ts";
import { IPV6_HEADER, IPV6_NEXT_HEADER, NO_NEXT, ROUTING } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import { isPiece } from "../packet/parse.ts";

/** Heard, never answered. */
const PIM = 103;
/** Options that pad. */
const PAD1 = 0, PADN = 1;
/** net.ipv6.max_dst_opts_number, and the most padding in a row that aligns anything. */
const MAX_OPTIONS = 8, MAX_PADDING = 7;
/** Routing headers of segment routing and of RPL, which Linux drops unless told to take part. */
const SEGMENT_ROUTING = 4, RPL = 3;

/** What `read` found: the upper layer, a piece of a datagram that is to be gathered, or something to refuse. */
export const ARRIVED = 0, PIECE = 1, REFUSED = 2;

export class HeaderWalk {
  /** Parameter problem to send for what is REFUSED; `pointer` is -1 if the packet is just dropped. */
  code = 0;
  pointer = -1;
  /** Number of the header to read next, where that number stands, and where the header does. */
  #next = 0;
  #nextAt = 0;
  #at = 0;
  #fragmented = false;

  /** Reads a packet from its first header on, to the upper layer or to a fragment header. */
  begin(p: Packet): number {
    this.pointer = -1;
    this.#next = p.view.getUint8(IPV6_NEXT_HEADER);
    this.#nextAt = IPV6_NEXT_HEADER;
    this.#at = IPV6_HEADER;
    this.#fragmented = p.fragMaxSize !== 0;
    if (!this.#fragmented || p.fragAt === IPV6_HEADER) return this.#read(p);
    // Linux has read hop-by-hop options before it gathers for conntrack, and comes back to where the fragment header
    // stood. What is between it takes for read, and its number for that of what is there now.
    if (this.#next === HOP_BY_HOP) this.#next = p.view.getUint8(this.#nextAt = IPV6_HEADER);
    this.#at = p.fragAt;
    const found = this.#read(p);
    return found === ARRIVED && this.#at !== p.l4 ? REFUSED : found;
  }

  /** Goes on where the fragment header stood, when the PIECE has become the last of its datagram. */
  resume(p: Packet): number {
    this.#next = p.view.getUint8(this.#nextAt);
    this.#fragmented = true;
    return this.#read(p);
  }

  #read(p: Packet): number {
    for (;;) {
      const at = this.#at;
      switch (this.#next) {
        case TCP:
        case UDP:
        case UDPLITE:
        case ICMPV6:
        case PIM:
        case NO_NEXT:
          return ARRIVED;
        case HOP_BY_HOP:
          // Behind anything but the IPv6 header it is a header that Linux does not know.
          if (at !== IPV6_HEADER || this.#fragmented) return this.#refuse(ICMPV6_UNK_NEXTHDR, this.#nextAt);
          break;
        case DESTINATION_OPTIONS:
          if (!this.#options(p, at)) return REFUSED;
          break;
        case ROUTING:
          if (!this.#routing(p, at)) return REFUSED;
          break;
        case FRAGMENT:
          // One is enough, also the one that the datagram was gathered by.
          if (this.#fragmented || at + FRAGMENT_HEADER > p.length) return this.#refuse(ICMPV6_HDR_FIELD, at);
          if (isPiece(p)) return PIECE;
          this.#fragmented = true;
          this.#next = p.view.getUint8(at);
          this.#nextAt = at;
          this.#at += FRAGMENT_HEADER;
          continue;
        default:
          return this.#refuse(ICMPV6_UNK_NEXTHDR, this.#nextAt);
      }
      if (at + 8 > p.length) return REFUSED;
      this.#next = p.view.getUint8(at);
      this.#nextAt = at;
      this.#at += (p.view.getUint8(at + 1) + 1) << 3;
      if (this.#at > p.length) return REFUSED;
    }
  }

  #refuse(code: number, pointer: number): number {
    this.code = code;
    this.pointer = pointer;
    return REFUSED;
  }

  /** Refused, and false for who asks whether to go on. */
  #problem(code: number, pointer: number): boolean {
    return this.#refuse(code, pointer) !== REFUSED;
  }

  /** A routing header that still names stops is one too many: Linux takes no part in source routes (RFC 5095). */
  #routing(p: Packet, at: number): boolean {
    if (at + 8 > p.length || at + ((p.view.getUint8(at + 1) + 1) << 3) > p.length) return false;
    const type = p.view.getUint8(at + 2);
    if (type === SEGMENT_ROUTING || type === RPL || p.view.getUint8(IPV6_DESTINATION) === 0xff) return false;
    return p.view.getUint8(at + 3) === 0 || this.#problem(ICMPV6_HDR_FIELD, at + 2);
  }

  /** RFC 8200, 4.2: what to do about an option that is not known stands in its two highest bits. */
  #options(p: Packet, from: number): boolean {
    const bytes = p.bytes;
    if (from + 8 > p.length) return false;
    const end = from + ((bytes[from + 1] + 1) << 3);
    if (end > p.length) return false;
    let options = 0;
    let padding = 0;
    for (let at = from + 2; at < end;) {
      const type = bytes[at];
      if (type === PAD1) {
        if (++padding > MAX_PADDING) return false;
        at++;
        continue;
      }
      if (end - at < 2) return false;
      const length = bytes[at + 1] + 2;
      if (length > end - at) return false;
      if (type === PADN) {
        padding += length;
        if (padding > MAX_PADDING) return false;
        for (let i = at + 2; i < at + length; i++) if (bytes[i] !== 0) return false;
      } else {
        padding = 0;
        if (++options > MAX_OPTIONS) return false;
        const action = type >> 6;
        if (action === 1) return false;
        if (action === 2 || (action === 3 && bytes[IPV6_DESTINATION] !== 0xff)) {
          return this.#problem(ICMPV6_UNK_OPTION, at);
        }
        if (action === 3) return false;
      }
      at += length;
    }
    return true;
  }
}
