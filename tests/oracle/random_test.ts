/**
 * Scenarios drawn by chance, asked of Linux and of Weir. `-- --seeds 100` asks more of them, `-- --seed 7` that one.
 */
import { assertAlike } from "./ask.ts";
import { kernelAvailable } from "./kernel.ts";
import { RANDOM_KINDS, randomScenario } from "./random.ts";

function option(name: string): number | undefined {
  const at = Deno.args.indexOf(name);
  return at < 0 ? undefined : Number(Deno.args[at + 1]);
}
const only = option("--seed"), count = option("--seeds") ?? 8;
const seeds = only === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [only];

for (const kind of Object.keys(RANDOM_KINDS)) {
  Deno.test({
    name: `${kind === "rules" ? "B06 " : ""}random ${kind} end alike in Linux and in Weir`,
    ignore: !kernelAvailable(),
    fn() {
      for (const seed of seeds) assertAlike(randomScenario(kind, seed), `seed ${seed}`);
    },
  });
}
