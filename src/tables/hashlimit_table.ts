/**
 * Token buckets by address and port: what `-m hashlimit` keeps under a name (xt_hashlimit).
 *
 * ```
 *  heads ─▶ bucket ─▶ bucket       by hash of the key
 *  numbers  credit, when it was last counted, when the bucket is forgotten
 * ```
 *
 * Credits are counted in the kernel's own steps: ticks of 4 ms (HZ = 250), periods in microseconds. A bucket that
 * nobody has asked for some time is forgotten, and full when its key comes again. Each new one looks at two others
 * whether they can go; where there is no room for it, its packet is dropped, as in Linux.
 */
import type { Arena } from "../arena.ts";
import type { Clock } from "../clock.ts";
import type { Family } from "../netfilter.ts";
import { CHUNK_SHIFT } from "./byte_rate.ts";

/** Words of a key: source, destination, both ports. */
const KEY_WORDS = 9;
/** `BURSTS`: of bytes, how often the bucket may still be filled up before its time. */
const NEXT = 9, LIVE = 10, BURSTS = 11, BUCKET = 12;
const CREDIT = 0, TICK = 1, EXPIRES = 2, NUMBERS = 3;
/** Buckets so far, the first that is free again, where the next look at old ones begins. */
const COUNT = 0, FREE = 1, CURSOR = 2, USED = 3, HEAD = 4;
const NONE = -1;
/** Microseconds of credit for each tick, as they come out of the kernel's whole numbers. */
const CREDITS_PER_TICK = 2 ** 39 / 137438953;
const TICK_SHIFT = 2;
/** The same of bytes (CREDITS_PER_JIFFY_BYTES): the bucket holds what a second brings. */
const BYTE_CREDITS_PER_TICK = 2 ** 24, BYTE_CAP = 250 * BYTE_CREDITS_PER_TICK;

/** What the first rule says of the buckets of a name. */
export interface HashlimitConfig {
  /** Microseconds between two packets, and how many may come at once. Of bytes: a chunk's part of 2³² seconds, and bursts. */
  readonly period: number;
  readonly burst: number;
  readonly bytes: boolean;
  /** Milliseconds after which a bucket is forgotten. */
  readonly expire: number;
  readonly size: number;
  readonly max: number;
  /** What makes the key, and under which masks. */
  readonly mode: number;
  readonly sourceLength: number;
  readonly destinationLength: number;
}

/** The buckets of one name. */
export class HashlimitTable {
  /** The key that is looked for: whoever asks writes it. */
  readonly key: Int32Array = new Int32Array(KEY_WORDS);
  readonly config: HashlimitConfig;
  readonly #clock: Clock;
  readonly #cap: number;
  readonly #perTick: number;
  /** Of a packet, or of a chunk of bytes. */
  readonly #cost: number;
  readonly #heads: number;
  readonly #words: Int32Array;
  readonly #numbers: Float64Array;

  constructor(clock: Clock, arena: Arena, config: HashlimitConfig) {
    this.#clock = clock;
    this.config = config;
    const { period, bytes } = config;
    this.#cap = bytes ? BYTE_CAP : period * config.burst;
    this.#perTick = bytes ? BYTE_CREDITS_PER_TICK : CREDITS_PER_TICK;
    this.#cost = bytes ? Number((BigInt(period) * BigInt(BYTE_CAP)) >> 32n) : period;
    this.#heads = 2 ** Math.ceil(Math.log2(config.size));
    this.#words = arena.int32(HEAD + this.#heads + config.max * BUCKET);
    this.#numbers = arena.float64(config.max * NUMBERS);
    if (!arena.fresh) return;
    this.#words.fill(NONE, HEAD, HEAD + this.#heads);
    this.#words[FREE] = NONE;
  }

  /** How many buckets there are. */
  get size(): number {
    return this.#words[USED];
  }

