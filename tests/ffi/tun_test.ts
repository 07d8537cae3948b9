import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import {
  errno,
  inNetns,
  libc,
  makeTuns,
  Netns,
  netnsNumber,
  OFFLOAD_CSUM,
  OFFLOAD_LEVELS,
  OFFLOAD_TSO4,
  OFFLOAD_TSO6,
  OFFLOAD_USO4,
  openTun,
  SyscallError,
  VNET_HDR_SIZE,
} from "deno_tun";
import { deviceTest, Namespaces, run, test } from "./netns.ts";

/** A SyscallError with this code. */
function assertSyscallError(code: string, f: () => unknown): SyscallError {
  const error = assertThrows(f, SyscallError);
  assertEquals(error.code, code, error.message);
  assertEquals(error.message.includes("\n"), false);
  return error;
}

const links = async (netns: string) => await run("ip", "-n", netns, "-o", "link");

deviceTest("openTun makes a device in a namespace, and close removes it", async () => {
  await using ns = await Namespaces.make(1);
  const [netns] = ns.names;
  const tun = openTun({ name: "weir-a", netns });
  assertEquals([tun.name, tun.netns, tun.vnetHdr, tun.persistent], ["weir-a", netns, true, false]);
  assertStringIncludes(await links(netns), "weir-a");
  assertEquals((await run("ip", "-o", "link")).includes("weir-a"), false, "not in the own namespace");
  tun.close();
  tun.close();
  assertEquals(tun.fd, -1);
  assertEquals((await links(netns)).includes("weir-a"), false);
});

deviceTest("openTun lets the kernel choose a name", async () => {
  await using ns = await Namespaces.make(1);
  using tun = openTun({ netns: ns.names[0] });
  assertEquals(tun.name, "tun0");
});

deviceTest("openTun refuses a name in use: by a TUN device, by another kind of device", async () => {
  await using ns = await Namespaces.make(1);
  const [netns] = ns.names;
  using tun = openTun({ name: "weir-a", netns });
  const error = assertSyscallError("EEXIST", () => openTun({ name: "weir-a", netns }));
  assertStringIncludes(error.message, "cannot open TUN device weir-a: the name is in use");
  assertStringIncludes(error.message, `ip -n ${netns} link del weir-a`);
  assertSyscallError("EBUSY", () => openTun({ name: "lo", netns }));
  assertEquals(tun.read(new Uint8Array(100)), -errno.EAGAIN, "the first one is not disturbed");
});

deviceTest("openTun leaves no descriptor behind when it fails", async () => {
  await using ns = await Namespaces.make(1);
  const [netns] = ns.names;
  using _tun = openTun({ name: "weir-a", netns });
  const count = () => Array.from(Deno.readDirSync("/proc/self/fd")).length;
  const before = count();
  for (let i = 0; i < 20; i++) assertThrows(() => openTun({ name: "weir-a", netns }), SyscallError);
  for (let i = 0; i < 20; i++) {
    assertThrows(() => openTun({ name: "weir-b", netns: "weirdev-none" }), SyscallError);
  }
  assertEquals(count(), before);
});

test("openTun refuses names that the kernel would refuse, before it asks", () => {
  for (const name of ["a name", "far-too-long-for-a-device", "a/b"]) {
    const error = assertThrows(() => openTun({ name }), RangeError);
    assertStringIncludes(error.message, name);
  }
});

test("openTun says what to do when /dev/net/tun is missing", () => {
  const error = assertSyscallError("ENOENT", () => openTun({ name: "weir-a", path: "/dev/net/missing" }));
  assertStringIncludes(error.message, "/dev/net/missing does not exist; `modprobe tun`");
});

test("openTun refuses a file that is no TUN driver", () => {
  assertSyscallError("ENOTTY", () => openTun({ name: "weir-a", path: "/dev/null" }));
});

deviceTest("openTun names a missing namespace and how to make it", () => {
  const error = assertSyscallError("ENOENT", () => openTun({ name: "weir-a", netns: "weirdev-none" }));
  assertStringIncludes(error.message, "ip netns add weirdev-none");
});

