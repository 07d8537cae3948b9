/** Two workers on one state: many flows from several generators at once, and afterwards everything adds up. */

import { assert, assertEquals, assertGreater } from "@std/assert";
import { libc, MappedFile } from "deno_tun";
import {
  INTERFACE_COUNTERS,
  Memory,
  RX_PACKETS,
  TOTAL_RX_PACKETS,
  TOTAL_TX_PACKETS,
  TX_PACKETS,
} from "../../src/memory.ts";
import { Reason } from "../../src/netfilter.ts";
import { saveRules } from "../../src/config/iptables_save.ts";
import { validate } from "../../src/config/validate.ts";
import { HERE, Lab, pathOf, ROOT } from "./lab.ts";
import { labTest } from "./lab_testing.ts";
import { listening } from "./services.ts";

libc(); // It stays open, so it is opened before the test counts what is open.

/** Public ports of each protocol: fewer than there are flows. */
const PORTS = 500;

const CONFIG = `
import { defineRouter } from "${ROOT}mod.ts";

export default defineRouter({
  interfaces: {
    lan: { addresses: ["192.0.2.1/24"], peer: { netns: "lan", addresses: ["192.0.2.2/24"], routes: ["default"] } },
    wan: { addresses: ["198.51.100.1/24"], peer: { netns: "wan", addresses: ["198.51.100.2/24"] } },
  },
  tables: {
    filter: {
      FORWARD: {
        policy: "DROP",
        rules: [
          { state: "INVALID", jump: "DROP" },
          { state: ["ESTABLISHED", "RELATED"], jump: "ACCEPT" },
          { inInterface: "lan", jump: "ACCEPT" },
        ],
      },
    },
    ipv4: {
      nat: {
        POSTROUTING: ["tcp", "udp"].map((protocol) => ({
          protocol, outInterface: "wan", jump: "MASQUERADE", toPorts: "40000-${40000 + PORTS - 1}",
        })),
      },
    },
  },
  workers: 2,
});
`;

labTest("two workers hand out no port twice, count every packet, and carry TCP whole", [
  "gcc",
  "iperf3",
], async () => {
  await using lab = await Lab.private("lan", "wan");
  const blast = `${lab.dir}/blast`;
  await lab.ok(HERE, "gcc", "-O2", "-o", blast, `${ROOT}tests/bench/tools/blast.c`);
  // What neighbour discovery says is heard and not answered; here every packet is to go through.
  for (const netns of ["lan", "wan"]) {
    await lab.ok(netns, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6");
  }
  const path = lab.write("workers.ts", CONFIG);
  const weir = await lab.weir(path);
  assert(weir.text.includes("2 workers"), weir.text);
  await listening(lab, "wan", 5201, lab.spawn("wan", "iperf3", ["-s"]));

  const flows = ["192.0.2.10", "192.0.2.11", "192.0.2.12"].map((source) =>
    // To an address that nobody has: it is dropped without an answer.
    lab.ok(
      "lan",
      blast,
      "device=lan",
      `from=${source}`,
      "to=198.51.100.9",
      "flows=250",
      "seconds=20",
      "count=30000",
    )
  );
  const there = await lab.run("lan", "iperf3", ["-c", "198.51.100.2", "-P", "8", "-n", "60M", "--json"]);
  const back = await lab.run("lan", "iperf3", ["-c", "198.51.100.2", "-P", "8", "-R", "-n", "60M", "--json"]);
  await Promise.all(flows);
  for (const { code, stdout, stderr } of [there, back]) {
    assertEquals(code, 0, stdout + stderr);
    assertGreater(JSON.parse(stdout).end.sum_received.bytes, 20_000_000);
  }

  const listed = (await lab.command(["conntrack", "-L"])).stdout.split("\n").filter((line) => line !== "");
  const answers = listed.map((line) => {
    const ends = [...line.matchAll(/src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)/g)];
    return `${line.split(" ")[0]} ${ends[1]?.slice(1).join(" ")}`;
  });
  const udp = answers.filter((answer) => answer.startsWith("udp"));
  assertEquals(new Set(answers).size, answers.length, "no answer belongs to two flows");
  assertEquals(udp.length, PORTS, "every port is used, and each once");

  const file = new MappedFile(pathOf(weir.pid, "/run/weir/workers.state"), { readOnly: true });
  const memory = Memory.open(file.map()), { interfaces, totals, drops } = memory;
  const rx = (index: number) => interfaces[index * INTERFACE_COUNTERS + RX_PACKETS];
  const tx = (index: number) => interfaces[index * INTERFACE_COUNTERS + TX_PACKETS];
  assertEquals(drops[Reason["rule-drop"] * 2], 0, "nothing was INVALID");
  const noPort = drops[Reason["nat-no-port"] * 2] + drops[Reason["insert-failed"] * 2];
  assertGreater(noPort, 0, "there were more flows than ports");
  assertEquals(totals[TOTAL_RX_PACKETS], rx(1) + rx(2));
  assertEquals(totals[TOTAL_TX_PACKETS], tx(1) + tx(2));
  assertEquals(totals[TOTAL_RX_PACKETS], totals[TOTAL_TX_PACKETS] + memory.dropped, "each left or died");
  // What FORWARD accepts leaves, or finds no port.
  const { rules } = validate((await import(`file://${path}`)).default);
  const accepted = [
    ...saveRules(rules.ipv4, { counters: memory.generation.rules }).matchAll(/^\[(\d+):.* ACCEPT$/gm),
  ];
  assertEquals(accepted.length, 2);
  const sum = accepted.reduce((total, [, packets]) => total + Number(packets), 0);
  assertEquals(sum, totals[TOTAL_TX_PACKETS] + noPort, "each counted by one rule");
  for (const [i, name] of ["lan", "wan"].entries()) {
    const [link] = JSON.parse(await lab.ok(name, "ip", "-j", "-s", "link", "show", name));
    const { rx: taken, tx: given } = link.stats64;
    assertEquals([given.packets, taken.packets], [rx(i + 1), tx(i + 1)], `${name}, as the kernel counts`);
  }
  file.unmap();
  file.close();
  const { code } = await weir.stop();
  assertEquals(code, 0);
});
