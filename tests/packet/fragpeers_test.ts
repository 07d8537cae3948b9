import { assert, assertEquals } from "@std/assert";
import { HeapArena } from "../../src/arena.ts";
import { FragPeers } from "../../src/packet/fragpeers.ts";
import { seeded } from "../kit/mod.ts";

const MOST = 3;
const peers = () => new FragPeers(MOST, 5, new HeapArena());

Deno.test("FragPeers counts each source's fragments while it has datagrams that wait, and then anew", () => {
  const p = peers(), one = p.hold(7), two = p.hold(8);
  assertEquals([p.hold(7), one === two], [one, false]);
  assertEquals([p.count(one), p.count(one), p.count(two)], [1, 2, 1]);
  p.release(one);
  assertEquals(p.count(one), 3, "its other datagram waits");
  p.release(one);
  assertEquals([p.count(p.hold(7)), p.count(two)], [1, 2]);
});

Deno.test("FragPeers has room for as many sources as wait at a time, whoever comes and goes", () => {
  const p = peers(), random = seeded(3), waiting = new Map<number, { peer: number; counted: number }>();
  for (let i = 0; i < 20_000; i++) {
    const source = (random.next() >>> 0) % 50, there = waiting.get(source);
    if (there !== undefined) {
      assertEquals(p.count(there.peer), ++there.counted);
      p.release(there.peer);
      waiting.delete(source);
    } else if (waiting.size < MOST) {
      const peer = p.hold(source);
      assert(peer > 0 && peer <= MOST, `record ${peer}`);
      assertEquals(p.count(peer), 1);
      waiting.set(source, { peer, counted: 1 });
    }
  }
});
