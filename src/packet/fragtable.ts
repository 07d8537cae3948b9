/** The incomplete datagrams of one address family: found by key, ordered by age, limited in memory (struct fqdir). */
import type { Arena } from "../arena.ts";
import {
  clear,
  Q_ADDRESSES,
  Q_BUCKET,
  Q_CHAIN,
  Q_EXPIRES,
  Q_HASHED,
  Q_ID,
  Q_NEWER,
  Q_OLDER,
  Q_PROTOCOL,
  Q_USER,
  Q_WORDS,
} from "./fragqueue.ts";
import { BLOCK_WORDS, FragStore } from "./fragstore.ts";

const BUCKETS = 1024;
/** The queue that dies first, the one that dies last, and how many there are. */
const OLDEST = 0, NEWEST = 1, COUNT = 2;

/** Queues by key and by age. Every queue is one block of the store, so empty ones are limited too. */
export class FragTable {
  readonly store: FragStore;
  readonly #buckets: Int32Array;
  readonly #ends: Int32Array;
  readonly #seed: number;
  readonly #timeout: number;

  /** `limit` in bytes, `timeout` in milliseconds; `seed` keeps senders from aiming at one bucket. */
  constructor(limit: number, timeout: number, seed: number, arena: Arena) {
    this.store = new FragStore(limit, seed, arena);
    this.#buckets = arena.int32(BUCKETS);
    this.#ends = arena.int32(3);
    this.#seed = seed;
    this.#timeout = timeout;
  }

  /** Queues that wait. */
  get count(): number {
    return this.#ends[COUNT];
  }

  /** The queue that dies first, 0 for none. */
  get oldest(): number {
    return this.#ends[OLDEST];
  }

  /**
   * The queue of this key, made if there is none; 0 when memory is at its limit, for known keys too, as inet_frag_find
   * has it. A queue whose time is over but has not been swept yet is no longer found.
   */
  find(user: number, id: number, protocol: number, addresses: Int32Array, now: number): number {
    if (!this.store.hasRoom(1)) return 0;
    const w = this.store.words;
    let hash = this.#seed ^ id ^ (protocol << 16) ^ (user << 24);
    for (let i = 0; i < addresses.length; i++) {
      hash = Math.imul(hash ^ addresses[i], 0x9e3779b1) ^ (hash >>> 15);
    }
    const bucket = (hash ^ (hash >>> 13)) & (BUCKETS - 1);
    for (let q = this.#buckets[bucket]; q !== 0; q = w[q + Q_CHAIN]) {
      if (w[q + Q_ID] !== id || w[q + Q_PROTOCOL] !== protocol || w[q + Q_USER] !== user) continue;
      if (!this.#isBetween(q, addresses)) continue;
      if (((now - w[q + Q_EXPIRES]) | 0) < 0) return q;
      this.#unhash(q);
      break;
    }
    const q = this.store.take() * BLOCK_WORDS;
    w.fill(0, q, q + Q_WORDS);
    w[q + Q_USER] = user;
    w[q + Q_ID] = id;
    w[q + Q_PROTOCOL] = protocol;
    w.set(addresses, q + Q_ADDRESSES);
    w[q + Q_BUCKET] = bucket;
    w[q + Q_HASHED] = 1;
    w[q + Q_CHAIN] = this.#buckets[bucket];
    this.#buckets[bucket] = q;
    this.#append(q, now);
    this.#ends[COUNT]++;
    return q;
  }

  /** Starts the queue's time anew. */
  refresh(q: number, now: number): void {
    this.#detach(q);
    this.#append(q, now);
  }

  /** Forgets the queue and frees its pieces. */
  kill(q: number): void {
    if (this.store.words[q + Q_HASHED] !== 0) this.#unhash(q);
    this.#detach(q);
    clear(this.store, q);
    this.store.give(q / BLOCK_WORDS);
    this.#ends[COUNT]--;
  }

  #append(q: number, now: number): void {
    const w = this.store.words, ends = this.#ends, newest = ends[NEWEST];
    w[q + Q_EXPIRES] = now + this.#timeout;
    w[q + Q_OLDER] = newest;
    w[q + Q_NEWER] = 0;
    if (newest === 0) ends[OLDEST] = q;
    else w[newest + Q_NEWER] = q;
    ends[NEWEST] = q;
  }

  #detach(q: number): void {
    const w = this.store.words, ends = this.#ends, older = w[q + Q_OLDER], newer = w[q + Q_NEWER];
    if (older === 0) ends[OLDEST] = newer;
    else w[older + Q_NEWER] = newer;
    if (newer === 0) ends[NEWEST] = older;
    else w[newer + Q_OLDER] = older;
  }

  #unhash(q: number): void {
    const w = this.store.words, bucket = w[q + Q_BUCKET];
    w[q + Q_HASHED] = 0;
    let other = this.#buckets[bucket];
    if (other === q) {
      this.#buckets[bucket] = w[q + Q_CHAIN];
      return;
    }
    while (other !== 0 && w[other + Q_CHAIN] !== q) other = w[other + Q_CHAIN];
    if (other !== 0) w[other + Q_CHAIN] = w[q + Q_CHAIN];
  }

  #isBetween(q: number, addresses: Int32Array): boolean {
    const w = this.store.words, at = q + Q_ADDRESSES;
    for (let i = 0; i < addresses.length; i++) if (w[at + i] !== addresses[i]) return false;
    return true;
  }
}
