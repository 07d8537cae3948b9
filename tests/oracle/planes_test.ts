/** Several data planes of one router answer as one: every case, and scenarios drawn by chance. */
import { assertEquals } from "@std/assert";
import { CASES } from "./cases/mod.ts";
import { RANDOM_KINDS, randomScenario } from "./random.ts";
import type { Scenario } from "./scenario.ts";
import { askWeir } from "./weir.ts";

const SEEDS = 12;

function agree(scenario: Scenario, name: string): void {
  const alone = askWeir(scenario), together = askWeir(scenario, 3);
  assertEquals(together, alone, name);
}

Deno.test("three data planes answer every case as one", () => {
  for (const { id, scenario } of CASES) agree(scenario, id);
});

for (const kind of Object.keys(RANDOM_KINDS)) {
  Deno.test(`three data planes answer random ${kind} as one`, () => {
    for (let seed = 1; seed <= SEEDS; seed++) agree(randomScenario(kind, seed), `seed ${seed}`);
  });
}
