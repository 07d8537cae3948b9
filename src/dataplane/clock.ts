/**
 * The clock of a router that runs. It stands still while a batch is handled: the loop reads it once per batch.
 *
 * @module
 */
import { CLOCK_REALTIME, SystemClock } from "deno_tun";
import type { Clock } from "../clock.ts";

/** Time as of the last `read`. */
export class BatchClock implements Clock {
  now = 0;
  wall = 0;
  // Monotonic time is the same for all processes of one boot, so timers in the state file outlive the process.
  readonly #monotonic = new SystemClock();
  readonly #real = new SystemClock(CLOCK_REALTIME);

  constructor() {
    this.read();
  }

  /** Reads the system's clocks. */
  read(): void {
    this.now = this.#monotonic.milliseconds();
    this.wall = this.#real.seconds();
  }
}
