/** From the start of a contender to the first packet that it forwarded, by the wall clock; Deno's cache is warm. */
import { WAN } from "../addresses.ts";
import { type Scenario, USUAL } from "../scenario.ts";

export const start: Scenario = {
  name: "start",
  about: "milliseconds from start to the first forwarded packet",
  measures: [{ key: "first", title: "start to first packet", unit: "ms", targets: [{ most: 300 }] }],
  limit: 30,
  leftOut: () => null,
  async run(contender, { open }) {
    await using stage = await open();
    const probe = await stage.serve(
      "",
      "probe",
      `lan=${stage.netns("lan")}`,
      `wan=${stage.netns("wan")}`,
      `to=${WAN}`,
    );
    const began = performance.timeOrigin + performance.now();
    await stage.start(contender, USUAL);
    const [, first] = await probe.waitFor(/^first ([\d.]+)/m);
    return { first: Number(first) - began };
  },
};
