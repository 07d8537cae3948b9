/**
 * `weir conntrack -E` in processes of its own, beside a router with two workers: through a reload, stopped in the middle
 * of a flood, killed, and left behind by its router.
 */

import { assert, assertEquals, assertGreater, assertMatch, assertStringIncludes } from "@std/assert";
import { libc } from "deno_tun";
import { LISTEN_FLOWS } from "../../src/conntrack/events.ts";
import { type EventRing, EVENTS } from "../../src/conntrack/events.ts";
import { Memory } from "../../src/memory.ts";
import { HERE, Lab, pathOf, ROOT, type Running, weirArgs } from "./lab.ts";
import { labTest } from "./lab_testing.ts";

libc(); // It stays open, so it is opened before the test counts what is open.

const config = (mark: number) => `
import { defineRouter } from "${ROOT}mod.ts";

export default defineRouter({
  interfaces: {
    lan: { addresses: ["192.0.2.1/24"], peer: { netns: "lan", addresses: ["192.0.2.2/24"], routes: ["default"] } },
    wan: { addresses: ["198.51.100.1/24"], peer: { netns: "wan", addresses: ["198.51.100.2/24"] } },
  },
  tables: {
    nat: { POSTROUTING: [{ outInterface: "wan", jump: "MASQUERADE" }] },
    mangle: { FORWARD: [{ protocol: "icmp", jump: "CONNMARK", setMark: ${mark} }] },
  },
  sysctl: { "net.netfilter.nf_conntrack_udp_timeout": 1, "net.netfilter.nf_conntrack_icmp_timeout": 1 },
  workers: 2,
});
`;

/** Until something is so. */
async function until(is: () => boolean, what: string): Promise<void> {
  for (let waited = 0; !is(); waited += 20) {
    if (waited > 20_000) throw new Error(`${what}: not in 20 s`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

const lines = (listener: Running, tag: string) =>
  listener.stdout.split("\n").filter((line) => line.includes(tag)).length;

labTest(
  "weir conntrack -E hears both workers, through a reload, and says what it has missed",
  ["ping"],
  async () => {
    await using lab = await Lab.private("lan", "wan");
    const path = lab.write("gw.ts", config(1)), weir = await lab.weir(path);
    const ring = (): EventRing =>
      Memory.open(Deno.readFileSync(pathOf(weir.pid, "/run/weir/gw.state")).buffer).events;
    const listen = async (...args: string[]) => {
      const before = ring().wanted;
      const listener = lab.spawn(HERE, Deno.execPath(), weirArgs(["conntrack", "-E", ...args]));
      await until(() => ring().wanted !== before || listener.over, "it listens");
      return listener;
    };
    const ping = () => lab.ok("lan", "ping", "-c", "2", "-i", "0.05", "-W", "1", "198.51.100.2");

    const updates = await listen("-p", "icmp", "-e", "UPDATES");
    const all = await listen();
    assertEquals(ring().wanted, LISTEN_FLOWS);
    await ping();
    await all.waitFor(/^\[DESTROY\] icmp .*$/m);
    const id = /id=(\d+)/.exec(all.stdout)![1];
    const there = `src=192.0.2.2 dst=198.51.100.2 type=8 code=0 id=${id}`;
    const back = `src=198.51.100.2 dst=198.51.100.1 type=0 code=0 id=${id}`;
    assertEquals(all.stdout.trimEnd().split("\n"), [
      `    [NEW] icmp     1 1 ${there} [UNREPLIED] ${back} mark=1`,
      ` [UPDATE] icmp     1 1 ${there} ${back} mark=1`,
      `[DESTROY] icmp     1 ${there} ${back} mark=1`,
    ]);

    lab.write("gw.ts", config(2));
    assertEquals((await lab.command(["reload"])).code, 0);
    await ping();
    await all.waitFor(/^\[DESTROY\] icmp .* mark=2$/m);
    await updates.waitFor(/ mark=2$/m);
    assertEquals(lines(updates, "[UPDATE] icmp"), lines(all, "[UPDATE] icmp"));

    // A flood while one of them does not read: it hears of what it has missed, and then goes on.
    const from = ring().newest, heard = lines(all, "[");
    all.signal("SIGSTOP");
    const sender = `${ROOT}tests/netns/raw_sender.ts`, flows = EVENTS * 2;
    const args = [
      "run",
      "-A",
      "--no-prompt",
      sender,
      "flows",
      "192.0.2.2",
      "198.51.100.2",
      `${flows}`,
      "20000",
    ];
    await lab.run("lan", Deno.execPath(), args, { timeout: 30_000 });
    assertGreater(ring().newest - from, EVENTS);
    all.signal("SIGCONT");
    await all.waitFor(/events lost: /);
    // All of these flows have ended when their second is over.
    let newest = -1;
    await until(() => {
      const before = newest;
      newest = ring().newest;
      return lines(all, "[DESTROY] udp") > 0 && newest === before;
    }, "they end");
    const lost = () =>
      [...all.stderr.matchAll(/events lost: (\d+)/g)].reduce((sum, [, n]) => sum + Number(n), 0);
    await until(() => lines(all, "[") - heard + lost() >= newest - from, "it has read everything");
    assertEquals(lines(all, "[") - heard + lost(), newest - from);

    const enough = lab.spawn(HERE, "sh", [
      "-c",
      `${Deno.execPath()} ${weirArgs(["conntrack", "-E"]).join(" ")} | head -n 1`,
    ]);
    for (let i = 0; i < 100 && !enough.over; i++) await ping();
    assertMatch((await enough.ended).stdout, /^.*\[\w+\] icmp .*\n$/);

    // Killed, one costs nothing any more; told to end, it says how much it was.
    updates.signal("SIGKILL");
    await updates.ended;
    const others = await listen("expect");
    all.signal("SIGINT");
    const { code, stdout, stderr } = await all.ended;
    assertEquals(code, 0);
    const shown = stdout.trimEnd().split("\n").length;
    assertStringIncludes(
      stderr,
      `conntrack v1.4.7 (conntrack-tools): ${shown} flow events have been shown.\n`,
    );
    await until(() => (ring().wanted & LISTEN_FLOWS) === 0, "nobody listens to flows");
    const quiet = ring().newest;
    await ping();
    assertEquals(ring().newest, quiet);

    weir.signal("SIGKILL");
    const left = await others.ended;
    assertEquals(left.code, 1);
    assertMatch(left.stderr, /router gw has ended/);
    assert(!left.stderr.includes("at "), left.stderr);
  },
);
