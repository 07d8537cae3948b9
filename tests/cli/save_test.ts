/** `weir save`: any configuration as iptables-save text, and what no text can say. */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { FIXTURES, reversedTables, withLegacy } from "../config/fixtures/legacy.ts";
import { kernelAvailable } from "../oracle/kernel.ts";
import { files } from "../tree.ts";
import { Folder, weir } from "./weir.ts";

const GATEWAY = `*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -i wan -p tcp -m tcp --dport 80 -j NOTRACK
-A PREROUTING -i lan -p tcp -m tcp --sport 80 -j NOTRACK
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -o wan -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -m state --state RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i lan -o wan -j ACCEPT
-A FORWARD -i wan -o lan -p tcp -m tcp --dport 80 -j ACCEPT
-A FORWARD -p icmp -m icmp --icmp-type 8 -j ACCEPT
COMMIT
`;

Deno.test("weir save prints the rules of one family", async () => {
  assertEquals(await weir(["save", "examples/gateway.ts"]), { code: 0, stdout: GATEWAY, stderr: "" });
  const { code, stdout } = await weir(["save", "--ipv6", "examples/gateway.ts"]);
  assertEquals([code, stdout], [
    0,
    GATEWAY.replace("-p icmp -m icmp --icmp-type 8", "-p ipv6-icmp -m icmp6 --icmpv6-type 128"),
  ]);
});

for (const example of files("examples").filter((path) => /(?<!_test)\.ts$/.test(path))) {
  if (example === "examples/custom_match.ts") continue;
  Deno.test({
    name: `weir save ${example} prints what iptables-legacy-save prints of it`,
    ignore: !kernelAvailable(),
    async fn() {
      for (const family of [4, 6] as const) {
        const { stdout } = await weir(["save", example, ...family === 6 ? ["--ipv6"] : []]);
        const kernel = withLegacy((legacy) => {
          assertEquals(legacy.restore(reversedTables(stdout), family), null);
          return legacy.save(family);
        });
        assertEquals(stdout, kernel);
      }
    },
  });
}

Deno.test("weir save --counters prints the counters that a text begins with", async () => {
  using folder = new Folder();
  const { text } = FIXTURES.find(({ name }) => name === "home_router.v4")!;
  const config = folder.write(
    "home.ts",
    `import { defineRouter } from "weir";
export default defineRouter({ interfaces: { ppp0: {} }, iptables: ${JSON.stringify(text)} });\n`,
  );
  const { code, stdout } = await weir(["save", "--counters", config]);
  assertEquals(code, 0);
  assertStringIncludes(stdout, ":PREROUTING ACCEPT [123456:9876543]\n");
  assertStringIncludes(stdout, "[98765:5432100] -A PREROUTING -i ppp0 -j port_forwards\n");
  const plain = await weir(["save", config]);
  assertStringIncludes(plain.stdout, ":PREROUTING ACCEPT [0:0]\n");
  assertStringIncludes(plain.stdout, "\n-A PREROUTING -i ppp0 -j port_forwards\n");
});

const UNSAID = `
import { defineRouter } from "weir";

export default defineRouter({
  interfaces: { lan: {} },
  tables: {
    raw: { PREROUTING: [{ protocol: "tcp", jump: "CT", timeout: { established: 60 } }] },
    filter: {
      FORWARD: {
        policy: "DROP",
        rules: [{ jump: "ACCEPT" }, { match: (p) => p.length > 100, jump: "DROP" }],
      },
    },
  },
});
`;

Deno.test("weir save refuses all that iptables cannot say, with the place of each", async () => {
  using folder = new Folder();
  const config = folder.write("unsaid.ts", UNSAID);
  const { code, stdout, stderr } = await weir(["save", config]);
  assertEquals([code, stdout], [1, ""]);
  assertEquals(stderr.split("\n"), [
    `weir: ${config}: 2 things that iptables cannot say`,
    "  tables.raw.PREROUTING[0].timeout: gives timeouts by state; iptables has only names of timeout policies",
    "  tables.filter.FORWARD.rules[1].match: is a function; iptables has matches only",
    "",
  ]);
});

Deno.test("weir save refuses names that would be read as others", async () => {
  using folder = new Folder();
  const config = folder.write(
    "names.ts",
    `import { defineRouter } from "weir";
export default defineRouter({
  interfaces: { 'l"n': {} },
  tables: { filter: { FORWARD: [{ jump: "ACCEPT" }, { inInterface: 'l"n', jump: "DROP" }] } },
});\n`,
  );
  const { code, stdout, stderr } = await weir(["save", config]);
  assertEquals([code, stdout], [1, ""]);
  assertMatch(stderr, /^ {2}tables\.filter\.FORWARD\[1\]: -A FORWARD -i l"n -j DROP is refused: /m);
});

Deno.test("weir save prints a configuration that lacks nothing but addresses, and says so", async () => {
  using folder = new Folder();
  const config = folder.write(
    "unfinished.ts",
    `import { defineRouter } from "weir";
export default defineRouter({
  interfaces: { lan: { addresses: ["address/length"] } },
  tables: { filter: { FORWARD: [{ inInterface: "lan", jump: "DROP" }] } },
});\n`,
  );
  const { code, stdout, stderr } = await weir(["save", config]);
  assertEquals(code, 0);
  assertStringIncludes(stdout, "-A FORWARD -i lan -j DROP\n");
  assertStringIncludes(
    stderr,
    `weir: ${config} is not finished:\n  interfaces.lan.addresses[0]: "address/length"`,
  );
});

Deno.test("weir save refuses a configuration with mistakes", async () => {
  using folder = new Folder();
  const config = folder.write(
    "wrong.ts",
    `import { defineRouter } from "weir";
export default defineRouter({
  interfaces: { lan: { addresses: ["address/length"] } },
  tables: { filter: { FORWARD: [{ inInterface: "lna", jump: "DROP" }] } },
});\n`,
  );
  const { code, stdout, stderr } = await weir(["save", config]);
  assertEquals([code, stdout], [1, ""]);
  assertStringIncludes(stderr, `weir: ${config}: 2 mistakes\n`);
});

Deno.test("weir save says how it is used", async () => {
  assertEquals((await weir(["save"])).code, 2);
  assertEquals((await weir(["save", "--ipv4", "examples/gateway.ts"])).code, 2);
  assertMatch(
    (await weir(["save", "--help"])).stdout,
    /^Usage: weir save CONFIG \[--ipv6\] \[--counters\] \| CONFIG --ipset/,
  );
});
