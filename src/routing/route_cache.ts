/**
 * What routing found out about the addresses that it met last: whose the address is, and the route to it.
 *
 * Direct-mapped: an address has one place, and whoever comes later takes it. An entry says nothing that `Interfaces` and
 * `Fib` would not say. They change only when an interface goes up or down, and then everything is forgotten. Link-local
 * addresses mean something else on each interface, so they are not kept.
 */
import { isLinkLocal } from "./address_scope.ts";
import type { Fib } from "./fib.ts";
import { type Interfaces, OWN, STRANGE, SUBNET_ANYCAST } from "./interfaces.ts";

/** Places, as a power of two, and one more for what is not kept. */
const BITS = 8, UNKEPT = 1 << BITS;
/** Words of an entry: the address, its family (0 in an empty one), what it is, the route. */
const WORDS = 8, FAMILY = 4, KIND = 5, ROUTE = 6;

export class RouteCache {
  readonly #interfaces: Interfaces;
  readonly #fib: Fib;
  readonly #entries = new Int32Array((UNKEPT + 1) * WORDS);
  #version: number;

  constructor(interfaces: Interfaces, fib: Fib) {
    this.#interfaces = interfaces;
    this.#fib = fib;
    this.#version = interfaces.version;
  }

  /** The entry of an IPv4 address, good until the next one is asked for. */
  find4(word: number): number {
    if (this.#version !== this.#interfaces.version) this.#forget();
    const e = this.#entries, at = place(word) * WORDS;
    if (e[at] !== word || e[at + FAMILY] !== 4) this.#fill4(at, word);
    return at;
  }

  /** The entry of the IPv6 address in `words`, met on interface `iface`. */
  find6(words: Int32Array, iface: number): number {
    if (this.#version !== this.#interfaces.version) this.#forget();
    const e = this.#entries, a = words[0], b = words[1], c = words[2], d = words[3];
    const narrow = isLinkLocal(words, 0);
    const at = (narrow ? UNKEPT : place(a ^ Math.imul(b, 31) ^ Math.imul(c, 17) ^ d)) * WORDS;
    if (
      narrow || e[at + 3] !== d || e[at + 2] !== c || e[at + 1] !== b || e[at] !== a || e[at + FAMILY] !== 6
    ) this.#fill6(at, words, iface, narrow);
    return at;
  }

  /** OWN, SUBNET_BROADCAST (IPv4), SUBNET_ANYCAST (IPv6) or STRANGE. */
  kind(entry: number): number {
    return this.#entries[entry + KIND];
  }

  /** The route as `Fib.lookup` has it, -1 for none. */
  route(entry: number): number {
    return this.#entries[entry + ROUTE];
  }

  #fill4(at: number, word: number): void {
    const e = this.#entries;
    e[at] = word;
    e[at + 1] = e[at + 2] = e[at + 3] = 0;
    e[at + FAMILY] = 4;
    e[at + KIND] = this.#interfaces.kind4(word);
    e[at + ROUTE] = this.#fib.lookup(4, e, at);
  }

  #fill6(at: number, words: Int32Array, iface: number, narrow: boolean): void {
    const e = this.#entries, interfaces = this.#interfaces;
    for (let i = 0; i < 4; i++) e[at + i] = words[i];
    e[at + FAMILY] = 6;
    e[at + KIND] = interfaces.isLocal(words, 0, 6, iface)
      ? OWN
      : interfaces.isAnycast(words, 0, iface)
      ? SUBNET_ANYCAST
      : STRANGE;
    // A link-local destination is one of the link that the packet came from (rt6_need_strict).
    e[at + ROUTE] = this.#fib.lookup(6, words, 0, narrow ? iface : 0);
  }

  #forget(): void {
    this.#entries.fill(0);
    this.#version = this.#interfaces.version;
  }
}

/** Neighbours in a subnet get places far apart. */
function place(word: number): number {
  return Math.imul(word, 0x9e3779b1) >>> (32 - BITS);
}
