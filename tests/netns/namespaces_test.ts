/**
 * Namespaces that come and go under a router that runs: it holds none of them, and serves who is there. What Linux answers
 * for a link that is down, asked of it here: "Destination Net Unreachable" and "No route", and not a word on lost carrier.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { HERE, Lab, ROOT, type Running } from "./lab.ts";
import { labTest } from "./lab_testing.ts";

const INTERFACES = ["lan", "wan", "dmz"];
const NAT = 'nat: { POSTROUTING: [{ outInterface: "dmz", jump: "MASQUERADE" }] }';

/** A router with a namespace for each interface: 192.0.2.0/24, 198.51.100.0/24 and 203.0.113.0/24, Weir is .1, they .2. */
function config(options: { tables?: string; host?: string; routes?: string } = {}): string {
  const sides = ["192.0.2", "198.51.100", "203.0.113"].map((net, i) => {
    const prefix = `2001:db8:${i + 1}::`;
    return `${INTERFACES[i]}: { addresses: ["${net}.1/24", "${prefix}1/64"],
      peer: { netns: "${
      INTERFACES[i]
    }", addresses: ["${net}.2/24", "${prefix}2/64"], routes: ["default"] } },`;
  });
  return `import { defineRouter } from "${ROOT}mod.ts";
    export default defineRouter({
      interfaces: { ${sides.join("\n")} },
      ${options.host ?? ""}
      routes: [${options.routes ?? ""}],
      tables: { ${options.tables ?? NAT} },
    });`;
}

/** Who answers a ping, or what is said instead. */
async function ping(lab: Lab, from: string, to: string): Promise<string> {
  const { stdout } = await lab.run(from, "ping", ["-c", "1", "-W", "1", to]);
  return /^.* bytes from|(Destination [A-Za-z ]*Unreachable|Destination unreachable: No route)/m.exec(stdout)
    ?.[0].replace(/.*bytes from/, "answer") ?? "nothing";
}

const count = (text: string, line: string) => text.split(line).length - 1;

