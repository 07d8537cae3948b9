/** Which prefix lengths the networks of a set have, the longest first: so many lookups an address takes. */
import type { Arena } from "../arena.ts";

/** Lengths from 0 to 128. */
const LENGTHS = 129;

/** Prefix lengths in use. */
export class Prefixes {
  /** How many lengths, then the lengths. */
  readonly list: Int32Array;
  /** Networks of each length. */
  readonly #counts: Int32Array;

  constructor(arena: Arena) {
    this.list = arena.int32(LENGTHS + 1);
    this.#counts = arena.int32(LENGTHS);
  }

  add(length: number): void {
    if (this.#counts[length]++ !== 0) return;
    const list = this.list;
    let at = ++list[0];
    for (; at > 1 && list[at - 1] < length; at--) list[at] = list[at - 1];
    list[at] = length;
  }

  remove(length: number): void {
    if (--this.#counts[length] !== 0) return;
    const list = this.list, count = list[0]--;
    for (let at = list.indexOf(length, 1); at < count; at++) list[at] = list[at + 1];
  }

  clear(): void {
    this.list[0] = 0;
    this.#counts.fill(0);
  }
}
