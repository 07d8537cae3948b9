/** Weir, as `weir run` starts it. */
import { ROOT, weirArgs } from "../../netns/lab.ts";
import { type Contender, processRouter } from "../contender.ts";

export const weir: Contender = {
  name: "weir",
  title: "Weir",
  needs: [],
  mostFlows: Infinity,
  warms: true,
  async start(stage, { rules, flows }) {
    const env = {
      WEIR_BENCH_RULES: stage.lab.write("rules.v4", rules),
      WEIR_BENCH_FLOWS: String(Math.max(flows, 262144)),
    };
    const config = `${ROOT}tests/bench/contenders/weir_config.ts`;
    const process = stage.spawnRouter("", [Deno.execPath(), ...weirArgs(["run", config])], env);
    await process.waitFor(/^weir: ready/m, 30_000);
    return processRouter(process);
  },
};
