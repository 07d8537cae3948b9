import { assert, assertEquals } from "@std/assert";
import {
  change32,
  fold,
  ipv4HeaderChecksum,
  ipv4HeaderOk,
  patch,
  replaceInTransport,
  sum16,
  transportChecksum,
  update,
  update16,
  verifyTransport,
  writeTransportChecksum,
} from "../../src/packet/checksum.ts";
import { copyBytes, copySum } from "../../src/packet/copy.ts";
import { Packet } from "../../src/packet/packet.ts";
import { parse } from "../../src/packet/parse.ts";
import { completeChecksum } from "../../src/packet/segment.ts";
import * as kit from "../kit/mod.ts";

const v4 = { src: "192.0.2.2", dst: "198.51.100.7", sport: 1000, dport: 80 };
const v6 = { src: "2001:db8:1::2", dst: "2001:db8:2::7", sport: 1000, dport: 80 };

/** A buffer of noise. */
function noise(length: number, seed = 1): Uint8Array<ArrayBuffer> {
  const random = kit.seeded(seed);
  return Uint8Array.from({ length }, () => random.next() & 255);
}

/** Loads and parses. */
function packet(bytes: Uint8Array): Packet {
  const p = kit.load(new Packet(), bytes);
  assertEquals(parse(p), 0);
  return p;
}

Deno.test("sum16 agrees with the slow sum for lengths 0 to 200 at even and odd offsets", () => {
  const bytes = noise(300);
  const view = new DataView(bytes.buffer);
  for (let from = 0; from < 20; from++) {
    for (let length = 0; length <= 200; length++) {
      const slow = ~kit.checksum(bytes.subarray(from, from + length)) & 0xffff;
      assertEquals(sum16(view, from, from + length), slow, `from ${from} length ${length}`);
    }
  }
});

Deno.test("sum16 does not overflow on the largest buffer of ones, and adds what it is given", () => {
  const view = new DataView(new Uint8Array(68 * 1024).fill(255).buffer);
  assertEquals(sum16(view, 0, 68 * 1024, 0xffff), 0xffff);
  assertEquals(sum16(view, 1, 68 * 1024 - 1), 0xffff);
  assertEquals(sum16(new DataView(new ArrayBuffer(0)), 0, 0, 0x12345), 0x2346);
});

Deno.test("fold brings any 32-bit sum to 16 bits", () => {
  assertEquals([0, 0xffff, 0x10000, 0xffffffff, 0xfffe0001].map(fold), [0, 0xffff, 1, 0xffff, 0xffff]);
});

Deno.test("copySum copies and sums like copyBytes and sum16", () => {
  const source = new DataView(noise(300, 2).buffer);
  const a = new Uint8Array(300);
  const b = new Uint8Array(300);
  for (let length = 0; length <= 200; length++) {
    for (const from of [0, 1, 7, 20]) {
      a.fill(0);
      b.fill(0);
      copyBytes(source, from, new DataView(a.buffer), 3, length);
      const sum = copySum(source, from, new DataView(b.buffer), 3, length, 0x8001);
      assertEquals(a, b);
      assertEquals(sum, sum16(source, from, from + length, 0x8001));
      assertEquals(a[3 + length], 0);
    }
  }
});

Deno.test("ipv4HeaderChecksum ignores the old value and agrees with ipv4HeaderOk", () => {
  for (let words = 5; words <= 15; words++) {
    const bytes = noise(words * 4, words);
    const view = new DataView(bytes.buffer);
    const checksum = ipv4HeaderChecksum(view, 0, words * 4);
    view.setUint16(10, 0);
    assertEquals(checksum, kit.checksum(bytes));
    view.setUint16(10, checksum);
    assert(ipv4HeaderOk(view, 0, words * 4));
    view.setUint16(10, checksum ^ 1);
    assert(!ipv4HeaderOk(view, 0, words * 4));
  }
});

Deno.test("update16 and patch give what a new computation gives", () => {
  const random = kit.seeded(7);
  const bytes = noise(64, 3);
  const view = new DataView(bytes.buffer);
  let checksum = kit.checksum(bytes);
  for (let i = 0; i < 20000; i++) {
    const to = [random.next(), 0, -1, 0xffff, 0xffff0000 | 0][i % 5];
    if (i & 1) {
      const at = (random.next() & 15) * 4;
      checksum = update(checksum, change32(view.getInt32(at), to));
      view.setInt32(at, to);
    } else {
      const at = (random.next() & 31) * 2;
      checksum = update16(checksum, view.getUint16(at), to & 0xffff);
      view.setUint16(at, to & 0xffff);
    }
    assertEquals(checksum, kit.checksum(bytes));
  }
  view.setUint16(0, checksum);
  const before = view.getInt32(4);
  patch(view, 0, change32(before, 12345));
  assertEquals(view.getUint16(0), update(checksum, change32(before, 12345)));
});

