/** FTP's control connection: PORT commands, each read, expected and rewritten by the helper, and the same without it. */
import { LAN, WAN } from "../addresses.ts";
import { known, type Scenario, socketsOnly } from "../scenario.ts";
import type { Stage } from "../stage.ts";

/** 21 is the helper's, 2100 nobody's. */
const PORTS = { helped: 21, plain: 2100 };

export const ftp: Scenario = {
  name: "ftp",
  about: "FTP control traffic through the helper, and beside it",
  measures: [
    { key: "helped", title: "FTP commands through the helper", unit: "k/s" },
    { key: "plain", title: "the same without helper", unit: "k/s" },
    { key: "helpedCpu", title: "CPU of the router per command, helper", unit: "µs" },
    { key: "plainCpu", title: "CPU of the router per command, no helper", unit: "µs" },
  ],
  limit: 30,
  leftOut: (contender) =>
    contender.name === "ovs"
      ? "beside its offload (userspace-tso) its FTP helper writes wrong checksums"
      : socketsOnly(contender),
  partly: (contender) => contender.name === "floor" ? "no helper" : null,
  async run(contender, { start, seconds }) {
    await using stage = await start(contender);
    const plain = await commands(stage, PORTS.plain, seconds, contender.warms);
    // The floor has no helper; what it does shows what the programs at both ends cost.
    const helped = contender.name === "floor"
      ? { rate: NaN, cpu: NaN }
      : await commands(stage, PORTS.helped, seconds, contender.warms);
    return known({
      helped: helped.rate / 1e3,
      plain: plain.rate / 1e3,
      helpedCpu: helped.cpu,
      plainCpu: plain.cpu,
    });
  },
};

async function commands(stage: Stage, port: number, seconds: number, warms: boolean) {
  await stage.serve("wan", "control", "serve", `port=${port}`);
  const ask = (seconds: number) =>
    stage.measure("lan", "control", { to: WAN, port, announce: LAN.replaceAll(".", ","), seconds }, "ask");
  if (warms) await ask(0.5);
  const before = await stage.read();
  const [answered, elapsed] = await ask(seconds);
  const after = await stage.read();
  return { rate: answered / elapsed, cpu: (after.router - before.router) / answered * 1e6 };
}
