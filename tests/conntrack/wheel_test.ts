/** The wheel beside a scan of all flows: nothing is looked at too late, and nothing is looked at all the time. */
import { assert, assertEquals } from "@std/assert";
import { HeapArena, MappedArena } from "../../src/arena.ts";
import { below, Xoshiro } from "../../src/clock.ts";
import { CT_EXPIRES, CT_TIMER, FLOW_WORDS } from "../../src/conntrack/flow.ts";
import { Wheel } from "../../src/conntrack/wheel.ts";
import { udp } from "../kit/mod.ts";
import { Rig } from "./rig.ts";

const FLOWS = 300;
for (const start of [0, 1_000_000, 2 ** 31 - 300_000, -(2 ** 31) + 5]) {
  Deno.test(`Wheel finds what a scan finds, from clock ${start} on`, () => {
    const words = new Int32Array(FLOWS * FLOW_WORDS), random = new Xoshiro(start | 1);
    const wheel = new Wheel(words, FLOW_WORDS, CT_TIMER, FLOWS, new HeapArena());
    let now = start | 0, looks = 0, ends = 0;
    wheel.begin(now);
    const live = new Uint8Array(FLOWS), hungAt = new Int32Array(FLOWS);
    const set = (ct: number, milliseconds: number) => {
      hungAt[ct] = now;
      words[ct * FLOW_WORDS + CT_EXPIRES] = (now + milliseconds) | 0;
      wheel.hang(ct, words[ct * FLOW_WORDS + CT_EXPIRES]);
    };
    const LIVES = [10_000, 30_000, 120_000, 432_000_000, 0, 700];
    for (let step = 0; step < 20_000; step++) {
      const ct = below(random, FLOWS), life = LIVES[below(random, LIVES.length)];
      if (live[ct] === 0) {
        live[ct] = 1;
        set(ct, life);
      } else if (below(random, 4) === 0) {
        live[ct] = 0; // deleted: it hangs on
      } else if (below(random, 2) === 0) {
        set(ct, life); // shorter or longer
      } else {
        // Longer only: the wheel is not told.
        const at = ct * FLOW_WORDS + CT_EXPIRES;
        if (((now + life - words[at]) | 0) > 0) words[at] = (now + life) | 0;
      }
      now = (now + (below(random, 50) === 0 ? below(random, 20_000) : below(random, 40))) | 0;
      for (let found; (found = wheel.next(now)) >= 0;) {
        looks++;
        if (live[found] === 0) continue;
        const expires = words[found * FLOW_WORDS + CT_EXPIRES];
        if (((expires - now) | 0) <= 0) {
          live[found] = 0;
          ends++;
        } else {
          wheel.hang(found, expires);
        }
      }
      for (let i = 0; i < FLOWS; i++) {
        const over = (now - words[i * FLOW_WORDS + CT_EXPIRES]) | 0;
        // What was hung when it was over is met with the next millisecond.
        assert(
          live[i] === 0 || over < 0 || hungAt[i] === now,
          `flow ${i} is ${over} ms behind its end`,
        );
      }
    }
    assert(ends > 1000, `${ends} ends`);
    assert(looks < 20_000, `${looks} looks`);
  });
}

Deno.test("Wheel meets everything once after a leap of the clock", () => {
  for (const leap of [300_000, 20_000_000, 2 ** 30, 2 ** 31 - 1, -(2 ** 31), -1_000_000]) {
    const words = new Int32Array(FLOWS * FLOW_WORDS),
      wheel = new Wheel(words, FLOW_WORDS, CT_TIMER, FLOWS, new HeapArena());
    wheel.begin(5000);
    for (let ct = 0; ct < FLOWS; ct++) wheel.hang(ct, 5000 + ct * 1000);
    const seen = new Set<number>();
    for (let found; (found = wheel.next((5000 + leap) | 0)) >= 0;) seen.add(found);
    assertEquals(seen.size, FLOWS, `leap of ${leap}`);
    assertEquals(wheel.next((5000 + leap) | 0), -1);
  }
});

Deno.test("Wheels over one arena are one wheel", () => {
  const words = new Int32Array(8 * FLOW_WORDS), buffer = new ArrayBuffer(2 ** 21);
  const one = new Wheel(words, FLOW_WORDS, CT_TIMER, 8, new MappedArena(buffer, true));
  one.begin(0);
  const other = new Wheel(words, FLOW_WORDS, CT_TIMER, 8, new MappedArena(buffer, false));
  one.hang(3, 10_000);
  other.hang(5, 10_000);
  other.hang(3, 2000);
  assertEquals([one.next(1000), one.next(3000), one.next(3000)], [-1, 3, -1]);
  assertEquals([other.next(11_000), one.next(11_000)], [5, -1]);
});

Deno.test("Conntrack.sweep looks at few of many flows that live", () => {
  const rig = new Rig({ capacity: 8192 }),
    { flows } = rig.conntrack,
    packet = (i: number) =>
      udp({ src: "192.0.2.2", sport: 1000 + i, dst: "198.51.100.7", dport: 53, payload: 9 });
  for (let i = 0; i < 2000; i++) rig.send(packet(i));
  let looks = 0;
  const next = flows.wheel.next.bind(flows.wheel);
  flows.wheel.next = (now) => {
    const ct = next(now);
    if (ct >= 0) looks++;
    return ct;
  };
  // Each is refreshed every ten seconds, for a minute.
  for (let second = 0; second < 60; second++) {
    for (let i = second % 10; i < 2000; i += 10) rig.send(packet(i));
    for (let i = 0; i < 10; i++) rig.wait(100);
  }
  assertEquals(flows.count, 2000);
  assert(looks <= 2000 * 60 / 19, `${looks} looks`);
  for (let i = 0; i < 330; i++) rig.wait(100);
  assertEquals(flows.count, 0);
});
