/** Another configuration for a router that runs: as a whole or not at all, and nobody who talks through it notices. */

import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import type { Reloaded } from "../../src/control/reload.ts";
import type { RulesFile } from "../../src/control/rules_file.ts";
import { ask } from "../../src/control/socket.ts";
import { Memory, RX_PACKETS, TX_PACKETS } from "../../src/memory.ts";
import { HERE, Lab, pathOf, ROOT, type Running, weirArgs } from "./lab.ts";
import { labTest } from "./lab_testing.ts";
import { startWeb } from "./services.ts";

/** A configuration between lan and wan; `more` are its other keys. */
function config(more: string, interfaces = ""): string {
  return `
import { amanda, defineRouter, ftp, irc, tftp } from "${ROOT}mod.ts";
export default defineRouter({
  interfaces: {
    lan: { addresses: ["192.0.2.1/24"], peer: { netns: "lan", addresses: ["192.0.2.2/24"], routes: ["default"] } },
    wan: { addresses: ["198.51.100.1/24"], peer: { netns: "wan", addresses: ["198.51.100.2/24"] } },
    ${interfaces}
  },
  ${more}
});
`;
}

const SMALL = `sysctl: { "net.netfilter.nf_conntrack_max": 4096 },`;
const NAT = `tables: {
  nat: { POSTROUTING: [{ outInterface: "wan", jump: "MASQUERADE" }] },
  filter: { FORWARD: { policy: "DROP", rules: [
    { state: ["ESTABLISHED", "RELATED"], jump: "ACCEPT" },
    { inInterface: "lan", jump: "ACCEPT" },
  ] } },
},`;

/** A lab in which a router runs that is reloaded through its socket: a command of its own would take its time. */
class Reloading implements AsyncDisposable {
  private constructor(readonly lab: Lab, readonly path: string, public weir: Running) {}

