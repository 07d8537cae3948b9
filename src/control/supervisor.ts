/**
 * The control plane of a running router: makes everything, watches over it, and takes everything back.
 *
 * ```
 *  state file ─▶ worker (loads, builds), devices ─▶ worker (routes) ─▶ socket ─▶ …
 *                                                         … ─▶ stop ─▶ socket, worker, devices, file gone, in this order
 * ```
 *
 * Life-cycle: `supervise` returns the exit code when all is undone: 0 after SIGTERM, SIGINT or `abort`, 1 when something
 * could not be made or the data plane died, with the reason shown. It takes a validated configuration, so a mistake
 * in it is told before anything is touched. While it runs it takes other configurations (`reload.ts`), asked by its
 * socket or by SIGHUP. The caller ends the process by `Deno.exit` with that code.
 *
 * Limits: the memory that a worker may still touch which does not come back in time is left mapped. SIGHUP ends the
 * router when its terminal has gone.
 */
import { SyscallError } from "deno_tun";
import { follow, type Order } from "../config/order.ts";
import type { Summary } from "../config/summary.ts";
import { Share } from "../dataplane/shared_arena.ts";
import { CONTROL_FLOWS, type Geometry, type Memory } from "../memory.ts";
import { commandsOf } from "./commands.ts";
import { type DevicePlan, Devices } from "./devices.ts";
import { IpError } from "./ip.ts";
import { DataPlane, PlaneError, stopAll } from "./plane.ts";
import {
  layOut,
  leaveRules,
  namesIn,
  namesOf,
  type Reloaded,
  Reloader,
  type ReloadOptions,
  type Running,
} from "./reload.ts";
import { removeRules } from "./rules_file.ts";
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
  /** Says whether to go on with the flows of a process that was killed. Default: never. */
  readonly keep?: (memory: Memory) => boolean;
  /** Directory of the state file, when it is not the usual one. */
  readonly directory?: string;
  /** Workers of the data plane, 1 by default. */
  readonly workers?: number;
  /** That is what the command line says, whatever configurations say. */
  readonly workersAsked?: boolean;
  /** What the configuration says, asked when packets pass; without it there is no other one, and no file of rules. */
  readonly summary?: () => Summary;
  /** Milliseconds that another configuration has to load; some seconds by default. */
  readonly loadTime?: number;
  /** The worker's module; Weir's own by default. */
  readonly worker?: URL;
  /** The first worker, when it has been made already to save time. */
  readonly first?: Worker;
  readonly output?: Output;
  /** Errors go here; standard error by default. */
  readonly error?: (line: string) => void;
  /** Stops it as a signal does. */
  readonly abort?: AbortSignal;
}

/** Milliseconds between two looks at the heartbeats. */
const WATCH = 1000;
/** Flows for which the indices' memory is ready from the start. */
const READY_FLOWS = 1 << 16;
/** It is made ready for so many times the flows that there are, when it is not for half of that. */
const AHEAD = 4;
/**
 * Milliseconds until a device that was deleted is made again, or is looked for its namespace, and between two attempts in
 * the end.
 */
const FIRST_RETRY = 100, LAST_RETRY = 30_000;

/** Runs a router until it is told to stop: the exit code. */
export async function supervise(job: Job): Promise<number> {
  const error = job.error ?? ((line: string) => standardError(line));
  const stop = new Stop(job.abort);
  let router: Router | undefined, socket: ControlSocket | undefined, status: Status | undefined;
  let code = 0;
  try {
    const state = openState(job);
    status = new Status(state.memory, job.output ?? standardOutput());
    router = new Router(job, state, status);
    await router.start(stop);
    if (!stop.asked && router.failure === null) {
      socket = ControlSocket.open(socketPath(state.path), commandsOf(router));
      const places = job.plan.interfaces.map((i) => i.name);
      if (router.workers > 1) places.push(`${router.workers} workers`);
      if (job.plan.host) places.push(`host ${job.plan.host.device}`);
      const kept = state.recovered ? ", with the flows of the process before" : "";
      status.log(`weir: ready, forwarding (${places.join(", ")})${kept}`);
      status.start();
      const watch = setInterval(() => router!.look(WATCH), WATCH), running = router, lines = status;
      stop.onHangup = () => running.hangup((line) => lines.log(line));
      await Promise.race([router.dead, stop.promise]);
      clearInterval(watch);
    }
    if (router.failure !== null) throw new PlaneError(router.failure);
  } catch (thrown) {
    code = 1;
    status?.stop();
    error(`weir: ${reasonOf(thrown)}`);
  }
  status?.stop();
  socket?.close();
  await router?.stop();
  stop.close(); // Who is asked twice, as by Ctrl-C and by `deno task`, still takes everything back.
  if (code === 0 && stop.why !== null) status?.log(`weir: stopped (${stop.why})`);
  return code;
}