Deno.test("transportChecksum and verifyTransport agree with the builders, every protocol and family", () => {
  for (const a of [v4, v6]) {
    for (let size = 0; size < 70; size++) {
      const all = [
        kit.tcp({ ...a, flags: "PA", payload: size }),
        kit.udp({ ...a, payload: size }),
        kit.icmpEcho({ ...a, payload: size }),
        kit.sctp({ ...a, vtag: 9, chunks: [kit.sctpInit(5, 6)] }),
      ];
      for (const bytes of all) {
        const p = packet(bytes);
        assert(verifyTransport(p), kit.show(bytes));
        p.bytes[p.length - 1] ^= 1;
        assert(!verifyTransport(p));
        p.checksumValid = true;
        assert(verifyTransport(p));
        p.checksumValid = false;
        writeTransportChecksum(p);
        assert(verifyTransport(p));
        p.bytes[p.length - 1] ^= 1;
        writeTransportChecksum(p);
        assertEquals(kit.unload(p), bytes);
      }
      const field = [16, 6, 2];
      all.slice(0, 3).forEach((bytes, i) => {
        const p = packet(bytes);
        assertEquals(transportChecksum(p), p.view.getUint16(p.l4 + field[i]));
      });
    }
  }
});

Deno.test("verifyTransport takes UDP without checksum and refuses cut headers, as Linux", () => {
  for (const a of [v4, v6]) {
    assert(verifyTransport(packet(kit.udp({ ...a, checksum: 0, payload: 9 }))));
    assert(!verifyTransport(packet(kit.udp({ ...a, badChecksum: true, payload: 9 }))));
    for (const protocol of [6, 17, 1, 58, 132, 136]) {
      if (protocol === (a === v4 ? 58 : 1)) continue;
      assert(!verifyTransport(packet(kit.ip({ ...a, protocol, payload: [1, 2] }))), `${protocol}`);
    }
    assert(verifyTransport(packet(kit.ip({ ...a, protocol: 47, payload: [1] }))));
  }
});

Deno.test("verifyTransport sums UDP-Lite as Linux does, with UDP's number", () => {
  const bytes = kit.udplite({ ...v4, payload: 20, coverage: 12 });
  assert(!verifyTransport(packet(bytes)));
  // The protocol number moves the sum by 136 − 17.
  const p = packet(bytes);
  p.view.setUint16(26, update16(p.view.getUint16(26), 136, 17));
  assert(verifyTransport(p));
  assertEquals(transportChecksum(packet(bytes)), new DataView(bytes.buffer).getUint16(26));
});

Deno.test("replaceInTransport keeps a complete checksum right", () => {
  for (const a of [v4, v6]) {
    for (const bytes of [kit.tcp({ ...a, flags: "S", payload: 5 }), kit.udp({ ...a, payload: 6 })]) {
      const p = packet(bytes);
      const field = p.l4 + (p.protocol === 6 ? 16 : 6);
      const at = p.family === 4 ? 12 : 8;
      const old = p.view.getInt32(at);
      p.view.setInt32(at, 0x0a010203);
      replaceInTransport(p, field, old, 0x0a010203, true);
      p.view.setUint16(p.l4, 4242);
      replaceInTransport(p, field, 1000, 4242, false);
      assert(verifyTransport(p));
      assertEquals(p.view.getUint16(field), transportChecksum(p));
    }
  }
});

Deno.test("replaceInTransport: UDP 0 stays 0, and a result of 0 is sent as 0xffff", () => {
  const p = packet(kit.udp({ ...v4, checksum: 0, payload: 5 }));
  replaceInTransport(p, p.l4 + 6, 1, 2, true);
  assertEquals(p.view.getUint16(p.l4 + 6), 0);
  p.view.setUint16(p.l4 + 6, 0x0005);
  replaceInTransport(p, p.l4 + 6, 0, 5, false);
  assertEquals(p.view.getUint16(p.l4 + 6), 0xffff);
  const t = packet(kit.tcp({ ...v4, flags: "S" }));
  t.view.setUint16(t.l4 + 16, 0x0005);
  replaceInTransport(t, t.l4 + 16, 0, 5, false);
  assertEquals(t.view.getUint16(t.l4 + 16), 0);
});

Deno.test("replaceInTransport: a partial checksum follows the pseudo-header alone, and completes right", () => {
  for (const a of [v4, v6]) {
    for (const bytes of [kit.tcp({ ...a, flags: "S", payload: 5 }), kit.udp({ ...a, payload: 600 })]) {
      const p = packet(bytes);
      p.partialChecksum = true;
      writeTransportChecksum(p);
      assert(verifyTransport(p));
      const field = p.l4 + (p.protocol === 6 ? 16 : 6);
      const at = p.family === 4 ? 12 : 8;
      const old = p.view.getInt32(at);
      p.view.setInt32(at, -2);
      replaceInTransport(p, field, old, -2, true);
      const sum = p.view.getUint16(field);
      p.view.setUint16(p.l4, 4242);
      replaceInTransport(p, field, 1000, 4242, false);
      assertEquals(p.view.getUint16(field), sum);
      completeChecksum(p);
      assert(!p.partialChecksum);
      assert(verifyTransport(p));
    }
  }
});
