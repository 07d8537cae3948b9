/**
 * The workers of the data plane, as the control plane sees them: made, started, told to pause, to go on and to stop, and
 * watched over.
 *
 * A data plane is one worker, or several that share the router: the first one lays out what they share, and the others
 * begin when it is ready. They end together, whichever has a reason. Each configuration has a data plane of its own, a
 * generation; one of them routes.
 *
 * Limits: a worker that does not come back within 0.7 s after it was told to stop is left to the end of the process.
 */
import { EventFd } from "deno_tun";
import type { Order } from "../config/order.ts";
import type { Summary } from "../config/summary.ts";
import type { FromWorker, GoneParts, Start, Take, TakenOver, ToWorker } from "../dataplane/messages.ts";
import type { PortSpec } from "../dataplane/ports.ts";
import { type Piece, Share } from "../dataplane/shared_arena.ts";
import {
  COMMAND_STOP,
  CONTROL_COMMAND,
  CONTROL_HEARTBEAT,
  HEARTBEAT_STRIDE,
  type Memory,
} from "../memory.ts";
import { CommandError } from "./socket.ts";
import type { Status } from "./status.ts";
import { whyStuck } from "./stuck.ts";

/** Milliseconds that a worker has to stop. */
const STOP_TIME = 700;
/** Milliseconds without a turn of the loop after which the data plane counts as stuck. */
const STUCK_TIME = 10000;
/** Milliseconds that the data plane has to carry out a command, and between two looks whether it has. */
const COMMAND_TIME = 5000, COMMAND_LOOK = 2;

/** What a data plane works on. */
export interface Work {
  readonly queues: readonly (readonly PortSpec[])[];
  /** The state's memory, in the generation that it is to have, its file, and where that is mapped. */
  readonly memory: Memory;
  readonly file: number;
  readonly address: bigint;
  readonly length: number;
  /** Memory of all generations beside the state. */
  readonly lasting: Share;
  /** Where fragments wait, and whether nobody has used it before. */
  readonly fragments: Share;
  readonly fragmentsFresh: boolean;
  readonly recovered: boolean;
  /** The generation that it follows. */
  readonly before: Memory | null;
  readonly order: Order | null;
  readonly gone: GoneParts;
}

/** All workers of one configuration. */
export class DataPlane {
  /** All of them route. */
  readonly ready: Promise<void>;
  /** One of them has ended, as told or not. */
  readonly dead: Promise<void>;
  /** Interfaces whose device is gone, as they became known. */
  readonly lost = new Set<number>();
  /** Told of them. */
  onLost: (index: number) => void = () => {};
  readonly #workers: readonly PlaneWorker[];
  readonly #share = new Share();

  /** `first`: the first worker, when somebody has made it of that module already. */
  constructor(module: URL, status: Status, workers: number, readonly generation = 0, first?: Worker) {
    this.#workers = Array.from(
      { length: workers },
      (_, number) =>
        new PlaneWorker(
          number === 0 && first !== undefined ? first : newWorker(module, number, generation),
          status,
          number,
          (index) => this.#lose(index),
        ),
    );
    this.ready = Promise.all(this.#workers.map((worker) => worker.ready.promise)).then(() => {});
    this.dead = Promise.race(this.#workers.map((worker) => worker.dead.promise));
  }

  #lose(index: number): void {
    this.lost.add(index);
    this.onLost(index);
  }

  /** Why it died: the first reason that one of them had; null while none has. */
  get failure(): string | null {
    return this.#workers.find((worker) => worker.failure !== null)?.failure ?? null;
  }

  /** What stands in its arena, once it is ready. */
  get pieces(): readonly Piece[] {
    return this.#workers[0].pieces;
  }

  /** How it sees the memory of all generations. */
  get layout(): number {
    return this.#workers[0].layout;
  }

  /** What it has let go of by taking a place. */
  get taken(): TakenOver | null {
    return this.#workers[0].taken;
  }

