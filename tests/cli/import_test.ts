/** `weir import`: from iptables-save text to a module that compiles, is formatted, and says the same. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { FIXTURES } from "../config/fixtures/legacy.ts";
import { ROOT } from "../tree.ts";
import { Folder, weir } from "./weir.ts";

const HERE = "tests/config/fixtures/";

/** What is left of an iptables-save text without comments and counters. */
function bare(text: string): string {
  return text.replace(/^#.*\n/gm, "").replace(/^\[\d+:\d+\] /gm, "").replace(/\[\d+:\d+\]$/gm, "[0:0]");
}

/** The lines of each table; rules of a chain stand in order, chains may not. */
function sorted(text: string): string[] {
  return bare(text).split(/(?<=^COMMIT\n)/m).map((table) => {
    const lines = table.trimEnd().split("\n"), rules = lines.filter((line) => line.startsWith("-A"));
    const chains = [...new Set(rules.map((rule) => rule.split(" ")[1]))].sort();
    const inOrder = chains.flatMap((chain) => rules.filter((rule) => rule.split(" ")[1] === chain));
    return [...lines.filter((line) => !line.startsWith("-A")), ...inOrder].join("\n");
  }).sort();
}

async function deno(...args: string[]): Promise<{ success: boolean; stderr: string }> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  return { success, stderr: new TextDecoder().decode(stderr) };
}

Deno.test("weir import makes modules that deno check and deno fmt find nothing wrong with", async () => {
  using folder = new Folder();
  const made: string[] = [];
  for (const { name, family } of FIXTURES) {
    const { code, stdout, stderr } = await weir([
      "import",
      ...family === 6 ? ["--ipv6"] : [],
      `${HERE}${name}`,
    ]);
    assertEquals([code, stderr], [0, ""]);
    made.push(folder.write(`${name.replace(".", "_")}.ts`, stdout));
  }
  const checked = await deno("check", "--config", "deno.json", ...made);
  assert(checked.success, checked.stderr);
  const formatted = await deno("fmt", "--check", "--no-config", ...made);
  assert(formatted.success, formatted.stderr);
});

for (const name of ["docker_host.v4", "home_router.v4", "kubernetes.v4"]) {
  Deno.test(`weir import ${name}, filled in, checks, and weir save prints the same`, async () => {
    using folder = new Folder();
    const { stdout } = await weir(["import", HERE + name]);
    let host = 0;
    const filled = stdout.replaceAll("address/length", () => `192.0.2.${++host}/32`);
    const module = folder.write("router.ts", filled);
    const checked = await weir(["check", module]);
    assertEquals([checked.code, checked.stderr], [0, ""]);
    const saved = await weir(["save", module]);
    assertEquals([saved.code, saved.stderr], [0, ""]);
    const { text } = FIXTURES.find((fixture) => fixture.name === name)!;
    assertEquals(sorted(saved.stdout), sorted(text));
  });
}

Deno.test("weir import takes both families, and one of them from standard input", async () => {
  const both = await weir(["import", `${HERE}home_router.v4`, "--ipv6", `${HERE}home_router.v6`]);
  assertEquals([both.code, both.stderr], [0, ""]);
  assertStringIncludes(both.stdout, " * Rules imported from home_router.v4 and home_router.v6.\n");
  assertStringIncludes(both.stdout, "    ipv4: {\n");
  assertStringIncludes(both.stdout, "    ipv6: {\n");
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-prompt", "mod.ts", "import", "-", "--ipv6", `${HERE}home_router.v6`],
    cwd: ROOT,
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(Deno.readFileSync(`${ROOT}${HERE}home_router.v4`));
  await writer.close();
  const { code, stdout } = await child.output();
  assertEquals(code, 0);
  assertEquals(
    new TextDecoder().decode(stdout).replaceAll("stdin", "home_router.v4"),
    both.stdout,
  );
});

