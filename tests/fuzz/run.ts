/**
 * `deno task fuzz --seed S --scenarios N`: random rules and conversations through Linux and Weir, side by side.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { print } from "../../src/cli/output.ts";
import { kernelAvailable } from "../oracle/kernel.ts";
import { run } from "./lockstep.ts";
import { makePlan } from "./plan.ts";

const HELP = `Random rules and conversations through Linux and Weir, side by side (root).

  deno task fuzz --seed 1 --scenarios 100
  deno task fuzz --seed 42 --packets 2000 --only ftp --valid

  --seed S        where chance begins (1)
  --scenarios N   how many scenarios, with seeds S, S+1, … (20)
  --packets N     packets of each (1000)
  --only KIND     only conversations of this kind
  --valid         no mutations
  --no-shrink     do not make failing cases small
  --trace         show every packet
  --out DIR       where failing cases are kept`;

function main(args: readonly string[]): number {
  const o = parseArgs([...args], {
    string: ["seed", "scenarios", "packets", "only", "out"],
    boolean: ["help", "valid", "shrink", "trace"],
    negatable: ["shrink"],
    default: { seed: "1", scenarios: "20", packets: "1000", shrink: true },
  });
  if (o.help) return print(HELP), 0;
  if (!kernelAvailable()) return print("fuzz needs root, TUN devices, iptables and conntrack"), 1;
  let packets = 0, failed = 0;
  for (let i = 0; i < Number(o.scenarios); i++) {
    const seed = Number(o.seed) + i;
    const plan = makePlan({ seed, packets: Number(o.packets), only: o.only, valid: o.valid });
    const result = run(plan, seed, o.trace ? print : undefined);
    packets += result.packets;
    if (result.difference === null) continue;
    failed++;
    print(`seed ${seed}: ${result.difference.kind}`);
    print(result.difference.report.join("\n"));
  }
  print(`${packets} packets, ${failed} differences`);
  return failed === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(main(Deno.args));
