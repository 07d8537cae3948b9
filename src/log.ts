/**
 * Lines for people that packets cause: few enough that a flood of packets is not also a flood of lines.
 */
import type { Clock } from "./clock.ts";

/** As net_ratelimit: ten lines in five seconds. */
const BURST = 10, INTERVAL = 5000;

/** Passes lines on, and says how many it has held back. */
export class RateLimitedLog {
  readonly #clock: Clock;
  readonly #write: (line: string) => void;
  #began = 0;
  #written = 0;
  #missed = 0;

  constructor(clock: Clock, write: (line: string) => void) {
    this.#clock = clock;
    this.#write = write;
  }

  /** Writes the line, or counts it as held back. */
  line(text: string): void {
    const now = this.#clock.now;
    if (this.#written === 0 || ((now - this.#began) | 0) >= INTERVAL) {
      if (this.#missed > 0) this.#write(`net_ratelimit: ${this.#missed} lines held back`);
      this.#began = now;
      this.#written = this.#missed = 0;
    }
    if (this.#written < BURST) {
      this.#written++;
      this.#write(text);
    } else {
      this.#missed++;
    }
  }
}
