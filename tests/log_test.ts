import { assertEquals } from "@std/assert";
import { RateLimitedLog } from "../src/log.ts";
import { VirtualClock } from "./kit/mod.ts";

Deno.test("RateLimitedLog passes ten lines in five seconds and says how many it held back", () => {
  const clock = new VirtualClock(), lines: string[] = [];
  const log = new RateLimitedLog(clock, (line) => lines.push(line));
  for (let i = 0; i < 25; i++) log.line(`line ${i}`);
  assertEquals(lines, Array.from({ length: 10 }, (_, i) => `line ${i}`));
  clock.advance(4999);
  log.line("early");
  assertEquals(lines.length, 10);
  clock.advance(1);
  log.line("later");
  assertEquals(lines.slice(10), ["net_ratelimit: 16 lines held back", "later"]);
});
