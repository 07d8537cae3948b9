/**
 * Every case is asked of Linux (or of what Linux once said) and of Weir, and the answers are compared.
 *
 * `deno test -A tests/oracle/cases_test.ts -- --record` asks the kernel about all cases, slow ones included, and keeps
 * the answers that are new or have changed.
 */
import { believed } from "./ask.ts";
import { CASES } from "./cases/mod.ts";
import { compare } from "./compare.ts";
import { askKernel, kernelAvailable, kernelVersion } from "./kernel.ts";
import { record, recorded } from "./recorded.ts";
import { View } from "./view.ts";
import { askWeir } from "./weir.ts";

const recording = Deno.args.includes("--record");
if (recording && !kernelAvailable()) {
  throw new Error("--record needs root, TUN devices, iptables and conntrack");
}

for (const { id, says, scenario, slow, expect } of CASES) {
  const ask = () => {
    const kept = recorded(id);
    const live = kernelAvailable() && (!slow || recording);
    if (!live && kept === null) throw new Error(`no kernel to ask, and nothing recorded`);
    const linux = live ? askKernel(scenario) : kept!.answer;
    expect(new View(scenario, linux));
    const changed = live && kept !== null ? compare(scenario, kept.answer, linux) : [];
    if (recording && (kept === null || changed.length > 0)) record(id, kernelVersion(), linux);
    else if (changed.length > 0 && kept?.kernel === kernelVersion()) {
      throw new Error(`this kernel once said otherwise:\n${changed.join("\n")}`);
    }
    const weir = askWeir(scenario);
    const differences = compare(scenario, linux, weir);
    if (differences.length) throw new Error(`Linux and Weir differ:\n${differences.join("\n")}`);
    expect(new View(scenario, weir));
  };
  Deno.test(`${id} ${says}`, () => believed(ask));
}