/** Runs a few lines of a program under `wrapper`, which takes privileges away. */
async function underprivileged(wrapper: string[], source: string): Promise<string> {
  const directory = await Deno.makeTempDir();
  try {
    await Deno.chmod(directory, 0o755);
    const file = `${directory}/child.ts`;
    await Deno.writeTextFile(file, source.replaceAll("deno_tun", import.meta.resolve("deno_tun")));
    return (await run(...wrapper, Deno.execPath(), "run", "--no-lock", "--no-config", "-A", file)).trim();
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

deviceTest("openTun and inNetns say that a privilege is missing", async () => {
  await using ns = await Namespaces.make(1);
  const source = `import { inNetns, openTun } from "deno_tun";
    const tell = (f) => { try { f(); } catch (e) { console.log(e.message); } };
    tell(() => openTun({ name: "weir-a" }));
    tell(() => inNetns("${ns.names[0]}", () => 0));`;
  const lines = (await underprivileged(["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"], source))
    .split("\n");
  assertEquals(lines, [
    "cannot open TUN device weir-a: missing privilege; it takes CAP_NET_ADMIN, run it as root (ioctl(TUNSETIFF): EPERM)",
    `cannot enter network namespace ${
      ns.names[0]
    }: missing privilege; it takes CAP_SYS_ADMIN, run it as root ` +
    "(setns: EPERM)",
  ]);
});

deviceTest("openTun attaches further queues", async () => {
  await using ns = await Namespaces.make(1);
  const [netns] = ns.names;
  using first = openTun({ name: "weir-a", netns, multiQueue: true });
  const queues = async () =>
    (await run("ip", "-n", netns, "-d", "link", "show", "weir-a")).match(/numqueues (\d+)/)![1];
  assertEquals(await queues(), "1");
  {
    using second = openTun({ name: "weir-a", netns, multiQueue: true, attach: true });
    assert(first.fd !== second.fd);
    assertEquals(second.name, "weir-a");
    assertEquals(await queues(), "2");
  }
  assertEquals(await queues(), "1");
  assertSyscallError("EINVAL", () => openTun({ name: "weir-a", netns, attach: true }));
});

deviceTest("persistent devices outlive their descriptors, until that is taken back", async () => {
  await using ns = await Namespaces.make(1);
  const [netns] = ns.names;
  const made = openTun({ name: "weir-a", netns, persistent: true });
  assertEquals(made.persistent, true);
  made.close();
  assertStringIncludes(await links(netns), "weir-a");
  assertSyscallError("EEXIST", () => openTun({ name: "weir-a", netns }));
  assertStringIncludes(
    assertSyscallError("EINVAL", () => openTun({ name: "weir-a", netns, attach: true, multiQueue: true }))
      .message,
    "for several queues make it with `ip tuntap add … multi_queue`",
  );
  using again = openTun({ name: "weir-a", netns, attach: true });
  assertEquals(again.persistent, true);
  again.persistent = false;
  assertEquals(again.persistent, false);
  again.close();
  assertEquals((await links(netns)).includes("weir-a"), false);
});

deviceTest("openTun gets every offload of this kernel, or any lower level that is asked for", async () => {
  await using ns = await Namespaces.make(1);
  const [netns] = ns.names;
  {
    using tun = openTun({ name: "weir-a", netns });
    assert(OFFLOAD_LEVELS.includes(tun.offloads));
    const least = OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6;
    assertEquals(tun.offloads & least, least, "every kernel since 2.6.27 has these");
  }
  for (const offloads of OFFLOAD_LEVELS.slice(1)) {
    using tun = openTun({ name: "weir-a", netns, offloads });
    assertEquals(tun.offloads, offloads);
  }
  {
    // The kernel has USO for both families or not at all, so half of it is refused and the next level is taken.
    using tun = openTun({ name: "weir-a", netns, offloads: OFFLOAD_CSUM | OFFLOAD_USO4 });
    assertEquals(tun.offloads, OFFLOAD_CSUM);
  }
  using plain = openTun({ name: "weir-a", netns, vnetHdr: false });
  assertEquals([plain.vnetHdr, plain.offloads], [false, 0]);
});

deviceTest("read and write carry packets both ways, with and without a virtio-net header", async () => {
  await using ns = await Namespaces.make(1);
  const [netns] = ns.names;
  for (const vnetHdr of [true, false]) {
    using tun = openTun({ name: "weir-a", netns, vnetHdr });
    await run("ip", "-n", netns, "link", "set", "weir-a", "addrgenmode", "none", "up");
    await run("ip", "-n", netns, "addr", "add", "192.0.2.1/24", "dev", "weir-a");
    const at = vnetHdr ? VNET_HDR_SIZE : 0;
    const buffer = new Uint8Array(2000);
    // An echo request from 192.0.2.9 to 192.0.2.1; the kernel answers while write runs.
    // deno-fmt-ignore
    const request = [
      0x45, 0, 0, 28, 0, 1, 0, 0, 64, 1, 0xf6, 0xd5, 192, 0, 2, 9, 192, 0, 2, 1,
      8, 0, 0xf7, 0xfd, 0, 1, 0, 1,
    ];
    buffer.set(request, at);
    assertEquals(tun.write(buffer.subarray(0, at + request.length)), at + request.length);
    let n: number;
    do { // The kernel's own multicast reports may come first.
      n = tun.read(buffer);
    } while (n > 0 && buffer[at + 9] !== 1);
    assertEquals(n, at + request.length);
    assertEquals(
      Array.from(buffer.subarray(at + 12, at + 21)),
      [192, 0, 2, 1, 192, 0, 2, 9, 0],
      "an echo reply",
    );
  }
});

deviceTest("write tells a device that is down, read one that was deleted", async () => {
  await using ns = await Namespaces.make(1);
  const [netns] = ns.names;
  using tun = openTun({ name: "weir-a", netns });
  const packet = new Uint8Array(VNET_HDR_SIZE + 20);
  packet[VNET_HDR_SIZE] = 0x45;
  assertEquals(tun.write(packet), -errno.EIO);
  assertEquals(tun.read(packet), -errno.EAGAIN);
  await run("ip", "-n", netns, "link", "del", "weir-a");
  assertEquals(tun.read(packet), -errno.EBADFD);
  assertEquals(tun.write(packet), -errno.EBADFD);
});

deviceTest("a device goes with its namespace, which no queue of it holds", async () => {
  await using ns = await Namespaces.make(1);
  const [netns] = ns.names, probe = `p${Deno.pid}`;
  using tun = openTun({ name: "weir-a", netns });
  using there = Netns.open(netns);
  using birthplace = Netns.make();
  assertEquals(netnsNumber(netns), there.number);
  assert(birthplace.number !== there.number);
  const made = makeTuns({ name: "weir-b", netns, multiQueue: true }, 2, birthplace, there);
  using move = made.move;
  await move.runApart();
  // A name that is in use there is refused.
  const taken = makeTuns({ name: "weir-a", netns }, 1, birthplace, there);
  using late = taken.move;
  assertSyscallError("EEXIST", () => late.run());
  taken.tuns[0].close();
  // The other end of a veth pair is there as long as the namespace is.
  await run("ip", "link", "add", probe, "type", "veth", "peer", "name", probe, "netns", netns);
  there.close();
  await run("ip", "netns", "del", netns);
  assertEquals(netnsNumber(netns), null);
  try {
    for (let n = 0; n < 200 && (await run("ip", "-o", "link")).includes(probe); n++) {
      await new Promise((done) => setTimeout(done, 10));
    }
    assertEquals((await run("ip", "-o", "link")).includes(probe), false, "the namespace has ended");
    const buffer = new Uint8Array(100);
    for (const one of [tun, ...made.tuns]) {
      assertEquals([one.read(buffer), one.write(buffer)], [-errno.EBADFD, -errno.EBADFD]);
      one.close();
    }
  } finally {
    await new Deno.Command("ip", { args: ["link", "del", probe], stderr: "null" }).output();
    await run("ip", "netns", "add", netns);
  }
});

deviceTest("inNetns comes back, after an error too", async () => {
  await using ns = await Namespaces.make(1);
  const here = () => Deno.readLinkSync(`/proc/thread-self/ns/net`);
  const before = here();
  const there = inNetns(ns.names[0], here);
  assert(there !== before);
  assertEquals(here(), before);
  assertThrows(() =>
    inNetns(ns.names[0], () => {
      throw new TypeError("inside");
    }), TypeError);
  assertEquals(here(), before);
});

test("importing deno_tun opens nothing", async () => {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      "--no-lock",
      `await import("${import.meta.resolve("deno_tun")}"); console.log("imported")`,
    ],
    stderr: "null",
  }).output();
  // `deno eval` has all permissions; a module that is only imported must not need them, so ask again without.
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, `import "${import.meta.resolve("deno_tun")}"; console.log("imported");`);
    const bare = await run(Deno.execPath(), "run", "--no-lock", "--no-config", "--no-prompt", file);
    assertEquals([new TextDecoder().decode(stdout), bare], ["imported\n", "imported\n"]);
  } finally {
    await Deno.remove(file);
  }
});

test("libc is opened once per thread", () => {
  assert(libc() === libc());
});
