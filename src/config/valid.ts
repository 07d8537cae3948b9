/**
 * A configuration that has been checked: what the router is built from. Nothing in it is judged again.
 *
 * @module
 */
import type { ConntrackHelper } from "../conntrack/helper.ts";
import type { RouteSpec } from "../routing/fib.ts";
import type { Sysctl } from "../sysctl.ts";
import type { SetSpec } from "../sets/spec.ts";
import type { RuleSet } from "../tables/entry.ts";
import type { TimeoutPolicy } from "../tables/timeouts.ts";
import type { Problem } from "./problems.ts";

/** The other side of an interface. */
export interface ValidPeer {
  readonly netns: string;
  readonly addresses: readonly string[];
  readonly routes: readonly string[];
}

/** One interface. */
export interface ValidInterface {
  /** Its index within the router, from 1 in the order of the configuration. */
  readonly index: number;
  /** The key in `interfaces`: what rules and routes call it. */
  readonly name: string;
  /** The name of its device. */
  readonly device: string;
  /** Addresses with prefix lengths. */
  readonly addresses: readonly string[];
  readonly mtu: number;
  /** Offer offloads to the device. */
  readonly offload: boolean;
  readonly peer: ValidPeer | null;
}

/** The device that carries Weir's own addresses. */
export interface ValidHost {
  readonly device: string;
  /** Null: the namespace that Weir runs in. */
  readonly netns: string | null;
}

/** A checked configuration. */
export interface ValidConfig {
  /** In index order: the first has index 1. */
  readonly interfaces: readonly ValidInterface[];
  /** Null: Weir answers for its addresses itself. */
  readonly host: ValidHost | null;
  /** Routes beside the connected ones. */
  readonly routes: readonly RouteSpec[];
  /** In the order of the configuration. */
  readonly helpers: readonly ConntrackHelper[];
  /** Timeout policies that rules may name, in the order of the configuration. */
  readonly timeouts: readonly TimeoutPolicy[];
  /** Sets by name. */
  readonly sets: ReadonlyMap<string, SetSpec>;
  /** Threads that route. */
  readonly workers: number;
  /** All knobs, set or not. */
  readonly sysctl: Sysctl;
  /** The tables of both families. */
  readonly rules: { readonly ipv4: RuleSet; readonly ipv6: RuleSet };
  /** Whether packets of a family are tracked: some rule of it asks about flows, or a helper is listed. */
  readonly tracking: { readonly ipv4: boolean; readonly ipv6: boolean };
  /** Counter slots of all tables together, two numbers each. */
  readonly counters: number;
  /** What is allowed but looks like a mistake. */
  readonly warnings: readonly Problem[];
}
