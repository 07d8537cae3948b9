/**
 * The forwarding information base: longest prefix match over connected and configured routes, IPv4 and IPv6 alike.
 *
 * There is one index for all prefixes of both families, keyed by network and prefix length, and per family the list of
 * the lengths that occur. A lookup asks the index once per occurring length, longest first: a handful of probes for any
 * real table, and the same number for 10 routes as for 10,000. Nothing is cached, so nothing goes stale.
 *
 * Routes of one prefix form a chain by metric (IPv4: 0 by default, IPv6: 1024; connected ones 0 and 256, as in Linux).
 * Routes of an interface that is down are passed over while it is down, as if withdrawn.
 */
import type { Family } from "../netfilter.ts";
import { ADDRESS_WORDS, parseAddress, parsePrefix, prefixMask } from "../packet/address.ts";
import { AddressIndex } from "./address_index.ts";
import type { Interfaces, NextHops } from "./interfaces.ts";

/** What a route does with packets. */
export type RouteType = "unicast" | "blackhole" | "unreachable" | "prohibit";
/** `RouteType` as numbers (RTN_UNICAST, RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT). */
export const UNICAST = 0, BLACKHOLE = 1, UNREACHABLE = 2, PROHIBIT = 3;
const TYPES: readonly RouteType[] = ["unicast", "blackhole", "unreachable", "prohibit"];

/** A route, as the configuration has it. */
export interface RouteSpec {
  /** A prefix, an address, or `"default"`: of the family of `via`, else of both. */
  readonly destination: string;
  /** Name of the interface; needed for unicast routes. */
  readonly interface?: string;
  /** Next hop. */
  readonly via?: string;
  /** The lowest wins among routes of one prefix. */
  readonly metric?: number;
  readonly type?: RouteType;
  /** The source of Weir's own packets by this route (`ip route … src`). */
  readonly source?: string;
}

/** Words of a route record. */
const RECORD = 13;
const VIA = 0, SOURCE = 4, TYPE = 8, INTERFACE = 9, METRIC = 10, FLAGS = 11, NEXT = 12;
/** Record flags: there is a next hop, a source. */
const HAS_VIA = 1, HAS_SOURCE = 2;

/** The tag of a prefix in the index. */
function tag(family: Family, length: number): number {
  return (family << 8) | length;
}

/** All routes of one router. */
export class Fib implements NextHops {
  readonly #interfaces: Interfaces;
  readonly #index: AddressIndex;
  #records: Int32Array;
  #count = 0;
  /** Occurring prefix lengths, longest first, with their masks; up to `#lengths4Count` entries. */
  readonly #lengths4 = new Int32Array(33);
  readonly #masks4 = new Int32Array(33);
  #lengths4Count = 0;
  readonly #lengths6 = new Int32Array(129);
  readonly #masks6 = new Int32Array(129 * ADDRESS_WORDS);
  #lengths6Count = 0;

