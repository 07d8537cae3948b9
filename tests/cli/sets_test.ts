/** Sets on the command line: `weir import --ipset` and `weir save --ipset`, there and back. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ROOT } from "../tree.ts";
import { Folder, weir } from "./weir.ts";

/** As `ipset save` prints it. */
const SETS =
  `create blocked hash:net family inet hashsize 1024 maxelem 65536 timeout 100 counters comment skbinfo \
bucketsize 12 initval 0x12345678
add blocked 192.0.2.0/24 timeout 99 packets 0 bytes 0 comment "a lab"
add blocked 198.51.100.7 timeout 0 nomatch packets 5 bytes 77 skbmark 0x1/0xff skbprio 1:10 skbqueue 7
create six hash:ip,port family inet6 hashsize 64 maxelem 8 bucketsize 12 initval 0x9e3779b1
add six 2001:db8::1,tcp:80
create coarse hash:ip family inet hashsize 1024 maxelem 65536 netmask 24 bucketsize 4 initval 0x00000001
create ports bitmap:port range 0-1024
add ports 22
create lab bitmap:ip range 192.0.2.0-192.0.2.255
add lab 192.0.2.9
create all list:set size 8
add all blocked
add all six
`;
const RULES = `*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -i lan -m set --match-set all src -j ACCEPT
-A FORWARD -m set ! --match-set ports dst --return-nomatch ! --update-counters --packets-gt 3
-A FORWARD -i wan -m set ! --match-set lab dst -j SET --add-set blocked src --exist --timeout 30
COMMIT
`;

Deno.test("weir import --ipset writes sets out, and weir save prints sets and rules as they were", async () => {
  using folder = new Folder();
  const rules = folder.write("rules.v4", RULES), sets = folder.write("sets.txt", SETS);
  const { code, stdout, stderr } = await weir(["import", rules, "--ipset", sets]);
  assertEquals([code, stderr], [0, ""]);
  assertStringIncludes(stdout, " * Rules imported from rules.v4 and sets.txt.\n");
  assertStringIncludes(stdout, '    ports: { type: "bitmap:port", range: "0-1024", entries: ["22"] },\n');
  let host = 0;
  const module = folder.write("router.ts", stdout.replaceAll("address/length", () => `192.0.2.${++host}/32`));
  for (const args of [["check", "--config", "deno.json"], ["fmt", "--check", "--no-config"]]) {
    const { success } = await new Deno.Command(Deno.execPath(), { args: [...args, module], cwd: ROOT })
      .output();
    assert(success, args[0]);
  }
  assertEquals(await weir(["check", module]).then(({ code }) => code), 0);
  assertEquals(await weir(["save", module, "--ipset"]), { code: 0, stdout: SETS, stderr: "" });
  assertEquals(await weir(["save", module]), { code: 0, stdout: RULES, stderr: "" });
});

Deno.test("weir import leaves a long set as text, and says which sets are to be filled in", async () => {
  using folder = new Folder();
  const header =
    "create long hash:ip family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x00000007\n";
  const long = header +
    Array.from({ length: 500 }, (_, i) => `add long 192.0.${i >> 8}.${i & 255}\n`).join("").slice(
      "add long 192.0.0.0\n".length,
    );
  const rules = folder.write(
    "rules.v4",
    "*filter\n-A FORWARD -m set --match-set other src\n-A FORWARD -j SET --add-set long src\nCOMMIT\n",
  );
  const { code, stdout } = await weir(["import", rules, "--ipset", folder.write("sets.txt", long)]);
  assertEquals(code, 0);
  assertStringIncludes(stdout, "  // Text, because it has more than 200 members.\n  ipset: `\ncreate long");
  assertStringIncludes(stdout, '  sets: { other: { type: "hash:net", entries: ["address/length"] } },\n');
  const saved = await weir(["save", folder.write("router.ts", stdout), "--ipset"]);
  assertEquals(saved.code, 0);
  assertStringIncludes(saved.stdout, long);
  assertMatch(saved.stderr, /sets\.other\.entries\[0\]/);
});

Deno.test("weir import and save say what is wrong with sets", async () => {
  using folder = new Folder();
  const sets = folder.write("sets.txt", "create a hash:ip\nadd a 192.0.2.1\nadd a 192.0.2.1\n");
  const wrong = await weir(["import", "--ipset", sets]);
  assertEquals(wrong.code, 1);
  assertMatch(wrong.stderr, /sets\.txt:3:7: "192\.0\.2\.1" is in the set already/);
  assertEquals((await weir(["import", "-", "--ipset", "-"])).code, 2);
  assertEquals((await weir(["import", "--ipset"])).code, 2);
  const module = folder.write(
    "router.ts",
    'import { defineRouter } from "weir";\nexport default defineRouter({\n  interfaces: { lan: {} },\n' +
      '  sets: { both: { type: "hash:ip", entries: ["192.0.2.1", "2001:db8::1"] } },\n});\n',
  );
  const both = await weir(["save", module, "--ipset"]);
  assertEquals(both.code, 1);
  assertMatch(both.stderr, /sets\.both: has addresses of both families/);
  assertEquals((await weir(["save", module, "--ipset", "--ipv6"])).code, 2);
});
