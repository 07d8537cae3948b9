/**
 * The flow table: records in given memory, and an index over both tuples of every confirmed flow.
 *
 * ```
 *  memory   [ head ][ records ][ trackers' words ][ counters ][ words aside ][ corrections ]   survives the process
 *  records  [ 0 ▶ short flows …     never used     … flows with further words ◀ capacity − 1 ]
 *  index    [ hash | handle<<1|dir, plus 1 ] …   grows with the flows; see `hash_index.ts`   rebuilt from the records
 * ```
 *
 * Every handle has a place in every column, so any record serves any flow. Which end it is taken from decides what it
 * costs: further words are touched at one end only. When both ends have met, each takes what the other has left.
 *
 * A record is FREE, UNCONFIRMED (the packet that made it owns it; not in the index) or CONFIRMED (in the index
 * twice, by its original and by its reply tuple). Freed records are reused last in, first out, so a small working
 * set stays in cache. A deleted flow is retired first: the packet in hand may still carry it, so its words stay
 * readable until `reclaim`, when no packet is in flight.
 *
 * The memory may have holes (`Space`): a handle is given out when there is memory behind all that its flow is going to
 * have, and what is written of further words without a place of their own is lost in a spare one.
 *
 * The hash is HalfSipHash-1-3 under a key drawn when the table is made: who chooses addresses and ports cannot
 * choose places in the index.
 */
import { type Arena, HeapArena } from "../arena.ts";
import type { Random } from "../clock.ts";
import { Corrections } from "./corrections.ts";
import type { Space } from "../space.ts";
import * as spaceModule from "../space.ts";
import { hasFurtherWords } from "./flow.ts";
import * as flowModule from "./flow.ts";
import { HashIndex } from "./hash_index.ts";
import { Wheel } from "./wheel.ts";
import { tupleEquals } from "./tuple.ts";
import * as tupleModule from "./tuple.ts";

// Constants of this module, not imports: each packet reads them (CONTRIBUTING.md).
const {
  COUNTERS,
  CT_BYSOURCE_PREV,
  CT_CORRECTIONS,
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
  IPS_COUNTED,
  IPS_SIDE,
  PROTO_WORDS,
  SIDE_WORDS,
} = flowModule;
const { DST, PORTS, PROTO } = tupleModule;
const { SOLID } = spaceModule;

/** Words before the first record; they keep records on pairs of cache lines. */
const HEAD_WORDS = FLOW_WORDS;
/** Records ever used at the front and at the back, the latest id, blocks of corrections ever used. */
const HEAD_FRONT = 0, HEAD_BACK = 1, HEAD_ID = 2, HEAD_CORRECTIONS = 3;
/**
 * What the arena has beside the index: the hash's key, records in use, heads of the lists of free records at the front
 * and at the back and of retired ones, how many flows ever came into the index.
 */
const KEY_0 = 0,
  KEY_1 = 1,
  COUNT = 2,
  FREE_FRONT = 3,
  FREE_BACK = 4,
  RETIRED = 5,
  INSERTED = 6,
  SHARED_WORDS = 7;
/** Words of a flow's counters. */
const COUNTERS_WORDS = COUNTERS * 2;
/** Words of a flow in all columns. */
const ALL_WORDS = FLOW_WORDS + PROTO_WORDS + COUNTERS_WORDS + SIDE_WORDS;
/** Flows at each end of the table that have their places from the start; see `beginnings`. */
const FIRST_FLOWS = 256;
/** What `alloc` says: all records are in use; there is no memory for another one. */
export const NO_RECORD = -1, NO_SPACE = -3;
/** Link of the free list in a FREE record: handle + 1, 0 ends it. */
const CT_NEXT_FREE = CT_BYSOURCE_PREV;

/** Records of flows and the index over their tuples. */
export class FlowTable {
  /** The records: `words[ct * FLOW_WORDS + CT_…]`. */
  readonly words: Int32Array;
  /** The same memory for counters: `floats[flows.counters(ct)]`. */
  readonly floats: Float64Array;
  /** Earlier sequence corrections of the few flows that have several. */
  readonly corrections: Corrections;
  /** When to look at which of them. */
  readonly wheel: Wheel;
  /** Most records it holds. */
  readonly capacity: number;
  /** Most flows have counters. */
  accounting = false;

