/** The laboratory itself: it starts programs where it should, and nothing stays behind. */

import {
  assert,
  assertEquals,
  assertFalse,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { HERE, Lab } from "./lab.ts";
import { labTest } from "./lab_testing.ts";
import { startFtp, startWeb } from "./services.ts";

labTest("Lab.private has its namespaces and nothing else of this machine", [], async () => {
  await using lab = await Lab.private("lan", "wan");
  assertEquals((await lab.ok(HERE, "ip", "netns", "list")).trim().split("\n").sort(), ["lan", "wan"]);
  assertMatch(await lab.ok("lan", "ip", "-br", "link"), /^lo\s+UNKNOWN.*\n$/);
});

labTest("Lab.close ends what was started, also what hides behind a shell", [], async () => {
  const lab = await Lab.private("lan");
  const pids = (await lab.ok(
    "lan",
    "sh",
    "-c",
    "sleep 100 >/dev/null 2>&1 & echo $!; sleep 200 >/dev/null 2>&1 & echo $!",
  ))
    .trim().split("\n").map(Number);
  const running = lab.spawn(HERE, "sleep", ["100"]);
  pids.push(running.pid);
  for (const pid of pids) assert(alive(pid), `${pid} runs`);
  await lab.close();
  for (const pid of pids) assertFalse(alive(pid), `${pid} was ended`);
  await assertRejects(() => Deno.stat(lab.dir), Deno.errors.NotFound);
});

labTest("Lab.run kills what takes too long and says so", [], async () => {
  await using lab = await Lab.private();
  await assertRejects(
    () => lab.run(HERE, "sh", ["-c", "echo waiting; sleep 10"], { timeout: 200 }),
    Error,
    "took over 200 ms; it said:\nwaiting",
  );
});

labTest("Running.waitFor tells what was said instead", [], async () => {
  await using lab = await Lab.private();
  const running = lab.spawn(HERE, "sh", ["-c", "echo something else"]);
  const error = await assertRejects(() => running.waitFor(/ready/), Error, "ended before it said /ready/");
  assertStringIncludes(error.message, "something else");
});

labTest("the servers of the lab serve", ["curl", "vsftpd"], async () => {
  await using lab = await Lab.private("lan");
  await startWeb(lab, "lan", 80);
  assertEquals(await lab.ok("lan", "curl", "-sS", "http://127.0.0.1/"), "hello, 127.0.0.1\n");
  assertEquals((await lab.ok("lan", "curl", "-sS", "http://[::1]/bytes/100000")).length, 100_000);
  await startFtp(lab, "lan", { "hello.txt": "hello\n" });
  assertEquals(await lab.ok("lan", "curl", "-sS", "ftp://127.0.0.1/hello.txt"), "hello\n");
  assertEquals(await lab.ok("lan", "curl", "-sS", "ftp://[::1]/hello.txt"), "hello\n");
});

function alive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
  } catch {
    return false;
  }
}
