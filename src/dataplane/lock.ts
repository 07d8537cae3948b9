/**
 * The one lock of a router with several data planes: whoever has it may use what they share.
 *
 * ```
 *  FREE ──▶ TAKEN ──▶ FREE            nobody waits: two atomic operations
 *             │
 *             └──▶ AWAITED ──▶ FREE   somebody sleeps in futex(2), and is woken
 * ```
 *
 * It is held for about as long as a few packets take, so one that finds it taken looks again for a while before it
 * sleeps. Time stands beside it: data planes read the clock each for itself, and what they write down together must
 * never find that time has run backwards.
 *
 * Limits: a thread that dies with the lock keeps it. The others then wait, look now and then whether they are to stop,
 * and do not turn their loops, which the control plane notices.
 */
import { Futex } from "deno_tun";
import type { Clock } from "../clock.ts";

/** Words: the lock's state, the latest time that anybody had while holding it, and whether that is one. */
const STATE = 0, LATEST = 1, TIMED = 2;
const FREE = 0, TAKEN = 1, AWAITED = 2;

/** Looks before it sleeps: longer than the other usually has it, for sleeping and waking cost as much as ten packets. */
const SPINS = 1000;
/** Milliseconds that it sleeps at most before it asks whether to go on. */
const PATIENCE = 100;

/** A lock over words that all data planes see. */
export class Lock {
  readonly #words: Int32Array<ArrayBuffer>;
  readonly #clock: Clock;
  readonly #stopped: () => boolean;
  readonly #futex: Futex;

  /** `clock` is this thread's own; `stopped` says that waiting is in vain. */
  constructor(words: Int32Array<ArrayBuffer>, clock: Clock, stopped: () => boolean) {
    this.#words = words;
    this.#clock = clock;
    this.#stopped = stopped;
    this.#futex = new Futex(words, STATE, PATIENCE);
  }

  /** Takes the lock and puts the clock forward to the latest time. False: it was not to be had before the end. */
  acquire(): boolean {
    const w = this.#words;
    if (Atomics.compareExchange(w, STATE, FREE, TAKEN) !== FREE && !this.#wait()) return false;
    const clock = this.#clock;
    if (w[TIMED] !== 0 && ((w[LATEST] - clock.now) | 0) > 0) clock.now = w[LATEST];
    w[LATEST] = clock.now;
    w[TIMED] = 1;
    return true;
  }

  /** Lets go of the lock. */
  release(): void {
    if (Atomics.exchange(this.#words, STATE, FREE) === AWAITED) this.#futex.wake();
  }

  #wait(): boolean {
    const w = this.#words;
    for (let i = 0; i < SPINS; i++) {
      Atomics.pause();
      if (Atomics.load(w, STATE) === FREE && Atomics.compareExchange(w, STATE, FREE, TAKEN) === FREE) {
        return true;
      }
    }
    // Whoever has slept takes it as awaited: others may sleep still.
    while (Atomics.exchange(w, STATE, AWAITED) !== FREE) {
      if (this.#stopped()) return false;
      this.#futex.wait(AWAITED);
    }
    return true;
  }
}
