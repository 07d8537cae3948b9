/** Round trips over UDP, one at a time: alone, and beside packets of 1,400 bytes at a steady rate. */
import { FAR, RAW, WAN } from "../addresses.ts";
import { type Measure, type Sample, type Scenario, warm } from "../scenario.ts";

const STATES = ["idle", "loaded"] as const;
/** Packets per second beside the round trips; every contender can carry that many. */
const LOAD = 20_000;
const SHOWN = ["p50", "p99", "p999"] as const;
const TITLES = { p50: "p50", p99: "p99", p999: "p99.9" };
const TARGETS = {
  p50: [{ beside: "floor", most: 1.3 }] as const,
  p99: [],
  p999: [{ most: 1000 }],
};

export const roundTrip: Scenario = {
  name: "round_trip",
  about: "round-trip time, idle and beside 20,000 packets/s: p50, p99, p99.9",
  measures: STATES.flatMap((state) =>
    SHOWN.map((key): Measure => ({
      key: `${state}-${key}`,
      title: `round trip, ${state}, ${TITLES[key]}`,
      unit: "µs",
      targets: TARGETS[key],
    }))
  ),
  limit: 45,
  partly: (contender) =>
    contender.name.startsWith("slirp") ? "the load is packets, and sockets are forwarded" : null,
  leftOut: () => null,
  async run(contender, { start, seconds }) {
    await using stage = await start(contender);
    await stage.serve("wan", "pingpong", "serve");
    const raw = !contender.name.startsWith("slirp");
    if (raw) await warm(contender, stage);
    // A path of its own, woken for every packet: its compilers need a second, too, on the router's one core.
    await stage.measure("lan", "pingpong", { to: WAN, seconds: 1.5, least: 500 }, "ask");
    const sample: Sample = {};
    for (const state of STATES) {
      if (state === "loaded" && !raw) break; // it forwards sockets, not packets
      const beside = state === "idle" ? null : stage.spawn(
        "lan",
        stage.tool("blast"),
        ...["device=lan", `from=${RAW}`, `to=${FAR}`, `mac=${stage.router.mac}`],
        ...["size=1400", "flows=64", "seconds=30", `rate=${LOAD}`],
      );
      const values = await stage.measure(
        "lan",
        "pingpong",
        { to: WAN, seconds, least: 10_000, most: 10 },
        "ask",
      );
      await beside?.stop();
      SHOWN.forEach((key, i) => sample[`${state}-${key}`] = values[2 + i]);
    }
    return sample;
  },
};
