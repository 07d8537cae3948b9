/**
 * What has happened to flows and expectations, for those who listen (`weir conntrack -E`): a ring of records in the
 * state file, written by whoever changes a flow and read by other processes.
 *
 * ```
 *  memory   [ number of the newest ][ what is listened for ][ record 0 ] … [ record 16383 ]      192 bytes each
 *  record   number, kind, time, what its line says
 * ```
 *
 * Life-cycle: the control plane makes sure of the memory and writes what is listened for (`control/listeners.ts`); while
 * that is nothing no record is written, nor its memory touched. A record holds all that its line needs, as its flow may
 * be gone when it is read. It is complete before its number becomes the newest.
 *
 * Limits: whoever writes waits for nobody. A reader that falls behind by more than the ring loses the oldest, and can
 * tell how many. What was written while nobody listened is nowhere.
 */
import type { Clock } from "../clock.ts";
import { EXP_CLASS, EXP_EXPIRES, EXP_FLAGS, EXP_ID, EXP_MASK, EXP_MASTER, EXP_TUPLE } from "./expect.ts";
import {
  COUNTERS,
  CT_EXPIRES,
  CT_HELPER,
  CT_ID,
  CT_LABELS,
  CT_MARK,
  CT_PROTO,
  CT_START,
  CT_STATUS,
  FLOW_WORDS,
  IPS_COUNTED,
  tupleAt,
} from "./flow.ts";
import type { FlowTable } from "./table.ts";
import { TUPLE_WORDS } from "./tuple.ts";

/** Records in the ring of a router. A power of two. */
export const EVENTS = 16384;

/** What happened: the lower bits of EVENT_KIND. */
export const EVENT_NEW = 0, EVENT_UPDATE = 1, EVENT_DESTROY = 2, EVENT_TYPE = 3;
/** It happened to an expectation. */
export const EVENT_EXPECT = 1 << 2;
/** The line says the protocol's state, a mark even if it is 0, labels. */
export const EVENT_STATE = 1 << 3, EVENT_MARK = 1 << 4, EVENT_LABELS = 1 << 5;

/** What is listened for: one bit for each of `kind & (EVENT_TYPE | EVENT_EXPECT)`. */
export const LISTEN_FLOWS = 1 << EVENT_NEW | 1 << EVENT_UPDATE | 1 << EVENT_DESTROY;
export const LISTEN_EXPECTS = LISTEN_FLOWS << EVENT_EXPECT;

/** Word offsets in a record. Its number is the complement of that while it is being written. */
const NUMBER = 0;
export const EVENT_KIND = 1;
/** Float64: seconds since 1970. */
export const EVENT_TIME = 2;
export const EVENT_ID = 4;
/** Seconds that were left. */
export const EVENT_TIMEOUT = 5;
/** Process that asked for it, 0 for none. */
export const EVENT_PORTID = 6;
/** Of a flow: IPS_* bits; the protocol's state; its mark; when it was confirmed, 0 if nobody has noted it. */
export const EVENT_STATUS = 7, EVENT_PROTO = 8, EVENT_CTMARK = 9, EVENT_START = 10;
/** Of an expectation: class, flags, mask. */
export const EVENT_CLASS = 7, EVENT_FLAGS = 8, EVENT_MASK = 40;
/** Sixteen bytes, zeros behind the name. */
export const EVENT_HELPER = 11, NAME_WORDS = 4;
export const EVENT_LABEL = 15;
/** Both tuples of a flow; of an expectation its own and its master's. */
export const EVENT_ORIGINAL = 20, EVENT_REPLY = 30;
/** Float64: packets and bytes of both directions. */
export const EVENT_COUNTERS = 40;
const EVENT_WORDS = 48;

const HEAD_WORDS = 32, HEAD = 0, WANTED = 16;
const LABEL_WORDS = 4, MASK_WORDS = 5;

/** The ring. */
export class EventRing {
  /** One word: what is listened for, LISTEN_* bits; to look at once per flow. */
  readonly heard: Int32Array;
  readonly #head: Int32Array;
  readonly #words: Int32Array;
  readonly #floats: Float64Array;
  readonly #mask: number;

  /** Bytes that a ring takes. */
  static bytes(capacity = EVENTS): number {
    return (HEAD_WORDS + capacity * EVENT_WORDS) * 4;
  }

  /** `byteOffset` is a multiple of 64; a small one in memory of its own by default. */
  constructor(
    buffer?: ArrayBuffer,
    readonly byteOffset = 0,
    readonly capacity = buffer === undefined ? 16 : EVENTS,
  ) {
    buffer ??= new ArrayBuffer(EventRing.bytes(capacity));
    const first = byteOffset + HEAD_WORDS * 4;
    this.#head = new Int32Array(buffer, byteOffset, HEAD_WORDS);
    this.heard = new Int32Array(buffer, byteOffset + WANTED * 4, 1);
    this.#words = new Int32Array(buffer, first, capacity * EVENT_WORDS);
    this.#floats = new Float64Array(buffer, first, capacity * EVENT_WORDS / 2);
    this.#mask = capacity - 1;
  }

  /** What is listened for, LISTEN_* bits. */
  get wanted(): number {
    return this.heard[0];
  }

  set wanted(kinds: number) {
    Atomics.store(this.heard, 0, kinds);
  }

  /** Offsets of its memory, which has to be there before anybody listens. */
  get part(): [from: number, to: number] {
    return [this.byteOffset, this.byteOffset + EventRing.bytes(this.capacity)];
  }

