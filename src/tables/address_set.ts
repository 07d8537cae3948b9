/**
 * Addresses and networks under a name, as ipset keeps them: any number of them, and one lookup for each prefix length
 * that they have.
 *
 * @module
 */
import type { Family } from "../netfilter.ts";
import { ADDRESS_WORDS, prefixMask } from "../packet/address.ts";
import { mix } from "./mix.ts";

/** An address with its prefix length, the bits behind it zero. */
export interface Member {
  readonly family: Family;
  readonly words: Int32Array;
  readonly length: number;
}

/** Words of a slot: the address, and its prefix length with one added; 0 when it is free. */
const SLOT_WORDS = ADDRESS_WORDS + 1;

/** The members of one family. */
class Networks {
  /** Masks of all prefix lengths that there are, and the lengths; the commonest first. */
  readonly #masks: Int32Array;
  readonly #lengths: Int32Array;
  readonly #slots: Int32Array;
  readonly #last: number;

  constructor(family: Family, members: readonly Member[]) {
    const count = new Map<number, number>();
    for (const { length } of members) count.set(length, (count.get(length) ?? 0) + 1);
    const lengths = [...count].sort((a, b) => b[1] - a[1]).map(([length]) => length);
    this.#lengths = Int32Array.from(lengths);
    this.#masks = Int32Array.from(lengths.flatMap((length) => [...prefixMask(family, length)]));
    const size = 2 << (32 - Math.clz32(members.length));
    this.#slots = new Int32Array(size * SLOT_WORDS);
    this.#last = size - 1;
    for (const { words, length } of members) this.#add(words[0], words[1], words[2], words[3], length);
  }

  #add(a: number, b: number, c: number, d: number, length: number): void {
    const at = this.#find(a, b, c, d, length);
    if (this.#slots[at + ADDRESS_WORDS] === 0) this.#slots.set([a, b, c, d, length + 1], at);
  }

  /** The slot of a network, or the free one where it would be. */
  #find(a: number, b: number, c: number, d: number, length: number): number {
    const slots = this.#slots, last = this.#last;
    for (let slot = mix(mix(mix(mix(mix(0, length), a), b), c), d) & last;; slot = (slot + 1) & last) {
      const at = slot * SLOT_WORDS;
      if (
        slots[at + ADDRESS_WORDS] === 0 ||
        slots[at] === a && slots[at + 1] === b && slots[at + 2] === c && slots[at + 3] === d &&
          slots[at + ADDRESS_WORDS] === length + 1
      ) return at;
    }
  }

  /** Whether one of them holds an address. */
  hold(a: number, b: number, c: number, d: number): boolean {
    const lengths = this.#lengths, masks = this.#masks;
    for (let i = 0; i < lengths.length; i++) {
      const m = i * ADDRESS_WORDS;
      const at = this.#find(a & masks[m], b & masks[m + 1], c & masks[m + 2], d & masks[m + 3], lengths[i]);
      if (this.#slots[at + ADDRESS_WORDS] !== 0) return true;
    }
    return false;
  }
}

/** A set: addresses of both families. */
export class AddressSet {
  readonly name: string;
  readonly #ipv4: Networks;
  readonly #ipv6: Networks;

  constructor(name: string, members: readonly Member[]) {
    this.name = name;
    this.#ipv4 = new Networks(4, members.filter(({ family }) => family === 4));
    this.#ipv6 = new Networks(6, members.filter(({ family }) => family === 6));
  }

  /** Whether the address that stands at `from` is in it. */
  has(family: Family, view: DataView, from: number): boolean {
    return family === 4 ? this.#ipv4.hold(view.getInt32(from), 0, 0, 0) : this.#ipv6.hold(
      view.getInt32(from),
      view.getInt32(from + 4),
      view.getInt32(from + 8),
      view.getInt32(from + 12),
    );
  }
}
