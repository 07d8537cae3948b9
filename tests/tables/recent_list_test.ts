import { assertEquals } from "@std/assert";
import { MappedArena } from "../../src/arena.ts";
import { RecentList } from "../../src/tables/recent_list.ts";
import { VirtualClock } from "../kit/mod.ts";

Deno.test("RecentList: who comes to memory in use finds what is in it", () => {
  const clock = new VirtualClock(), buffer = new ArrayBuffer(1 << 16);
  const needs = { stamps: 2, mask: new Int32Array(4).fill(-1) };
  const [one, two] = [true, false].map((fresh) => {
    const list = new RecentList(clock, new MappedArena(buffer, fresh), needs);
    const address = Int32Array.of(0x0a000001, 0, 0, 0);
    if (fresh) {
      assertEquals(list.find(address, 4, 0), -1);
      list.stamp(list.add(4, 64), 64);
    }
    return [list.find(address, 4, 0), list.hits(0, 1000), list.size];
  });
  assertEquals(two, one);
});
