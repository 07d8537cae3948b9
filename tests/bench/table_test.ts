/** Medians, ratios, targets and the pages that are made of them. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { Results } from "./results.ts";
import type { Sample } from "./scenario.ts";
import { SCENARIOS } from "./scenarios/mod.ts";
import { CONTENDERS } from "./contenders/mod.ts";
import { ratios, summary } from "./statistics.ts";
import { fullTable, rowsOf, targetTable } from "./table.ts";

/** A run of the scenario `packets` with these samples. */
function resultsOf(samples: Record<string, (Sample | null)[]>): Results {
  return {
    date: "2026-01-01",
    machine: { cpu: "a processor", cores: 2, memory: "4 GiB", kernel: "6.18", deno: "2.9.6", load: 0.5 },
    pinned: "nothing is pinned",
    rounds: 3,
    seconds: 1,
    missing: { ovs: "not installed: ovs-vswitchd" },
    scenarios: {
      packets: {
        samples,
        leftOut: { slirp1500: "sockets are forwarded, not packets" },
        partly: {},
        failed: { kernel: ["no packet came through", "no packet came through"] },
      },
    },
  };
}

Deno.test("summary takes the middle, or the mean of the two in the middle", () => {
  assertEquals(summary([]), null);
  assertEquals(summary([3, 1, 2]), { median: 2, least: 1, most: 3 });
  assertEquals(summary([4, 1, 2, 3]), { median: 2.5, least: 1, most: 4 });
});

Deno.test("ratios pairs samples of the same round and passes over rounds that one has missed", () => {
  assertEquals(ratios([2, undefined, 9], [1, 1, 3]), [2, 3]);
  assertEquals(ratios([2, 3], [0, undefined]), []);
});

Deno.test("rowsOf judges the median of the ratios of each round, not the ratio of medians", () => {
  // Medians are equal, but Weir was slower in two rounds of three.
  const results = resultsOf({
    weir: [{ rate64: 80 }, { rate64: 100 }, { rate64: 300 }],
    floor: [{ rate64: 100 }, { rate64: 125 }, { rate64: 100 }],
  });
  const [row] = rowsOf(results);
  assertEquals(row.cells.weir?.median, 100);
  assertEquals(row.beside.floor, { median: 0.8, least: 0.8, most: 3 });
  assertEquals(row.judged, [{ text: "≥ 0.85 × C floor", value: 0.8, met: false }]);
});

Deno.test("rowsOf leaves out what nobody has measured, and judges nothing without its own sample", () => {
  const rows = rowsOf(resultsOf({ weir: [null], floor: [{ rate64: 100, cpu64: 1 }] }));
  assertEquals(rows.map((row) => [row.measure.key, row.judged]), [["rate64", []], ["cpu64", []]]);
});

Deno.test("fullTable says why cells are empty, and who was left out", () => {
  const results = resultsOf({ weir: [{ rate64: 90 }, null], floor: [{ rate64: 100 }, { rate64: 100 }] });
  const text = fullTable(results);
  assertStringIncludes(text, "| packets of 64 bytes, k/s | 90.0 | 100 | 0.90 | ≥ 0.85 × C floor | yes |");
  assertStringIncludes(text, "- packets, slirp 1500: sockets are forwarded, not packets\n");
  assertStringIncludes(text, "- packets, Linux: failed: no packet came through\n");
  assertStringIncludes(text, "Left out: OVS (not installed: ovs-vswitchd).");
  assert(!targetTable(results).includes("CPU"), "nothing was measured of it");
});

Deno.test("scenarios have names, keys and contenders that nobody else has", () => {
  const twice = (names: string[]) => names.filter((name, i) => names.indexOf(name) !== i);
  assertEquals(twice(SCENARIOS.map((s) => s.name)), []);
  assertEquals(twice(CONTENDERS.map((c) => c.name)), []);
  for (const { name, measures } of SCENARIOS) assertEquals(twice(measures.map((m) => m.key)), [], name);
  const titles = SCENARIOS.flatMap((s) => s.measures.map((m) => `${m.title} ${m.unit}`));
  assertEquals(twice(titles), []);
});