  /** Where the columns begin in `words`, that of the counters in `floats`. */
  readonly #proto: number;
  readonly #counters: number;
  readonly #side: number;
  readonly #head: Int32Array;
  /** Both hashes of each confirmed flow: `ct << 1 | dir`, plus 1. */
  readonly #index: HashIndex;
  readonly #k0: number;
  readonly #k1: number;
  readonly #shared: Int32Array;
  readonly #space: Space;
  /** Where `words` begin in the memory. */
  readonly #base: number;
  /** What `touch` has read: without a use of it, nothing would be read. */
  readonly #touched = new Int32Array(1);

  /** Bytes of memory for `capacity` flows. */
  static bytes(capacity: number): number {
    return FlowTable.#recordBytes(capacity) + Corrections.bytes(capacity);
  }

  static #recordBytes(capacity: number): number {
    return (HEAD_WORDS + capacity * ALL_WORDS + SIDE_WORDS) * 4;
  }

  /**
   * Parts of its memory that whoever gives it memory with holes makes sure of: what the first flows of any kind need, and
   * the words that belong to no flow. Pairs of offsets.
   */
  static beginnings(capacity: number): [from: number, to: number][] {
    let at = HEAD_WORDS * 4;
    const end = FlowTable.#recordBytes(capacity),
      parts: [number, number][] = [[0, at], [end - SIDE_WORDS * 4, end]];
    for (const words of [FLOW_WORDS, PROTO_WORDS, COUNTERS_WORDS, SIDE_WORDS]) {
      const next = at + capacity * words * 4, first = Math.min(capacity, FIRST_FLOWS) * words * 4;
      parts.push([at, at + first], [next - first, next]);
      at = next;
    }
    return parts;
  }

  /**
   * `byteOffset` is a multiple of 64, better of 256. Memory that held flows before is read by `rebuild`. Tables that
   * share both memory and arena are one table, for one thread at a time. `space` speaks of bytes of `memory`.
   */
  constructor(
    memory: ArrayBuffer,
    byteOffset: number,
    capacity: number,
    random: Random,
    arena: Arena = new HeapArena(),
    space: Space = SOLID,
  ) {
    this.capacity = capacity;
    this.#space = space;
    this.#base = byteOffset + HEAD_WORDS * 4;
    this.#head = new Int32Array(memory, byteOffset, HEAD_WORDS);
    const words = capacity * ALL_WORDS + SIDE_WORDS;
    this.words = new Int32Array(memory, this.#base, words);
    this.floats = new Float64Array(memory, this.#base, words / 2);
    this.#proto = capacity * FLOW_WORDS;
    this.#counters = capacity * (FLOW_WORDS + PROTO_WORDS) / 2;
    this.#side = capacity * (FLOW_WORDS + PROTO_WORDS + COUNTERS_WORDS);
    const end = byteOffset + FlowTable.#recordBytes(capacity);
    const shared = this.#shared = arena.int32(SHARED_WORDS);
    this.corrections = new Corrections(memory, end, capacity, this.#head, HEAD_CORRECTIONS, arena, space);
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

  /**
   * The record behind `ct` among those that were ever used, from both ends inwards; -1 behind the last. Listings begin
   * behind -1 and look at CT_STATE.
   */
  next(ct: number): number {
    // Memory of another process may say anything, and a walk has to end.
    const front = Math.min(this.#head[HEAD_FRONT], this.capacity);
    const last = Math.max(this.capacity - this.#head[HEAD_BACK], front);
    if (ct < front) {
      if (ct + 1 < front) return ct + 1;
      ct = this.capacity;
    }
    return ct > last ? ct - 1 : -1;
  }

  /**
   * A zeroed UNCONFIRMED record with a fresh id, or NO_RECORD or NO_SPACE. `further`: so are the tracker's further words,
   * which it is going to use.
   */
  alloc(further = false): number {
    const w = this.words, head = this.#head, shared = this.#shared, list = further ? FREE_BACK : FREE_FRONT;
    let ct = shared[list] - 1;
    if (ct >= 0) shared[list] = w[ct * FLOW_WORDS + CT_NEXT_FREE];
    else if ((ct = this.#grow(further)) < 0) return ct;
    const at = ct * FLOW_WORDS, timer = w[at + CT_TIMER], f = this.floats, from = at >> 1;
    // A call of `fill` costs more than what it writes.
    for (let i = 0; i < FLOW_WORDS / 2; i++) f[from + i] = 0;
    if (further) {
      const proto = this.proto(ct) >> 1;
      for (let i = 0; i < PROTO_WORDS / 2; i++) f[proto + i] = 0;
    }
    w[at + CT_TIMER] = timer;
    const id = (head[HEAD_ID] + 1) | 0;
    head[HEAD_ID] = w[at + CT_ID] = id === 0 ? 1 : id;
    w[at + CT_STATE] = FLOW_UNCONFIRMED;
    shared[COUNT]++;
    return ct;
  }

  /**
   * A record where none is free at its own end: one that was never used, or else one of the other end's; or NO_RECORD or
   * NO_SPACE.
   */
  #grow(further: boolean): number {
    const head = this.#head, shared = this.#shared, left = this.capacity - head[HEAD_FRONT] - head[HEAD_BACK];
    if (left > 0) {
      const ct = further ? this.capacity - 1 - head[HEAD_BACK] : head[HEAD_FRONT];
      if (this.#hasSpace(ct, further)) {
        head[further ? HEAD_BACK : HEAD_FRONT]++;
        return ct;
      }
    }
    const list = further ? FREE_FRONT : FREE_BACK, ct = shared[list] - 1;
    if (ct < 0) return left > 0 ? NO_SPACE : NO_RECORD;
    if (!this.#hasSpace(ct, further)) return NO_SPACE;
    shared[list] = this.words[ct * FLOW_WORDS + CT_NEXT_FREE];
    return ct;
  }

  /** There is memory for a flow in all columns that it begins with. */
  #hasSpace(ct: number, further: boolean): boolean {
    return this.#reserved(ct * FLOW_WORDS, FLOW_WORDS) &&
      (!further || this.#reserved(this.proto(ct), PROTO_WORDS)) &&
      (!this.accounting || this.#reserved(2 * this.counters(ct), COUNTERS_WORDS));
  }

  /** There is memory for so many words from a place in `words` on. */
  #reserved(at: number, words: number): boolean {
    const from = this.#base + at * 4;
    return this.#space.has(from, from + words * 4);
  }

  /** Where in `words` the further words of a flow's tracker begin: of one that was made with them. */
  proto(ct: number): number {
    return this.#proto + ct * PROTO_WORDS;
  }

  /** Where in `floats` a flow's counters begin, of one with IPS_COUNTED: packets and bytes of each direction. */
  counters(ct: number): number {
    return this.#counters + ct * COUNTERS;
  }

  /** The packets and bytes of a new flow are counted, if there is memory for that. */
  startCounters(ct: number): void {
    const f = this.floats, at = this.counters(ct);
    if (!this.#reserved(2 * at, COUNTERS_WORDS)) return;
    for (let i = 0; i < COUNTERS; i++) f[at + i] = 0;
    this.words[ct * FLOW_WORDS + CT_STATUS] |= IPS_COUNTED;
  }

  /** A word aside, 0 of a flow that has none. */
  aside(ct: number, word: number): number {
    const w = this.words;
    return (w[ct * FLOW_WORDS + CT_STATUS] & IPS_SIDE) === 0 ? 0 : w[this.#side + ct * SIDE_WORDS + word];
  }

  /**
   * Where in `words` a flow's words aside begin: CT_SEQADJ and its like. Who asks has them, or without memory for them
   * zeros that nobody keeps.
   */
  side(ct: number): number {
    const side = this.#side + ct * SIDE_WORDS;
    return (this.words[ct * FLOW_WORDS + CT_STATUS] & IPS_SIDE) !== 0 ? side : this.#startSide(ct, side);
  }

  #startSide(ct: number, side: number): number {
    const w = this.words;
    if (this.#reserved(side, SIDE_WORDS)) w[ct * FLOW_WORDS + CT_STATUS] |= IPS_SIDE;
    else side = this.#side + this.capacity * SIDE_WORDS;
    w.fill(0, side, side + SIDE_WORDS);
    return side;
  }

  /** A flow has words aside, or can have them whenever it asks. */
  canHaveSide(ct: number): boolean {
    return (this.words[ct * FLOW_WORDS + CT_STATUS] & IPS_SIDE) !== 0 ||
      this.#reserved(this.#side + ct * SIDE_WORDS, SIDE_WORDS);
  }

  /** Gives a record back at once: no packet carries it any more, and it is not in the index. */
  free(ct: number): void {
    this.words[ct * FLOW_WORDS + CT_STATE] = FLOW_FREE;
    this.#shared[COUNT]--;
    this.#giveBack(ct);
  }

  /** To the end that it is of. */
  #giveBack(ct: number): void {
    const shared = this.#shared, list = ct < this.#head[HEAD_FRONT] ? FREE_FRONT : FREE_BACK;
    this.releaseCorrections(ct);
    this.words[ct * FLOW_WORDS + CT_NEXT_FREE] = shared[list];
    shared[list] = ct + 1;
  }

  /** A flow has no earlier sequence corrections any more. */
  releaseCorrections(ct: number): void {
    if (this.aside(ct, CT_CORRECTIONS) !== 0) this.corrections.release(this.words, this.side(ct));
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
      const ct = next - 1;
      next = w[ct * FLOW_WORDS + CT_NEXT_FREE];
      this.#giveBack(ct);
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

  /**
   * Fetches what lookups of all these hashes are going to read: every place in the index first, then every record that is
   * named there, then what the records have in other columns. `found` gets what stands first under each hash,
   * `ct << 1 | dir`, or -1; it may be another tuple's.
   */
  fetch(hashes: Int32Array, found: Int32Array, count: number): void {
    const index = this.#index, slots = index.slots, w = this.words;
    let seen = 0;
    // Reads that do not wait for each other.
    for (let i = 0; i < count; i++) seen ^= slots[index.home(hashes[i])];
    for (let i = 0; i < count; i++) {
      const hash = hashes[i];
      let slot = index.home(hash);
      while (slots[slot + 1] !== 0 && slots[slot] !== hash) slot += 2;
      found[i] = slots[slot + 1] - 1;
    }
    for (let i = 0; i < count; i++) {
      if (found[i] >= 0) seen ^= w[(found[i] >> 1) * FLOW_WORDS] ^ w[(found[i] >> 1) * FLOW_WORDS + CT_REPLY];
    }
    for (let i = 0; i < count; i++) {
      if (found[i] < 0) continue;
      // Only the record itself says what it has beside it: elsewhere there may be a hole.
      const ct = found[i] >> 1, at = ct * FLOW_WORDS;
      if (hasFurtherWords(w[at + CT_ORIGINAL + PROTO] & 0xff)) seen ^= w[this.proto(ct)];
      if ((w[at + CT_STATUS] & IPS_COUNTED) !== 0) seen ^= this.floats[this.counters(ct)];
    }
    this.#touched[0] = seen; // without a use of it, nothing would be read
  }

  /** Fetches the record of a flow that is about to be deleted. */
  touchRecord(ct: number): void {
    const w = this.words, at = ct * FLOW_WORDS, touched = this.#touched;
    touched[0] = w[at + CT_STATE];
    touched[0] = w[at + CT_REPLY];
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
        ) {
          // What the packet is going to need of the columns, the processor then fetches together with the record.
          if (hasFurtherWords(t[at + PROTO] & 0xff)) this.#touched[0] = w[this.proto(found >> 1)];
          if (this.accounting && (w[(found >> 1) * FLOW_WORDS + CT_STATUS] & IPS_COUNTED) !== 0) {
            this.#touched[0] = this.floats[this.counters(found >> 1)];
          }
          return found;
        }
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
    const head = this.#head, capacity = this.capacity;
    const front = head[HEAD_FRONT] = Math.min(Math.max(head[HEAD_FRONT], 0), capacity);
    const back = head[HEAD_BACK] = Math.min(Math.max(head[HEAD_BACK], 0), capacity - front);
    this.corrections.rebuild(w, (ct) => {
      const status = w[ct * FLOW_WORDS + CT_STATUS];
      if (w[ct * FLOW_WORDS + CT_STATE] !== FLOW_CONFIRMED || (status & IPS_SIDE) === 0) return -1;
      return this.side(ct);
    }, (ct) => this.next(ct));
    this.wheel.begin(now);
    const pairs = new Int32Array((front + back) * 4);
    let n = 0;
    for (let i = front + back - 1; i >= 0; i--) {
      // What is nearest to its end is freed last, and used first.
      const ct = i < front ? i : capacity - 1 - (i - front), at = ct * FLOW_WORDS;
      shared[COUNT]++;
      if (w[at + CT_STATE] === FLOW_CONFIRMED) {
        adopt?.(ct);
        pairs[n++] = this.hash(w, at + CT_ORIGINAL);
        pairs[n++] = (ct << 1) + 1;
        pairs[n++] = this.hash(w, at + CT_REPLY);
        pairs[n++] = (ct << 1) + 2;
        this.wheel.hang(ct, w[at + CT_EXPIRES]);
      } else {
        w[at + CT_STATUS] = 0; // its corrections have been given back already
        this.free(ct);
      }
    }
    this.#index.fill(pairs, n / 2);
    shared[INSERTED] += n / 4;
  }
}
