/**
 * Where a packet goes: to Weir itself, on to another interface, nowhere.
 *
 * `input` decides for packets read from a device, behind PREROUTING (ip_route_input, ip6_route_input); `output` for
 * packets that Weir or a program behind the host device makes. Weir's own addresses are asked first, as Linux asks its
 * local table before the main one.
 *
 * Martians, as Linux has them and as its packets show: IPv4 sources 0.0.0.0, 127/8, 224/4, 255.255.255.255 and Weir's
 * own addresses, destinations 0.0.0.0 and 127/8. The rest of 0/8 and all of 240/4 are ordinary addresses. IPv6
 * refuses its martians in `parse`; a source of Weir's own is let through there.
 */
import { type Family, Reason } from "../netfilter.ts";
import { readAddress } from "../packet/address.ts";
import * as addressModule from "../packet/address.ts";
import * as icmpModule from "../packet/icmp.ts";
import * as ipv4Module from "../packet/ipv4.ts";
import * as ipv6Module from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import type { Sysctl } from "../sysctl.ts";
import { isLinkLocal, isMulticast6 } from "./address_scope.ts";
import type { Fib } from "./fib.ts";
import * as fibModule from "./fib.ts";
import type { Interfaces } from "./interfaces.ts";
import * as interfacesModule from "./interfaces.ts";
import { RouteCache } from "./route_cache.ts";

// Constants of this module, not imports: each new flow reads them (CONTRIBUTING.md).
const { ADDRESS_WORDS } = addressModule;
const {
  ICMP_DEST_UNREACH,
  ICMP_HOST_UNREACH,
  ICMP_NET_UNREACH,
  ICMP_PKT_FILTERED,
  ICMPV6_ADM_PROHIBITED,
  ICMPV6_DEST_UNREACH,
  ICMPV6_NOROUTE,
} = icmpModule;
const { IPV4_DESTINATION, IPV4_SOURCE } = ipv4Module;
const { IPV6_DESTINATION, IPV6_SOURCE } = ipv6Module;
const { BLACKHOLE, PROHIBIT, UNICAST, UNREACHABLE } = fibModule;
const { OWN, SUBNET_ANYCAST, SUBNET_BROADCAST } = interfacesModule;

/** A decision: the packet ends (its reason says why), or is Weir's own, goes on, or is answered with an ICMP error. */
export type Route = 0 | 1 | 2 | 3;
export const ROUTE_DROP = 0, ROUTE_LOCAL = 1, ROUTE_FORWARD = 2, ROUTE_ERROR = 3;

const MARTIAN_SOURCE = Reason["martian-source"];
const MARTIAN_DESTINATION = Reason["martian-destination"];
const REVERSE_PATH = Reason["reverse-path"];
const NO_ROUTE = Reason["no-route"];
const UNREACHABLE_REASON = Reason["address-unreachable"];
const NOT_FORWARDABLE = Reason["not-forwardable"];

/** 127.0.0.1. */
const LOOPBACK = 0x7f000001;
/** 224.0.0.1, the one IPv4 group that every host is in. */
const ALL_HOSTS = 0xe0000001 | 0;

/** Routing decisions of one router. */
export class Routing {
  readonly interfaces: Interfaces;
  readonly fib: Fib;
  /** The ICMP error that ROUTE_ERROR asks for, in the packet's own family. */
  icmpType = 0;
  icmpCode = 0;
  readonly #forward4: boolean;
  readonly #forward6: boolean;
  readonly #rpFilter: number;
  readonly #sendRedirects: boolean;
  readonly #words = new Int32Array(ADDRESS_WORDS);
  /** Two, so that a packet's two addresses do not drive each other out. */
  readonly #destinations: RouteCache;
  readonly #sources: RouteCache;

  constructor(options: { interfaces: Interfaces; fib: Fib; sysctl: Sysctl }) {
    this.interfaces = options.interfaces;
    this.fib = options.fib;
    this.#destinations = new RouteCache(options.interfaces, options.fib);
    this.#sources = new RouteCache(options.interfaces, options.fib);
    this.#forward4 = options.sysctl.get("net.ipv4.ip_forward") !== 0;
    this.#forward6 = options.sysctl.get("net.ipv6.conf.all.forwarding") !== 0;
    this.#rpFilter = options.sysctl.get("net.ipv4.conf.all.rp_filter");
    this.#sendRedirects = options.sysctl.get("net.ipv4.conf.all.send_redirects") !== 0;
  }

  /** Decides for a received packet. Sets `p.outInterface`, 0 unless it is forwarded. */
  input(p: Packet): Route {
    p.outInterface = 0;
    return p.family === 4 ? this.#input4(p) : this.#input6(p);
  }

