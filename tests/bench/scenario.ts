/** What is measured of a contender. */
import type { Contender, Setting } from "./contender.ts";
import { rules } from "./rules.ts";
import type { Stage } from "./stage.ts";

/** What a measured value has to reach: beside another contender's in the same round, or by itself. */
export interface Target {
  readonly beside?: "floor" | "kernel";
  readonly least?: number;
  readonly most?: number;
}

/** One row of the table. */
export interface Measure {
  readonly key: string;
  readonly title: string;
  readonly unit: string;
  readonly targets?: readonly Target[];
}

/** One start of a contender: values by measure. */
export type Sample = Record<string, number>;

/** How a scenario is run. */
export interface Run {
  /** Seconds for one measurement. */
  readonly seconds: number;
  /** Folder of our own tools, compiled. */
  readonly tools: string;
  /** Aborted when time is over: ends what runs in no lab. */
  readonly signal: AbortSignal;
  /** A fresh stage with the contender started in it. */
  start(contender: Contender, setting?: Partial<Setting>): Promise<Stage>;
  /** A fresh stage without a router. */
  open(): Promise<Stage>;
}

/** One file per scenario, in scenarios/. */
export interface Scenario {
  readonly name: string;
  /** One line for --help. */
  readonly about: string;
  readonly measures: readonly Measure[];
  /** Seconds after which a run has failed, beside those that it measures. */
  readonly limit: number;
  /** One round is enough. */
  readonly once?: true;
  /** Why some of its measures are not a contender's, in words. */
  partly?(contender: Contender): string | null;
  /** Why a contender cannot be asked; null if it can. */
  leftOut(contender: Contender): string | null;
  run(contender: Contender, run: Run): Promise<Sample>;
}

/** Setting of a scenario that says nothing else. */
export const USUAL: Setting = { rules: rules(), flows: 200_000 };

/** For scenarios of raw packets: slirp4netns turns them into sockets. */
export function socketsOnly(contender: Contender): string | null {
  return contender.name.startsWith("slirp") ? "sockets are forwarded, not packets" : null;
}

/** For scenarios that compare costs inside of one contender. */
export function withoutTables(contender: Contender): string | null {
  return contender.name === "floor" ? "no flows and no rules" : socketsOnly(contender);
}

/** Compilers and caches settle, where a contender has such. */
export async function warm(contender: Contender, stage: Stage): Promise<void> {
  if (contender.warms) await stage.blast({ flows: 64, seconds: 0.7 });
}

/** A number of the router's own process; nothing where it has none. */
export function known(sample: Record<string, number | null>): Sample {
  return Object.fromEntries(
    Object.entries(sample).filter((entry): entry is [string, number] => Number.isFinite(entry[1] ?? NaN)),
  );
}
