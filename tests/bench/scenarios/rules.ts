/** Rules in FORWARD that no packet matches, before the ones that do; for packets of established and of new flows. */
import { known, type Measure, type Sample, type Scenario, warm, withoutTables } from "../scenario.ts";
import { rules as text } from "../rules.ts";

const COUNTS = [10, 1_000, 10_000];
const [FEW] = COUNTS;
const KINDS = ["established", "new"] as const;
const NEW_FLOWS = 150_000;
const said = (count: number) => count.toLocaleString("en-US");

export const rules: Scenario = {
  name: "rules",
  about: "10, 1,000 and 10,000 rules that do not match; established and new flows",
  measures: KINDS.flatMap((kind) =>
    COUNTS.flatMap((count): Measure[] => [
      { key: `${kind}${count}`, title: `packets of ${kind} flows, ${said(count)} rules`, unit: "k/s" },
      ...count === FEW ? [] : [
        { key: `${kind}Rate${count}`, title: `rate, ${kind}, ${said(count)} ÷ ${FEW} rules`, unit: "" },
        {
          key: `${kind}Cpu${count}`,
          title: `CPU, ${kind}, ${said(count)} ÷ ${FEW} rules`,
          unit: "",
          targets: count === 10_000 ? [{ most: 1.1 }] : [],
        },
      ],
    ])
  ),
  limit: 90,
  leftOut: (contender) =>
    contender.name === "ovs" ? "its rules are not lists of iptables" : withoutTables(contender),
  async run(contender, { start, seconds }) {
    const sample: Sample = {};
    const few = { established: { rate: NaN, cpu: NaN }, new: { rate: NaN, cpu: NaN } };
    for (const count of COUNTS) {
      await using stage = await start(contender, { rules: text(count), flows: 2 * NEW_FLOWS });
      await stage.openFlows(64);
      await warm(contender, stage);
      const first = { dport: 7000, flows: NEW_FLOWS };
      if (contender.warms) await stage.blast({ ...first, first: NEW_FLOWS, count: 20_000, seconds });
      for (const kind of KINDS) {
        const { rate, cpu } = await stage.blast(
          kind === "new" ? { ...first, count: NEW_FLOWS, seconds } : { flows: 64, seconds },
        );
        if (count === FEW) few[kind] = { rate, cpu };
        sample[`${kind}${count}`] = rate / 1e3;
        if (count === FEW) continue;
        Object.assign(
          sample,
          known({
            [`${kind}Rate${count}`]: rate / few[kind].rate,
            [`${kind}Cpu${count}`]: cpu / few[kind].cpu,
          }),
        );
      }
    }
    return sample;
  },
};
