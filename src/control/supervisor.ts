/**
 * The control plane of a running router: makes everything, watches over it, and takes everything back.
 *
 * ```
 *  state file ─▶ worker (loads) ─▶ devices ─▶ worker (routes) ─▶ socket ─▶ …
 *                                                         … ─▶ stop ─▶ socket, worker, devices, file gone, in this order
 * ```
 *
 * A data plane is one worker, or several that share the router: the first one lays out what they share, and the others
 * begin when it is ready. They end together, whichever has a reason.
 *
 * Life-cycle: `supervise` returns the exit code when all is undone: 0 after SIGTERM, SIGINT or `abort`, 1 when something
 * could not be made or the data plane died, with the reason shown. It takes a validated configuration, so a mistake
 * in it is told before anything is touched. The caller ends the process by `Deno.exit` with that code.
 *
 * Limits: a worker that does not come back within 0.7 s after it was told to stop is left to the end of the process,
 * and the memory that it may still touch is left mapped.
 */
import { EventFd, SyscallError } from "deno_tun";
import type { FromWorker, Start, ToWorker } from "../dataplane/messages.ts";
import { Share } from "../dataplane/shared_arena.ts";
import { COMMAND_STOP, CONTROL_COMMAND, CONTROL_HEARTBEAT, HEARTBEAT_STRIDE } from "../memory.ts";
import type { Geometry, Memory } from "../memory.ts";
import { commandsOf } from "./commands.ts";
import { type DevicePlan, Devices } from "./devices.ts";
import { IpError } from "./ip.ts";
import { removeRules, type RulesFile, writeRules } from "./rules_file.ts";
import { CommandError, ControlSocket, socketPath } from "./socket.ts";
import { openState, type State, StateError } from "./state_file.ts";
import { type Output, standardOutput, Status } from "./status.ts";

/** What to run. */
export interface Job {
  /** The router's name: that of its state file. */
  readonly name: string;
  /** URL of the configuration module, for the worker. */
  readonly config: string;
  readonly plan: DevicePlan;
  readonly geometry: Geometry;
  /** What its rule counters mean, for other processes; asked when packets pass. */
  readonly rules?: () => RulesFile;
  /** Says whether to go on with the flows of a process that was killed. Default: never. */
  readonly keep?: (memory: Memory) => boolean;
  /** Directory of the state file, when it is not the usual one. */
  readonly directory?: string;
  /** Workers of the data plane, 1 by default. */
  readonly workers?: number;
  /** The worker's module; Weir's own by default. */
  readonly worker?: URL;
  readonly output?: Output;
  /** Errors go here; standard error by default. */
  readonly error?: (line: string) => void;
  /** Stops it as a signal does. */
  readonly abort?: AbortSignal;
}

/** Milliseconds that the worker has to stop. */
const STOP_TIME = 700;
/** Milliseconds without a turn of the loop after which the data plane counts as stuck. */
const STUCK_TIME = 10000;
/** Milliseconds that the data plane has to carry out a command, and between two looks whether it has. */
const COMMAND_TIME = 5000, COMMAND_LOOK = 2;

/** Runs a router until it is told to stop: the exit code. */
export async function supervise(job: Job): Promise<number> {
  const error = job.error ?? ((line: string) => standardError(line));
  const stop = new Stop(job.abort);
  let state: State | undefined,
    devices: Devices | undefined,
    plane: DataPlane | undefined,
    socket: ControlSocket | undefined,
    status: Status | undefined;
  let code = 0;
  try {
    state = openState(job);
    for (const i of job.plan.interfaces) state.memory.setInterfaceName(i.index, i.name);
    if (job.plan.host) state.memory.setInterfaceName(0, job.plan.host.device);
    status = new Status(state.memory, job.output ?? standardOutput());
    const workers = job.workers ?? 1;
    plane = new DataPlane(job.worker ?? new URL("../dataplane/worker.ts", import.meta.url), status, workers);
    plane.load(job.config);
    if (!stop.asked) devices = await Devices.open(job.plan, workers);
    if (!stop.asked) {
      plane.start(state, devices!);
      await Promise.race([plane.ready, plane.dead, stop.promise]);
    }
    if (!stop.asked && plane.failure === null) {
      const { memory } = state, { command, exchange } = plane;
      socket = ControlSocket.open(
        socketPath(state.path),
        commandsOf({ memory, command: command.bind(plane, memory), exchange: exchange.bind(plane, memory) }),
      );
      if (job.rules !== undefined) writeRules(state.path, job.rules());
      const places = job.plan.interfaces.map((i) => i.name);
      if (workers > 1) places.push(`${workers} workers`);
      if (job.plan.host) places.push(`host ${job.plan.host.device}`);
      const kept = state.recovered ? ", with the flows of the process before" : "";
      status.log(`weir: ready, forwarding (${places.join(", ")})${kept}`);
      status.start();
      const watch = plane.watch(state);
      await Promise.race([plane.dead, stop.promise]);
      clearInterval(watch);
    }
    if (plane.failure !== null) throw new DataPlaneError(plane.failure);
  } catch (thrown) {
    code = 1;
    status?.stop();
    error(`weir: ${reasonOf(thrown)}`);
  }
  status?.stop();
  stop.close();
  socket?.close();
  const gone = plane === undefined || state === undefined || await plane.stop(state);
  devices?.close();
  // While the name is this process's.
  if (gone && state !== undefined && job.rules !== undefined) removeRules(state.path);
  if (gone) state?.close(true);
  return code;
}