  load(config: string): void {
    for (const worker of this.#workers) worker.send({ kind: "load", config });
  }

  /**
   * Loads a configuration, which the user calls `path`, and says what each worker found in it. One tries it first: of a
   * worker whose module has to be broken off in the middle of a computation Deno does not give back all descriptors.
   */
  async read(config: string, path: string): Promise<Summary[]> {
    const [first, ...others] = this.#workers;
    first.send({ kind: "load", config, path });
    await this.#either(first.loaded.promise);
    for (const worker of others) worker.send({ kind: "load", config, path });
    return await this.#all((worker) => worker.loaded.promise);
  }

  /** Has the workers make all that routing takes, while another data plane routes, or devices are made. */
  async build(work: Work): Promise<void> {
    const [first, ...others] = this.#workers;
    first.send(this.#message(first, work));
    await this.#either(first.built.promise);
    for (const worker of others) worker.send(this.#message(worker, work));
    await this.#all((worker) => worker.built.promise);
  }

  /** Has the workers route that were built. */
  route(): void {
    const [first, ...others] = this.#workers;
    first.send({ kind: "route" });
    first.ready.promise.then(() =>
      others.forEach((worker) => worker.stopping || worker.send({ kind: "route" }))
    );
  }

  /** Has the workers wait until they are handed the router (`Handover`). */
  async await(message: Omit<Take, "kind">): Promise<void> {
    for (const worker of this.#workers) worker.send({ kind: "take", ...message });
    await this.#all((worker) => worker.waiting.promise);
  }

  /** Resolves when all workers that wait have been handed the router: since when, in microseconds that wrap. */
  async taking(): Promise<number> {
    return (await this.#all((worker) => worker.ready.promise)).reduce((a, b) => ((b - a) | 0) > 0 ? b : a);
  }

  /**
   * Has the workers stop in front of the next packet, once the memory says that another generation is to route: when the
   * first of them has stopped, in microseconds that wrap.
   */
  async pause(): Promise<number> {
    for (const worker of this.#workers) worker.wake.signal();
    return (await this.#all((worker) => worker.pausing)).reduce((a, b) => ((b - a) | 0) < 0 ? b : a);
  }

  /** Goes on after `pause`: the workers that have paused, for the others have never stopped. */
  resume(): void {
    for (const worker of this.#workers) worker.resume();
  }

  /** Looks after the heartbeats: a loop that does not turn any more has died too, without a word. */
  look(memory: Memory, milliseconds: number): void {
    for (const worker of this.#workers) worker.look(memory, milliseconds);
  }

  /** Has the first worker carry out a command: the words of its answer. Throws a `CommandError`. */
  command(memory: Memory, command: number, args: readonly number[]): Promise<Int32Array> {
    return this.#workers[0].command(memory, command, args);
  }

  /** The same with texts, which pass through its mailbox: the answer. Throws a `CommandError` for what it refuses, too. */
  async exchange(memory: Memory, command: number, text: string): Promise<string> {
    const bytes = new TextEncoder().encode(text), { mailbox } = this.#share;
    if (bytes.length > mailbox.length) {
      throw new CommandError(`a command is longer than ${mailbox.length} bytes`);
    }
    mailbox.set(bytes);
    const [, done, length] = await this.command(memory, command, [bytes.length]);
    const answer = new TextDecoder().decode(mailbox.slice(0, length));
    if (done === 0) throw new CommandError(answer);
    return answer;
  }

  /** Has the workers close themselves; `stop` says so in the memory to those that route. True when all are gone. */
  async stop(stop: () => void): Promise<boolean> {
    const gone = await Promise.all(this.#workers.map((worker) => worker.stop(stop)));
    if (gone.includes(false)) return false;
    this.#share.close();
    return true;
  }

  #message({ number, wake }: PlaneWorker, work: Work): Start {
    const { queues, memory, file, address, length, recovered, before, order, gone, fragmentsFresh } = work;
    return {
      kind: "start",
      queues,
      wake: wake.fd,
      worker: number,
      generation: this.generation,
      share: this.#share.address,
      lasting: work.lasting.address,
      fragments: work.fragments.address,
      fragmentsFresh,
      file,
      address,
      length,
      at: memory.generation.at,
      before: before === null ? null : before.generation.at,
      recovered,
      order,
      gone,
    };
  }

  /** What a promise gives; throws when a worker dies before. */
  async #either<T>(promise: Promise<T>): Promise<T> {
    const dead = this.dead.then(() => {
      throw new PlaneError(this.failure ?? "the data plane has ended");
    });
    return await Promise.race([promise, dead]);
  }

  #all<T>(each: (worker: PlaneWorker) => Promise<T>): Promise<T[]> {
    return this.#either(Promise.all(this.#workers.map(each)));
  }
}

/** The data plane died; its reason. */
export class PlaneError extends Error {}

function newWorker(module: URL, number: number, generation: number): Worker {
  const name = `weir data plane ${number}${generation === 0 ? "" : `, configuration ${generation + 1}`}`;
  return new Worker(module, { type: "module", name });
}

/** A worker, as the control plane sees it. */
class PlaneWorker {
  /** Why it died; null while it has not. */
  failure: string | null = null;
  readonly loaded = Promise.withResolvers<Summary>();
  readonly built = Promise.withResolvers<void>();
  /** It waits until it is handed the router. */
  readonly waiting = Promise.withResolvers<void>();
  /** It routes, since then. */
  readonly ready = Promise.withResolvers<number>();
  /** It has ended, as told or not. */
  readonly dead = Promise.withResolvers<void>();
  pieces: readonly Piece[] = [];
  layout = 0;
  taken: TakenOver | null = null;

  /** It has been told to stop. */
  stopping = false;
  readonly wake: EventFd = new EventFd();

  readonly #worker: Worker;
  /** The worker itself has ended; `dead` can also be a verdict about one that hangs. */
  readonly #gone = Promise.withResolvers<void>();
  #paused = Promise.withResolvers<number>();
  /** It is in its loop, or about to be, where only the shared memory reaches it. */
  #routes = false;
  #hasPaused = false;
  /** It builds, and touches the memory that it was given. */
  #builds = false;
  #over = false;
  /** Its last heartbeat, and for how long it has had no other. */
  #beat = -1;
  #still = 0;

  constructor(worker: Worker, status: Status, readonly number: number, lost: (index: number) => void) {
    this.#worker = worker;
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      switch (data.kind) {
        case "log":
          return status.log(data.line);
        case "lost":
          return lost(data.index);
        case "loaded":
          return this.loaded.resolve(data.summary);
        case "built":
          this.#builds = false;
          this.pieces = data.pieces;
          this.layout = data.layout;
          return this.built.resolve();
        case "waiting":
          return this.waiting.resolve();
        case "ready":
          this.taken ??= data.taken;
          return this.ready.resolve(data.at);
        case "paused":
          this.#routes = false;
          this.#hasPaused = true;
          return this.#paused.resolve(data.at);
        case "stopped":
          return this.#end(null);
        case "refused":
          return this.#end(data.reason);
        case "failed":
          return this.#end(`the data plane died: ${data.reason}`);
      }
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#end(`the data plane died: ${event.message}`);
    };
  }

  /** Resolves when it has stopped in front of a packet: when. */
  get pausing(): Promise<number> {
    return this.#paused.promise;
  }

  send(message: ToWorker): void {
    if (message.kind === "start") this.#builds = true;
    if (message.kind === "take" || message.kind === "resume" || message.kind === "route") this.#routes = true;
    this.#worker.postMessage(message);
  }

  resume(): void {
    if (this.#routes || this.#over) return;
    this.#paused = Promise.withResolvers();
    this.#hasPaused = false;
    this.send({ kind: "resume" });
  }

  /** Looks whether its loop has turned in the last `milliseconds`. */
  look(memory: Memory, milliseconds: number): void {
    const beat = Atomics.load(memory.control, CONTROL_HEARTBEAT + this.number * HEARTBEAT_STRIDE);
    // Counted in looks and not by the clock, so that a process that was stopped and continued is not accused.
    this.#still = beat === this.#beat ? this.#still + milliseconds : 0;
    this.#beat = beat;
    if (this.#still < STUCK_TIME) return;
    this.failure ??= `the data plane died: it has not moved for ${STUCK_TIME / 1000} s${whyStuck(memory)}`;
    this.dead.resolve();
  }

  /** Has the worker carry out a command, one at a time: the words of its answer. Throws a `CommandError`. */
  async command(memory: Memory, command: number, args: readonly number[]): Promise<Int32Array> {
    const number = this.#over ? -1 : memory.send(command, args);
    if (number < 0) throw new CommandError("the data plane takes no commands");
    this.wake.signal();
    for (let waited = 0; waited < COMMAND_TIME && !this.#over; waited += COMMAND_LOOK) {
      const answer = memory.answered(number);
      if (answer !== null) return answer;
      await new Promise((done) => setTimeout(done, COMMAND_LOOK));
    }
    throw new CommandError("the data plane did not answer");
  }

  /** Has the worker close itself: true when it is gone. */
  async stop(stop: () => void): Promise<boolean> {
    this.stopping = true;
    let timer;
    const time = new Promise((resolve) => timer = setTimeout(resolve, STOP_TIME));
    if (this.#routes && !this.#over) {
      stop();
      this.wake.signal();
      await Promise.race([this.#gone.promise, this.#paused.promise, time]);
    }
    if (this.#hasPaused && !this.#over) {
      this.send({ kind: "leave" });
      await Promise.race([this.#gone.promise, time]);
    }
    if (this.#builds && !this.#over) {
      await Promise.race([this.#gone.promise, this.built.promise, time]);
    }
    clearTimeout(timer);
    const builds = this.#builds && !this.#over;
    if (!this.#over && !this.#routes) {
      // At home in its event loop, or in the user's module, so it can be ended from outside.
      this.#worker.terminate();
      this.#over = true;
    }
    if (this.#over) this.wake.close();
    return this.#over && !builds;
  }

  #end(reason: string | null): void {
    if (this.#over) return;
    this.#over = true;
    if (reason !== null) this.failure ??= reason;
    this.dead.resolve();
    this.#gone.resolve();
  }
}

/** Tells the data planes of all generations to stop. */
export function stopAll(memory: Memory): void {
  Atomics.store(memory.control, CONTROL_COMMAND, COMMAND_STOP);
}
