/** `weir replay`: its files, its words and its exit codes. */

import { assert, assertEquals } from "@std/assert";
import { PcapngWriter } from "../../src/replay/pcapng.ts";
import { udp } from "../kit/mod.ts";
import { Folder, weir } from "./weir.ts";
import { ROOT } from "../tree.ts";

const CONFIG = `
import { defineRouter } from "${ROOT}mod.ts";
export default defineRouter({
  interfaces: { lan: { addresses: ["192.0.2.1/24"] }, wan: { addresses: ["198.51.100.1/24"] } },
  tables: { filter: { FORWARD: [{ protocol: "udp", dport: 53, jump: "ACCEPT" }, { jump: "DROP" }] } },
});`;

function capture(name = "lan"): Uint8Array {
  const writer = new PcapngWriter();
  const lan = writer.interface({ name });
  for (const dport of [53, 54]) {
    writer.packet(
      lan,
      1_790_000_000_000_000_000n,
      udp({ src: "192.0.2.2", sport: 1, dst: "198.51.100.7", dport }),
    );
  }
  return writer.bytes();
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

Deno.test("weir replay writes the capture and the four dumps, and says what came of it", async () => {
  using folder = new Folder();
  folder.write("weir.ts", CONFIG);
  Deno.writeFileSync(`${folder.path}/in.pcapng`, capture());
  const { code, stdout, stderr } = await weir(
    ["replay", "weir.ts", "in.pcapng", "out.pcapng", "--dump", "tables", "--seed", "5"],
    folder.path,
  );
  assertEquals([code, stdout, stderr], [0, "2 packets in, 1 out; rule-drop 1\n", ""]);
  assertEquals([...Deno.readDirSync(`${folder.path}/tables`)].map((e) => e.name).sort(), [
    "conntrack",
    "expect",
    "ip6tables",
    "iptables",
  ]);
  const names = [...Deno.readDirSync(folder.path)].map((e) => e.name).sort();
  assertEquals(names, ["in.pcapng", "out.pcapng", "tables", "weir.ts"]);
});

Deno.test("weir replay refuses bad input with exit 1, its reason, and no output", async () => {
  using folder = new Folder();
  folder.write("weir.ts", CONFIG);
  folder.write("text.pcapng", "not a capture");
  Deno.writeFileSync(`${folder.path}/cut.pcapng`, capture().subarray(0, -7));
  Deno.writeFileSync(`${folder.path}/dmz.pcapng`, capture("dmz"));
  const cases = [
    ["text.pcapng", "not a pcapng file"],
    ["cut.pcapng", "cut off"],
    ["dmz.pcapng", "the capture has an interface dmz, the configuration has lan, wan"],
    ["none.pcapng", "No such file"],
  ];
  for (const [file, why] of cases) {
    const { code, stdout, stderr } = await weir(["replay", "weir.ts", file, "out.pcapng"], folder.path);
    assertEquals([code, stdout], [1, ""], file);
    assert(stderr.includes(file) && stderr.includes(why), `${file}: ${stderr}`);
    assert(!exists(`${folder.path}/out.pcapng`), file);
  }
  const wrong = await weir(["replay", "weir.ts", "in.pcapng"], folder.path);
  assertEquals(wrong.code, 2);
  const seed = await weir(["replay", "weir.ts", "a", "b", "--seed", "x"], folder.path);
  assertEquals(seed.code, 2);
});

Deno.test("weir replay --batch answers line by line and goes on after a refusal", async () => {
  using folder = new Folder();
  folder.write("weir.ts", CONFIG);
  Deno.writeFileSync(`${folder.path}/in.pcapng`, capture());
  folder.write(
    "batch",
    "# four\nweir.ts in.pcapng a.pcapng a\n\nweir.ts none.pcapng b.pcapng b\nweir.ts in.pcapng c.pcapng c\nx y\n",
  );
  const { code, stdout } = await weir(["replay", "--batch", "batch"], folder.path);
  assertEquals(code, 1);
  const lines = stdout.trimEnd().split("\n");
  assertEquals(lines.length, 4);
  assertEquals([lines[0], lines[2]], ["2 ok", "5 ok"]);
  assert(lines[1].startsWith("4 refused: none.pcapng: "), lines[1]);
  assert(lines[3].startsWith("6 refused: "), lines[3]);
  assertEquals(Deno.readFileSync(`${folder.path}/a.pcapng`), Deno.readFileSync(`${folder.path}/c.pcapng`));
  assert(!exists(`${folder.path}/b.pcapng`));
});

Deno.test("B04 rules with a mistake in their last line are refused whole: exit 1, the line, and nothing written", async () => {
  using folder = new Folder();
  const rules = (last: string) =>
    `*filter\n:FORWARD DROP [0:0]\n-A FORWARD -p udp --dport 53 -j ACCEPT\n${last}\nCOMMIT\n`;
  const config = (last: string) => `
import { defineRouter } from "${ROOT}mod.ts";
export default defineRouter({
  interfaces: { lan: { addresses: ["192.0.2.1/24"] }, wan: { addresses: ["198.51.100.1/24"] } },
  iptables: ${JSON.stringify(rules(last))},
});`;
  folder.write("good.ts", config("-A FORWARD -j DROP"));
  folder.write("bad.ts", config("-A FORWARD -j DORP"));
  Deno.writeFileSync(`${folder.path}/in.pcapng`, capture());
  const good = await weir(["replay", "good.ts", "in.pcapng", "out.pcapng", "--dump", "tables"], folder.path);
  assertEquals([good.code, good.stderr], [0, ""]);
  const before = Deno.readFileSync(`${folder.path}/out.pcapng`);
  const bad = await weir(["replay", "bad.ts", "in.pcapng", "out.pcapng", "--dump", "other"], folder.path);
  assertEquals([bad.code, bad.stdout], [1, ""]);
  assert(bad.stderr.includes("iptables:4:") && bad.stderr.includes("DORP"), bad.stderr);
  assertEquals(Deno.readFileSync(`${folder.path}/out.pcapng`), before, "what was there before stands");
  assert(!exists(`${folder.path}/other`));
});
