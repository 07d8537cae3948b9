/**
 * Messages that a packet was too big for its way, as Linux believes them (icmp_err, icmpv6_err): what they say goes to
 * `PathMtus`.
 *
 * Believed is what quotes a packet that a kernel without open sockets can have sent: in IPv4 an echo reply from an
 * address of Weir's own, in IPv6 any ICMPv6 message. Linux asks for no more there, not even for the quoted source; who
 * forges such a message lets Weir cut or refuse long packets to the destination that it names. Quotes of TCP and UDP
 * belong to sockets, of which Weir has none. The error itself is sound, and for Weir.
 */
import { ICMP, ICMPV6 } from "../netfilter.ts";
import { readAddress } from "../packet/address.ts";
import { ICMP_DEST_UNREACH, ICMP_ECHOREPLY, ICMP_FRAG_NEEDED, ICMP_HEADER } from "../packet/icmp.ts";
import { icmpCode, icmpType, ICMPV6_PKT_TOOBIG } from "../packet/icmp.ts";
import { IPV4_DESTINATION, IPV4_HEADER, IPV4_PROTOCOL, IPV4_SOURCE } from "../packet/ipv4.ts";
import {
  extensionLength,
  FRAGMENT,
  IPV6_DESTINATION,
  IPV6_HEADER,
  IPV6_NEXT_HEADER,
} from "../packet/ipv6.ts";
import { IPV6_OFFSET, IPV6_SOURCE, isExtensionHeader, NO_NEXT } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import { isLinkLocal, isMulticast6 } from "./address_scope.ts";
import { UNICAST } from "./fib.ts";
import type { PathMtus } from "./path_mtu.ts";
import type { Routing } from "./route.ts";

/** Bytes of the quoted upper layer that have to be there. */
const QUOTED = 8;

/** Who hears them for one router. */
export class TooBig {
  readonly #routing: Routing;
  readonly #pathMtus: PathMtus;
  /** Scratch: the quoted packet's source at 0, its destination at 4. */
  readonly #words = new Int32Array(8);

  constructor(o: { routing: Routing; pathMtus: PathMtus }) {
    this.#routing = o.routing;
    this.#pathMtus = o.pathMtus;
  }

  /** Takes an ICMP or ICMPv6 message with right checksum for an address of Weir's own. */
  hear(p: Packet): void {
    if (p.family === 6) {
      if (icmpType(p) === ICMPV6_PKT_TOOBIG) this.#hear6(p, p.l4 + ICMP_HEADER);
    } else if (icmpType(p) === ICMP_DEST_UNREACH && icmpCode(p) === ICMP_FRAG_NEEDED) {
      this.#hear4(p, p.l4 + ICMP_HEADER);
    }
  }

  #hear4(p: Packet, quote: number): void {
    const { view } = p, words = this.#words, { interfaces, fib } = this.#routing;
    if (quote + IPV4_HEADER > p.length) return;
    const header = (view.getUint8(quote) & 15) << 2;
    if (header < IPV4_HEADER || quote + header + QUOTED > p.length) return;
    if (view.getUint8(quote + IPV4_PROTOCOL) !== ICMP) return;
    if (view.getUint8(quote + header) !== ICMP_ECHOREPLY) return;
    readAddress(view, 4, quote + IPV4_SOURCE, words, 0);
    readAddress(view, 4, quote + IPV4_DESTINATION, words, 4);
    if (words[0] !== 0 && !interfaces.isLocal(words, 0, 4) || interfaces.isLocal(words, 4, 4)) return;
    this.#learn(p, fib.lookup(4, words, 4), view.getUint16(p.l4 + 6));
  }

  #hear6(p: Packet, quote: number): void {
    const words = this.#words, { interfaces, fib } = this.#routing;
    if (quote + IPV6_HEADER > p.length || !quotesIcmp6(p, quote)) return;
    readAddress(p.view, 6, quote + IPV6_SOURCE, words, 0);
    readAddress(p.view, 6, quote + IPV6_DESTINATION, words, 4);
    // Packets to the link, or from nowhere, are those of the link that the message comes from (rt6_need_strict).
    const anySource = words[0] === 0 && words[1] === 0 && words[2] === 0 && words[3] === 0;
    const iface = anySource || isLinkLocal(words, 4) || isMulticast6(words, 4) ? p.inInterface : 0;
    if (interfaces.isLocal(words, 4, 6, iface) || interfaces.isAnycast(words, 4, iface)) return;
    const mtu = p.view.getUint32(p.l4 + 4);
    this.#learn(p, fib.lookup(6, words, 4, iface), mtu);
  }

  #learn(p: Packet, route: number, mtu: number): void {
    const { fib } = this.#routing;
    if (route < 0 || fib.typeOf(route) !== UNICAST) return;
    this.#pathMtus.learn(p.family, this.#words, 4, fib.interfaceOf(route), mtu);
  }
}

/** True if the packet quoted at `quote` is an ICMPv6 message with its header, behind whatever extension headers. */
function quotesIcmp6(p: Packet, quote: number): boolean {
  const { view } = p;
  let next = view.getUint8(quote + IPV6_NEXT_HEADER), at = quote + IPV6_HEADER;
  while (isExtensionHeader(next)) {
    if (next === NO_NEXT || at + 2 > p.length) return false;
    if (next === FRAGMENT && (at + 4 > p.length || (view.getUint16(at + 2) & IPV6_OFFSET) !== 0)) {
      return false;
    }
    const length = extensionLength(view, at, next);
    next = view.getUint8(at);
    at += length;
  }
  return next === ICMPV6 && at + QUOTED <= p.length;
}
