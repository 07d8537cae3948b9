/**
 * The frame of a data plane worker: takes what the control plane sends, has a router built of it, runs the loop, and
 * closes itself. `worker.ts` puts Weir's router into it, tests put others.
 *
 * Life-cycle: load → start → ready → (routes) → stopped or failed → closed. Once it routes it blocks in poll, and
 * `worker.terminate()` would leave the process hanging; only the shared memory and the eventfd reach it.
 */
import { EventFd, mapMemory, MappedFile } from "deno_tun";
import { type Arena, MappedArena } from "../arena.ts";
import type { Random } from "../clock.ts";
import { Memory } from "../memory.ts";
import type { Packet } from "../packet/packet.ts";
import { BatchClock } from "./clock.ts";
import { Loop, type Routing } from "./loop.ts";
import type { FromWorker, Start, ToWorker } from "./messages.ts";
import { Ports } from "./ports.ts";
import { SystemRandom } from "./random.ts";

/** What a router is built of. */
export interface Parts {
  readonly clock: BatchClock;
  readonly random: Random;
  readonly memory: Memory;
  /** The memory holds flows of an earlier process. */
  readonly recovered: boolean;
  /** Where the rest of its state is. */
  readonly arena: Arena;
  /** Sends a packet out of an interface. */
  readonly emit: (iface: number, p: Packet) => void;
  /** Sends a packet to the host device; absent when there is none. */
  readonly emitHost?: (p: Packet) => void;
  /** Hands a line to the control plane. */
  readonly log: (line: string) => void;
}

/** Bytes of the arena: for each flow, and for all else; more than is ever taken, since only what is touched is there. */
const ARENA_FLOW = 512, ARENA = 1 << 26;

/** Loads a configuration module and says how to build its router. */
export type Loader = (config: string) => Promise<(parts: Parts) => Routing>;

/** The part of a worker's global scope that is used. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: FromWorker): void;
  close(): void;
}

/** Makes this worker a data plane. */
export function serve(load: Loader): void {
  const scope = self as unknown as WorkerScope;
  const log = (line: string) => scope.postMessage({ kind: "log", line });
  let loaded: Promise<(parts: Parts) => Routing> | undefined;
  scope.onmessage = async ({ data }) => {
    try {
      if (data.kind === "load") {
        loaded = load(data.config);
        loaded.catch(() => {}); // Told when it is needed.
        return;
      }
      if (data.kind === "start") {
        if (loaded === undefined) throw new Error("started before it was loaded");
        route(data, await loaded, log, () => scope.postMessage({ kind: "ready" }));
        scope.postMessage({ kind: "stopped" });
      }
    } catch (error) {
      const reason = error instanceof Error ? error.stack ?? error.message : String(error);
      scope.postMessage({ kind: "failed", reason });
    }
    scope.close();
  };
}

/** Builds the router and runs the loop until it is told to stop. */
function route(
  start: Start,
  build: (parts: Parts) => Routing,
  log: (line: string) => void,
  ready: () => void,
): void {
  const memory = Memory.open(MappedFile.view(start.address, start.length));
  const arenaBytes = ARENA + memory.geometry.flows * ARENA_FLOW;
  const arena = new MappedArena(MappedFile.view(mapMemory(arenaBytes), arenaBytes), true);
  const clock = new BatchClock();
  const ports = new Ports(start.ports, memory, clock, log);
  const router = build({
    clock,
    random: new SystemRandom(),
    memory,
    recovered: start.recovered,
    arena,
    emit: (iface, p) => ports.write(iface, p),
    emitHost: start.ports.some((port) => port.index === 0) ? (p) => ports.write(0, p) : undefined,
    log,
  });
  ready();
  new Loop(ports, memory, new EventFd(start.wake), clock).run(router);
}
