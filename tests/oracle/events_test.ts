/**
 * What `conntrack -E` says while the oracle's cases run, beside what `weir conntrack -E` says: the same lines for every
 * flow and every expectation, in the same order.
 */
import { assertAlike } from "./ask.ts";
import { CASES } from "./cases/mod.ts";
import { kernelAvailable } from "./kernel.ts";

const LISTENERS = [[], ["expect"]];

for (const { id, scenario, slow } of CASES) {
  if (slow) continue; // Real seconds; the cases of their own below wait, too.
  Deno.test({
    name: `conntrack -E says the same of ${id}`,
    ignore: !kernelAvailable(),
    fn: () => assertAlike({ ...scenario, listeners: LISTENERS }),
  });
}
