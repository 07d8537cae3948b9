/**
 * The data plane's loop.
 *
 * ```
 *  poll ─▶ clock ─▶ control ─▶ for each device: read, receive, read, receive … ─▶ sweep ─▶ poll
 *                                                 │
 *                                                 └─▶ prerouting … postrouting ─▶ emit ─▶ write
 * ```
 *
 * One packet at a time is read, taken through the router and written, in one thread and in one buffer. A device is read
 * until it is empty, but no more than BATCH packets, so that the other devices get their turn. The loop blocks in poll;
 * the control plane wakes it by an eventfd. It never yields to Deno's event loop: what it has to hear comes through
 * the memory that it shares with the control plane.
 *
 * Several data planes of one router each have a loop like this one; how they share the router is `Crew`'s business.
 */
import { type EventFd, POLL_BROKEN, POLLIN, PollSet } from "deno_tun";
import {
  COMMAND_STOP,
  COMMAND_WORDS,
  CONTROL_COMMAND,
  CONTROL_HEARTBEAT,
  CONTROL_STATUS,
  INTERFACE_COUNTERS,
  type Memory,
  RX_BYTES,
  RX_DROPS,
  RX_PACKETS,
  STATUS_RUNNING,
  STATUS_STOPPED,
  TOTAL_RX_BYTES,
  TOTAL_RX_PACKETS,
} from "../memory.ts";
import { Reason } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import type { BatchClock } from "./clock.ts";
import type { Ports } from "./ports.ts";
import { readVnetHeader } from "./vnet.ts";

/** Packets read from one device before the next one has its turn. */
const BATCH = 64;
/** Milliseconds that poll sleeps at most: timers are swept that often when nothing arrives. */
const IDLE = 100;
/** And this while timers have a backlog. */
const SOON = 1;

const BAD_OFFLOAD = Reason["bad-offload"];

/** What the loop drives: `Router`, or a test's own. */
export interface Routing {
  /** The receive slot. */
  readonly packet: Packet;
  /** A packet from interface `iface`; the record is reset, its length and its offload fields are set. */
  receive(p: Packet, iface: number): void;
  /** A packet from the host device. */
  receiveHost(p: Packet): void;
  /** Timers; once per batch. True when there is more to do soon. */
  sweep(): boolean | void;
  /** Adds what it has counted for itself to what all data planes share; once per batch, before `sweep`. */
  settle?(): void;
  /** A command from the control plane: COMMAND_WORDS words, in which it leaves its answer. */
  command?(words: Int32Array): void;
}

/** How several data planes share a router; see crew.ts. */
export interface Sharing {
  /** Its number; 0 looks after timers and commands. */
  readonly number: number;
  /** Word of its heartbeat in `Memory.control`. */
  readonly heartbeat: number;
  /** Up to `most` packets of one device. False when the router was not to be had before the end. */
  drain(router: Routing, index: number, most: number): boolean;
  /** Once per turn of the loop: `turn` is what one does for all. */
  settle(router: Routing, turn: (() => void) | null): boolean;
}

/** The loop of one data plane. */
export class Loop {
  readonly #ports: Ports;
  readonly #memory: Memory;
  readonly #wake: EventFd;
  readonly #clock: BatchClock;
  readonly #crew: Sharing | null;

  constructor(ports: Ports, memory: Memory, wake: EventFd, clock: BatchClock, crew: Sharing | null = null) {
    this.#crew = crew;
    this.#ports = ports;
    this.#memory = memory;
    this.#wake = wake;
    this.#clock = clock;
  }

  /** Routes until the control plane says stop. Blocks the thread. */
  run(router: Routing): void {
    const ports = this.#ports, wake = this.#wake, clock = this.#clock, fds = ports.fds, count = fds.length;
    const control = this.#memory.control, crew = this.#crew;
    const heartbeat = crew === null ? CONTROL_HEARTBEAT : crew.heartbeat;
    let commanded = false, idle = IDLE;
    // Timers and commands are for one of several data planes, with the lock.
    const turn = crew !== null && crew.number !== 0 ? null : () => {
      if (commanded) this.#commands(router);
      commanded = false;
      idle = router.sweep() === true ? SOON : IDLE;
    };
    // One entry per device, by its index, and the eventfd last.
    const set = new PollSet(count + 1);
    for (let i = 0; i < count; i++) set.set(i, fds[i]);
    set.set(count, wake.fd);
    Atomics.store(control, CONTROL_STATUS, STATUS_RUNNING);
    while (Atomics.load(control, CONTROL_COMMAND) !== COMMAND_STOP) {
      const ready = set.wait(idle);
      clock.read();
      if (ready > 0) {
        if (set.revents(count) !== 0) {
          wake.drain();
          commanded = true;
        }
        for (let i = 0; i < count; i++) {
          const events = set.revents(i);
          if (events === 0) continue;
          if ((events & POLLIN) !== 0) {
            if (crew === null) this.#drain(router, i);
            else if (!crew.drain(router, i, BATCH)) break;
          }
          if ((events & POLL_BROKEN) !== 0) ports.lose(i, "it was deleted");
          if (fds[i] < 0) set.set(i, -1);
        }
      }
      if (crew !== null) crew.settle(router, turn);
      else {
        turn!();
        ports.settle();
      }
      control[heartbeat]++;
    }
    Atomics.store(control, CONTROL_STATUS, STATUS_STOPPED);
  }

  /** One device's batch. */
  #drain(router: Routing, index: number): void {
    const ports = this.#ports, p = router.packet, vnet = ports.hasVnet(index);
    let packets = 0, bytes = 0, drops = 0;
    for (; packets < BATCH; packets++) {
      const n = ports.read(index, p);
      if (n < 0) break;
      p.reset(index, n);
      if (vnet && !readVnetHeader(p, n)) {
        this.#memory.countDrop(BAD_OFFLOAD, p.length);
        drops++;
        continue;
      }
      bytes += p.length;
      if (index === 0) router.receiveHost(p);
      else router.receive(p, index);
      if (p.reason !== 0) drops++;
    }
    if (packets === 0) return;
    const counters = this.#memory.interfaces, at = index * INTERFACE_COUNTERS, totals = this.#memory.totals;
    counters[at + RX_PACKETS] += packets;
    counters[at + RX_BYTES] += bytes;
    counters[at + RX_DROPS] += drops;
    totals[TOTAL_RX_PACKETS] += packets;
    totals[TOTAL_RX_BYTES] += bytes;
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