Deno.test("weir check points at every address that an imported module lacks", async () => {
  using folder = new Folder();
  const { stdout } = await weir(["import", `${HERE}home_router.v4`]);
  const { code, stderr } = await weir(["check", folder.write("router.ts", stdout)]);
  assertEquals(code, 1);
  assertMatch(
    stderr,
    /: 3 mistakes\n {2}interfaces\.ppp0\.addresses\[0\]: "address\/length" is not an address/,
  );
});

/** Lines of real files that Weir has no answer to, and what it says of each. */
const REFUSED: readonly (readonly [line: string, column: number, message: RegExp])[] = [
  [
    "-A OUTPUT -m cgroup --cgroup 1 -j ACCEPT",
    14,
    /^iptables has match "cgroup", Weir has not; .*program/,
  ],
  ["-A FORWARD -m bpf --bytecode 1,6 0 0 0 -j DROP", 15, /^iptables has match "bpf".*match: \(p\)/],
  ["-A FORWARD -m rateest --rateest x -j DROP", 15, /^iptables has match "rateest", Weir has not$/],
  ["-A FORWARD -j QUEUE", 15, /^iptables has target "QUEUE", Weir has not; nothing queues/],
  ["-A FORWARD -j TEE --gateway 192.0.2.9", 15, /^iptables has target "TEE", Weir has not$/],
  [
    "-A FORWARD -m conntrak --ctstate NEW",
    15,
    /^match "conntrak" is not one that Weir has; did you mean conntrack\?/,
  ],
  [
    "-A FORWARD -j DORP",
    15,
    /^"DORP" is neither a target that Weir has nor a user chain .* did you mean DROP\?/,
  ],
  [
    "-A FORWARD -m hashlimit --hashlimit-above 1gb/s --hashlimit-name x",
    43,
    /^"1gb\/s" is not a number of bytes/,
  ],
  ["-A INPUT -s router.example -j ACCEPT", 13, /^"router.example" is a host name; write its address/],
  // Judged when the table is whole.
  ["-A FORWARD -m time --weekdays Mon --kerneltz", 15, /^kerneltz .* UTC/],
];

Deno.test("weir import refuses what is not supported, with file, line and column, all at once", async () => {
  using folder = new Folder();
  const file = folder.write("rules", `*filter\n${REFUSED.map(([line]) => `${line}\n`).join("")}COMMIT\n`);
  const { code, stdout, stderr } = await weir(["import", file]);
  assertEquals([code, stdout], [1, ""]);
  const [first, ...lines] = stderr.trimEnd().split("\n");
  assertEquals(first, `weir: ${file}: ${REFUSED.length} mistakes`);
  assertEquals(lines.length, REFUSED.length);
  REFUSED.forEach(([, column, message], i) => {
    const place = `  ${file}:${i + 2}:${column}: `;
    assert(lines[i].startsWith(place), `${lines[i]} does not stand at ${place}`);
    assertMatch(lines[i].slice(place.length), message);
  });
});

/** Rules of which Weir cannot have some. */
const PARTLY = `*filter
:FORWARD DROP [0:0]
-A FORWARD -i lan -m bpf --bytecode "1,6 0 0 0" -j DROP
-A FORWARD -i lan -j ACCEPT
-A FORWARD -m geoip --src-cc AT -j ACCEPT
COMMIT
`;
const PARTLY6 = "*filter\n-A FORWARD -j NFQUEUE --queue-num 1\nCOMMIT\n";

