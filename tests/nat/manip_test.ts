import { assert, assertEquals } from "@std/assert";
import { ICMP, ICMPV6, TCP, UDP } from "../../src/netfilter.ts";
import { manipPacket } from "../../src/nat/manip.ts";
import { MANIP_DST, MANIP_SRC } from "../../src/nat/maniptype.ts";
import { completeChecksum } from "../../src/packet/segment.ts";
import { parse } from "../../src/packet/parse.ts";
import { Packet } from "../../src/packet/packet.ts";
import * as kit from "../kit/mod.ts";
import { words } from "./lab.ts";

const v4 = { src: "10.0.0.2", dst: "198.51.100.7", sport: 1000, dport: 80 };
const v6 = { src: "2001:db8:1::2", dst: "2001:db8:9::7", sport: 1000, dport: 80 };
const PUBLIC = { 4: words("203.0.113.1"), 6: words("2001:db8:2::1") };

function take(bytes: Uint8Array): Packet {
  const p = kit.load(new Packet(), bytes);
  assertEquals(parse(p), 0);
  return p;
}

Deno.test("manipPacket leaves a right checksum, whatever the protocol, family and half", () => {
  for (const a of [v4, v6]) {
    const make = (b: typeof a): Uint8Array[] => [
      kit.tcp({ ...b, flags: "PA", seq: 7, ack: 9, payload: "some bytes", id: 1 }),
      kit.udp({ ...b, payload: "some", id: 1 }),
      kit.udplite({ ...b, payload: "some bytes", coverage: 12, id: 1 }),
      kit.sctp({ ...b, vtag: 5, chunks: [kit.sctpInit(5, 6)], id: 1 }),
    ];
    const family = a === v4 ? 4 : 6, address = family === 4 ? "203.0.113.1" : "2001:db8:2::1";
    for (const manip of [MANIP_SRC, MANIP_DST] as const) {
      const change = manip === MANIP_SRC ? { src: address, sport: 61000 } : { dst: address, dport: 61000 };
      const wanted = make({ ...a, ...change });
      make(a).forEach((bytes, i) => {
        const p = take(bytes);
        assert(manipPacket(p, 0, p.l4, p.protocol, manip, PUBLIC[family], 0, 61000));
        assertEquals(kit.show(kit.unload(p)), kit.show(wanted[i]));
        assertEquals(kit.unload(p), wanted[i]);
      });
    }
  }
});

Deno.test("manipPacket changes the identifier of ICMP queries and nothing in other messages", () => {
  const echo = take(kit.icmpEcho({ ...v4, echoId: 5, id: 1 }));
  assert(manipPacket(echo, 0, echo.l4, ICMP, MANIP_SRC, PUBLIC[4], 0, 77));
  assertEquals(kit.unload(echo), kit.icmpEcho({ ...v4, src: "203.0.113.1", echoId: 77, id: 1 }));

  const echo6 = take(kit.icmpEcho({ ...v6, echoId: 5 }));
  assert(manipPacket(echo6, 0, echo6.l4, ICMPV6, MANIP_SRC, PUBLIC[6], 0, 77));
  assertEquals(kit.unload(echo6), kit.icmpEcho({ ...v6, src: "2001:db8:2::1", echoId: 77 }));

  const error = take(kit.icmp({ ...v4, type: 3, code: 4, rest: 1400, payload: 28, id: 1 }));
  assert(manipPacket(error, 0, error.l4, ICMP, MANIP_SRC, PUBLIC[4], 0, 77));
  const wanted = kit.icmp({ ...v4, src: "203.0.113.1", type: 3, code: 4, rest: 1400, payload: 28, id: 1 });
  assertEquals(kit.unload(error), wanted);
});

