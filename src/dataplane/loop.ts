/**
 * The data plane's loop.
 *
 * ```
 *  poll ─▶ clock ─▶ control ─▶ for each device: read … receive … write … ─▶ counters ─▶ sweep ─▶ poll
 *                                                      │
 *                                                      └─▶ prerouting … postrouting ─▶ emit
 * ```
 *
 * A device is read until it is empty, but no more than BATCH packets, so that the other devices get their turn (`Crew`).
 * The loop blocks in poll (`Vigil`); the control plane wakes it by an eventfd. It never yields to Deno's event loop:
 * what it has to hear comes through the memory that it shares with the control plane. Several data planes of one
 * router each have a loop like this one.
 */
import { type EventFd, POLL_BROKEN, POLLIN, PollSet } from "deno_tun";
import {
  COMMAND_RUN,
  COMMAND_WORDS,
  CONTROL_COMMAND,
  CONTROL_STATUS,
  type Memory,
  STATUS_RUNNING,
  STATUS_STOPPED,
} from "../memory.ts";
import type { BatchClock } from "./clock.ts";
import type { Crew } from "./crew.ts";
import type { Ports } from "./ports.ts";
import type { Routing } from "./routing.ts";
import { Vigil } from "./vigil.ts";

/** Packets read from one device before the next one has its turn. */
const BATCH = 64;
/** Milliseconds that poll sleeps at most: timers are swept that often when nothing arrives. */
const IDLE = 100;
/** And this while timers have a backlog. */
const SOON = 1;

/** The loop of one data plane. */
export class Loop {
  readonly #ports: Ports;
  readonly #memory: Memory;
  readonly #wake: EventFd;
  readonly #clock: BatchClock;
  readonly #crew: Crew;
  readonly #generation: number;

  /** It routes while the control plane names its `generation`. */
  constructor(
    ports: Ports,
    memory: Memory,
    wake: EventFd,
    clock: BatchClock,
    crew: Crew,
    generation = COMMAND_RUN,
  ) {
    this.#crew = crew;
    this.#generation = generation;
    this.#ports = ports;
    this.#memory = memory;
    this.#wake = wake;
    this.#clock = clock;
  }

  /** Routes until the control plane says stop, or that another generation is to route. Blocks the thread. */
  run(router: Routing): void {
    const ports = this.#ports, wake = this.#wake, clock = this.#clock, fds = ports.fds, count = fds.length;
    const control = this.#memory.control, crew = this.#crew;
    const { heartbeat } = crew;
    let commanded = false, idle = IDLE, ready = 0;
    // Timers and commands are for one of several data planes, with the lock.
    const turn = crew.number !== 0 ? null : () => {
      if (commanded) this.#commands(router);
      commanded = false;
      idle = router.sweep() === true ? SOON : IDLE;
    };
    // One entry per device, by its index, and the eventfd last.
    const set = new PollSet(count + 1);
    for (let i = 0; i < count; i++) set.set(i, fds[i]);
    set.set(count, wake.fd);
    const vigil = new Vigil(set, router.busyPoll ?? 0);
    Atomics.store(control, CONTROL_STATUS, STATUS_RUNNING);
    while (Atomics.load(control, CONTROL_COMMAND) === this.#generation) {
      ready = vigil.wait(idle, ready > 0);
      clock.read();
      if (ready > 0) {
        if (set.revents(count) !== 0) {
          wake.drain();
          commanded = true;
        }
        for (let i = 0; i < count; i++) {
          const events = set.revents(i);
          if (events === 0) continue;
          if ((events & POLLIN) !== 0 && !crew.drain(router, i, BATCH)) break;
          if ((events & POLL_BROKEN) !== 0) ports.lose(i);
          if (fds[i] < 0) set.set(i, -1);
        }
      }
      crew.settle(router, turn);
      control[heartbeat]++;
    }
    Atomics.store(control, CONTROL_STATUS, STATUS_STOPPED);
  }

  readonly #words = new Int32Array(COMMAND_WORDS);

  #commands(router: Routing): void {
    const words = this.#words;
    while (this.#memory.take(words)) {
      router.command?.(words);
      this.#memory.answer(words);
    }
  }
}