  /** Takes a packet's worth from the bucket of `key`: 1 when there was enough, 0 when not, −1 without a bucket. */
  take(length: number): -1 | 0 | 1 {
    const now = this.#clock.now, tick = now >>> TICK_SHIFT, numbers = this.#numbers, { config } = this;
    const bucket = this.#find();
    if (bucket === NONE) return NONE;
    const at = bucket * NUMBERS, words = this.#words, w = this.#at(bucket);
    if (words[w + LIVE] === 0 || ((now - numbers[at + EXPIRES]) | 0) >= 0) {
      words[w + LIVE] = 1;
      words[w + BURSTS] = config.burst;
      numbers[at + CREDIT] = this.#cap;
    } else {
      const elapsed = (tick - numbers[at + TICK]) & 0x3fffffff;
      numbers[at + CREDIT] = Math.min(this.#cap, numbers[at + CREDIT] + elapsed * this.#perTick);
    }
    numbers[at + TICK] = tick;
    numbers[at + EXPIRES] = (now + config.expire) | 0;
    let cost = this.#cost;
    if (config.bytes) {
      cost = Math.min(BYTE_CAP, ((length >> CHUNK_SHIFT) + 1) * cost);
      if (numbers[at + CREDIT] < cost && words[w + BURSTS] !== 0) {
        words[w + BURSTS]--;
        numbers[at + CREDIT] = BYTE_CAP;
      }
    }
    if (numbers[at + CREDIT] < cost) return 0;
    numbers[at + CREDIT] -= cost;
    return 1;
  }

  /** The bucket of `key`, a new one if need be. */
  #find(): number {
    const words = this.#words, key = this.key, head = HEAD + this.#hash(key, 0);
    for (let bucket = words[head]; bucket !== NONE; bucket = words[this.#at(bucket) + NEXT]) {
      const at = this.#at(bucket);
      let i = 0;
      while (i < KEY_WORDS && words[at + i] === key[i]) i++;
      if (i === KEY_WORDS) return bucket;
    }
    this.#forget();
    this.#forget();
    let bucket = words[FREE];
    if (bucket !== NONE) words[FREE] = words[this.#at(bucket) + NEXT];
    else if (words[COUNT] < this.config.max) bucket = words[COUNT]++;
    else return NONE;
    const at = this.#at(bucket);
    for (let i = 0; i < KEY_WORDS; i++) words[at + i] = key[i];
    words[at + LIVE] = 0;
    words[at + NEXT] = words[head];
    words[head] = bucket;
    words[USED]++;
    return bucket;
  }

  /** Looks at one bucket whether it is old enough to go. */
  #forget(): void {
    const words = this.#words, count = words[COUNT];
    if (count === 0) return;
    const bucket = words[CURSOR] = words[CURSOR] + 1 < count ? words[CURSOR] + 1 : 0;
    const at = this.#at(bucket);
    if (words[at + LIVE] === 0 || ((this.#clock.now - this.#numbers[bucket * NUMBERS + EXPIRES]) | 0) < 0) {
      return;
    }
    const head = HEAD + this.#hash(words, at);
    if (words[head] === bucket) words[head] = words[at + NEXT];
    else {
      let before = words[head];
      while (words[this.#at(before) + NEXT] !== bucket) before = words[this.#at(before) + NEXT];
      words[this.#at(before) + NEXT] = words[at + NEXT];
    }
    words[at + LIVE] = 0;
    words[at + NEXT] = words[FREE];
    words[FREE] = bucket;
    words[USED]--;
  }

  #at(bucket: number): number {
    return HEAD + this.#heads + bucket * BUCKET;
  }

  #hash(words: Int32Array, at: number): number {
    let hash = 0x2545f491;
    for (let i = 0; i < KEY_WORDS; i++) {
      hash = Math.imul(hash ^ words[at + i], 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    return hash & (this.#heads - 1);
  }
}

/** All of one router: rules of one name and family share their buckets, as the first of them has it. */
export class HashlimitTables {
  readonly #clock: Clock;
  readonly #arena: Arena;
  readonly #tables = new Map<string, HashlimitTable>();

  /** `arena`: buckets stay through a reload, if the first rule says the same. */
  constructor(o: { clock: Clock; arena: Arena }) {
    this.#clock = o.clock;
    this.#arena = o.arena;
  }

  get(name: string, family: Family, config: HashlimitConfig): HashlimitTable {
    const known = this.#tables.get(`${family} ${name}`);
    if (known !== undefined) return known;
    const arena = this.#arena.named(`hashlimit ${family} ${name} ${Object.values(config).join(" ")}`);
    const table = new HashlimitTable(this.#clock, arena, config);
    this.#tables.set(`${family} ${name}`, table);
    return table;
  }
}
