/**
 * What control plane and data plane say to each other by postMessage: at the start and at the end, and lines for
 * people in between. While it routes, the data plane hears through the shared memory only.
 *
 * @module
 */
import type { PortSpec } from "./ports.ts";

/** To the worker, first: what to load. It can do that while the devices are being made. */
export interface Load {
  readonly kind: "load";
  /** URL of the configuration module. */
  readonly config: string;
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
  /** Where the memory stands that the data planes begin with. */
  readonly share: bigint;
  /** Where the state file is mapped in this process. */
  readonly address: bigint;
  readonly length: number;
  /** The state holds flows of an earlier process. */
  readonly recovered: boolean;
}

/** To the worker, instead: it is not needed. */
export interface Leave {
  readonly kind: "leave";
}

export type ToWorker = Load | Start | Leave;

/** From the worker. */
export type FromWorker =
  /** It routes. */
  | { readonly kind: "ready" }
  /** A line for people. */
  | { readonly kind: "log"; readonly line: string }
  /** It has stopped, as it was told. */
  | { readonly kind: "stopped" }
  /** It cannot go on. */
  | { readonly kind: "failed"; readonly reason: string };
