/**
 * Expectations: flows that a helper has heard announced, waiting to begin (nf_conntrack_expect).
 *
 * Overview: a helper allocates one with `Conntrack.expectAlloc`, fills it with `expectInit`, NAT may change it, and
 * `Conntrack.expectRelated` puts it into the table. The first packet of a new flow that fits takes it out again
 * (once, unless PERMANENT) and becomes a child of the master.
 *
 * Life-cycle: HELD (the helper that allocated it works on it) → HELD|LINKED → LINKED (after `expectPut`) → free, when
 * it is fulfilled, times out, is evicted by a newer one of its class, or its master goes.
 *
 * Limits: per master and class by the helper's policy, 255 at most; in total by nf_conntrack_expect_max.
 *
 * The source of the announced flow is compared under a mask, its destination always in full, so the index is by
 * destination. Records are int32 words in given memory and survive the process as flows do.
 */
import { type Arena, HeapArena } from "../arena.ts";
import type { Random } from "../clock.ts";
import { DST, PORTS, PROTO, SRC } from "./tuple.ts";
import { Wheel } from "./wheel.ts";

/** Words per record: 128 bytes. */
export const EXP_WORDS = 32;

/**
 * Room for records beyond those in the table: a new one is made before it is known whether an older one has to leave for
 * it.
 */
export const HELD_EXPECTS = 16;

/** EXP_HELD and EXP_LINKED bits; 0 is a free record. Published last. */
export const EXP_STATE = 0;
/** Ten words: the tuple that the first packet must carry. */
export const EXP_TUPLE = 1;
/** Five words: mask of the source address (four words), then of the PORTS word. */
export const EXP_MASK = 11;
/** Handle + 1 of the flow whose helper announced it, and that flow's CT_ID. */
export const EXP_MASTER = 16, EXP_MASTER_ID = 17;
/** Helper of the flow to come: index + 1 into `Conntrack.helpers`, 0 for none. */
export const EXP_HELPER = 18;
/** Class within the master's helper's policies. */
export const EXP_CLASS = 19;
/** EXPECT_* bits. */
export const EXP_FLAGS = 20;
/** When it dies: clock milliseconds, wrapping. */
export const EXP_EXPIRES = 21;
/** Number shown to people, never 0; grows, so it also tells the older from the newer. */
export const EXP_ID = 22;
/** What NAT must restore when it is fulfilled: address (four words), and port. */
export const EXP_SAVED_ADDR = 23, EXP_SAVED_PORT = 27;
/** Direction of the flow to come relative to the master: ORIGINAL if it starts on the same side. */
export const EXP_DIR = 28;
/** Number of a function from `Conntrack.registerExpectFn` that runs on the new flow, 0 for none. */
export const EXP_FN = 29;
/** Link of the index chain or the free list: record + 1. */
export const EXP_NEXT = 30;

/** The helper's limits allow it: which bytes of the packet announce it, first << 16 | end, or 1; 0 before it is known. */
export const EXP_ANNOUNCED = 31;

/** Bits of EXP_STATE: a helper works on it; it is in the table. */
export const EXP_HELD = 1, EXP_LINKED = 2;

/** Bits of EXP_FLAGS (NF_CT_EXPECT_*). */
export const EXPECT_PERMANENT = 1, EXPECT_INACTIVE = 2, EXPECT_USERSPACE = 4;

/** What `expectRelated` says: done. */
export const EXPECT_OK = 0;
/** Another master waits for the same packet (EBUSY): NAT tries another port. */
export const EXPECT_BUSY = 1;
/** The class or the table is full (EMFILE). */
export const EXPECT_FULL = 2;
/** The master has no helper any more (ESHUTDOWN). */
export const EXPECT_SHUTDOWN = 3;
/** The same expectation exists with another class (EALREADY). */
export const EXPECT_EXISTS = 4;
/** The helper's limits forbid it; Linux has none. */
export const EXPECT_REFUSED = 5;

/** Limits of one class of expectations (struct nf_conntrack_expect_policy). */
export interface ExpectPolicy {
  readonly name: string;
  /** Pending expectations per master; the oldest goes first. */
  readonly maxExpected: number;
  /** Life of a pending expectation, in seconds. */
  readonly timeout: number;
}

