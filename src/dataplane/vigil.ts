/**
 * Waiting for the devices: looking again for a moment before going to sleep.
 *
 * ```
 *  packets ─▶ look, look, look … ─▶ packets        it paid: so again the next time
 *                      └─▶ sleep ─▶ packets        it did not: not the next 1, 2, 4 … 64 times
 * ```
 *
 * To sleep and to be woken costs the processor as much as some packets, and each of them the time that it takes. A sender
 * that waits for its answers before it goes on (every TCP does) is slowed down by that. So where packets come closer
 * together than `microseconds`, the data plane does not sleep; where they do not, it hardly ever looks in vain.
 * The price: under such traffic its core is never idle.
 *
 * @module
 */
import { onlineProcessors, type PollSet, SystemClock } from "deno_tun";

/** Turns without looking, at most, after looking in vain. */
const MOST_REST = 64;
/** Looks between two glances at the clock. */
const LOOKS = 8;

/** One data plane's waiting. */
export class Vigil {
  readonly #set: PollSet;
  /** How long it looks before it sleeps, microseconds. */
  readonly #patience: number;
  readonly #clock = new SystemClock();
  /** Turns that it goes to sleep at once, and how many it was the last time. */
  #rest = 0;
  #lastRest = 0;

  /**
   * @param set what to wait for
   * @param microseconds how long to look; 0 to sleep at once, which is what happens on a single processor, where
   *   nobody could send meanwhile
   */
  constructor(set: PollSet, microseconds: number) {
    this.#set = set;
    this.#patience = onlineProcessors() > 1 ? microseconds : 0;
  }

  /** As `PollSet.wait`. `busy`: the last time there was something. */
  wait(milliseconds: number, busy: boolean): number {
    if (this.#patience === 0 || !busy) return this.#set.wait(milliseconds);
    if (this.#rest > 0) {
      this.#rest--;
      return this.#set.wait(milliseconds);
    }
    const set = this.#set, clock = this.#clock, began = clock.microseconds();
    do {
      for (let n = LOOKS; n > 0; n--) {
        const ready = set.wait(0);
        if (ready === 0) continue;
        this.#lastRest = 0;
        return ready;
      }
    } while (((clock.microseconds() - began) | 0) < this.#patience);
    this.#rest = this.#lastRest = this.#lastRest === 0 ? 1 : Math.min(2 * this.#lastRest, MOST_REST);
    return this.#set.wait(milliseconds);
  }
}
