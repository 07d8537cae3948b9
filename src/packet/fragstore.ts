/**
 * Memory for fragments that wait: blocks of 512 bytes, chained, out of slabs that are added as they are needed up to a
 * limit and kept for the next fragments. So a flood of fragments costs its limit and nothing else.
 */

/** Bytes of a block. */
export const BLOCK = 512;
/** Blocks of a slab: 64 KiB. */
const SLAB_BLOCKS = 128;

/** Chained blocks with a limit. */
export class FragStore {
  /** Blocks that the limit allows. */
  readonly limit: number;
  /** Blocks in use, those counted for queues included. */
  used = 0;
  readonly #slabs: Uint8Array[] = [];
  /** Next block of the chain, or of the free list; −1 at the end. */
  #next = new Int32Array(0);
  #free = -1;

  /** `bytes`: the limit, as net.ipv4.ipfrag_high_thresh. */
  constructor(bytes: number) {
    this.limit = Math.floor(bytes / BLOCK);
  }

  /** True if `blocks` more fit. */
  hasRoom(blocks: number): boolean {
    return this.used + blocks <= this.limit;
  }

  /** Copies bytes `from` … `to`−1 into a new chain and returns its first block; ask `hasRoom` before. */
  store(bytes: Uint8Array, from: number, to: number): number {
    let first = -1;
    // Back to front, so that each block knows its successor when it is taken.
    for (let at = from + Math.floor((to - from - 1) / BLOCK) * BLOCK; at >= from; at -= BLOCK) {
      const block = this.#take();
      this.#slabs[block >> 7].set(bytes.subarray(at, Math.min(at + BLOCK, to)), (block & 127) * BLOCK);
      this.#next[block] = first;
      first = block;
    }
    return first;
  }

  /** Copies `length` bytes of a chain, from its byte `skip` on, to `bytes` at `to`. */
  load(first: number, skip: number, length: number, bytes: Uint8Array, to: number): void {
    let block = first;
    let offset = skip;
    while (offset >= BLOCK) {
      block = this.#next[block];
      offset -= BLOCK;
    }
    while (length > 0) {
      const size = Math.min(BLOCK - offset, length);
      const start = (block & 127) * BLOCK + offset;
      bytes.set(this.#slabs[block >> 7].subarray(start, start + size), to);
      to += size;
      length -= size;
      offset = 0;
      block = this.#next[block];
    }
  }

  /** Gives a chain back. */
  release(first: number): void {
    for (let block = first; block >= 0;) {
      const next = this.#next[block];
      this.#next[block] = this.#free;
      this.#free = block;
      this.used--;
      block = next;
    }
  }

  #take(): number {
    if (this.#free < 0) this.#grow();
    const block = this.#free;
    this.#free = this.#next[block];
    this.used++;
    return block;
  }

  #grow(): void {
    const from = this.#slabs.length * SLAB_BLOCKS;
    const next = new Int32Array(from + SLAB_BLOCKS);
    next.set(this.#next);
    for (let i = from; i < next.length; i++) next[i] = i + 1 < next.length ? i + 1 : this.#free;
    this.#next = next;
    this.#free = from;
    this.#slabs.push(new Uint8Array(SLAB_BLOCKS * BLOCK));
  }
}
