/**
 * The members of a set in memory, and what each has beside its key.
 *
 * Overview: an element is some words of one array. Elements of the same hash hang in a chain; the index holds the first
 * of each chain, and has twice as many places as there can be elements, so a lookup takes one or two steps whatever the
 * size:
 *
 * ```
 *  hash(key) ─▶ index[…] ─▶ element ─▶ element ─▶ 0
 *
 *  words of an element:   next · flags · key … [ end · place ] [ mark · mask · prio · queue ] [ comment ]
 *  counters, float64:     packets · bytes
 * ```
 *
 * What stands in brackets is there if the set was created with timeout, skbinfo or comment. Ends are milliseconds of the
 * router's clock; elements that have one hang in a heap as well (expiry.ts), so nobody searches for what has expired: a
 * lookup that meets such an element takes it for absent, and an addition or the sweep between batches takes it out.
 *
 * Life-cycle: the configuration fills `Elements` on the heap, which grow, and whose ends are still seconds. A router
 * takes them over into its arena with room for as many as the set may have; there they grow no more. All data planes
 * then work on the same words, one at a time.
 *
 * Limits: of an element that was removed the place is used again, so the order of members is that of their coming only
 * until one goes. Counters are exact up to 2⁵³. Comments are texts of the configuration.
 *
 * @module
 */
import { type Arena, HeapArena } from "../arena.ts";
import { Expiry } from "./expiry.ts";
import type { SetHeader } from "./header.ts";

// ── words of an element ─────────────────────────────────────────────────────────────────────────────────────────
/** The next of the chain, or of the free ones, with one added. */
const NEXT = 0;
/** Bits USED, NOMATCH, WILDCARD. */
const FLAGS = 1;
/** The key begins here. */
const KEY = 2;

/** The element is there; it is an exception; its interface's name is a beginning. */
export const USED = 1, NOMATCH = 2, WILDCARD = 4;

// ── words of the state ──────────────────────────────────────────────────────────────────────────────────────────
/** Elements there are; places ever used; the first free place, with one added; which goes when there is no room. */
const COUNT = 0, HIGH = 1, FREE = 2, HAND = 3, SEED = 4, STATE_WORDS = 5;

/** Fewest elements that there is room for. */
const LEAST = 16;

/** What an element can have beside its key. */
export interface Extensions {
  readonly timeout: boolean;
  readonly counters: boolean;
  readonly skbinfo: boolean;
  readonly comment: boolean;
}

/** Sizes of a key. */
export interface KeySize {
  readonly words: number;
  /** So many of the first are hashed. */
  readonly hashed: number;
}

/** What a set's header says of its elements. */
export function extensionsOf(header: SetHeader): Extensions {
  const { timeout, counters, skbinfo, comment } = header;
  return { timeout: timeout !== null, counters, skbinfo, comment };
}

/** All elements of a set. */
export class Elements {
  readonly extensions: Extensions;
  readonly capacity: number;
  /** Packets and bytes of element e at `2 * e`. */
  readonly counters: Float64Array;
  /** Texts that elements have the numbers of, from 1. */
  readonly comments: string[];
  readonly #size: KeySize;
  readonly #stride: number;
  readonly #words: Int32Array;
  readonly #index: Int32Array;
  readonly #last: number;
  readonly #state: Int32Array;
  readonly #expiry: Expiry | null;
  /** Not 0 once anything is not as the configuration has filled it. */
  readonly #changed: Int32Array;
  /** Words of the end, of skbinfo, of the comment's number. */
  readonly #time: number;
  readonly #skbinfo: number;
  readonly #comment: number;

