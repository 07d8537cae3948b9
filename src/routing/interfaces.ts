/**
 * The interfaces and Weir's own addresses on them: is this address ours, is it a broadcast, and which of ours is the
 * source of a packet that goes there.
 *
 * Everything is filled from the configuration when the router is made; lookups allocate nothing. Interfaces are
 * numbered from 1 in the order of the configuration, 0 is none; one without a name keeps a number free. Addresses
 * travel as four words (IPv4 in word 0).
 *
 * Linux details kept, since their outcome shows in packets:
 * - An IPv4 address in the subnet of an earlier one of the same interface is secondary: ours, never a chosen source.
 * - IPv4 subnets up to /30 have their last address as broadcast; the first one, once also a broadcast, is a host.
 * - IPv6 subnets up to /126 have their first address as the routers' anycast address (RFC 4291, 2.6.1): answered, but
 *   never a source of its own accord.
 * - The latest IPv6 address of an interface comes first where nothing else decides (ipv6_link_dev_addr).
 * - Link-local addresses are ours on their own interface alone.
 */
import type { Family } from "../netfilter.ts";
import { ADDRESS_WORDS, parsePrefix } from "../packet/address.ts";
import { AddressIndex } from "./address_index.ts";
import {
  addressLabel,
  addressScope,
  commonPrefix,
  isLinkLocal,
  SCOPE_GLOBAL,
  SCOPE_LINK,
} from "./address_scope.ts";

/** What an IPv4 address is to Weir (`Interfaces.kind4`), and what an IPv6 address can be. */
export const STRANGE = 0, OWN = 1, SUBNET_BROADCAST = 2, SUBNET_ANYCAST = 3;

/** One interface, as the configuration has it. */
export interface InterfaceSpec {
  readonly name: string;
  readonly mtu: number;
  /** Addresses with prefix lengths: `"192.0.2.1/24"`, `"2001:db8:1::1/64"`, `"fe80::1/64"`. */
  readonly addresses: readonly string[];
  /** False for an interface that starts switched off. */
  readonly up?: boolean;
}

/** Who knows the next hop for an IPv4 destination: the routes. */
export interface NextHops {
  /** The next hop of packets to `destination` that leave by `iface`: the destination itself where it is a neighbour. */
  nextHop4(destination: number, iface: number): number;
  /** The interface that the route to an address leaves by, of routes by `iface` only, where that is not 0; or 0. */
  interfaceTo(family: Family, words: Int32Array, at: number, iface?: number): number;
}

/** What an IPv6 address is to Weir: unicast of its own, or a subnet's routers' anycast. */
const UNICAST = 1, ANYCAST = 2;
/** Tag of IPv4 addresses in the index, whose values are `record * 2`, or `interface * 2 + 1` for a broadcast address. */
const IPV4 = 0;

/** Words of an address record: address, family, interface, prefix length, flags, record of the next equal address. */
const RECORD = 9;
const FAMILY = 4, INTERFACE = 5, LENGTH = 6, FLAGS = 7, NEXT = 8;
/** Flag of an IPv4 address that shares its subnet with an earlier one (IFA_F_SECONDARY). */
const SECONDARY = 1;

/** The tag of an IPv6 address in the index; link-local ones are found per interface. */
function tag(kind: number, iface: number): number {
  return (iface << 2) | kind;
}

/** The table of interfaces. */
export class Interfaces {
  /** How many there are; the highest index. */
  readonly count: number;
  /** Another number after every change: who remembers an answer asks anew then. */
  version = 0;
  readonly #names: string[] = [""];
  readonly #byName = new Map<string, number>();
  readonly #mtu: Int32Array;
  readonly #up: Uint8Array;
  /** All addresses in the order of their interfaces and, within one, of the configuration. */
  readonly #records: Int32Array;
  readonly #addressCount: number;
  /** Where an interface's records begin; entry `count + 1` is the end of all. */
  readonly #first: Int32Array;
  /** The primary IPv4 address of an interface that has only one, whoever asks; else 0. */
  readonly #only4: Int32Array;
  readonly #index: AddressIndex;
  #routes: NextHops | null = null;

