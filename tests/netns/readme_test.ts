/** README.md's first configuration and its list of commands, each run as it is printed, beside a router that runs. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { PcapngWriter } from "../../src/replay/pcapng.ts";
import { udp } from "../kit/mod.ts";
import { read } from "../tree.ts";
import { HERE, Lab, ROOT } from "./lab.ts";
import { labTest } from "./lab_testing.ts";

const README = read("README.md");
/** The configuration that README.md begins with. */
const GATEWAY = /^```ts\n(import \{ defineRouter, ftp \} from "weir";[\s\S]*?)^```/m.exec(README)![1];
/** The commands behind it, without what is said of them. */
const COMMANDS = [...README.matchAll(/^deno run -A mod\.ts (\w+.*)$/gm)].map(([, words]) =>
  words.replace(/\s+# .*$/, "")
);

/** What is in the files that the commands name; README.md says of a set only that the router has it. */
function write(lab: Lab): void {
  const set = 'sets: { blocked: { type: "hash:net", entries: ["203.0.113.0/24"] } },';
  lab.write("gateway.ts", GATEWAY.replace("  helpers: [", `  ${set}\n  helpers: [`));
  for (const version of ["v4", "v6"]) {
    lab.write(`rules.${version}`, read(`tests/config/fixtures/home_router.${version}`));
  }
  const writer = new PcapngWriter(), lan = writer.interface({ name: "lan" });
  const packet = udp({ src: "192.0.2.2", sport: 1, dst: "198.51.100.2", dport: 53 });
  writer.packet(lan, 1_790_000_000_000_000_000n, packet);
  Deno.writeFileSync(`${lab.dir}/in.pcapng`, writer.bytes());
}

labTest("the commands of README.md do what they are said to do, as they are printed", ["ping"], async () => {
  await using lab = await Lab.private("lan", "wan");
  write(lab);
  const shell = (words: string) =>
    lab.spawn(HERE, "sh", ["-c", `exec ${Deno.execPath()} run -A --no-prompt ${ROOT}mod.ts ${words}`]);
  // Those that go on until they are told to stop.
  const run = COMMANDS.find((words) => words.startsWith("run "))!;
  const follow = COMMANDS.find((words) => words.includes("-E"))!;
  assert(COMMANDS.length >= 14, COMMANDS.join("\n"));
  const router = shell(run);
  await router.waitFor(/^weir: ready, forwarding \(lan, wan\)$/m, 15_000);
  const events = shell(follow);
  const said = new Map<string, string>();
  for (const words of COMMANDS) {
    if (words === run || words === follow) continue;
    if (words.startsWith("conntrack")) await lab.ok("lan", "ping", "-c1", "-W2", "198.51.100.2");
    const { code, stdout, stderr } = await shell(words).ended;
    assertEquals([code, stderr], [0, ""], `weir ${words}\n${stdout}`);
    said.set(words.split(" ")[0], stdout);
  }
  const expected: Record<string, string> = {
    check: "gateway.ts: no mistakes",
    reload: "gateway: reloaded",
    conntrack: "icmp",
    helpers: "ftp     tcp 21",
    pinholes: "",
    set: "203.0.113.0/24",
    metrics: 'weir_flows{router="gateway"} ',
    rules: "MASQUERADE",
    explain: "wan: IPv4 198.51.100.1:1000 > 198.51.100.2:80",
    save: "-A POSTROUTING -o wan -j MASQUERADE",
    import: "",
    replay: "1 packet in, 1 out",
  };
  assertEquals([...said.keys()].sort(), Object.keys(expected).sort());
  for (const [command, part] of Object.entries(expected)) assertStringIncludes(said.get(command)!, part);
  assertStringIncludes(Deno.readTextFileSync(`${lab.dir}/router.ts`), "export default defineRouter({");
  assert(Deno.statSync(`${lab.dir}/out.pcapng`).size > 0);
  await events.waitFor(/\[NEW\] icmp/, 5_000);
  assertEquals((await events.stop("SIGINT")).code, 0);
  await router.stop();
});
