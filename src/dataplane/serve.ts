/**
 * The frame of a data plane worker: takes what the control plane sends, has a router built of it, runs the loop, and
 * closes itself. `worker.ts` puts Weir's router into it, tests put others.
 *
 * Life-cycle: load → start → built → route or take → ready → (routes) → stopped or failed → closed. When another
 * configuration is to route it pauses instead of closing, and goes on when nobody took its place. While it routes it
 * blocks in poll, and `worker.terminate()` would leave the process hanging; only the shared memory and the eventfd reach
 * it.
 */
import { EventFd, MappedFile, SystemClock } from "deno_tun";
import type { Arena } from "../arena.ts";
import type { Random } from "../clock.ts";
import type { Order } from "../config/order.ts";
import type { Summary } from "../config/summary.ts";
import { COMMAND_STOP, CONTROL_COMMAND, Memory } from "../memory.ts";
import type { Packet } from "../packet/packet.ts";
import type { Space } from "../space.ts";
import { BatchClock } from "./clock.ts";
import { Crew } from "./crew.ts";
import { FileSpace } from "./file_space.ts";
import { LoadError } from "./loading.ts";
import { Handover } from "./handover.ts";
import { Lock } from "./lock.ts";
import { Loop } from "./loop.ts";
import type { FromWorker, GoneParts, Start, Take, TakenOver, ToWorker } from "./messages.ts";
import { Ports } from "./ports.ts";
import { SystemRandom } from "./random.ts";
import type { Routing } from "./routing.ts";
import { copyPieces, Share, SharedArena } from "./shared_arena.ts";
import { Tally } from "./tally.ts";

/** What a router is built of. */
export interface Parts {
  readonly clock: BatchClock;
  readonly random: Random;
  readonly memory: Memory;
  /** What of it can be used. */
  readonly space: Space;
  /** The memory holds flows of an earlier process. */
  readonly recovered: boolean;
  /** The generation of the configuration before, of this process or of an earlier one. */
  readonly before?: Memory;
  /** The numbers of interfaces and helpers, when they are not those of the configuration. */
  readonly order: Order | null;
  /** Where the rest of its state is, shared with other data planes of the same router when there are others. */
  readonly arena: Arena;
  /** What of that goes with the configuration. */
  readonly own: Arena;
  /** Where fragments wait. */
  readonly gathering: Arena;
  /** Sends a packet out of an interface. */
  readonly emit: (iface: number, p: Packet) => void;
  /** Sends a packet to the host device; absent when there is none. */
  readonly emitHost?: (p: Packet) => void;
  /** The router is swept once per batch. */
  readonly batches: boolean;
  /** Where commands and answers stand that are texts. */
  readonly mailbox: Uint8Array;
  /** Hands a line to the control plane. */
  readonly log: (line: string) => void;
}

/** A router that can follow another one. */
export interface Successor extends Routing {
  /** Goes on where the predecessor has stopped; what it has let go of. */
  takeOver?(before: Memory, gone: GoneParts, zero: boolean): TakenOver;
}

/** A configuration that was loaded. */
export interface LoadedConfig {
  /** What it says. */
  summary?(): Summary;
  build(parts: Parts): Successor;
}

/** Loads a configuration module, which the user calls `path`. Throws a `LoadError` for one that is wrong. */
export type Loader = (config: string, path: string) => Promise<LoadedConfig>;

/** The part of a worker's global scope that is used. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: FromWorker): void;
  close(): void;
}

/** Makes this worker a data plane. */
export function serve(load: Loader): void {
  const scope = self as unknown as WorkerScope;
  const post = (message: FromWorker) => scope.postMessage(message);
  let loaded: Promise<LoadedConfig> | undefined, plane: Plane | undefined, goes: Start | undefined;
  const take = async (data: ToWorker): Promise<boolean> => {
    switch (data.kind) {
      case "load":
        loaded = load(data.config, data.path ?? data.config);
        if (data.path === undefined) loaded.catch(() => {}); // Told when it is needed.
        else post({ kind: "loaded", summary: (await loaded).summary!() });
        return true;
      case "start":
        if (loaded === undefined) throw new Error("started before it was loaded");
        plane = new Plane(
          data,
          await loaded,
          (line) => post({ kind: "log", line }),
          (index) => post({ kind: "lost", index }),
        );
        post({ kind: "built", pieces: plane.pieces, layout: plane.layout });
        goes = data;
        return true;
      case "route":
        return plane!.run(post, goes!.recovered ? plane!.takeOver(goes!.gone, false, []) : null);
      case "take":
        post({ kind: "waiting" });
        return plane!.follow(post, data);
      case "resume":
        return plane!.run(post, null);
      case "leave":
        post({ kind: "stopped" });
        return false;
    }
  };
  scope.onmessage = async ({ data }) => {
    try {
      if (await take(data)) return;
    } catch (error) {
      const reason = error instanceof Error ? error.stack ?? error.message : String(error);
      post(
        error instanceof LoadError ? { kind: "refused", reason: error.message } : { kind: "failed", reason },
      );
    }
    scope.close();
  };
}