  constructor(specs: readonly InterfaceSpec[]) {
    this.count = specs.length;
    this.#mtu = new Int32Array(specs.length + 1);
    this.#up = new Uint8Array(specs.length + 1);
    this.#first = new Int32Array(specs.length + 2);
    this.#only4 = new Int32Array(specs.length + 1);
    let total = 0;
    for (const spec of specs) total += spec.addresses.length;
    this.#records = new Int32Array(total * RECORD);
    this.#addressCount = total;
    this.#index = new AddressIndex(total * 3);
    let record = 0;
    specs.forEach((spec, i) => {
      const iface = i + 1;
      if (this.#byName.has(spec.name)) throw new RangeError(`interface ${spec.name} is there twice`);
      this.#names.push(spec.name);
      if (spec.name !== "") this.#byName.set(spec.name, iface);
      this.#mtu[iface] = spec.mtu;
      this.#up[iface] = spec.up === false ? 0 : 1;
      this.#first[iface] = record;
      for (const text of spec.addresses) this.#add(record++, iface, text);
      this.#first[iface + 1] = record;
      this.#only4[iface] = this.#soleAddress4(iface);
    });
  }

  #add(record: number, iface: number, text: string): void {
    const address = parsePrefix(text);
    if (address === null) throw new RangeError(`${text} is not an address with a prefix length`);
    const { family, words, length } = address;
    const r = this.#records;
    const at = record * RECORD;
    r.set(words, at);
    r[at + FAMILY] = family;
    r[at + INTERFACE] = iface;
    r[at + LENGTH] = length;
    const scopeInterface = family === 6 && isLinkLocal(words, 0) ? iface : 0;
    this.#own(record, family === 4 ? IPV4 : tag(UNICAST, scopeInterface), words);
    if (family === 4) {
      const mask = length === 0 ? 0 : -1 << (32 - length);
      for (let i = this.#first[iface]; i < record; i++) {
        const other = i * RECORD;
        if (r[other + FAMILY] === 4 && r[other + LENGTH] === length && ((r[other] ^ words[0]) & mask) === 0) {
          r[at + FLAGS] = SECONDARY;
        }
      }
      const last = words[0] | ~mask;
      if (length <= 30 && this.#index.find(last, 0, 0, 0, IPV4) < 0) {
        this.#index.set(last, 0, 0, 0, IPV4, iface * 2 + 1);
      }
    } else if (length <= 126) {
      const network = words.slice();
      for (let i = 0; i < ADDRESS_WORDS; i++) {
        const ones = Math.min(Math.max(length - 32 * i, 0), 32);
        network[i] &= ones === 0 ? 0 : -1 << (32 - ones);
      }
      this.#index.set(
        network[0],
        network[1],
        network[2],
        network[3],
        tag(ANYCAST, scopeInterface),
        iface,
      );
    }
  }

  #soleAddress4(iface: number): number {
    const r = this.#records;
    let sole = 0, primaries = 0;
    for (let i = this.#first[iface]; i < this.#first[iface + 1]; i++) {
      const at = i * RECORD;
      if (r[at + FAMILY] !== 4 || (r[at + FLAGS] & SECONDARY) !== 0) continue;
      sole = r[at];
      primaries++;
    }
    return primaries === 1 ? sole : 0;
  }

  /** Enters an own address; equal ones on several interfaces are chained. It goes before a broadcast address. */
  #own(record: number, key: number, w: Int32Array): void {
    const before = this.#index.find(w[0], w[1], w[2], w[3], key);
    this.#records[record * RECORD + NEXT] = before < 0 || (before & 1) !== 0 ? 0 : (before >> 1) + 1;
    this.#index.set(w[0], w[1], w[2], w[3], key, record * 2);
  }

  /** The name of an interface; empty for 0. */
  name(iface: number): string {
    return this.#names[iface];
  }

  /** The interface of this name, or 0. */
  byName(name: string): number {
    return this.#byName.get(name) ?? 0;
  }

  /** Largest packet that fits through, in bytes. */
  mtu(iface: number): number {
    return this.#mtu[iface];
  }

  /** False while the interface is switched off: nothing is routed out of it. */
  isUp(iface: number): boolean {
    return this.#up[iface] !== 0;
  }

  setUp(iface: number, up: boolean): void {
    this.#up[iface] = up ? 1 : 0;
    this.version++;
  }

  /** Routes make themselves known here. */
  attach(routes: NextHops): void {
    this.#routes = routes;
  }

  /** Addresses of all interfaces together. */
  get addressCount(): number {
    return this.#addressCount;
  }

  /** Calls `visit` for every address in configuration order; not for the packet path. */
  forEachAddress(
    visit: (iface: number, family: Family, words: Int32Array, length: number, secondary: boolean) => void,
  ): void {
    const r = this.#records;
    for (let i = 0; i < this.#addressCount; i++) {
      const at = i * RECORD;
      visit(
        r[at + INTERFACE],
        r[at + FAMILY] as Family,
        r.slice(at, at + ADDRESS_WORDS),
        r[at + LENGTH],
        (r[at + FLAGS] & SECONDARY) !== 0,
      );
    }
  }

  /**
   * True if the address is Weir's own, unicast. Link-local addresses count on interface `iface` alone, or on any when
   * it is left out.
   */
  isLocal(words: Int32Array, at: number, family: Family, iface = 0): boolean {
    const index = this.#index;
    if (family === 4) return this.kind4(words[at]) === OWN;
    const a = words[at], b = words[at + 1], c = words[at + 2], d = words[at + 3];
    if ((a & 0xffc00000) !== (0xfe800000 | 0)) return index.find(a, b, c, d, tag(UNICAST, 0)) >= 0;
    if (iface !== 0) return index.find(a, b, c, d, tag(UNICAST, iface)) >= 0;
    for (let i = 1; i <= this.count; i++) {
      if (index.find(a, b, c, d, tag(UNICAST, i)) >= 0) return true;
    }
    return false;
  }

  /** True if the address is the routers' anycast address of a subnet of Weir's. */
  isAnycast(words: Int32Array, at: number, iface: number): boolean {
    const key = tag(ANYCAST, isLinkLocal(words, at) ? iface : 0);
    return this.#index.find(words[at], words[at + 1], words[at + 2], words[at + 3], key) >= 0;
  }

  /** Writes an interface's first link-local IPv6 address (ipv6_get_lladdr). False if it has none. */
  linkLocal(iface: number, out: Int32Array, outAt: number): boolean {
    const r = this.#records;
    for (let record = this.#first[iface]; record < this.#first[iface + 1]; record++) {
      const at = record * RECORD;
      if (r[at + FAMILY] !== 6 || !isLinkLocal(r, at)) continue;
      for (let i = 0; i < ADDRESS_WORDS; i++) out[outAt + i] = r[at + i];
      return true;
    }
    return false;
  }

  /** What an IPv4 address is: OWN, SUBNET_BROADCAST, or STRANGE. The limited broadcast is not asked here. */
  kind4(word: number): number {
    const value = this.#index.find(word, 0, 0, 0, IPV4);
    return value < 0 ? STRANGE : (value & 1) === 0 ? OWN : SUBNET_BROADCAST;
  }

  /** True for 255.255.255.255 and the broadcast address of a subnet of Weir's. */
  isBroadcast(word: number): boolean {
    return word === -1 || this.kind4(word) === SUBNET_BROADCAST;
  }

  /** The interface in whose subnet this is the broadcast address, or 0. */
  broadcastInterface(word: number): number {
    const value = this.#index.find(word, 0, 0, 0, IPV4);
    return value < 0 || (value & 1) === 0 ? 0 : value >> 1;
  }

  /** The interface that has this address, the first where several have; 0 if none has. */
  interfaceOf(words: Int32Array, at: number, family: Family): number {
    if (family === 4) return this.#interfaceOf(this.#index.find(words[at], 0, 0, 0, IPV4));
    const a = words[at], b = words[at + 1], c = words[at + 2], d = words[at + 3];
    if (!isLinkLocal(words, at)) return this.#interfaceOf(this.#index.find(a, b, c, d, tag(UNICAST, 0)));
    for (let i = 1; i <= this.count; i++) {
      if (this.#index.find(a, b, c, d, tag(UNICAST, i)) >= 0) return i;
    }
    return 0;
  }

  /** The index holds the latest of equal addresses; the end of its chain is the first. */
  #interfaceOf(value: number): number {
    if (value < 0 || (value & 1) !== 0) return 0;
    let at = (value >> 1) * RECORD;
    while (this.#records[at + NEXT] !== 0) at = (this.#records[at + NEXT] - 1) * RECORD;
    return this.#records[at + INTERFACE];
  }

  /**
   * The address that packets leaving by `iface` for the destination in `words` get as their source, written to `out`:
   * what MASQUERADE uses. In IPv4 the next hop's subnet decides, in IPv6 the destination. An IPv4 destination of 0 asks
   * for the interface's first address. False if there is none.
   */
  selectSource(
    family: Family,
    iface: number,
    words: Int32Array,
    at: number,
    out: Int32Array,
    outAt: number,
  ): boolean {
    if (family === 6) return this.#select6(iface, words, at, out, outAt);
    let word = this.#only4[iface];
    if (word === 0) {
      const destination = words[at], routes = this.#routes;
      const ask = destination !== 0 && routes !== null;
      word = this.selectSource4(iface, ask ? routes.nextHop4(destination, iface) : destination);
    }
    out[outAt] = word;
    out[outAt + 1] = out[outAt + 2] = out[outAt + 3] = 0;
    return word !== 0;
  }

  /**
   * inet_select_addr: the primary address in whose subnet `toward` lies, else the first one, else one of another
   * interface; 0 if there is none at all. `toward` 0 asks for the first.
   */
  selectSource4(iface: number, toward: number): number {
    const r = this.#records;
    let chosen = 0;
    for (let i = this.#first[iface]; i < this.#first[iface + 1]; i++) {
      const at = i * RECORD;
      if (r[at + FAMILY] !== 4 || (r[at + FLAGS] & SECONDARY) !== 0) continue;
      const length = r[at + LENGTH];
      if (toward === 0 || length === 0 || ((r[at] ^ toward) & (-1 << (32 - length))) === 0) return r[at];
      if (chosen === 0) chosen = r[at];
    }
    if (chosen !== 0) return chosen;
    for (let i = 0; i < this.#addressCount; i++) {
      const at = i * RECORD;
      if (r[at + FAMILY] === 4 && (r[at + FLAGS] & SECONDARY) === 0) return r[at];
    }
    return 0;
  }

  /** The interface that packets to an address leave by; of routes by `iface` only, if not 0. 0 where there is none. */
  interfaceTo(family: Family, words: Int32Array, at: number, iface: number): number {
    return this.#routes === null ? 0 : this.#routes.interfaceTo(family, words, at, iface);
  }

  /**
   * The address of `iface` that REDIRECT sends packets for the destination in `words` to, written to `out`; false if
   * there is none. In IPv4 the first. In IPv6 the widest, the latest of equals, or for a link-local (site-local)
   * destination one of the same kind (nf_nat_redirect_ipv6).
   */
  redirectAddress(family: Family, iface: number, words: Int32Array, out: Int32Array): boolean {
    const r = this.#records;
    const scope = family === 6 ? addressScope(words, 0) : 0;
    let best = -1;
    for (let record = this.#first[iface + 1] - 1; record >= this.#first[iface]; record--) {
      const at = record * RECORD;
      if (r[at + FAMILY] !== family || family === 4 && (r[at + FLAGS] & SECONDARY) !== 0) continue;
      if (family === 6) {
        const own = addressScope(r, at);
        if (scope < SCOPE_GLOBAL && own !== scope || best >= 0 && own <= addressScope(r, best)) continue;
      }
      best = at;
    }
    if (best < 0) return false;
    for (let i = 0; i < ADDRESS_WORDS; i++) out[i] = r[best + i];
    return true;
  }

  /**
   * ipv6_dev_get_saddr (RFC 6724, 5): rules 1 (same address), 2 (scope), 5 (outgoing interface), 6 (label) and 8
   * (longest prefix) can tell Weir's addresses apart. Towards link-local and multicast destinations only addresses of
   * the outgoing interface are asked.
   */
  #select6(iface: number, to: Int32Array, toAt: number, out: Int32Array, outAt: number): boolean {
    const r = this.#records;
    const scope = addressScope(to, toAt);
    const label = addressLabel(to, toAt);
    const narrow = scope === SCOPE_LINK || (to[toAt] & 0xff000000) === (0xff000000 | 0);
    let best = -1;
    let bestScore = -1;
    for (let i = 1; i <= this.count; i++) {
      if (narrow && i !== iface) continue;
      // The interface's latest address is asked first, and a tie stays with it.
      for (let record = this.#first[i + 1] - 1; record >= this.#first[i]; record--) {
        const at = record * RECORD;
        if (r[at + FAMILY] !== 6) continue;
        const score = score6(r, at, to, toAt, scope, label, i === iface);
        if (score > bestScore) {
          best = at;
          bestScore = score;
        }
      }
    }
    if (best < 0) return false;
    for (let i = 0; i < ADDRESS_WORDS; i++) out[outAt + i] = r[best + i];
    return true;
  }
}

/** The rules of RFC 6724 as one number, the earlier rule in the higher bits. */
function score6(
  r: Int32Array,
  at: number,
  to: Int32Array,
  toAt: number,
  scope: number,
  label: number,
  outgoing: boolean,
): number {
  const same = r[at] === to[toAt] && r[at + 1] === to[toAt + 1] && r[at + 2] === to[toAt + 2] &&
    r[at + 3] === to[toAt + 3];
  // Rule 2: the smallest scope that reaches; of those that do not, the largest.
  const own = addressScope(r, at);
  const reach = own >= scope ? 32 - own : own;
  const prefix = Math.min(commonPrefix(r, at, to, toAt), r[at + LENGTH]);
  return (same ? 1 << 20 : 0) | (reach << 12) | (outgoing ? 1 << 11 : 0) |
    (addressLabel(r, at) === label ? 1 << 10 : 0) | prefix;
}
