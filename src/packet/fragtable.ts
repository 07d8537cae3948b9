/** The incomplete datagrams of one address family: found by key, ordered by age, limited in memory (struct fqdir). */
import { FragQueue } from "./fragqueue.ts";
import { FragStore } from "./fragstore.ts";

/** Queues by key and by age. Every queue counts as one block of the store, so empty ones are limited too. */
export class FragTable {
  readonly store: FragStore;
  /** Queues that wait. */
  count = 0;
  oldest: FragQueue | null = null;
  readonly #buckets: (FragQueue | null)[];
  readonly #seed: number;
  readonly #timeout: number;
  #newest: FragQueue | null = null;

  /** `limit` in bytes, `timeout` in milliseconds; `seed` keeps senders from aiming at one bucket. */
  constructor(limit: number, timeout: number, seed: number) {
    this.store = new FragStore(limit);
    this.#buckets = new Array(1024).fill(null);
    this.#seed = seed;
    this.#timeout = timeout;
  }

  /**
   * The queue of this key, made if there is none; null when memory is at its limit, for known keys too, as
   * inet_frag_find has it. A queue whose time is over but has not been swept yet is no longer found.
   */
  find(user: number, id: number, protocol: number, addresses: Int32Array, now: number): FragQueue | null {
    if (!this.store.hasRoom(1)) return null;
    let hash = this.#seed ^ id ^ (protocol << 16) ^ (user << 24);
    for (let i = 0; i < addresses.length; i++) {
      hash = Math.imul(hash ^ addresses[i], 0x9e3779b1) ^ (hash >>> 15);
    }
    hash = (hash ^ (hash >>> 13)) & 1023;
    for (let q = this.#buckets[hash]; q !== null; q = q.chain) {
      if (q.id !== id || q.protocol !== protocol || q.user !== user || !same(q.addresses, addresses)) {
        continue;
      }
      if (((now - q.expires) | 0) < 0) return q;
      this.#unhash(q);
      break;
    }
    const queue = new FragQueue(user, id, protocol, addresses.slice(), hash);
    queue.chain = this.#buckets[hash];
    this.#buckets[hash] = queue;
    this.#append(queue, now);
    this.store.used++;
    this.count++;
    return queue;
  }

  /** Starts the queue's time anew. */
  refresh(queue: FragQueue, now: number): void {
    this.#detach(queue);
    this.#append(queue, now);
  }

  /** Forgets the queue and frees its pieces. */
  kill(queue: FragQueue): void {
    if (queue.hashed) this.#unhash(queue);
    this.#detach(queue);
    queue.clear(this.store);
    this.store.used--;
    this.count--;
  }

  #append(queue: FragQueue, now: number): void {
    queue.expires = (now + this.#timeout) | 0;
    queue.older = this.#newest;
    queue.newer = null;
    if (this.#newest === null) this.oldest = queue;
    else this.#newest.newer = queue;
    this.#newest = queue;
  }

  #detach(queue: FragQueue): void {
    if (queue.older === null) this.oldest = queue.newer;
    else queue.older.newer = queue.newer;
    if (queue.newer === null) this.#newest = queue.older;
    else queue.newer.older = queue.older;
  }

  #unhash(queue: FragQueue): void {
    queue.hashed = false;
    let q = this.#buckets[queue.hash];
    if (q === queue) {
      this.#buckets[queue.hash] = queue.chain;
      return;
    }
    while (q !== null && q.chain !== queue) q = q.chain;
    if (q !== null) q.chain = queue.chain;
  }
}

function same(a: Int32Array, b: Int32Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
