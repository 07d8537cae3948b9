import { assertEquals } from "@std/assert";
import { libc } from "deno_tun";
import { Lock } from "../../src/dataplane/lock.ts";
import { Share, SharedArena } from "../../src/dataplane/shared_arena.ts";

libc(); // It stays open, so it is opened before the first test counts what is open.

interface Said {
  sum: number;
  backwards: number;
}

Deno.test("Lock lets one thread in at a time, and time runs forwards", async () => {
  const share = new Share(), times = 30_000, threads = 3;
  // What the first one takes the others find.
  const arena = new SharedArena(share, true), sums = arena.float64(2), large = arena.int32(1 << 20);
  const workers = Array.from(
    { length: threads },
    () => new Worker(new URL("./lock_worker.ts", import.meta.url), { type: "module" }),
  );
  const said = await Promise.all(workers.map((worker, n) =>
    new Promise<Said>((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = reject;
      worker.postMessage({ share: share.address, times, pace: n + 1 });
    })
  ));
  assertEquals(sums[0], threads * times);
  assertEquals(said.map(({ backwards }) => backwards), [0, 0, 0]);
  assertEquals(large.reduce((sum, n) => sum + n, 0), threads * times);
  for (const worker of workers) worker.terminate();
  share.close();
});

Deno.test("Lock that is not to be had gives up at the end", () => {
  const share = new Share(), clock = { now: 5, wall: 0 };
  let asked = 0;
  const holder = new Lock(share.words, clock, () => false);
  const other = new Lock(share.words, { now: 0, wall: 0 }, () => ++asked > 1);
  assertEquals(holder.acquire(), true);
  assertEquals([other.acquire(), asked], [false, 2]);
  holder.release();
  share.close();
});

Deno.test("Lock puts a clock that is behind forward, also around the wrap", () => {
  const share = new Share(), ahead = { now: 0x7fffffff, wall: 0 }, behind = { now: 0x7ffffff0, wall: 0 };
  const first = new Lock(share.words, ahead, () => false),
    second = new Lock(share.words, behind, () => false);
  first.acquire();
  first.release();
  second.acquire();
  second.release();
  assertEquals(behind.now, 0x7fffffff);
  ahead.now = -0x80000000 + 3;
  first.acquire();
  first.release();
  second.acquire();
  second.release();
  assertEquals(behind.now, -0x80000000 + 3);
  share.close();
});
