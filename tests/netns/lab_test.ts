/** The laboratory itself: it starts programs where it should, and nothing stays behind. */

import {
  assert,
  assertEquals,
  assertFalse,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { HERE, Lab, ROOT } from "./lab.ts";
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

/** Makes a lab in which a router runs, a shell with something behind it, and something in namespaces of its own. */
const MAKER = `
import { HERE, Lab, ROOT } from "./tests/netns/lab.ts";
const lab = await Lab.private("lan", "wan");
const weir = await lab.weir(ROOT + "examples/gateway.ts");
lab.write("file", "");
const hidden = await lab.ok("lan", "sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!");
const apart = lab.spawn("wan", "unshare", ["--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", "echo up; sleep 1000"]);
await apart.waitFor(/up/);
const children = Deno.readTextFileSync(\`/proc/\${apart.pid}/task/\${apart.pid}/children\`).trim();
console.log(JSON.stringify({ dir: lab.dir, pids: [weir.pid, Number(hidden), apart.pid, Number(children)] }));
await new Promise(() => setInterval(() => {}, 1000));
`;

for (const signal of ["SIGKILL", "SIGTERM"] as const) {
  labTest(`a lab whose maker is ended by ${signal} leaves no process and no folder`, [], async () => {
    await using lab = await Lab.private();
    const maker = lab.spawn(HERE, Deno.execPath(), ["eval", "--ext=ts", MAKER], { cwd: ROOT });
    const { dir, pids } = JSON.parse((await maker.waitFor(/^{.*}$/m, 20_000))[0]);
    for (const pid of pids) assert(alive(pid), `${pid} runs`);
    assert(Deno.statSync(`${dir}/file`).isFile);
    maker.signal(signal);
    await maker.ended;
    const left = () => [...pids.filter(alive), ...exists(dir) ? [dir] : []];
    for (let i = 0; i < 200 && left().length > 0; i++) await new Promise((done) => setTimeout(done, 50));
    assertEquals(left(), []);
  });
}

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
  const error = await assertRejects(
    () => running.waitFor(/ready/),
    Error,
    "ended (exit code 0) before it said /ready/",
  );
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

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

function alive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
  } catch {
    return false;
  }
}
