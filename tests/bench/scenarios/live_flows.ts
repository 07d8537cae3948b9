/** Packets spread at random over many established flows: what the size of the table costs, in time and in memory. */
import { known, type Measure, type Sample, type Scenario, warm, withoutTables } from "../scenario.ts";
import type { Stage } from "../stage.ts";

const COUNTS = [1_000, 100_000, 1_000_000];
const [FEW] = COUNTS, MANY = COUNTS.at(-1)!;
/** Flows that come beside those that are counted. */
const ROOM = 1.02;
const said = (count: number) => count.toLocaleString("en-US");

/** Opens flows `from` … `to`−1, in portions, so that a slow contender is told from one that hangs. */
async function open(stage: Stage, protocol: string, from: number, to: number): Promise<void> {
  for (let first = from; first < to; first += 100_000) {
    await stage.openFlows(Math.min(100_000, to - first), { first, protocol });
  }
}

export const liveFlows: Scenario = {
  name: "live_flows",
  about: "64-byte packets over 1,000, 100,000 and 1,000,000 established flows; bytes per flow of UDP and TCP",
  measures: [
    ...COUNTS.flatMap((count): Measure[] => [
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
          targets: count === MANY ? [{ most: 384 }] : [],
        },
      ],
    ]),
    {
      key: "tcpBytes",
      title: `memory per TCP flow, ${said(MANY)} flows`,
      unit: "bytes",
      targets: [{ most: 384 }],
    },
  ],
  limit: 180,
  partly: (contender) =>
    contender.mostFlows > MANY * ROOM
      ? null
      : `this machine allows ${
        said(contender.mostFlows)
      } flows (nf_conntrack_max), and a namespace cannot change that`,
  leftOut: withoutTables,
  async run(contender, { start, seconds }) {
    const sample: Sample = {};
    const counts = COUNTS.filter((count) => count * ROOM < contender.mostFlows);
    const setting = { flows: Math.ceil(counts.at(-1)! * ROOM) + 1000 };
    await using stage = await start(contender, setting);
    await open(stage, "udp", 0, FEW);
    await warm(contender, stage);
    const memory = stage.router.memory();
    let there = FEW, few = NaN;
    for (const count of counts) {
      await open(stage, "udp", there, count);
      there = count;
      const { rate, cpu } = await stage.blast({ flows: count, order: "random", seconds });
      if (count === FEW) few = cpu;
      const bytes = memory === null ? null : (stage.router.memory()! - memory) / (count - FEW);
      Object.assign(
        sample,
        known({ [`rate${count}`]: rate / 1e3, [`cpu${count}`]: cpu }),
        count === FEW ? {} : known({ [`ratio${count}`]: cpu / few, [`bytes${count}`]: bytes }),
      );
    }
    // The kernel keeps the memory of flows that have ended, so a second million shows nothing of what it takes.
    if (memory === null || there < MANY || stage.router.process === null) return sample;
    await stage[Symbol.asyncDispose]();
    await using other = await start(contender, setting);
    await open(other, "tcp", 0, FEW);
    await warm(contender, other);
    const before = other.router.memory()!;
    await open(other, "tcp", FEW, MANY);
    return { ...sample, tcpBytes: (other.router.memory()! - before) / (MANY - FEW) };
  },
};
