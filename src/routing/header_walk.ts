/**
 * The IPv6 extension headers of a packet for Weir itself. A forwarder leaves them alone (RFC 8200, 4); the destination
 * has to judge them one by one, and to say which it does not know (ip6_protocol_deliver_rcu, exthdrs.c).
 */
import { ICMPV6, TCP, UDP, UDPLITE } from "../netfilter.ts";
import { ICMPV6_HDR_FIELD, ICMPV6_UNK_NEXTHDR, ICMPV6_UNK_OPTION } from "../packet/icmp.ts";
import { DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, IPV6_DESTINATION } from "../packet/ipv6.ts";
import { IPV6_HEADER, IPV6_NEXT_HEADER, NO_NEXT, ROUTING } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";

/** Heard, never answered. */
const PIM = 103;
/** Options that pad. */
const PAD1 = 0, PADN = 1;
/** net.ipv6.max_dst_opts_number, and the most padding in a row that aligns anything. */
const MAX_OPTIONS = 8, MAX_PADDING = 7;
/** Routing headers of segment routing and of RPL, which Linux drops unless told to take part. */
const SEGMENT_ROUTING = 4, RPL = 3;

export class HeaderWalk {
  /** Parameter problem to send when `walk` returned false; `pointer` is -1 if the packet is just dropped. */
  code = 0;
  pointer = -1;

  /** True if Linux would hand the packet to its upper layer, or let it rest there. */
  walk(p: Packet): boolean {
    this.pointer = -1;
    let fragmented = p.fragMaxSize !== 0;
    let next = p.view.getUint8(IPV6_NEXT_HEADER);
    let nextAt = IPV6_NEXT_HEADER;
    let at = IPV6_HEADER;
    for (;;) {
      switch (next) {
        case TCP:
        case UDP:
        case UDPLITE:
        case ICMPV6:
        case PIM:
        case NO_NEXT:
          return true;
        case HOP_BY_HOP:
          // Behind anything but the IPv6 header it is a header that Linux does not know.
          if (at !== IPV6_HEADER || p.fragAt === IPV6_HEADER) {
            return this.#problem(ICMPV6_UNK_NEXTHDR, nextAt);
          }
          break;
        case DESTINATION_OPTIONS:
          if (!this.#options(p, at)) return false;
          break;
        case ROUTING:
          if (!this.#routing(p, at)) return false;
          break;
        case FRAGMENT:
          // One is enough, also the one that the datagram was gathered by.
          if (fragmented || at + 8 > p.length) return this.#problem(ICMPV6_HDR_FIELD, at);
          fragmented = true;
          next = p.view.getUint8(at);
          nextAt = at;
          at += 8;
          continue;
        default:
          return this.#problem(ICMPV6_UNK_NEXTHDR, nextAt);
      }
      if (at + 8 > p.length) return false;
      next = p.view.getUint8(at);
      nextAt = at;
      at += (p.view.getUint8(at + 1) + 1) << 3;
      if (at > p.length) return false;
    }
  }

  #problem(code: number, pointer: number): boolean {
    this.code = code;
    this.pointer = pointer;
    return false;
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
