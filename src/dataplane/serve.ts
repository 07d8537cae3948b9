/**
 * The frame of a data plane worker: takes what the control plane sends, has a router built of it, runs the loop, and
 * closes itself. `worker.ts` puts Weir's router into it, tests put others.
 *
 * Life-cycle: load → start → ready → (routes) → stopped or failed → closed. Once it routes it blocks in poll, and
 * `worker.terminate()` would leave the process hanging; only the shared memory and the eventfd reach it.
 */
import { EventFd, MappedFile } from "deno_tun";
import type { Arena } from "../arena.ts";
import type { Random } from "../clock.ts";
import { COMMAND_STOP, CONTROL_COMMAND, Memory } from "../memory.ts";
import type { Packet } from "../packet/packet.ts";
import { BatchClock } from "./clock.ts";
import { Crew } from "./crew.ts";
import { Lock } from "./lock.ts";
import { Loop } from "./loop.ts";
import type { FromWorker, Start, ToWorker } from "./messages.ts";
import { Ports } from "./ports.ts";
import { SystemRandom } from "./random.ts";
import type { Routing } from "./routing.ts";
import { Share, SharedArena } from "./shared_arena.ts";
import { Tally } from "./tally.ts";

/** What a router is built of. */
export interface Parts {
  readonly clock: BatchClock;
  readonly random: Random;
  readonly memory: Memory;
  /** The memory holds flows of an earlier process. */
  readonly recovered: boolean;
  /** Where the rest of its state is, shared with other data planes of the same router when there are others. */
  readonly arena: Arena;
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
  const clock = new BatchClock();
  const { queues, worker } = start;
  const hasHost = queues[0].some((port) => port.index === 0), wake = new EventFd(start.wake);
  const share = new Share(start.share), arena = new SharedArena(share, worker === 0);
  const parts = {
    arena,
    clock,
    random: new SystemRandom(),
    memory,
    recovered: start.recovered,
    batches: true,
    mailbox: share.mailbox,
    log,
  };
  const stopped = () => Atomics.load(memory.control, CONTROL_COMMAND) === COMMAND_STOP;
  const shared = queues.length === 1
    ? null
    : { tally: new Tally(memory), lock: new Lock(share.words, clock, stopped) };
  const ports = new Ports(queues, worker, arena, shared?.tally ?? memory, clock, log);
  const crew = new Crew(worker, queues.length, ports, memory, shared);
  const router = build({
    ...parts,
    emit: (iface, p) => crew.emit(iface, p),
    emitHost: hasHost ? (p) => crew.emit(0, p) : undefined,
  });
  ready();
  new Loop(ports, memory, wake, clock, crew).run(router);
}
