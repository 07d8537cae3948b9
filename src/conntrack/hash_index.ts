/**
 * An index of 32-bit hashes that is as large as what is in it, and grows and shrinks without a pause.
 *
 * ```
 *  slots    [ hash, value ][ hash, value ] …         open addressing, linear probing; value 0 is an empty slot
 *
 *  homes    0 ─────────── split ─────────── small       below `split` an entry's home is the upper bits of its hash,
 *             hash >>> shift   hash >>> (shift − 1)     from there on one bit more: twice the slots for the same entries
 *  slots    0 ─── split · · · · · 2·split ─── 2·small
 * ```
 *
 * Overview: the home of an entry is the upper bits of its hash, so entries stand in the order of their hashes, and a table
 * of twice the size has them in the same order, with gaps. To grow, `split` goes down from `small` to 0, a few homes with
 * each entry that comes: those of one home are taken out and stand at their two new homes, farther up. To shrink it goes
 * up. Whatever `split` is, one comparison tells an entry's home, so there is one run of slots to read and never an old and
 * a new table; when nothing moves, `split` is 0. Memory is reserved for the largest size, and touched as it is needed.
 *
 * Deletion shifts later entries back instead of leaving tombstones. Runs do not wrap: behind the last home there is room
 * for as many entries as there can be.
 *
 * Limits: it doubles when half of it is full, and halves when an eighth is. Hashes have to be keyed or mixed, as who
 * chooses what is hashed must not choose homes. Indices over one arena are one index, for one thread at a time.
 */
import type { Arena } from "../arena.ts";

/** In the arena: how far a hash is shifted for its home below the split; the split; entries. */
const SHIFT = 0, SPLIT = 1, COUNT = 2, SHARED_WORDS = 3;
/** Bits of the smallest size: 8 KiB of slots, unless there cannot be that many entries. */
const LEAST_BITS = 10;
/** Homes that move with an entry that comes or goes: a cache line of slots. */
const STEP = 8;

/** Hashes and values. */
export class HashIndex {
  /** Pairs: hash, value; `home` says where to begin. */
  readonly slots: Int32Array;
  readonly #shared: Int32Array;
  /** The shift at the smallest and at the largest size. */
  readonly #first: number;
  readonly #last: number;
  /** Entries that move. */
  #moving: Int32Array = new Int32Array(64);

  /** `most`: entries that there can be. */
  constructor(most: number, arena: Arena) {
    let bits = 4;
    while ((1 << bits) < most * 2) bits++;
    this.#last = 33 - bits;
    this.#first = 33 - Math.min(bits, LEAST_BITS);
    const shared = this.#shared = arena.int32(SHARED_WORDS);
    if (arena.fresh) shared[SHIFT] = this.#first;
    this.slots = arena.int32(((1 << bits) + most + 1) * 2);
  }

  /** Entries. */
  get count(): number {
    return this.#shared[COUNT];
  }

