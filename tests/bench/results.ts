/** What a run of the benchmark leaves: raw samples, and all that is needed to read them. */
import type { Sample } from "./scenario.ts";
import { PINNED } from "./stage.ts";

/** One scenario. */
export interface ScenarioResults {
  /** By contender: one sample per round, null for a round that failed. */
  readonly samples: Record<string, (Sample | null)[]>;
  /** By contender: why it was not asked. */
  readonly leftOut: Record<string, string>;
  /** By contender: why some of its measures are missing. */
  readonly partly: Record<string, string>;
  /** By contender: what went wrong. */
  readonly failed: Record<string, string[]>;
}

/** A whole run. */
export interface Results {
  readonly date: string;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memory: string;
    readonly kernel: string;
    readonly deno: string;
    /** Its load average when the run began: what others did. */
    readonly load: number;
  };
  readonly pinned: string;
  readonly rounds: number;
  readonly seconds: number;
  /** Contenders that are not installed. */
  readonly missing: Record<string, string>;
  readonly scenarios: Record<string, ScenarioResults>;
}

/** Of a run that begins on this machine now. */
export function newResults(rounds: number, seconds: number, missing: Record<string, string>): Results {
  const cpu = /^model name\s*:\s*(.*)$/m.exec(Deno.readTextFileSync("/proc/cpuinfo"))?.[1] ?? Deno.build.arch;
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: {
      cpu,
      cores: navigator.hardwareConcurrency,
      memory: `${Math.round(Deno.systemMemoryInfo().total / 2 ** 30)} GiB`,
      kernel: Deno.osRelease(),
      deno: Deno.version.deno,
      load: Deno.loadavg()[0],
    },
    pinned: PINNED === null
      ? "nothing is pinned"
      : `router on core ${PINNED.router}, generators and programs on core ${PINNED.traffic}; ` +
        "Linux forwards on the core where the packet was sent, so its CPU time is only in that of all",
    rounds,
    seconds,
    missing,
    scenarios: {},
  };
}
