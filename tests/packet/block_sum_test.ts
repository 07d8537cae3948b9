import { assert, assertEquals } from "@std/assert";
import { Xoshiro } from "../../src/clock.ts";
import { BLOCK, fastPackets } from "../../src/packet/block_sum.ts";
import { fold, sum16, verifyTransport } from "../../src/packet/checksum.ts";
import { BUFFER_SIZE, Packet, VNET_HDR_LENGTH } from "../../src/packet/packet.ts";
import { TCP, UDP } from "../../src/netfilter.ts";

const swap = (n: number) => ((n & 0xff) << 8) | (n >>> 8);

Deno.test("fastPackets have buffers like any other, side by side, and sum them", () => {
  const packets = fastPackets(3);
  packets.forEach((p, i) => {
    assertEquals([p.raw.length, p.bytes.length], [BUFFER_SIZE, BUFFER_SIZE - VNET_HDR_LENGTH]);
    assert(p.blockSum !== null, "no SIMD here");
    p.raw.fill(i + 1);
  });
  packets.forEach((p, i) => assert(p.raw.every((byte) => byte === i + 1), `packet ${i} is not alone`));
});

Deno.test("blockSum is the sum that words one by one have, at any place and of any length", () => {
  const [p] = fastPackets(1), random = new Xoshiro(7);
  for (const fill of [() => random.next() & 0xff, () => 0xff, () => 0]) {
    for (let i = 0; i < p.raw.length; i++) p.raw[i] = fill();
    for (let n = 0; n < 500; n++) {
      const blocks = 1 + (random.next() >>> 0) % (n % 2 === 0 ? 20 : BUFFER_SIZE / BLOCK - 2);
      const from = (random.next() >>> 0) % (p.bytes.length - blocks * BLOCK);
      const at = p.header + from;
      assertEquals(
        swap(fold(p.blockSum!(at, at + blocks * BLOCK))) % 0xffff,
        sum16(p.view, from, from + blocks * BLOCK) % 0xffff,
        `${blocks} blocks from ${from}`,
      );
    }
  }
});

for (const [name, protocol] of [["TCP", TCP], ["UDP", UDP]] as const) {
  for (const family of [4, 6] as const) {
    Deno.test(`verifyTransport says the same of a fast packet as of a plain one, ${name} over IPv${family}`, () => {
      const random = new Xoshiro(11), slow = new Packet(), [fast] = fastPackets(1);
      const l4 = family === 4 ? 20 : 40, field = l4 + (protocol === TCP ? 16 : 6);
      let right = 0;
      for (let length = l4 + 20; length < 3000; length += 1 + (random.next() & 15)) {
        for (const p of [slow, fast]) {
          p.reset(1, length + VNET_HDR_LENGTH);
          p.family = family;
          p.protocol = protocol;
          p.length = length;
          p.l4 = l4;
        }
        for (let i = 0; i < length; i++) slow.bytes[i] = random.next() & 0xff;
        // Half of them get the checksum that they should have.
        if (length % 2 === 0) {
          slow.view.setUint16(field, 0);
          const sum = sum16(slow.view, family === 4 ? 12 : 8, length, protocol + length - l4);
          slow.view.setUint16(field, (~sum & 0xffff) || 0xffff);
        }
        fast.bytes.set(slow.bytes.subarray(0, length));
        const answer = verifyTransport(slow);
        assertEquals(verifyTransport(fast), answer, `${length} bytes`);
        if (answer) right++;
        else assert(length % 2 === 1);
      }
      assert(right > 50);
    });
  }
}
