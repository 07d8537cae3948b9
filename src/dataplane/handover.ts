/**
 * How one data plane hands the router to the next, thread to thread: asking the control plane in between would take
 * longer than all the rest.
 *
 * ```
 *  control plane   begin(n)   …         names the next generation
 *  old workers                          stop in front of a packet, left()            n → … → 0
 *  new worker 0    awaitTurn() ──────────────────────────────────────▶ takes over ─▶ taken()
 *  other new ones  awaitTaken() ───────────────────────────────────────────────────▶ route
 * ```
 *
 * Limits: until the last old worker has left the control plane can cancel it, and afterwards not.
 */
import { Futex } from "deno_tun";
import { CONTROL_HANDED, CONTROL_TAKEN } from "../memory.ts";

const CANCELLED = -1_000_000;
/** Milliseconds between two looks of those who sleep. */
const PATIENCE = 50;

/** The handing over, as each thread sees it. */
export class Handover {
  readonly #words: Int32Array<ArrayBuffer>;
  readonly #handed: Futex;
  readonly #taken: Futex;

  /** `control` are the words of `Memory.control`. */
  constructor(control: Int32Array<ArrayBuffer>) {
    this.#words = control;
    this.#handed = new Futex(control, CONTROL_HANDED, PATIENCE);
    this.#taken = new Futex(control, CONTROL_TAKEN, PATIENCE);
  }

  /** Control plane: so many workers are going to leave. */
  begin(workers: number): void {
    Atomics.store(this.#words, CONTROL_TAKEN, 0);
    Atomics.store(this.#words, CONTROL_HANDED, workers);
  }

  /** Control plane: nobody is to take over. False: it is too late. */
  cancel(): boolean {
    const w = this.#words;
    for (let left = Atomics.load(w, CONTROL_HANDED); left !== 0;) {
      const found = Atomics.compareExchange(w, CONTROL_HANDED, left, CANCELLED);
      if (found === left) break;
      left = found;
    }
    if (Atomics.load(w, CONTROL_HANDED) === 0) return false;
    Atomics.store(w, CONTROL_TAKEN, CANCELLED);
    return true;
  }

  /** Control plane: the first new worker could not take over, so the others need not wait. */
  abandon(): void {
    Atomics.compareExchange(this.#words, CONTROL_TAKEN, 0, CANCELLED);
  }

  /** An old worker has stopped. */
  left(): void {
    if (Atomics.sub(this.#words, CONTROL_HANDED, 1) === 1) this.#handed.wake();
  }

  /** Sleeps until all have left. False: it was cancelled. */
  awaitTurn(): boolean {
    const w = this.#words;
    for (let left; (left = Atomics.load(w, CONTROL_HANDED)) !== 0;) {
      if (left < 0) return false;
      this.#handed.wait(left);
    }
    return true;
  }

  /** The first new worker has taken over. */
  taken(): void {
    Atomics.store(this.#words, CONTROL_TAKEN, 1);
    this.#taken.wake();
  }

  /** Sleeps until the first one has taken over. False: it was cancelled. */
  awaitTaken(): boolean {
    const w = this.#words;
    while (Atomics.load(w, CONTROL_TAKEN) === 0) this.#taken.wait(0);
    this.#taken.wake(); // The next one, if there is another.
    return Atomics.load(w, CONTROL_TAKEN) > 0;
  }
}
