/**
 * What `conntrack -E` says while the oracle's cases run, and scenarios drawn by chance, beside what `weir conntrack -E`
 * says: the same lines for every flow and every expectation, in the same order.
 */
import { assertAlike } from "./ask.ts";
import { CASES } from "./cases/mod.ts";
import { kernelAvailable } from "./kernel.ts";
import { RANDOM_KINDS, randomScenario } from "./random.ts";

const SEEDS = 4;
const LISTENERS = [[], ["expect"]];

for (const { id, scenario, slow } of CASES) {
  if (slow) continue; // Real seconds; the cases of their own below wait, too.
  Deno.test({
    name: `conntrack -E says the same of ${id}`,
    ignore: !kernelAvailable(),
    fn: () => assertAlike({ ...scenario, listeners: LISTENERS }),
  });
}

for (const kind of Object.keys(RANDOM_KINDS)) {
  Deno.test({
    name: `conntrack -E says the same of random ${kind}`,
    ignore: !kernelAvailable(),
    fn: () => {
      for (let seed = 1; seed <= SEEDS; seed++) {
        assertAlike({ ...randomScenario(kind, seed), listeners: LISTENERS }, `seed ${seed}`);
      }
    },
  });
}