/** Fills an expectation's tuple and mask; see `Conntrack.expectInit`. `proto` is the tuple's last word. */
export function expectFill(
  e: Int32Array,
  at: number,
  source: Int32Array | null,
  sourceAt: number,
  destination: Int32Array,
  destinationAt: number,
  proto: number,
  sourcePort: number,
  destinationPort: number,
): void {
  const words = ((proto >> 8) & 0xff) === 4 ? 1 : 4, tuple = at + EXP_TUPLE, mask = at + EXP_MASK;
  for (let i = 0; i < 4; i++) {
    e[tuple + SRC + i] = source !== null && i < words ? source[sourceAt + i] : 0;
    e[tuple + DST + i] = i < words ? destination[destinationAt + i] : 0;
    e[mask + i] = source !== null && i < words ? -1 : 0;
  }
  e[tuple + PORTS] = ((sourcePort < 0 ? 0 : sourcePort) << 16) | (destinationPort & 0xffff);
  e[mask + 4] = sourcePort < 0 ? 0xffff : -1;
  e[tuple + PROTO] = proto;
  e[at + EXP_FLAGS] = e[at + EXP_FN] = e[at + EXP_HELPER] = 0;
  e.fill(0, at + EXP_SAVED_ADDR, at + EXP_SAVED_PORT + 1);
}

/** True if a packet's tuple fits an expectation under its mask (nf_ct_exp_equal). */
export function expectFits(e: Int32Array, at: number, t: Int32Array, zone: number): boolean {
  const tuple = at + EXP_TUPLE, mask = at + EXP_MASK;
  return ((e[tuple + PORTS] ^ t[PORTS]) & e[mask + 4]) === 0 && e[tuple + DST] === t[DST] &&
    ((e[tuple] ^ t[0]) & e[mask]) === 0 && ((e[tuple + PROTO] ^ t[PROTO]) & 0xffff) === 0 &&
    e[tuple + PROTO] >>> 16 === zone && e[tuple + DST + 1] === t[DST + 1] &&
    e[tuple + DST + 2] === t[DST + 2] && e[tuple + DST + 3] === t[DST + 3] &&
    ((e[tuple + 1] ^ t[1]) & e[mask + 1]) === 0 && ((e[tuple + 2] ^ t[2]) & e[mask + 2]) === 0 &&
    ((e[tuple + 3] ^ t[3]) & e[mask + 3]) === 0;
}

/** Same tuple, same mask (expect_matches). */
export function expectEquals(e: Int32Array, a: number, b: number): boolean {
  for (let i = EXP_TUPLE; i < EXP_MASK + 5; i++) if (e[a + i] !== e[b + i]) return false;
  return true;
}

/** A packet could fit both (expect_clash). */
export function expectClash(e: Int32Array, a: number, b: number): boolean {
  const ta = a + EXP_TUPLE, tb = b + EXP_TUPLE;
  for (let i = 0; i < 4; i++) {
    if (((e[ta + i] ^ e[tb + i]) & e[a + EXP_MASK + i] & e[b + EXP_MASK + i]) !== 0) return false;
    if (e[ta + DST + i] !== e[tb + DST + i]) return false;
  }
  return ((e[ta + PORTS] ^ e[tb + PORTS]) & e[a + EXP_MASK + 4] & e[b + EXP_MASK + 4]) === 0 &&
    e[ta + PROTO] === e[tb + PROTO];
}

/** What the arena has beside the index: its seed, how many are in it, records ever used, first free one, latest id. */
const SEED = 0, COUNT = 1, HIGH = 2, FREE = 3, LATEST = 4, SHARED_WORDS = 5;

/** Records of expectations and the index over their destinations. */
export class ExpectTable {
  /** The records: `words[exp * EXP_WORDS + EXP_…]`. */
  readonly words: Int32Array;
  /** When to look at which of them. */
  readonly wheel: Wheel;
  /** Most records it holds. */
  readonly capacity: number;

  readonly #buckets: Int32Array;
  readonly #mask: number;
  readonly #seed: number;
  readonly #shared: Int32Array;

  static bytes(capacity: number): number {
    return capacity * EXP_WORDS * 4;
  }

  constructor(
    memory: ArrayBuffer,
    byteOffset: number,
    capacity: number,
    random: Random,
    arena: Arena = new HeapArena(),
  ) {
    this.capacity = capacity;
    this.words = new Int32Array(memory, byteOffset, capacity * EXP_WORDS);
    this.wheel = new Wheel(arena.int32(capacity), 1, 0, capacity, arena);
    let buckets = 16;
    while (buckets < capacity) buckets *= 2;
    this.#buckets = arena.int32(buckets);
    this.#mask = buckets - 1;
    const shared = this.#shared = arena.int32(SHARED_WORDS), seed = random.next();
    if (arena.fresh) shared[SEED] = seed;
    this.#seed = shared[SEED];
  }

  /** Expectations in the table. */
  get count(): number {
    return this.#shared[COUNT];
  }

  /** Records ever used: numbers are below it. */
  get high(): number {
    return this.#shared[HIGH];
  }

  /** For who only looks at another process's records: any of them may be in use. */
  lookAtAll(): void {
    this.#shared[HIGH] = this.capacity;
  }