Deno.test("weir import --leave-out makes a module without what is not supported, and says of each rule what is lost", async () => {
  using folder = new Folder();
  const files = [folder.write("rules.v4", PARTLY), folder.write("rules.v6", PARTLY6)] as const;
  const sets = folder.write("sets", "create macs hash:mac\nadd macs 02:00:00:00:00:01\n");
  const args = ["import", "--leave-out", files[0], "--ipv6", files[1], "--ipset", sets];
  const { code, stdout, stderr } = await weir(args);
  assertEquals(code, 0);
  const queues = "nothing queues to user space; a function can judge such packets: match: (p) => …";
  assertEquals(stderr.split("\n"), [
    `weir: 3 rules and 1 set are left out, so the module does not say what ${files[0]}, ${
      files[1]
    }, ${sets} said; ` +
    "MORE GETS THROUGH without 2 of them",
    `  ${
      files[0]
    }:3:22: filter FORWARD (it dropped: MORE GETS THROUGH): iptables has match "bpf", Weir has not; ` +
    "a function can judge such packets: match: (p) => …",
    `  ${
      files[0]
    }:5:15: filter FORWARD (it accepted: less gets through): an add-on of iptables has match "geoip", ` +
    "Weir has not; the networks of a country can be a set: matchSet",
    `  ${files[1]}:2:15: filter FORWARD (it could drop: MORE GETS THROUGH): iptables has target "NFQUEUE", ` +
    `Weir has not; ${queues}`,
    `  ${sets}:1:13: hash:mac is of MAC addresses, and packets of a TUN device have none`,
    "",
  ]);
  assertStringIncludes(stdout, " * Weir does not support all of it: 3 rules and 1 set left out,\n");
  const place = stdout.indexOf("// -A FORWARD -i lan -m bpf");
  assert(place > 0 && place < stdout.indexOf('{ inInterface: "lan", jump: "ACCEPT" }'), stdout);
  const module = folder.write("router.ts", stdout.replaceAll("address/length", "192.0.2.1/24"));
  const checked = await weir(["check", module]);
  assertEquals([checked.code, checked.stderr], [0, ""]);
  const formatted = await deno("fmt", "--check", "--no-config", module);
  assert(formatted.success, formatted.stderr);
  const saved = await weir(["save", module]);
  assertEquals(saved.stdout.split("\n").filter((line) => line.startsWith("-A")), [
    "-A FORWARD -i lan -j ACCEPT",
  ]);
});

Deno.test("weir import says of one rule that it is left out, and nothing where none is", async () => {
  using folder = new Folder();
  const one = await weir(["import", "--leave-out", "--ipv6", folder.write("one", PARTLY6)]);
  assertEquals(one.code, 0);
  assertMatch(one.stderr, /^weir: 1 rule is left out, .* said; MORE GETS THROUGH without it\n {2}\S+: .*\n$/);
  const none = folder.write("none", "*filter\n-A FORWARD -j ACCEPT\nCOMMIT\n");
  assertEquals(await weir(["import", "--leave-out", none]), await weir(["import", none]));
});

Deno.test("weir import names --leave-out where it would do, and only there; what is wrong it refuses", async () => {
  using folder = new Folder();
  const partly = await weir(["import", folder.write("partly", PARTLY)]);
  assertEquals([partly.code, partly.stdout], [1, ""]);
  assertMatch(partly.stderr, /: 2 mistakes\n(.*\n){2} {2}--leave-out makes a module without them\n$/);
  const wrong = folder.write("wrong", PARTLY.replace("-j ACCEPT", "-j ACCEPTT"));
  const refused = await weir(["import", wrong]);
  assertEquals(refused.code, 1);
  assert(!refused.stderr.includes("--leave-out"), refused.stderr);
  assertEquals(await weir(["import", "--leave-out", wrong]), {
    code: 1,
    stdout: "",
    stderr:
      `weir: ${wrong}: 1 mistake\n  ${wrong}:4:22: "ACCEPTT" is neither a target that Weir has nor a user ` +
      "chain of table filter; did you mean ACCEPT?\n",
  });
});

Deno.test("weir import says how it is used", async () => {
  assertEquals((await weir(["import"])).code, 2);
  assertEquals((await weir(["import", "a", "b"])).code, 2);
  assertEquals((await weir(["import", "-", "--ipv6", "-"])).code, 2);
  assertEquals(await weir(["import", "nowhere.rules"]), {
    code: 1,
    stdout: "",
    stderr: "weir: nowhere.rules: No such file or directory\n",
  });
  assertMatch(
    (await weir(["import", "--help"])).stdout,
    /^Usage: weir import FILE \[--ipv6 FILE6\] \[--ipset SETS\]/,
  );
});
