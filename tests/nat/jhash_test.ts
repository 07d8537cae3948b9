import { assertEquals } from "@std/assert";
import { jhash4, scale, swap32 } from "../../src/nat/jhash.ts";
import { formatAddress } from "../../src/packet/address.ts";
import { words } from "./lab.ts";

/** Address of an eight-address pool that Linux 6.18.44 gave to a client, by its target; null: --persistent. */
const POOL: [client: string, target: string | null, given: string][] = [
  ["10.0.0.2", "198.51.100.7", "203.0.113.47"],
  ["10.0.0.3", "198.51.100.7", "203.0.113.40"],
  ["10.0.0.4", "198.51.100.7", "203.0.113.45"],
  ["10.0.0.2", "198.51.100.8", "203.0.113.43"],
  ["10.0.0.2", null, "203.0.113.47"],
  ["10.0.0.3", null, "203.0.113.46"],
];

Deno.test("jhash4 spreads clients over a pool as Linux does (N05, N06)", () => {
  const first = words("203.0.113.40")[0];
  for (const [client, target, given] of POOL) {
    const hash = jhash4(swap32(words(client)[0]), 0, 0, 0, target === null ? 0 : swap32(words(target)[0]));
    assertEquals(formatAddress(4, Int32Array.of(first + scale(hash, 8), 0, 0, 0), 0), given, client);
  }
});

Deno.test("scale is the high half of an unsigned product", () => {
  const cases: [number, number, number][] = [
    [-1, -1, 0xfffffffe],
    [-1, 8, 7],
    [0, -1, 0],
    [0x80000000, 3, 1],
    [0x7fffffff, 0x80000000, 0x3fffffff],
    [0xdeadbeef, 0xcafebabe, Number((0xdeadbeefn * 0xcafebaben) >> 32n)],
  ];
  for (const [a, b, product] of cases) assertEquals(scale(a | 0, b | 0), product);
});

Deno.test("swap32 turns the bytes of a word round", () => {
  assertEquals(swap32(0x01020304), 0x04030201);
  assertEquals(swap32(0xff000080 | 0), 0x800000ff | 0);
});
