/**
 * What the packet path allocates: nothing. `deno task bench heap` does the same with 10,000,000 packets.
 */
import { assert, assertGreater } from "@std/assert";
import { collections } from "./collections.ts";

const PACKETS = 2_000_000;
/** Bytes per packet: a function that V8 compiles once more is within them, one boxed number in 20 packets is not. */
const MOST = 0.5;

for (const traffic of ["whole", "fragments", "heard"] as const) {
  Deno.test(`Router allocates nothing that grows with packets (${traffic})`, async () => {
    const { young, whole, allocated, emitted } = await collections(PACKETS, traffic);
    assertGreater(emitted, PACKETS / 2, "the traffic did not reach the depths");
    const each = allocated / PACKETS;
    assert(
      each <= MOST,
      `${
        each.toFixed(2)
      } bytes per packet, ${young} young and ${whole} whole collections in ${PACKETS} packets`,
    );
    assert(young + whole === 0, `${young + whole} collections`);
  });
}
