/** Adds to a number that others add to at the same time, by a lock; says whether time ever ran backwards. */
import type { Clock } from "../../src/clock.ts";
import { Lock } from "../../src/dataplane/lock.ts";
import { Share, SharedArena } from "../../src/dataplane/shared_arena.ts";

interface Task {
  share: bigint;
  times: number;
  pace: number;
}

/** The part of a worker's global scope that is used. */
const scope = self as unknown as {
  onmessage: (event: MessageEvent<Task>) => void;
  postMessage(message: { sum: number; backwards: number }): void;
};

scope.onmessage = ({ data }) => {
  const share = new Share(data.share), clock: Clock = { now: 0, wall: 0 };
  const lock = new Lock(share.words, clock, () => false);
  const arena = new SharedArena(share, false), sums = arena.float64(2), large = arena.int32(1 << 20);
  let backwards = 0;
  for (let i = 0; i < data.times; i++) {
    clock.now += data.pace;
    lock.acquire();
    // Not one step: another thread in between would be noticed.
    const before = sums[0], latest = sums[1];
    if (clock.now < latest) backwards++;
    sums[1] = clock.now;
    sums[0] = before + 1;
    large[i & 0xfffff]++;
    lock.release();
  }
  scope.postMessage({ sum: sums[0], backwards });
};
