import { assert, assertEquals, assertThrows } from "@std/assert";
import { EventFd, openTun, POLL_BROKEN, POLLERR, POLLIN, POLLNVAL, POLLOUT, PollSet } from "deno_tun";
import { deviceTest, Namespaces, run, test } from "./netns.ts";

test("PollSet wait comes back after its time", () => {
  const set = new PollSet(2);
  const start = performance.now();
  assertEquals(set.wait(20), 0);
  assert(performance.now() - start >= 19);
});

test("PollSet tells which entries have what", () => {
  using a = new EventFd();
  using b = new EventFd();
  const set = new PollSet(3);
  set.set(0, a.fd);
  set.set(1, b.fd);
  set.set(2, b.fd, POLLOUT);
  b.signal();
  assertEquals(set.wait(-1), 2);
  assertEquals([set.revents(0), set.revents(1), set.revents(2)], [0, POLLIN, POLLOUT]);
  set.set(1, -1);
  set.set(2, -1);
  assertEquals(set.wait(0), 0);
  assertEquals(set.revents(1), 0);
});

test("PollSet reports a closed descriptor instead of waiting for ever", () => {
  const gone = new EventFd();
  const set = new PollSet(1);
  set.set(0, gone.fd);
  gone.close();
  assertEquals(set.wait(-1), 1);
  assertEquals(set.revents(0) & POLL_BROKEN, POLLNVAL);
});

test("PollSet refuses an entry that it does not have", () => {
  const set = new PollSet(1);
  assertThrows(() => set.set(1, 0), RangeError);
});

test("EventFd signals add up to one wake-up", () => {
  using wake = new EventFd();
  assertEquals(wake.drain(), false);
  wake.signal();
  wake.signal();
  assertEquals(wake.drain(), true);
  assertEquals(wake.drain(), false);
});

test("EventFd wakes a poll from another thread", async () => {
  using wake = new EventFd();
  const set = new PollSet(1);
  set.set(0, wake.fd);
  const worker = new Worker(import.meta.resolve("./wake_worker.ts"), { type: "module" });
  worker.postMessage({ signal: wake.fd });
  // Blocks this thread: only the other one can end it. The limit is for a test that fails, not a time to be met.
  assertEquals(set.wait(20000), 1);
  assertEquals(wake.drain(), true);
  worker.terminate();
  await new Promise((resolve) => setTimeout(resolve, 0));
});

deviceTest("PollSet sees packets arrive and devices go", async () => {
  await using ns = await Namespaces.make(1);
  const [netns] = ns.names;
  using tun = openTun({ name: "weir-a", netns });
  await run("ip", "-n", netns, "link", "set", "weir-a", "addrgenmode", "none", "up");
  const set = new PollSet(1);
  set.set(0, tun.fd);
  while (tun.read(new Uint8Array(2000)) > 0);
  assertEquals(set.wait(0), 0);
  await run("ip", "-n", netns, "addr", "add", "192.0.2.1/24", "dev", "weir-a");
  const ping = new Deno.Command("ip", {
    args: ["netns", "exec", netns, "ping", "-c1", "-W1", "192.0.2.9"],
    stdout: "null",
    stderr: "null",
  }).spawn();
  assertEquals(set.wait(10000), 1);
  assertEquals(set.revents(0), POLLIN);
  await ping.status;
  while (tun.read(new Uint8Array(2000)) > 0);
  await run("ip", "-n", netns, "link", "del", "weir-a");
  assertEquals(set.wait(0), 1);
  assertEquals(set.revents(0) & POLLERR, POLLERR);
});
