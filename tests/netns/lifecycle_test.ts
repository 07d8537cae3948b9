/** Starting and ending: what Weir says, how fast it ends, and that it leaves nothing behind. */

import { assert, assertEquals, assertLess, assertMatch, assertStringIncludes } from "@std/assert";
import { HERE, Lab, ROOT, weirArgs } from "./lab.ts";
import { labTest } from "./lab_testing.ts";
import { listening } from "./services.ts";

const GATEWAY = `${ROOT}examples/gateway.ts`;

/** Everything a run could leave: devices, addresses and routes of each namespace, and files below /run. */
async function traces(lab: Lab): Promise<string> {
  let text = "";
  for (const where of [HERE, "lan", "wan"]) {
    for (const what of [["-br", "link"], ["-br", "address"], ["route"], ["-6", "route"]]) {
      text += `${where} ${what.join(" ")}\n${await lab.ok(where, "ip", ...what)}`;
    }
  }
  return text + await lab.ok(HERE, "find", "/run", "-type", "f");
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  labTest(`${signal} ends weir run within a second, with 0, and nothing stays`, ["ping"], async () => {
    await using lab = await Lab.private("lan", "wan");
    const before = await traces(lab);
    const weir = await lab.weir(GATEWAY);
    await lab.ok("lan", "ping", "-c", "1", "-W", "2", "198.51.100.2");
    assert(await traces(lab) !== before, "devices and routes are there while it runs");
    const began = performance.now();
    const { code, stdout } = await weir.stop(signal);
    assertLess(performance.now() - began, 1_000, `it said: ${weir.text}`);
    assertEquals(code, 0, weir.text);
    assertMatch(stdout, new RegExp(`^weir: stopped \\(${signal}\\)\n$`, "m"));
    assertEquals(await traces(lab), before);
  });
}

labTest("asked to end again and again it ends as when it is asked once", [], async () => {
  await using lab = await Lab.private("lan", "wan");
  const before = await traces(lab);
  for (const signals of [["SIGINT", "SIGINT"], ["SIGTERM", "SIGHUP"], ["SIGTERM", "SIGINT"]] as const) {
    const weir = await lab.weir(GATEWAY);
    // As a terminal and `deno task` do, and who is impatient.
    for (let i = 0; !/^weir: stopped/m.test(weir.text) && !weir.over; i++) {
      weir.signal(signals[Math.min(i, 1)]);
      await new Promise((done) => setTimeout(done, 5));
    }
    await weir.ended;
    assertMatch(weir.text, new RegExp(`^weir: stopped \\(${signals[0]}\\)$`, "m"));
    assertEquals(await traces(lab), before);
  }
});

labTest("a router whose words find no room goes on, and ends as any other", ["ping"], async () => {
  await using lab = await Lab.private("lan", "wan");
  const before = await traces(lab);
  const command = ["exec", Deno.execPath(), ...weirArgs(["run", GATEWAY]), "> /dev/full"].join(" ");
  const weir = lab.spawn(HERE, "sh", ["-c", command]);
  const ping = () => lab.run("lan", "ping", ["-c", "1", "-W", "1", "198.51.100.2"]);
  while ((await ping()).code !== 0) assert(!weir.over, weir.text);
  const { code } = await weir.stop();
  assertEquals([code, weir.text], [0, ""]);
  assertEquals(await traces(lab), before);
});

labTest("SIGTERM ends weir run within a second while it carries all it can", ["iperf3"], async () => {
  await using lab = await Lab.private("lan", "wan");
  const weir = await lab.weir(GATEWAY);
  await listening(lab, "wan", 5201, lab.spawn("wan", "iperf3", ["-s"]));
  const client = lab.spawn("lan", "iperf3", ["-c", "198.51.100.2", "-t", "5", "--forceflush", "-i", "0.2"]);
  await client.waitFor(/ 0\.20-/);
  const began = performance.now();
  const { code } = await weir.stop("SIGTERM");
  assertLess(performance.now() - began, 1_000, `it said: ${weir.text}`);
  assertEquals(code, 0, weir.text);
});

labTest(
  "deno task start finds the configuration from where the user stands, and ends by SIGTERM",
  [],
  async () => {
    await using lab = await Lab.private("lan", "wan");
    lab.write("here.ts", Deno.readTextFileSync(GATEWAY));
    const before = await traces(lab);
    // The task that runs the tests has set INIT_CWD, and a task within a task keeps it.
    const start = [Deno.execPath(), "task", "--config", `${ROOT}deno.json`, "start", "here.ts"];
    const task = lab.spawn(HERE, "env", ["--unset=INIT_CWD", ...start]);
    await task.waitFor(/^weir: ready/m);
    assertEquals((await task.stop("SIGTERM")).code, 0, task.text);
    assertEquals(await traces(lab), before);
  },
);

labTest("a second run right after the first works as the first did", ["ping"], async () => {
  await using lab = await Lab.private("lan", "wan");
  for (let i = 0; i < 3; i++) {
    const weir = await lab.weir(GATEWAY);
    assertStringIncludes(await lab.ok("lan", "ping", "-c", "1", "-W", "2", "198.51.100.2"), "1 received");
    const { stdout } = await lab.command(["conntrack", "-L"]);
    assertEquals(stdout.match(/^icmp /gm)?.length, 1, `the flow table begins empty:\n${stdout}`);
    assertEquals((await weir.stop()).code, 0);
  }
});

labTest("killed with -9, it leaves no device, and the next run starts", ["ping"], async () => {
  await using lab = await Lab.private("lan", "wan");
  const weir = await lab.weir(GATEWAY);
  await weir.stop("SIGKILL");
  assertMatch(await lab.ok("lan", "ip", "-br", "link"), /^lo .*\n$/);
  await lab.weir(GATEWAY);
  assertStringIncludes(await lab.ok("lan", "ping", "-c", "1", "-W", "2", "198.51.100.2"), "1 received");
});

labTest("weir run where there is no terminal writes plain lines", ["ping"], async () => {
  await using lab = await Lab.private("lan", "wan");
  const weir = await lab.weir(GATEWAY);
  await weir.stop();
  // deno-lint-ignore no-control-regex
  assert(!/[\r\x1b]/.test(weir.text), weir.text);
  assertMatch(weir.text, /^weir: ready/m);
});

labTest("weir conntrack -L without a running router says so", [], async () => {
  await using lab = await Lab.private();
  const { code, stdout, stderr } = await lab.command(["conntrack", "-L"]);
  assertEquals([code, stdout], [1, ""]);
  assertMatch(stderr, /^weir: no router is running.*\n$/);
});
