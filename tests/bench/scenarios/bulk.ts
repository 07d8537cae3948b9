/** Bulk TCP through iperf3, both ways, with one flow and with eight. */
import { WAN } from "../addresses.ts";
import { known, type Measure, type Sample, type Scenario } from "../scenario.ts";
import type { Stage } from "../stage.ts";

const VARIANTS = [
  { key: "out1", title: "bulk TCP, 1 flow, lan to wan", args: ["-P", "1"] },
  { key: "in1", title: "bulk TCP, 1 flow, wan to lan", args: ["-P", "1", "-R"] },
  { key: "out8", title: "bulk TCP, 8 flows, lan to wan", args: ["-P", "8"] },
  { key: "in8", title: "bulk TCP, 8 flows, wan to lan", args: ["-P", "8", "-R"] },
];

const TARGETS = [{ beside: "floor", least: 1 }, { beside: "kernel", least: 0.9 }] as const;

export const bulk: Scenario = {
  name: "bulk",
  about: "bulk TCP through iperf3, both ways, 1 and 8 flows",
  measures: [
    ...VARIANTS.map(({ key, title }): Measure => ({ key, title, unit: "Gbit/s", targets: TARGETS })),
    { key: "cpu", title: "CPU of the router, bulk", unit: "s/GB" },
  ],
  limit: 40,
  leftOut: () => null,
  async run(contender, { start, seconds }) {
    await using stage = await start(contender);
    const server = stage.spawn("wan", "iperf3", "-s", "--forceflush");
    await server.waitFor(/Server listening/);
    const sample: Sample = {};
    const before = await stage.read();
    let bytes = 0;
    for (const { key, args } of VARIANTS) {
      const end = await iperf(stage, seconds, args);
      sample[key] = end.bits_per_second / 1e9;
      bytes += end.bytes;
    }
    const after = await stage.read();
    return { ...sample, ...known({ cpu: (after.router - before.router) / (bytes / 1e9) }) };
  },
};

async function iperf(stage: Stage, seconds: number, args: string[]) {
  const time = ["-t", String(Math.max(1, Math.round(seconds))), "-J"];
  const report = JSON.parse(await stage.run("lan", "iperf3", "-c", WAN, ...time, ...args));
  if (report.end?.sum_received === undefined) throw new Error(`iperf3: ${report.error}`);
  return report.end.sum_received as { bits_per_second: number; bytes: number };
}
