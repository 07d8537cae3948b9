/**
 * Another configuration for a running router: all of it, or nothing.
 *
 * ```
 *  in force    routes ───────────────────────────────────────────┐ pauses          leaves
 *  new one     loads, is checked ─▶ devices, state ─▶ builds ────┴─▶ takes, routes ────────▶
 *              refused: nothing has changed       │              │
 *                                     fails: undone, the old one goes on
 * ```
 *
 * The new data plane is made of fresh workers, as only these read changed modules, and works on the memory that the old
 * one works on: flows, their indices and timers are handed on as they are, so it makes no difference how many there are.
 * What takes time happens while the old one routes. Then the old one stops in front of a packet, and the new one begins
 * with that packet, which waits in its device's queue: no packet is judged by both, or by a mixture.
 *
 * Limits: one at a time. A module has some seconds to load, and then as many to build.
 */
import { arrangeInterfaces, follow, helperKey, type Order } from "../config/order.ts";
import type { Summary } from "../config/summary.ts";
import type { GoneParts, TakenOver } from "../dataplane/messages.ts";
import { Handover } from "../dataplane/handover.ts";
import { Share } from "../dataplane/shared_arena.ts";
import { CONTROL_COMMAND, type Memory } from "../memory.ts";
import { parsePrefix } from "../packet/address.ts";
import { type Changes, changesBetween, describeChanges, impossible } from "./changes.ts";
import type { DeviceChange, Devices } from "./devices.ts";
import { DataPlane } from "./plane.ts";
import { planDevices } from "./plan.ts";
import { removeRules, writeRules } from "./rules_file.ts";
import { CommandError } from "./socket.ts";
import type { State } from "./state_file.ts";
import type { Status } from "./status.ts";

/** A router that runs, and what it is made of now. */
export interface Running {
  readonly state: State;
  readonly devices: Devices;
  readonly lasting: Share;
  readonly status: Status;
  /** The worker's module. */
  readonly module: URL;
  readonly workers: number;
  /** The command line says how many workers; else the configuration does. */
  readonly workersAsked: boolean;
  /** The configuration that it was started with. */
  readonly config: string;
  /** Does one thing at a time with the data plane that routes. */
  exclusively<T>(act: () => Promise<T>): Promise<T>;
  /** In force: the configuration, and what is made of it. */
  loaded: string;
  memory: Memory;
  plane: DataPlane;
  /** Interfaces that have no device, as it was deleted or its namespace is gone. */
  lost: Set<number>;
  /** Where fragments wait. */
  fragments: Share;
  summary: Summary;
  order: Order;
  /** The file of its rules stands beside the state; else that is tried again. */
  rulesLeft: boolean;
}

/** How to reload. */
export interface ReloadOptions {
  /** URL of the configuration; the one that the router was started with by default. */
  readonly config?: string;
  /** Only say what would change. */
  readonly check?: boolean;
  /** Counters of rules begin anew. */
  readonly zero?: boolean;
  /** Only if nothing changes: devices that were deleted are made again. */
  readonly same?: boolean;
}

/** What a reload has done. */
export interface Reloaded {
  readonly config: string;
  readonly changes: Changes;
  /** For people. */
  readonly lines: readonly string[];
  readonly warnings: readonly string[];
  /** Interfaces that have a device again. */
  readonly restored: readonly string[];
  /** Milliseconds for which nobody routed, and from the question on; null when it was only checked. */
  readonly gap: number | null;
  readonly took: number;
  readonly taken: TakenOver | null;
}

/** Milliseconds that a module has to load, and that the data plane has to build what it says. */
const LOAD_TIME = 10_000, BUILD_TIME = 20_000;
/** Milliseconds that the old data plane has to stop in front of a packet. */
const PAUSE_TIME = 5000;

/** Reloads a router, one time after another. */
export class Reloader {
  readonly #running: Running;
  readonly #loadTime: number;
  #under: Promise<unknown> | null = null;
  #ended = false;
  /** One that was given up works on, on the memory of all. */
  #left = false;
  /** The latest one that was tried: each has a number of its own. */
  #generation: number;

  constructor(running: Running, loadTime = LOAD_TIME) {
    this.#running = running;
    this.#loadTime = loadTime;
    this.#generation = running.plane.generation;
  }

