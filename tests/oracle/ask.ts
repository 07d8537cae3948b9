/**
 * Linux and Weir asked side by side.
 *
 * Linux draws ports and identifications by chance, and its clock runs while the machine does something else; once in
 * many thousand packets that alone makes a difference. So one is believed only when it comes each time.
 *
 * @module
 */
import { compare } from "./compare.ts";
import { askKernel } from "./kernel.ts";
import type { Scenario } from "./scenario.ts";
import { askWeir } from "./weir.ts";

/** How often a difference has to come. */
const TIMES = 3;

/** Asks until it goes well, at most `TIMES` times; throws what was wrong the last time. */
export function believed(ask: () => void): void {
  for (let n = 1;; n++) {
    try {
      return ask();
    } catch (error) {
      if (n === TIMES) throw error;
    }
  }
}

/** Throws the differences between Linux's answer and Weir's. */
export function assertAlike(scenario: Scenario, says = "Linux and Weir differ"): void {
  believed(() => {
    const differences = compare(scenario, askKernel(scenario), askWeir(scenario));
    if (differences.length > 0) throw new Error(`${says}:\n${differences.join("\n")}`);
  });
}
