/**
 * New NATed flows: whole ones, each opened from both sides and waited for, and then one datagram each, as fast as they
 * go, so that what a flow's first packet costs stands beside what a later one costs.
 */
import { known, type Scenario, socketsOnly, warm } from "../scenario.ts";

/** Enough to be measured; few enough for the flow table of a machine that nobody has tuned. */
const FLOWS = 60_000;

export const newFlows: Scenario = {
  name: "new_flows",
  about: "new TCP and UDP flows, and CPU time of a flow's first packet beside its later ones",
  measures: [
    { key: "udp", title: "new UDP flows, with an answer", unit: "k/s" },
    { key: "tcp", title: "new TCP flows, with handshake", unit: "k/s" },
    { key: "rate", title: "first packets of new UDP flows", unit: "k/s" },
    { key: "first", title: "CPU of the router per first packet", unit: "µs" },
    { key: "later", title: "CPU of the router per later packet", unit: "µs" },
    { key: "ratio", title: "CPU, first packet ÷ later packet", unit: "", targets: [{ most: 1.5 }] },
  ],
  limit: 40,
  leftOut: (contender) =>
    contender.name === "floor" ? "no flows: all packets cost the same" : socketsOnly(contender),
  async run(contender, { start, seconds }) {
    await using stage = await start(contender, { flows: 4 * FLOWS + 1000 });
    const open = async (protocol: string) => {
      // What opens is bounded twice: by room in the table, and by time.
      const [opened, elapsed] = await stage.flows({ protocol, count: FLOWS, seconds });
      return opened / elapsed / 1e3;
    };
    await stage.openFlows(64);
    await warm(contender, stage);
    const udp = await open("udp"), tcp = await open("tcp");
    const blast = (options: Record<string, number>) => stage.blast({ dport: 7000, seconds, ...options });
    // The second half of the first packets is measured; the first half has compiled what makes a flow.
    await blast({ flows: FLOWS, count: FLOWS / 2 });
    const first = await blast({ first: FLOWS / 2, flows: FLOWS, count: FLOWS });
    const later = await stage.blast({ flows: 64, seconds });
    return known({
      udp,
      tcp,
      rate: first.rate / 1e3,
      first: first.cpu,
      later: later.cpu,
      ratio: first.cpu / later.cpu,
    });
  },
};