  static async start(text: string, options: string[] = [], namespaces = ["lan", "wan"]): Promise<Reloading> {
    const lab = await Lab.private(...namespaces), path = lab.write("gw.ts", text);
    try {
      return new Reloading(lab, path, await lab.weir(path, ...options));
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  write(text: string): void {
    Deno.writeTextFileSync(this.path, text);
  }

  async ask(options: Record<string, unknown> = {}): Promise<Reloaded> {
    const socket = pathOf(this.weir.pid, "/run/weir/gw.sock");
    return await ask(socket, { command: "reload", ...options }) as unknown as Reloaded;
  }

  /** Gives it another text. */
  reload(text: string, options: Record<string, unknown> = {}): Promise<Reloaded> {
    this.write(text);
    return this.ask(options);
  }

  /** Its state as of now. */
  get memory(): Memory {
    return Memory.open(Deno.readFileSync(pathOf(this.weir.pid, "/run/weir/gw.state")).buffer);
  }

  async flows(): Promise<string> {
    return (await this.lab.command(["conntrack", "-L"])).stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab.close();
  }
}

const message = async (promise: Promise<unknown>) =>
  await promise.then(() => "it was not refused", (error: Error) => error.message);

/** A rule that does nothing, so that each configuration differs from the one before. */
const rules = (n: number) =>
  NAT.replace("rules: [", `rules: [{ source: "203.0.113.${n}", comment: "${n}" }, `);

for (const workers of [1, 2]) {
  const who = workers === 1 ? "a router" : "a router of two workers";
  const times = workers === 1 ? 50 : 12;
  labTest(
    `a download and pings every 5 ms go through ${times} reloads of ${who}`,
    ["curl", "ping"],
    async () => {
      await using r = await Reloading.start(config(SMALL + NAT), ["--workers", String(workers)]);
      const { lab } = r;
      await startWeb(lab, "wan", 8080);
      const size = times * 1_000_000;
      const curl = lab.spawn("lan", "curl", [
        ..."-sS --limit-rate 7M -m 60 -o got".split(" "),
        `http://198.51.100.2:8080/bytes/${size}`,
      ]);
      const ping = lab.spawn("lan", "ping", ["-i", "0.005", "-q", "198.51.100.2"]);
      const flow = async () => /^tcp .*dport=8080 .*dport=(\d+) \[ASSURED\]/m.exec(await r.flows())?.[1];
      let port: string | undefined;
      while ((port = await flow()) === undefined) assert(!curl.over, curl.text);
      const open = () => [...Deno.readDirSync(`/proc/${r.weir.pid}/fd`)].length;
      const gaps: number[] = [];
      let descriptors = 0;
      for (let n = 0; n < times; n++) {
        const { gap, lines } = await r.reload(config(SMALL + rules(n)));
        gaps.push(gap!);
        assertEquals(lines.length, 1, lines.join("\n"));
        if (n === 1) descriptors = open();
      }
      assertEquals(await flow(), port, "the same flow with the same port");
      assertLess(open(), descriptors + 4, "descriptors are given back");
      ping.signal("SIGINT");
      const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec((await ping.ended).stdout)!;
      assertEquals(received, sent, "no ping was lost");
      const { code, stderr } = await curl.ended;
      assertEquals(code, 0, stderr);
      // What the server sends is the same line again and again.
      const line = "All work and no play makes a dull packet.\n",
        got = Deno.readTextFileSync(`${lab.dir}/got`);
      assertEquals(got.length, size);
      for (let at = 0; at < size; at += 65_536) {
        const chunk = Math.min(65_536, size - at);
        assert(
          got.startsWith(line.repeat(2).slice(0, Math.min(chunk, 84)), at),
          `what came at ${at} is wrong`,
        );
      }
      gaps.sort((a, b) => a - b);
      assertLess(gaps[times >> 1], 100, `milliseconds without a router: ${gaps}`);
    },
  );
}

labTest(
  "L05 at no moment packets are judged by both of two rule sets, by none, or by a mixture",
  [],
  async () => {
    // As many reloads as there is time for while 18,000 packets pass, some dozens; 1,000 would take two minutes.
    // Each lets one of two streams pass, and says so in two tables; who is in between would not agree with itself.
    const only = (port: number) =>
      config(`iptables: "*mangle\\n-A PREROUTING -p udp -j MARK --set-mark ${port}\\nCOMMIT\\n" +
      "*nat\\n-A POSTROUTING -o wan -p udp -j MASQUERADE --to-ports 20000-60000 --random\\nCOMMIT\\n*filter\\n" +
      "-A FORWARD -p udp --sport ${port} -m mark --mark ${port} -j ACCEPT\\n" +
      "-A FORWARD -p udp -m mark --mark ${port} -j DROP\\n-A FORWARD -p udp -j DROP\\nCOMMIT\\n",
      ip6tables: "*filter\\n-A FORWARD -j DROP\\nCOMMIT\\n", ${SMALL}`);
    await using r = await Reloading.start(only(1001));
    const { lab } = r,
      script = `${ROOT}tests/netns/two_streams.ts`,
      args = ["run", "--no-config", "-A", "--unstable-net", script];
    const receiver = lab.spawn("wan", Deno.execPath(), [...args, "receive", "198.51.100.2", "9000"]);
    await receiver.waitFor(/^receiving/m);
    // Nothing is to be lost on the way where the machine has other work, neither before the router nor behind it.
    await lab.ok("lan", "ip", "link", "set", "dev", "lan", "txqueuelen", "5000");
    const sender = lab.spawn("lan", Deno.execPath(), [...args, "send", "198.51.100.2", "9000", "9000", "1"]);
    const file = Deno.readTextFileSync(pathOf(r.weir.pid, "/run/weir/gw.rules"));
    const filter = (JSON.parse(file) as RulesFile).tables.find((table) => table.name === "filter")!;
    const slots = filter.chains.find(({ name }) => name === "FORWARD")!.rules.map(({ slot }) => slot);
    let reloads = 0, judged = 0;
    for (; !sender.over; reloads++) {
      await r.reload(only(reloads % 2 === 0 ? 1002 : 1001));
      // The last rule is the same in both, so its counter goes on.
      const { rules } = r.memory.generation;
      judged += rules[2 * slots[0]] + rules[2 * slots[1]];
      assertEquals(rules[2 * slots[2]], 0, "a packet had the mark of one rule set and met the other");
    }
    assertEquals((await sender.ended).code, 0, sender.text);
    const came = (await receiver.ended).stdout.split("\n").filter((line) => /^\d/.test(line))
      .map((line) => line.split(" ").map(Number));
    let runs = 1;
    const pairs = new Map<number, number>();
    came.forEach(([port, number], i) => {
      if (i > 0 && port !== came[i - 1][0]) runs++;
      pairs.set(number, (pairs.get(number) ?? 0) + 1);
    });
    // A pair between whose packets the rules changed may have lost or kept both.
    let odd = 0;
    for (let n = 0; n < 9_000; n++) if (pairs.get(n) !== 1) odd++;
    assertGreater(judged, 0);
    assertGreater(reloads, 3);
    assertEquals(
      new Set(came.map(([port]) => port)).size,
      2,
      "a flow keeps the port that it was given by chance",
    );
    assertLess(runs, reloads + 2, `the streams took turns ${runs} times in ${reloads} reloads`);
    assertLess(odd, reloads + 1, `${odd} of 9,000 pairs passed twice or not at all in ${reloads} reloads`);
  },
);

labTest("a mistake anywhere, also in the very last line, leaves everything as it was", ["curl"], async () => {
  const text = (last: string, more = "") =>
    config(`${SMALL} ${more} ip6tables: "", iptables: \`*nat
-A POSTROUTING -o wan -j MASQUERADE
COMMIT
*filter
-A FORWARD -m state --state ESTABLISHED,RELATED -j ACCEPT
-A FORWARD -i lan -p tcp -j ACCEPT
${last}
COMMIT
\`,`);
  await using r = await Reloading.start(text("-A FORWARD -j DROP"));
  const { lab } = r;
  await startWeb(lab, "wan", 8080);
  const curl = lab.spawn("lan", "curl", [
    ..."-sS --limit-rate 2M -m 30 -o got".split(" "),
    "http://198.51.100.2:8080/bytes/8000000",
  ]);
  while (!/dport=8080 .*ASSURED/.test(await r.flows())) assert(!curl.over, curl.text);
  const generation = r.memory.generation.at, devices = await lab.ok("lan", "ip", "address");
  const refused: [why: RegExp, text: string][] = [
    [/^.*gw\.ts: 1 mistake\n {2}iptables:7:\d+: .*REJCT/, text("-A FORWARD -j REJCT")],
    [
      /2 mistakes\n {2}iptables:7:[^]*\n {2}iptables:8:/,
      text("-A FORWARD -j X\n-A FORWARD --dport 7 -j DROP"),
    ],
    [/syntax error: /, `${text("")}\n }`],
    [
      /it threw Error while it was loaded \(line \d+\): at import/,
      `${text("")}\nthrow new Error("at import");`,
    ],
    [/it imports what is not there/, `import "./nowhere.ts";\n${text("")}`],
    [/it was not made by defineRouter|was not made by defineRouter/, "export default {};"],
    [/no default export/, "export const a = 1;"],
    [
      /cannot be changed while the router runs[^]*workers: 1 → 2[^]*nf_conntrack_max"\]: 4096 → 8192/,
      config(`workers: 2, sysctl: { "net.netfilter.nf_conntrack_max": 8192 },`),
    ],
    [
      /device dmz|no such network namespace|nowhere/i,
      config(NAT + SMALL, `dmz: { peer: { netns: "nowhere" } },`),
    ],
  ];
  for (const [why, wrong] of refused) assertMatch(await message(r.reload(wrong)), why, wrong.slice(-300));
  assertMatch(await message(r.ask({ config: "file:///nowhere.ts" })), /\/nowhere\.ts: /);
  assertMatch(await message(r.ask({ config: 7 })), /7 is not the address of a configuration/);
  const { memory } = r;
  assertEquals(memory.generation.at, generation, "the same rules are in force");
  assertGreater(memory.generation.rules[2 * 3], 0);
  assertEquals(await lab.ok("lan", "ip", "address"), devices);
  assertMatch(await r.flows(), /dport=8080 .*ASSURED/);

  // The command says the same, with its exit codes.
  r.write(text("-A FORWARD -j REJCT"));
  const wrong = await lab.command(["reload"]);
  assertEquals([wrong.code, wrong.stdout], [1, ""]);
  assertMatch(wrong.stderr, /^weir: .*gw\.ts: 1 mistake\n {2}iptables:7:\d+: /);
  assertEquals((await lab.command(["reload", "--tables"])).code, 2);
  assertEquals((await lab.command(["reload", "other"])).code, 1);
  const other = lab.write("other.ts", text("-A FORWARD -i lan -p udp -j ACCEPT\n-A FORWARD -j DROP"));
  const check = await lab.command(["reload", "gw", "--check", "--config", other]);
  assertEquals([check.code, check.stdout, r.memory.generation.at], [
    0,
    "gw: this would change\n  iptables filter FORWARD: 1 rule added\n",
    generation,
  ]);
  assertEquals((await curl.ended).code, 0);
  assertEquals(Deno.statSync(`${lab.dir}/got`).size, 8_000_000);

  // And what is right is done: counters of rules stay that are the same, wherever they stand.
  const packets = r.memory.generation.rules[2 * 3];
  const done = await lab.command(["reload", "--json", "--config", other]);
  assertEquals(JSON.parse(done.stdout).changes.chains, [
    { family: 4, table: "filter", chain: "FORWARD", added: 1, removed: 0, reordered: false, policy: null },
  ], done.stderr);
  assert(r.memory.generation.at !== generation);
  assertEquals(r.memory.generation.rules[2 * 3], packets);
  await r.reload(text("-A FORWARD -i lan -p udp -j ACCEPT\n-A FORWARD -j DROP"), { zero: true });
  assertEquals(r.memory.generation.rules[2 * 3], 0);
});

labTest(
  "L06 100 broken configurations are refused with their reasons, and leave nothing behind",
  ["ping"],
  async () => {
    const good = config(SMALL + NAT);
    await using r = await Reloading.start(good);
    const { lab } = r;
    const ping = () => lab.ok("lan", "ping", "-c", "1", "-e", "77", "-W", "2", "198.51.100.2");
    await ping();
    const ids = async () => /^icmp .*id=77 .*(id=\d+)/m.exec(await r.flows())?.[1];
    const id = await ids(), { at } = r.memory.generation;
    assert(id !== undefined);
    const broken: [why: RegExp, text: string][] = [
      [/it threw Error while it was loaded \(line \d+\): once/, `${good}\nthrow new Error("once");`],
      [/it threw TypeError while it was loaded/, `${good}\n(undefined as unknown as string).length;`],
      [/syntax error: /, `${good}\n}`],
      [
        /1 mistake\n.*no interface|1 mistake\n.*unknown interface|1 mistake\n.*"dmz"/,
        good.replace(`inInterface: "lan"`, `inInterface: "dmz"`),
      ],
      [/no such network namespace|nowhere/i, config(SMALL + NAT, `dmz: { peer: { netns: "nowhere" } },`)],
      [/it imports what is not there/, `import "./nowhere.ts";\n${good}`],
      [/cannot be changed while the router runs/, good.replace("4096", "8192")],
      [/mistake/, good.replace(`policy: "DROP"`, `policy: "REJECT"`)],
      [/mistake/, good.replace("192.0.2.1/24", "192.0.2.1/33")],
      [/no default export/, "export {};"],
    ];
    const open = () =>
      ["fd", "task"].map((what) => [...Deno.readDirSync(`/proc/${r.weir.pid}/${what}`)].length);
    let before = [0, 0];
    for (let n = 0; n < 100; n++) {
      const [why, text] = broken[n % broken.length];
      assertMatch(await message(r.reload(text)), why, text.slice(-300));
      // What a thread needs for the first time, all threads have afterwards.
      if (n === broken.length - 1) before = open();
      if (n % 10 === 0) await ping();
    }
    for (let i = 0; open().some((count, what) => count > before[what]); i++) {
      assertLess(i, 50, `descriptors and threads: ${before} after 10 refusals, ${open()} after 100`);
      await new Promise((done) => setTimeout(done, 100));
    }
    await ping();
    assertEquals([r.memory.generation.at, await ids()], [at, id]);
    // The last one is told to who asks by a signal, too.
    r.weir.signal("SIGHUP");
    await r.weir.waitFor(/^weir: not reloaded, nothing has changed: .*no default export/m);
    assertEquals((await r.reload(good)).lines, []);
  },
);

labTest("one reload at a time; SIGHUP is one, too", [], async () => {
  await using r = await Reloading.start(config(SMALL + NAT));
  const both = await Promise.all([r.ask(), message(r.ask())]);
  assertEquals([both[0].lines, both[1]], [[], "another reload is under way; try again when it is over"]);
  r.write(config(SMALL + rules(1)));
  r.weir.signal("SIGHUP");
  await r.weir.waitFor(/^weir: reloaded \(iptables filter FORWARD: 1 rule added/m);
  r.write("export default 7;");
  r.weir.signal("SIGHUP");
  await r.weir.waitFor(/^weir: not reloaded, nothing has changed: .*defineRouter/m);
  const { code } = await r.weir.stop();
  assertEquals(code, 0);
});

labTest("SIGHUP ends the router when it comes of the terminal that was closed", ["script"], async () => {
  await using lab = await Lab.private("lan", "wan");
  const path = lab.write("gw.ts", config(SMALL + NAT));
  // Not every shell becomes the last program that it is given.
  const command = ["exec", Deno.execPath(), ...weirArgs(["run", path])].join(" ");
  const terminal = lab.spawn(HERE, "script", ["-qefc", command, "/dev/null"]);
  await terminal.waitFor(/weir: ready/, 15_000);
  const [weir] = Deno.readTextFileSync(`/proc/${terminal.pid}/task/${terminal.pid}/children`).trim().split(
    " ",
  );
  Deno.kill(Number(weir), "SIGHUP");
  await terminal.waitFor(/weir: reloaded/);
  // It is about to wipe this line away when there is nothing any more to write to.
  await terminal.waitFor(/packets.s .* dropped/);
  terminal.signal("SIGKILL");
  await terminal.ended;
  for (let i = 0; (await lab.ok("lan", "ip", "-br", "link")).includes("lan"); i++) {
    assertLess(i, 100, "it runs on");
    await new Promise((done) => setTimeout(done, 50));
  }
  for (let i = 0; await lab.ok(HERE, "find", "/run/weir", "-type", "f") !== ""; i++) {
    assertLess(i, 100, "what it has made is still there");
    await new Promise((done) => setTimeout(done, 50));
  }
});

labTest(
  "a router that is told to end while it builds what it is to reload ends as any other",
  [],
  async () => {
    const source = "`10.${i >> 16}.${i >> 8 & 255}.${i & 255}`",
      rules = `Array.from({ length: 30_000 }, (_, i) => ({ source: ${source}, jump: "DROP" }))`,
      long = config(`${SMALL} tables: { filter: { FORWARD: ${rules} } },`);
    for (const workers of ["1", "2"]) {
      await using r = await Reloading.start(config(SMALL), ["--workers", workers]);
      const state = pathOf(r.weir.pid, "/run/weir/gw.state"), { size } = Deno.statSync(state);
      const asked = message(r.reload(long));
      // The file grows right before the workers build.
      while (Deno.statSync(state).size === size) await new Promise((done) => setTimeout(done, 1));
      const { code, stdout } = await r.weir.stop();
      assertEquals([code, stdout.split("\n").slice(1)], [0, ["weir: stopped (SIGTERM)", ""]], r.weir.text);
      assertEquals(await asked, "the router ended before it answered");
      assertEquals(await r.lab.ok(HERE, "find", "/run/weir", "-type", "f"), "");
    }
  },
);

labTest(
  "a helper that is not listed any more lets go of its flows; another order keeps them",
  ["curl"],
  async () => {
    const helpers = (list: string) => config(`${SMALL} ${NAT} helpers: [${list}],`);
    await using r = await Reloading.start(helpers("tftp(), ftp(), amanda()"));
    const { lab } = r;
    await startWeb(lab, "wan", 21);
    const curl = lab.spawn("lan", "curl", [
      ..."-sS --limit-rate 1M -m 30 -o got".split(" "),
      "http://198.51.100.2:21/bytes/6000000",
    ]);
    while (!/dport=21 .*ASSURED/.test(await r.flows())) assert(!curl.over, curl.text);
    const flows = async () =>
      Object.fromEntries(
        JSON.parse((await lab.command(["helpers", "--json"])).stdout).map((
          h: { name: string; flows: number },
        ) => [h.name, h.flows]),
      );
    assertEquals(await flows(), { tftp: 0, ftp: 1, amanda: 0 });
    const turned = await r.reload(helpers("irc(), amanda(), ftp()"));
    assertEquals([turned.lines, turned.taken], [["helpers: irc added; tftp removed"], {
      unhelped: 0,
      expectations: 0,
      ended: 0,
    }]);
    assertEquals(await flows(), { ftp: 1, amanda: 0, irc: 0 });
    assertEquals((await r.reload(helpers("irc()"))).taken?.unhelped, 1);
    assertEquals(await flows(), { irc: 0 });
    await r.reload(helpers("irc(), ftp()"));
    assertEquals(await flows(), { irc: 0, ftp: 0 });
    assertEquals((await curl.ended).code, 0);
  },
);

labTest("interfaces, addresses, routes and MTUs come and go", ["ping"], async () => {
  const dmz = (mtu: number, address: string, route = "") =>
    `dmz: { addresses: ["203.0.113.1/25"], mtu: ${mtu}, peer: { netns: "dmz", addresses: ["${address}"], routes: ["default"${route}] } },`;
  const masquerade = `tables: { nat: { POSTROUTING: [{ jump: "MASQUERADE" }] } }, ${SMALL}`;
  await using r = await Reloading.start(config(masquerade), [], ["lan", "wan", "dmz"]);
  const { lab } = r;
  const ping = (from: string, to: string) => lab.ok(from, "ping", "-c", "1", "-W", "2", to);
  await ping("lan", "198.51.100.2");

  const added = await r.reload(config(masquerade, dmz(1400, "203.0.113.2/25")));
  assertEquals(added.lines, ["interfaces: dmz added"]);
  await ping("lan", "203.0.113.2");
  await ping("dmz", "198.51.100.2");
  const link = () => lab.ok("dmz", "ip", "-br", "address", "show", "dev", "dmz");
  assertMatch(await lab.ok("dmz", "ip", "link", "show", "dev", "dmz"), /mtu 1400/);
  assertEquals((await r.flows()).match(/^icmp /gm)?.length, 3);

  const changed = await r.reload(
    config(
      masquerade + `routes: [{ destination: "10.0.0.0/8", interface: "dmz" }],`,
      dmz(1300, "203.0.113.3/25", `, "10.9.0.0/16"`),
    ),
  );
  assertEquals(changed.lines, ["interfaces: dmz changed", "routes: 10.0.0.0/8 dev dmz added"]);
  assertEquals(changed.warnings, []);
  assertMatch(await link(), /203\.0\.113\.3\/25 /);
  assert(!(await link()).includes("203.0.113.2/"));
  assertMatch(await lab.ok("dmz", "ip", "link", "show", "dev", "dmz"), /mtu 1300/);
  assertMatch(await lab.ok("dmz", "ip", "route"), /^default dev dmz[^]*^10\.9\.0\.0\/16 dev dmz/m);
  await ping("lan", "203.0.113.3");

  // Its device goes, and the flows behind it that bear its address; another one in its place has another number.
  const guest = dmz(1500, "203.0.113.2/25").replace("dmz:", "guest:");
  const gone = await r.reload(config(masquerade, guest));
  assertEquals(gone.lines[0], "interfaces: guest added; dmz removed");
  assertEquals(gone.taken, { unhelped: 0, expectations: 0, ended: 2 });
  assertEquals((await r.flows()).match(/^icmp /gm)?.length, 2);
  assertMatch(await lab.ok("dmz", "ip", "-br", "link"), /^guest /m);
  assert(!(await lab.ok("dmz", "ip", "-br", "link")).includes("dmz"));
  await ping("lan", "203.0.113.2");
  const names = [0, 1, 2, 3, 4].map((i) => r.memory.generation.interfaceName(i));
  assertEquals(names, ["", "lan", "wan", "", "guest"]);
  // A translated flow ends with the address that it has.
  const other = config(masquerade, guest).replace("198.51.100.1/24", "198.51.100.3/24");
  assertEquals((await r.reload(other)).taken?.ended, 2);
  await ping("lan", "198.51.100.2");

  // Killed, it goes on with the same numbers.
  const before = (await r.flows()).match(/src=192\.0\.2\.2 dst=203\.0\.113\.2 type=8 code=0 id=\d+/)?.[0];
  assert(before !== undefined);
  r.weir.kill();
  await r.weir.ended;
  r.weir = await lab.weir(r.path);
  assertStringIncludes(r.weir.text, "with the flows of the process before");
  assertStringIncludes(await r.flows(), before);
  const memory = r.memory,
    counts = (index: number) => [RX_PACKETS, TX_PACKETS].map((what) => memory.interfaces[index * 8 + what]);
  assertGreater(Math.min(...counts(4)), 0, "what its devices have counted goes on");
});

labTest(
  "killed with -9 in the middle of a reload, it goes on with the old rules or the new ones",
  ["ping"],
  async () => {
    await using r = await Reloading.start(config(SMALL + NAT));
    const { lab } = r;
    await lab.ok("lan", "ping", "-c", "1", "-W", "2", "198.51.100.2");
    const id = /id=(\d+)/.exec(await r.flows())![0];
    let before = 1;
    for (const delay of [60, 100, 115, 130]) {
      const rules = Array.from({ length: before }, (_, i) => `{ source: "203.0.113.${i}" }`).join(",");
      r.write(config(SMALL + NAT.replace("rules: [", `rules: [${rules},`)));
      r.ask().catch(() => {});
      await new Promise((done) => setTimeout(done, delay));
      r.weir.kill();
      await r.weir.ended;
      r.weir = await lab.weir(r.path);
      assertStringIncludes(r.weir.text, "with the flows of the process before");
      assertStringIncludes(await r.flows(), id, `after ${delay} ms`);
      before++;
    }
    await lab.ok("lan", "ping", "-c", "1", "-W", "2", "198.51.100.2");
  },
);

labTest("weir rules and --zero speak of the rules that are in force", ["ping"], async () => {
  await using r = await Reloading.start(config(SMALL + NAT));
  const { lab } = r, ping = () => lab.ok("lan", "ping", "-c", "2", "-i", "0.1", "-W", "2", "198.51.100.2");
  const list = async (...more: string[]) =>
    (await lab.command(["rules", "--table", "filter", "--save", ...more])).stdout.split("\n")
      .filter((line) => / -A /.test(line)).map((line) => line.replace(/:\d+\]/, "]"));
  await ping();
  const stay = [
    "-A FORWARD -m state --state RELATED,ESTABLISHED -j ACCEPT",
    "-A FORWARD -i lan -j ACCEPT",
  ];
  assertEquals(await list(), [`[3] ${stay[0]}`, `[1] ${stay[1]}`]);
  for (let n = 1; n <= 3; n++) {
    await r.reload(config(SMALL + rules(n)));
    assertEquals(await list(), [
      `[0] -A FORWARD -s 203.0.113.${n}/32 -m comment --comment ${n}`,
      `[3] ${stay[0]}`,
      `[1] ${stay[1]}`,
    ]);
  }
  await list("--zero");
  assertEquals((await list()).map((line) => line.split(" ")[0]), ["[0]", "[0]", "[0]"]);
  await ping();
  assertEquals(await list(), [
    "[0] -A FORWARD -s 203.0.113.3/32 -m comment --comment 3",
    `[3] ${stay[0]}`,
    `[1] ${stay[1]}`,
  ]);
  // And explain has the flows under the numbers that they have, whatever place their interface has in the text.
  const turned = config(SMALL + NAT).replace(/( *lan: .*\n)( *wan: .*\n)/, "$2$1");
  assertGreater(turned.indexOf("lan:"), turned.indexOf("wan:"));
  await r.reload(turned);
  const [, port, id] = /dst=198\.51\.100\.2 type=8 code=0 id=(\d+).*id=(\d+)/.exec(await r.flows())!;
  assert(port !== undefined);
  const told = await lab.command([
    ...["explain", r.path, "--state", "gw", "--in", "wan"],
    `icmp 198.51.100.2 > 198.51.100.1 echo-reply id ${id}`,
  ]);
  assertMatch(told.stdout, /^out lan: .*198\.51\.100\.2 > 192\.0\.2\.2/m, told.stderr);
  await r.weir.stop();
  assertEquals(await lab.ok(HERE, "find", "/run/weir", "-type", "f"), "");
});

labTest("the command goes to the only router, and by its name to one of several", [], async () => {
  await using r = await Reloading.start(config(SMALL + NAT));
  const { lab } = r;
  const none = await lab.command(["reload"], { cwd: "/" });
  assertEquals(none.code, 0, none.stderr);
  assertMatch(
    none.stdout,
    /^gw: reloaded in \d+ ms, \d+\.\d of them without a router\n {2}nothing changes\n$/,
  );
  const files = await lab.ok(HERE, "find", "/run/weir", "-type", "f");
  assertEquals(files.trim().split("\n").sort(), ["/run/weir/gw.rules", "/run/weir/gw.state"]);
});

labTest(
  "L07 a device is deleted, set down or given another MTU 100 times, and its flows stay",
  ["ping"],
  async () => {
    await using r = await Reloading.start(config(SMALL + NAT));
    const { lab } = r;
    // One flow for all of it: the same number in each question.
    const ping = (wait: number) =>
      lab.run("lan", "ping", ["-c", "1", "-e", "77", "-W", String(wait), "198.51.100.2"]);
    assertEquals((await ping(2)).code, 0);
    const flow = /^icmp .*id=77 .*id=\d+/m,
      id = () => r.flows().then((text) => flow.exec(text)![0].match(/id=\d+/g));
    const ids = await id(), times: number[] = [];
    for (let n = 0; n < 100; n++) {
      const since = performance.now();
      if (n % 3 === 0) await lab.ok("lan", "ip", "link", "del", "dev", "lan");
      else if (n % 3 === 1) await lab.ok("lan", "ip", "link", "set", "dev", "lan", "mtu", String(1300 + n));
      else {
        await lab.ok("lan", "ip", "link", "set", "dev", "lan", "down");
        await lab.ok("lan", "ip", "link", "set", "dev", "lan", "up");
        await lab.ok("lan", "ip", "route", "replace", "default", "dev", "lan");
      }
      while ((await ping(1)).code !== 0) assertLess(performance.now() - since, 10_000, `round ${n}`);
      if (n % 3 === 0) times.push(performance.now() - since);
    }
    assertEquals(await id(), ids, "the same flow with the same translation");
    times.sort((a, b) => a - b);
    // Half of them: the machine may have other work.
    assertLess(
      times[times.length >> 1],
      1000,
      `milliseconds until a deleted device passes packets again: ${times}`,
    );
  },
);

labTest("a device that is deleted is made again, and one that is down only waits", ["ping"], async () => {
  await using r = await Reloading.start(config(SMALL + NAT));
  const { lab } = r, ping = () => lab.ok("lan", "ping", "-c", "1", "-W", "2", "198.51.100.2");
  await ping();
  const id = /id=\d+/.exec(await r.flows())![0];
  for (let i = 0; i < 3; i++) {
    const made = r.weir.waitFor(new RegExp(`(?:weir: lan: made again[^]*){${i + 1}}`));
    await lab.ok("lan", "ip", "link", "del", "dev", "lan");
    await made;
    await ping();
  }
  assertStringIncludes(await r.flows(), id);
  await lab.ok("lan", "ip", "link", "set", "dev", "lan", "down");
  await lab.ok("lan", "ip", "link", "set", "dev", "lan", "up");
  await lab.ok("lan", "ip", "route", "replace", "default", "dev", "lan");
  await ping();
  // What was written meanwhile is for who asks for it; then the device comes back, too.
  r.write(config(SMALL + rules(1)));
  await lab.ok("lan", "ip", "link", "del", "dev", "lan");
  await r.weir.waitFor(/(?:its device is gone[^]*){4}/);
  const { lines } = await r.ask();
  assertEquals(lines, ["iptables filter FORWARD: 1 rule added"]);
  await ping();
  assertStringIncludes(await r.flows(), id);
});
