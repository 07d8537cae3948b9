/** `weir explain`: its words and exit codes; what it tells is tested in tests/explain. */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { libc } from "deno_tun";
import { PcapngWriter } from "../../src/replay/pcapng.ts";
import { udp } from "../kit/mod.ts";
import { read } from "../tree.ts";
import { OwnRouter } from "./router.ts";
import { Folder, weir } from "./weir.ts";

// Opened once for all, before a test could be blamed for leaving it open.
libc();

const GATEWAY = "examples/gateway.ts", SSH = "tcp 198.51.100.2:4000 > 192.0.2.2:22";
const QUERY = "udp 192.0.2.2:4000 > 198.51.100.2:53", ANSWER = "udp 198.51.100.2:53 > 198.51.100.1:4000";

Deno.test("weir explain prints a packet's way", async () => {
  const stdout = read("tests/explain/told/policy.txt");
  assertEquals(await weir(["explain", GATEWAY, "--in", "wan", SSH]), { code: 0, stdout, stderr: "" });
  assertEquals((await weir(["explain", "--in=wan", GATEWAY, SSH])).stdout, stdout);
});

Deno.test("weir explain sends several packets, with time between", async () => {
  const ask = async (...after: string[]) =>
    (await weir(["explain", GATEWAY, "--in", "lan", QUERY, ...after, "--in", "wan", ANSWER])).stdout;
  const soon = await ask("--after", "29s");
  assertMatch(soon, /\n\nafter 29s\n\nin wan: /);
  assertStringIncludes(soon, "  conntrack: ESTABLISHED, it is in the reply direction of a flow\n");
  for (const time of ["31", "31s", "31000ms", "1m", "0.5h"]) {
    assertStringIncludes(await ask("--after", time), "198.51.100.1 is the router itself\n", time);
  }
});

Deno.test("weir explain --after says what timers send meanwhile", async () => {
  const fragment = "600000000010" + "2c40" + "20010db8000100000000000000000002" +
    "20010db8000200000000000000000002" +
    "1100000100000007" + "1000003500080000";
  const { stdout } = await weir([
    "explain",
    GATEWAY,
    "--in",
    "lan",
    fragment,
    "--after",
    "61s",
    "--in",
    "wan",
    SSH,
  ]);
  assertStringIncludes(
    stdout,
    "it waits for the other fragments\n\nafter 61s\nout lan: IPv6 2001:db8:1::1 > ",
  );
});

Deno.test("weir explain takes the packets of a capture by their own interfaces and times", async () => {
  using folder = new Folder();
  const writer = new PcapngWriter(),
    lan = writer.interface({ name: "lan" }),
    eth0 = writer.interface({ name: "eth0" });
  const at = (seconds: number) => 1_790_000_000_000_000_000n + BigInt(seconds * 1e9);
  writer.packet(lan, at(0), udp({ src: "192.0.2.2", sport: 4000, dst: "198.51.100.2", dport: 53 }));
  writer.packet(eth0, at(40), udp({ src: "198.51.100.2", sport: 53, dst: "198.51.100.1", dport: 4000 }));
  const file = `${folder.path}/in.pcapng`;
  Deno.writeFileSync(file, writer.bytes());
  const { code, stdout } = await weir(["explain", GATEWAY, "--in", "wan", file]);
  assertEquals(code, 0);
  assertMatch(stdout, /^in lan: [\s\S]*\n\nin wan: [\s\S]*198\.51\.100\.1 is the router itself\n/);
  const { code: refused, stderr } = await weir(["explain", GATEWAY, file]);
  assertEquals([refused, stderr], [1, "weir: there is no interface eth0; there are lan, wan\n"]);
});

Deno.test("weir explain --json prints all of it as data", async () => {
  const { stdout } = await weir(["explain", GATEWAY, "--json", "--in", "lan", QUERY, "--in", "wan", ANSWER]);
  const [query, answer, ...more] = JSON.parse(stdout);
  assertEquals(more, []);
  assertEquals([query.interface, query.outcome, query.reason, query.by], ["lan", "forwarded", null, null]);
  assertEquals(query.changes, ["source 192.0.2.2:4000 → 198.51.100.1:4000", "ttl 64 → 63"]);
  assertEquals(
    query.steps.map((step: { stage: string }) => step.stage).join(" "),
    [
      "table conntrack table routing table table nat confirm",
    ].join(" "),
  );
  const [sent] = answer.sent;
  assertEquals([sent.interface, sent.answer, sent.packet], [
    "lan",
    false,
    "IPv4 198.51.100.2:53 > 192.0.2.2:4000 UDP len 0",
  ]);
  assertMatch(sent.bytes, /^4500001c[0-9a-f]{48}$/);
  const [dropped] = JSON.parse((await weir(["explain", GATEWAY, "--json", "--in", "wan", SSH])).stdout);
  assertEquals([dropped.outcome, dropped.reason, dropped.by], [
    "dropped",
    "policy-drop",
    { place: "filter FORWARD", text: "policy" },
  ]);
});

const TABLES = {
  filter: {
    FORWARD: {
      policy: "DROP",
      rules: [{ state: "ESTABLISHED", jump: "ACCEPT" }, { protocol: "tcp", dport: 21, jump: "ACCEPT" }],
    },
  },
} as const;

