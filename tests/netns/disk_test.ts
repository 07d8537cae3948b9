/** L14: a disk that is full, or cannot be written to. It is a small tmpfs that only the lab sees. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { PcapngWriter } from "../../src/replay/pcapng.ts";
import { udp } from "../kit/mod.ts";
import { HERE, Lab, ROOT, weirArgs } from "./lab.ts";
import { labTest } from "./lab_testing.ts";
import { startWeb } from "./services.ts";

const GATEWAY = `${ROOT}examples/gateway.ts`;
const SENDER = ["run", "-A", "--no-prompt", `${ROOT}tests/netns/raw_sender.ts`];
const PACKET = "udp 192.0.2.2:5000 > 198.51.100.2:53";

/** A capture of so many packets of 1,000 bytes, all of which pass. */
function capture(packets: number): Uint8Array {
  const writer = new PcapngWriter(), lan = writer.interface({ name: "lan" });
  for (let i = 0; i < packets; i++) {
    const bytes = udp({ src: "192.0.2.2", sport: 1000, dst: "198.51.100.2", dport: 53, payload: 1000 });
    writer.packet(lan, 1_790_000_000_000_000_000n + BigInt(i), bytes);
  }
  return writer.bytes();
}

labTest(
  "L14 replay on a full or read-only disk ends with 1 and its reason, and what was there stands",
  [],
  async () => {
    await using lab = await Lab.private();
    await lab.ok(HERE, "mkdir", "/run/disk");
    await lab.ok(HERE, "mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", "/run/disk");
    for (const packets of [10, 1000]) Deno.writeFileSync(`${lab.dir}/${packets}.pcapng`, capture(packets));
    const replay = (packets: number, dump = "/run/disk/dump") =>
      lab.command(["replay", GATEWAY, `${packets}.pcapng`, "/run/disk/out.pcapng", "--dump", dump]);
    const good = await replay(10);
    assertEquals([good.code, good.stdout, good.stderr], [0, "10 packets in, 10 out\n", ""]);
    const there = () =>
      lab.ok(HERE, "sh", "-c", "cd /run/disk; find . | sort; cat out.pcapng dump/* | cksum");
    const before = await there();

    const full = await replay(1000);
    assertEquals([full.code, full.stdout], [1, ""]);
    assertMatch(full.stderr, /^weir: \/run\/disk\/out\.pcapng: No space left on device\n$/);
    assertEquals(await there(), before);

    // The capture fits, a dump does not: neither is written.
    await lab.ok(
      HERE,
      "sh",
      "-c",
      "cd /run/disk; head -c 1m /dev/zero > filler 2>/dev/null; truncate -s -16k filler",
    );
    const filled = await there();
    const half = await replay(10);
    assertEquals([half.code, half.stdout], [1, ""]);
    assertStringIncludes(half.stderr, "No space left on device");
    assertEquals(await there(), filled);

    await lab.ok(HERE, "mount", "-o", "remount,ro", "/run/disk");
    const readOnly = await replay(10);
    assertEquals([readOnly.code, readOnly.stdout], [1, ""]);
    assertMatch(readOnly.stderr, /^weir: .*Read-only file system\n$/);
    assertEquals(await there(), filled);
  },
);

labTest(
  "L14 weir run whose state file cannot be made says so in one line, and leaves nothing",
  [],
  async () => {
    await using lab = await Lab.private("lan", "wan");
    await lab.ok(HERE, "mkdir", "/run/weir");
    await lab.ok(HERE, "mount", "-t", "tmpfs", "-o", "ro", "tmpfs", "/run/weir");
    const { code, stdout, stderr } = await lab.command(["run", GATEWAY]);
    assertEquals([code, stdout], [1, ""]);
    assertMatch(stderr, /^weir: .*gateway\.state: the file system is read-only.*\n$/);
    assert(!(await lab.ok("lan", "ip", "-br", "link")).includes("lan"));
  },
);