/** The data plane died; its reason. */
class DataPlaneError extends Error {}

/** One line for what users can help, the stack for what they cannot. */
function reasonOf(thrown: unknown): string {
  const known = [
    SyscallError,
    IpError,
    StateError,
    CommandError,
    DataPlaneError,
    RangeError,
    Deno.errors.NotCapable,
  ];
  if (known.some((kind) => thrown instanceof kind)) return (thrown as Error).message;
  return thrown instanceof Error ? thrown.stack ?? thrown.message : String(thrown);
}

function standardError(line: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(line + "\n"));
}

/** The wish to stop, from a signal or from the caller. */
class Stop {
  asked = false;
  readonly promise: Promise<void>;
  readonly #signals = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
  readonly #listener: () => void;
  readonly #abort?: AbortSignal;

  constructor(abort?: AbortSignal) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.promise = promise;
    this.#listener = () => {
      this.asked = true;
      resolve();
    };
    for (const signal of this.#signals) Deno.addSignalListener(signal, this.#listener);
    this.#abort = abort;
    abort?.addEventListener("abort", this.#listener);
    if (abort?.aborted) this.#listener();
  }

  close(): void {
    for (const signal of this.#signals) Deno.removeSignalListener(signal, this.#listener);
    this.#abort?.removeEventListener("abort", this.#listener);
  }
}

/** All workers of the data plane. */
class DataPlane {
  /** All of them route. */
  readonly ready: Promise<void>;
  /** One of them has ended, as told or not. */
  readonly dead: Promise<void>;
  readonly #workers: readonly PlaneWorker[];
  readonly #share = new Share();

  constructor(module: URL, status: Status, workers: number) {
    this.#workers = Array.from({ length: workers }, (_, number) => new PlaneWorker(module, status, number));
    this.ready = Promise.all(this.#workers.map((worker) => worker.ready)).then(() => {});
    this.dead = Promise.race(this.#workers.map((worker) => worker.dead));
  }

  /** Why it died: the first reason that one of them had; null while none has. */
  get failure(): string | null {
    return this.#workers.find((worker) => worker.failure !== null)?.failure ?? null;
  }

  load(config: string): void {
    for (const worker of this.#workers) worker.load(config);
  }

  start(state: State, devices: Devices): void {
    const [first, ...others] = this.#workers;
    const start = (worker: PlaneWorker) => {
      const { address, length, recovered } = state, { number } = worker;
      worker.start({
        kind: "start",
        queues: devices.queues,
        wake: worker.wake.fd,
        worker: number,
        share: this.#share.address,
        address,
        length,
        recovered,
      });
    };
    start(first);
    first.ready.then(() => others.forEach((worker) => worker.stopping || start(worker)));
  }

  /** Looks after the heartbeats: a loop that does not turn any more has died too, without a word. */
  watch(state: State): ReturnType<typeof setInterval> {
    const every = 1000;
    return setInterval(() => this.#workers.forEach((worker) => worker.look(state, every)), every);
  }

  /** Has the first worker carry out a command of texts: its answer. Throws a `CommandError`, also for what it refuses. */
  exchange(memory: Memory, command: number, text: string): Promise<string> {
    return this.#workers[0].exchange(memory, command, text, this.#share.mailbox);
  }

  /** Has the first worker carry out a command: the words of its answer. Throws a `CommandError`. */
  command(memory: Memory, command: number, args: readonly number[]): Promise<Int32Array> {
    return this.#workers[0].command(memory, command, args);
  }

  /** Has the workers close themselves: true when all are gone. */
  async stop(state: State): Promise<boolean> {
    const gone = await Promise.all(this.#workers.map((worker) => worker.stop(state)));
    if (gone.includes(false)) return false;
    this.#share.close();
    return true;
  }
}

/** A worker, as the control plane sees it. */
class PlaneWorker {
  /** Why it died; null while it has not. */
  failure: string | null = null;
  /** It routes. */
  readonly ready: Promise<void>;
  /** It has ended, as told or not. */
  readonly dead: Promise<void>;

  /** It has been told to stop. */
  stopping = false;
  readonly wake: EventFd = new EventFd();

  readonly #worker: Worker;
  readonly #dead: () => void;
  /** The worker itself has ended; `dead` can also be a verdict about one that hangs. */
  readonly #gone = Promise.withResolvers<void>();
  #started = false;
  #over = false;
  /** The command before, carried out or not: one at a time. */
  #before: Promise<unknown> = Promise.resolve();
  /** Its last heartbeat, and for how long it has had no other. */
  #beat = -1;
  #still = 0;

  constructor(module: URL, status: Status, readonly number: number) {
    const ready = Promise.withResolvers<void>(), dead = Promise.withResolvers<void>();
    this.ready = ready.promise;
    this.dead = dead.promise;
    this.#dead = dead.resolve;
    this.#worker = new Worker(module, { type: "module", name: `weir data plane ${number}` });
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if (data.kind === "log") status.log(data.line);
      else if (data.kind === "ready") ready.resolve();
      else if (data.kind === "stopped") this.#end(null);
      else this.#end(data.reason);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#end(event.message);
    };
  }

  load(config: string): void {
    this.#send({ kind: "load", config });
  }

  start(message: Start): void {
    this.#started = true;
    this.#send(message);
  }

  /** Looks whether its loop has turned in the last `milliseconds`. */
  look(state: State, milliseconds: number): void {
    const beat = Atomics.load(state.memory.control, CONTROL_HEARTBEAT + this.number * HEARTBEAT_STRIDE);
    // Counted in looks and not by the clock, so that a process that was stopped and continued is not accused.
    this.#still = beat === this.#beat ? this.#still + milliseconds : 0;
    this.#beat = beat;
    if (this.#still < STUCK_TIME) return;
    this.failure ??= `the data plane died: it has not moved for ${STUCK_TIME / 1000} s`;
    this.#dead();
  }

  /** Has the worker carry out a command: the words of its answer. Throws a `CommandError`. */
  command(memory: Memory, command: number, args: readonly number[]): Promise<Int32Array> {
    const carriedOut = this.#before.then(() => this.#command(memory, command, args));
    this.#before = carriedOut.catch(() => {});
    return carriedOut;
  }

  /** The same with texts, which pass through `mailbox`. */
  exchange(memory: Memory, command: number, text: string, mailbox: Uint8Array): Promise<string> {
    const bytes = new TextEncoder().encode(text);
    if (bytes.length > mailbox.length) {
      throw new CommandError(`a command is longer than ${mailbox.length} bytes`);
    }
    const carriedOut = this.#before.then(async () => {
      mailbox.set(bytes);
      const [, done, length] = await this.#command(memory, command, [bytes.length]);
      const answer = new TextDecoder().decode(mailbox.slice(0, length));
      if (done === 0) throw new CommandError(answer);
      return answer;
    });
    this.#before = carriedOut.catch(() => {});
    return carriedOut;
  }

  async #command(memory: Memory, command: number, args: readonly number[]): Promise<Int32Array> {
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
  async stop(state: State): Promise<boolean> {
    this.stopping = true;
    if (!this.#over && !this.#started) {
      // Still at home in its event loop, so it can be ended from outside.
      this.#worker.terminate();
      this.#over = true;
    } else if (!this.#over) {
      Atomics.store(state.memory.control, CONTROL_COMMAND, COMMAND_STOP);
      this.wake.signal();
      let timer;
      const time = new Promise((resolve) => timer = setTimeout(resolve, STOP_TIME));
      await Promise.race([this.#gone.promise, time]);
      clearTimeout(timer);
    }
    if (this.#over) this.wake.close();
    return this.#over;
  }

  #end(reason: string | null): void {
    if (this.#over) return;
    this.#over = true;
    if (reason !== null) this.failure ??= `the data plane died: ${reason}`;
    this.#dead();
    this.#gone.resolve();
  }

  #send(message: ToWorker): void {
    this.#worker.postMessage(message);
  }
}
