/** Packets spread at random over many established flows: what the size of the table costs, in time and in memory. */
import { known, type Measure, type Sample, type Scenario, warm, withoutTables } from "../scenario.ts";

const COUNTS = [1_000, 100_000, 1_000_000];
const [FEW] = COUNTS;
/** Flows that come beside those that are counted. */
const ROOM = 1.02;
const said = (count: number) => count.toLocaleString("en-US");

export const liveFlows: Scenario = {
  name: "live_flows",
  about: "64-byte packets over 1,000, 100,000 and 1,000,000 established flows; bytes per flow",
  measures: COUNTS.flatMap((count): Measure[] => [
    { key: `rate${count}`, title: `packets over ${said(count)} flows`, unit: "k/s" },
    { key: `cpu${count}`, title: `CPU of the router per packet over ${said(count)} flows`, unit: "µs" },
    ...count === FEW ? [] : [
      {
        key: `ratio${count}`,
        title: `CPU, ${said(count)} ÷ ${said(FEW)} flows`,
        unit: "",
      },
      {
        key: `bytes${count}`,
        title: `memory per flow, ${said(count)} flows`,
        unit: "bytes",
        targets: count === 1_000_000 ? [{ most: 384 }] : [],
      },
    ],
  ]),
  limit: 120,
  partly: (contender) =>
    contender.mostFlows > COUNTS.at(-1)! * ROOM
      ? null
      : `this machine allows ${
        said(contender.mostFlows)
      } flows (nf_conntrack_max), and a namespace cannot change that`,
  leftOut: withoutTables,
  async run(contender, { start, seconds }) {
    const sample: Sample = {};
    const counts = COUNTS.filter((count) => count * ROOM < contender.mostFlows);
    await using stage = await start(contender, { flows: Math.ceil(counts.at(-1)! * ROOM) + 1000 });
    await stage.openFlows(FEW);
    await warm(contender, stage);
    const memory = stage.router.memory();
    let open = FEW, few = NaN;
    for (const count of counts) {
      // In portions, so that a slow contender is told from one that hangs.
      for (; open < count; open += 100_000) {
        await stage.openFlows(Math.min(100_000, count - open), { first: open });
      }
      open = count;
      const { rate, cpu } = await stage.blast({ flows: count, order: "random", seconds });
      if (count === FEW) few = cpu;
      const bytes = memory === null ? null : (stage.router.memory()! - memory) / (count - FEW);
      Object.assign(
        sample,
        known({ [`rate${count}`]: rate / 1e3, [`cpu${count}`]: cpu }),
        count === FEW ? {} : known({ [`ratio${count}`]: cpu / few, [`bytes${count}`]: bytes }),
      );
    }
    return sample;
  },
};
