/**
 * Chance for a router that runs: ports, ids and hash keys that an attacker cannot predict.
 *
 * @module
 */
import type { Random } from "../clock.ts";

/** Numbers of the system's cryptographic generator, fetched in blocks so that one of them costs next to nothing. */
export class SystemRandom implements Random {
  readonly #block = new Int32Array(1024);
  #next = this.#block.length;

  next(): number {
    if (this.#next === this.#block.length) {
      crypto.getRandomValues(this.#block);
      this.#next = 0;
    }
    return this.#block[this.#next++];
  }
}
