/**
 * Redirects: a packet that leaves by the interface it came in by could have taken a shorter way, and its sender is told
 * so, while the packet goes on (ip_rt_send_redirect, ndisc_send_redirect). Linux does so on TUN devices as on any.
 *
 * In IPv4 when `send_redirects` is on and the sender is a neighbour on that interface; the better way is the route's next
 * hop, or the destination itself. The packet is quoted as it leaves. In IPv6 always, but from a link-local address
 * alone (RFC 4861, 8.2), so an interface without one never redirects; nor does a next hop that is not link-local. The
 * packet is quoted as it came.
 *
 * Who does not listen is told less and less often, and after nine times not at all until silence for 20 seconds (IPv4);
 * in IPv6 six times at once and then once a second, counted by the sender and by the destination.
 *
 * `make4` and `make6` leave the redirect ready in `out` or say no; the caller sends it like any packet of Weir's own.
 */
import { ICMPV6 } from "../netfilter.ts";
import { copyBytes } from "../packet/copy.ts";
import { ICMP_REDIRECT, ICMPV6_REDIRECT } from "../packet/icmp.ts";
import { IPV4_HEADER, ipv4HeaderLength } from "../packet/ipv4.ts";
import { hopLimit, IPV6_DESTINATION, IPV6_HEADER, IPV6_MIN_MTU } from "../packet/ipv6.ts";
import { IPOPT_END, IPOPT_LSRR, IPOPT_NOOP, IPOPT_SSRR } from "../packet/options.ts";
import type { Packet } from "../packet/packet.ts";
import type { Sysctl } from "../sysctl.ts";
import { isLinkLocal } from "./address_scope.ts";
import { UNICAST } from "./fib.ts";
import type { IcmpErrors } from "./icmp_error.ts";
import { beginIpv6, finishIcmp } from "./make.ts";
import { Routing } from "./route.ts";

/** Code: for this destination alone. */
const ICMP_REDIR_HOST = 1;
/** An IPv6 redirect: ICMPv6 header, target, destination; then the option with the packet (RFC 4861, 4.5 and 4.6.3). */
const TARGET = 8, MESSAGE = 40, OPTION_HEADER = 8, REDIRECTED_HEADER = 4;
/** Milliseconds between redirects for one sender, and for one destination. */
const LIMIT6 = 1000;

/** The redirects of one router. */
export class Redirects {
  readonly #routing: Routing;
  readonly #errors: IcmpErrors;
  readonly #send4: boolean;
  readonly #forward6: boolean;
  /** Scratch: an address of the packet at 0, the next hop at 4, Weir's address at 8. */
  readonly #words = new Int32Array(12);

  constructor(o: { routing: Routing; errors: IcmpErrors; sysctl: Sysctl }) {
    this.#routing = o.routing;
    this.#errors = o.errors;
    this.#send4 = o.sysctl.get("net.ipv4.conf.all.send_redirects") !== 0;
    this.#forward6 = o.sysctl.get("net.ipv6.conf.all.forwarding") !== 0;
  }

  /** For an IPv4 packet that turns back to its link, when it is known to go on. */
  make4(out: Packet, p: Packet): boolean {
    if (!this.#send4 || isSourceRouted(p)) return false;
    const words = this.#words, fib = this.#routing.fib;
    words.fill(0, 0, 4);
    Routing.readSource(p, words, 0);
    let route = fib.lookup(4, words, 0);
    if (route < 0 || fib.typeOf(route) !== UNICAST) return false;
    if (fib.interfaceOf(route) !== p.inInterface) route = fib.lookup(4, words, 0, p.inInterface);
    if (route < 0 || fib.typeOf(route) !== UNICAST || fib.hasVia(route)) return false;
    if (!this.#errors.targets.allowRedirect(words, 0)) return false;
    Routing.readDestination(p, words, 0);
    fib.nextHop(fib.lookup(4, words, 0), words, 0, words, 4);
    return this.#errors.make(out, p, ICMP_REDIRECT, ICMP_REDIR_HOST, words[4]);
  }

  /** For an IPv6 packet that turns back to its link, before anything but its hop limit is asked. */
  make6(out: Packet, p: Packet): boolean {
    if (!this.#forward6 || hopLimit(p) <= 1) return false;
    const words = this.#words, { fib, interfaces } = this.#routing, link = p.inInterface;
    const targets = this.#errors.targets;
    Routing.readDestination(p, words, 0);
    const route = fib.lookup(6, words, 0, isLinkLocal(words, 0) ? link : 0);
    const via = fib.hasVia(route);
    fib.nextHop(route, words, 0, words, 4);
    if (!targets.allow(words, 0, 6, LIMIT6)) return false;
    if (!interfaces.linkLocal(link, words, 8) || (via && !isLinkLocal(words, 4))) return false;
    Routing.readSource(p, words, 0);
    const back = fib.lookup(6, words, 0, isLinkLocal(words, 0) ? link : 0);
    if (back < 0 || fib.typeOf(back) !== UNICAST || fib.hasVia(back)) return false;
    if (!targets.allow(words, 0, 6, LIMIT6)) return false;

    const option = Math.min(IPV6_MIN_MTU - IPV6_HEADER - MESSAGE, p.length + OPTION_HEADER) & ~7;
    beginIpv6(out, IPV6_HEADER + MESSAGE + option, 0, 0, 255, ICMPV6, words, 8, words, 0);
    const at = out.l4, view = out.view;
    view.setUint16(at, ICMPV6_REDIRECT << 8);
    view.setInt32(at + 4, 0);
    for (let i = 0; i < 4; i++) view.setInt32(at + TARGET + 4 * i, words[4 + i]);
    copyBytes(p.view, IPV6_DESTINATION, out.view, at + TARGET + 16, 16);
    view.setUint16(at + MESSAGE, (REDIRECTED_HEADER << 8) | (option >> 3));
    view.setUint16(at + MESSAGE + 2, 0);
    view.setInt32(at + MESSAGE + 4, 0);
    copyBytes(p.view, 0, out.view, at + MESSAGE + OPTION_HEADER, option - OPTION_HEADER);
    finishIcmp(out);
    return true;
  }
}

/** The sender has chosen the way. Its options have been found to be well-formed. */
function isSourceRouted(p: Packet): boolean {
  const end = ipv4HeaderLength(p);
  for (let at = IPV4_HEADER; at < end;) {
    const kind = p.bytes[at];
    if (kind === IPOPT_END) return false;
    if (kind === IPOPT_LSRR || kind === IPOPT_SSRR) return true;
    at += kind === IPOPT_NOOP ? 1 : Math.max(p.bytes[at + 1], 2);
  }
  return false;
}
