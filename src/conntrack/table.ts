/**
 * The flow table: records in given memory, and an index over both tuples of every confirmed flow.
 *
 * ```
 *  memory   [ head: high-water marks, next id ][ record 0 ][ record 1 ] … [ aside 0 ] … [ corrections ]   survives the process
 *  index    [ hash | handle<<1|dir, plus 1 ] …   grows with the flows; see `hash_index.ts`   rebuilt from the records
 * ```
 *
 * A record is FREE, UNCONFIRMED (the packet that made it owns it; not in the index) or CONFIRMED (in the index
 * twice, by its original and by its reply tuple). Freed records are reused last in, first out, so a small working
 * set stays in cache. A deleted flow is retired first: the packet in hand may still carry it, so its words stay
 * readable until `reclaim`, when no packet is in flight.
 *
 * The hash is HalfSipHash-1-3 under a key drawn when the table is made: who chooses addresses and ports cannot
 * choose places in the index.
 */
import { type Arena, HeapArena } from "../arena.ts";
import type { Random } from "../clock.ts";
import { Corrections } from "./corrections.ts";
import {
  CT_BYSOURCE_PREV,
  CT_EXPECTING,
  CT_EXPIRES,
  CT_ID,
  CT_ORIGINAL,
  CT_REPLY,
  CT_STATE,
  CT_STATUS,
  CT_TIMER,
  FLOW_CONFIRMED,
  FLOW_FREE,
  FLOW_UNCONFIRMED,
  FLOW_WORDS,
  IPS_SIDE,
  SIDE_WORDS,
} from "./flow.ts";
import { HashIndex } from "./hash_index.ts";
import { Wheel } from "./wheel.ts";
import { DST, PORTS, PROTO, tupleEquals } from "./tuple.ts";

/** Words before the first record: high-water marks, next id; the rest keeps records on pairs of cache lines. */
const HEAD_WORDS = FLOW_WORDS;
const HEAD_HIGH = 0, HEAD_ID = 1, HEAD_CORRECTIONS = 2;
/**
 * What the arena has beside the index: the hash's key, records in use, heads of the lists of free and of retired
 * records, how many flows ever came into the index.
 */
const KEY_0 = 0, KEY_1 = 1, COUNT = 2, FREE = 3, RETIRED = 4, INSERTED = 5, SHARED_WORDS = 6;
/** Link of the free list in a FREE record: handle + 1, 0 ends it. */
const CT_NEXT_FREE = CT_BYSOURCE_PREV;

/** Records of flows and the index over their tuples. */
export class FlowTable {
  /** The records: `words[ct * FLOW_WORDS + CT_…]`. */
  readonly words: Int32Array;
  /** The same memory for counters: `floats[(ct * FLOW_WORDS + CT_COUNTERS) >> 1]`. */
  readonly floats: Float64Array;
  /** Earlier sequence corrections of the few flows that have several. */
  readonly corrections: Corrections;
  /** When to look at which of them. */
  readonly wheel: Wheel;
  /** Most records it holds. */
  readonly capacity: number;

  /** Where the words aside begin in `words`. */
  readonly #side: number;
  readonly #head: Int32Array;
  /** Both hashes of each confirmed flow: `ct << 1 | dir`, plus 1. */
  readonly #index: HashIndex;
  readonly #k0: number;
  readonly #k1: number;
  readonly #shared: Int32Array;
  /** What `touch` has read: without a use of it, nothing would be read. */
  readonly #touched = new Int32Array(1);

  /** Bytes of memory for `capacity` flows. */
  static bytes(capacity: number): number {
    return FlowTable.#recordBytes(capacity) + Corrections.bytes(capacity);
  }

