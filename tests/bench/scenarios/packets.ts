/** Small and large packets of 64 established flows from the raw generator, one way. */
import { known, type Measure, type Sample, type Scenario, socketsOnly, warm } from "../scenario.ts";

const SIZES = [64, 1400];
const FLOWS = 64;

export const packets: Scenario = {
  name: "packets",
  about: "64- and 1,400-byte packets of 64 established flows, with CPU time",
  measures: SIZES.flatMap((size): Measure[] => [
    {
      key: `rate${size}`,
      title: `packets of ${size} bytes`,
      unit: "k/s",
      targets: size === 64 ? [{ beside: "floor", least: 0.85 }, { beside: "kernel", least: 1 }] : [],
    },
    {
      key: `cpu${size}`,
      title: `CPU of the router per packet of ${size} bytes`,
      unit: "µs",
      targets: [{ beside: "floor", most: 1.25 }],
    },
    { key: `machine${size}`, title: `CPU of all, per packet of ${size} bytes`, unit: "µs" },
  ]),
  limit: 30,
  leftOut: socketsOnly,
  async run(contender, { start, seconds }) {
    await using stage = await start(contender);
    if (contender.name !== "floor") await stage.openFlows(FLOWS);
    await warm(contender, stage);
    const sample: Sample = {};
    for (const size of SIZES) {
      const { rate, cpu, machine } = await stage.blast({ size, flows: FLOWS, seconds });
      Object.assign(
        sample,
        known({ [`rate${size}`]: rate / 1e3, [`cpu${size}`]: cpu, [`machine${size}`]: machine }),
      );
    }
    return sample;
  },
};
