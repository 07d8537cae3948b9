/**
 * Finding a flow among few and among many, without a device and without a packet; and beside it what memory alone
 * costs, in C: beyond the caches that is nearly all.
 */
import { FLOW_WORDS } from "../../../src/conntrack/flow.ts";
import type { Measure, Sample, Scenario } from "../scenario.ts";

const COUNTS = [1_000, 100_000, 1_000_000];
const said = (count: number) => count.toLocaleString("en-US");
/** Bytes of the index per flow. */
const INDEX = 32;

export const lookup: Scenario = {
  name: "lookup",
  about: "time to find a flow among 1,000, 100,000 and 1,000,000 at random; C floor: two reads at random",
  measures: [
    ...COUNTS.flatMap((count): Measure[] => [
      { key: `ns${count}`, title: `lookup among ${said(count)} flows, one by one`, unit: "ns" },
      {
        key: `together${count}`,
        title: `lookup among ${said(count)} flows, 32 packets together`,
        unit: "ns",
      },
    ]),
    { key: "ratio", title: "lookup, 1,000,000 ÷ 1,000 flows, one by one", unit: "", targets: [{ most: 3 }] },
    {
      key: "ratioTogether",
      title: "lookup, 1,000,000 ÷ 1,000 flows, 32 packets together",
      unit: "",
      targets: [{ most: 3 }],
    },
  ],
  limit: 60,
  leftOut: (contender) =>
    contender.name === "weir" || contender.name === "floor" ? null : "no table that can be asked alone",
  async run(contender, { tools, signal }) {
    const [program, ...args] = contender.name === "floor"
      ? [`${tools}/reads`, `index=${INDEX}`, `record=${FLOW_WORDS * 4}`]
      : [Deno.execPath(), "run", "-A", "--no-prompt", `${import.meta.dirname}/../lookup.ts`];
    const { success, stdout, stderr } = await new Deno.Command(program, {
      args: [...args, ...COUNTS.map(String)],
      signal,
      stdin: "null",
    }).output();
    const text = new TextDecoder();
    if (!success) throw new Error(text.decode(stderr));
    const times = text.decode(stdout).trim().split(/\s+/).map(Number);
    // Two for each count from Weir; memory alone has nothing to put together.
    const sample: Sample = {}, each = times.length / COUNTS.length;
    COUNTS.forEach((count, i) => {
      sample[`ns${count}`] = times[i * each];
      if (each > 1) sample[`together${count}`] = times[i * each + 1];
    });
    sample.ratio = times.at(-each)! / times[0];
    if (each > 1) sample.ratioTogether = times.at(-1)! / times[1];
    return sample;
  },
};