  /** Reloads, or throws a `CommandError` with all reasons, and then nothing has changed. */
  async reload(options: ReloadOptions): Promise<Reloaded> {
    if (this.#ended) throw new CommandError("the router is about to end");
    if (this.#under !== null) {
      throw new CommandError("another reload is under way; try again when it is over");
    }
    const under = this.#reload(options);
    this.#under = under.catch(() => {});
    try {
      return await under;
    } catch (error) {
      throw error instanceof CommandError ? error : new CommandError((error as Error).message);
    } finally {
      this.#under = null;
    }
  }

  /** Ends what is under way, done or undone. True when nobody works on the memory any more but who routes. */
  async end(): Promise<boolean> {
    this.#ended = true;
    this.#abandon?.(new CommandError("the router ends"));
    await this.#under;
    return !this.#left;
  }

  #abandon: ((why: CommandError) => void) | null = null;

  async #reload(
    { config = this.#running.config, check = false, zero = false, same = false }: ReloadOptions,
  ): Promise<Reloaded> {
    const began = performance.now(), running = this.#running, { state, status, module, workers } = running;
    const path = pathOf(config);
    const next = new DataPlane(module, status, workers, ++this.#generation);
    let devices: DeviceChange | null = null, room: Share | null = null;
    try {
      const summary = agreed(
        await this.#within(next.read(config, path), this.#loadTime, `${path}: it was not loaded`),
      );
      const reasons = impossible(running.summary, summary, running.workersAsked ? workers : null);
      if (reasons.length > 0) {
        const head = `${path}: this cannot be changed while the router runs; stop it and start it again`;
        throw new CommandError([head, ...reasons.map((reason) => `  ${reason}`)].join("\n"));
      }
      if (same && JSON.stringify(summary) !== JSON.stringify(running.summary)) {
        throw new CommandError(`${path} is another by now`);
      }
      const changes = changesBetween(running.summary, summary), lines = describeChanges(changes);
      const warnings = summary.warnings.map(({ path, message }) => `${path}: ${message}`);
      const took = () => Math.round(performance.now() - began);
      if (check) {
        await next.stop(() => {});
        return { config, changes, lines, warnings, restored: [], gap: null, took: took(), taken: null };
      }
      const order = follow(namesOf(summary), running.order),
        arranged = arrangeInterfaces(summary.interfaces, order);
      const lost = new Set(running.lost);
      devices = await running.devices.change(planDevices({ ...summary, interfaces: arranged }), lost);
      const memory = layOut(state, running.memory, summary, order);
      const gone = goneBetween(running, arranged, devices.again);
      // Fragments that wait are lost when they would have to be moved.
      room = summary.fragments === running.summary.fragments ? null : new Share();
      const fragments = room ?? running.fragments;
      await this.#within(
        next.build({
          queues: devices.queues,
          memory,
          file: state.file,
          address: state.address,
          length: state.length,
          lasting: running.lasting,
          fragments,
          fragmentsFresh: room !== null,
          recovered: false,
          before: running.memory,
          order,
          gone,
        }),
        BUILD_TIME,
        `${path}: its router was not built`,
      );
      if (next.layout !== running.plane.layout) {
        throw new CommandError(
          "Weir itself is another one than the one that runs; stop it and start it again",
        );
      }
      const before = running.plane, { again, down } = devices;
      const restored = [...again].map((index) => order.interfaces[index - 1] ?? summary.host!.device);
      const gap = await running.exclusively(async () => {
        const gap = await this.#change(next, gone, zero);
        const old = running.fragments;
        running.lost = running.lost.difference(lost).difference(again).union(down);
        Object.assign(running, { loaded: config, memory, plane: next, fragments, summary, order });
        if (room !== null) room = old; // to be closed
        const unsaid = leaveRules(state, memory, summary);
        running.rulesLeft = unsaid === null;
        if (unsaid !== null) warnings.push(unsaid);
        return gap;
      });
      const changed = devices;
      devices = null; // It is done: there is nothing to take back any more.
      warnings.push(...await changed.commit());
      if (await before.stop(() => {})) room?.close();
      return { config, changes, lines, warnings, restored, gap, took: took(), taken: next.taken };
    } catch (error) {
      await devices?.undo();
      if (await next.stop(() => {})) room?.close();
      else this.#left = true;
      throw error;
    }
  }

  /** The old one stops, the new one begins: the milliseconds in between. */
  async #change(next: DataPlane, gone: GoneParts, zero: boolean): Promise<number> {
    const { plane, memory: old, workers } = this.#running,
      { control } = old,
      handover = new Handover(control);
    handover.begin(workers);
    try {
      await within(
        next.await({ pieces: plane.pieces, gone, zero }),
        PAUSE_TIME,
        "the new data plane does not wait",
      );
      Atomics.store(control, CONTROL_COMMAND, next.generation);
      const since = await within(plane.pause(), PAUSE_TIME, "the data plane does not stop").catch((error) => {
        if (handover.cancel()) throw error;
        return plane.pause(); // Too late: the last of them has just stopped.
      });
      return ((await next.taking() - since) | 0) / 1000;
    } catch (error) {
      handover.cancel();
      handover.abandon();
      if (
        Atomics.compareExchange(control, CONTROL_COMMAND, next.generation, plane.generation) ===
          next.generation
      ) {
        old.publish();
        plane.resume();
      }
      throw error;
    }
  }

