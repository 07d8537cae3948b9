/** `weir rules`: of a configuration, and of a router that is this process. */

import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { libc } from "deno_tun";
import { Refused } from "../../src/cli/command.ts";
import { ofRunning, saved, zero } from "../../src/cli/rules.ts";
import { listRules } from "../../src/config/rule_listing.ts";
import { saveRules } from "../../src/config/iptables_save.ts";
import { validate } from "../../src/config/validate.ts";
import { readRules, removeRules, type RulesFile, writeRules } from "../../src/control/rules_file.ts";
import { ftp, tftp } from "../../src/helpers/mod.ts";
import { FIXTURES } from "../config/fixtures/legacy.ts";
import { tcp } from "../kit/mod.ts";
import { CLIENT, OwnRouter, SERVER } from "./router.ts";
import { Folder, weir } from "./weir.ts";

// Opened once for all, before a test could be blamed for leaving it open.
libc();

const CONFIG = `
import { defineRouter } from "weir";
export default defineRouter({
  interfaces: { lan: { addresses: ["192.0.2.1/24"] }, wan: { addresses: ["198.51.100.1/24"] } },
  tables: {
    filter: {
      FORWARD: {
        policy: "DROP",
        rules: [
          { state: ["ESTABLISHED", "RELATED"], jump: "ACCEPT" },
          { inInterface: "lan", protocol: "tcp", dport: 80, jump: "web" },
          { outInterface: "! lan", source: "! 192.0.2.9", goto: "web" },
          { match: function large(p) { return p.length > 1000; }, jump: "DROP" },
        ],
      },
      web: [{ limit: "5/second", limitBurst: 7, jump: "ACCEPT" }, { jump: "REJECT", rejectWith: "tcp-reset", protocol: "tcp" }, {}],
    },
  },
  iptables: "*nat\\n:POSTROUTING ACCEPT [7:420]\\n[3:180] -A POSTROUTING -o wan -m comment --comment \\"a -j b\\" -j MASQUERADE\\nCOMMIT\\n",
});
`;

const LISTING = `nat: Chain PREROUTING (policy ACCEPT 0 packets, 0 bytes)

nat: Chain INPUT (policy ACCEPT 0 packets, 0 bytes)

nat: Chain OUTPUT (policy ACCEPT 0 packets, 0 bytes)

nat: Chain POSTROUTING (policy ACCEPT 7 packets, 420 bytes)
num  pkts  bytes  target      prot  opt  in  out  source     destination
  1     3    180  MASQUERADE  all   --   *   wan  0.0.0.0/0  0.0.0.0/0    -m comment --comment "a -j b"

filter: Chain INPUT (policy ACCEPT 0 packets, 0 bytes)

filter: Chain FORWARD (policy DROP 0 packets, 0 bytes)
num  pkts  bytes  target  prot  opt  in   out   source      destination
  1     0      0  ACCEPT  all   --   *    *     0.0.0.0/0   0.0.0.0/0    -m state --state RELATED,ESTABLISHED
  2     0      0  web     tcp   --   lan  *     0.0.0.0/0   0.0.0.0/0    -m tcp --dport 80
  3     0      0  web     all   --   *    !lan  !192.0.2.9  0.0.0.0/0    [goto]
  4     0      0  DROP    all   --   *    *     0.0.0.0/0   0.0.0.0/0    -m function --name large

filter: Chain OUTPUT (policy ACCEPT 0 packets, 0 bytes)

filter: Chain web (2 references)
num  pkts  bytes  target  prot  opt  in  out  source     destination
  1     0      0  ACCEPT  all   --   *   *    0.0.0.0/0  0.0.0.0/0    -m limit --limit 5/sec --limit-burst 7
  2     0      0  REJECT  tcp   --   *   *    0.0.0.0/0  0.0.0.0/0    --reject-with tcp-reset
  3     0      0          all   --   *   *    0.0.0.0/0  0.0.0.0/0
`;

const UNUSED =
  `filter FORWARD 1: tables.filter.FORWARD.rules[0] { state: ["RELATED", "ESTABLISHED"], jump: "ACCEPT" }
filter FORWARD 2: tables.filter.FORWARD.rules[1] { inInterface: "lan", protocol: "tcp", dport: 80, jump: "web" }
filter FORWARD 3: tables.filter.FORWARD.rules[2] { outInterface: "! lan", source: "! 192.0.2.9", goto: "web" }
filter FORWARD 4: tables.filter.FORWARD.rules[3] { match: large, jump: "DROP" }
`;

Deno.test("weir rules CONFIG lists the rules and the counters that they begin with", async () => {
  using folder = new Folder();
  const config = folder.write("web.ts", CONFIG);
  assertEquals(await weir(["rules", config]), { code: 0, stdout: LISTING, stderr: "" });
  const { stdout } = await weir(["rules", "--unused", config]);
  // What has counted before is not unused.
  assertEquals(stdout.split("\n").slice(0, 4).join("\n") + "\n", UNUSED);
  assertEquals(stdout.includes("nat"), false);
});

