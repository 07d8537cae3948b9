/** `deno task demo`, in a lab: it shows every step, cleans up whatever happens, and says when something failed. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { HERE, Lab, ROOT, type Running } from "./lab.ts";
import { labTest } from "./lab_testing.ts";

const PROGRAMS = ["ping", "curl", "vsftpd"];
const STEPS = 8;

function startDemo(lab: Lab): Running {
  return lab.spawn(HERE, Deno.execPath(), ["run", "-A", "--no-prompt", `${ROOT}tests/demo/demo.ts`], {
    env: { TMPDIR: lab.dir },
  });
}

/** What the demo could leave: namespaces, devices, files, and its own lab's folder. */
async function traces(lab: Lab): Promise<string> {
  return await lab.ok(HERE, "ip", "netns", "list") + await lab.ok(HERE, "ip", "-br", "link") +
    await lab.ok(HERE, "sh", "-c", `find /run -type f; ls ${lab.dir}`);
}

labTest("the demo shows every step and ends with 0", PROGRAMS, async () => {
  await using lab = await Lab.private();
  const before = await traces(lab);
  const demo = startDemo(lab);
  await demo.waitFor(/^✓ ping, lan to wan$/m);
  assertEquals(
    (await lab.ok(HERE, "ip", "netns", "list")).trim().split(/\s*\n/).map((line) => line.split(" ")[0])
      .sort(),
    [
      "lan",
      "wan",
    ],
  );
  const { code } = await demo.ended;
  assertEquals(code, 0, demo.text);
  assertEquals(demo.text.match(/^✓ /gm)?.length, STEPS, demo.text);
  assertMatch(demo.text, /^ +tcp +6 .* helper=ftp/m, "the flow table is shown");
  assertMatch(demo.text, /^Every step worked \([\d.]+ s\)\.$/m);
  assertEquals(await traces(lab), before);
});

labTest("the demo leaves namespaces alone that have its names", PROGRAMS, async () => {
  await using lab = await Lab.private("lan", "wan");
  await lab.ok("lan", "ip", "link", "set", "lo", "down");
  const before = await traces(lab);
  const demo = startDemo(lab);
  const { code } = await demo.ended;
  assertEquals(code, 0, demo.text);
  assertStringIncludes(demo.text, "Network namespaces of this machine are called lan and wan already.");
  assertEquals(demo.text.match(/^✓ /gm)?.length, STEPS);
  assertEquals(await traces(lab), before);
  assertMatch(await lab.ok("lan", "ip", "-br", "link"), /^lo +DOWN/);
});

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  labTest(`the demo cleans up after ${signal}`, PROGRAMS, async () => {
    await using lab = await Lab.private();
    const before = await traces(lab);
    for (const moment of [/\[ Weir \]/, /Weir are up/, /^✓ HTTP/m]) {
      const demo = startDemo(lab);
      await demo.waitFor(moment);
      const { code } = await demo.stop(signal, 8_000);
      assertEquals(code, 130, demo.text);
      assertMatch(demo.text, /^Stopped; cleaning up\.$/m);
      assertEquals(await traces(lab), before, `after ${moment}`);
    }
  });
}

labTest("the demo says what failed, ends with 1 and cleans up", PROGRAMS, async () => {
  await using lab = await Lab.private();
  const before = await traces(lab);
  const demo = startDemo(lab);
  await demo.waitFor(/Weir are up/);
  const children = Deno.readTextFileSync(`/proc/${demo.pid}/task/${demo.pid}/children`).trim().split(" ").map(
    Number,
  );
  const weir = children.find((pid) => Deno.readTextFileSync(`/proc/${pid}/cmdline`).includes("gateway.ts"));
  assert(weir, "the demo started Weir");
  Deno.kill(weir, "SIGKILL");
  const { code } = await demo.ended;
  assertEquals(code, 1);
  assertMatch(demo.text, /^✗ /m);
  assertMatch(demo.text, /^\d+ of 8 steps failed\.$/m);
  assertEquals(await traces(lab), before);
});