  /** What a promise gives, unless the time is over or the router ends before. */
  #within<T>(promise: Promise<T>, milliseconds: number, what: string): Promise<T> {
    const abandoned = new Promise<never>((_, reject) => this.#abandon = reject);
    return within(Promise.race([promise, abandoned]), milliseconds, what).finally(() => this.#abandon = null);
  }
}

async function within<T>(promise: Promise<T>, milliseconds: number, what: string): Promise<T> {
  let timer;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new CommandError(`${what} within ${milliseconds / 1000} s`)),
      milliseconds,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** What all workers have found: the same, unless a file was written in between or the module asks the clock. */
function agreed([first, ...others]: readonly Summary[]): Summary {
  const text = JSON.stringify(first);
  if (others.some((other) => JSON.stringify(other) !== text)) {
    throw new CommandError(
      "the configuration says one thing when it is read, and another when it is read again",
    );
  }
  return first;
}

/** The names that get numbers. */
export function namesOf(summary: Pick<Summary, "interfaces" | "helpers">): Order {
  return {
    interfaces: summary.interfaces.map(({ name }) => name),
    helpers: summary.helpers.map(({ key }) => key),
  };
}

/** The numbers that flows in a state speak of. */
export function namesIn(memory: Memory): Order {
  const { interfaces } = memory.geometry;
  return {
    interfaces: Array.from({ length: interfaces }, (_, i) => memory.generation.interfaceName(i + 1)),
    helpers: memory.generation.roster.entries.map(helperKey),
  };
}

/** Says beside the state what the rule counters of a generation mean. A line for people if that cannot be, else null. */
export function leaveRules(
  state: State,
  { generation }: Memory,
  { counters, tables }: Summary,
): string | null {
  try {
    writeRules(state.path, { generation: generation.at, slots: counters, tables });
    return null;
  } catch (error) {
    removeRules(state.path); // It is about others.
    return `weir rules cannot say what has been counted: ${(error as Error).message}`;
  }
}

/** Another generation of the state, with the names of its interfaces. */
export function layOut(state: State, memory: Memory, summary: Summary, order: Order): Memory {
  const next = state.extend(memory, { interfaces: order.interfaces.length, rules: summary.counters });
  order.interfaces.forEach((name, i) => next.generation.setInterfaceName(i + 1, name));
  if (summary.host !== null) next.generation.setInterfaceName(0, summary.host.device);
  return next;
}

/** Interfaces whose device goes, and addresses that others lose. */
function goneBetween(
  { order, summary }: Running,
  now: readonly Summary["interfaces"][number][],
  again: ReadonlySet<number>,
): GoneParts {
  const interfaces: number[] = [], addresses: { iface: number; words: Int32Array }[] = [];
  for (const old of arrangeInterfaces(summary.interfaces, order)) {
    if (old.name === "") continue;
    const still = now.find(({ name }) => name === old.name);
    if (
      still === undefined || again.has(old.index) || still.device !== old.device ||
      still.peer?.netns !== old.peer?.netns
    ) {
      interfaces.push(old.index);
      continue;
    }
    const plain = still.addresses.map((text) => text.split("/")[0]);
    for (const text of old.addresses) {
      if (!plain.includes(text.split("/")[0])) {
        addresses.push({ iface: old.index, words: parsePrefix(text)!.words });
      }
    }
  }
  // The loopback interface stands behind the last one.
  if (now.length !== order.interfaces.length) interfaces.push(order.interfaces.length + 1);
  return { interfaces, addresses };
}

/** What a user calls the file of a URL. */
function pathOf(url: string): string {
  try {
    return decodeURI(new URL(url).pathname);
  } catch {
    return url;
  }
}