Deno.test("weir rules --json has each rule with its place and its counters", async () => {
  using folder = new Folder();
  const config = folder.write("web.ts", CONFIG);
  const { stdout } = await weir(["rules", "--json", "--table", "nat", config]);
  const [nat, ...others] = JSON.parse(stdout);
  assertEquals([nat.family, nat.table, others], [4, "nat", []]);
  const { rules: [rule], ...chain } = nat.chains.at(-1);
  assertEquals(chain, { chain: "POSTROUTING", policy: "ACCEPT", references: 0, packets: 7, bytes: 420 });
  assertEquals(rule, {
    number: 1,
    place: "iptables:3:9",
    text: '-A POSTROUTING -o wan -m comment --comment "a -j b" -j MASQUERADE',
    save: ' -o wan -m comment --comment "a -j b" -j MASQUERADE',
    target: "MASQUERADE",
    protocol: "all",
    fragment: "--",
    in: "*",
    out: "wan",
    source: "0.0.0.0/0",
    destination: "0.0.0.0/0",
    rest: '-m comment --comment "a -j b"',
    packets: 3,
    bytes: 180,
  });
});

for (const { name, family, text } of FIXTURES) {
  Deno.test(`listRules and saved print ${name} as iptables-save -c does`, () => {
    const key = family === 4 ? "iptables" : "ip6tables";
    const config = validate({
      interfaces: { lan: {} },
      helpers: [ftp({ autoAssign: false }), tftp({ autoAssign: false })],
      [key]: text,
    });
    const counters = Float64Array.from({ length: 2 * config.counters }, (_, i) => i);
    const tables = listRules(config.rules).filter((table) => table.family === family);
    assertEquals(
      tables.map((table) => saved(table, counters) + "\n").join(""),
      saveRules(config.rules[family === 4 ? "ipv4" : "ipv6"], { counters }),
    );
  });
}

/** A router with rules beside its state file, as `run` leaves them. */
function running(): { own: OwnRouter; save: () => string } {
  const config = {
    tables: {
      filter: {
        FORWARD: [{ protocol: "tcp", dport: 21, jump: "ACCEPT" }, { protocol: "udp", jump: "DROP" }],
      },
    },
    interfaces: { lan: { addresses: ["192.0.2.1/24"] }, wan: { addresses: ["198.51.100.1/24"] } },
    sysctl: { "net.netfilter.nf_conntrack_max": 100 },
  } as const;
  const own = new OwnRouter(config), valid = validate(config);
  writeRules(own.state.path, {
    generation: own.state.memory.generation.at,
    slots: valid.counters,
    tables: listRules(valid.rules),
  });
  return {
    own,
    save: () => {
      own.router.settle();
      const { tables, counters } = ofRunning(undefined, own.folder.path);
      return tables.filter((t) => t.family === 4).map((t) => saved(t, counters)).join("\n");
    },
  };
}

Deno.test("rules of a running router are counted while it runs", () => {
  const { own, save } = running();
  using _own = own;
  own.connect();
  assertMatch(
    save(),
    /^\[3:130\] -A FORWARD -p tcp -m tcp --dport 21 -j ACCEPT\n\[0:0\] -A FORWARD -p udp -j DROP$/m,
  );
  assertMatch(save(), /^:FORWARD ACCEPT \[1:40\]$/m);
});

Deno.test("rules --zero begins anew, also for what the fast path keeps apart", async () => {
  const { own, save } = running();
  using _own = own;
  own.connect();
  // Flows of the fast path count for the length of a batch in a place of their own.
  for (let i = 0; i < 5; i++) own.say("NOOP\r\n");
  await zero("gateway", own.folder.path);
  assertEquals(save().match(/\[\d+:\d+\]/g)!.filter((pair) => pair !== "[0:0]"), []);
  own.send(1, tcp({ src: CLIENT, sport: 9, dst: SERVER, dport: 21, flags: "S" }));
  assertMatch(save(), /^\[1:40\] -A FORWARD -p tcp/m);
});

Deno.test("rules of a router that left none, or others, are refused", () => {
  const { own } = running();
  using _own = own;
  const { version: _, ...rules } = readRules(own.state.path)! as RulesFile & { version: number };
  const list = () => ofRunning("gateway", own.folder.path);
  for (const other of [{ slots: rules.slots + 1 }, { generation: rules.generation + 4096 }]) {
    writeRules(own.state.path, { ...rules, ...other });
    assertEquals(
      assertThrows(list, Refused).message,
      "the rules of router gateway are being replaced; ask once more",
    );
  }
  removeRules(own.state.path);
  removeRules(own.state.path);
  assertEquals(assertThrows(list, Refused).message, "router gateway has left no rules beside its state file");
});

Deno.test("weir rules says how it is used", async () => {
  assertEquals((await weir(["rules", "--table", "broute", "examples/gateway.ts"])).code, 2);
  assertEquals((await weir(["rules", "--save", "--json", "examples/gateway.ts"])).code, 2);
  assertEquals((await weir(["rules", "--zero", "examples/gateway.ts"])).code, 2);
  assertEquals((await weir(["rules", "a", "b"])).code, 2);
  const { code, stderr } = await weir(["rules", "nobody"]);
  assertEquals(code, 1);
  assertMatch(stderr, /^weir: no router is running that is called nobody\b/);
  assertMatch((await weir(["rules", "--help"])).stdout, /^Usage: weir rules \[NAME \| CONFIG\]/);
});
