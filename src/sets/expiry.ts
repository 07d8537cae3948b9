/**
 * Who expires next: a binary heap of elements, the one that ends first on top. Elements know their places, so that one
 * can be taken out or given another time without a search.
 *
 * @module
 */
import type { Arena } from "../arena.ts";

/** A heap over words of elements that lie elsewhere. */
export class Expiry {
  /** How many there are, then the elements. */
  readonly #heap: Int32Array;
  readonly #words: Int32Array;
  readonly #stride: number;
  readonly #time: number;
  readonly #place: number;

  /** In `words` element e has its end at `e * stride + time` and its place in the heap, from 1, behind it. */
  constructor(words: Int32Array, stride: number, time: number, capacity: number, arena: Arena) {
    this.#words = words;
    this.#stride = stride;
    this.#time = time;
    this.#place = time + 1;
    this.#heap = arena.int32(capacity + 1);
  }

  /** Elements that have an end. */
  get count(): number {
    return this.#heap[0];
  }

  /** The one that ends first; of no use when there is none. */
  get first(): number {
    return this.#heap[1];
  }

  /** Takes an element in whose end has just been written, or moves it. */
  set(element: number): void {
    const heap = this.#heap;
    let at = this.#words[element * this.#stride + this.#place];
    if (at === 0) at = ++heap[0];
    this.#down(this.#up(at, element), element);
  }

  /** Takes an element out, if it is in. */
  remove(element: number): void {
    const heap = this.#heap, words = this.#words, place = element * this.#stride + this.#place;
    const at = words[place];
    if (at === 0) return;
    words[place] = 0;
    const last = heap[heap[0]--];
    if (last !== element) this.#down(this.#up(at, last), last);
  }

  clear(): void {
    this.#heap[0] = 0;
  }

  #end(element: number): number {
    return this.#words[element * this.#stride + this.#time];
  }

  #put(at: number, element: number): void {
    this.#heap[at] = element;
    this.#words[element * this.#stride + this.#place] = at;
  }

  /** Where an element goes, as far up as it may; `#down` puts it there. */
  #up(at: number, element: number): number {
    const heap = this.#heap, end = this.#end(element);
    while (at > 1) {
      const above = at >> 1;
      if (((this.#end(heap[above]) - end) | 0) <= 0) break;
      this.#put(at, heap[above]);
      at = above;
    }
    return at;
  }

  #down(at: number, element: number): void {
    const heap = this.#heap, count = heap[0], end = this.#end(element);
    for (;;) {
      let below = at << 1;
      if (below > count) break;
      if (below < count && ((this.#end(heap[below + 1]) - this.#end(heap[below])) | 0) < 0) below++;
      if (((this.#end(heap[below]) - end) | 0) >= 0) break;
      this.#put(at, heap[below]);
      at = below;
    }
    this.#put(at, element);
  }
}
