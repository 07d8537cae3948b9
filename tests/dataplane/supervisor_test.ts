import { assert, assertEquals, assertLess, assertRejects, assertStringIncludes } from "@std/assert";
import { summarize, type Summary } from "../../src/config/summary.ts";
import type { RouterConfig } from "../../src/config/types.ts";
import { validate } from "../../src/config/validate.ts";
import type { DevicePlan } from "../../src/control/devices.ts";
import { ask, CommandError } from "../../src/control/socket.ts";
import { viewState } from "../../src/control/state_file.ts";
import { type Job, supervise } from "../../src/control/supervisor.ts";
import {
  CONTROL_HEARTBEAT,
  INTERFACE_COUNTERS,
  Memory,
  RX_BYTES,
  RX_PACKETS,
  TOTAL_RX_PACKETS,
  TOTAL_TX_PACKETS,
  TX_DROPS,
  TX_PACKETS,
} from "../../src/memory.ts";
import { Reason } from "../../src/netfilter.ts";
import { deviceTest, Namespaces, run } from "../ffi/netns.ts";

const geometry = { interfaces: 2, rules: 0, flows: 100, expects: 8 };

function planOf(
  lan: string,
  wan: string,
  host: string | null = null,
  offload: [boolean, boolean] = [true, true],
): DevicePlan {
  return {
    host: host === null ? null : { device: "weir0", netns: host },
    routes: [],
    interfaces: [
      {
        index: 1,
        name: "lan",
        device: "weir-lan",
        mtu: 1500,
        addresses: ["192.0.2.1/24"],
        offload: offload[0],
        peer: { netns: lan, addresses: ["192.0.2.2/24", "2001:db8:1::2/64"], routes: ["default"] },
      },
      {
        index: 2,
        name: "wan",
        device: "weir-wan",
        mtu: 1500,
        addresses: ["198.51.100.1/24"],
        offload: offload[1],
        peer: { netns: wan, addresses: ["198.51.100.2/24", "2001:db8:2::2/64"], routes: ["default"] },
      },
    ],
  };
}

/** A router of forwarders that runs while a test looks at it. */
class Run implements AsyncDisposable {
  readonly lines: string[] = [];
  readonly errors: string[] = [];
  readonly code: Promise<number>;
  readonly directory = Deno.makeTempDirSync({ prefix: "weir-run-" });
  readonly #abort = new AbortController();
  #changed = Promise.withResolvers<void>();
  #ended = false;

  constructor(plan: DevicePlan, misbehave = "", job: Partial<Job> = {}) {
    const see = (list: string[]) => (text: string) => {
      list.push(text.trimEnd());
      this.#changed.resolve();
      this.#changed = Promise.withResolvers();
    };
    this.code = supervise({
      name: "test",
      config: `weir:forwarder?${misbehave}`,
      plan,
      geometry,
      directory: this.directory,
      worker: new URL("./forwarder.ts", import.meta.url),
      output: { terminal: false, write: see(this.lines) },
      error: see(this.errors),
      abort: this.#abort.signal,
      ...job,
    }).finally(() => {
      this.#ended = true;
      this.#changed.resolve();
    });
  }

  /** Waits for a line that contains `text`. */
  async said(text: string): Promise<void> {
    while (!this.lines.some((line) => line.includes(text))) {
      if (this.#ended) {
        throw new Error(`ended before it said “${text}”: ${[...this.lines, ...this.errors].join("\n")}`);
      }
      await this.#changed.promise;
    }
  }

  async stop(): Promise<number> {
    this.#abort.abort();
    return await this.code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await Deno.remove(this.directory, { recursive: true });
  }
}

const inNs = (netns: string, ...command: string[]) => run("ip", "netns", "exec", netns, ...command);
const links = async (netns: string) => (await run("ip", "-n", netns, "-o", "link")).trim().split("\n").length;