  #input4(p: Packet): Route {
    const source = p.view.getInt32(IPV4_SOURCE);
    const destination = p.view.getInt32(IPV4_DESTINATION);
    if ((destination & 0xf0000000) === (0xe0000000 | 0)) return this.#multicast4(p, source, destination);
    if ((source & 0xf0000000) === (0xe0000000 | 0) || source === -1) return drop(p, MARTIAN_SOURCE);
    if (destination === -1 || (source === 0 && destination === 0)) return this.#broadcast4(p, source);
    if (source === 0) return drop(p, MARTIAN_SOURCE);
    if (destination === 0 || destination >>> 24 === 127) return drop(p, MARTIAN_DESTINATION);
    if (source >>> 24 === 127) return drop(p, MARTIAN_SOURCE);
    const destinations = this.#destinations, found = destinations.find4(destination);
    const kind = destinations.kind(found);
    if (kind === OWN) {
      const reason = this.#validateSource(p, source, 0);
      return reason === 0 ? ROUTE_LOCAL : drop(p, reason);
    }
    if (kind === SUBNET_BROADCAST) return this.#broadcast4(p, source);
    const route = destinations.route(found);
    // A host that does not forward drops strangers' packets without a word (ip_error).
    if (!this.#forward4) return drop(p, NOT_FORWARDABLE);
    if (route < 0) return this.#error(p, NO_ROUTE, ICMP_DEST_UNREACH, ICMP_NET_UNREACH);
    switch (this.fib.typeOf(route)) {
      case UNREACHABLE:
        return this.#error(p, UNREACHABLE_REASON, ICMP_DEST_UNREACH, ICMP_HOST_UNREACH);
      case PROHIBIT:
        return this.#error(p, UNREACHABLE_REASON, ICMP_DEST_UNREACH, ICMP_PKT_FILTERED);
      case BLACKHOLE:
        return drop(p, NO_ROUTE);
    }
    const out = this.fib.interfaceOf(route);
    const reason = this.#validateSource(p, source, out);
    if (reason !== 0) return drop(p, reason);
    p.outInterface = out;
    return ROUTE_FORWARD;
  }

