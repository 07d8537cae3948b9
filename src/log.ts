/**
 * Lines for people that packets cause: few enough that a flood of packets is not also a flood of lines.
 */
import { type Arena, HeapArena } from "./arena.ts";
import type { Clock } from "./clock.ts";

/** As net_ratelimit: ten lines in five seconds. */
const BURST = 10, INTERVAL = 5000;

/** When the interval began, lines written in it, lines held back. */
const BEGAN = 0, WRITTEN = 1, MISSED = 2;

/** Passes lines on, and says how many it has held back. */
export class RateLimitedLog {
  readonly #clock: Clock;
  readonly #write: (line: string) => void;
  readonly #counts: Int32Array;

  constructor(clock: Clock, write: (line: string) => void, arena: Arena = new HeapArena()) {
    this.#clock = clock;
    this.#write = write;
    this.#counts = arena.int32(3);
  }

  /** Writes the line, or counts it as held back. */
  line(text: string): void {
    const now = this.#clock.now, counts = this.#counts;
    if (counts[WRITTEN] === 0 || ((now - counts[BEGAN]) | 0) >= INTERVAL) {
      if (counts[MISSED] > 0) this.#write(`net_ratelimit: ${counts[MISSED]} lines held back`);
      counts[BEGAN] = now;
      counts[WRITTEN] = counts[MISSED] = 0;
    }
    if (counts[WRITTEN] < BURST) {
      counts[WRITTEN]++;
      this.#write(text);
    } else {
      counts[MISSED]++;
    }
  }
}
