/**
 * `deno task fuzz --seed S --scenarios N`: random rules and conversations through Linux and Weir, side by side.
 *
 * A difference counts when it comes again: what Linux draws at random is drawn anew in every run, so one that depends
 * on two flows drawing the same port, or on a port drawn to one side of a rule's range, is gone in one of the next.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { print } from "../../src/cli/output.ts";
import { kernelAvailable } from "../oracle/kernel.ts";
import { describePlan, readPlan, writePlan } from "./found.ts";
import { type Difference, type Result, run } from "./lockstep.ts";
import { makePlan, type Plan, type PlanOptions } from "./plan.ts";
import { shrink } from "./shrink.ts";
import { KNOBS } from "./weir.ts";

const HELP = `Random rules and conversations through Linux and Weir, side by side (root).

  deno task fuzz --seed 1 --scenarios 100
  deno task fuzz --seed 42 --packets 2000 --only ftp --valid
  deno task fuzz --replay case.json

  --seed S         where chance begins (1)
  --scenarios N    how many scenarios, with seeds S, S+1, … (20)
  --packets N      packets of each (1000)
  --only KIND      only conversations of this kind: tcp, ftp, udp, echo, sctp, rare, fragment, stray,
                   tftp, irc, amanda, too-big
  --valid          no mutations
  --offload        in all of them devices leave checksums unfinished and hand over several segments as one
                   (in every fourth otherwise); --no-offload: in none
  --no-fastpath    every packet goes the long way (weir.fastpath = 0)
  --no-shrink      do not make failing cases small
  --keep-going N   stop after N differences (10)
  --out DIR        where failing cases are kept ($TMPDIR/weir-fuzz)
  --replay FILE    run a case that was kept
  --trace          show every packet`;

/** How often a difference has to come. */
const REPEATS = 6;

/** What a series of scenarios came to. */
export interface Summary {
  packets: number;
  scenarios: number;
  /** Differences that come again, by kind. */
  kinds: Map<string, number>;
  /** Differences that did not come again. */
  chance: number;
  /** Allowed differences by name. */
  allowed: Map<string, number>;
}

/** A difference that comes again, or null. */
export function confirmed(plan: Plan, seed: number, first: Result): Difference | null {
  let difference = first.difference;
  for (let n = 1; n < REPEATS && difference !== null; n++) difference = run(plan, seed + n * 1000).difference;
  return difference;
}

/** Runs scenarios; `failed` hears of each difference, and ends the series by returning false. */
export function series(
  o: PlanOptions & { scenarios: number },
  failed: (plan: Plan, seed: number, difference: Difference) => boolean,
): Summary {
  const summary: Summary = { packets: 0, scenarios: 0, kinds: new Map(), chance: 0, allowed: new Map() };
  for (let seed = o.seed; seed < o.seed + o.scenarios; seed++) {
    const plan = makePlan({ ...o, seed }), result = run(plan, seed);
    summary.scenarios++;
    summary.packets += result.packets;
    for (const [name, n] of result.judge.met) summary.allowed.set(name, (summary.allowed.get(name) ?? 0) + n);
    if (result.difference === null) continue;
    const difference = confirmed(plan, seed, result);
    if (difference === null) {
      summary.chance++;
      continue;
    }
    summary.kinds.set(difference.kind, (summary.kinds.get(difference.kind) ?? 0) + 1);
    if (!failed(plan, seed, difference)) break;
  }
  return summary;
}

/** One line about a series. */
export function summaryLine(s: Summary, seconds: number): string {
  const total = [...s.kinds.values()].reduce((a, b) => a + b, 0);
  const list = (m: ReadonlyMap<string, number>) => [...m].map(([name, n]) => `${name} ${n}`).join(", ");
  const kinds = total === 0 ? "" : ` (${list(s.kinds)})`;
  const rate = Math.round(s.packets / Math.max(seconds, 0.001));
  return `${s.packets} packets in ${s.scenarios} scenarios compared, ${rate}/s; ${total} differences${kinds}; ` +
    `${s.chance} that did not come again; allowed: ${list(s.allowed) || "none"}`;
}

function report(plan: Plan, seed: number, difference: Difference, file: string): void {
  const trace: string[] = [];
  run(plan, seed, (line) => trace.push(line));
  print(describePlan(plan, trace, difference));
  print(`kept in ${file}\n`);
}

/** What was said of offloads, if anything. */
function offloadAsked(args: readonly string[]): boolean | undefined {
  return args.includes("--offload") ? true : args.includes("--no-offload") ? false : undefined;
}

function main(args: readonly string[]): number {
  const o = parseArgs([...args], {
    string: ["seed", "scenarios", "packets", "only", "out", "replay", "keep-going"],
    boolean: ["help", "valid", "shrink", "trace", "fastpath", "offload"],
    negatable: ["shrink", "fastpath", "offload"],
    default: {
      seed: "1",
      scenarios: "20",
      packets: "1000",
      "keep-going": "10",
      shrink: true,
      fastpath: true,
    },
  });
  if (o.help) return print(HELP), 0;
  if (!kernelAvailable()) return print("fuzz needs root, TUN devices, iptables and conntrack"), 1;
  if (!o.fastpath) KNOBS["weir.fastpath"] = 0;
  const seed = Number(o.seed), offload = offloadAsked(args);
  if (o.replay !== undefined || o.trace) {
    const options = { seed, packets: Number(o.packets), only: o.only, valid: o.valid, offload };
    const plan = o.replay === undefined ? makePlan(options) : readPlan(Deno.readTextFileSync(o.replay));
    const { difference } = run(plan, seed, print);
    print(difference === null ? "no difference" : difference.report.join("\n"));
    return difference === null ? 0 : 1;
  }
  const out = o.out ?? `${Deno.env.get("TMPDIR") ?? "/tmp"}/weir-fuzz`;
  let left = Number(o["keep-going"]);
  const begin = performance.now();
  const summary = series(
    {
      seed,
      scenarios: Number(o.scenarios),
      packets: Number(o.packets),
      only: o.only,
      valid: o.valid,
      offload,
    },
    (plan, at, difference) => {
      print(`── seed ${at}: ${difference.kind}`);
      const small = o.shrink ? shrink(plan, difference, at) : { plan, difference };
      Deno.mkdirSync(out, { recursive: true });
      const file = `${out}/seed-${at}.json`;
      Deno.writeTextFileSync(file, writePlan(small.plan, small.difference));
      if (o.shrink) report(small.plan, at, small.difference, file);
      else print(`${difference.report.join("\n")}\nkept in ${file}\n`);
      return --left > 0;
    },
  );
  print(summaryLine(summary, (performance.now() - begin) / 1000));
  return summary.kinds.size === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(main(Deno.args));
