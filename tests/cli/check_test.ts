/** `weir check`: right configurations, ten mistakes at once, and modules that are no configuration. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { files, ROOT } from "../tree.ts";
import { Folder, weir } from "./weir.ts";

for (const example of files("examples").filter((path) => /(?<!_test)\.ts$/.test(path))) {
  Deno.test(`weir check ${example} finds no mistake`, async () => {
    assertEquals(await weir(["check", example]), {
      code: 0,
      stdout: `${example}: no mistakes\n`,
      stderr: "",
    });
  });
}

/** Ten mistakes, and where each is to be reported. */
const TEN = `
import { defineRouter } from "weir";

export default defineRouter({
  interfaces: {
    lan: { addresses: ["192.0.2.1/24", "192.0.2.300/24"] },
    "a name that is too long": { addresses: ["203.0.113.1/24"] },
    wan: { addresses: ["192.0.2.1/24"], mtu: 20 },
  },
  routes: [{ destination: "0.0.0.0/0", interface: "dmz" }],
  tables: {
    filter: {
      FORWARD: [
        { protocol: "tcp", dport: 70000, jump: "ACCEPT" },
        { jump: "ACCPET" },
        { dport: 80, jump: "ACCEPT" },
      ],
    },
    raw: { PREROUTING: [{ jump: "MASQUERADE" }] },
  },
  sysctl: { "net.netfilter.nf_conntrack_tcp_lose": 1 },
});
`;
const PLACES = [
  "interfaces.lan.addresses[1]",
  'interfaces["a name that is too long"]',
  "interfaces.wan.addresses[0]",
  "interfaces.wan.mtu",
  "routes[0].interface",
  "tables.filter.FORWARD[0].dport",
  "tables.filter.FORWARD[1].jump",
  "tables.filter.FORWARD[2]",
  "tables.raw.PREROUTING[0]",
  'sysctl["net.netfilter.nf_conntrack_tcp_lose"]',
];

for (const command of ["check", "run"]) {
  Deno.test(`weir ${command} reports ten mistakes of ten, with their places, and ends with 1`, async () => {
    using folder = new Folder();
    const config = folder.write("ten.ts", TEN);
    const { code, stdout, stderr } = await weir([command, config]);
    assertEquals([code, stdout], [1, ""]);
    assertStringIncludes(stderr, `weir: ${config}: 10 mistakes\n`);
    const lines = stderr.trimEnd().split("\n").slice(1);
    assertEquals(lines.length, 10, stderr);
    for (const place of PLACES) {
      assert(lines.some((line) => line.startsWith(`  ${place}`)), `${place} in:\n${stderr}`);
    }
  });
}

Deno.test("weir check --json prints the mistakes as data", async () => {
  using folder = new Folder();
  const wrong = await weir(["check", "--json", folder.write("ten.ts", TEN)]);
  assertEquals([wrong.code, wrong.stderr], [1, ""]);
  const { ok, problems } = JSON.parse(wrong.stdout);
  assertEquals(ok, false);
  assertEquals(problems.length, 10);
  assert(problems.every((p: { path: unknown; message: unknown }) => typeof p.path === "string" && p.message));
  const right = await weir(["check", "--json", "examples/gateway.ts"]);
  assertEquals([right.code, JSON.parse(right.stdout)], [0, { ok: true, problems: [], warnings: [] }]);
});

/** Name, the module's text, what is said about it after its file's name. */
const NO_CONFIGURATION: [string, string, RegExp][] = [
  ["has a syntax error", "export default (\n", /^syntax error: /],
  [
    "throws",
    "const x = 1;\nthrow new RangeError('too far ' + x);\n",
    /^it threw RangeError while it was loaded \(line 2\): too far 1$/,
  ],
  ["throws what is no error", "throw 'a text';\n", /^it threw "a text" while it was loaded$/],
  [
    "imports what is not there",
    'import x from "./nowhere.ts";\nexport default x;\n',
    /^it imports what is not there: .*nowhere\.ts/,
  ],
  [
    "has no default export",
    "export const config = {};\n",
    /^it has no default export; write: export default defineRouter/,
  ],
  [
    "exports a plain object",
    "export default { interfaces: {} };\n",
    /^its default export was not made by defineRouter/,
  ],
  ["exports a number", "export default 42;\n", /^its default export was not made by defineRouter/],
];

for (const [name, text, reason] of NO_CONFIGURATION) {
  for (const command of ["check", "run"]) {
    Deno.test(`weir ${command} says it of a module that ${name}`, async () => {
      using folder = new Folder();
      const config = folder.write("config.ts", text);
      const { code, stdout, stderr } = await weir([command, config]);
      assertEquals([code, stdout], [1, ""]);
      assert(stderr.startsWith(`weir: ${config}: `), stderr);
      assertMatch(stderr.slice(`weir: ${config}: `.length).trimEnd(), reason);
    });
  }
}

Deno.test("weir check says it of a file that is not there", async () => {
  assertEquals(await weir(["check", "nowhere.ts"]), {
    code: 1,
    stdout: "",
    stderr: "weir: nowhere.ts: there is no such file\n",
  });
});

Deno.test("weir check finds a configuration from the folder that the user stands in", async () => {
  using folder = new Folder();
  const text = Deno.readTextFileSync(`${ROOT}examples/gateway.ts`);
  folder.write("my gateway #1.ts", text);
  const here = await weir(["check", "my gateway #1.ts"], folder.path);
  assertEquals([here.code, here.stderr], [0, ""]);
  // As `deno task start` calls it: in the project's folder, with INIT_CWD naming the user's.
  const there = await weir(["check", "my gateway #1.ts"], ROOT, { INIT_CWD: folder.path });
  assertEquals([there.code, there.stderr], [0, ""]);
});