Deno.test("weir explain --state takes the flows of a router that runs, and leaves them alone", async () => {
  using own = new OwnRouter({ tables: TABLES });
  own.connect();
  const config = own.folder.write(
    "own.ts",
    `import { defineRouter } from "weir";
export default defineRouter({
  interfaces: { lan: { addresses: ["192.0.2.1/24"] }, wan: { addresses: ["198.51.100.1/24"] } },
  sysctl: { "net.netfilter.nf_conntrack_max": 100 },
  tables: ${JSON.stringify(TABLES)},
});`,
  );
  const before = Deno.readFileSync(own.state.path);
  const ask = (path: string, ...state: string[]) =>
    weir([
      "explain",
      path,
      ...state,
      "--in",
      "wan",
      "tcp 198.51.100.7:21 > 192.0.2.2:4000 fin,ack seq 501 ack 111",
    ]);
  const { code, stdout, stderr } = await ask(config, "--state", own.state.path);
  assertEquals([code, stderr], [0, ""]);
  assertStringIncludes(
    stdout,
    "conntrack: ESTABLISHED, it is in the reply direction of a flow\n    tcp 6 120 FIN_WAIT ",
  );
  assertStringIncludes(stdout, "out lan: ");
  assertEquals(Deno.readFileSync(own.state.path), before);
  assertStringIncludes((await ask(config)).stdout, "conntrack: INVALID, no flow has its addresses and ports");
  const other = await ask(GATEWAY, "--state", own.state.path);
  assertEquals([other.code, other.stderr], [
    1,
    `weir: ${own.state.path} is the state of a router with another configuration\n`,
  ]);
});

/** What is wrong usage, and what is said of it. */
const USAGE: readonly (readonly [args: string[], says: string])[] = [
  [[], "CONFIG is missing"],
  [[GATEWAY], "PACKET is missing"],
  [[GATEWAY, SSH], "--in says by which interface the packet comes in"],
  [[GATEWAY, "--in"], "--in is followed by a value"],
  [[GATEWAY, "--into", "lan", SSH], "unknown option --into"],
  [[GATEWAY, "--in", "lan", "--after", "soon", SSH], "--after soon: a time such as 2s, 500ms, 5m, 1h"],
  [[GATEWAY, "--in", "lan", "--seed", "x", SSH], "--seed x: a whole number from 0 to 4294967295"],
  [
    [GATEWAY, "--in", "lan", "tcp", "192.0.2.2:1"],
    "tcp: the source's address is missing (a packet is one word, in quotes)",
  ],
  [
    [GATEWAY, "--in", "lan", "tcp 192.0.2.2 > 192.0.2.3:1"],
    "tcp 192.0.2.2 > 192.0.2.3:1: 192.0.2.2 has no port; write 192.0.2.2:80",
  ],
];

for (const [args, says] of USAGE) {
  Deno.test(`weir explain ${args.join(" ")} is wrong usage`, async () => {
    const { code, stdout, stderr } = await weir(["explain", ...args]);
    assertEquals([code, stdout, stderr.split("\n")[0]], [2, "", `weir explain: ${says}`]);
  });
}

Deno.test("weir explain refuses what is not there", async () => {
  assertEquals(await weir(["explain", "none.ts", "--in", "lan", SSH]), {
    code: 1,
    stdout: "",
    stderr: "weir: none.ts: there is no such file\n",
  });
  const { code, stderr } = await weir(["explain", GATEWAY, "--in", "lna", SSH]);
  assertEquals([code, stderr], [1, "weir: there is no interface lna; there are lan, wan\n"]);
  assertEquals((await weir(["explain", GATEWAY, "--state", "nobody", "--in", "lan", SSH])).code, 1);
  assertEquals((await weir(["explain", GATEWAY, "none.pcapng"])).code, 1);
  assertMatch((await weir(["explain", "--help"])).stdout, /^Usage: weir explain CONFIG --in IFACE PACKET /);
});

Deno.test("weir explain --at says when the packets come", async () => {
  using folder = new Folder();
  const config = folder.write(
    "router.ts",
    `import { defineRouter } from "weir";
export default defineRouter({
  interfaces: { lan: { addresses: ["192.0.2.1/24"] }, wan: { addresses: ["198.51.100.1/24"] } },
  tables: { filter: { FORWARD: [{ timestart: "21:00", timestop: "6:00", weekdays: "Fri", jump: "DROP" }] } },
});
`,
  );
  const at = async (moment: string) =>
    (await weir(["explain", config, "--at", moment, "--in", "lan", "icmp 192.0.2.2 > 198.51.100.2"])).stdout;
  assertStringIncludes(await at("2026-01-30T22:00"), "dropped: rule-drop");
  assertStringIncludes(await at("2026-01-29T22:00"), "weekdays Fri: it is Thu 2026-01-29T22:00:00\n");
  assertStringIncludes(await at("2026-01-30"), "dropped: rule-drop");
  assertEquals((await weir(["explain", config, "--at", "soon", "--in", "lan", "x"])).code, 2);
});
