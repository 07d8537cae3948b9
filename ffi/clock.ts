/**
 * The kernel's clocks without allocation. Read it once per batch of packets.
 *
 * @module
 */
import { libc } from "./libc.ts";

/** Never goes back, stands still while the machine sleeps, the same for all processes until the next boot. */
export const CLOCK_MONOTONIC = 1;
/** Seconds since 1970. */
export const CLOCK_REALTIME = 0;

/** A clock and the struct timespec that it is read into. */
export class SystemClock {
  readonly #bytes = new Uint8Array(16);
  readonly #words = new Int32Array(this.#bytes.buffer);
  readonly #gettime = libc().clock_gettime;

  constructor(readonly id: number = CLOCK_MONOTONIC) {}

  /** Reads the clock: milliseconds as a wrapping int32. */
  milliseconds(): number {
    this.#gettime(this.id, this.#bytes);
    // The low word of the seconds is enough: all is modulo 2³². Nanoseconds fit their low word.
    return (Math.imul(this.#words[0], 1000) + (this.#words[2] / 1000000 | 0)) | 0;
  }

  /** Reads the clock: microseconds as a wrapping int32. */
  microseconds(): number {
    this.#gettime(this.id, this.#bytes);
    return (Math.imul(this.#words[0], 1000000) + (this.#words[2] / 1000 | 0)) | 0;
  }

  /** Reads the clock: whole seconds. */
  seconds(): number {
    this.#gettime(this.id, this.#bytes);
    return this.#words[0] >>> 0;
  }
}