  /** A zeroed record that the caller holds, or -1. */
  alloc(): number {
    const w = this.words, shared = this.#shared;
    let exp = shared[FREE] - 1;
    if (exp >= 0) shared[FREE] = w[exp * EXP_WORDS + EXP_NEXT];
    else if (shared[HIGH] < this.capacity) exp = shared[HIGH]++;
    else return -1;
    const at = exp * EXP_WORDS;
    w.fill(0, at, at + EXP_WORDS);
    w[at + EXP_STATE] = EXP_HELD;
    return exp;
  }

  /** Keeps a record that is about to leave the table. */
  hold(exp: number): void {
    this.words[exp * EXP_WORDS + EXP_STATE] |= EXP_HELD;
  }

  /** The holder lets go: a record that is not in the table is free. */
  put(exp: number): void {
    const w = this.words, at = exp * EXP_WORDS;
    if ((w[at + EXP_STATE] &= ~EXP_HELD) === 0) {
      w[at + EXP_NEXT] = this.#shared[FREE];
      this.#shared[FREE] = exp + 1;
    }
  }

  /** Puts a record into the table until EXP_EXPIRES; the newest of a bucket is found first. */
  link(exp: number): void {
    const w = this.words, at = exp * EXP_WORDS, shared = this.#shared;
    shared[LATEST] = (shared[LATEST] + 1) | 0 || 1;
    w[at + EXP_ID] = shared[LATEST];
    this.#chain(exp);
    this.wheel.hang(exp, w[at + EXP_EXPIRES]);
    shared[COUNT]++;
    w[at + EXP_STATE] |= EXP_LINKED;
  }

  /** Takes a record out of the table; it is free when nobody holds it. */
  unlink(exp: number): void {
    const w = this.words, at = exp * EXP_WORDS;
    const bucket = this.#bucket(w, at + EXP_TUPLE);
    let link = this.#buckets[bucket];
    if (link === exp + 1) {
      this.#buckets[bucket] = w[at + EXP_NEXT];
    } else {
      while (link !== 0) {
        const next = (link - 1) * EXP_WORDS + EXP_NEXT;
        if (w[next] === exp + 1) {
          w[next] = w[at + EXP_NEXT];
          break;
        }
        link = w[next];
      }
    }
    this.#shared[COUNT]--;
    w[at + EXP_STATE] &= ~EXP_LINKED;
    if (w[at + EXP_STATE] === 0) this.put(exp);
  }

  /** First record of the chain that may hold a tuple's destination, + 1; go on with EXP_NEXT. 0 ends it. */
  first(t: Int32Array, at: number): number {
    return this.#buckets[this.#bucket(t, at)];
  }

  /** After a restart, in a table just made: index, wheel, free list and count from the records. */
  rebuild(now: number): void {
    const w = this.words, shared = this.#shared;
    this.wheel.begin(now);
    shared[HIGH] = this.capacity;
    // Newest first holds no longer within a chain; it matters only where masks overlap, which `expectRelated` refuses.
    for (let exp = this.capacity - 1; exp >= 0; exp--) {
      const at = exp * EXP_WORDS;
      if ((w[at + EXP_STATE] & EXP_LINKED) !== 0) {
        w[at + EXP_STATE] = EXP_LINKED;
        this.#chain(exp);
        this.wheel.hang(exp, w[at + EXP_EXPIRES]);
        shared[COUNT]++;
        if (((w[at + EXP_ID] - shared[LATEST]) | 0) > 0) shared[LATEST] = w[at + EXP_ID];
      } else {
        w[at + EXP_STATE] = 0;
        w[at + EXP_NEXT] = shared[FREE];
        shared[FREE] = exp + 1;
      }
    }
  }

  #chain(exp: number): void {
    const w = this.words, at = exp * EXP_WORDS;
    const bucket = this.#bucket(w, at + EXP_TUPLE);
    w[at + EXP_NEXT] = this.#buckets[bucket];
    this.#buckets[bucket] = exp + 1;
  }

  #bucket(t: Int32Array, at: number): number {
    let h = this.#seed;
    h = Math.imul(h ^ t[at + DST], 0x21f0aaad);
    h = Math.imul(h ^ (h >>> 15) ^ t[at + DST + 1], 0x735a2d97);
    h = Math.imul(h ^ (h >>> 15) ^ t[at + DST + 2], 0x21f0aaad);
    h = Math.imul(h ^ (h >>> 15) ^ t[at + DST + 3], 0x735a2d97);
    h = Math.imul(h ^ (h >>> 15) ^ (t[at + PORTS] & 0xffff), 0x21f0aaad);
    h = Math.imul(h ^ (h >>> 15) ^ (t[at + PROTO] & 0xffff), 0x735a2d97);
    return (h ^ (h >>> 15)) & this.#mask;
  }
}
