/**
 * futex(2): threads of one process wait until another changes a word of memory that they share.
 *
 * `Atomics.wait` does the same, but only on a SharedArrayBuffer, and a mapping is none.
 *
 * @module
 */
import { errnoView } from "./errno.ts";
import { type Libc, libc, SYS_FUTEX } from "./libc.ts";

const FUTEX_WAIT_PRIVATE = 128, FUTEX_WAKE_PRIVATE = 129;

/** One word that is waited for. */
export class Futex {
  readonly #at: Deno.PointerValue;
  readonly #futex: Libc["futex"];
  /** struct timespec. */
  readonly #timeout: BigInt64Array<ArrayBuffer>;

  /** `words[index]` lies in memory that does not move: a mapping. A wait lasts so many milliseconds at most. */
  constructor(words: Int32Array<ArrayBuffer>, index: number, milliseconds: number) {
    this.#at = Deno.UnsafePointer.of(words.subarray(index, index + 1));
    this.#futex = libc().futex;
    const seconds = Math.floor(milliseconds / 1000);
    this.#timeout = BigInt64Array.of(BigInt(seconds), BigInt((milliseconds - seconds * 1000) * 1_000_000));
    errnoView();
  }

  /** Sleeps while the word has this value: until somebody wakes it, time is over, or for no reason at all. */
  wait(value: number): void {
    this.#futex(SYS_FUTEX, this.#at, FUTEX_WAIT_PRIVATE, value, this.#timeout);
  }

  /** Wakes one that sleeps. */
  wake(): void {
    this.#futex(SYS_FUTEX, this.#at, FUTEX_WAKE_PRIVATE, 1, null);
  }
}
