/**
 * Path MTUs: what routers further on have said of how long the packets to a destination may be (RFC 1191, RFC 8201).
 *
 * Overview: an ICMP error for Weir itself, "fragmentation needed" or "packet too big", makes an exception for one
 * destination by the interface that leads there (`TooBig` says which of them count). Linux has the same beside its
 * routes (fib_nh_exception, rt6_exception), and heeds them as unevenly as this:
 *
 * ```
 *  packets that Weir makes    cut to it, and IPv4 errors quote no more        of
 *  forwarded, IPv6            refused if longer, but not before POSTROUTING   of
 *  forwarded, IPv4            not heeded, unless the exception is locked      forwarding
 *  TCPMSS                     the way there and the way back                  of, to
 * ```
 *
 * An IPv4 MTU below `min_pmtu` is not believed: the smallest believable one is taken instead and locked, which means
 * that packets without DF are cut to it also when they are only forwarded.
 *
 * Life-cycle: ten minutes. In IPv4 from the last time that it was said, unless it is locked; in IPv6 from the first.
 * Within that time only less is believed.
 *
 * Limits: fixed memory. Among the few destinations that share a place the one that would be forgotten first gives way,
 * and is learned anew by the next packet that is too big. A destination is remembered with the interface, not the route,
 * that leads there.
 */
import { agreed, type Arena, HeapArena } from "../arena.ts";
import type { Clock, Random } from "../clock.ts";
import type { Family } from "../netfilter.ts";
import { ADDRESS_WORDS, readAddress } from "../packet/address.ts";
import { IPV4_DESTINATION } from "../packet/ipv4.ts";
import { IPV6_DESTINATION, IPV6_MIN_MTU } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import type { Sysctl } from "../sysctl.ts";
import { hash } from "./address_index.ts";
import type { Interfaces } from "./interfaces.ts";

/** More than any packet has. */
const MTU_MAX = 65536;
const SETS = 1024, WAYS = 4, WORDS = 8;
/** Words of an entry behind the address: interface and family, 0 in one that was never used. */
const KEY = 4, MTU = 5, ENDS = 6, LOCKED = 7;
/** For whom there are exceptions: forwarded packets, by their family, and all in IPv4. In IPv6 those are the same. */
const FORWARDED_4 = 4, ALL_6 = 6, ALL_4 = 0, KINDS = 8;

/** The path MTUs of one router. */
export class PathMtus {
  readonly #interfaces: Interfaces;
  readonly #clock: Clock;
  readonly #entries: Int32Array;
  /** By kind: where there may be such exceptions the smallest MTU that one can have, and when the last of them ends. */
  readonly #kinds: Int32Array;
  readonly #seed: number;
  readonly #life4: number;
  readonly #life6: number;
  readonly #least4: number;
  readonly #forwardUses: boolean;
  readonly #words = new Int32Array(ADDRESS_WORDS);

  constructor(o: { interfaces: Interfaces; sysctl: Sysctl; clock: Clock; random: Random; arena?: Arena }) {
    const arena = o.arena ?? new HeapArena();
    this.#interfaces = o.interfaces;
    this.#clock = o.clock;
    this.#entries = arena.int32(SETS * WAYS * WORDS);
    this.#kinds = arena.int32(2 * KINDS);
    this.#seed = agreed(arena, o.random.next());
    this.#life4 = o.sysctl.get("net.ipv4.route.mtu_expires") * 1000;
    this.#life6 = o.sysctl.get("net.ipv6.route.mtu_expires") * 1000;
    this.#least4 = o.sysctl.get("net.ipv4.route.min_pmtu");
    this.#forwardUses = o.sysctl.get("net.ipv4.ip_forward_use_pmtu") !== 0;
  }

  /** The MTU of the link that the packet leaves by. */
  link(p: Packet): number {
    return this.#link(p.family, p.outInterface);
  }