  constructor(interfaces: Interfaces, routes: readonly RouteSpec[] = []) {
    this.#interfaces = interfaces;
    const expected = interfaces.addressCount + routes.length;
    this.#index = new AddressIndex(expected);
    this.#records = new Int32Array(Math.max(expected * 2, 8) * RECORD);
    interfaces.forEachAddress((iface, family, words, length, secondary) => {
      if (!secondary) {
        this.#add(
          family,
          words,
          length,
          iface,
          UNICAST,
          null,
          family === 4 ? words : null,
          family === 4 ? 0 : 256,
        );
      }
    });
    for (const route of routes) this.#configure(route);
    interfaces.attach(this);
  }

  #configure(route: RouteSpec): void {
    const type = TYPES.indexOf(route.type ?? "unicast");
    if (type < 0) throw new RangeError(`unknown type of route ${route.type}`);
    const via = route.via === undefined ? null : parseAddress(route.via);
    if (route.via !== undefined && via === null) throw new RangeError(`${route.via} is not an address`);
    const source = route.source === undefined ? null : parseAddress(route.source);
    if (route.source !== undefined && source === null) {
      throw new RangeError(`${route.source} is not an address`);
    }
    let iface = route.interface === undefined ? 0 : this.#interfaces.byName(route.interface);
    if (route.interface !== undefined && iface === 0) {
      throw new RangeError(`there is no interface ${route.interface}`);
    }
    if (type === UNICAST && iface === 0 && via !== null) {
      const toVia = this.lookup(via.family, via.words, 0);
      if (toVia >= 0) iface = this.interfaceOf(toVia);
    }
    if (type === UNICAST && iface === 0) throw new RangeError(`route ${route.destination} has no interface`);
    if (route.destination === "default") {
      const any = new Int32Array(ADDRESS_WORDS);
      for (const family of [4, 6] as const) {
        if (via !== null && via.family !== family) continue;
        const metric = route.metric ?? (family === 4 ? 0 : 1024);
        this.#add(family, any, 0, iface, type, via?.words ?? null, source?.words ?? null, metric);
      }
      return;
    }
    const host = parseAddress(route.destination);
    const prefix = host !== null
      ? { ...host, length: host.family === 4 ? 32 : 128 }
      : parsePrefix(route.destination);
    if (prefix === null) throw new RangeError(`${route.destination} is not a prefix`);
    if (via !== null && via.family !== prefix.family) {
      throw new RangeError(`route ${route.destination} has a next hop of the other family`);
    }
    const metric = route.metric ?? (prefix.family === 4 ? 0 : 1024);
    this.#add(
      prefix.family,
      prefix.words,
      prefix.length,
      iface,
      type,
      via?.words ?? null,
      source?.words ?? null,
      metric,
    );
  }

  #add(
    family: Family,
    words: Int32Array,
    length: number,
    iface: number,
    type: number,
    via: Int32Array | null,
    source: Int32Array | null,
    metric: number,
  ): void {
    this.#addLength(family, length);
    if ((this.#count + 1) * RECORD > this.#records.length) {
      const larger = new Int32Array(this.#records.length * 2);
      larger.set(this.#records);
      this.#records = larger;
    }
    const record = this.#count++;
    const r = this.#records;
    const at = record * RECORD;
    if (via !== null) r.set(via, at + VIA);
    if (source !== null) r.set(source, at + SOURCE);
    r[at + TYPE] = type;
    r[at + INTERFACE] = iface;
    r[at + METRIC] = metric;
    r[at + FLAGS] = (via === null ? 0 : HAS_VIA) | (source === null ? 0 : HAS_SOURCE);
    r[at + NEXT] = -1;
    const mask = prefixMask(family, length);
    const a = words[0] & mask[0], b = words[1] & mask[1], c = words[2] & mask[2], d = words[3] & mask[3];
    const key = tag(family, length);
    const first = this.#index.find(a, b, c, d, key);
    if (first < 0 || r[first * RECORD + METRIC] > metric) {
      r[at + NEXT] = first;
      this.#index.set(a, b, c, d, key, record);
      return;
    }
    let before = first * RECORD;
    while (r[before + NEXT] >= 0 && r[r[before + NEXT] * RECORD + METRIC] <= metric) {
      before = r[before + NEXT] * RECORD;
    }
    r[at + NEXT] = r[before + NEXT];
    r[before + NEXT] = record;
  }

  /** Keeps the list of lengths sorted, longest first. */
  #addLength(family: Family, length: number): void {
    const lengths = family === 4 ? this.#lengths4 : this.#lengths6;
    const count = family === 4 ? this.#lengths4Count : this.#lengths6Count;
    let place = 0;
    while (place < count && lengths[place] > length) place++;
    if (place < count && lengths[place] === length) return;
    lengths.copyWithin(place + 1, place, count);
    lengths[place] = length;
    const mask = prefixMask(family, length);
    if (family === 4) {
      this.#masks4.copyWithin(place + 1, place, count);
      this.#masks4[place] = mask[0];
      this.#lengths4Count++;
    } else {
      this.#masks6.copyWithin((place + 1) * ADDRESS_WORDS, place * ADDRESS_WORDS, count * ADDRESS_WORDS);
      this.#masks6.set(mask, place * ADDRESS_WORDS);
      this.#lengths6Count++;
    }
  }

  /** How many routes there are, connected ones included. */
  get count(): number {
    return this.#count;
  }

  /**
   * The route for a destination, as a handle for the functions below, or -1. With `iface`, only routes out of that
   * interface are asked; link-local destinations need it.
   */
  lookup(family: Family, words: Int32Array, at: number, iface = 0): number {
    return family === 4 ? this.#lookup4(words[at], iface) : this.#lookup6(words, at, iface);
  }

  #lookup4(word: number, iface: number): number {
    const lengths = this.#lengths4;
    const masks = this.#masks4;
    for (let i = 0; i < this.#lengths4Count; i++) {
      const first = this.#index.find(word & masks[i], 0, 0, 0, tag(4, lengths[i]));
      if (first < 0) continue;
      const route = this.#usable(first, iface);
      if (route >= 0) return route;
    }
    return -1;
  }

  #lookup6(words: Int32Array, at: number, iface: number): number {
    const lengths = this.#lengths6;
    const masks = this.#masks6;
    const a = words[at], b = words[at + 1], c = words[at + 2], d = words[at + 3];
    for (let i = 0, m = 0; i < this.#lengths6Count; i++, m += ADDRESS_WORDS) {
      const first = this.#index.find(
        a & masks[m],
        b & masks[m + 1],
        c & masks[m + 2],
        d & masks[m + 3],
        tag(6, lengths[i]),
      );
      if (first < 0) continue;
      const route = this.#usable(first, iface);
      if (route >= 0) return route;
    }
    return -1;
  }

  /** The first of a prefix's routes whose interface is up and the wanted one. */
  #usable(first: number, iface: number): number {
    const r = this.#records;
    for (let route = first; route >= 0; route = r[route * RECORD + NEXT]) {
      const out = r[route * RECORD + INTERFACE];
      if (out === 0 ? iface === 0 : (iface === 0 || out === iface) && this.#interfaces.isUp(out)) {
        return route;
      }
    }
    return -1;
  }

  /** UNICAST, BLACKHOLE, UNREACHABLE or PROHIBIT. */
  typeOf(route: number): number {
    return this.#records[route * RECORD + TYPE];
  }

  /** The interface that the route leaves by, 0 for a route that leads nowhere. */
  interfaceOf(route: number): number {
    return this.#records[route * RECORD + INTERFACE];
  }

  /** Writes where a packet to the address in `words` goes next by a route: to its next hop, or to itself. */
  nextHop(route: number, words: Int32Array, at: number, out: Int32Array, outAt: number): void {
    const via = this.hasVia(route), from = route * RECORD + VIA;
    for (let i = 0; i < ADDRESS_WORDS; i++) out[outAt + i] = via ? this.#records[from + i] : words[at + i];
  }

  /** True if the route goes by a next hop rather than to a neighbour. */
  hasVia(route: number): boolean {
    return (this.#records[route * RECORD + FLAGS] & HAS_VIA) !== 0;
  }

  interfaceTo(family: Family, words: Int32Array, at: number, iface = 0): number {
    const route = this.lookup(family, words, at, iface);
    return route < 0 ? 0 : this.interfaceOf(route);
  }

  nextHop4(destination: number, iface: number): number {
    const route = this.#lookup4(destination, iface);
    return route >= 0 && this.hasVia(route) ? this.#records[route * RECORD + VIA] : destination;
  }

  /**
   * Writes the source of Weir's own packets by this route: the route's own, in IPv4 the connected subnet's address,
   * else the interface's choice: in IPv4 by the next hop (fib_result_prefsrc), in IPv6 by the destination
   * (ip6_route_get_saddr). False if there is none.
   */
  source(
    family: Family,
    route: number,
    words: Int32Array,
    at: number,
    out: Int32Array,
    outAt: number,
  ): boolean {
    const r = this.#records;
    const record = route * RECORD;
    if ((r[record + FLAGS] & HAS_SOURCE) !== 0) {
      for (let i = 0; i < ADDRESS_WORDS; i++) out[outAt + i] = r[record + SOURCE + i];
      return true;
    }
    if (family === 6) {
      return this.#interfaces.selectSource(6, r[record + INTERFACE], words, at, out, outAt);
    }
    // A route straight to a device asks for its first address, whatever the destination (fib_info_update_nhc_saddr).
    out[outAt] = this.#interfaces.selectSource4(r[record + INTERFACE], r[record + VIA]);
    out[outAt + 1] = out[outAt + 2] = out[outAt + 3] = 0;
    return out[outAt] !== 0;
  }
}