/** One data plane: a router and its loop. */
class Plane {
  readonly pieces: SharedArena["pieces"];
  readonly layout: number;
  readonly #router: Successor;
  readonly #loop: Loop;
  readonly #memory: Memory;
  readonly #before: Memory | undefined;
  readonly #first: boolean;
  readonly #handover: Handover;
  readonly #clock = new SystemClock();

  constructor(
    start: Start,
    loaded: LoadedConfig,
    log: (line: string) => void,
    lost: (index: number) => void,
  ) {
    const { queues, worker, generation, recovered, order } = start;
    const buffer = MappedFile.view(start.address, start.length);
    const memory = this.#memory = Memory.open(buffer, start.at);
    const before = this.#before = start.before === null ? undefined : Memory.open(buffer, start.before);
    this.#handover = new Handover(memory.control);
    const clock = new BatchClock();
    const hasHost = queues[0].some((port) => port.index === 0), wake = new EventFd(start.wake);
    const first = this.#first = worker === 0, share = new Share(start.share);
    const own = new SharedArena(share, first);
    const arena = new SharedArena(new Share(start.lasting), first && (recovered || before === undefined));
    const gathering = new SharedArena(new Share(start.fragments), first && start.fragmentsFresh);
    const space = new FileSpace(start.file, memory.expectsOffset, clock, arena);
    const parts = {
      gathering,
      arena,
      own,
      clock,
      random: new SystemRandom(),
      memory,
      space,
      before,
      recovered,
      order,
      batches: true,
      mailbox: share.mailbox,
      log,
    };
    // Only at the end waiting is in vain: when another configuration is to route, what was read goes its way first.
    const stopped = () => Atomics.load(memory.control, CONTROL_COMMAND) === COMMAND_STOP;
    const shared = queues.length === 1
      ? null
      : { tally: new Tally(memory), lock: new Lock(share.words, clock, stopped) };
    const counters = shared?.tally ?? memory;
    const ports = new Ports(queues, worker, own, counters, clock, log, lost);
    const crew = new Crew(worker, queues.length, ports, counters, shared);
    this.#router = loaded.build({
      ...parts,
      emit: (iface, p) => crew.emit(iface, p),
      emitHost: hasHost ? (p) => crew.emit(0, p) : undefined,
    });
    // Those without a device: their flows have ended when that went.
    if (ports.fallen) ports.tellFallen(this.#router);
    this.#loop = new Loop(ports, memory, wake, clock, crew, generation);
    this.pieces = own.pieces;
    this.layout = arena.layout;
  }

  /** Goes on where the predecessor has stopped. The first worker does it for all. */
  takeOver(gone: GoneParts, zero: boolean, pieces: Take["pieces"]): TakenOver | null {
    if (!this.#first || this.#before === undefined) return null;
    copyPieces(pieces, this.pieces);
    return this.#router.takeOver?.(this.#before, gone, zero) ?? null;
  }

  /** Routes when it is handed the router. False when it is the end, or nobody hands it over. */
  follow(post: (message: FromWorker) => void, { gone, zero, pieces }: Take): boolean {
    const awaited = this.#first ? this.#handover.awaitTurn() : this.#handover.awaitTaken();
    if (!awaited) {
      post({ kind: "stopped" });
      return false;
    }
    if (!this.#first) return this.run(post, null);
    const taken = this.takeOver(gone, zero, pieces);
    this.#handover.taken();
    return this.run(post, taken);
  }

  /** Routes. False when it is the end, true when another configuration is to route. */
  run(post: (message: FromWorker) => void, taken: TakenOver | null): boolean {
    post({ kind: "ready", taken, at: this.#clock.microseconds() });
    this.#loop.run(this.#router);
    const over = Atomics.load(this.#memory.control, CONTROL_COMMAND) === COMMAND_STOP;
    const at = this.#clock.microseconds();
    if (!over) this.#handover.left();
    post(over ? { kind: "stopped" } : { kind: "paused", at });
    return !over;
  }
}