/** All that a running router has. */
class Router {
  readonly workers: number;
  readonly dead: Promise<void>;
  readonly #job: Job;
  readonly #state: State;
  readonly #status: Status;
  readonly #module: URL;
  readonly #lasting = new Share();
  /** Flows for which the memory of the indices is ready. */
  #ready = READY_FLOWS;
  readonly #fragments = new Share();
  readonly #dead = Promise.withResolvers<void>();
  #memory: Memory;
  #plane: DataPlane;
  #devices: Devices | undefined;
  #running: Running | null = null;
  #reloader: Reloader | null = null;
  /** Somebody sees to devices that are lost; until the next attempt. */
  #restoring = false;
  #pause: ReturnType<typeof setTimeout> | undefined;
  #stopping = false;
  /** The data plane has been told to route. */
  #begun = false;
  /** What is done with the data plane now, done or not. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(job: Job, state: State, status: Status) {
    this.#job = job;
    this.#state = state;
    this.#status = status;
    this.#module = job.worker ?? new URL("../dataplane/worker.ts", import.meta.url);
    this.workers = job.workers ?? 1;
    this.dead = this.#dead.promise;
    this.#memory = state.memory;
    this.#plane = new DataPlane(this.#module, status, this.workers, 0, job.first);
  }

  /** In the generation that is in force. */
  get memory(): Memory {
    return this.#running?.memory ?? this.#memory;
  }

  get failure(): string | null {
    return this.#now.failure;
  }

