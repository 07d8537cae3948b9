/**
 * What control plane and data plane say to each other by postMessage: at the start and at the end, when another
 * configuration comes, and lines for people in between. While it routes, the data plane hears through the shared memory
 * only.
 *
 * ```
 *  start     load ─▶                    start ─▶ (builds) ─▶ built, route ─▶ ready (routes) … stop by memory … ─▶ stopped
 *  reload    load ─▶ (loads) ─▶ loaded, start ─▶ (builds) ─▶ built, take ─▶ waiting (see `Handover`) ─▶ ready (routes) …
 *            meanwhile the old one: … stop by memory … ─▶ paused, then leave ─▶, or resume ─▶ ready (routes) …
 * ```
 *
 * @module
 */
import type { Order } from "../config/order.ts";
import type { Summary } from "../config/summary.ts";
import type { PortSpec } from "./ports.ts";
import type { Piece } from "./shared_arena.ts";

/** To the worker, first: what to load. It can do that while the devices are being made. */
export interface Load {
  readonly kind: "load";
  /** URL of the configuration module. */
  readonly config: string;
  /** What the user calls it, when the worker is to say what it says. */
  readonly path?: string;
}

/** To the worker, then: what to work on. */
export interface Start {
  readonly kind: "start";
  /** The devices, once for each data plane of this router: every one has a queue of its own. */
  readonly queues: readonly (readonly PortSpec[])[];
  /** Descriptor of the eventfd that wakes it. */
  readonly wake: number;
  /** Its number among them. */
  readonly worker: number;
  /** Number of its configuration: it routes while `Memory.control` says so. */
  readonly generation: number;
  /** Where the memory stands that data planes begin with: of this configuration, and of all. */
  readonly share: bigint;
  readonly lasting: bigint;
  /** And where fragments wait: nobody has used it before, or the predecessor's. */
  readonly fragments: bigint;
  readonly fragmentsFresh: boolean;
  /** The state file's descriptor, and where it is mapped in this process. */
  readonly file: number;
  readonly address: bigint;
  readonly length: number;
  /** Offset of its generation in the state, and of the one that it follows, if it follows one. */
  readonly at: number;
  readonly before: number | null;
  /** The state holds flows of an earlier process. */
  readonly recovered: boolean;
  /** The numbers of interfaces and helpers, when they are not those of the configuration. */
  readonly order: Order | null;
  /** What an earlier process had that this one has not. */
  readonly gone: GoneParts;
}

/** Interfaces and addresses that are no more. */
export interface GoneParts {
  readonly interfaces: readonly number[];
  readonly addresses: readonly { readonly iface: number; readonly words: Int32Array }[];
}

/** To the worker that was built: route in the place of those who route now, as soon as they have stopped. */
export interface Take {
  readonly kind: "take";
  /** Pieces of the predecessor's arena. */
  readonly pieces: readonly Piece[];
  readonly gone: GoneParts;
  /** Counters of rules begin anew. */
  readonly zero: boolean;
}

/** To the worker that was built: route. To one that has paused: go on, for nobody took its place. Or: you are not needed. */
export interface Resume {
  readonly kind: "route" | "resume" | "leave";
}

export type ToWorker = Load | Start | Take | Resume;

/** What it has let go of by taking a place: flows without their helper, expectations, flows. */
export interface TakenOver {
  readonly unhelped: number;
  readonly expectations: number;
  readonly ended: number;
}

/** From the worker. */
export type FromWorker =
  /** What the configuration says. */
  | { readonly kind: "loaded"; readonly summary: Summary }
  /** The configuration cannot be used; why, for people. */
  | { readonly kind: "refused"; readonly reason: string }
  /** It can route; what stands in its arena, and how the memory of all is laid out as it sees it. */
  | { readonly kind: "built"; readonly pieces: readonly Piece[]; readonly layout: number }
  /** It is about to sleep until it is handed the router. */
  | { readonly kind: "waiting" }
  /** It routes, since a time in microseconds. */
  | { readonly kind: "ready"; readonly taken: TakenOver | null; readonly at: number }
  /** Another configuration is to route; it has stopped in front of the next packet. */
  | { readonly kind: "paused"; readonly at: number }
  /** The device of an interface was deleted. */
  | { readonly kind: "lost"; readonly index: number }
  /** A line for people. */
  | { readonly kind: "log"; readonly line: string }
  /** It has stopped, as it was told. */
  | { readonly kind: "stopped" }
  /** It cannot go on. */
  | { readonly kind: "failed"; readonly reason: string };
