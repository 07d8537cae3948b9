/**
 * What a router does to packets that it forwards: hop limit, size, scope.
 *
 * `forward` runs between routing and the FORWARD hook (ip_forward, ip6_forward): the hop limit is checked, then the size
 * as far as the packet must not be fragmented, then the hop limit falls by one, so FORWARD rules see it lowered.
 * `finish` runs behind POSTROUTING (ip_finish_output): the packet fits, or is cut up, or is refused after all because
 * a rule has made it longer, or because its IPv6 destination is known to lie behind a narrow link.
 *
 * The size of an offloaded packet is that of its segments on the wire, not of the packet in hand.
 */
import { Reason, TCP } from "../netfilter.ts";
import { ICMP_DEST_UNREACH, ICMP_EXC_TTL, ICMP_FRAG_NEEDED, ICMP_TIME_EXCEEDED } from "../packet/icmp.ts";
import {
  ICMPV6_DEST_UNREACH,
  ICMPV6_NOT_NEIGHBOUR,
  ICMPV6_PKT_TOOBIG,
  ICMPV6_TIME_EXCEED,
} from "../packet/icmp.ts";
import { decreaseTtl, dontFragment, ttl } from "../packet/ipv4.ts";
import { decreaseHopLimit, hopLimit, IPV6_MIN_MTU, IPV6_SOURCE } from "../packet/ipv6.ts";
import { GSO_NONE, type Packet } from "../packet/packet.ts";
import { tcpHeaderLength } from "../packet/tcp.ts";
import { UDP_HEADER } from "../packet/udp.ts";
import type { Sysctl } from "../sysctl.ts";
import type { PathMtus } from "./path_mtu.ts";

/** What is to be done with the packet. */
export type ForwardResult = 0 | 1 | 2 | 3 | 4;
/** It ends here; `p.reason` says why. */
export const FORWARD_DROP = 0;
/** It goes on. */
export const FORWARD_OK = 1;
/** It ends here and is answered with the ICMP error in `icmpType`, `icmpCode`, `icmpInfo`. */
export const FORWARD_ERROR = 2;
/** It is to be cut into fragments of at most `fragmentMtu` bytes. From `finish` only. */
export const FORWARD_FRAGMENT = 3;
/** It is to be cut into its segments, and each of them goes through `finish` again. From `finish` only. */
export const FORWARD_SEGMENT = 4;

/** Bytes of the largest of the wire packets that the packet stands for (skb_gso_network_seglen). */
export function wireLength(p: Packet): number {
  if (p.gsoType === GSO_NONE) return p.length;
  return p.l4 + (p.protocol === TCP ? tcpHeaderLength(p) : UDP_HEADER) + p.gsoSize;
}

/** The forwarding of one router. */
export class Forwarder {
  /** The ICMP error that FORWARD_ERROR asks for: type, code, and the MTU where it names one. */
  icmpType = 0;
  icmpCode = 0;
  icmpInfo = 0;
  /** Size limit of the fragments that FORWARD_FRAGMENT asks for. */
  fragmentMtu = 0;
  readonly #pathMtus: PathMtus;
  readonly #forward6: boolean;

  constructor(options: { pathMtus: PathMtus; sysctl: Sysctl }) {
    this.#pathMtus = options.pathMtus;
    this.#forward6 = options.sysctl.get("net.ipv6.conf.all.forwarding") !== 0;
  }

  /** Before the FORWARD hook: FORWARD_OK, FORWARD_ERROR or FORWARD_DROP. The packet is routed. */
  forward(p: Packet): ForwardResult {
    return p.family === 4 ? this.#forward4(p) : this.#forwardIpv6(p);
  }

