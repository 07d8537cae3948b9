/**
 * L04 (scale: 12 moments, 400 connections): killed with -9 in the middle of whatever it did, and what the next process
 * makes of the state file. tests/netns/restart_test.ts does it to whole routers.
 */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { libc, MappedFile } from "deno_tun";
import { listExpects, listFlows } from "../../src/conntrack/format.ts";
import { Memory } from "../../src/memory.ts";
import { seeded, tcp } from "../kit/mod.ts";
import { client, OPEN, Plane, server } from "./killed_router.ts";

// The C library stays open for the life of the process; opened in a test, the sanitizer would call it a leak.
if (Deno.build.os === "linux") libc();

const KILLS = 12;
const STATE = "(?:tcp +6|udp +17) \\d+ (?:[A-Z_0-9]+ )?",
  PORTS = "sport=\\d+ dport=\\d+ (?:\\[UNREPLIED\\] )?";
const REST = "sport=\\d+ dport=(\\d+) (?:\\[ASSURED\\] )?mark=0 (?:helper=ftp )?use=[12]$";
/** A flow of the client's, and what came from the server when the table had no room for the client's question. */
const FLOW = new RegExp(
  `^${STATE}src=192\\.0\\.2\\.\\d+ dst=198\\.51\\.100\\.7 ${PORTS}src=198\\.51\\.100\\.7 dst=198\\.51\\.100\\.1 ${REST}`,
);
const OWN_FLOW = new RegExp(
  `^${STATE}src=198\\.51\\.100\\.7 dst=198\\.51\\.100\\.1 ${PORTS}src=198\\.51\\.100\\.1 dst=198\\.51\\.100\\.7 ${REST}`,
);
const EXPECTATION =
  /^\d+ proto=6 src=198\.51\.100\.7 dst=198\.51\.100\.1 sport=0 dport=\d+ .*master-src=192\.0\.2\.2 master-dst=198\.51\.100\.7 sport=\d+ dport=21 class=0 helper=ftp$/;

Deno.test({
  name:
    `L04 killed at ${KILLS} moments, the state goes on each time: open connections with their ports, nothing by halves`,
  ignore: Deno.build.os !== "linux",
}, async () => {
  const random = seeded(Date.now()), folder = await Deno.makeTempDir({ prefix: "weir-killed-" });
  try {
    for (let i = 0; i < KILLS; i++) await once(`${folder}/${i}.state`, (random.next() >>> 0) % 100);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

async function once(path: string, milliseconds: number): Promise<void> {
  const { ports, began } = await killed(path, milliseconds);
  assertNotEquals(new Set(ports.slice(0, 2)).size, 1, "two of a pair have different ports");
  const file = new MappedFile(path), memory = Memory.open(file.map());
  const { router, clock, left, send } = bound(new Plane(memory, true, began));
  const { conntrack } = router, { flows, expects } = conntrack;
  clock.read();
  // Each line is of one flow, no port of Weir's is taken twice by one protocol, and the count is that of the list.
  const lines = listFlows(conntrack), taken = new Set<string>();
  for (const line of lines) {
    if (OWN_FLOW.test(line)) continue;
    const port = FLOW.exec(line)?.[1];
    assert(port !== undefined, line);
    const key = `${line.slice(0, 3)} ${port} ${/ dport=(\d+)/.exec(line)![1]}`;
    assert(!taken.has(key), `twice: ${line}`);
    taken.add(key);
  }
  assert(lines.length > OPEN, `${lines.length} flows`);
  for (const line of listExpects(conntrack)) assert(EXPECTATION.test(line), line);
  for (let i = 0; i < OPEN; i++) {
    send(2, tcp({ ...server(ports[i]), flags: "PA", seq: 2, ack: 2, payload: "hello" }));
    assertEquals(left, [1, 443, client(i).sport], `connection ${i} hears`);
    send(1, tcp({ ...client(i), flags: "A", seq: 2, ack: 7 }));
    assertEquals(left, [2, ports[i], 443], `connection ${i} speaks`);
  }
  // All else ends in its time; no record and no expectation is lost.
  for (let s = 0; s < 700; s++) {
    clock.now = (clock.now + 1000) | 0;
    while (router.sweep());
  }
  // One connection may have been about to end.
  assert(flows.count === OPEN || flows.count === OPEN + 1, `${flows.count} flows are left`);
  assertEquals(expects.count, 0);
  for (let i = 0; flows.count < flows.capacity; i++) {
    assert(i < flows.capacity, `${flows.capacity - flows.count} of ${flows.capacity} records are lost`);
    send(1, tcp({ src: "192.0.2.3", sport: 1024 + i, dst: "198.51.100.7", dport: 25, flags: "S", seq: 1 }));
  }
  file.unmap();
  file.close();
}

/** Runs the router until so many milliseconds after it is in full swing: by which ports these left. */
async function killed(path: string, milliseconds: number): Promise<{ ports: number[]; began: number }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-prompt", "--no-check", `${import.meta.dirname}/killed_router.ts`, path],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    text += decoder.decode(chunk, { stream: true });
    if (!text.endsWith("\n")) continue;
    await new Promise((done) => setTimeout(done, milliseconds));
    child.kill("SIGKILL");
  }
  await child.status;
  return { ports: JSON.parse(text), began: child.pid };
}

function bound(plane: Plane) {
  return { router: plane.router, clock: plane.clock, left: plane.left, send: plane.send.bind(plane) };
}
