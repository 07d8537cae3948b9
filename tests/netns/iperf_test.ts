/** iperf3 through `examples/gateway.ts`: bulk TCP both ways at once and in turn, and UDP, IPv4 and IPv6. */

import { assert, assertEquals, assertGreater } from "@std/assert";
import { FAMILIES } from "./addresses.ts";
import { Lab, ROOT } from "./lab.ts";
import { labTest } from "./lab_testing.ts";
import { listening } from "./services.ts";

/** What iperf3 --json says, as far as it is asked here. */
interface Report {
  error?: string;
  end: {
    sum_sent?: { bytes: number };
    sum_received?: { bytes: number };
    sum?: { packets: number; lost_packets: number };
  };
}

/** Name, arguments for the client. Bounded by amount, and so small that no machine is kept busy. */
const RUNS: [string, string[]][] = [
  ["TCP, lan to wan", ["-n", "50M"]],
  ["TCP, wan to lan", ["-R", "-n", "50M"]],
  ["TCP, four flows at once", ["-P", "4", "-n", "40M"]],
  ["TCP, both ways at once", ["--bidir", "-t", "1"]],
  ["TCP, small segments", ["-M", "536", "-n", "5M"]],
];

labTest("iperf3: TCP both ways through MASQUERADE", ["iperf3"], async () => {
  await using lab = await Lab.private("lan", "wan");
  await lab.weir(`${ROOT}examples/gateway.ts`);
  await listening(lab, "wan", 5201, lab.spawn("wan", "iperf3", ["-s"]));
  for (const { option, wan } of FAMILIES) {
    for (const [name, args] of RUNS) {
      const { end } = await iperf(lab, option, wan, args);
      assertGreater(end.sum_received?.bytes ?? 0, 100_000, `${name} ${option}`);
    }
  }
});

labTest("iperf3: UDP both ways through MASQUERADE, in order and whole", ["iperf3"], async () => {
  await using lab = await Lab.private("lan", "wan");
  await lab.weir(`${ROOT}examples/gateway.ts`);
  await listening(lab, "wan", 5201, lab.spawn("wan", "iperf3", ["-s"]));
  for (const { option, wan } of FAMILIES) {
    for (const way of [[], ["-R"]]) {
      const { end } = await iperf(lab, option, wan, ["-u", "-b", "20M", "-l", "1200", "-t", "1", ...way]);
      assert(end.sum, "UDP has a sum");
      assertGreater(end.sum.packets, 1_000);
      // A shared machine may stall a receiver for a moment.
      assert(
        end.sum.lost_packets < end.sum.packets / 20,
        `${end.sum.lost_packets} of ${end.sum.packets} lost`,
      );
    }
  }
});

async function iperf(lab: Lab, option: string, host: string, args: readonly string[]): Promise<Report> {
  const { code, stdout, stderr } = await lab.run("lan", "iperf3", [option, "-c", host, "--json", ...args]);
  assertEquals(code, 0, stdout + stderr);
  const report: Report = JSON.parse(stdout);
  assertEquals(report.error, undefined);
  return report;
}
