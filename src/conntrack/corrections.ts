/**
 * Earlier sequence corrections of flows that have several alive (see `seqadj.ts`).
 *
 * A flow's record has room for its newest correction in each direction, which is all that most flows ever need. A
 * flow whose sender may still repeat what it sent before that gets a block of this pool: up to seven earlier positions
 * for each direction, each with the offset that holds up to it. The block is the flow's until all of it has been
 * acknowledged, or the flow is gone.
 *
 * ```
 *  offset    0       |     3       |       6         |      4
 *  sequence ─────────┼─────────────┼─────────────────┼───────────▶
 *                 position      position          POSITION
 *               (0 before)    (3 before)       (BEFORE 6, AFTER 4)
 *              └────── the flow's block ──┘    └ the flow's record ┘
 * ```
 *
 * The pool is a part of the flow table's memory and survives the process with it. A direction's entries are a ring whose
 * first slot and length are one word, written last, so a half-made change is never believed.
 *
 * Limits: one block for 32 flows, if there is memory behind it. Without a block, and beyond eight corrections, the
 * oldest positions are forgotten, and what is sent again from before them gets the offset of the oldest that is left.
 * (Linux has one position.)
 */
import type { Arena } from "../arena.ts";
import type { Space } from "../space.ts";
import { CT_CORRECTIONS } from "./flow.ts";

/** Positions that a block holds for each direction. */
export const CORRECTIONS = 7;

/** Words of a block: 128 bytes. */
const BLOCK_WORDS = 32;
/** Handle + 1 of the flow it belongs to, 0 for none; rings of both directions; link of the free list; the entries. */
const OWNER = 0, RINGS = 1, NEXT_FREE = 3, ENTRIES = 4;
/** Instead of that link, while a state is rebuilt: a flow has it. */
const KEPT = -1;
/** A ring's word: first slot above, length below. */
const FIRST_SHIFT = 8, LENGTH_MASK = 0xff;
/** Words of an entry: the position, the offset that holds up to it. */
const ENTRY_WORDS = 2;
/** Most blocks. */
const MOST_BLOCKS = 0xffff;

/** The pool. A block's link is its number, from 1; 0 is none. `side` is where a flow's words aside begin in `flows`. */
export class Corrections {
  /** Keep more than Linux does (weir.seqadj_exact). */
  exact = true;
  readonly #words: Int32Array;
  readonly #blocks: number;
  /** The word that holds how many blocks were ever used. */
  readonly #head: Int32Array;
  readonly #high: number;
  /** One word: the first free block. */
  readonly #free: Int32Array;
  readonly #space: Space;

