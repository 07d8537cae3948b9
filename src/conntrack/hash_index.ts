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
 * each entry that comes: what stands there is taken out and finds its new homes, farther up. To shrink it goes up.
 * Whatever `split` is, one comparison tells an entry's home: there is one run of slots to read, never an old and a new
 * table. When nothing moves, `split` is 0. Memory for the largest size is there from the start.
 *
 * Deletion shifts later entries back instead of leaving tombstones. Runs do not wrap: behind the last home there is room
 * for as many entries as there can be.
 *
 * Limits: it doubles when half of it is full, and halves when an eighth is. Hashes have to be keyed or mixed, as who
 * chooses what is hashed must not choose homes. Indices over one arena are one index, for one thread at a time.
 */
import type { Arena } from "../arena.ts";

/**
 * In front of the slots, as every look needs both: how far a hash is shifted for its home below the split; the split; how
 * many entries there are. Slots begin on the next cache line.
 */
const SHIFT = 0, SPLIT = 1, COUNT = 2, HEAD = 16;
/** Bits of the smallest size: 8 KiB of slots, unless there cannot be that many entries. */
const LEAST_BITS = 10;
/** Homes that move with an entry that comes or goes: a cache line of slots. */
const STEP = 8;

/** Hashes and values. */
export class HashIndex {
  /** Pairs of hash and value; `home` says where to begin. */
  readonly slots: Int32Array;
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
    const homes = HEAD + (2 << bits);
    this.slots = arena.int32(homes + (most + 1) * 2, homes);
    if (arena.fresh) this.slots[SHIFT] = this.#first;
  }

  /** Entries. */
  get count(): number {
    return this.slots[COUNT];
  }

  /** Homes of the size that it has, or is about to have. */
  get size(): number {
    return 2 << (32 - this.slots[SHIFT]);
  }

  /**
   * Where the run of slots begins in which entries of this hash are: hash and value at `slots[home]` and `slots[home + 1]`,
   * then at `home + 2`, and so on until a value is 0.
   */
  home(hash: number): number {
    const slots = this.slots, shift = slots[SHIFT], home = hash >>> shift;
    return HEAD + ((home < slots[SPLIT] ? home : hash >>> (shift - 1)) << 1);
  }

  /** Where an entry of this hash stands in `slots`, the latest; or the empty slot where its run ends. */
  find(hash: number): number {
    const slots = this.slots;
    let at = this.home(hash);
    while (slots[at + 1] !== 0 && slots[at] !== hash) at += 2;
    return at;
  }

  /** The value in the `n`-th slot behind the home of a hash, 0 when it is empty; behind the last comes the first. */
  neighbour(hash: number, n: number): number {
    return this.slots[HEAD + (this.home(hash) - HEAD + 2 * n) % (2 * this.size) + 1];
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
    slots[COUNT]++;
    this.#grow();
  }

  /** Takes an entry out, if it is there. */
  remove(hash: number, value: number): void {
    const slots = this.slots;
    let at = this.home(hash);
    for (; slots[at + 1] !== value; at += 2) if (slots[at + 1] === 0) return;
    this.#vacate(at);
    slots[COUNT]--;
    this.#shrink();
  }

  /**
   * Puts many entries into an index that has just been made: pairs of hash and value, in an array or its front. One by one
   * each would be a wait for memory; sorted by their homes they come to slots one behind the other. `same` is asked about
   * two entries of one hash, and says what stands for both; without it both stay.
   */
  fill(
    pairs: Int32Array,
    count: number,
    same: ((there: number, value: number) => number) | null = null,
  ): void {
    const slots = this.slots;
    let shift = this.#first;
    while (shift > this.#last && 1 << (32 - shift) < count) shift--;
    slots[SHIFT] = shift;
    const sorted = sortByHash(pairs, count, shift - 1);
    let at = HEAD, filled = 0;
    for (let i = 0; i < count * 2; i += 2) {
      const hash = sorted[i], home = this.home(hash);
      if (same !== null) {
        let there = at - 2;
        while (there >= home && slots[there] !== hash) there -= 2;
        if (there >= home) {
          slots[there + 1] = same(slots[there + 1], sorted[i + 1]);
          continue;
        }
      }
      if (at < home) at = home;
      slots[at] = hash;
      slots[at + 1] = sorted[i + 1];
      at += 2;
      filled++;
    }
    slots[COUNT] = filled;
  }

  /** An entry has come. */
  #grow(): void {
    const slots = this.slots, count = slots[COUNT], small = 1 << (32 - slots[SHIFT]);
    if (count <= small >> 1) return;
    let split = slots[SPLIT];
    if (split === 0) {
      if (count <= small || slots[SHIFT] <= this.#last) return;
      slots[SHIFT]--;
      split = slots[SPLIT] = small * 2;
    }
    const end = Math.max(split - STEP, 0);
    this.#move(end << 1, split << 1, end);
  }

  /** An entry has gone. */
  #shrink(): void {
    const slots = this.slots, small = 1 << (32 - slots[SHIFT]), split = slots[SPLIT];
    if (slots[COUNT] >= small >> 2 || (split === 0 && slots[SHIFT] >= this.#first)) return;
    const end = Math.min(split + STEP, small);
    this.#move(split << 2, end << 2, end);
    if (end < small) return;
    slots[SHIFT]++;
    slots[SPLIT] = 0;
  }

  /**
   * Moves the split. What stands from slot `from` to `to`, and on to the end of the run there, is all that has another home
   * now, and nothing else is found by way of these slots: it is taken out and finds its places anew, in the same order.
   */
  #move(from: number, to: number, split: number): void {
    const slots = this.slots;
    let moving = this.#moving, count = 0;
    for (let at = HEAD + from, end = HEAD + to; at < end || slots[at + 1] !== 0; at += 2) {
      const value = slots[at + 1];
      if (value === 0) continue;
      if (count === moving.length) moving = this.#makeRoom();
      moving[count++] = slots[at];
      moving[count++] = value;
      slots[at + 1] = 0;
    }
    slots[SPLIT] = split;
    for (let i = 0; i < count; i += 2) {
      const hash = moving[i];
      let at = this.home(hash);
      while (slots[at + 1] !== 0) at += 2;
      slots[at] = hash;
      slots[at + 1] = moving[i + 1];
    }
  }

  /** Runs are short, unless many flows have the same tuple, in zones. */
  #makeRoom(): Int32Array {
    const moving = new Int32Array(this.#moving.length * 2);
    moving.set(this.#moving);
    return this.#moving = moving;
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

/** Bits of a hash by which pairs are parted first: the parts fit into the cache nearest to the processor but one. */
const PART_BITS = 8;

/** Pairs in the order of the upper bits of their hashes, all but the lower `shift`; those equal in these as they came. */
function sortByHash(pairs: Int32Array, count: number, shift: number): Int32Array {
  const parts = 1 << PART_BITS, partShift = 32 - PART_BITS;
  const once = new Int32Array(count * 2), twice = new Int32Array(count * 2);
  // First into parts, then each part in itself: so what is written stays in the cache until it is read.
  const begins = order(pairs, 0, count * 2, once, new Int32Array(parts + 1), partShift);
  const rest = partShift - shift;
  if (rest <= 0) return once;
  const places = new Int32Array((1 << rest) + 1);
  for (let part = 0; part < parts; part++) {
    order(once, part === 0 ? 0 : begins[part - 1], begins[part], twice, places.fill(0), shift);
  }
  return twice;
}

/**
 * Orders the pairs from `from` to `to` by as many bits of their hashes above `shift` as `places` has words, into the same
 * place of `out`. Leaves in `places` where each group ends.
 */
function order(
  pairs: Int32Array,
  from: number,
  to: number,
  out: Int32Array,
  places: Int32Array,
  shift: number,
): Int32Array {
  const mask = places.length - 2;
  for (let i = from; i < to; i += 2) places[(pairs[i] >>> shift & mask) + 1] += 2;
  for (let n = 0, at = from; n <= mask; n++) places[n] = at += places[n];
  for (let i = from; i < to; i += 2) {
    const group = pairs[i] >>> shift & mask, at = places[group];
    places[group] = at + 2;
    out[at] = pairs[i];
    out[at + 1] = pairs[i + 1];
  }
  return places;
}