labTest(
  "L14 a router whose first needs find no space in /run/weir says in one line how much it takes, and leaves nothing",
  [],
  async () => {
    await using lab = await Lab.private("lan", "wan");
    await mountState(lab, "256k");
    const { code, stdout, stderr } = await lab.command(["run", GATEWAY]);
    assertEquals([code, stdout], [1, ""]);
    assertMatch(
      stderr,
      /^weir: no space left in \/run\/weir: a router needs \d\.\d MiB there to begin with; make room, or make .* larger\n$/,
    );
    assertEquals(await lab.ok(HERE, "ls", "-A", "/run/weir"), "");
    assert(!(await lab.ok("lan", "ip", "-br", "link")).includes("lan"));
  },
);

/** A file system of its own for the state files of a lab. */
async function mountState(lab: Lab, size: string): Promise<void> {
  await lab.ok(HERE, "mkdir", "/run/weir");
  await lab.ok(HERE, "mount", "-t", "tmpfs", "-o", `size=${size},mode=700`, "tmpfs", "/run/weir");
}

/** Takes all the space there is in the file system of the state files, as somebody else's file would. */
async function fill(lab: Lab): Promise<void> {
  const { code } = await lab.run(HERE, "dd", ["if=/dev/zero", "of=/run/weir/filler", "bs=4k"]);
  assertEquals(code, 1, "dd ends when there is no space left");
}

const FLOWS = 4000, RESERVED = 256;
/** The gateway, with as many rules as need more space for their counters than there is. */
const MANY_RULES = `
import gateway from "${GATEWAY}";
import { defineRouter } from "${ROOT}mod.ts";
const many = Array.from({ length: 20_000 }, (_, i) => ({ mark: i, jump: "ACCEPT" }));
export default defineRouter({ ...gateway, tables: { ...gateway.tables, mangle: { FORWARD: many } } });
`;

