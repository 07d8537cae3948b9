/**
 * ICMP and ICMPv6 errors: when one may be sent, from which address, how much it quotes (icmp_send, icmp6_send).
 *
 * `make` leaves the error ready in `out` or says no. It is then a packet of Weir's own, which the caller takes through
 * OUTPUT and POSTROUTING; `out.outInterface` is set, 0 if the error is for Weir itself (or a program behind the host
 * device). Conntrack is not known here: the caller attaches the flow.
 *
 * As Linux answers, so not here: broadcasts and multicasts (IPv6: but for Packet Too Big and unknown options), sources
 * that are no one host, ICMP errors, later fragments in IPv4 (in IPv6 Linux answers those). The IPv4 source is the
 * packet's own destination if that is Weir's, else what the route back to the sender gives; in IPv6 it is an address of
 * the interface that the packet came in by. IPv4 errors fill 576 bytes and keep the packet's TOS bits under precedence
 * 6; IPv6 errors fill 1280 bytes with traffic class 0.
 */
import { agreed, type Arena, HeapArena } from "../arena.ts";
import type { Clock, Random } from "../clock.ts";
import { ICMP, ICMPV6 } from "../netfilter.ts";
import { copyBytes } from "../packet/copy.ts";
import { ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, ICMPV6_PARAMPROB, ICMPV6_PKT_TOOBIG } from "../packet/icmp.ts";
import { ICMPV6_UNK_OPTION } from "../packet/icmp.ts";
import { IPV4_DESTINATION, IPV4_SOURCE, tos } from "../packet/ipv4.ts";
import { IPV6_HEADER, IPV6_MIN_MTU } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import type { Sysctl } from "../sysctl.ts";
import { isLinkLocal, isMulticast6 } from "./address_scope.ts";
import type { Ipv4Options } from "./ipv4_options.ts";
import { beginIpv4, beginIpv6, finishIcmp, finishIpv4, flowLabel } from "./make.ts";
import type { PathMtus } from "./path_mtu.ts";
import { GlobalLimit, TargetLimit } from "./rate_limit.ts";
import { ROUTE_DROP, ROUTE_LOCAL, Routing } from "./route.ts";

const ICMP_HEADER = 8;
/** Most of an IPv4 error (RFC 1812, 4.3.2.3). */
const IPV4_ERROR_LENGTH = 576;
/** TOS: what is kept of the packet's, and internetwork control precedence (RFC 1812, 4.3.2.5). */
const TOS_MASK = 0x1e, PREC_INTERNETCONTROL = 0xc0;
/** 192.0.0.8, the source of a router without addresses (RFC 7600). */
const DUMMY_ADDRESS = 0xc0000008 | 0;
/** ICMP types 0 … 18 that are not errors to Linux: echo, timestamp, information and address mask, and their replies. */
const INFORMATIONAL = (1 << 0) | (1 << 8) | (0x3f << 13);
const LAST_ICMP_TYPE = 18;

/** What the parts that make packets share. */
export interface IcmpOptions {
  readonly routing: Routing;
  readonly pathMtus: PathMtus;
  readonly options: Ipv4Options;
  readonly sysctl: Sysctl;
  readonly clock: Clock;
  readonly random: Random;
  /** Where limits and counters stand. */
  readonly arena?: Arena;
}

/** The ICMP errors of one router. */
export class IcmpErrors {
  readonly #routing: Routing;
  readonly #pathMtus: PathMtus;
  readonly #options: Ipv4Options;
  /** Limits by target, which redirects come under too. */
  readonly targets: TargetLimit;
  readonly #global: GlobalLimit;
  readonly #limit4: number;
  readonly #mask4: number;
  readonly #limit6: number;
  readonly #ttl: number;
  readonly #labelSeed: number;
  /** One number. */
  readonly #ident: Int32Array;
  /** Scratch: the sender at 0, Weir's address at 4. */
  readonly #words = new Int32Array(8);

