/**
 * 50,000 packets of random conversations through random rules, in Linux and in Weir at the same time: the same bytes
 * after every packet, the same counters, flows and expectations at the end. `deno task fuzz` goes on from here.
 */
import { assert, assertEquals } from "@std/assert";
import { print } from "../../src/cli/output.ts";
import { kernelAvailable } from "../oracle/kernel.ts";
import { describePlan, readPlan, writePlan } from "./found.ts";
import { run } from "./lockstep.ts";
import { makePlan, type PlanOptions } from "./plan.ts";
import { series, summaryLine } from "./run.ts";
import { shrink } from "./shrink.ts";

const ignore = !kernelAvailable();
if (ignore) print("fuzz tests are left out: they need root, TUN devices, iptables and conntrack");

/** Runs a series, and shows a small case of the first difference. */
function agree(o: PlanOptions & { scenarios: number }): number {
  let report = "";
  const begin = performance.now();
  const summary = series(o, (plan, seed, difference) => {
    const small = shrink(plan, difference, seed, 400), trace: string[] = [];
    run(small.plan, seed, (line) => trace.push(line));
    report = `seed ${seed}\n${describePlan(small.plan, trace, small.difference)}`;
    return false;
  });
  if (report !== "") throw new Error(report);
  print(summaryLine(summary, (performance.now() - begin) / 1000));
  // Not more than a few may be blamed on chance.
  assert(summary.chance <= Math.max(2, o.scenarios / 20), `${summary.chance} differences did not come again`);
  return summary.packets;
}

Deno.test({
  name: "fuzz: valid conversations end alike in Linux and in Weir",
  ignore,
  fn: () => assert(agree({ seed: 1, scenarios: 20, packets: 1000, valid: true }) >= 19_000),
});

Deno.test({
  name: "fuzz: mutated conversations end alike in Linux and in Weir",
  ignore,
  fn: () => assert(agree({ seed: 101, scenarios: 34, packets: 1000 }) >= 31_000),
});

const FOUND = [...Deno.readDirSync(new URL("./found/", import.meta.url))].map(({ name }) => name).sort();
for (const name of FOUND) {
  Deno.test({
    name: `fuzz: what was found once: ${name.replace(".json", "").replaceAll("-", " ")}`,
    ignore,
    fn() {
      const { difference } = run(
        readPlan(Deno.readTextFileSync(new URL(`./found/${name}`, import.meta.url))),
        1,
      );
      if (difference !== null) throw new Error(difference.report.join("\n"));
    },
  });
}

Deno.test("fuzz: the same seed makes the same plan, and a plan that was kept is the same when it is read", () => {
  const make = () => makePlan({ seed: 5, packets: 300 });
  assertEquals(writePlan(make()), writePlan(make()));
  const { steps, ...rest } = make(), { steps: read, ...again } = readPlan(writePlan({ steps, ...rest }));
  assertEquals(again, rest);
  assertEquals(read.map((s) => [...s.bytes].join()), steps.map((s) => [...s.bytes].join()));
  assertEquals(
    read.map(({ bytes: _, ...s }) => s),
    JSON.parse(JSON.stringify(steps.map(({ bytes: _, ...s }) => s))),
  );
});

Deno.test("fuzz: a quarter of the packets at least belong to FTP sessions", () => {
  let ftp = 0, all = 0;
  for (let seed = 1; seed <= 10; seed++) {
    const { steps } = makePlan({ seed, packets: 1000 });
    const controls = new Set(steps.filter((s) => s.dial !== undefined).map((s) => s.dial));
    ftp += steps.filter((s) =>
      controls.has(s.talk) || s.dial !== undefined || controls.has(s.talk - s.talk % 6)
    ).length;
    all += steps.length;
  }
  assert(ftp * 4 >= all, `${ftp} of ${all}`);
});

Deno.test({
  name: "fuzz: a difference is found and made small",
  ignore,
  fn() {
    const plan = makePlan({ seed: 3, packets: 60, valid: true });
    // What Linux gets and Weir does not: the judge has to see it.
    const broken = { ...plan, iptables: plan.iptables.replace("*mangle\n", "*mangle\n:spare - [0:0]\n") };
    assertEquals(run(broken, 3).difference, null);
    const lied = {
      ...plan,
      onlyLinux: "*mangle\n-A PREROUTING -j TTL --ttl-set 9\n-A PREROUTING -j MARK --set-mark 1\nCOMMIT\n",
    };
    const found = run(lied, 3).difference;
    assert(found !== null, "not seen");
    const small = shrink(lied, found, 3, 400);
    assert(small.plan.steps.length <= 2, `${small.plan.steps.length} packets left`);
  },
});