for (const workers of [1, 2]) {
  const who = workers === 1 ? "a router" : `a router of ${workers} workers`;
  labTest(
    `L14 live goes on: under ${who} the file system of its state is full, and connections stay`,
    ["curl", "dd"],
    async () => {
      await using lab = await Lab.private("lan", "wan");
      await mountState(lab, "5m");
      const many = lab.write("many.ts", MANY_RULES);
      let weir = await lab.weir(GATEWAY, "--workers", `${workers}`);
      await startWeb(lab, "wan", 8080);
      const curl = lab.spawn("lan", "curl", [
        ..."-sS --limit-rate 2M -o got http://198.51.100.2:8080/bytes/1000000000".split(" "),
      ]);
      const downloadGoesOn = async () => {
        const got = () => Deno.statSync(`${lab.dir}/got`).size, before = got();
        for (let i = 0; got() === before; i++) {
          assert(i < 100 && !curl.over, `the download stands still: ${curl.text}`);
          await new Promise((done) => setTimeout(done, 50));
        }
      };
      const flows = async () => (await lab.command(["conntrack", "-L"])).stdout;
      for (let i = 0; !/dport=8080 .*\[ASSURED\]/.test(await flows()); i++) {
        assert(i < 50 && !curl.over, curl.text);
      }
      const dropped = async () => {
        const { stdout, stderr } = await lab.command(["metrics"]);
        assertEquals(stderr, "");
        return Number(/^weir_dropped_packets_total\{\S*reason="no-space"\S* (\d+)/m.exec(stdout)?.[1]);
      };
      const begin = (count: number) =>
        lab.ok("lan", Deno.execPath(), ...SENDER, "flows", "192.0.2.2", "198.51.100.2", `${count}`, "20000");

      await fill(lab);
      await begin(FLOWS);
      const before = (await flows()).split("\n").length;
      assert(before >= RESERVED && before < FLOWS, `${before} flows found a place`);
      assert(await dropped() > FLOWS / 2);
      await weir.waitFor(/no space for another flow in the state file, dropping packet/);
      // The commands look at the state, and it stays as it is; so does the router whose successor finds no space.
      const asked = await lab.command(["explain", GATEWAY, "--state", "gateway", "--in", "lan", PACKET]);
      assertEquals([asked.code, asked.stderr], [0, ""]);
      for (
        const args of [["rules"], ["helpers"], ["pinholes"], ["conntrack", "-S"], [
          "conntrack",
          "-L",
          "expect",
        ]]
      ) {
        assertEquals((await lab.command(args)).code, 0, args.join(" "));
      }
      const deaf = await lab.command(["conntrack", "-E"]);
      assertEquals([deaf.code, deaf.stdout], [1, ""]);
      assertMatch(
        deaf.stderr,
        /^weir: no space left in \/run\/weir: telling of events needs 3\.0 MiB there.*\n$/,
      );
      // There is room for a configuration like this one, and not for a longer one.
      const reload = await lab.command(["reload"]), longer = await lab.command(["reload", "--config", many]);
      assertEquals(reload.code, 0);
      assertMatch(reload.stderr, /^weir: warning: weir rules cannot say .*: No space left on device.*\n$/);
      assertEquals(longer.code, 1);
      assertMatch(
        longer.stderr,
        /no space left in \/run\/weir: another configuration needs \d\.\d MiB there/,
      );
      assert(!weir.over, weir.text);
      await downloadGoesOn();
      weir.kill();
      await weir.ended;
      weir = await lab.weir(GATEWAY, "--workers", `${workers}`);
      assertStringIncludes(weir.text, "with the flows of the process before");
      assertEquals((await lab.command(["rules"])).code, 1, "what they are could not be written down");
      await downloadGoesOn();

      await lab.ok(HERE, "rm", "/run/weir/filler");
      await new Promise((done) => setTimeout(done, 1500));
      const until = await dropped();
      // The device may lose some of a burst.
      for (let i = 0, begun = 0; begun < FLOWS; i++) {
        assert(i < 10, `${begun} flows`);
        await begin(FLOWS);
        begun = (await flows()).split("\n").length;
      }
      assertEquals(await dropped(), until);
      assertEquals((await lab.command(["rules"])).code, 0);
      await downloadGoesOn();
      assertEquals((await weir.stop()).code, 0);
      assertEquals(await lab.ok(HERE, "ls", "-A", "/run/weir"), "");
    },
  );
}

labTest("L14 a router whose lines find a full disk routes on, and ends as others do", ["ping"], async () => {
  await using lab = await Lab.private("lan", "wan");
  const weir = lab.spawn(HERE, "sh", [
    ...["-c", 'exec "$@" > /dev/full 2> /dev/full', "sh", Deno.execPath()],
    ...weirArgs(["run", GATEWAY]),
  ]);
  // Its socket comes last.
  const ready = async () => (await lab.run(HERE, "test", ["-S", "/run/weir/gateway.sock"])).code === 0;
  for (let i = 0; !await ready(); i++) {
    assert(i < 200 && !weir.over);
    await new Promise((done) => setTimeout(done, 50));
  }
  await lab.ok("lan", "ping", "-c", "3", "-i", "0.1", "-W", "5", "198.51.100.2");
  assertEquals((await weir.stop()).code, 0);
  assertEquals(await lab.ok(HERE, "ls", "-A", "/run/weir"), "");
});

labTest("a file system that cannot reserve space (ramfs) takes a state file, too", ["ping"], async () => {
  await using lab = await Lab.private("lan", "wan");
  await lab.ok(HERE, "mkdir", "/run/weir");
  await lab.ok(HERE, "mount", "-t", "ramfs", "-o", "mode=700", "ramfs", "/run/weir");
  const weir = await lab.weir(GATEWAY);
  await lab.ok("lan", Deno.execPath(), ...SENDER, "flows", "192.0.2.2", "198.51.100.2", `${FLOWS}`, "20000");
  await lab.ok("lan", "ping", "-c", "3", "-i", "0.1", "-W", "5", "198.51.100.2");
  const { stdout } = await lab.command(["conntrack", "-L"]);
  assert(stdout.split("\n").length > RESERVED, stdout);
  assertEquals((await weir.stop()).code, 0);
});
