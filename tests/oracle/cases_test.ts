/**
 * Every case is asked of Linux (or of what Linux once said) and of Weir, and the answers are compared.
 *
 * `deno test -A tests/oracle/cases_test.ts -- --record` keeps the kernel's answers of all cases, slow ones included.
 */
import { CASES } from "./cases/mod.ts";
import { compare } from "./compare.ts";
import { askKernel, kernelAvailable, kernelVersion } from "./kernel.ts";
import { record, recorded } from "./recorded.ts";
import { View } from "./view.ts";

const recording = Deno.args.includes("--record");
if (recording && !kernelAvailable()) {
  throw new Error("--record needs root, TUN devices, iptables and conntrack");
}

for (const { id, says, scenario, slow, expect } of CASES) {
  Deno.test(`${id} ${says}`, () => {
    const kept = recording ? null : recorded(id);
    const live = kernelAvailable() && (!slow || recording);
    if (!live && kept === null) throw new Error(`no kernel to ask, and nothing recorded`);
    const linux = live ? askKernel(scenario) : kept!.answer;
    expect(new View(scenario, linux));
    if (recording) record(id, kernelVersion(), linux);
    if (live && kept !== null && kept.kernel === kernelVersion()) {
      const changed = compare(scenario, kept.answer, linux);
      if (changed.length) throw new Error(`this kernel once said otherwise:\n${changed.join("\n")}`);
    }
  });
}