  constructor(
    size: KeySize,
    extensions: Extensions,
    capacity: number,
    arena: Arena = new HeapArena(),
    comments: string[] = [],
  ) {
    this.#size = size;
    this.extensions = extensions;
    this.#changed = arena.changed ?? new Int32Array(1);
    if (extensions.counters) this.#changed[0] = 1; // whoever counts does not say so
    this.comments = comments;
    this.capacity = Math.max(capacity, LEAST);
    let stride = KEY + size.words;
    const take = (wanted: boolean, words: number) => wanted ? (stride += words) - words : -1;
    this.#time = take(extensions.timeout, 2);
    this.#skbinfo = take(extensions.skbinfo, 4);
    this.#comment = take(extensions.comment, 1);
    this.#stride = stride;
    this.#words = arena.int32(this.capacity * stride);
    // Twice as many places as elements: half of those that are not there are known by the index alone.
    this.#last = (2 << (32 - Math.clz32(this.capacity - 1))) - 1;
    this.#index = arena.int32(this.#last + 1);
    this.#state = arena.int32(STATE_WORDS);
    this.counters = arena.float64(extensions.counters ? this.capacity * 2 : 0);
    this.#expiry = extensions.timeout
      ? new Expiry(this.#words, stride, this.#time, this.capacity, arena)
      : null;
  }

  /** Elements that are there, the expired ones among them as long as nobody has taken them out. */
  get count(): number {
    return this.#state[COUNT];
  }

  /** Places that have been used: elements are below. */
  get high(): number {
    return this.#state[HIGH];
  }

  /** Elements that have an end. */
  get timed(): number {
    return this.#expiry === null ? 0 : this.#expiry.count;
  }

  /**
   * Takes over what the configuration has filled, into fresh memory; `now` makes ends of seconds. The seed is nobody's to
   * guess, so that packets cannot make long chains.
   */
  adopt(other: Elements, seed: number, now: number): void {
    this.#copy(other);
    this.#state[SEED] = seed;
    for (let e = 0; e < this.#state[HIGH]; e++) {
      this.#link(e);
      if (this.#expiry !== null) this.setTimeout(e, this.#words[e * this.#stride + this.#time], now);
    }
  }

  /** The same elements with more room; of those that the configuration fills. */
  grown(capacity: number): Elements {
    const made = new Elements(this.#size, this.extensions, capacity, undefined, this.comments);
    made.#copy(this);
    for (let e = 0; e < made.#state[HIGH]; e++) if ((made.flags(e) & USED) !== 0) made.#link(e);
    return made;
  }

  /** Elements close up: places of removed ones are not there any more. */
  #copy(other: Elements): void {
    const stride = this.#stride;
    let to = 0;
    for (let e = 0; e < other.high; e++) {
      if ((other.flags(e) & USED) === 0) continue;
      const from = e * stride;
      for (let i = 0; i < stride; i++) this.#words[to * stride + i] = other.#words[from + i];
      if (this.#time >= 0) this.#words[to * stride + this.#time + 1] = 0;
      if (this.extensions.counters) {
        this.counters[2 * to] = other.counters[2 * e];
        this.counters[2 * to + 1] = other.counters[2 * e + 1];
      }
      to++;
    }
    this.#state[COUNT] = this.#state[HIGH] = to;
  }

  #link(e: number): void {
    const words = this.#words, stride = this.#stride, at = e * stride, place = this.#hash(words, at + KEY);
    words[at + NEXT] = 0;
    // At the end: of several interfaces of a network the first to come is the first to be asked.
    let last = this.#index[place];
    if (last === 0) this.#index[place] = e + 1;
    else {
      while (words[(last - 1) * stride + NEXT] !== 0) last = words[(last - 1) * stride + NEXT];
      words[(last - 1) * stride + NEXT] = e + 1;
    }
  }

  /** The key's place in the index. */
  #hash(key: Int32Array, from: number): number {
    const end = from + this.#size.hashed;
    let h = this.#state[SEED];
    for (let i = from; i < end; i++) {
      h = Math.imul(h ^ Math.imul(key[i], 0xcc9e2d51 | 0), 0x1b873593);
      h ^= h >>> 15;
    }
    h = Math.imul(h ^ h >>> 13, 0x85ebca6b | 0);
    return (h ^ h >>> 16) & this.#last;
  }

  /** The element with a key, −1 when there is none. */
  find(key: Int32Array): number {
    return this.#same(this.#index[this.#hash(key, 0)], key, this.#size.words);
  }

  /** The first of those whose hashed words are the key's, −1 when there is none. */
  first(key: Int32Array): number {
    return this.#same(this.#index[this.#hash(key, 0)], key, this.#size.hashed);
  }

  /** The next of them. */
  next(e: number, key: Int32Array): number {
    return this.#same(this.#words[e * this.#stride + NEXT], key, this.#size.hashed);
  }

  /** The first from link `next` on whose first `size` words are the key's. */
  #same(next: number, key: Int32Array, size: number): number {
    const words = this.#words, stride = this.#stride;
    while (next !== 0) {
      const at = (next - 1) * stride, from = at + KEY;
      let i = 0;
      while (i < size && words[from + i] === key[i]) i++;
      if (i === size) return next - 1;
      next = words[at + NEXT];
    }
    return -1;
  }

  /** Puts in a key that is not there, without anything beside it; −1 when there is no room. */
  insert(key: Int32Array): number {
    const state = this.#state, stride = this.#stride, words = this.#words;
    this.#changed[0] = 1;
    let e = state[FREE] - 1;
    if (e >= 0) state[FREE] = words[e * stride + NEXT];
    else if (state[HIGH] < this.capacity) e = state[HIGH]++;
    else return -1;
    const at = e * stride;
    for (let i = 0; i < stride; i++) words[at + i] = 0;
    for (let i = 0; i < this.#size.words; i++) words[at + KEY + i] = key[i];
    words[at + FLAGS] = USED;
    if (this.extensions.counters) this.counters[2 * e] = this.counters[2 * e + 1] = 0;
    this.#link(e);
    state[COUNT]++;
    return e;
  }

  /** Takes an element out. */
  remove(e: number): void {
    const words = this.#words, stride = this.#stride, at = e * stride;
    const place = this.#hash(words, at + KEY);
    if (this.#index[place] === e + 1) this.#index[place] = words[at + NEXT];
    else {
      let before = (this.#index[place] - 1) * stride;
      while (words[before + NEXT] !== e + 1) before = (words[before + NEXT] - 1) * stride;
      words[before + NEXT] = words[at + NEXT];
    }
    this.#changed[0] = 1;
    this.#expiry?.remove(e);
    words[at + FLAGS] = 0;
    words[at + NEXT] = this.#state[FREE];
    this.#state[FREE] = e + 1;
    this.#state[COUNT]--;
  }

  /** Takes all out. */
  clear(): void {
    this.#changed[0] = 1;
    this.#index.fill(0);
    this.#state.fill(0, COUNT, SEED);
    this.#expiry?.clear();
  }

  /** An element that may go when another needs its place: one after the other. There must be one. */
  victim(): number {
    const state = this.#state;
    for (;;) {
      state[HAND] = state[HAND] + 1 < state[HIGH] ? state[HAND] + 1 : 0;
      if ((this.flags(state[HAND]) & USED) !== 0) return state[HAND];
    }
  }

  flags(e: number): number {
    return this.#words[e * this.#stride + FLAGS];
  }

  setFlags(e: number, flags: number): void {
    this.#changed[0] = 1;
    this.#words[e * this.#stride + FLAGS] = USED | flags;
  }

  /** A word of an element's key. */
  key(e: number, word: number): number {
    return this.#words[e * this.#stride + KEY + word];
  }

  // ── what an element has beside its key ────────────────────────────────────────────────────────────────────────

  /** Seconds of an element that is not at work yet, 0 for ever. */
  setSeconds(e: number, seconds: number): void {
    this.#words[e * this.#stride + this.#time] = seconds;
  }

  seconds(e: number): number {
    return this.#words[e * this.#stride + this.#time];
  }

  /** The element stays so many seconds from now on, 0 for ever. */
  setTimeout(e: number, seconds: number, now: number): void {
    const expiry = this.#expiry!;
    this.#changed[0] = 1;
    if (seconds === 0) return expiry.remove(e);
    this.#words[e * this.#stride + this.#time] = (now + seconds * 1000) | 0;
    expiry.set(e);
  }

  /** Seconds that an element still has, at least 1 as the kernel shows it; 0 for ever. */
  remaining(e: number, now: number): number {
    const at = e * this.#stride + this.#time;
    if (this.#words[at + 1] === 0) return 0;
    return Math.max(1, Math.floor(((this.#words[at] - now) | 0) / 1000));
  }

  /** True when an element's time is over. */
  expired(e: number, now: number): boolean {
    if (this.#time < 0) return false;
    const at = e * this.#stride + this.#time;
    return this.#words[at + 1] !== 0 && ((this.#words[at] - now) | 0) <= 0;
  }

  /** The element whose time has been over for longest, −1 when there is none. */
  due(now: number): number {
    const expiry = this.#expiry;
    if (expiry === null || expiry.count === 0) return -1;
    return this.expired(expiry.first, now) ? expiry.first : -1;
  }

  setSkbinfo(e: number, mark: number, mask: number, prio: number, queue: number): void {
    const at = e * this.#stride + this.#skbinfo, words = this.#words;
    this.#changed[0] = 1;
    words[at] = mark;
    words[at + 1] = mask;
    words[at + 2] = prio;
    words[at + 3] = queue;
  }

  /** Mark, mask, priority and queue by their number. */
  skbinfo(e: number, which: 0 | 1 | 2 | 3): number {
    return this.#words[e * this.#stride + this.#skbinfo + which];
  }

  setComment(e: number, text: string): void {
    this.#changed[0] = 1;
    if (text !== "") this.comments.push(text);
    this.#words[e * this.#stride + this.#comment] = text === "" ? 0 : this.comments.length;
  }

  /** Elements whose comment is not among the texts have none. */
  forgetComments(): void {
    if (this.#comment < 0) return;
    for (let e = 0; e < this.#state[HIGH]; e++) {
      const at = e * this.#stride + this.#comment;
      if (this.#words[at] > this.comments.length) this.#words[at] = 0;
    }
  }

  /** Two numbers that differ when the elements, as the configuration has filled them, do. */
  digest(): string {
    const mix = (hash: number, word: number) => Math.imul(hash ^ word ^ word >>> 15, 0x01000193);
    let forth = 0x811c9dc5 | 0, back = 0x1b873593 | 0;
    for (let i = 0, end = this.#state[HIGH] * this.#stride; i < end; i++) {
      forth = mix(forth, this.#words[i]);
      back = mix(back, this.#words[end - 1 - i]);
    }
    for (const value of [...this.counters.subarray(0, 2 * this.#state[HIGH]), ...this.comments]) {
      for (const char of `${value} `) forth = mix(forth, char.charCodeAt(0));
    }
    return `${this.#state[HIGH]} ${forth} ${back}`;
  }

  comment(e: number): string {
    const number = this.#words[e * this.#stride + this.#comment];
    return number === 0 ? "" : this.comments[number - 1];
  }
}