  constructor(o: IcmpOptions) {
    const arena = o.arena ?? new HeapArena();
    this.#routing = o.routing;
    this.#pathMtus = o.pathMtus;
    this.#options = o.options;
    this.targets = new TargetLimit(o.clock, arena);
    this.#global = new GlobalLimit(
      o.clock,
      o.sysctl.get("net.ipv4.icmp_msgs_per_sec"),
      o.sysctl.get("net.ipv4.icmp_msgs_burst"),
      arena,
    );
    this.#limit4 = o.sysctl.get("net.ipv4.icmp_ratelimit");
    this.#mask4 = o.sysctl.get("net.ipv4.icmp_ratemask");
    this.#limit6 = o.sysctl.get("net.ipv6.icmp.ratelimit");
    this.#ttl = o.sysctl.get("net.ipv4.ip_default_ttl");
    const ident = o.random.next();
    this.#ident = arena.int32(1);
    if (arena.fresh) this.#ident[0] = ident;
    this.#labelSeed = agreed(arena, o.random.next());
  }

  /** Identification of the next packet that Weir makes. */
  nextIdent(): number {
    return this.#ident[0]++ & 0xffff;
  }

  /** Flow label of a packet that Weir makes. */
  label(
    source: Int32Array,
    sourceAt: number,
    to: Int32Array,
    toAt: number,
    protocol: number,
    ports: number,
  ): number {
    return flowLabel(this.#labelSeed, source, sourceAt, to, toAt, protocol, ports);
  }

  /** True if an ICMP reply of this type, of which none is an error, may go to the IPv4 address in `words`. */
  allowReply(type: number, words: Int32Array, at: number): boolean {
    if (((this.#mask4 >> type) & 1) === 0) return true;
    if (!this.#global.allow() || !this.targets.allow(words, at, 4, this.#limit4)) return false;
    this.#global.take();
    return true;
  }

  /**
   * Makes the error of this type and code about `p`, with `info` in the four bytes behind the checksum: an MTU, or a
   * pointer (IPv4: shifted to the first byte). False if there is to be no error.
   */
  make(out: Packet, p: Packet, type: number, code: number, info: number): boolean {
    return p.family === 4 ? this.#make4(out, p, type, code, info) : this.#make6(out, p, type, code, info);
  }

  /**
   * Makes the error that `Routing.input` asked for with ROUTE_ERROR. In IPv4 Linux limits these twice (ip_error), so
   * they cost the sender's bucket double.
   */
  makeNoRoute(out: Packet, p: Packet, type: number, code: number): boolean {
    if (p.family === 4) {
      const words = this.#words;
      Routing.readSource(p, words, 0);
      if (!this.targets.allowNoRoute(words, 0, 4)) return false;
    }
    return this.make(out, p, type, code, 0);
  }

  #make4(out: Packet, p: Packet, type: number, code: number, info: number): boolean {
    const view = p.view;
    const words = this.#words;
    const interfaces = this.#routing.interfaces;
    const sender = view.getInt32(IPV4_SOURCE);
    const destination = view.getInt32(IPV4_DESTINATION);
    if ((destination & 0xf0000000) === (0xe0000000 | 0) || interfaces.isBroadcast(destination)) return false;
    if (sender === 0 || sender === -1 || (sender & 0xf0000000) === (0xe0000000 | 0)) return false;
    if (p.fragmentOffset !== 0) return false;
    if (p.protocol === ICMP) {
      if (p.l4 >= p.length) return false;
      const inner = view.getUint8(p.l4);
      if (inner > LAST_ICMP_TYPE || ((INFORMATIONAL >> inner) & 1) === 0) return false;
    }
    const limited = !(type === ICMP_DEST_UNREACH && code === ICMP_FRAG_NEEDED) &&
      ((this.#mask4 >> type) & 1) !== 0;
    if (limited && !this.#global.allow()) return false;
    words.fill(0);
    words[0] = sender;
    words[4] = destination;
    if (!interfaces.isLocal(words, 4, 4)) {
      if (interfaces.isLocal(words, 0, 4)) words[4] = sender;
      else if (!this.#routing.selectSource(4, words, 0, 0, words, 4)) words[4] = DUMMY_ADDRESS;
    }
    const source = words[4];
    const optionLength = this.#options.echo(p, out, source);
    const serviceType = (tos(p) & TOS_MASK) | PREC_INTERNETCONTROL;
    beginIpv4(out, 0, optionLength, serviceType, 0, 0, this.#ttl, ICMP, source, sender);
    const route = this.#routing.output(out);
    if (route === ROUTE_DROP) return false;
    if (limited && route !== ROUTE_LOCAL) {
      if (!this.targets.allow(words, 0, 4, this.#limit4)) return false;
      this.#global.take();
    }
    const l4 = out.l4;
    const mtu = route === ROUTE_LOCAL ? IPV4_ERROR_LENGTH : this.#pathMtus.of(out);
    const room = Math.min(mtu, IPV4_ERROR_LENGTH) - l4 - ICMP_HEADER;
    if (room <= 20) return false;
    const quote = Math.min(p.length, room);
    out.length = l4 + ICMP_HEADER + quote;
    out.view.setUint16(2, out.length);
    out.view.setUint16(4, this.nextIdent());
    finishIpv4(out);
    writeError(out, p, type, code, info, quote);
    return true;
  }

  #make6(out: Packet, p: Packet, type: number, code: number, info: number): boolean {
    const words = this.#words;
    const interfaces = this.#routing.interfaces;
    Routing.readSource(p, words, 0);
    Routing.readDestination(p, words, 4);
    let chosen = interfaces.isLocal(words, 4, 6, p.inInterface) ||
      interfaces.isAnycast(words, 4, p.inInterface);
    if (isMulticast6(words, 4)) {
      if (type !== ICMPV6_PKT_TOOBIG && !isUnknownOption(p, type, code, info)) return false;
      chosen = false;
    }
    if (isMulticast6(words, 0)) return false;
    if (words[0] === 0 && words[1] === 0 && words[2] === 0 && words[3] === 0) return false;
    // An ICMPv6 error, or what cannot be told from one; a fragment without a type is answered (RFC 8200, 4.5).
    if (p.protocol === ICMPV6 && p.fragmentOffset === 0) {
      if (p.l4 >= p.length) {
        if (!p.moreFragments) return false;
      } else if (p.view.getUint8(p.l4) < 128) return false;
    }
    const limited = type !== ICMPV6_PKT_TOOBIG && type < 128;
    if (limited && !this.#global.allow()) return false;
    const link = isLinkLocal(words, 0) ? p.inInterface : 0;
    if (!chosen) chosen = interfaces.selectSource(6, p.inInterface, words, 0, words, 4);
    if (!chosen && !this.#routing.selectSource(6, words, 0, link, words, 4)) return false;
    if (interfaces.isAnycast(words, 0, p.inInterface)) return false;
    const quote = Math.min(p.length, IPV6_MIN_MTU - IPV6_HEADER - ICMP_HEADER);
    const length = IPV6_HEADER + ICMP_HEADER + quote;
    const label = this.label(words, 4, words, 0, ICMPV6, (type << 8) | code);
    beginIpv6(out, length, 0, label, 64, ICMPV6, words, 4, words, 0);
    const route = this.#routing.output(out, link);
    if (route === ROUTE_DROP) return false;
    if (limited && route !== ROUTE_LOCAL) {
      if (!this.targets.allow(words, 0, 6, this.#limit6)) return false;
      this.#global.take();
    }
    writeError(out, p, type, code, info, quote);
    return true;
  }
}

/** An option whose type asks for an answer even to multicasts: the two highest bits are 10 (RFC 8200, 4.2). */
function isUnknownOption(p: Packet, type: number, code: number, pointer: number): boolean {
  if (type !== ICMPV6_PARAMPROB || code !== ICMPV6_UNK_OPTION) return false;
  return pointer >= p.length || (p.bytes[pointer] & 0xc0) === 0x80;
}

/** Writes the ICMP header, the quote and the checksum behind the IP header. */
function writeError(out: Packet, p: Packet, type: number, code: number, info: number, quote: number): void {
  const at = out.l4;
  out.view.setUint16(at, (type << 8) | code);
  out.view.setInt32(at + 4, info);
  copyBytes(p.view, 0, out.view, at + ICMP_HEADER, quote);
  finishIcmp(out);
}