  /** Limited and subnet broadcasts are Weir's own to receive, and never forwarded. */
  #broadcast4(p: Packet, source: number): Route {
    const reason = source === 0 ? 0 : this.#validateSource(p, source, 0);
    return reason === 0 ? ROUTE_LOCAL : drop(p, reason);
  }

  /** ip_route_input_mc: groups that Weir is in come to it, others end here. */
  #multicast4(p: Packet, source: number, destination: number): Route {
    if (destination !== ALL_HOSTS) return drop(p, NOT_FORWARDABLE);
    if ((source & 0xf0000000) === (0xe0000000 | 0) || source === -1 || source >>> 24 === 127) {
      return drop(p, MARTIAN_SOURCE);
    }
    const reason = source === 0 ? 0 : this.#validateSource(p, source, 0);
    return reason === 0 ? ROUTE_LOCAL : drop(p, reason);
  }

  /**
   * fib_validate_source: 0, or why the source cannot have come in there. Without reverse path filter only Weir's own
   * addresses are refused, unless the packet turns back to its link and redirects are on: then Linux looks closer.
   */
  #validateSource(p: Packet, source: number, out: number): number {
    const sources = this.#sources, found = sources.find4(source), kind = sources.kind(found);
    // 127.0.0.1 is lo's, so an own address too; the rest of 127/8 is only a martian to unicast (#input4).
    if (kind === OWN || source === LOOPBACK) return MARTIAN_SOURCE;
    if (this.#rpFilter === 0 && (out !== p.inInterface || !this.#sendRedirects)) return 0;
    if (kind === SUBNET_BROADCAST) return MARTIAN_SOURCE;
    const route = sources.route(found);
    if (route < 0 || this.fib.typeOf(route) !== UNICAST) return this.#rpFilter === 0 ? 0 : REVERSE_PATH;
    if (this.fib.interfaceOf(route) === p.inInterface) return 0;
    return this.#rpFilter === 1 ? REVERSE_PATH : 0;
  }

  #input6(p: Packet): Route {
    const words = this.#words;
    readAddress(p.view, 6, IPV6_DESTINATION, words);
    if (isMulticast6(words, 0)) return this.#isJoined6(words) ? ROUTE_LOCAL : drop(p, NOT_FORWARDABLE);
    const destinations = this.#destinations, found = destinations.find6(words, p.inInterface);
    const kind = destinations.kind(found);
    if (kind === OWN || kind === SUBNET_ANYCAST) return ROUTE_LOCAL;
    const route = destinations.route(found);
    if (route < 0) return this.#error(p, NO_ROUTE, ICMPV6_DEST_UNREACH, ICMPV6_NOROUTE);
    switch (this.fib.typeOf(route)) {
      case UNREACHABLE:
        // Unlike in IPv4, Linux tells an unreachable route and a missing one apart in its counters only.
        return this.#error(p, UNREACHABLE_REASON, ICMPV6_DEST_UNREACH, ICMPV6_NOROUTE);
      case PROHIBIT:
        return this.#error(p, UNREACHABLE_REASON, ICMPV6_DEST_UNREACH, ICMPV6_ADM_PROHIBITED);
      case BLACKHOLE:
        return drop(p, NO_ROUTE);
    }
    p.outInterface = this.fib.interfaceOf(route);
    return ROUTE_FORWARD;
  }

  /** The groups of a router without neighbour discovery: all nodes, all routers of the link and of the site. */
  #isJoined6(words: Int32Array): boolean {
    if (words[1] !== 0 || words[2] !== 0) return false;
    const last = words[3];
    if (words[0] === (0xff020000 | 0)) return last === 1 || (last === 2 && this.#forward6);
    return words[0] === (0xff050000 | 0) && last === 2 && this.#forward6;
  }

  #error(p: Packet, reason: number, type: number, code: number): Route {
    p.drop(reason);
    this.icmpType = type;
    this.icmpCode = code;
    return ROUTE_ERROR;
  }

  /**
   * Decides for a packet that was made here, and sets `p.outInterface`: ROUTE_LOCAL with interface 0 if it is for Weir
   * itself, ROUTE_FORWARD if it leaves, ROUTE_DROP without a route. `link` is the interface whose link-local and
   * multicast destinations are meant.
   */
  output(p: Packet, link = 0): Route {
    const words = this.#words;
    const family = p.family;
    readAddress(p.view, family, family === 4 ? IPV4_DESTINATION : IPV6_DESTINATION, words);
    p.outInterface = 0;
    const interfaces = this.interfaces;
    let toMany = false;
    if (interfaces.isLocal(words, 0, family, link)) return ROUTE_LOCAL;
    if (family === 4) {
      if (words[0] === 0) return drop(p, NO_ROUTE);
      const subnet = interfaces.broadcastInterface(words[0]);
      if (subnet !== 0) {
        p.outInterface = subnet;
        return ROUTE_FORWARD;
      }
      toMany = (words[0] & 0xf0000000) === (0xe0000000 | 0) || words[0] === -1;
    } else if (isMulticast6(words, 0)) {
      toMany = true;
    } else if (interfaces.isAnycast(words, 0, link)) {
      return ROUTE_LOCAL;
    }
    if (link !== 0 && toMany) {
      p.outInterface = link;
      return interfaces.isUp(link) ? ROUTE_FORWARD : drop(p, NO_ROUTE);
    }
    const narrow = family === 6 && isLinkLocal(words, 0);
    const route = this.fib.lookup(family, words, 0, narrow ? link : 0);
    if (route < 0 || this.fib.typeOf(route) !== UNICAST) return drop(p, NO_ROUTE);
    p.outInterface = this.fib.interfaceOf(route);
    return ROUTE_FORWARD;
  }

  /**
   * Writes the source of a packet that Weir makes for `to`, where nothing else gives it one. False without a route or
   * an address. `link` as in `output`.
   */
  selectSource(
    family: Family,
    to: Int32Array,
    toAt: number,
    link: number,
    out: Int32Array,
    outAt: number,
  ): boolean {
    if (family === 4) {
      const subnet = this.interfaces.broadcastInterface(to[toAt]);
      if (subnet !== 0) return this.interfaces.selectSource(4, subnet, to, toAt, out, outAt);
    }
    const narrow = family === 6 && (isLinkLocal(to, toAt) || isMulticast6(to, toAt));
    const route = this.fib.lookup(family, to, toAt, narrow ? link : 0);
    if (route < 0 || this.fib.typeOf(route) !== UNICAST) return false;
    return this.fib.source(family, route, to, toAt, out, outAt);
  }

  /** Weir's IPv4 address as the packet's sender sees it (fib_compute_spec_dst): what options record on receipt. */
  receiverAddress(p: Packet): number {
    const words = this.#words;
    words[0] = p.view.getInt32(IPV4_DESTINATION);
    if (this.interfaces.isLocal(words, 0, 4)) return words[0];
    words[0] = p.view.getInt32(IPV4_SOURCE);
    if (words[0] !== 0 && this.selectSource(4, words, 0, 0, words, 0)) return words[0];
    return this.interfaces.selectSource4(p.inInterface, p.view.getInt32(IPV4_SOURCE));
  }

  /** Weir's IPv4 address as the next hop sees it (ip_rt_get_source): what record-route gets when the packet leaves. */
  senderAddress(p: Packet): number {
    const words = this.#words;
    words[0] = p.view.getInt32(IPV4_DESTINATION);
    if (this.selectSource(4, words, 0, 0, words, 0)) return words[0];
    return this.interfaces.selectSource4(p.outInterface, p.view.getInt32(IPV4_DESTINATION));
  }

  /** Reads the packet's source into `words`. */
  static readSource(p: Packet, words: Int32Array, at: number): void {
    readAddress(p.view, p.family, p.family === 4 ? IPV4_SOURCE : IPV6_SOURCE, words, at);
  }

  /** Reads the packet's destination into `words`. */
  static readDestination(p: Packet, words: Int32Array, at: number): void {
    readAddress(p.view, p.family, p.family === 4 ? IPV4_DESTINATION : IPV6_DESTINATION, words, at);
  }
}

function drop(p: Packet, reason: number): Route {
  p.drop(reason);
  return ROUTE_DROP;
}