Deno.test("manipPacket keeps a UDP checksum of zero, and never makes one (U03, N31)", () => {
  const none = take(kit.udp({ ...v4, payload: "x", checksum: 0 }));
  assert(manipPacket(none, 0, none.l4, UDP, MANIP_SRC, PUBLIC[4], 0, 1000));
  assertEquals(kit.parse(kit.unload(none)).checksum, 0);
  // A port for which the sum comes out as zero: 0xffff is sent instead (RFC 768).
  const p = take(kit.udp({ ...v6, payload: [0, 0] }));
  const before = kit.parse(kit.udp({ ...v6, src: "2001:db8:2::1", sport: 0, payload: [0, 0] })).checksum!;
  assert(manipPacket(p, 0, p.l4, UDP, MANIP_SRC, PUBLIC[6], 0, before));
  const after = kit.parse(kit.unload(p));
  assertEquals([after.checksum, after.errors], [0xffff, []]);
});

Deno.test("manipPacket updates a partial checksum as the sum of the pseudo header", () => {
  for (const a of [v4, v6]) {
    for (const protocol of [TCP, UDP]) {
      const wanted = a === v4 ? "203.0.113.1" : "2001:db8:2::1", family = a === v4 ? 4 : 6;
      const make = (b: typeof a) =>
        protocol === TCP
          ? kit.tcp({ ...b, flags: "A", payload: "12345", id: 1 })
          : kit.udp({ ...b, payload: "12345", id: 1 });
      const bytes = make(a);
      const l4 = a === v4 ? 20 : 40, field = l4 + (protocol === TCP ? 16 : 6);
      const pseudo = ~kit.checksum(kit.pseudoHeader(
        kit.addressBytes(a.src),
        kit.addressBytes(a.dst),
        protocol,
        bytes.length - l4,
      )) & 0xffff;
      bytes[field] = pseudo >> 8;
      bytes[field + 1] = pseudo & 255;
      const p = take(bytes);
      p.partialChecksum = true;
      assert(manipPacket(p, 0, p.l4, protocol, MANIP_SRC, PUBLIC[family], 0, 61000));
      completeChecksum(p);
      assertEquals(kit.unload(p), make({ ...a, src: wanted, sport: 61000 }));
    }
  }
});

Deno.test("manipPacket refuses a transport header that is cut and rewrites only the address where there is none", () => {
  for (const bytes of [kit.tcp({ ...v4, flags: "S", cut: 7 }), kit.udp({ ...v4, cut: 7 })]) {
    const p = take(bytes);
    assertEquals(manipPacket(p, 0, p.l4, p.protocol, MANIP_SRC, PUBLIC[4], 0, 1), false);
  }
  const part = take(kit.ip({ ...v4, protocol: UDP, payload: "abcdefgh", offset: 8, id: 1 }));
  assert(manipPacket(part, 0, -1, UDP, MANIP_SRC, PUBLIC[4], 0, 1));
  const wanted = kit.ip({ ...v4, src: "203.0.113.1", protocol: UDP, payload: "abcdefgh", offset: 8, id: 1 });
  assertEquals(kit.unload(part), wanted);
});

Deno.test("manipPacket writes the call id of PPTP's GRE, as destination only, and refuses unknown versions", () => {
  const pptp = kit.gre({ ...v4, pptp: { callId: 5 }, payload: "x", id: 1 });
  const p = take(pptp);
  assert(manipPacket(p, 0, p.l4, 47, MANIP_DST, PUBLIC[4], 0, 9));
  assertEquals(
    kit.unload(p),
    kit.gre({ ...v4, dst: "203.0.113.1", pptp: { callId: 9 }, payload: "x", id: 1 }),
  );
  const plain = take(kit.gre({ ...v4, payload: "12345678", id: 1 }));
  assert(manipPacket(plain, 0, plain.l4, 47, MANIP_DST, PUBLIC[4], 0, 9));
  assertEquals(kit.unload(plain), kit.gre({ ...v4, dst: "203.0.113.1", payload: "12345678", id: 1 }));
  const odd = kit.gre({ ...v4, payload: "12345678" });
  odd[21] = 3;
  assertEquals(manipPacket(take(odd), 0, 20, 47, MANIP_DST, PUBLIC[4], 0, 9), false);
});
