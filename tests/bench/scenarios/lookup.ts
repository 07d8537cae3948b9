/** Finding a flow among few and among many, without a device and without a packet. */
import type { Measure, Scenario } from "../scenario.ts";

const COUNTS = [1_000, 100_000, 1_000_000];
const said = (count: number) => count.toLocaleString("en-US");

export const lookup: Scenario = {
  name: "lookup",
  about: "time to find a flow among 1,000, 100,000 and 1,000,000, at random over all of them",
  measures: [
    ...COUNTS.map((count): Measure => ({
      key: `ns${count}`,
      title: `lookup among ${said(count)} flows`,
      unit: "ns",
    })),
    { key: "ratio", title: "lookup, 1,000,000 ÷ 1,000 flows", unit: "", targets: [{ most: 3 }] },
  ],
  limit: 60,
  leftOut: (contender) => contender.name === "weir" ? null : "no table that can be asked alone",
  async run() {
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-prompt", `${import.meta.dirname}/../lookup.ts`, ...COUNTS.map(String)],
      stdin: "null",
    }).output();
    const text = new TextDecoder();
    if (!success) throw new Error(text.decode(stderr));
    const times = JSON.parse(text.decode(stdout)) as number[];
    return {
      ...Object.fromEntries(COUNTS.map((count, i) => [`ns${count}`, times[i]])),
      ratio: times.at(-1)! / times[0],
    };
  },
};
