import { assertEquals } from "@std/assert";
import { udp } from "../kit/mod.ts";
import { Rig } from "../tables/rig.ts";
import { specify } from "../tables/spec.ts";

const packet = udp({ src: "10.0.0.2", dst: "203.0.113.9", sport: 1, dport: 2 });

specify("limit", [
  { rule: { limit: "1/second" }, save: "-m limit --limit 1/sec" },
  { rule: { limit: "5/s", limitBurst: 10 }, save: "-m limit --limit 5/sec --limit-burst 10" },
  { rule: { limit: "3/minute" }, save: "-m limit --limit 3/min" },
  { rule: { limit: "60/m" }, save: "-m limit --limit 1/sec" },
  { rule: { limit: "1000/hour" }, save: "-m limit --limit 1000/hour" },
  { rule: { limit: "1000/day" }, save: "-m limit --limit 1000/day" },
  { rule: { limit: "7" }, save: "-m limit --limit 7/sec" },
  { rule: { limitBurst: 2 }, save: "-m limit --limit 3/hour --limit-burst 2" },
  { rule: { limit: "10000/second" }, save: "-m limit --limit 10000/sec" },
  { rule: { limit: "10001/second" }, refused: [".limit", "too fast"] },
  { rule: { limit: "0/second" }, refused: [".limit", "is not a rate"] },
  { rule: { limit: "5/week" }, refused: [".limit", "is not a rate"] },
  { rule: { limit: "1/day", limitBurst: 100 }, refused: [".limit", "choose a smaller burst"] },
  { rule: { limit: "1/second", limitBurst: 10001 }, refused: [".limitBurst", "from 1 to 10000"] },
  { rule: { limit: { not: "1/second" } as unknown as string }, refused: [".limit", "cannot be negated"] },
]);

/** Sends a packet every `step` milliseconds and says which of them the rule fitted. */
function fitted(limit: string, burst: number | undefined, times: number, step: number): string {
  const rig = new Rig({ filter: { FORWARD: [{ limit, limitBurst: burst, jump: "DROP" }] } });
  let text = "";
  for (let i = 0; i < times; i++) {
    text += rig.says("filter", packet) === "rule-drop" ? "x" : ".";
    rig.clock.advance(step);
  }
  return text;
}

Deno.test("limit lets the burst pass, then the rate", () => {
  assertEquals(fitted("1/second", undefined, 8, 0), "xxxxx...");
  assertEquals(fitted("1/second", 1, 9, 500), "x.x.x.x.x");
  assertEquals(fitted("5/second", 2, 12, 100), "xxx.x.x.x.x.");
  // 99 ms are 24 or 25 ticks, 25 are one match; what does not fit into the burst is lost.
  assertEquals(fitted("10/second", 1, 6, 99), "x.xxx.");
});

Deno.test("limit counts in ticks of 4 ms, as a kernel with HZ = 250", () => {
  const rig = new Rig({ filter: { FORWARD: [{ limit: "250/second", limitBurst: 1, jump: "DROP" }] } });
  assertEquals(rig.says("filter", packet), "rule-drop");
  rig.clock.advance(3);
  assertEquals(rig.says("filter", packet), "ACCEPT");
  rig.clock.advance(1);
  assertEquals(rig.says("filter", packet), "rule-drop");
});

Deno.test("limit fills up to the burst and no further, also when the clock wraps", () => {
  const rig = new Rig({ filter: { FORWARD: [{ limit: "1/second", limitBurst: 3, jump: "DROP" }] } });
  const drain = () => {
    let n = 0;
    while (rig.says("filter", packet) === "rule-drop") n++;
    return n;
  };
  assertEquals(drain(), 3);
  rig.clock.advance(2000);
  assertEquals(drain(), 2);
  rig.clock.advance(1_000_000_000);
  assertEquals(drain(), 3);
  rig.clock.now = 0x7ffffff0 | 0;
  drain();
  rig.clock.now = -0x7ffffff0 + 1000 | 0;
  assertEquals(drain(), 1);
});

Deno.test("limit of two rules are two buckets", () => {
  const rule = { limit: "1/second", limitBurst: 1 };
  const rig = new Rig({ filter: { FORWARD: [rule, rule] } });
  rig.run("filter", packet);
  rig.run("filter", packet);
  assertEquals(rig.count("filter", "FORWARD").map(([n]) => n), [1, 1, 2]);
});