  static #recordBytes(capacity: number): number {
    return HEAD_WORDS * 4 + Math.ceil(capacity * (FLOW_WORDS + SIDE_WORDS) * 4 / 64) * 64;
  }

  /**
   * `byteOffset` is a multiple of 64, better of 256. Memory that held flows before is read by `rebuild`. Tables that
   * share both memory and arena are one table, for one thread at a time.
   */
  constructor(
    memory: ArrayBuffer,
    byteOffset: number,
    capacity: number,
    random: Random,
    arena: Arena = new HeapArena(),
  ) {
    this.capacity = capacity;
    this.#head = new Int32Array(memory, byteOffset, HEAD_WORDS);
    this.words = new Int32Array(memory, byteOffset + HEAD_WORDS * 4, capacity * (FLOW_WORDS + SIDE_WORDS));
    this.#side = capacity * FLOW_WORDS;
    this.floats = new Float64Array(memory, byteOffset + HEAD_WORDS * 4, capacity * FLOW_WORDS / 2);
    const end = byteOffset + FlowTable.#recordBytes(capacity);
    const shared = this.#shared = arena.int32(SHARED_WORDS);
    this.corrections = new Corrections(memory, end, capacity, this.#head, HEAD_CORRECTIONS, arena);
    this.wheel = new Wheel(this.words, FLOW_WORDS, CT_TIMER, capacity, arena);
    this.#index = new HashIndex(capacity * 2, arena);
    const k0 = random.next(), k1 = random.next();
    if (arena.fresh) {
      shared[KEY_0] = k0;
      shared[KEY_1] = k1;
    }
    this.#k0 = shared[KEY_0];
    this.#k1 = shared[KEY_1];
  }

  /** Records in use, confirmed or not. */
  get count(): number {
    return this.#shared[COUNT];
  }

  /** Flows that ever came into the index, wrapping: while it stays the same, what was not there is not there. */
  get inserted(): number {
    return this.#shared[INSERTED];
  }

  /** Records ever used: handles are below it. Listings scan `0 … high` and look at CT_STATE. */
  get high(): number {
    return this.#head[HEAD_HIGH];
  }

  /** A zeroed UNCONFIRMED record with a fresh id, or -1 when memory is used up. */
  alloc(): number {
    const w = this.words;
    const head = this.#head, shared = this.#shared;
    let ct = shared[FREE] - 1;
    if (ct >= 0) {
      shared[FREE] = w[ct * FLOW_WORDS + CT_NEXT_FREE];
    } else {
      ct = head[HEAD_HIGH];
      if (ct >= this.capacity) return -1;
      head[HEAD_HIGH] = ct + 1;
    }
    const at = ct * FLOW_WORDS, timer = w[at + CT_TIMER], f = this.floats, from = at >> 1;
    // A call of `fill` costs more than what it writes.
    for (let i = 0; i < FLOW_WORDS / 2; i++) f[from + i] = 0;
    w[at + CT_TIMER] = timer;
    const id = (head[HEAD_ID] + 1) | 0;
    head[HEAD_ID] = w[at + CT_ID] = id === 0 ? 1 : id;
    w[at + CT_STATE] = FLOW_UNCONFIRMED;
    shared[COUNT]++;
    return ct;
  }

  /** Where in `words` a flow's words aside begin: CT_SEQADJ and its like. Who asks has them. */
  side(ct: number): number {
    const w = this.words, status = ct * FLOW_WORDS + CT_STATUS, side = this.#side + ct * SIDE_WORDS;
    if ((w[status] & IPS_SIDE) === 0) {
      w.fill(0, side, side + SIDE_WORDS);
      w[status] |= IPS_SIDE;
    }
    return side;
  }

  /** Gives a record back at once: no packet carries it any more, and it is not in the index. */
  free(ct: number): void {
    const at = ct * FLOW_WORDS, shared = this.#shared;
    this.corrections.release(this.words, at);
    this.words[at + CT_STATE] = FLOW_FREE;
    this.words[at + CT_NEXT_FREE] = shared[FREE];
    shared[FREE] = ct + 1;
    shared[COUNT]--;
  }

  /** Gives back a record that a packet may still carry: it reads as FREE, and is reused after `reclaim`. */
  retire(ct: number): void {
    const at = ct * FLOW_WORDS, shared = this.#shared;
    this.words[at + CT_STATE] = FLOW_FREE;
    this.words[at + CT_NEXT_FREE] = shared[RETIRED];
    shared[RETIRED] = ct + 1;
    shared[COUNT]--;
  }

  /** Retired records become free. Only while no packet is in flight. */
  reclaim(): void {
    if (this.#shared[RETIRED] !== 0) this.#reclaim();
  }

  #reclaim(): void {
    const w = this.words, shared = this.#shared;
    let next = shared[RETIRED];
    while (next !== 0) {
      const link = (next - 1) * FLOW_WORDS + CT_NEXT_FREE;
      const after = w[link];
      this.corrections.release(w, (next - 1) * FLOW_WORDS);
      w[link] = shared[FREE];
      shared[FREE] = next;
      next = after;
    }
    shared[RETIRED] = 0;
  }

  /** Keyed hash of a tuple, an int32. */
  hash(t: Int32Array, at: number): number {
    const k0 = this.#k0, k1 = this.#k1;
    let v0 = k0, v1 = k1, v2 = k0 ^ 0x6c796765, v3 = k1 ^ 0x74656462;
    const proto = t[at + PROTO];
    const ipv6 = ((proto >> 8) & 0xff) === 6;
    // Words 1…3 and 5…7 are zero for IPv4, and PROTO tells the families apart, so they need no mixing.
    let i = at;
    const end = at + PROTO;
    while (i <= end) {
      const m = t[i];
      v3 ^= m;
      v0 = (v0 + v1) | 0;
      v1 = (v1 << 5) | (v1 >>> 27);
      v1 ^= v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = (v3 << 8) | (v3 >>> 24);
      v3 ^= v2;
      v0 = (v0 + v3) | 0;
      v3 = (v3 << 7) | (v3 >>> 25);
      v3 ^= v0;
      v2 = (v2 + v1) | 0;
      v1 = (v1 << 13) | (v1 >>> 19);
      v1 ^= v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      v0 ^= m;
      i += ipv6 || i >= at + PORTS ? 1 : DST;
    }
    v2 ^= 0xff;
    for (i = 0; i < 3; i++) {
      v0 = (v0 + v1) | 0;
      v1 = (v1 << 5) | (v1 >>> 27);
      v1 ^= v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = (v3 << 8) | (v3 >>> 24);
      v3 ^= v2;
      v0 = (v0 + v3) | 0;
      v3 = (v3 << 7) | (v3 >>> 25);
      v3 ^= v0;
      v2 = (v2 + v1) | 0;
      v1 = (v1 << 13) | (v1 >>> 19);
      v1 ^= v2;
      v2 = (v2 << 16) | (v2 >>> 16);
    }
    return v1 ^ v3;
  }

  /**
   * Fetches the place of a hash into the cache for whoever is going to ask for it. Among many flows every place is a wait
   * for memory, and several together take no longer than one.
   */
  touch(hash: number): void {
    this.#touched[0] = this.#index.slots[this.#index.home(hash)];
  }

  /** Fetches the record of a flow that is about to be deleted. */
  touchRecord(ct: number): void {
    const w = this.words, at = ct * FLOW_WORDS, touched = this.#touched;
    touched[0] = w[at + CT_STATE];
    touched[0] = w[at + CT_REPLY];
    touched[0] = w[at + CT_EXPECTING];
  }

  /** The direction of a flow that a tuple names: `ct << 1 | dir`, or -1. Says nothing about expiry. */
  find(t: Int32Array, at: number): number {
    return this.findHashed(this.hash(t, at), t, at);
  }

  /** `find` where the hash is known. */
  findHashed(hash: number, t: Int32Array, at: number): number {
    const index = this.#index, slots = index.slots, w = this.words;
    for (let slot = index.home(hash);; slot += 2) {
      const entry = slots[slot + 1];
      if (entry === 0) return -1;
      if (slots[slot] === hash) {
        const found = entry - 1;
        const b = (found >> 1) * FLOW_WORDS + ((found & 1) === 0 ? CT_ORIGINAL : CT_REPLY);
        if (
          w[b + PORTS] === t[at + PORTS] && w[b] === t[at] && w[b + DST] === t[at + DST] &&
          w[b + PROTO] === t[at + PROTO] && w[b + 1] === t[at + 1] && w[b + 2] === t[at + 2] &&
          w[b + 3] === t[at + 3] && w[b + 5] === t[at + 5] && w[b + 6] === t[at + 6] && w[b + 7] === t[at + 7]
        ) return found;
      }
    }
  }

  /** `findHashed` in one direction: flows whose directions are in different zones may share a tuple with others. */
  findDirection(hash: number, t: Int32Array, at: number, dir: number): number {
    const index = this.#index, slots = index.slots, w = this.words;
    for (let slot = index.home(hash); slots[slot + 1] !== 0; slot += 2) {
      const found = slots[slot + 1] - 1;
      if (slots[slot] !== hash || (found & 1) !== dir) continue;
      if (tupleEquals(w, (found >> 1) * FLOW_WORDS + (dir === 0 ? CT_ORIGINAL : CT_REPLY), t, at)) {
        return found;
      }
    }
    return -1;
  }

  /**
   * Puts both tuples of a flow into the index and publishes the record. Of equal tuples (a host that sends to itself, zones
   * of one direction) the latest is found first, as in Linux.
   */
  insert(ct: number): void {
    const w = this.words, at = ct * FLOW_WORDS;
    this.insertHashed(ct, this.hash(w, at + CT_ORIGINAL), this.hash(w, at + CT_REPLY));
  }

  /** `insert` where the hashes of the original and of the reply tuple are known. */
  insertHashed(ct: number, hash: number, hashReply: number): void {
    this.#index.add(hash, (ct << 1) + 1);
    this.#index.add(hashReply, (ct << 1) + 2);
    this.#shared[INSERTED]++;
    this.words[ct * FLOW_WORDS + CT_STATE] = FLOW_CONFIRMED;
  }

  /** Takes both tuples of a confirmed flow out of the index. The record stays; `free` or `retire` it next. */
  remove(ct: number): void {
    const w = this.words, at = ct * FLOW_WORDS;
    this.removeHashed(ct, this.hash(w, at + CT_ORIGINAL), this.hash(w, at + CT_REPLY));
  }

  /** `remove` where the hashes of the original and of the reply tuple are known. */
  removeHashed(ct: number, hash: number, hashReply: number): void {
    this.#index.remove(hash, (ct << 1) + 1);
    this.#index.remove(hashReply, (ct << 1) + 2);
  }

  /**
   * The flow of the `n`-th slot behind a hash's own, or -1 when that slot is empty: what shares the neighbourhood
   * of a new flow when the table is full.
   */
  neighbour(hash: number, n: number): number {
    return (this.#index.neighbour(hash, n) - 1) >> 1;
  }

  /**
   * After a restart, in a table just made: index, wheel, free list and count from the records; `adopt` sees each flow that
   * goes on. Half-made flows of the old process go.
   */
  rebuild(now: number, adopt?: (ct: number) => void): void {
    const w = this.words, shared = this.#shared;
    const high = this.#head[HEAD_HIGH] = Math.min(Math.max(this.#head[HEAD_HIGH], 0), this.capacity);
    this.corrections.rebuild(w.subarray(0, high * FLOW_WORDS));
    this.wheel.begin(now);
    const pairs = new Int32Array(high * 4);
    let n = 0;
    for (let ct = high - 1; ct >= 0; ct--) {
      const at = ct * FLOW_WORDS;
      shared[COUNT]++;
      if (w[at + CT_STATE] === FLOW_CONFIRMED) {
        adopt?.(ct);
        pairs[n++] = this.hash(w, at + CT_ORIGINAL);
        pairs[n++] = (ct << 1) + 1;
        pairs[n++] = this.hash(w, at + CT_REPLY);
        pairs[n++] = (ct << 1) + 2;
        this.wheel.hang(ct, w[at + CT_EXPIRES]);
      } else {
        this.free(ct);
      }
    }
    this.#index.fill(pairs, n / 2);
    shared[INSERTED] += n / 4;
  }
}
