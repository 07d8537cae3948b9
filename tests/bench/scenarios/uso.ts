/** UDP whose sender leaves the cutting into datagrams to the devices. */
import { FAR } from "../addresses.ts";
import { known, type Scenario, socketsOnly } from "../scenario.ts";

export const uso: Scenario = {
  name: "uso",
  about: "UDP with segmentation offload, 44 datagrams of 1,400 bytes in one",
  measures: [
    { key: "rate", title: "UDP with segmentation offload", unit: "Gbit/s" },
    { key: "cpu", title: "CPU of the router, UDP with segmentation offload", unit: "s/GB" },
  ],
  limit: 20,
  leftOut: (contender) =>
    contender.name === "ovs" ? "its offload (userspace-tso) drops segments of UDP" : socketsOnly(contender),
  async run(contender, { start, seconds }) {
    await using stage = await start(contender);
    const options = { to: FAR, size: 1400, segments: 44 };
    await stage.measure("lan", "uso", { ...options, seconds: 0.3 });
    const before = await stage.read();
    const [, elapsed] = await stage.measure("lan", "uso", { ...options, seconds });
    const after = await stage.read();
    const bytes = after.bytes - before.bytes;
    return known({
      rate: bytes * 8 / elapsed / 1e9,
      cpu: (after.router - before.router) / (bytes / 1e9),
    });
  },
};