  static #blocksFor(flows: number): number {
    return Math.min(MOST_BLOCKS, Math.max(Math.min(flows, 64), flows >> 5));
  }

  /** Bytes of memory beside `flows` flows. */
  static bytes(flows: number): number {
    return Corrections.#blocksFor(flows) * BLOCK_WORDS * 4;
  }

  constructor(
    memory: ArrayBuffer,
    byteOffset: number,
    flows: number,
    head: Int32Array,
    high: number,
    arena: Arena,
    space: Space,
  ) {
    this.#space = space;
    this.#blocks = Corrections.#blocksFor(flows);
    this.#words = new Int32Array(memory, byteOffset, this.#blocks * BLOCK_WORDS);
    this.#head = head;
    this.#high = high;
    this.#free = arena.int32(1);
  }

  /** The block of a flow, 0 for none. */
  linkOf(flows: Int32Array, side: number): number {
    return flows[side + CT_CORRECTIONS];
  }

  /** An empty block for flow `ct`, 0 when there is none left. */
  take(flows: Int32Array, side: number, ct: number): number {
    const w = this.#words;
    let link = this.#free[0];
    if (link !== 0) {
      this.#free[0] = w[(link - 1) * BLOCK_WORDS + NEXT_FREE];
    } else {
      const high = this.#head[this.#high], at = w.byteOffset + high * BLOCK_WORDS * 4;
      if (high >= this.#blocks || !this.#space.has(at, at + BLOCK_WORDS * 4)) return 0;
      link = ++this.#head[this.#high];
    }
    const block = (link - 1) * BLOCK_WORDS;
    w[block + RINGS] = w[block + RINGS + 1] = 0;
    w[block + OWNER] = ct + 1;
    flows[side + CT_CORRECTIONS] = link;
    return link;
  }

  /** Gives the block of a flow back, if it has one. */
  release(flows: Int32Array, side: number): void {
    const link = flows[side + CT_CORRECTIONS];
    if (link === 0) return;
    flows[side + CT_CORRECTIONS] = 0;
    const block = (link - 1) * BLOCK_WORDS;
    this.#words[block + OWNER] = 0;
    this.#words[block + NEXT_FREE] = this.#free[0];
    this.#free[0] = link;
  }

  /** Remembers that `offset` holds up to `position`, which lies behind all positions so far. */
  push(link: number, dir: number, position: number, offset: number): void {
    const w = this.#words, block = (link - 1) * BLOCK_WORDS, ring = w[block + RINGS + dir];
    let first = ring >> FIRST_SHIFT, length = ring & LENGTH_MASK;
    if (length === CORRECTIONS) {
      first = (first + 1) % CORRECTIONS;
      w[block + RINGS + dir] = (first << FIRST_SHIFT) | --length;
    }
    const at = entryAt(block, dir, first, length);
    w[at] = position;
    w[at + 1] = offset;
    w[block + RINGS + dir] = (first << FIRST_SHIFT) | (length + 1);
  }

  /** The offset that holds at `seq`, where `offset` holds behind the last position. */
  offsetAt(link: number, dir: number, seq: number, offset: number): number {
    const w = this.#words, block = (link - 1) * BLOCK_WORDS, ring = w[block + RINGS + dir];
    for (let i = (ring & LENGTH_MASK) - 1; i >= 0; i--) {
      const at = entryAt(block, dir, ring >> FIRST_SHIFT, i);
      if (((w[at] - seq) | 0) < 0) break;
      offset = w[at + 1];
    }
    return offset;
  }

  /** The same where `seq` is the number behind the correction, as the receiver counts. */
  offsetBehind(link: number, dir: number, seq: number, offset: number): number {
    const w = this.#words, block = (link - 1) * BLOCK_WORDS, ring = w[block + RINGS + dir];
    for (let i = (ring & LENGTH_MASK) - 1; i >= 0; i--) {
      const at = entryAt(block, dir, ring >> FIRST_SHIFT, i);
      if (((w[at] - (seq - w[at + 1])) | 0) < 0) break;
      offset = w[at + 1];
    }
    return offset;
  }

  /** How far apart a direction's offsets lie, `before` and `after` of the newest correction among them. */
  spread(link: number, dir: number, before: number, after: number): number {
    const w = this.#words, block = (link - 1) * BLOCK_WORDS, ring = w[block + RINGS + dir];
    let least = Math.min(before, after), most = Math.max(before, after);
    for (let i = (ring & LENGTH_MASK) - 1; i >= 0; i--) {
      const offset = w[entryAt(block, dir, ring >> FIRST_SHIFT, i) + 1];
      if (offset < least) least = offset;
      else if (offset > most) most = offset;
    }
    return most - least;
  }

  /** Forgets a direction's positions; a block without any goes back. */
  clear(flows: Int32Array, side: number, link: number, dir: number): void {
    const w = this.#words, block = (link - 1) * BLOCK_WORDS;
    w[block + RINGS + dir] = 0;
    if (w[block + RINGS + 1 - dir] === 0) this.release(flows, side);
  }

  /**
   * After a restart: a block and a flow belong together when each names the other; all else is free. `sideOf`: where the
   * words aside of a flow begin that goes on, -1 if it has none; `next`: the flow behind another, -1 behind the last.
   */
  rebuild(flows: Int32Array, sideOf: (ct: number) => number, next: (ct: number) => number): void {
    const w = this.#words, head = this.#head;
    const high = head[this.#high] = Math.min(Math.max(head[this.#high], 0), this.#blocks);
    // Without blocks no flow can have one.
    for (let link = 1; link <= high; link++) w[(link - 1) * BLOCK_WORDS + NEXT_FREE] = 0;
    for (let ct = high > 0 ? next(-1) : -1; ct >= 0; ct = next(ct)) {
      const side = sideOf(ct), link = side < 0 ? 0 : flows[side + CT_CORRECTIONS];
      if (link === 0) continue;
      const block = (link - 1) * BLOCK_WORDS;
      if (link > 0 && link <= high && w[block + OWNER] === ct + 1) w[block + NEXT_FREE] = KEPT;
      else flows[side + CT_CORRECTIONS] = 0;
    }
    this.#free[0] = 0;
    for (let link = high; link > 0; link--) {
      const block = (link - 1) * BLOCK_WORDS;
      if (w[block + NEXT_FREE] === KEPT) continue;
      w[block + OWNER] = 0;
      w[block + NEXT_FREE] = this.#free[0];
      this.#free[0] = link;
    }
  }
}

function entryAt(block: number, dir: number, first: number, i: number): number {
  return block + ENTRIES + (dir * CORRECTIONS + (first + i) % CORRECTIONS) * ENTRY_WORDS;
}
