/**
 * Memory for fragments that wait: blocks of 512 bytes, chained, up to a limit. So a flood of fragments costs its limit
 * and nothing else.
 *
 * A chain of blocks holds one fragment's bytes, and its first block is the *piece*, described by a few words beside the
 * blocks. A block can also be taken as words, which is where a queue stands. Block 0 is nobody's: 0 means none.
 */
import type { Arena } from "../arena.ts";
import { copyBytes } from "./copy.ts";

/** Bytes of a block, and words. */
export const BLOCK = 512, BLOCK_WORDS = BLOCK / 4;
/** Most blocks, whatever the limit: 1 GiB. */
const MOST = 1 << 21;

/** Words of a piece: `pieces[piece * PIECE_WORDS + PIECE_OFFSET]`. */
export const PIECE_WORDS = 8;
/** Its part of the datagram, and how many header bytes stand in front of the payload in its blocks. */
export const PIECE_OFFSET = 0, PIECE_END = 1, PIECE_HEADER = 2;
/** The piece that continues it in its run; and at a run's first piece the run's end, the next run, its subtrees. */
export const PIECE_NEXT = 3, RUN_END = 4, RUN_NEXT = 5, RUN_LEFT = 6, RUN_RIGHT = 7;

/** Blocks in use, those counted for queues included; blocks ever used; the first free one. */
const USED = 0, HIGH = 1, FREE = 2;

/** Chained blocks with a limit. */
export class FragStore {
  /** Blocks that the limit allows. */
  readonly limit: number;
  /** All blocks as words: block b begins at b * BLOCK_WORDS. */
  readonly words: Int32Array;
  readonly pieces: Int32Array;
  readonly #view: DataView;
  /** Next block of the chain, or of the free list. */
  readonly #next: Int32Array;
  readonly #counts: Int32Array;
  readonly #seed: number;

  /** `bytes`: the limit, as net.ipv4.ipfrag_high_thresh. `seed` is for `weight`. */
  constructor(bytes: number, seed: number, arena: Arena) {
    this.#seed = seed;
    this.limit = Math.min(Math.floor(bytes / BLOCK), MOST);
    this.words = arena.int32((this.limit + 1) * BLOCK_WORDS);
    this.#view = new DataView(this.words.buffer, this.words.byteOffset, this.words.byteLength);
    this.pieces = arena.int32((this.limit + 1) * PIECE_WORDS);
    this.#next = arena.int32(this.limit + 1);
    this.#counts = arena.int32(3);
  }

  /** Blocks in use. */
  get used(): number {
    return this.#counts[USED];
  }

  /** True if `blocks` more fit. */
  hasRoom(blocks: number): boolean {
    return this.used + blocks <= this.limit;
  }

  /** One block, of which nothing is known; ask `hasRoom` before. */
  take(): number {
    const counts = this.#counts;
    counts[USED]++;
    const block = counts[FREE];
    if (block === 0) return ++counts[HIGH];
    counts[FREE] = this.#next[block];
    return block;
  }

  /** A number that nobody outside can foresee, and that a block keeps: how high its run stands in a treap. */
  weight(block: number): number {
    const h = Math.imul(block ^ this.#seed, 0x21f0aaad);
    return Math.imul(h ^ (h >>> 15), 0x735a2d97);
  }

  /** Copies bytes `from` … `to`−1 of a packet into a new chain and returns its first block; ask `hasRoom` before. */
  store(packet: DataView, from: number, to: number): number {
    let first = 0;
    // Back to front, so that each block knows its successor when it is taken.
    for (let at = from + Math.floor((to - from - 1) / BLOCK) * BLOCK; at >= from; at -= BLOCK) {
      const block = this.take();
      copyBytes(packet, at, this.#view, block * BLOCK, Math.min(BLOCK, to - at));
      this.#next[block] = first;
      first = block;
    }
    return first;
  }

  /** Copies `length` bytes of a chain, from its byte `skip` on, to a packet at `to`. */
  load(first: number, skip: number, length: number, packet: DataView, to: number): void {
    let block = first;
    let offset = skip;
    while (offset >= BLOCK) {
      block = this.#next[block];
      offset -= BLOCK;
    }
    while (length > 0) {
      const size = Math.min(BLOCK - offset, length);
      copyBytes(this.#view, block * BLOCK + offset, packet, to, size);
      to += size;
      length -= size;
      offset = 0;
      block = this.#next[block];
    }
  }

  /** Gives a chain back. */
  release(first: number): void {
    for (let block = first; block !== 0;) {
      const next = this.#next[block];
      this.give(block);
      block = next;
    }
  }

  /** Gives one block back. */
  give(block: number): void {
    const counts = this.#counts;
    this.#next[block] = counts[FREE];
    counts[FREE] = block;
    counts[USED]--;
  }
}
