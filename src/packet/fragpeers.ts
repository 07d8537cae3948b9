/**
 * How many fragments each source sends, counted while it has datagrams that wait (struct inet_peer, as far as
 * net.ipv4.ipfrag_max_dist needs it).
 */
import type { Arena } from "../arena.ts";

const BUCKETS = 1024;
/** Words of a source. Source 0 is nobody: 0 means none. */
const WORDS = 4, SOURCE = 0, ARRIVALS = 1, QUEUES = 2, NEXT = 3;
/** Records ever used, and the first free one. */
const HIGH = 0, FREE = 1;

/** Sources by address. */
export class FragPeers {
  readonly #words: Int32Array;
  readonly #buckets: Int32Array;
  readonly #counts: Int32Array;
  readonly #seed: number;

  /** Room for `most` sources. */
  constructor(most: number, seed: number, arena: Arena) {
    this.#words = arena.int32((most + 1) * WORDS);
    this.#buckets = arena.int32(BUCKETS);
    this.#counts = arena.int32(2);
    this.#seed = seed;
  }

  /** The source's record, for one more of its datagrams. */
  hold(source: number): number {
    const w = this.#words, buckets = this.#buckets, counts = this.#counts, bucket = this.#bucket(source);
    let peer = buckets[bucket];
    while (peer !== 0 && w[peer * WORDS + SOURCE] !== source) peer = w[peer * WORDS + NEXT];
    if (peer === 0) {
      peer = counts[FREE];
      if (peer === 0) peer = ++counts[HIGH];
      else counts[FREE] = w[peer * WORDS + NEXT];
      const at = peer * WORDS;
      w[at + SOURCE] = source;
      w[at + ARRIVALS] = w[at + QUEUES] = 0;
      w[at + NEXT] = buckets[bucket];
      buckets[bucket] = peer;
    }
    w[peer * WORDS + QUEUES]++;
    return peer;
  }

  /** A fragment has come: its number. */
  count(peer: number): number {
    return ++this.#words[peer * WORDS + ARRIVALS];
  }

  /** One of its datagrams waits no more. */
  release(peer: number): void {
    const w = this.#words, at = peer * WORDS;
    if (--w[at + QUEUES] !== 0) return;
    const bucket = this.#bucket(w[at + SOURCE]);
    let other = this.#buckets[bucket];
    if (other === peer) this.#buckets[bucket] = w[at + NEXT];
    else {
      while (w[other * WORDS + NEXT] !== peer) other = w[other * WORDS + NEXT];
      w[other * WORDS + NEXT] = w[at + NEXT];
    }
    w[at + NEXT] = this.#counts[FREE];
    this.#counts[FREE] = peer;
  }

  #bucket(source: number): number {
    return Math.imul(source ^ this.#seed, 0x9e3779b1) >>> 22;
  }
}