  #forward4(p: Packet): ForwardResult {
    if (ttl(p) <= 1) return this.#error(p, Reason["ttl-exceeded"], ICMP_TIME_EXCEEDED, ICMP_EXC_TTL, 0);
    const mtu = this.#pathMtus.forwarding(p);
    if (p.length > mtu && dontFragment(p) && this.#exceeds(p, mtu)) {
      return this.#error(p, Reason["packet-too-big"], ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, mtu);
    }
    decreaseTtl(p);
    return FORWARD_OK;
  }

  /**
   * A datagram gathered from fragments is no larger than they were, and goes on in fragments; but one whose fragments
   * had DF set is refused when they do not fit (ip_exceeds_mtu, ip6_pkt_too_big).
   */
  #exceeds(p: Packet, mtu: number): boolean {
    if (p.fragMaxSize !== 0) return p.fragMaxSize > mtu;
    return wireLength(p) > mtu;
  }

  #forwardIpv6(p: Packet): ForwardResult {
    if (!this.#forward6) return this.#drop(p, Reason["not-forwardable"]);
    if (hopLimit(p) <= 1) {
      return this.#error(p, Reason["ttl-exceeded"], ICMPV6_TIME_EXCEED, ICMP_EXC_TTL, 0);
    }
    // A packet that turns back to its link keeps its source's scope; any other must have one that reaches beyond.
    if (p.inInterface !== p.outInterface) {
      const view = p.view;
      const head = view.getInt32(IPV6_SOURCE);
      if (head >>> 24 === 0xff) return this.#drop(p, Reason["martian-source"]);
      if (head === 0 && view.getInt32(IPV6_SOURCE + 4) === 0 && view.getInt32(IPV6_SOURCE + 8) === 0) {
        const last = view.getInt32(IPV6_SOURCE + 12);
        if (last === 0 || last === 1) return this.#drop(p, Reason["martian-source"]);
      }
      if ((head & 0xffc00000) === (0xfe800000 | 0)) {
        return this.#error(p, Reason["link-local"], ICMPV6_DEST_UNREACH, ICMPV6_NOT_NEIGHBOUR, 0);
      }
    }
    const mtu = this.#pathMtus.forwarding(p);
    if (p.length > mtu && this.#exceeds(p, mtu)) {
      return this.#error(p, Reason["packet-too-big"], ICMPV6_PKT_TOOBIG, 0, mtu);
    }
    decreaseHopLimit(p);
    return FORWARD_OK;
  }

  /**
   * Behind POSTROUTING: FORWARD_OK, FORWARD_FRAGMENT, FORWARD_SEGMENT or FORWARD_ERROR. `own` says that Weir made the
   * packet itself, and so may fragment it in IPv6 too.
   */
  finish(p: Packet, own = false): ForwardResult {
    const mtu = own || p.family === 6 ? this.#pathMtus.of(p) : this.#pathMtus.forwarding(p);
    if (p.gsoType !== GSO_NONE) return wireLength(p) <= mtu ? FORWARD_OK : FORWARD_SEGMENT;
    const gathered = p.fragMaxSize;
    if (p.family === 4) {
      // What came in fragments leaves in fragments, even if it would fit whole.
      if (p.length <= mtu && gathered === 0) return FORWARD_OK;
      if (dontFragment(p) && (gathered === 0 || gathered > mtu)) {
        return this.#error(p, Reason["packet-too-big"], ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, mtu);
      }
      this.fragmentMtu = gathered !== 0 && gathered < mtu ? gathered : mtu;
      return FORWARD_FRAGMENT;
    }
    if (p.length <= mtu && (gathered === 0 || p.length <= gathered)) return FORWARD_OK;
    if ((!own && gathered === 0 && p.length > mtu) || gathered > mtu) {
      return this.#error(p, Reason["packet-too-big"], ICMPV6_PKT_TOOBIG, 0, mtu);
    }
    this.fragmentMtu = gathered === 0 ? mtu : Math.max(gathered, IPV6_MIN_MTU);
    return FORWARD_FRAGMENT;
  }

  #drop(p: Packet, reason: number): ForwardResult {
    p.drop(reason);
    return FORWARD_DROP;
  }

  #error(p: Packet, reason: number, type: number, code: number, info: number): ForwardResult {
    p.drop(reason);
    this.icmpType = type;
    this.icmpCode = code;
    this.icmpInfo = info;
    return FORWARD_ERROR;
  }
}
