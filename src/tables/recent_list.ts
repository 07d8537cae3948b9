/**
 * Addresses that rules have seen, and when: what `-m recent` keeps under a name (xt_recent).
 *
 * ```
 *  heads  ─▶ entry ─▶ entry      by hash, for the lookup
 *  oldest ─▶ entry ─▶ entry …    by the last time that a rule has put it there: who is first goes first
 *  times     the newest `stamps` times of each entry, in a ring
 * ```
 *
 * Rules of both families and of all tables share the list of a name. Linux keeps 100 addresses in each
 * (ip_list_tot) and at most so many times as a rule asks hits for; so does Weir.
 *
 * Limits: time is counted from use to use in milliseconds of a clock that wraps, so a list that no packet has asked for
 * 24 days is younger than it should be.
 */
import type { Arena } from "../arena.ts";
import type { Clock } from "../clock.ts";
import type { Family } from "../netfilter.ts";

/** Addresses that a list holds. */
const RECENT_ENTRIES = 100;

const HEADS = 64;
const ENTRY = 12;
/** Words of an entry: address, family (0: it is free), TTL, times in the ring, the next place there, links. */
const FAMILY = 4, TTL = 5, COUNT = 6, PLACE = 7, BEFORE = 8, AFTER = 9, CHAIN = 10;
/** Words in front of the entries: the oldest and the newest, how many there are, the first free one. */
const OLDEST = 0, NEWEST = 1, USED = 2, FREE = 3, HEAD = 4;
/** Numbers in front of the times: the time, and the clock when it was last looked at. */
const NOW = 0, CLOCK = 1, TIMES = 2;
const NONE = -1;

/** What rules ask of a list before it is made. */
export interface RecentNeeds {
  /** Times to remember of each address. */
  readonly stamps: number;
  /** Bits of addresses that count. */
  readonly mask: Int32Array;
}

/** One list. */
export class RecentList {
  readonly #clock: Clock;
  readonly #mask: Int32Array;
  readonly #stamps: number;
  readonly #words: Int32Array;
  readonly #times: Float64Array;
  readonly #key = new Int32Array(4);

  constructor(clock: Clock, arena: Arena, needs: RecentNeeds) {
    this.#clock = clock;
    this.#mask = needs.mask;
    this.#stamps = needs.stamps;
    const words = this.#words = arena.int32(HEAD + HEADS + RECENT_ENTRIES * ENTRY);
    this.#times = arena.float64(TIMES + RECENT_ENTRIES * needs.stamps);
    if (!arena.fresh) return;
    words.fill(NONE, 0, HEAD + HEADS);
    words[USED] = words[FREE] = 0;
    for (let entry = 0; entry < RECENT_ENTRIES; entry++) {
      words[at(entry) + CHAIN] = entry + 1 < RECENT_ENTRIES ? entry + 1 : NONE;
    }
    this.#times[CLOCK] = clock.now;
  }

  /** Addresses in it. */
  get size(): number {
    return this.#words[USED];
  }

