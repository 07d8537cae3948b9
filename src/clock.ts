/**
 * Time and chance, as arguments: nothing under `src/` reads a clock or draws a number by itself.
 *
 * @module
 */

/**
 * Milliseconds as a wrapping int32, as the kernel keeps jiffies in 32 bits: compare by difference,
 * `((a - b) | 0) < 0`. The data plane sets it once per batch, replay once per packet, tests as they like.
 */
export interface Clock {
  /** Monotonic milliseconds, int32, wrapping. */
  now: number;
  /** Wall clock in seconds since 1970, for timestamps that people read. */
  wall: number;
}

/** A source of int32 numbers. */
export interface Random {
  /** Uniform over all int32 values. */
  next(): number;
}

/** xoshiro128**: small, fast, and the same sequence for the same seed (Blackman and Vigna 2018). */
export class Xoshiro implements Random {
  readonly #s = new Int32Array(4);

  constructor(seed: number) {
    // splitmix32 spreads a small seed over the whole state.
    let z = seed | 0;
    for (let i = 0; i < 4; i++) {
      z = (z + 0x9e3779b9) | 0;
      let t = z ^ (z >>> 16);
      t = Math.imul(t, 0x21f0aaad);
      t ^= t >>> 15;
      t = Math.imul(t, 0x735a2d97);
      this.#s[i] = t ^ (t >>> 15);
    }
  }

  next(): number {
    const s = this.#s;
    const m = Math.imul(s[1], 5);
    const result = Math.imul((m << 7) | (m >>> 25), 9);
    const t = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 11) | (s[3] >>> 21);
    return result;
  }
}

/** Uniform over 0 … n−1, for n up to 2³². */
export function below(random: Random, n: number): number {
  return Math.floor((random.next() >>> 0) / 4294967296 * n);
}
