/**
 * Limits on ICMP messages, in Linux's own arithmetic: a token bucket per target (inet_peer_xrlim_allow) and one for all
 * targets together (icmp_global_allow). Tokens are milliseconds. Linux draws 0 to 2 tokens per message from the bucket
 * for all, so that nobody can count others' messages by it; Weir takes the mean, 1.
 *
 * The targets' table has a fixed size. A target that has to leave comes back with a full bucket, as in Linux.
 */
import { type Arena, HeapArena } from "../arena.ts";
import type { Clock } from "../clock.ts";
import { hash } from "./address_index.ts";

/** A bucket holds this many messages' tokens (XRLIM_BURST_FACTOR). */
const BURST = 6;
/** Cost of an answer to a packet without route, and the most it saves up (ip_rt_error_cost, ip_rt_error_burst). */
const ERROR_COST = 1000, ERROR_BURST = 5000;
/** A new target's bucket has waited this long. */
const NEW = 60000;

const SETS = 1024, WAYS = 4, WORDS = 8;
/** USED: 1 and the redirects sent since the last silence, 0 for a free entry. */
const KEY = 4, TOKENS = 5, LAST = 6, USED = 7;

/** Redirects (ip_rt_redirect_load, _number, _silence): the first pause doubles each time; then silence. */
const REDIRECT_LOAD = 20, REDIRECT_NUMBER = 9, REDIRECT_SILENCE = REDIRECT_LOAD << (REDIRECT_NUMBER + 1);

/** Buckets by target address. */
export class TargetLimit {
  readonly #clock: Clock;
  readonly #entries: Int32Array;

  constructor(clock: Clock, arena: Arena = new HeapArena()) {
    this.#clock = clock;
    this.#entries = arena.int32(SETS * WAYS * WORDS);
  }

  /** Takes the tokens of one ICMP message to this target; false if they are not there. */
  allow(words: Int32Array, at: number, family: number, limit: number): boolean {
    const entry = this.#entry(words, at, family);
    const entries = this.#entries;
    const tokens = Math.min(entries[entry + TOKENS] + this.#waited(entry), limit * BURST);
    entries[entry + TOKENS] = tokens;
    if (tokens < limit) return false;
    entries[entry + TOKENS] = tokens - limit;
    return true;
  }

  /**
   * Takes what Linux takes before it even tries to answer a packet without route (ip_error): from the same bucket, so
   * such answers are half as frequent as others.
   */
  allowNoRoute(words: Int32Array, at: number, family: number): boolean {
    const entry = this.#entry(words, at, family);
    const entries = this.#entries;
    const tokens = Math.min(entries[entry + TOKENS] + this.#waited(entry), ERROR_BURST);
    entries[entry + TOKENS] = tokens;
    if (tokens < ERROR_COST) return false;
    entries[entry + TOKENS] = tokens - ERROR_COST;
    return true;
  }

  /** True if an IPv4 host may be told of a better way, now that it has not taken it again (ip_rt_send_redirect). */
  allowRedirect(words: Int32Array, at: number): boolean {
    const entry = this.#entry(words, at, 4), entries = this.#entries;
    const now = this.#clock.now | 0, passed = (now - entries[entry + LAST]) | 0;
    if (passed > REDIRECT_SILENCE) {
      entries[entry + TOKENS] = 0;
      entries[entry + USED] = 1;
    }
    const sent = entries[entry + USED] - 1;
    if (sent >= REDIRECT_NUMBER) {
      entries[entry + LAST] = now;
      return false;
    }
    if (sent > 0 && passed <= REDIRECT_LOAD << sent) return false;
    entries[entry + LAST] = now;
    entries[entry + USED]++;
    return true;
  }

  /** Milliseconds since the bucket was last asked. */
  #waited(entry: number): number {
    const now = this.#clock.now | 0;
    const waited = Math.max((now - this.#entries[entry + LAST]) | 0, 0);
    this.#entries[entry + LAST] = now;
    return waited;
  }

  /** The target's bucket; a new target takes the place of the longest silent one of its set. */
  #entry(words: Int32Array, at: number, family: number): number {
    const entries = this.#entries;
    const a = words[at], b = words[at + 1], c = words[at + 2], d = words[at + 3];
    const set = (hash(a, b, c, d, family) & (SETS - 1)) * WAYS * WORDS;
    const now = this.#clock.now | 0;
    let oldest = set;
    let age = -1;
    for (let entry = set; entry < set + WAYS * WORDS; entry += WORDS) {
      if (entries[entry + USED] === 0) {
        oldest = entry;
        break;
      }
      if (
        entries[entry] === a && entries[entry + 1] === b && entries[entry + 2] === c &&
        entries[entry + 3] === d && entries[entry + KEY] === family
      ) return entry;
      const waited = (now - entries[entry + LAST]) | 0;
      if (waited > age) {
        age = waited;
        oldest = entry;
      }
    }
    entries[oldest] = a;
    entries[oldest + 1] = b;
    entries[oldest + 2] = c;
    entries[oldest + 3] = d;
    entries[oldest + KEY] = family;
    entries[oldest + TOKENS] = 0;
    entries[oldest + LAST] = (now - NEW) | 0;
    entries[oldest + USED] = 1;
    return oldest;
  }
}

/** Messages that may go, and when more were last put in. */
const CREDIT = 0, STAMP = 1;

/** The bucket for all targets. */
export class GlobalLimit {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #bucket: Int32Array;

  constructor(clock: Clock, perSecond: number, burst: number, arena: Arena = new HeapArena()) {
    this.#clock = clock;
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#bucket = arena.int32(2);
    if (arena.fresh) this.#bucket[STAMP] = clock.now - 1000;
  }

  /** True if a message may go to anyone. `take` pays for it, once it is known to go. */
  allow(): boolean {
    const bucket = this.#bucket;
    if (bucket[CREDIT] > 0) return true;
    // Filled up in steps of 20 ms at least, with a second's worth at most.
    const now = this.#clock.now | 0;
    const waited = Math.min((now - bucket[STAMP]) >>> 0, 1000);
    if (waited < 20) return false;
    const more = Math.floor(this.#perSecond * waited / 1000);
    if (more === 0) return false;
    bucket[STAMP] = now;
    bucket[CREDIT] = Math.min(bucket[CREDIT] + more, this.#burst);
    return bucket[CREDIT] > 0;
  }

  take(): void {
    this.#bucket[CREDIT]--;
  }
}
