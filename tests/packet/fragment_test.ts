import { assert, assertEquals } from "@std/assert";
import { ACCEPT, REASONS } from "../../src/netfilter.ts";
import { ipv4HeaderOk } from "../../src/packet/checksum.ts";
import { Defrag } from "../../src/packet/defrag.ts";
import { fragment, makePieces } from "../../src/packet/fragment.ts";
import { Packet } from "../../src/packet/packet.ts";
import { parse } from "../../src/packet/parse.ts";
import * as kit from "../kit/mod.ts";

const v4 = { src: "192.0.2.2", dst: "198.51.100.7", sport: 1000, dport: 80, df: false };
const v6 = { src: "2001:db8:1::2", dst: "2001:db8:2::7", sport: 1000, dport: 80 };
const p = new Packet();
const out = new Packet();

/** What `fragment` emits for `p`. */
function pieces(mtu: number): Uint8Array[] {
  const all: Uint8Array[] = [];
  const reason = fragment(p, mtu, out, (o) => {
    assert(o.length <= mtu || p.fragCount > 0);
    if (o.family === 4) assert(ipv4HeaderOk(o.view, 0, o.l4));
    all.push(kit.unload(o));
  });
  assertEquals(REASONS[reason], "none");
  return all;
}

/** Gathers fragments into `p`. */
function gathered(all: readonly Uint8Array[]): void {
  const defrag = new Defrag({ clock: new kit.VirtualClock() });
  const verdicts = all.map((bytes) => {
    assertEquals(parse(kit.load(p, bytes)), 0);
    return defrag.gather(p);
  });
  assertEquals(verdicts.at(-1), ACCEPT);
}

Deno.test("fragment cuts at multiples of 8 below the MTU", () => {
  const whole = kit.udp({ ...v4, payload: 3000, id: 9 });
  assertEquals(parse(kit.load(p, whole)), 0);
  const all = pieces(1280);
  assertEquals(all.map((b) => b.length), [1276, 1276, 516]);
  assertEquals(all, kit.fragments(whole, 1256, 9));
});

Deno.test("fragment cuts a fragment further, at its place and with its more-fragments flag", () => {
  const parts = kit.fragments(kit.udp({ ...v4, payload: 3000, id: 9 }), 1480, 9);
  assertEquals(parse(kit.load(p, parts[1])), 0);
  const words = pieces(600).map((b) => [b.length, (b[6] << 8) | b[7]]);
  assertEquals(words, [[596, 0x2000 | 185], [596, 0x2000 | 257], [348, 0x2000 | 329]]);
});