  /** The entry of an address, −1 when there is none. With a TTL that is not 0 the entry's has to be that. */
  find(address: Int32Array, family: Family, ttl: number): number {
    const words = this.#words, key = this.#key, mask = this.#mask;
    for (let i = 0; i < 4; i++) key[i] = address[i] & mask[i];
    for (let entry = words[HEAD + this.#hash(family)]; entry !== NONE; entry = words[at(entry) + CHAIN]) {
      const e = at(entry), known = words[e + TTL];
      if (
        words[e] === key[0] && words[e + 1] === key[1] && words[e + 2] === key[2] &&
        words[e + 3] === key[3] &&
        words[e + FAMILY] === family && (ttl === 0 || known === 0 || known === ttl)
      ) return entry;
    }
    return NONE;
  }

  /** A new entry for the address that was looked for last; where there is no room the oldest one goes. */
  add(family: Family, ttl: number): number {
    const words = this.#words, key = this.#key;
    if (words[USED] === RECENT_ENTRIES) this.remove(words[OLDEST]);
    const entry = words[FREE], e = at(entry), head = HEAD + this.#hash(family);
    words[FREE] = words[e + CHAIN];
    words[USED]++;
    for (let i = 0; i < 4; i++) words[e + i] = key[i];
    words[e + FAMILY] = family;
    words[e + TTL] = ttl;
    words[e + COUNT] = words[e + PLACE] = 0;
    words[e + CHAIN] = words[head];
    words[head] = entry;
    this.#append(entry);
    return entry;
  }

  /** It was seen now: it is the newest. */
  stamp(entry: number, ttl: number): void {
    const words = this.#words, e = at(entry), place = words[e + PLACE];
    this.#times[TIMES + entry * this.#stamps + place] = this.#now();
    words[e + PLACE] = (place + 1) % this.#stamps;
    if (words[e + COUNT] < this.#stamps) words[e + COUNT]++;
    words[e + TTL] = ttl;
    this.#unlink(entry);
    this.#append(entry);
  }

  /** How often it was seen, of what is remembered; within so many milliseconds, if not 0. */
  hits(entry: number, within: number): number {
    const count = this.#words[at(entry) + COUNT];
    if (within === 0) return count;
    const times = this.#times, from = TIMES + entry * this.#stamps, since = this.#now() - within;
    let hits = 0;
    for (let i = 0; i < count; i++) if (times[from + i] >= since) hits++;
    return hits;
  }

  remove(entry: number): void {
    const words = this.#words, e = at(entry);
    // The key may be another one's, that an address is to be added for.
    const head = HEAD + hash(words[e], words[e + 1], words[e + 2], words[e + 3], words[e + FAMILY]);
    if (words[head] === entry) words[head] = words[e + CHAIN];
    else {
      let before = words[head];
      while (words[at(before) + CHAIN] !== entry) before = words[at(before) + CHAIN];
      words[at(before) + CHAIN] = words[e + CHAIN];
    }
    this.#unlink(entry);
    words[e + CHAIN] = words[FREE];
    words[FREE] = entry;
    words[USED]--;
  }

  /** The oldest entry goes if it was last seen longer ago than that, unless it is `spared`. */
  reap(within: number, spared: number): void {
    const entry = this.#words[OLDEST];
    if (entry === NONE || entry === spared) return;
    const place = (this.#words[at(entry) + PLACE] + this.#stamps - 1) % this.#stamps;
    if (this.#times[TIMES + entry * this.#stamps + place] < this.#now() - within) this.remove(entry);
  }

  #now(): number {
    const times = this.#times, clock = this.#clock.now;
    times[NOW] += (clock - times[CLOCK]) | 0;
    times[CLOCK] = clock;
    return times[NOW];
  }

  #hash(family: Family): number {
    const key = this.#key;
    return hash(key[0], key[1], key[2], key[3], family);
  }

  #append(entry: number): void {
    const words = this.#words, e = at(entry), newest = words[NEWEST];
    words[e + BEFORE] = newest;
    words[e + AFTER] = NONE;
    if (newest === NONE) words[OLDEST] = entry;
    else words[at(newest) + AFTER] = entry;
    words[NEWEST] = entry;
  }

  #unlink(entry: number): void {
    const words = this.#words, e = at(entry), before = words[e + BEFORE], after = words[e + AFTER];
    if (before === NONE) words[OLDEST] = after;
    else words[at(before) + AFTER] = after;
    if (after === NONE) words[NEWEST] = before;
    else words[at(after) + BEFORE] = before;
  }
}

function at(entry: number): number {
  return HEAD + HEADS + entry * ENTRY;
}

function hash(a: number, b: number, c: number, d: number, family: number): number {
  let h = Math.imul(a ^ family, 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 15) ^ b, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13) ^ c, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 16) ^ d, 0x9e3779b1);
  return (h ^ (h >>> 16)) & (HEADS - 1);
}

/** All lists of one router. */
export class RecentLists {
  readonly #lists = new Map<string, RecentList>();

  /** `arena`: what has a name there stays through a reload, if rules ask the same of it. */
  constructor(needs: ReadonlyMap<string, RecentNeeds>, o: { clock: Clock; arena: Arena }) {
    for (const [name, need] of needs) {
      const known = `recent ${name} ${need.stamps} ${need.mask.join(" ")}`;
      this.#lists.set(name, new RecentList(o.clock, o.arena.named(known), need));
    }
  }

  /** The list of a name, which a rule has asked for. */
  get(name: string): RecentList {
    const list = this.#lists.get(name);
    if (list === undefined) throw new Error(`no rule has asked for a list ${name}`);
    return list;
  }
}
