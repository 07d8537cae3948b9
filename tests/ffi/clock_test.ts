import { assert } from "@std/assert";
import { CLOCK_REALTIME, SystemClock } from "deno_tun";
import { test } from "./netns.ts";

test("SystemClock milliseconds go with the time", async () => {
  const clock = new SystemClock();
  const a = performance.now(), before = clock.milliseconds(), b = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 30));
  const c = performance.now(), after = clock.milliseconds(), d = performance.now();
  const passed = (after - before) | 0;
  assert(passed >= c - b - 1 && passed <= d - a + 1, `${passed} ms is not within ${c - b} … ${d - a}`);
});

test("SystemClock seconds of the real time agree with Date", () => {
  assert(Math.abs(new SystemClock(CLOCK_REALTIME).seconds() - Date.now() / 1000) < 2);
});

test("SystemClock microseconds go a thousand times as fast as milliseconds", () => {
  const clock = new SystemClock(), from = [clock.milliseconds(), clock.microseconds()];
  while (clock.milliseconds() - from[0] < 20);
  const passed = (clock.microseconds() - from[1]) | 0;
  assert(passed > 18_000, `${passed} µs in 20 ms`);
});
