import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { Packet } from "../../src/packet/packet.ts";
import * as kit from "./mod.ts";

const v4 = { src: "192.0.2.2", dst: "198.51.100.7", sport: 1000, dport: 80 };
const v6 = { src: "2001:db8:1::2", dst: "2001:db8:2::7", sport: 1000, dport: 80 };

Deno.test("tcp builds the segment that tcpdump of a real one shows", () => {
  const bytes = kit.tcp({ ...v4, flags: "S", seq: 7, id: 1, options: [{ mss: 1460 }] });
  assertEquals(
    kit.hex(bytes),
    "4500002c00014000" + "4006" + kit.hex(bytes.subarray(10, 12)) + "c0000202c6336407" +
      "03e800500000000700000000" + "6002ffff" + kit.hex(bytes.subarray(36, 38)) + "0000020405b4",
  );
  assertEquals(kit.parse(bytes).errors, []);
});

Deno.test("checksum agrees with the example of RFC 1071", () => {
  assertEquals(kit.checksum([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), ~0xddf2 & 0xffff);
});

Deno.test("crc32c agrees with the examples of RFC 3720 B.4", () => {
  assertEquals(kit.crc32c(new Uint8Array(32)), 0x8a9136aa);
  assertEquals(kit.crc32c(new Uint8Array(32).fill(255)), 0x62a8ab43);
});

Deno.test("every builder makes packets without errors, in both families", () => {
  for (const a of [v4, v6]) {
    const all = [
      kit.tcp({ ...a, flags: "PA", payload: "abc" }),
      kit.udp({ ...a, payload: 999 }),
      kit.udplite({ ...a, payload: 99, coverage: 8 }),
      kit.icmpEcho(a),
      kit.icmpError({
        ...a,
        type: a === v4 ? 3 : 1,
        code: 3,
        quoted: kit.udp({ ...a, payload: 2000 }),
        quote: 8,
      }),
      kit.sctp({ ...a, vtag: 0, chunks: [kit.sctpInit(5, 6)] }),
      kit.gre({ ...a, payload: "x" }),
      kit.ip({ ...a, protocol: 253, payload: "x" }),
    ];
    for (const bytes of all) assertEquals(kit.parse(bytes).errors, [], kit.show(bytes));
  }
});

Deno.test("builders can lie, and show says so", () => {
  assertMatch(kit.show(kit.tcp({ ...v4, flags: "S", badChecksum: true })), /!! TCP checksum/);
  assertMatch(kit.show(kit.udp({ ...v6, badChecksum: true })), /!! UDP checksum/);
  assertMatch(kit.show(kit.icmpEcho({ ...v4, badIpChecksum: true })), /!! IP checksum/);
  assertMatch(kit.show(kit.udp({ ...v4, udpLength: 4 })), /!! UDP length 4/);
  assertMatch(kit.show(kit.udp({ ...v4, totalLength: 99 })), /!! length field 99/);
  assertMatch(kit.show(kit.sctp({ ...v4, vtag: 1, chunks: [], badChecksum: true })), /!! SCTP checksum/);
});

Deno.test("fragments carry the whole payload at their offsets", () => {
  for (const a of [v4, v6]) {
    const whole = kit.udp({ ...a, payload: 3000, df: false });
    const parts = kit.fragments(whole, 1000, 77).map((f) => kit.parse(f));
    assertEquals(parts.map((s) => [s.offset, s.mf, s.id]), [
      [0, true, 77],
      [1000, true, 77],
      [2000, true, 77],
      [
        3000,
        false,
        77,
      ],
    ]);
    assertEquals(parts.flatMap((s) => s.errors), []);
  }
  assertThrows(() => kit.fragments(kit.udp({ ...v4, payload: 100 }), 50));
});

Deno.test("extension headers are chained in the order given", () => {
  const bytes = kit.udp({
    ...v6,
    extensions: [{ header: "hop" }, { header: "routing", body: [4, 0] }, { header: "destination" }],
  });
  const s = kit.parse(bytes);
  assertEquals([s.extensions, s.protocol, s.l4, s.errors], [[0, 43, 60], 17, 64, []]);
});

Deno.test("addresses survive the way to bytes and back", () => {
  for (const text of ["192.0.2.1", "2001:db8::1", "::", "::1", "fe80::1:0:0:2", "1:2:3:4:5:6:7:8"]) {
    assertEquals(kit.addressText(kit.addressBytes(text)), text);
  }
  assertEquals(kit.addressText(kit.addressBytes("::ffff:192.0.2.1")), "::ffff:c000:201");
  assertThrows(() => kit.addressBytes("1:2:3"));
});

Deno.test("load puts bytes behind the virtio header, unload takes them back", () => {
  const p = new Packet(), bytes = kit.udp({ ...v4, payload: "x" });
  kit.load(p, bytes, 2);
  assertEquals([p.inInterface, p.length, p.raw[10]], [2, bytes.length, 0x45]);
  assertEquals(kit.unload(p), bytes);
});

Deno.test("VirtualClock wraps as jiffies do and keeps the wall in step", () => {
  const clock = new kit.VirtualClock(0x7fffffff, 100);
  clock.advance(1500);
  clock.advance(600);
  assertEquals([clock.now, clock.wall], [(0x7fffffff + 2100) | 0, 102]);
});