  /** The number of the newest record, wrapping. */
  get newest(): number {
    return Atomics.load(this.#head, HEAD);
  }

  /** Writes down what happened to a flow; `names` are the helpers', NAME_WORDS for each. */
  flow(kind: number, flows: FlowTable, ct: number, clock: Clock, portid: number, names: Int32Array): void {
    const r = this.#words, at = this.#begin(kind, clock, portid);
    const w = flows.words, from = ct * FLOW_WORDS, status = w[from + CT_STATUS];
    r[at + EVENT_ID] = w[from + CT_ID];
    r[at + EVENT_TIMEOUT] = secondsLeft(w[from + CT_EXPIRES], clock.now);
    r[at + EVENT_STATUS] = status;
    r[at + EVENT_PROTO] = w[from + CT_PROTO];
    r[at + EVENT_CTMARK] = w[from + CT_MARK];
    r[at + EVENT_START] = flows.aside(ct, CT_START);
    this.#name(at, w[from + CT_HELPER], names);
    for (let i = 0; i < LABEL_WORDS; i++) r[at + EVENT_LABEL + i] = flows.aside(ct, CT_LABELS + i);
    const original = tupleAt(ct, 0), reply = tupleAt(ct, 1);
    for (let i = 0; i < TUPLE_WORDS; i++) {
      r[at + EVENT_ORIGINAL + i] = w[original + i];
      r[at + EVENT_REPLY + i] = w[reply + i];
    }
    if ((status & IPS_COUNTED) !== 0) {
      const f = flows.floats, counters = flows.counters(ct), to = (at + EVENT_COUNTERS) >> 1;
      for (let i = 0; i < COUNTERS; i++) this.#floats[to + i] = f[counters + i];
    }
    this.#end(at);
  }

  /** Writes down what happened to an expectation, whose record begins at `exp` of `e`. */
  expect(kind: number, e: Int32Array, exp: number, flows: FlowTable, clock: Clock, names: Int32Array): void {
    const r = this.#words, at = this.#begin(kind | EVENT_EXPECT, clock, 0);
    const w = flows.words, master = e[exp + EXP_MASTER] - 1, original = tupleAt(master, 0);
    r[at + EVENT_ID] = e[exp + EXP_ID];
    r[at + EVENT_TIMEOUT] = secondsLeft(e[exp + EXP_EXPIRES], clock.now);
    r[at + EVENT_CLASS] = e[exp + EXP_CLASS];
    r[at + EVENT_FLAGS] = e[exp + EXP_FLAGS];
    this.#name(at, w[master * FLOW_WORDS + CT_HELPER], names);
    for (let i = 0; i < MASK_WORDS; i++) r[at + EVENT_MASK + i] = e[exp + EXP_MASK + i];
    for (let i = 0; i < TUPLE_WORDS; i++) {
      r[at + EVENT_ORIGINAL + i] = e[exp + EXP_TUPLE + i];
      r[at + EVENT_REPLY + i] = w[original + i];
    }
    this.#end(at);
  }

  #begin(kind: number, clock: Clock, portid: number): number {
    const number = (this.#head[HEAD] + 1) | 0, at = (number & this.#mask) * EVENT_WORDS;
    Atomics.store(this.#words, at + NUMBER, ~number);
    this.#words[at + EVENT_KIND] = kind;
    this.#floats[(at + EVENT_TIME) >> 1] = clock.wall;
    this.#words[at + EVENT_PORTID] = portid;
    return at;
  }

  #end(at: number): void {
    const number = ~this.#words[at + NUMBER];
    Atomics.store(this.#words, at + NUMBER, number);
    Atomics.store(this.#head, HEAD, number);
  }

  #name(at: number, helper: number, names: Int32Array): void {
    for (let i = 0; i < NAME_WORDS; i++) {
      this.#words[at + EVENT_HELPER + i] = helper === 0 ? 0 : names[(helper - 1) * NAME_WORDS + i];
    }
  }

  /** A copy of a record; null when it is not there any more. */
  get(number: number): Int32Array<ArrayBuffer> | null {
    const w = this.#words, at = (number & this.#mask) * EVENT_WORDS;
    if (Atomics.load(w, at + NUMBER) !== number) return null;
    const record = new Int32Array(w.subarray(at, at + EVENT_WORDS));
    return Atomics.load(w, at + NUMBER) === number ? record : null;
  }
}

function secondsLeft(expires: number, now: number): number {
  const left = (expires - now) | 0;
  return left <= 0 ? 0 : Math.floor(left / 1000);
}

/** Reads a ring from now on, or from behind record `last`, at its own pace. */
export class EventReader {
  readonly #ring: EventRing;
  #last: number;
  /** Records that were overwritten before they could be read. */
  lost = 0;

  constructor(ring: EventRing, last = ring.newest) {
    this.#ring = ring;
    this.#last = last;
  }

  /** The next record, null when there is none yet. */
  next(): Int32Array<ArrayBuffer> | null {
    const ring = this.#ring;
    for (;;) {
      const behind = (ring.newest - this.#last) | 0;
      if (behind <= 0) return null;
      const record = behind >= ring.capacity ? null : ring.get((this.#last + 1) | 0);
      if (record !== null) {
        this.#last = (this.#last + 1) | 0;
        return record;
      }
      // It is overtaken: some room is left between it and the writer, or it would be again at once.
      const skipped = Math.max(1, behind - (ring.capacity >> 1));
      this.lost += skipped;
      this.#last = (this.#last + skipped) | 0;
    }
  }
}
