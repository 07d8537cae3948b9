/** The same packets, tracked and translated to one port, and exempt from tracking to another. */
import { known, type Scenario, warm, withoutTables } from "../scenario.ts";

export const notrack: Scenario = {
  name: "notrack",
  about: "packets under NOTRACK beside tracked ones",
  measures: [
    { key: "tracked", title: "tracked packets", unit: "k/s" },
    { key: "untracked", title: "packets under NOTRACK", unit: "k/s" },
    { key: "trackedCpu", title: "CPU of the router per tracked packet", unit: "µs" },
    { key: "untrackedCpu", title: "CPU of the router per packet under NOTRACK", unit: "µs" },
    { key: "ratio", title: "CPU, NOTRACK ÷ tracked", unit: "", targets: [{ most: 1 }] },
  ],
  limit: 30,
  leftOut: withoutTables,
  async run(contender, { start, seconds }) {
    await using stage = await start(contender);
    await stage.openFlows(64);
    await warm(contender, stage);
    if (contender.warms) await stage.blast({ flows: 64, dport: 9, seconds: 0.3 });
    const tracked = await stage.blast({ flows: 64, seconds });
    const untracked = await stage.blast({ flows: 64, dport: 9, seconds });
    return known({
      tracked: tracked.rate / 1e3,
      untracked: untracked.rate / 1e3,
      trackedCpu: tracked.cpu,
      untrackedCpu: untracked.cpu,
      ratio: untracked.cpu / tracked.cpu,
    });
  },
};
