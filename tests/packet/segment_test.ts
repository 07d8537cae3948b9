import { assert, assertEquals } from "@std/assert";
import { REASONS } from "../../src/netfilter.ts";
import { ipv4HeaderOk, verifyTransport, writeTransportChecksum } from "../../src/packet/checksum.ts";
import { GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, Packet } from "../../src/packet/packet.ts";
import { parse } from "../../src/packet/parse.ts";
import { completeChecksum, segment } from "../../src/packet/segment.ts";
import { tcpFlags, tcpPayload, tcpSeq } from "../../src/packet/tcp.ts";
import * as kit from "../kit/mod.ts";

const v4 = { src: "192.0.2.2", dst: "198.51.100.7", sport: 1000, dport: 80 };
const v6 = { src: "2001:db8:1::2", dst: "2001:db8:2::7", sport: 1000, dport: 80 };
const p = new Packet();
const out = new Packet();

/** Loads a packet as an offloading device hands it over. */
function offload(bytes: Uint8Array, gsoType: number, gsoSize: number): Packet {
  kit.load(p, bytes);
  p.gsoType = gsoType;
  p.gsoSize = gsoSize;
  p.partialChecksum = true;
  assertEquals(parse(p), 0);
  writeTransportChecksum(p);
  return p;
}

/** The packets that `segment` emits, each parsed again. */
function segments(): Packet[] {
  const all: Packet[] = [];
  assertEquals(
    segment(p, out, (o) => {
      const s = kit.load(new Packet(), kit.unload(o));
      assertEquals([parse(s), s.length], [0, o.length]);
      assertEquals([s.family, s.protocol, s.l4], [o.family, o.protocol, o.l4]);
      assert(verifyTransport(s), kit.show(kit.unload(o)));
      assert(!o.partialChecksum && o.gsoType === 0);
      all.push(s);
    }),
    0,
  );
  return all;
}

Deno.test("segment splits TCP: payload, sequence numbers, ids, FIN and PSH last, CWR first", () => {
  for (const a of [v4, v6]) {
    for (const size of [1001, 2000, 2001, 3999, 60000]) {
      const whole = kit.tcp({
        ...a,
        flags: "FPA",
        seq: 0xffffff00,
        id: 0xfffe,
        payload: size,
        options: [{ mss: 1460 }],
      });
      whole[(a === v4 ? 20 : 40) + 13] |= 0xc0; // ECE, CWR
      offload(whole, a === v4 ? GSO_TCPV4 : GSO_TCPV6, 1000);
      const all = segments();
      assertEquals(all.length, Math.ceil(size / 1000));
      const data: number[] = [];
      all.forEach((s, i) => {
        const last = i === all.length - 1;
        assertEquals(tcpSeq(s), (0xffffff00 + 1000 * i) | 0);
        assertEquals(tcpFlags(s), 0x10 | 0x40 | (i === 0 ? 0x80 : 0) | (last ? 0x09 : 0));
        if (a === v4) {
          assertEquals(s.view.getUint16(4), (0xfffe + i) & 0xffff);
          assert(ipv4HeaderOk(s.view, 0, 20));
        }
        data.push(...s.bytes.subarray(tcpPayload(s), s.length));
      });
      assertEquals(Uint8Array.from(data), kit.payloadBytes(size));
    }
  }
});

Deno.test("segment splits UDP into datagrams of its own", () => {
  for (const a of [v4, v6]) {
    offload(kit.udp({ ...a, id: 7, payload: 2500 }), GSO_UDP_L4, 1000);
    const all = segments();
    assertEquals(all.map((s) => s.view.getUint16(s.l4 + 4)), [1008, 1008, 508]);
    if (a === v4) assertEquals(all.map((s) => s.view.getUint16(4)), [7, 8, 9]);
  }
});

Deno.test("segment completes a packet that needs no splitting in place", () => {
  offload(kit.tcp({ ...v4, flags: "PA", payload: 1000 }), GSO_TCPV4, 1000);
  const whole = kit.tcp({ ...v4, flags: "PA", payload: 1000, id: p.view.getUint16(4) });
  assertEquals(segment(p, out, (o) => assertEquals(kit.unload(o), whole)), 0);
  assertEquals([p.gsoType, p.partialChecksum], [0, false]);
});

Deno.test("segment refuses a packet whose header is a lie", () => {
  const bytes = kit.tcp({ ...v4, flags: "PA", payload: 3000 });
  bytes[32] = 0x40;
  kit.load(p, bytes);
  p.gsoType = GSO_TCPV4;
  p.gsoSize = 1000;
  assertEquals(parse(p), 0);
  assertEquals(REASONS[segment(p, out, () => assert(false))], "bad-offload");
});

Deno.test("completeChecksum never writes 0, whatever the protocol", () => {
  // Find a payload whose sum is 0xffff by setting the last word to what is missing.
  offload(kit.tcp({ ...v4, flags: "A", payload: 10 }), 0, 0);
  completeChecksum(p);
  const checksum = p.view.getUint16(p.l4 + 16);
  const word = p.view.getUint16(p.length - 2);
  const sum = word + checksum;
  p.view.setUint16(p.length - 2, (sum & 0xffff) + (sum >> 16));
  p.partialChecksum = true;
  writeTransportChecksum(p);
  completeChecksum(p);
  assertEquals(p.view.getUint16(p.l4 + 16), 0xffff);
  assert(verifyTransport(p));
});

Deno.test("segments keep what the router knows of the packet", () => {
  offload(kit.udp({ ...v4, payload: 2500 }), GSO_UDP_L4, 1000);
  p.mark = 5;
  p.outInterface = 2;
  p.ct = 77;
  p.ctinfo = 3;
  segment(
    p,
    out,
    (o) => assertEquals([o.mark, o.outInterface, o.inInterface, o.ct, o.ctinfo], [5, 2, 1, 77, 3]),
  );
});