Deno.test("fragment copies IPv4 options by their copy flag", () => {
  const ipOptions = [148, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 1];
  assertEquals(parse(kit.load(p, kit.udp({ ...v4, payload: 100, ipOptions }))), 0);
  const all = pieces(100);
  assertEquals([...all[0].subarray(20, 32)], ipOptions);
  assertEquals([...all[1].subarray(20, 32)], [148, 4, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
});

Deno.test("fragment sends a gathered datagram in the pieces that it came in", () => {
  for (const a of [v4, v6]) {
    const parts = kit.fragments(kit.udp({ ...a, payload: 3000, id: 9 }), [800, 8, 1000, 24, 512], 9);
    gathered(parts.toReversed());
    assertEquals(pieces(1500), parts);
  }
});

Deno.test("fragment sends 26 tiny fragments as 26 tiny fragments", () => {
  const parts = kit.fragments(kit.udp({ ...v4, payload: 200, id: 9 }), 8, 9);
  assertEquals(parts.length, 26);
  gathered(parts);
  assertEquals(pieces(1500), parts);
});

Deno.test("fragment cuts anew, no larger than the largest received, when pieces do not fit or were rewritten", () => {
  gathered(kit.fragments(kit.udp({ ...v4, payload: 3000, id: 9 }), 1376, 9));
  assertEquals(pieces(1280).map((b) => b.length), [1276, 1276, 516]);
  gathered(kit.fragments(kit.udp({ ...v4, payload: 3000, id: 9 }), 600, 9));
  p.fragCount = 0;
  assertEquals(pieces(1500).map((b) => b.length), [620, 620, 620, 620, 620, 28]);
  gathered(kit.fragments(kit.udp({ ...v6, payload: 3000 }), 1232, 9));
  p.fragCount = 0;
  assertEquals(pieces(1500).map((b) => b.length), [1280, 1280, 592]);
  // IPv6 has a least MTU, and small fragments are made larger up to it.
  gathered(kit.fragments(kit.udp({ ...v6, payload: 3000 }), 600, 9));
  p.fragCount = 0;
  assertEquals(pieces(1500).map((b) => b.length), [1280, 1280, 592]);
});

Deno.test("fragment draws a TCP header together that came in pieces", () => {
  const whole = kit.tcp({ ...v4, flags: "S", payload: 100, id: 9 });
  gathered(kit.fragments(whole, [8, 64], 9));
  assertEquals(pieces(1500).map((b) => b.length), [84, 76]);
  gathered(kit.fragments(whole, [24, 64], 9));
  assertEquals(pieces(1500).map((b) => b.length), [44, 84, 52]);
});

Deno.test("fragment sets DF again only on pieces that it cuts anew", () => {
  const parts = kit.fragments(kit.udp({ ...v4, payload: 3000, id: 9 }), 600, 9);
  for (const bytes of parts) bytes[6] |= 0x40;
  gathered(parts.map(kit.fixIpChecksum));
  assertEquals(pieces(1500).map((b) => b[6] & 0x40), [0, 0, 0, 0, 0, 0]);
  p.fragCount = 0;
  assertEquals(pieces(1500).map((b) => b[6] & 0x40), [64, 64, 64, 64, 64, 64]);
});

Deno.test("fragment puts the IPv6 fragment header behind hop-by-hop, routing and their destination options", () => {
  const options = { body: [1, 4, 0, 0, 0, 0] };
  const cases = [
    [["hop"], 48],
    [["hop", "routing"], 56],
    [["destination"], 48],
    [["routing", "destination"], 48],
    [["hop", "destination"], 56],
  ] as const;
  for (const [headers, at] of cases) {
    const extensions = headers.map((header) =>
      header === "routing" ? { header, body: [4, 0] } : { header, ...options }
    );
    assertEquals(parse(kit.load(p, kit.udp({ ...v6, payload: 2000, extensions }))), 0);
    p.fragId = 0x01020304;
    for (const bytes of pieces(1280)) {
      assertEquals(parse(kit.load(new Packet(), bytes)), 0);
      const f = kit.load(new Packet(), bytes);
      parse(f);
      assertEquals([f.fragmentHeader, f.view.getInt32(at + 4)], [at, 0x01020304], `${headers}`);
    }
  }
});

Deno.test("fragment refuses an MTU below the IPv6 fragments that came in, and one without room for data", () => {
  gathered(kit.fragments(kit.udp({ ...v6, payload: 3000 }), 1400, 9));
  assertEquals(REASONS[fragment(p, 1280, out, () => assert(false))], "packet-too-big");
  assertEquals(parse(kit.load(p, kit.udp({ ...v4, payload: 3000 }))), 0);
  assertEquals(REASONS[fragment(p, 27, out, () => assert(false))], "packet-too-big");
  assertEquals(parse(kit.load(p, kit.udp({ ...v6, payload: 3000 }))), 0);
  assertEquals(REASONS[fragment(p, 55, out, () => assert(false))], "packet-too-big");
});

Deno.test("makePieces ends an IPv6 packet's last piece on 8 like all others, and fills IPv4's up", () => {
  const lengths = (bytes: Uint8Array, mtu: number) => {
    assertEquals(parse(kit.load(p, bytes)), 0);
    makePieces(p, mtu);
    return pieces(mtu).map((b) => b.length);
  };
  // One packet of 1452 bytes behind its header would fit the MTU.
  assertEquals(lengths(kit.udp({ ...v6, payload: 1448 + 1448 - 8 }), 1500), [1496, 1496]);
  assertEquals(lengths(kit.udp({ ...v6, payload: 1448 + 1449 - 8 }), 1500), [1496, 1496, 49]);
  assertEquals(lengths(kit.udp({ ...v4, payload: 1376 + 1380 - 8 }), 1400), [1396, 1400]);
  assertEquals(lengths(kit.udp({ ...v4, payload: 1376 + 1381 - 8 }), 1400), [1396, 1396, 25]);
});

Deno.test("makePieces leaves alone what fits, and what is a fragment already", () => {
  assertEquals(parse(kit.load(p, kit.udp({ ...v6, payload: 1000 }))), 0);
  makePieces(p, 1280);
  assertEquals(p.fragCount, 0);
  assertEquals(parse(kit.load(p, kit.fragments(kit.udp({ ...v4, payload: 3000 }), 1480, 1)[0])), 0);
  makePieces(p, 1280);
  assertEquals(p.fragCount, 0);
});

Deno.test("fragment cuts made pieces anew where they do not fit the way that was taken after all", () => {
  assertEquals(parse(kit.load(p, kit.udp({ ...v6, payload: 2000 }))), 0);
  makePieces(p, 1400);
  assertEquals(pieces(1500).map((b) => b.length), [1400, 704]);
  assertEquals(pieces(1300).map((b) => b.length), [1296, 808]);
});