  get #now(): DataPlane {
    return this.#running?.plane ?? this.#plane;
  }

  /** Makes the devices and has the data plane route. */
  async start(stop: Stop): Promise<void> {
    const { config, plan, summary } = this.#job, state = this.#state, plane = this.#plane;
    this.#watchOver(plane);
    plane.load(config);
    if (stop.asked) return;
    let before: Memory | null = null, order: Order | null = null, given = plan;
    if (summary !== undefined && state.recovered) {
      const said = summary();
      before = state.memory;
      const was = namesIn(before);
      order = follow(namesOf(said), was);
      this.#memory = layOut(state, before, said, order);
      given = numbered(plan, order);
    } else {
      for (const i of plan.interfaces) state.memory.generation.setInterfaceName(i.index, i.name);
      if (plan.host) state.memory.generation.setInterfaceName(0, plan.host.device);
    }
    // They are on their way while the router is built.
    const devices = this.#devices = Devices.begin(given, this.workers);
    const { file, address, length, recovered } = state, memory = this.#memory;
    const { queues } = devices, lasting = this.#lasting, fragments = this.#fragments;
    const gone = { interfaces: before === null ? [] : goneIn(before, order!), addresses: [] };
    const built = plane.build({
      queues,
      memory,
      file,
      address,
      length,
      lasting,
      fragments,
      fragmentsFresh: true,
      recovered,
      before,
      order,
      gone,
    }).catch(() => {}); // The data plane has the reason.
    await devices.made;
    await Promise.race([built, stop.promise]);
    if (stop.asked || plane.failure !== null) return;
    this.#begun = true;
    plane.route();
    await Promise.race([plane.ready, plane.dead, stop.promise]);
    if (summary === undefined || stop.asked || plane.failure !== null) return;
    const said = summary(), unsaid = leaveRules(state, memory, said);
    this.#running = {
      state,
      devices,
      lasting,
      status: this.#status,
      module: this.#module,
      workers: this.workers,
      workersAsked: this.#job.workersAsked ?? false,
      config,
      loaded: config,
      exclusively: (act) => this.#exclusively(act),
      memory,
      plane,
      lost: new Set(),
      fragments,
      summary: said,
      order: order ?? namesOf(said),
      rulesLeft: unsaid === null,
    };
    if (unsaid !== null) this.#status.log(`weir: warning: ${unsaid}`);
    this.#reloader = new Reloader(this.#running, this.#job.loadTime);
    for (const index of plane.lost) this.#lose(index);
  }

  /** Looks after the heartbeats, the memory, the names of namespaces, and a file that could not be written. */
  look(milliseconds: number): void {
    const { memory } = this;
    this.#now.look(memory, milliseconds);
    const flows = Atomics.load(memory.control, CONTROL_FLOWS), most = memory.geometry.flows;
    if (flows * AHEAD / 2 > this.#ready && this.#ready < most) {
      this.#ready = flows * AHEAD;
      this.#lasting.populate(Math.min(1, this.#ready / most));
    }
    const running = this.#running;
    if (running === null) return;
    if (running.devices.canRestore(running.lost)) this.#restore(running);
    if (running.rulesLeft) return;
    running.rulesLeft = leaveRules(running.state, running.memory, running.summary) === null;
  }

  /** Has the data plane carry out a command: the words of its answer. Throws a `CommandError`. */
  command(command: number, args: readonly number[]): Promise<Int32Array> {
    return this.#exclusively(() => this.#now.command(this.memory, command, args));
  }

  /** The same with texts: what it answers. */
  exchange(command: number, text: string): Promise<string> {
    return this.#exclusively(() => this.#now.exchange(this.memory, command, text));
  }

  /** Makes sure of a part of the state file. */
  reserve(part: readonly [from: number, to: number], what: string): void {
    this.#state.reserve(part, what);
  }

  #exclusively<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(act);
    this.#turn = done.catch(() => {});
    return done;
  }

  /** Another configuration. Throws a `CommandError`. */
  async reload(options: ReloadOptions): Promise<Reloaded> {
    if (this.#reloader === null) throw new CommandError("this router takes no other configuration");
    const reloaded = await this.#reloader.reload(options), { restored } = reloaded;
    this.#watchOver(this.#now);
    if (restored.length > 0) this.#status.log(`weir: ${restored.join(", ")}: made again`);
    return reloaded;
  }

  /** SIGHUP: reloads, and says how that went. */
  async hangup(log: (line: string) => void): Promise<void> {
    try {
      const { lines, warnings, gap } = await this.reload({});
      log(
        `weir: reloaded (${lines.length === 0 ? "nothing changes" : lines.join("; ")}), ${
          gap!.toFixed(1)
        } ms`,
      );
      for (const warning of warnings) log(`weir: warning: ${warning}`);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      log(`weir: not reloaded, nothing has changed: ${error.message}`);
    }
  }

  /** Takes everything back. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#pause);
    const alone = await this.#reloader?.end() ?? true;
    const { memory } = this;
    const gone = await this.#now.stop(() => stopAll(memory));
    this.#devices?.close();
    if (!gone) return;
    if (alone) {
      this.#lasting.close();
      (this.#running?.fragments ?? this.#fragments).close();
    }
    // While the name is this process's.
    if (this.#job.summary !== undefined) removeRules(this.#state.path);
    // Flows of an earlier process wait for a start that gets as far as to go on with them.
    this.#state.close(this.#begun || !this.#state.recovered, alone);
  }

  /** A device is gone, alone or with its namespace: it is made again as soon as that can be. */
  #lose(index: number): void {
    const running = this.#running, log = (line: string) => this.#status.log(line);
    const name = `interface ${this.memory.generation.interfaceName(index)}`;
    if (running === null) {
      // Nobody makes it again, or it is told of when all is there.
      if (this.#job.summary === undefined) {
        log(`${name}: its device is gone (deleted, alone or with its namespace)`);
      }
      return;
    }
    if (running.lost.has(index)) return;
    running.lost.add(index);
    const netns = running.devices.missing(index);
    log(
      netns === null
        ? `${name}: its device is gone (deleted, alone or with its namespace); it is down until there is one again`
        : `${name}: its namespace ${netns} is gone; it is down until there is one of that name again`,
    );
    this.#restore(running);
  }

  /** Tries until no device is lost: often while their namespaces are not there, less and less often when it fails. */
  async #restore(running: Running): Promise<void> {
    if (this.#restoring) return;
    this.#restoring = true;
    const { devices } = running;
    let pause = FIRST_RETRY, failed = "", told = "";
    do {
      await new Promise((done) => this.#pause = setTimeout(done, pause));
      if (!devices.canRestore(running.lost)) {
        pause = FIRST_RETRY;
        continue;
      }
      try {
        await this.reload({ config: running.loaded, same: true });
        pause = FIRST_RETRY;
      } catch (error) {
        if (this.#stopping) return;
        pause = Math.min(pause * 2, LAST_RETRY);
        // Once may be a namespace that is not ready.
        const { message } = error as Error, again = message === failed;
        failed = message;
        if (!again || message === told) continue;
        told = message;
        this.#status.log(`weir: a device is not made again yet: ${message}`);
      }
    } while (running.lost.size > 0 || devices.canRestore(running.lost));
    this.#restoring = false;
  }

  /** The router is dead when the data plane that routes is. */
  #watchOver(plane: DataPlane): void {
    plane.onLost = (index) => {
      if (plane === this.#now) this.#lose(index);
    };
    plane.lost.forEach(plane.onLost);
    plane.dead.then(() => {
      if (plane === this.#now) this.#dead.resolve();
    });
  }
}

/** Interfaces that a state knows, and the configuration does not; the loopback interface stands behind the last one. */
function goneIn(memory: Memory, order: Order): number[] {
  const was = namesIn(memory).interfaces;
  const gone = was.flatMap((name, i) => name !== "" && order.interfaces[i] !== name ? [i + 1] : []);
  return was.length === order.interfaces.length ? gone : [...gone, was.length + 1];
}

/** The plan with its interfaces at these numbers. */
function numbered(plan: DevicePlan, order: Order): DevicePlan {
  const indexOf = (name: string) => order.interfaces.indexOf(name) + 1;
  return {
    ...plan,
    interfaces: plan.interfaces.map((i) => ({ ...i, index: indexOf(i.name) })),
    routes: plan.routes.map((route) => ({
      ...route,
      interface: indexOf(plan.interfaces.find(({ index }) => index === route.interface)!.name),
    })),
  };
}

/** One line for what users can help, the stack for what they cannot. */
function reasonOf(thrown: unknown): string {
  const known = [
    SyscallError,
    IpError,
    StateError,
    CommandError,
    PlaneError,
    RangeError,
    Deno.errors.NotCapable,
  ];
  if (known.some((kind) => thrown instanceof kind)) return (thrown as Error).message;
  return thrown instanceof Error ? thrown.stack ?? thrown.message : String(thrown);
}

function standardError(line: string): void {
  try {
    Deno.stderr.writeSync(new TextEncoder().encode(line + "\n"));
  } catch {
    // Nobody reads it, or its disk is full; what was made is still to be taken back.
  }
}

/** The wish to stop, from a signal or from the caller; and SIGHUP. */
class Stop {
  asked = false;
  /** The signal, for people; null when the caller has asked. */
  why: string | null = null;
  readonly promise: Promise<void>;
  /** What SIGHUP is answered with; until it is known, the signal is not for a router that begins. */
  onHangup: () => void = () => {};
  readonly #listeners: readonly (readonly [Deno.Signal, () => void])[];
  readonly #listener: () => void;
  readonly #abort?: AbortSignal;

  constructor(abort?: AbortSignal) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.promise = promise;
    this.#listener = () => {
      this.asked = true;
      resolve();
    };
    const end = (why: string) => {
      this.why ??= why;
      this.#listener();
    };
    const terminal = Deno.stdin.isTerminal();
    this.#listeners = [
      ["SIGTERM", () => end("SIGTERM")],
      ["SIGINT", () => end("SIGINT")],
      // Whose terminal is closed gets the same signal as who is asked to reload; then its input is no terminal any more.
      ["SIGHUP", () => terminal && !Deno.stdin.isTerminal() ? end("its terminal is gone") : this.onHangup()],
    ];
    for (const [signal, listener] of this.#listeners) Deno.addSignalListener(signal, listener);
    this.#abort = abort;
    abort?.addEventListener("abort", this.#listener);
    if (abort?.aborted) this.#listener();
  }

  close(): void {
    for (const [signal, listener] of this.#listeners) Deno.removeSignalListener(signal, listener);
    this.#abort?.removeEventListener("abort", this.#listener);
  }
}
