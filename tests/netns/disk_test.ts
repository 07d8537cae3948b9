/** L14: a disk that is full, or cannot be written to. It is a tmpfs of 256 KiB that only the lab sees. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { PcapngWriter } from "../../src/replay/pcapng.ts";
import { udp } from "../kit/mod.ts";
import { HERE, Lab, ROOT } from "./lab.ts";
import { labTest } from "./lab_testing.ts";

const GATEWAY = `${ROOT}examples/gateway.ts`;

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