  /** Homes of the size that it has, or is about to have. */
  get size(): number {
    return 2 << (32 - this.#shared[SHIFT]);
  }

  /**
   * Where the run of slots begins in which entries of this hash are: hash and value at `slots[home]` and `slots[home + 1]`,
   * then at `home + 2`, and so on until a value is 0.
   */
  home(hash: number): number {
    const shift = this.#shared[SHIFT], home = hash >>> shift;
    return (home < this.#shared[SPLIT] ? home : hash >>> (shift - 1)) << 1;
  }

  /** Where an entry of this hash stands in `slots`, the latest; or the empty slot where its run ends. */
  find(hash: number): number {
    const slots = this.slots;
    let at = this.home(hash);
    while (slots[at + 1] !== 0 && slots[at] !== hash) at += 2;
    return at;
  }

  /** Adds an entry; among those of its hash the latest is met first. `value` is not 0. */
  add(hash: number, value: number): void {
    const slots = this.slots;
    let at = this.home(hash);
    for (let there; (there = slots[at + 1]) !== 0; at += 2) {
      if (slots[at] !== hash) continue;
      slots[at + 1] = value;
      value = there;
    }
    slots[at] = hash;
    slots[at + 1] = value;
    this.#shared[COUNT]++;
    this.#grow();
  }

  /** Takes an entry out, if it is there. */
  remove(hash: number, value: number): void {
    const slots = this.slots;
    let at = this.home(hash);
    for (; slots[at + 1] !== value; at += 2) if (slots[at + 1] === 0) return;
    this.#vacate(at);
    this.#shared[COUNT]--;
    this.#shrink();
  }

  /** Takes everything out, and makes room for so many entries. */
  reset(entries: number): void {
    const shared = this.#shared;
    if (shared[COUNT] !== 0) this.slots.fill(0);
    let shift = this.#first;
    while (shift > this.#last && 1 << (32 - shift) < entries) shift--;
    shared[SHIFT] = shift;
    shared[SPLIT] = shared[COUNT] = 0;
  }

  /** An entry has come. */
  #grow(): void {
    const shared = this.#shared, count = shared[COUNT], small = 1 << (32 - shared[SHIFT]);
    if (count <= small >> 1) return;
    let split = shared[SPLIT];
    if (split === 0) {
      if (count <= small || shared[SHIFT] <= this.#last) return;
      shared[SHIFT]--;
      split = shared[SPLIT] = small * 2;
    }
    for (const end = Math.max(split - STEP, 0); split > end;) {
      split--;
      const moving = this.#collect(split << 1, split, 0);
      shared[SPLIT] = split;
      this.#settle(moving);
    }
  }

  /** An entry has gone. */
  #shrink(): void {
    const shared = this.#shared, small = 1 << (32 - shared[SHIFT]);
    if (shared[COUNT] >= small >> 2) return;
    let split = shared[SPLIT];
    if (split === 0 && shared[SHIFT] >= this.#first) return;
    for (const end = Math.min(split + STEP, small); split < end;) {
      const moving = this.#collect(split << 2, split, 0),
        all = this.#collect((split << 2) + 2, split, moving);
      split++;
      shared[SPLIT] = split;
      this.#settle(all);
    }
    if (split < small) return;
    shared[SHIFT]++;
    shared[SPLIT] = 0;
  }

  /** Takes those entries out of a run that have this home below the split, `count` were taken before; how many now. */
  #collect(at: number, home: number, count: number): number {
    const slots = this.slots, shift = this.#shared[SHIFT];
    while (slots[at + 1] !== 0) {
      if (slots[at] >>> shift !== home) {
        at += 2;
        continue;
      }
      if (count * 2 === this.#moving.length) this.#makeRoom();
      this.#moving[count * 2] = slots[at];
      this.#moving[count * 2 + 1] = slots[at + 1];
      count++;
      this.#vacate(at);
    }
    return count;
  }

  /** Puts entries that were taken out where they belong now, in the same order. */
  #settle(count: number): void {
    const slots = this.slots, moving = this.#moving;
    for (let i = 0; i < count * 2; i += 2) {
      let at = this.home(moving[i]);
      while (slots[at + 1] !== 0) at += 2;
      slots[at] = moving[i];
      slots[at + 1] = moving[i + 1];
    }
  }

  /** So many of one home are of one hash: flows with the same tuple, in zones. */
  #makeRoom(): void {
    const moving = new Int32Array(this.#moving.length * 2);
    moving.set(this.#moving);
    this.#moving = moving;
  }

  /** Empties a slot: what stands behind it and may stand in it moves there, until the run ends. */
  #vacate(hole: number): void {
    const slots = this.slots;
    for (let at = hole + 2; slots[at + 1] !== 0; at += 2) {
      if (this.home(slots[at]) > hole) continue;
      slots[hole] = slots[at];
      slots[hole + 1] = slots[at + 1];
      hole = at;
    }
    slots[hole + 1] = 0;
  }
}