  /** What the packet's way allows, for packets that Weir makes and in IPv6 for those that leave (dst_mtu). */
  of(p: Packet): number {
    const link = this.link(p);
    if (!this.#any(p.family === 4 ? ALL_4 : ALL_6)) return link;
    readAddress(p.view, p.family, p.family === 4 ? IPV4_DESTINATION : IPV6_DESTINATION, this.#words);
    return this.#least(link, this.#find(p.family, this.#words, 0, p.outInterface));
  }

  /** What holds for a packet on its way through, before FORWARD (ip_dst_mtu_maybe_forward). */
  forwarding(p: Packet): number {
    return p.family === 4 && this.#any(FORWARDED_4)
      ? this.#forwarding4(this.link(p), p.view.getInt32(IPV4_DESTINATION), p.outInterface)
      : this.link(p);
  }

  /** What the way to an address allows: as much as there is where no way is known. */
  to(family: Family, words: Int32Array, at: number): number {
    if (this.#interfaces.isLocal(words, at, family)) return MTU_MAX;
    const iface = this.#interfaces.interfaceTo(family, words, at, 0);
    if (iface === 0) return MTU_MAX;
    const link = this.#link(family, iface);
    return this.#any(family === 4 ? ALL_4 : ALL_6)
      ? this.#least(link, this.#find(family, words, at, iface))
      : link;
  }

  /**
   * Words by family: not 0 while packets that are forwarded may meet an exception, and then no packet meets one that is
   * not longer than that.
   */
  get heeded(): Int32Array {
    return this.#kinds;
  }

  /** The longest packet that is forwarded to the address in `words` by this interface. */
  forwardedTo(family: Family, words: Int32Array, at: number, iface: number): number {
    const link = this.#link(family, iface);
    if (!this.#any(family)) return link;
    return family === 4
      ? this.#forwarding4(link, words[at], iface)
      : this.#least(link, this.#find(6, words, at, iface));
  }

  /** Somebody says that packets to the address in `words`, which leave by `iface`, may be `mtu` bytes long. */
  learn(family: Family, words: Int32Array, at: number, iface: number, mtu: number): void {
    if (family === 4) this.#learn4(words, at, iface, mtu);
    else this.#learn6(words, at, iface, mtu);
  }

  /** __ip_rt_update_pmtu. */
  #learn4(words: Int32Array, at: number, iface: number, said: number): void {
    const entries = this.#entries, found = this.#find(4, words, at, iface), now = this.#clock.now | 0;
    if (found >= 0 && entries[found + LOCKED] !== 0) return;
    const known = this.#least(this.#link(4, iface), found), locked = said < this.#least4;
    if (known < said || known === said && found < 0) return;
    const mtu = locked ? Math.min(known, this.#least4) : said;
    // The same again prolongs its life, once half of it has passed.
    if (mtu === known && !locked && ((entries[found + ENDS] - now) | 0) > this.#life4 >> 1) return;
    const entry = found >= 0 ? found : this.#place(4, words, at, iface), ends = (now + this.#life4) | 0;
    entries[entry + MTU] = mtu;
    entries[entry + LOCKED] = locked ? 1 : 0;
    entries[entry + ENDS] = ends;
    this.#announce(ALL_4, this.#least4, ends);
    if (locked || this.#forwardUses) this.#announce(FORWARDED_4, this.#least4, ends);
  }

  /** __ip6_rt_update_pmtu. */
  #learn6(words: Int32Array, at: number, iface: number, mtu: number): void {
    const entries = this.#entries, found = this.#find(6, words, at, iface);
    if (mtu < IPV6_MIN_MTU || mtu >= this.#least(this.#link(6, iface), found)) return;
    const entry = found >= 0 ? found : this.#place(6, words, at, iface);
    entries[entry + MTU] = mtu;
    if (found >= 0) return;
    const ends = (this.#clock.now + this.#life6) | 0;
    entries[entry + LOCKED] = 0;
    entries[entry + ENDS] = ends;
    this.#announce(ALL_6, IPV6_MIN_MTU, ends);
  }

  #link(family: number, iface: number): number {
    const mtu = this.#interfaces.mtu(iface);
    return family === 6 && mtu < IPV6_MIN_MTU ? IPV6_MIN_MTU : mtu;
  }

  /** The smaller one of a link's MTU and that of an exception, if there is one. */
  #least(link: number, entry: number): number {
    return entry < 0 ? link : Math.min(link, this.#entries[entry + MTU]);
  }

  #forwarding4(link: number, destination: number, iface: number): number {
    const words = this.#words;
    words[0] = destination;
    words[1] = words[2] = words[3] = 0;
    const entry = this.#find(4, words, 0, iface);
    return entry >= 0 && (this.#forwardUses || this.#entries[entry + LOCKED] !== 0)
      ? this.#least(link, entry)
      : link;
  }

  /** True if there may be exceptions of a kind: most of the time there is none. */
  #any(kind: number): boolean {
    const kinds = this.#kinds;
    if (kinds[kind] === 0) return false;
    if (((kinds[kind + KINDS] - this.#clock.now) | 0) > 0) return true;
    kinds[kind] = 0;
    return false;
  }

  #announce(kind: number, least: number, ends: number): void {
    const kinds = this.#kinds, any = this.#any(kind);
    if (!any || ((ends - kinds[kind + KINDS]) | 0) > 0) kinds[kind + KINDS] = ends;
    kinds[kind] = any ? Math.min(kinds[kind], least) : least;
  }

  /** True if an entry has not ended. After so long that the clock has come round again, it has. */
  #alive(entry: number, now: number): boolean {
    const key = this.#entries[entry + KEY], left = (this.#entries[entry + ENDS] - now) | 0;
    return key !== 0 && left > 0 && left <= ((key & 7) === 4 ? this.#life4 : this.#life6);
  }

  #set(family: number, words: Int32Array, at: number, iface: number): number {
    const h = hash(words[at], words[at + 1], words[at + 2], words[at + 3], this.#seed ^ key(family, iface));
    return (h & (SETS - 1)) * WAYS * WORDS;
  }

  /** The destination's exception, or -1. */
  #find(family: number, words: Int32Array, at: number, iface: number): number {
    const entries = this.#entries, wanted = key(family, iface), now = this.#clock.now | 0;
    const set = this.#set(family, words, at, iface);
    for (let entry = set; entry < set + WAYS * WORDS; entry += WORDS) {
      if (
        entries[entry] !== words[at] || entries[entry + 3] !== words[at + 3] ||
        entries[entry + 1] !== words[at + 1] || entries[entry + 2] !== words[at + 2] ||
        entries[entry + KEY] !== wanted
      ) continue;
      if (this.#alive(entry, now)) return entry;
      entries[entry + KEY] = 0;
    }
    return -1;
  }

  /** A place for a destination that has none: one that is free or has ended, or of the next to end. */
  #place(family: number, words: Int32Array, at: number, iface: number): number {
    const entries = this.#entries, now = this.#clock.now | 0;
    const set = this.#set(family, words, at, iface);
    let chosen = set, least = MTU_MAX * MTU_MAX;
    for (let entry = set; entry < set + WAYS * WORDS; entry += WORDS) {
      const left = this.#alive(entry, now) ? (entries[entry + ENDS] - now) | 0 : 0;
      if (left >= least) continue;
      chosen = entry;
      least = left;
    }
    for (let i = 0; i < ADDRESS_WORDS; i++) entries[chosen + i] = words[at + i];
    entries[chosen + KEY] = key(family, iface);
    return chosen;
  }
}

function key(family: number, iface: number): number {
  return (iface << 3) | family;
}
