/**
 * Where a router keeps what changes while it routes and is not in the state file: indices, free lists, token buckets,
 * fragments that wait.
 *
 * All data planes of one router build the same objects in the same order. With a `MappedArena` over memory that they
 * share, the n-th thing taken is the same place for all of them; the first one finds it zero and `fresh`, the others
 * find what it has become. With a `HeapArena` everything is a plain array of one's own: one data plane, replay, tests.
 *
 * @module
 */

/** Gives out memory that starts as zeros. Nothing is ever given back. */
export interface Arena {
  /**
   * The same memory for something that has a name: when the router gets another configuration, what has the same name
   * there goes on with what it has here.
   */
  named(name: string): Arena;
  /**
   * The same for what is large: it goes on only if somebody has set the word `changed`, else it begins anew. 1 is all of
   * it; more are so many bytes at the beginning of each piece, and the others are zero.
   */
  lazy(name: string): Arena;
  /** What `lazy` has said, else absent. */
  readonly changed?: Int32Array;
  /** Nobody has used it before: what is taken has to be initialized. */
  readonly fresh: boolean;
  /**
   * `soon`: so many words in front are going to be used by packets, which must not wait until there is memory for them;
   * the more flows there are the more of them.
   */
  int32(length: number, soon?: number): Int32Array<ArrayBuffer>;
  float64(length: number): Float64Array<ArrayBuffer>;
  uint8(length: number): Uint8Array<ArrayBuffer>;
}

/** A number that all agree on, such as a hash key: the first one's `value`, whatever the others bring. */
export function agreed(arena: Arena, value: number): number {
  const word = arena.int32(1);
  if (arena.fresh) word[0] = value;
  return word[0];
}

/** Memory of this JavaScript heap. */
export class HeapArena implements Arena {
  readonly fresh = true;

  named(): Arena {
    return this;
  }

  lazy(): Arena {
    return this;
  }

  int32(length: number): Int32Array<ArrayBuffer> {
    return new Int32Array(length);
  }

  float64(length: number): Float64Array<ArrayBuffer> {
    return new Float64Array(length);
  }

  uint8(length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(length);
  }
}

/** What is taken begins on a cache line of its own, so that two counters never share one by chance. */
const LINE = 64;

/** Memory given from outside, cut off piece by piece. */
export class MappedArena implements Arena {
  readonly #buffer: ArrayBuffer;
  #used = 0;

  /** `fresh`: the buffer is all zero, and whoever takes a piece first is this one. */
  constructor(buffer: ArrayBuffer, readonly fresh: boolean) {
    this.#buffer = buffer;
  }

  named(): Arena {
    return this;
  }

  lazy(): Arena {
    return this;
  }

  /** Bytes taken so far. */
  get used(): number {
    return this.#used;
  }

  /** True if a piece of so many bytes can still be taken. */
  hasRoom(bytes: number): boolean {
    return this.#used + bytes <= this.#buffer.byteLength;
  }

  int32(length: number): Int32Array<ArrayBuffer> {
    return new Int32Array(this.#buffer, this.#take(length * 4), length);
  }

  float64(length: number): Float64Array<ArrayBuffer> {
    return new Float64Array(this.#buffer, this.#take(length * 8), length);
  }

  uint8(length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#buffer, this.#take(length), length);
  }

  #take(bytes: number): number {
    const at = this.#used, end = at + Math.ceil(bytes / LINE) * LINE;
    if (end > this.#buffer.byteLength) {
      throw new RangeError(`the arena has ${this.#buffer.byteLength} bytes, ${end} are needed`);
    }
    this.#used = end;
    return at;
  }
}