/** Sends `bytes` over TCP from one namespace to the other, and gives what arrived: their number and their sum. */
async function transfer(from: string, to: string, address: string, bytes: number): Promise<string> {
  const receiver = new Deno.Command("ip", {
    args: [
      "netns",
      "exec",
      to,
      Deno.execPath(),
      "eval",
      "--no-lock",
      `
      const listener = Deno.listen({ hostname: "${address}", port: 4000 });
      console.log("listening");
      const connection = await listener.accept();
      let bytes = 0, sum = 0;
      for await (const chunk of connection.readable) {
        for (const byte of chunk) sum = (Math.imul(sum, 31) + byte) | 0;
        bytes += chunk.length;
      }
      console.log(bytes + " " + sum);
      listener.close();`,
    ],
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const lines = receiver.stdout.pipeThrough(new TextDecoderStream()).getReader();
  await lines.read();
  await inNs(
    from,
    Deno.execPath(),
    "eval",
    "--no-lock",
    `
    const connection = await Deno.connect({ hostname: "${address}", port: 4000 });
    const chunk = new Uint8Array(${bytes});
    for (let i = 0; i < chunk.length; i++) chunk[i] = i * 2654435761 >>> 13;
    for (let at = 0; at < chunk.length;) at += await connection.write(chunk.subarray(at));
    connection.close();`,
  );
  const { value } = await lines.read();
  await lines.cancel();
  await receiver.status;
  return value!.trim();
}

/** What `transfer` gives when every byte has arrived. */
function expected(bytes: number): string {
  let sum = 0;
  for (let i = 0; i < bytes; i++) sum = (Math.imul(sum, 31) + ((i * 2654435761 >>> 13) & 0xff)) | 0;
  return `${bytes} ${sum}`;
}

const CARRIED: readonly [name: string, offload: [boolean, boolean], workers: number][] = [
  ["with offload", [true, true], 1],
  ["from a device with offload to one without", [true, false], 1],
  ["without offload", [false, false], 1],
  ["with offload by three workers", [true, true], 3],
  ["from a device with offload to one without by three workers", [true, false], 3],
];
for (const [title, offload, workers] of CARRIED) {
  deviceTest(`Loop carries TCP ${title}, IPv4 and IPv6, both ways`, async () => {
    await using ns = await Namespaces.make(2);
    const [lan, wan] = ns.names;
    await using router = new Run(planOf(lan, wan, null, offload), "", { workers });
    await router.said("weir: ready");
    const want = expected(3_000_000);
    assertEquals(await transfer(lan, wan, "198.51.100.2", 3_000_000), want);
    assertEquals(await transfer(wan, lan, "192.0.2.2", 3_000_000), want);
    assertEquals(await transfer(lan, wan, "2001:db8:2::2", 3_000_000), want);
    const view = viewState("test", router.directory);
    const { interfaces, totals, drops } = view.memory;
    const [rx, tx] = [
      interfaces[INTERFACE_COUNTERS + RX_PACKETS],
      interfaces[2 * INTERFACE_COUNTERS + TX_PACKETS],
    ];
    assert(rx > 0 && tx > 0 && totals[TOTAL_RX_PACKETS] > 0 && totals[TOTAL_TX_PACKETS] > 0);
    const mean = interfaces[INTERFACE_COUNTERS + RX_BYTES] / rx;
    // With offload whole bursts arrive at once; what leaves by a device without it is cut to the MTU.
    if (offload[0]) assert(mean > 3000, `${mean} bytes per packet`);
    else assert(mean <= 1500, `${mean} bytes per packet`);
    if (!offload[1] && offload[0]) assert(tx > rx * 2, `${rx} came in, ${tx} went out`);
    assertEquals([drops[Reason["device-error"] * 2], drops[Reason["bad-offload"] * 2]], [0, 0]);
    view.close();
    assertEquals(await router.stop(), 0);
  });
}

deviceTest("Loop talks to the host device", async () => {
  for (const workers of [1, 2]) {
    await using ns = await Namespaces.make(3);
    const [lan, wan, host] = ns.names;
    await using router = new Run(planOf(lan, wan, host), "host", { workers });
    await router.said("weir: ready");
    assertStringIncludes(await inNs(lan, "ping", "-c2", "-i0.01", "-W2", "192.0.2.1"), " 0% packet loss");
  }
});

for (const workers of [1, 2]) {
  const by = workers === 1 ? "" : `, by ${workers} workers`;
  deviceTest(`Loop counts what a device does not take, and goes on when it is deleted${by}`, async () => {
    await using ns = await Namespaces.make(2);
    const [lan, wan] = ns.names;
    await using router = new Run(planOf(lan, wan), "", { workers });
    await router.said("weir: ready");
    const ping = () => inNs(lan, "ping", "-c3", "-i0.01", "-W1", "198.51.100.2").catch((error) => `${error}`);
    await run("ip", "-n", wan, "link", "set", "weir-wan", "down");
    await ping();
    const view = viewState("test", router.directory);
    const down = () => view.memory.drops[Reason["device-down"] * 2];
    assert(down() >= 3);
    assertEquals(view.memory.interfaces[2 * INTERFACE_COUNTERS + TX_DROPS], down());
    await router.said("interface wan: its device is down");
    await run("ip", "-n", wan, "link", "set", "weir-wan", "up");
    await run("ip", "-n", wan, "route", "add", "default", "dev", "weir-wan");
    assertStringIncludes(await ping(), " 0% packet loss");
    await run("ip", "-n", wan, "link", "del", "weir-wan");
    await router.said("interface wan: its device is gone");
    const before = down();
    await ping();
    assert(down() >= before + 3);
    const lines = router.lines.filter((line) => line.includes("interface wan"));
    assertEquals(lines.length, 2, lines.join("\n"));
    // It does not spin: a loop that is asleep turns ten times a second.
    const beats = view.memory.control[CONTROL_HEARTBEAT];
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert(view.memory.control[CONTROL_HEARTBEAT] - beats < 20);
    view.close();
    assertEquals(await router.stop(), 0);
  });
}

for (const workers of [1, 2]) {
  const by = workers === 1 ? "" : `, ${workers} workers`;
  deviceTest(`supervise takes everything back when it is stopped${by}`, async () => {
    await using ns = await Namespaces.make(2);
    const [lan, wan] = ns.names;
    await using router = new Run(planOf(lan, wan), "", { workers });
    await router.said(`weir: ready, forwarding (lan, wan${by})`);
    assertEquals([await links(lan), await links(wan)], [2, 2]);
    assertEquals(await router.stop(), 0);
    assertEquals([await links(lan), await links(wan)], [1, 1]);
    assertEquals(Array.from(Deno.readDirSync(router.directory)), []);
    assertEquals(router.errors, []);
  });

  deviceTest(
    `supervise carries commands from its socket to the data plane, and the answers back${by}`,
    async () => {
      await using ns = await Namespaces.make(2);
      const [lan, wan] = ns.names;
      await using router = new Run(planOf(lan, wan), "", { workers });
      await router.said("weir: ready");
      const path = `${router.directory}/test.sock`;
      assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
      // More than the ring has room for, all at once.
      const answers = await Promise.all(
        Array.from({ length: 50 }, () => ask(path, { command: "unload-helper", helper: "tftp" })),
      );
      for (const answer of answers) assertEquals([answer.flows, answer.expectations], [20, 10]);
      // The answers come through the memory, the lines by messages.
      const carried = () => router.lines.filter((line) => line === "command 2 1").length;
      for (let n = 0; n < 200 && carried() < 50; n++) await new Promise((done) => setTimeout(done, 10));
      assertEquals(carried(), 50);
      assertEquals((await ask(path, { command: "load-helper", helper: "ftp" })).flows, 10);
      await assertRejects(
        () => ask(path, { command: "load-helper", helper: "irc" }),
        CommandError,
        "there are ftp, tftp",
      );
      assertEquals(await router.stop(), 0);
      await assertRejects(
        () => ask(path, { command: "load-helper", helper: "ftp" }),
        CommandError,
        "cannot reach",
      );
    },
  );

  deviceTest(`supervise stops at any moment of its start${by}`, async () => {
    await using ns = await Namespaces.make(2);
    const [lan, wan] = ns.names;
    for (const milliseconds of [0, 1, 5, 20, 60, 120]) {
      await using router = new Run(planOf(lan, wan), "", { workers });
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
      assertEquals(await router.stop(), 0);
      assertEquals([await links(lan), await links(wan)], [1, 1]);
      assertEquals([Array.from(Deno.readDirSync(router.directory)), router.errors], [[], []]);
    }
  });
}

const BROKEN = /^weir: the data plane died: Error: the module is broken/;
const THROWN = /^weir: the data plane died: Error: a rule of the user broke/;
const DEATHS: [name: string, misbehave: string, why: RegExp, workers: number][] = [
  ["whose module is broken", "broken", BROKEN, 1],
  ["whose router throws", "throw", THROWN, 1],
  ["of three workers whose module is broken", "broken", BROKEN, 3],
  ["of three workers of which one throws while it has the lock", "throw", THROWN, 3],
];
for (const [name, misbehave, why, workers] of DEATHS) {
  deviceTest(`supervise ends with the reason of a data plane ${name}`, async () => {
    await using ns = await Namespaces.make(2);
    const [lan, wan] = ns.names;
    await using router = new Run(planOf(lan, wan), misbehave, { workers });
    if (misbehave === "throw") {
      // The kernel's own packets may be the first, before it could say so.
      await router.said("weir: ready").catch(() => {});
      await inNs(lan, "ping", "-c1", "-W1", "198.51.100.2").catch(() => {});
    }
    assertEquals(await router.code, 1);
    assert(why.test(router.errors[0]), router.errors[0]);
    assertEquals([router.errors.length, await links(lan), await links(wan)], [1, 1, 1]);
    assertEquals(Array.from(Deno.readDirSync(router.directory)), []);
  });
}

deviceTest("supervise ends with the reason when the worker's module cannot be loaded", async () => {
  await using ns = await Namespaces.make(2);
  const [lan, wan] = ns.names;
  await using router = new Run(planOf(lan, wan), "", {
    worker: new URL("./no_such_module.ts", import.meta.url),
  });
  assertEquals(await router.code, 1);
  assertStringIncludes(router.errors[0], "weir: the data plane died: ");
  assertEquals([await links(lan), await links(wan)], [1, 1]);
});

deviceTest("supervise touches nothing when a device cannot be made or the name runs already", async () => {
  await using ns = await Namespaces.make(2);
  const [lan, wan] = ns.names;
  await run("ip", "-n", wan, "tuntap", "add", "dev", "weir-wan", "mode", "tun");
  {
    await using router = new Run(planOf(lan, wan));
    assertEquals(await router.code, 1);
    assertStringIncludes(router.errors[0], "weir: cannot open TUN device weir-wan: the name is in use");
    assertEquals([router.errors.length, await links(lan)], [1, 1]);
    assertEquals(Array.from(Deno.readDirSync(router.directory)), []);
  }
  await run("ip", "-n", wan, "link", "del", "weir-wan");
  await using first = new Run(planOf(lan, wan));
  await first.said("weir: ready");
  await using second = new Run(planOf(lan, wan), "", { directory: first.directory });
  assertEquals(await second.code, 1);
  assertStringIncludes(second.errors[0], "weir: a router named test runs already");
  assertEquals(await links(lan), 2, "the first one is not disturbed");
});

/** A process of its own, so that signals and the end of the process are the real ones. */
async function spawn(
  lan: string,
  wan: string,
  directory: string,
  misbehave = "",
  workers = 1,
  summary?: Summary,
): Promise<Deno.ChildProcess> {
  const source = `import { supervise } from ${
    JSON.stringify(import.meta.resolve("../../src/control/supervisor.ts"))
  };
    Deno.exit(await supervise({
      name: "test", workers: ${workers}, config: "weir:forwarder?${misbehave}", geometry: ${
    JSON.stringify(geometry)
  },
      plan: ${JSON.stringify(planOf(lan, wan))}, directory: ${JSON.stringify(directory)},
      worker: new URL(${JSON.stringify(import.meta.resolve("./forwarder.ts"))}),
      ${summary === undefined ? "" : `summary: () => (${JSON.stringify(summary)}), loadTime: 2000,`}
    }));`;
  await Deno.writeTextFile(`${directory}/main.ts`, source);
  const config = new URL("../../deno.json", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-lock", "--config", config, `${directory}/main.ts`],
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; !text.includes("weir: ready");) text += (await reader.read()).value ?? "";
  await reader.cancel();
  return child;
}

const SIGNALS = [["SIGTERM", "", 1], ["SIGINT", "", 1], ["SIGTERM", "hang", 1], [
  "SIGTERM",
  "hang",
  2,
]] as const;
for (const [signal, misbehave, workers] of SIGNALS) {
  const who = workers === 1 ? "the data plane" : "one of two workers";
  const what = misbehave === "" ? "" : `, though ${who} hangs in a rule`;
  deviceTest(`supervise ends its process at ${signal}${what}`, async () => {
    await using ns = await Namespaces.make(2);
    const [lan, wan] = ns.names;
    const directory = await Deno.makeTempDir({ prefix: "weir-run-" });
    const child = await spawn(lan, wan, directory, misbehave, workers);
    if (misbehave !== "") await inNs(lan, "ping", "-c1", "-W1", "198.51.100.2").catch(() => {});
    child.kill(signal);
    // A process that does not end fails by the limit; how fast it is belongs into the benchmarks.
    const timer = setTimeout(() => child.kill("SIGKILL"), 10000);
    const { code, signal: killed } = await child.status;
    clearTimeout(timer);
    assertEquals([code, killed], [0, null]);
    assertEquals([await links(lan), await links(wan)], [1, 1]);
    await Deno.remove(directory, { recursive: true });
  });
}

/** What a configuration of the forwarder's devices says, and how the forwarder is told. */
function summaryOf(plan: DevicePlan, workers: number): Summary {
  const written: RouterConfig = { interfaces: { lan: {}, wan: {} }, workers };
  return { ...summarize(validate(written)), interfaces: plan.interfaces };
}
const givenBy = (summary: Summary) => `summary=${encodeURIComponent(JSON.stringify(summary))}`;

/** Reloads that fail, and what is said of them. */
const FAILURES: readonly (readonly [how: string, why: string])[] = [
  ["load=refused", "gw.ts: 2 mistakes"],
  ["broken", "the module is broken"],
  ["load=hang", "it was not loaded within 2 s"],
  ["build=throw", "it cannot be built"],
  ["build=more", "less shared memory than is asked for"],
  ["build=other", "Weir itself is another one than the one that runs"],
  ["take=throw", "it cannot take over"],
];

for (const workers of [1, 2]) {
  deviceTest(
    `a reload that fails anywhere leaves ${workers} as they were, and the next one is done`,
    async () => {
      await using ns = await Namespaces.make(2);
      const [lan, wan] = ns.names, plan = planOf(lan, wan);
      const summary = summaryOf(plan, workers), given = givenBy(summary);
      await using weir = new Run(plan, given, { summary: () => summary, loadTime: 2000, workers });
      await weir.said("ready");
      const path = `${weir.directory}/test.sock`,
        ping = () => inNs(lan, "ping", "-c", "1", "-W", "2", "198.51.100.2");
      const reload = (how: string) =>
        ask(path, { command: "reload", config: `weir:forwarder?${how}&${given}` });
      const devices = await inNs(lan, "ip", "-o", "address");
      for (const [how, why] of FAILURES) {
        const error = await assertRejects(() => reload(how), CommandError);
        assertStringIncludes(error.message, why);
        await ping();
        assertEquals(await inNs(lan, "ip", "-o", "address"), devices, how);
      }
      for (let i = 0; i < 3; i++) {
        const { gap } = await reload(`n=${i}`);
        assert(typeof gap === "number" && gap >= 0);
        await ping();
      }
      // While a module hangs the router is stopped.
      const hanging = assertRejects(() => reload("load=hang"), CommandError);
      await new Promise((done) => setTimeout(done, 100));
      assertEquals(await weir.stop(), 0);
      await hanging;
    },
  );
}

for (const workers of [1, 2]) {
  deviceTest(`reloads of ${workers} that fail leave no descriptors and no threads`, async () => {
    await using ns = await Namespaces.make(2);
    const [lan, wan] = ns.names, directory = await Deno.makeTempDir({ prefix: "weir-run-" });
    const summary = summaryOf(planOf(lan, wan), workers), given = givenBy(summary);
    // A process of its own: others leave theirs in this one.
    const child = await spawn(lan, wan, directory, given, workers, summary);
    try {
      const open = () =>
        ["fd", "task"].map((what) => [...Deno.readDirSync(`/proc/${child.pid}/${what}`)].length);
      const fail = async ([how, why]: typeof FAILURES[number]) => {
        const asked = ask(`${directory}/test.sock`, {
          command: "reload",
          config: `weir:forwarder?${how}&${given}`,
        });
        assertStringIncludes((await assertRejects(() => asked, CommandError)).message, why);
      };
      // A worker comes to its end some time after it has said so.
      const settled = async (most: number[], what: string) => {
        for (let i = 0; open().some((count, i) => count > most[i]); i++) {
          assertLess(i, 50, `descriptors and threads: ${most} before, ${open()} after ${what}`);
          await new Promise((done) => setTimeout(done, 100));
        }
      };
      const [refused, broken, hanging, ...others] = FAILURES;
      // What the first one needs stays for the next one.
      for (const failure of [refused, broken, ...others]) await fail(failure);
      await new Promise((done) => setTimeout(done, 1000));
      const before = open();
      for (const failure of [refused, broken, ...others]) {
        for (let n = 0; n < 3; n++) await fail(failure);
        await settled(before, failure[0]);
      }
      // Deno keeps some of a worker that is broken off while it computes: not for each worker, at least.
      await fail(hanging);
      await settled([before[0] + 9, before[1] + 1], hanging[0]);
    } finally {
      child.kill("SIGTERM");
      await child.status;
      await Deno.remove(directory, { recursive: true });
    }
  });
}

deviceTest("a process that is killed leaves its flows to the next one, and no devices", async () => {
  await using ns = await Namespaces.make(2);
  const [lan, wan] = ns.names;
  const directory = await Deno.makeTempDir({ prefix: "weir-run-" });
  const child = await spawn(lan, wan, directory);
  child.kill("SIGKILL");
  await child.status;
  assertEquals([await links(lan), await links(wan)], [1, 1]);
  {
    await using next = new Run(planOf(lan, wan), "", { directory, keep: () => true });
    await next.said("weir: ready");
    assert(next.lines.includes("recovered true"), next.lines.join("\n"));
    assertEquals(await next.stop(), 0);
  }
  await Deno.remove(directory, { recursive: true });
  assert(Memory.bytes(geometry) > 0);
});
