/**
 * What the packet path allocates: nothing. `deno task bench heap` does the same with 10,000,000 packets.
 */
import { assert, assertGreater } from "@std/assert";
import { collections } from "./collections.ts";

const PACKETS = 1_000_000;
/**
 * Bytes per packet. Numbers that V8 boxes before it knows better, and tables that grow, are within the first: a branch
 * that is met late has its function interpreted once more, which came to 0.9 MB. One boxed number in eight packets
 * would be 2 bytes. A fragment that is stored makes two views of what is copied.
 */
const MOST = { whole: 1.5, fragments: 20 };

for (const traffic of ["whole", "fragments"] as const) {
  Deno.test(`Router allocates nothing that grows with packets (${traffic})`, async () => {
    const { young, whole, allocated, emitted } = await collections(PACKETS, traffic);
    assertGreater(emitted, PACKETS / 2, "the traffic did not reach the depths");
    const each = allocated / PACKETS;
    assert(
      each <= MOST[traffic],
      `${
        each.toFixed(2)
      } bytes per packet, ${young} young and ${whole} whole collections in ${PACKETS} packets`,
    );
    if (traffic === "whole") assert(young + whole === 0, `${young + whole} collections`);
  });
}
