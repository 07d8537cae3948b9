/** What a router's process holds, fresh and with 10,000 flows. */
import type { Contender } from "../contender.ts";
import { known, type Scenario } from "../scenario.ts";

const FLOWS = 10_000;

const withoutFlows = (contender: Contender) => contender.name === "floor" || contender.mostFlows < FLOWS;

export const memory: Scenario = {
  name: "memory",
  about: "resident memory, fresh and with 10,000 flows",
  measures: [
    { key: "fresh", title: "resident memory, fresh", unit: "MB" },
    { key: "flows", title: "resident memory, 10,000 flows", unit: "MB" },
  ],
  limit: 30,
  leftOut: (contender) => contender.name === "kernel" ? "no process" : null,
  partly: (contender) => withoutFlows(contender) ? "no flows that a raw generator could open" : null,
  async run(contender, { start }) {
    await using stage = await start(contender);
    const resident = () => (stage.router.memory() ?? NaN) / 1e6;
    const fresh = resident();
    if (withoutFlows(contender)) return known({ fresh });
    await stage.openFlows(FLOWS);
    return known({ fresh, flows: resident() });
  },
};
