/**
 * An index from addresses, or prefixes, to small numbers: what interfaces and routes are looked up in.
 *
 * Open addressing over one `Int32Array`, filled when the router is made and only read afterwards. A key is the four
 * words of an address and a fifth that keeps families, prefix lengths and kinds of address apart; IPv4 stands in
 * word 0 with zeros behind it, so both families share the table.
 */

/** Words per entry: four of the address, the tag, and the value + 1 (0 says that the place is free). */
const WORDS = 6;

export class AddressIndex {
  #entries: Int32Array;
  #mask: number;
  #count = 0;

  /** Makes room for `expected` keys; it grows when there are more. */
  constructor(expected = 16) {
    let capacity = 32;
    while (capacity < expected * 2) capacity *= 2;
    this.#entries = new Int32Array(capacity * WORDS);
    this.#mask = capacity - 1;
  }

  /** The value of a key, or -1. */
  find(a: number, b: number, c: number, d: number, tag: number): number {
    const entries = this.#entries;
    const mask = this.#mask;
    for (let i = hash(a, b, c, d, tag) & mask;; i = (i + 1) & mask) {
      const at = i * WORDS;
      const value = entries[at + 5];
      if (value === 0) return -1;
      if (
        entries[at] === a && entries[at + 3] === d && entries[at + 4] === tag && entries[at + 1] === b &&
        entries[at + 2] === c
      ) return value - 1;
    }
  }

  /** Adds a key, or gives it another value. Values are 0 or more. */
  set(a: number, b: number, c: number, d: number, tag: number, value: number): void {
    if ((this.#count + 1) * 2 > this.#mask + 1) this.#grow();
    if (this.#put(a, b, c, d, tag, value)) this.#count++;
  }

  #put(a: number, b: number, c: number, d: number, tag: number, value: number): boolean {
    const entries = this.#entries;
    for (let i = hash(a, b, c, d, tag) & this.#mask;; i = (i + 1) & this.#mask) {
      const at = i * WORDS;
      const free = entries[at + 5] === 0;
      if (
        free ||
        (entries[at] === a && entries[at + 1] === b && entries[at + 2] === c && entries[at + 3] === d &&
          entries[at + 4] === tag)
      ) {
        entries[at] = a;
        entries[at + 1] = b;
        entries[at + 2] = c;
        entries[at + 3] = d;
        entries[at + 4] = tag;
        entries[at + 5] = value + 1;
        return free;
      }
    }
  }

  #grow(): void {
    const old = this.#entries;
    this.#entries = new Int32Array(old.length * 2);
    this.#mask = this.#mask * 2 + 1;
    for (let at = 0; at < old.length; at += WORDS) {
      if (old[at + 5] !== 0) {
        this.#put(old[at], old[at + 1], old[at + 2], old[at + 3], old[at + 4], old[at + 5] - 1);
      }
    }
  }
}

/** Mixes five words (the finalizer of MurmurHash3 between them); the tables are not filled by strangers. */
export function hash(a: number, b: number, c: number, d: number, tag: number): number {
  let h = Math.imul(a, 0x9e3779b1) ^ tag;
  h = Math.imul(h ^ (h >>> 15) ^ b, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13) ^ c, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 16) ^ d, 0x9e3779b1);
  h ^= h >>> 15;
  h = Math.imul(h, 0x85ebca6b);
  return h ^ (h >>> 13);
}
