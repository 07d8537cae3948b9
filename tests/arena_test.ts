import { assert, assertEquals, assertThrows } from "@std/assert";
import { HeapArena, MappedArena } from "../src/arena.ts";

Deno.test("MappedArena gives the same places to whoever takes in the same order", () => {
  const buffer = new ArrayBuffer(4096);
  const first = new MappedArena(buffer, true), second = new MappedArena(buffer, false);
  const words = first.int32(5), numbers = first.float64(3), bytes = first.uint8(1);
  words[4] = 7;
  numbers[2] = 0.5;
  bytes[0] = 9;
  assertEquals(second.int32(5)[4], 7);
  assertEquals(second.float64(3)[2], 0.5);
  assertEquals(second.uint8(1)[0], 9);
  assertEquals(second.used, first.used);
  assert(first.fresh && !second.fresh);
});

Deno.test("MappedArena keeps pieces on cache lines of their own", () => {
  const arena = new MappedArena(new ArrayBuffer(256), true);
  arena.uint8(1);
  assertEquals(arena.int32(1).byteOffset, 64);
  assertEquals(arena.float64(9).byteOffset, 128);
});

Deno.test("MappedArena says how much it would need when it is used up", () => {
  const arena = new MappedArena(new ArrayBuffer(64), true);
  arena.int32(16);
  assertThrows(() => arena.int32(1), RangeError, "64 bytes, 128 are needed");
});

Deno.test("HeapArena gives zeros of its own each time", () => {
  const arena = new HeapArena();
  const a = arena.int32(2), b = arena.int32(2);
  a[0] = 1;
  assertEquals([...b], [0, 0]);
  assertEquals([arena.float64(1)[0], arena.uint8(1)[0]], [0, 0]);
});