async function until(what: string, holds: () => boolean | Promise<boolean>, ms = 5000): Promise<void> {
  for (const end = performance.now() + ms; !await holds();) {
    assert(performance.now() < end, `${what}: not within ${ms} ms`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

/** Descriptors, by what they are. */
function descriptors(weir: Running): Record<string, number> {
  const open: Record<string, number> = {};
  for (const { name } of Deno.readDirSync(`/proc/${weir.pid}/fd`)) {
    try {
      const what = Deno.readLinkSync(`/proc/${weir.pid}/fd/${name}`).replace(/:\[\d+\]$/, "");
      open[what] = (open[what] ?? 0) + 1;
    } catch {
      // It was closed since.
    }
  }
  return open;
}

const GONE = "interface dmz: its namespace dmz is gone; it is down until there is one of that name again";
const AGAIN = "weir: dmz: made again";

for (const workers of [1, 2]) {
  const by = workers === 1 ? "" : `, by ${workers} workers`;
  labTest(
    `a deleted namespace is really gone, and one of its name is served, ten times${by}`,
    ["ping"],
    async () => {
      await using lab = await Lab.private(...INTERFACES);
      // Devices of the same names in Weir's own place are not in the way.
      for (const name of INTERFACES) await lab.ok(HERE, "ip", "tuntap", "add", "dev", name, "mode", "tun");
      const path = lab.write("three.ts", config()), weir = await lab.weir(path, "--workers", String(workers));
      const before = descriptors(weir);
      assertEquals(before["/dev/net/tun"], 3 * workers);
      const stream = lab.spawn("lan", "ping", ["-i", "0.02", "-q", "198.51.100.2"]);
      for (let n = 1; n <= 10; n++) {
        assertEquals(await ping(lab, "wan", "203.0.113.2"), "answer");
        // The kernel takes a veth pair's other end with a namespace that ends, and leaves it while anything holds that.
        await lab.ok(
          HERE,
          "ip",
          "link",
          "add",
          "probe",
          "type",
          "veth",
          "peer",
          "name",
          "probe",
          "netns",
          "dmz",
        );
        await lab.ok(HERE, "ip", "netns", "del", "dmz");
        await until(
          "the namespace is gone",
          async () => (await lab.run(HERE, "ip", ["link", "show", "probe"])).code !== 0,
        );
        await until("it is said", () => count(weir.text, GONE) === n);
        if (n === 1) {
          assertEquals(await ping(lab, "wan", "203.0.113.2"), "Destination Net Unreachable");
          assertEquals(await ping(lab, "wan", "2001:db8:3::2"), "Destination unreachable: No route");
          assertEquals(await ping(lab, "wan", "203.0.113.1"), "answer", "Weir's own address stays");
        }
        if (n === 5) {
          assertEquals((await lab.command(["reload"])).code, 0, "nobody has to be there for a reload");
        }
        await lab.ok(HERE, "ip", "netns", "add", "dmz");
        await until("it is made again", () => count(weir.text, AGAIN) === n);
        assertEquals(await ping(lab, "dmz", "198.51.100.2"), "answer");
        assertEquals(await ping(lab, "wan", "2001:db8:3::2"), "answer");
        assertEquals(
          (await lab.ok("dmz", "ip", "-o", "link")).trim().split("\n").length,
          2,
          "lo and its device",
        );
      }
      const { stdout } = await stream.stop("SIGINT");
      const [, sent, received] = stdout.match(/(\d+) packets transmitted, (\d+) received/)!.map(Number);
      // One may have been under way when ping was told to end.
      assert(received > 100 && sent - received <= 1, stdout);
      assertEquals([count(weir.text, GONE), count(weir.text, AGAIN)], [10, 10], weir.text);
      await until(
        "all descriptors are given back",
        () => JSON.stringify(descriptors(weir)) === JSON.stringify(before),
      );
      assertEquals((await weir.stop()).code, 0);
    },
  );
}

labTest("a reload goes on without a namespace that is gone, and what it said holds when that is back", [
  "ping",
], async () => {
  await using lab = await Lab.private(...INTERFACES);
  const path = lab.write("three.ts", config()), weir = await lab.weir(path);
  await lab.ok(HERE, "ip", "netns", "del", "dmz");
  await weir.waitFor(/its namespace dmz is gone/);
  lab.write(
    "three.ts",
    config({ tables: 'filter: { FORWARD: [{ source: "198.51.100.0/24", jump: "DROP" }] }' }),
  );
  // What was written and not asked for does not come with a namespace; it is said once.
  await lab.ok(HERE, "ip", "netns", "add", "dmz");
  await weir.waitFor(/a device is not made again yet: .*three\.ts is another by now/);
  await lab.ok(HERE, "ip", "netns", "del", "dmz");
  const { code, stdout, stderr } = await lab.command(["reload"]);
  assertEquals(code, 0, stderr);
  assertStringIncludes(stdout, "1 rule added");
  assertEquals([await ping(lab, "lan", "198.51.100.2"), count(weir.text, AGAIN)], ["nothing", 0], weir.text);
  await lab.ok(HERE, "ip", "netns", "add", "dmz");
  await weir.waitFor(/weir: dmz: made again/);
  assertEquals(await ping(lab, "dmz", "192.0.2.2"), "answer");
  assertEquals(await ping(lab, "wan", "203.0.113.2"), "nothing");
  assertEquals([count(weir.text, "is gone"), count(weir.text, "another by now")], [1, 1], weir.text);
  // One that never was is still refused.
  lab.write("three.ts", config().replaceAll('netns: "dmz"', 'netns: "none"'));
  const refused = await lab.command(["reload"]);
  assertEquals(refused.code, 1);
  assertStringIncludes(refused.stderr, "`ip netns add none` makes it");
});

labTest("what lives in a namespace without a name is served until another one has the name", [
  "ping",
  "sleep",
], async () => {
  await using lab = await Lab.private(...INTERFACES);
  const weir = await lab.weir(lab.write("three.ts", config()));
  const keeper = lab.spawn("dmz", "sleep", ["60"]);
  await until("it runs there", async () => (await lab.ok(HERE, "ip", "netns", "pids", "dmz")).trim() !== "");
  const inside = (...command: string[]) =>
    lab.ok(HERE, "nsenter", `--net=/proc/${keeper.pid}/ns/net`, ...command);
  await lab.ok(HERE, "ip", "netns", "del", "dmz");
  await new Promise((done) => setTimeout(done, 1500));
  assertEquals(await ping(lab, "wan", "203.0.113.2"), "answer", "as it would over a veth pair");
  assertEquals(count(weir.text, "dmz"), 1, weir.text);
  await lab.ok(HERE, "ip", "netns", "add", "dmz");
  await weir.waitFor(/weir: dmz: made again/);
  assertEquals(await ping(lab, "dmz", "198.51.100.2"), "answer");
  assertEquals((await inside("ip", "-o", "link")).trim().split("\n").length, 1);
  await keeper.stop();
  assertEquals(await ping(lab, "dmz", "198.51.100.2"), "answer");
  assertEquals(count(weir.text, "gone"), 0, weir.text);
});

labTest(
  "of several namespaces that are gone each comes back for itself, the host device's too",
  ["ping"],
  async () => {
    await using lab = await Lab.private(...INTERFACES, "host");
    const path = lab.write("three.ts", config({ host: 'host: { device: "weir0", netns: "host" },' }));
    const weir = await lab.weir(path);
    assertEquals(await ping(lab, "host", "203.0.113.2"), "answer");
    for (const name of ["host", "dmz", "lan"]) await lab.ok(HERE, "ip", "netns", "del", name);
    await weir.waitFor(/(?:is gone; [^]*){3}/);
    assertMatch(weir.text, /interface weir0: its namespace host is gone/);
    for (const [name, to] of [["dmz", "198.51.100.2"], ["host", "203.0.113.2"], ["lan", "203.0.113.1"]]) {
      await lab.ok(HERE, "ip", "netns", "add", name);
      await weir.waitFor(new RegExp(`weir: ${name === "host" ? "weir0" : name}: made again`));
      assertEquals(await ping(lab, name, to), "answer", name);
    }
    assertEquals((await weir.stop()).code, 0);
  },
);

labTest("flows masqueraded where a namespace was end with it, and others stay", ["ping"], async () => {
  await using lab = await Lab.private(...INTERFACES);
  const weir = await lab.weir(lab.write("three.ts", config()));
  assertEquals(await ping(lab, "lan", "203.0.113.2"), "answer");
  assertEquals(await ping(lab, "lan", "198.51.100.2"), "answer");
  const flows = async () => (await lab.command(["conntrack", "-L"])).stdout.match(/ dst=\S+(?= type=8)/g);
  assertEquals((await flows())?.sort(), [" dst=198.51.100.2", " dst=203.0.113.2"]);
  await lab.ok(HERE, "ip", "netns", "del", "dmz");
  await weir.waitFor(/its namespace dmz is gone/);
  await until("they have ended", async () => (await flows())?.length === 1);
  assertEquals(await flows(), [" dst=198.51.100.2"]);
});

labTest("where a namespace is gone another route is taken, until it is back", ["ping"], async () => {
  await using lab = await Lab.private(...INTERFACES);
  const routes = `{ destination: "10.9.0.0/16", interface: "dmz" },
    { destination: "10.9.0.0/16", interface: "wan", metric: 10 }`;
  const weir = await lab.weir(lab.write("three.ts", config({ tables: " ", routes })));
  const home = (name: string) => lab.ok(name, "ip", "address", "add", "10.9.0.1/32", "dev", "lo");
  const received = async (name: string) => {
    const counted = /^ *lo:|^ *(\S+): +\d+ +(\d+)/gm, text = await lab.ok(name, "cat", "/proc/net/dev");
    return Number([...text.matchAll(counted)].find((found) => found[1] === name)![2]);
  };
  for (const name of ["dmz", "wan"]) {
    await lab.ok(name, "ip", "link", "set", "lo", "up");
    await home(name);
  }
  const by = async (name: string) => {
    const before = await received(name);
    assertEquals(await ping(lab, "lan", "10.9.0.1"), "answer");
    return await received(name) > before;
  };
  assertEquals([await by("dmz"), await by("wan")], [true, false]);
  await lab.ok(HERE, "ip", "netns", "del", "dmz");
  await weir.waitFor(/its namespace dmz is gone/);
  await until("the other one answers", async () => await ping(lab, "lan", "10.9.0.1") === "answer");
  assertEquals(await by("wan"), true);
  await lab.ok(HERE, "ip", "netns", "add", "dmz");
  await lab.ok("dmz", "ip", "link", "set", "lo", "up");
  await home("dmz");
  await weir.waitFor(/weir: dmz: made again/);
  assertEquals([await by("dmz"), await by("wan")], [true, false]);
});
