import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { ExpectTable } from "../../src/conntrack/expect.ts";
import {
  CT_NAT_INTERFACE,
  CT_STATUS,
  FLOW_WORDS,
  IPS_DST_NAT,
  IPS_SRC_NAT,
} from "../../src/conntrack/flow.ts";
import { HelperRoster } from "../../src/conntrack/roster.ts";
import { FlowTable } from "../../src/conntrack/table.ts";
import type { Nat } from "../../src/nat/core.ts";
import { NatRange, RANGE_PROTO_OFFSET, RANGE_PROTO_RANDOM } from "../../src/nat/range.ts";
import { ACCEPT, NEW, OUTPUT, POSTROUTING, PREROUTING, type Verdict } from "../../src/netfilter.ts";
import type { Packet } from "../../src/packet/packet.ts";
import * as kit from "../kit/mod.ts";
import { Lab, LAN, masquerade, WAN, words } from "./lab.ts";

const C = "10.0.0.2", S = "198.51.100.7", M = "203.0.113.1";
const plain = new NatRange();

function snat(range: NatRange): (nat: Nat, p: Packet) => Verdict {
  return (nat, p) => p.hook === POSTROUTING && p.outInterface === WAN ? nat.snat(p, range) : ACCEPT;
}

function dnat(range: NatRange, port: number): (nat: Nat, p: Packet) => Verdict {
  return (nat, p) =>
    p.hook === PREROUTING && p.inInterface === WAN && p.view.getUint16(p.l4 + 2) === port
      ? nat.dnat(p, range)
      : ACCEPT;
}

const ends = (bytes: Uint8Array) => {
  const s = kit.parse(bytes);
  assertEquals(s.errors, [], kit.show(bytes));
  return `${s.src}:${s.sport ?? s.echoId} > ${s.dst}:${s.dport ?? s.echoId}`;
};
const query = (sport: number, o: { src?: string; dst?: string; dport?: number } = {}) =>
  kit.udp({ src: C, dst: S, dport: 53, payload: "query", ...o, sport });
const answer = (to: Uint8Array) => {
  const s = kit.parse(to);
  return kit.udp({ src: s.dst, dst: s.src, sport: s.dport!, dport: s.sport!, payload: "answer" });
};

Deno.test("masquerade gives the interface's address, keeps the port, and undoes both in answers", () => {
  const lab = new Lab({ rules: masquerade });
  const out = lab.pass(LAN, query(1000));
  assertEquals(ends(out), `${M}:1000 > ${S}:53`);
  assertEquals(ends(lab.pass(WAN, answer(out))), `${S}:53 > ${C}:1000`);
  assertEquals(ends(lab.pass(LAN, query(1000))), `${M}:1000 > ${S}:53`);
  assertEquals(lab.flows().length, 1);
});

Deno.test("masquerade of two hosts with one port moves the second one's (N01)", () => {
  const lab = new Lab({ rules: masquerade });
  const first = lab.pass(LAN, query(1000)), second = lab.pass(LAN, query(1000, { src: "10.0.0.3" }));
  assertEquals(kit.parse(first).sport, 1000);
  assertNotEquals(kit.parse(second).sport, 1000);
  assertEquals(ends(lab.pass(WAN, answer(first))), `${S}:53 > ${C}:1000`);
  assertEquals(ends(lab.pass(WAN, answer(second))), `${S}:53 > 10.0.0.3:1000`);
});

Deno.test("a port that must move stays in its class (N02)", () => {
  const classes: [port: number, min: number, max: number][] = [
    [100, 1, 511],
    [511, 1, 511],
    [512, 600, 1023],
    [700, 600, 1023],
    [1024, 1024, 65535],
    [4000, 1024, 65535],
  ];
  for (let seed = 1; seed <= 20; seed++) {
    for (const [port, min, max] of classes) {
      const lab = new Lab({ rules: masquerade, seed });
      lab.pass(LAN, query(port));
      const moved = kit.parse(lab.pass(LAN, query(port, { src: "10.0.0.3" }))).sport!;
      assert(moved >= min && moved <= max && moved !== port, `${port} became ${moved}`);
    }
  }
});

Deno.test("a packet from an unknown host to a mapped port is not translated (N04)", () => {
  const lab = new Lab({ rules: masquerade });
  lab.pass(LAN, query(1000));
  const o = lab.send(WAN, kit.udp({ src: "198.51.100.8", dst: M, sport: 53, dport: 1000 }));
  assertEquals([o.iface, o.ctinfo], [0, NEW]);
  assertEquals(kit.parse(o.bytes).dst, M);
});

Deno.test("a pool of addresses is shared out as Linux does (N05, N06)", () => {
  // Measured on Linux 6.18.44: --to-source 203.0.113.40-203.0.113.47 and 2001:db8:2::40-2001:db8:2:1::3.
  const data: [client: string, target: string, given: string, persistent: string][] = [
    ["10.0.0.2", "198.51.100.7", "203.0.113.47", "203.0.113.47"],
    ["10.0.0.3", "198.51.100.7", "203.0.113.40", "203.0.113.46"],
    ["10.0.0.4", "198.51.100.7", "203.0.113.45", "203.0.113.41"],
    ["10.0.0.5", "198.51.100.7", "203.0.113.45", "203.0.113.47"],
    ["10.0.0.6", "198.51.100.7", "203.0.113.45", "203.0.113.40"],
    ["10.0.0.7", "198.51.100.7", "203.0.113.40", "203.0.113.40"],
    ["10.0.0.2", "198.51.100.8", "203.0.113.43", "203.0.113.47"],
    ["10.0.0.2", "192.0.2.99", "203.0.113.44", "203.0.113.47"],
    ["2001:db8:1::2", "2001:db8:9::7", "2001:db8:2:0:28e2:aa26:28e2:aa26", "2001:db8:2:1::f1b6:c7f5"],
    ["2001:db8:1::3", "2001:db8:9::7", "2001:db8:2:1::a36d:bafc", "2001:db8:2:0:5f9:aff5:5f9:aff5"],
    ["2001:db8:1::4", "2001:db8:9::7", "2001:db8:2:0:127c:f38:127c:f38", "2001:db8:2:1::ac8d:210a"],
    [
      "2001:db8:1::5",
      "2001:db8:9::7",
      "2001:db8:2:0:3581:5f1c:3581:5f1c",
      "2001:db8:2:0:511f:76dd:511f:76dd",
    ],
    ["2001:db8:1::2", "2001:db8:9::8", "2001:db8:2:1::99d4:42e8", "2001:db8:2:1::f1b6:c7f5"],
  ];
  const pool4 = new NatRange().addresses(words("203.0.113.40"), words("203.0.113.47"));
  const pool6 = new NatRange().addresses(words("2001:db8:2::40"), words("2001:db8:2:1::3"));
  for (const persistent of [false, true]) {
    pool4.flags = pool6.flags = persistent ? 1 | 8 : 1;
    const lab = new Lab({
      rules: (nat, p) =>
        p.hook === POSTROUTING && p.outInterface === WAN
          ? nat.snat(p, p.family === 4 ? pool4 : pool6)
          : ACCEPT,
    });
    data.forEach(([src, dst, given, fixed], i) => {
      const out = kit.parse(lab.pass(LAN, query(5000 + i, { src, dst })));
      assertEquals(out.src, persistent ? fixed : given, `${src} to ${dst}`);
    });
  }
});

Deno.test("one socket keeps its public address and port for a new target (find_appropriate_src)", () => {
  const pool = new NatRange().addresses(words("203.0.113.40"), words("203.0.113.47")).ports(2000, 2999);
  const lab = new Lab({ rules: snat(pool) });
  const first = kit.parse(lab.pass(LAN, query(1000)));
  for (const dst of ["198.51.100.8", "198.51.100.9", "192.0.2.99"]) {
    const other = kit.parse(lab.pass(LAN, query(1000, { dst })));
    assertEquals([other.src, other.sport], [first.src, first.sport]);
  }
  // Gone with the flows.
  for (const ct of lab.flows()) lab.conntrack.delete(ct);
  const again = kit.parse(lab.pass(LAN, query(1000, { dst: "198.51.100.8" })));
  assertNotEquals([again.src, again.sport], [first.src, first.sport]);
});

Deno.test("a range of three ports serves three flows to one target; the fourth dies at confirm (N07)", () => {
  const range = new NatRange().addresses(words("203.0.113.50")).ports(2000, 2002);
  const lab = new Lab({ rules: snat(range) });
  const send = (host: number, dst = S) => lab.send(LAN, query(1000, { src: `10.0.0.${host}`, dst }));
  const outcomes = [2, 3, 4, 5, 6, 7].map((host) => send(host));
  assertEquals(outcomes.map((o) => o.iface), [WAN, WAN, WAN, -1, -1, -1]);
  assertEquals(outcomes.slice(0, 3).map((o) => kit.parse(o.bytes).sport).sort(), [2000, 2001, 2002]);
  assertEquals(lab.flows().length, 3);
  assertEquals(send(5, "198.51.100.8").iface, WAN);
});

Deno.test("a range of one port serves one flow to one target (N08)", () => {
  const lab = new Lab({ rules: snat(new NatRange().addresses(words("203.0.113.50")).ports(34568)) });
  const first = lab.pass(LAN, query(1000));
  assertEquals(ends(first), `203.0.113.50:34568 > ${S}:53`);
  assertEquals(lab.send(LAN, query(1001)).iface, -1);
  assertEquals(ends(lab.pass(WAN, answer(first))), `${S}:53 > ${C}:1000`);
});

Deno.test("dnat rewrites the way in and the way out (N09)", () => {
  const lab = new Lab({ rules: dnat(new NatRange().addresses(words(C)).ports(6000), 8000) });
  const out = lab.pass(WAN, kit.tcp({ src: S, dst: M, sport: 5000, dport: 8000, flags: "S", seq: 1 }));
  assertEquals(ends(out), `${S}:5000 > ${C}:6000`);
  const back = kit.tcp({ src: C, dst: S, sport: 6000, dport: 5000, flags: "SA", seq: 1, ack: 2 });
  assertEquals(ends(lab.pass(LAN, back)), `${M}:8000 > ${S}:5000`);
});

Deno.test("dnat moves ports by the distance of two ranges (N10)", () => {
  const range = new NatRange().addresses(words(C)).ports(2000, 2010);
  range.flags |= RANGE_PROTO_OFFSET;
  range.basePort = 1000;
  const lab = new Lab({
    rules: (nat, p) => p.hook === PREROUTING && p.inInterface === WAN ? nat.dnat(p, range) : ACCEPT,
  });
  for (let port = 1000; port <= 1010; port++) {
    const out = lab.pass(WAN, kit.udp({ src: S, dst: M, sport: 5000, dport: port }));
    assertEquals(ends(out), `${S}:5000 > ${C}:${port + 1000}`);
  }
});

Deno.test("dnat takes the first port of its range that keeps flows apart, and then moves the source", () => {
  const lab = new Lab({
    rules: (nat, p) => p.hook === PREROUTING && p.inInterface === WAN ? nat.dnat(p, range) : ACCEPT,
  });
  const range = new NatRange().addresses(words("10.0.0.5")).ports(2000, 2002);
  const send = (sport: number, dport: number) =>
    kit.parse(lab.pass(WAN, kit.udp({ src: S, dst: M, sport, dport })));
  // Measured on Linux 6.18.44.
  const data: [sport: number, dport: number, port: number, kept: boolean][] = [
    [1, 80, 2000, true],
    [2, 80, 2000, true],
    [1, 81, 2001, true],
    [1, 82, 2002, true],
    [1, 83, 2002, false],
    [1, 2001, 2002, false],
    [3, 2002, 2002, true],
    [4, 2001, 2001, true],
  ];
  for (const [sport, dport, port, kept] of data) {
    const out = send(sport, dport);
    assertEquals([out.dport, out.sport === sport], [port, kept], `${sport} > ${dport}`);
  }
});

Deno.test("a shifted range wraps round when ports lie outside of it", () => {
  const range = new NatRange().addresses(words("10.0.0.5")).ports(2000, 2010);
  range.flags |= RANGE_PROTO_OFFSET;
  range.basePort = 1000;
  const lab = new Lab({
    rules: (nat, p) => p.hook === PREROUTING && p.inInterface === WAN ? nat.dnat(p, range) : ACCEPT,
  });
  // Measured on Linux 6.18.44.
  const data: [sport: number, dport: number, port: number][] = [
    [1, 1000, 2000],
    [1, 1010, 2010],
    [1, 1011, 2001],
    [1, 999, 2008],
    [1, 2000, 2002],
    [1, 2003, 2003],
    [2, 65535, 2009],
  ];
  for (const [sport, dport, port] of data) {
    assertEquals(kit.parse(lab.pass(WAN, kit.udp({ src: S, dst: M, sport, dport }))).dport, port, `${dport}`);
  }
});

Deno.test("dnat without a port range never changes the port, even when answers collide", () => {
  const lab = new Lab({ rules: dnat(new NatRange().addresses(words(C)), 53) });
  const out = lab.pass(WAN, kit.udp({ src: S, dst: M, sport: 5000, dport: 53 }));
  assertEquals(ends(out), `${S}:5000 > ${C}:53`);
});

Deno.test("netmap keeps host bits in both directions (N13)", () => {
  const inward = new NatRange().addresses(words("10.0.0.64"), words("10.0.0.79"));
  const outward = new NatRange().addresses(words("203.0.113.64"), words("203.0.113.79"));
  const lab = new Lab({
    rules: (nat, p) =>
      p.hook === PREROUTING && p.inInterface === WAN
        ? nat.netmap(p, inward)
        : p.hook === POSTROUTING && p.outInterface === WAN
        ? nat.netmap(p, outward)
        : ACCEPT,
  });
  const out = lab.pass(WAN, kit.udp({ src: S, dst: "203.0.113.69", sport: 5000, dport: 53 }));
  assertEquals(ends(out), `${S}:5000 > 10.0.0.69:53`);
  assertEquals(ends(lab.pass(LAN, answer(out))), `203.0.113.69:53 > ${S}:5000`);
  assertEquals(ends(lab.pass(LAN, query(1, { src: "10.0.0.70" }))), `203.0.113.70:1 > ${S}:53`);
});

Deno.test("netmap keeps host bits of IPv6", () => {
  const outward = new NatRange().addresses(words("2001:db8:2::"), words("2001:db8:2:0:ffff:ffff:ffff:ffff"));
  const lab = new Lab({ rules: (nat, p) => p.hook === POSTROUTING ? nat.netmap(p, outward) : ACCEPT });
  const out = lab.pass(LAN, query(1, { src: "2001:db8:1::a:b", dst: "2001:db8:9::7" }));
  assertEquals(ends(out), "2001:db8:2::a:b:1 > 2001:db8:9::7:53");
});

Deno.test("a LAN host reaches a LAN server by the public address (N14)", () => {
  const to = new NatRange().addresses(words("10.0.0.3"));
  const lab = new Lab({
    rules: (nat, p) =>
      p.hook === PREROUTING && p.view.getInt32(16) === words(M)[0]
        ? nat.dnat(p, to)
        : p.hook === POSTROUTING
        ? nat.masquerade(p, plain)
        : ACCEPT,
  });
  const out = lab.pass(LAN, query(1000, { dst: M }));
  assertEquals(ends(out), "10.0.0.1:1000 > 10.0.0.3:53");
  assertEquals(ends(lab.pass(LAN, answer(out))), `${M}:53 > ${C}:1000`);
});

Deno.test("rules are asked for the first packet only (N16)", () => {
  const lab = new Lab({ rules: snat(new NatRange().addresses(words("203.0.113.50"))) });
  const send = (port: number) => ends(lab.pass(LAN, query(port)));
  assertEquals(send(1000), `203.0.113.50:1000 > ${S}:53`);
  lab.rules = snat(new NatRange().addresses(words("203.0.113.60")));
  assertEquals(send(1000), `203.0.113.50:1000 > ${S}:53`);
  assertEquals(send(1001), `203.0.113.60:1001 > ${S}:53`);
});

Deno.test("dnat moves the source port of a flow that would collide with a direct one (N18)", () => {
  // The direct flow 10000 → S:5201 is there; a connection to the VIP from the same port becomes the same tuple.
  const vip = "203.0.113.200", to = new NatRange().addresses(words(S)).ports(5201);
  const lab = new Lab({
    rules: (nat, p) =>
      p.hook === PREROUTING && p.view.getInt32(16) === words(vip)[0] ? nat.dnat(p, to) : ACCEPT,
  });
  const syn = (dst: string, dport: number) =>
    kit.tcp({ src: C, dst, sport: 10000, dport, flags: "S", seq: 1 });
  assertEquals(ends(lab.pass(LAN, syn(S, 5201))), `${C}:10000 > ${S}:5201`);
  const out = kit.parse(lab.pass(LAN, syn(vip, 443)));
  assertEquals([out.src, out.dst, out.dport], [C, S, 5201]);
  assertNotEquals(out.sport, 10000);
  const back = kit.tcp({ src: S, dst: C, sport: 5201, dport: out.sport!, flags: "SA", seq: 1, ack: 2 });
  assertEquals(ends(lab.pass(WAN, back)), `${vip}:443 > ${C}:10000`);
});

Deno.test("dnat moves the source port of a flow that is the answer to another one (N18)", () => {
  const vip = "203.0.113.200", to = new NatRange().addresses(words(S));
  for (const make of [kit.udp, (o: kit.UdpOptions) => kit.tcp({ ...o, flags: "S", seq: 1 })]) {
    const lab = new Lab({
      rules: (nat, p) =>
        p.hook === PREROUTING && p.view.getInt32(16) === words(vip)[0] ? nat.dnat(p, to) : ACCEPT,
    });
    lab.pass(WAN, make({ src: S, dst: C, sport: 53, dport: 1000 }));
    const out = kit.parse(lab.pass(LAN, make({ src: C, dst: vip, sport: 1000, dport: 53 })));
    assertEquals([out.src, out.dst, out.dport, out.sport === 1000], [C, S, 53, false]);
  }
});

Deno.test("redirect of two ports to one keeps flows apart (N19)", () => {
  const to = new NatRange().ports(5201);
  const lab = new Lab({
    rules: (nat, p) => {
      const port = p.view.getUint16(p.l4 + 2);
      return p.hook === PREROUTING && (port === 5202 || port === 5203) ? nat.redirect(p, to) : ACCEPT;
    },
  });
  const send = (dport: number) =>
    lab.send(LAN, kit.tcp({ src: C, dst: S, sport: 4000, dport, flags: "S", seq: 1 }));
  const a = send(5202), b = send(5203);
  assertEquals([a.iface, b.iface], [0, 0]);
  assertEquals(ends(a.bytes), `${C}:4000 > 10.0.0.1:5201`);
  const moved = kit.parse(b.bytes);
  assertEquals([moved.dst, moved.dport], ["10.0.0.1", 5201]);
  assertNotEquals(moved.sport, 4000);
  assertEquals(lab.flows().length, 2);
});

Deno.test("redirect gives local programs' packets the loopback address", () => {
  const lab = new Lab({ rules: (nat, p) => nat.redirect(p, plain) });
  for (const [dst, loopback] of [[S, "127.0.0.1"], ["2001:db8:9::7", "::1"]]) {
    const src = dst === S ? M : "2001:db8:2::1";
    const p = kit.load(lab.packet, kit.udp({ src, dst, sport: 1, dport: 2 }), 0);
    // As OUTPUT does.
    p.hook = OUTPUT;
    p.family = dst === S ? 4 : 6;
    p.protocol = 17;
    p.l4 = dst === S ? 20 : 40;
    assertEquals([lab.conntrack.in(p), lab.nat.manip(p)], [ACCEPT, ACCEPT]);
    assertEquals(kit.parse(kit.unload(p)).dst, loopback);
    lab.conntrack.release(p);
  }
});

Deno.test("INVALID packets pass untranslated (N21)", () => {
  const lab = new Lab({ rules: masquerade });
  const o = lab.send(LAN, kit.tcp({ src: C, dst: S, sport: 1, dport: 2, flags: "SA", seq: 1, ack: 1 }));
  assertEquals([o.iface, o.ctinfo, kit.parse(o.bytes).src], [WAN, -1, C]);
});

Deno.test("random never keeps the port, but stays in its class", () => {
  const range = new NatRange();
  range.flags = RANGE_PROTO_RANDOM;
  const lab = new Lab({
    rules: (nat, p) => p.hook === POSTROUTING ? nat.masquerade(p, range) : ACCEPT,
  });
  const ports = new Set<number>();
  for (let i = 0; i < 20; i++) ports.add(kit.parse(lab.pass(LAN, query(700 + i))).sport!);
  assert([...ports].every((port) => port >= 600 && port <= 1023));
  assert(ports.size > 15);
});

Deno.test("ping of two hosts with one identifier gets two, and each its own back (I05)", () => {
  for (const [a, b, target] of [[C, "10.0.0.3", S], ["2001:db8:1::2", "2001:db8:1::3", "2001:db8:9::7"]]) {
    const lab = new Lab({ rules: masquerade });
    const out = [a, b].map((src) => lab.pass(LAN, kit.icmpEcho({ src, dst: target, echoId: 7 })));
    const [first, second] = out.map((bytes) => kit.parse(bytes));
    assertEquals([first.echoId, first.errors, second.errors], [7, [], []]);
    assertNotEquals(second.echoId, 7);
    [a, b].forEach((host, i) => {
      const s = kit.parse(out[i]);
      const reply = kit.icmpEcho({ src: target, dst: s.src, echoId: s.echoId, reply: true });
      assertEquals(ends(lab.pass(WAN, reply)), `${target}:7 > ${host}:7`);
    });
  }
});

Deno.test("snat with a port range counts for TCP and UDP, and rewrites ICMP undamaged (I06)", () => {
  const lab = new Lab({ rules: snat(new NatRange().addresses(words("203.0.113.50")).ports(20000)) });
  const out = kit.parse(lab.pass(LAN, kit.icmpEcho({ src: C, dst: S, echoId: 9 })));
  assertEquals([out.src, out.echoId, out.errors], ["203.0.113.50", 20000, []]);
});

Deno.test("SCTP ports are rewritten with a right CRC32c (S06)", () => {
  const lab = new Lab({ rules: snat(new NatRange().addresses(words("203.0.113.50")).ports(34567)) });
  const init = kit.sctp({ src: C, dst: S, sport: 5000, dport: 6000, vtag: 0, chunks: [kit.sctpInit(1, 2)] });
  const out = kit.parse(lab.pass(LAN, init));
  assertEquals([out.src, out.sport, out.errors], ["203.0.113.50", 34567, []]);
});

Deno.test("protocols without ports are translated by address alone (S07)", () => {
  const lab = new Lab({ rules: masquerade });
  for (const protocol of [47, 50, 253]) {
    const out = lab.pass(LAN, kit.ip({ src: C, dst: S, protocol, payload: "\0\0\x08\0some bytes" }));
    assertEquals([kit.parse(out).src, kit.parse(out).errors], [M, []]);
    const back = lab.pass(WAN, kit.ip({ src: S, dst: M, protocol, payload: "\0\0\x08\0some bytes" }));
    assertEquals(kit.parse(back).dst, C);
  }
});

Deno.test("zones keep equal tuples apart (N30)", () => {
  const lab = new Lab({ rules: (nat, p) => p.hook === POSTROUTING ? nat.masquerade(p, plain) : ACCEPT });
  const seen = new Set<string>();
  for (let zone = 1; zone <= 50; zone++) {
    const template = {
      zoneOriginal: zone,
      zoneReply: 0,
      helper: -1,
      rule: 0,
      timeoutPolicy: 0,
      events: -1,
      mark: new Int32Array(1),
    };
    const o = lab.send(LAN, query(1000), (p) => p.template = template);
    assertEquals(o.iface, WAN);
    seen.add(ends(o.bytes));
  }
  assertEquals([seen.size, lab.flows().length], [50, 50]);
});

Deno.test("IPv6 is translated as IPv4 is (N31)", () => {
  const to = new NatRange().addresses(words("2001:db8:1::2")).ports(6000);
  const lab = new Lab({
    rules: (nat, p) =>
      p.hook === PREROUTING && p.inInterface === WAN && p.view.getUint16(p.l4 + 2) === 8000
        ? nat.dnat(p, to)
        : masquerade(nat, p),
  });
  const out = lab.pass(LAN, query(1000, { src: "2001:db8:1::2", dst: "2001:db8:9::7" }));
  assertEquals(ends(out), "2001:db8:2::1:1000 > 2001:db8:9::7:53");
  assertEquals(ends(lab.pass(WAN, answer(out))), "2001:db8:9::7:53 > 2001:db8:1::2:1000");
  const syn = { src: "2001:db8:9::7", dst: "2001:db8:2::1", sport: 5000, dport: 8000, flags: "S", seq: 1 };
  assertEquals(ends(lab.pass(WAN, kit.tcp(syn))), "2001:db8:9::7:5000 > 2001:db8:1::2:6000");
});

Deno.test("a flow that leaves by another interface than it was masqueraded for dies", () => {
  const lab = new Lab({ rules: masquerade });
  lab.pass(LAN, query(1000));
  const w = lab.conntrack.flows.words, at = lab.flows()[0] * FLOW_WORDS;
  assertEquals(w[at + CT_NAT_INTERFACE], WAN);
  w[at + CT_NAT_INTERFACE] = 7; // as if routing had chosen interface 7 for the first packet
  const o = lab.send(LAN, query(1000));
  assertEquals([o.iface, o.reason, lab.flows().length], [-1, "nat-oif-changed", 0]);
});

Deno.test("interfaceDown and addressRemoved forget masqueraded flows, and those only (N32)", () => {
  const lab = new Lab({ rules: masquerade });
  lab.pass(LAN, query(1000));
  lab.pass(WAN, kit.udp({ src: S, dst: C, sport: 9, dport: 9 }));
  assertEquals(lab.flows().length, 2);
  lab.nat.addressRemoved(WAN, words("203.0.113.99"), 0);
  lab.nat.interfaceDown(LAN);
  assertEquals(lab.flows().length, 2);
  lab.nat.addressRemoved(WAN, words(M), 0);
  assertEquals(lab.flows().length, 1);
  lab.pass(LAN, query(1000));
  lab.nat.interfaceDown(WAN);
  assertEquals(lab.flows().length, 1);
});

Deno.test("a null binding moves the source port only when answers could not be told apart", () => {
  const vip = "203.0.113.200", to = new NatRange().addresses(words(S));
  const lab = new Lab({
    rules: (nat, p) =>
      p.hook === PREROUTING && p.view.getInt32(16) === words(vip)[0] ? nat.dnat(p, to) : ACCEPT,
  });
  assertEquals(ends(lab.pass(LAN, query(1000, { dst: vip }))), `${C}:1000 > ${S}:53`);
  const status = lab.conntrack.flows.words[lab.flows()[0] * FLOW_WORDS + CT_STATUS];
  assertEquals(status & (IPS_SRC_NAT | IPS_DST_NAT), IPS_DST_NAT);
  const direct = kit.parse(lab.pass(LAN, query(1000)));
  assertEquals([direct.src, direct.dst], [C, S]);
  assertNotEquals(direct.sport, 1000);
});

Deno.test("masquerade without an address drops, and leaves hosts without one alone", () => {
  const lab = new Lab({ rules: masquerade });
  const o = lab.send(LAN, query(68, { src: "0.0.0.0", dst: S }));
  assertEquals([o.iface, kit.parse(o.bytes).src], [WAN, "0.0.0.0"]);
});

Deno.test("a new connection takes the port of one in TIME_WAIT when no other is left", () => {
  const range = new NatRange().addresses(words("203.0.113.50")).ports(2000, 2001);
  const lab = new Lab({ rules: snat(range) });
  const out = { src: C, dst: S, sport: 1000, dport: 80 }, back = { src: S, dst: "203.0.113.50", sport: 80 };
  const open = (src: string, seq: number) => {
    const o = lab.send(LAN, kit.tcp({ ...out, src, flags: "S", seq }));
    return o.iface === WAN ? kit.parse(o.bytes).sport! : 0;
  };
  const ports = [open("10.0.0.2", 1000), open("10.0.0.3", 1000)];
  assertEquals([...ports].sort(), [2000, 2001]);
  assertEquals(open("10.0.0.4", 1000), 0);
  const close = (src: string, dport: number, seq = 1001) => {
    lab.pass(WAN, kit.tcp({ ...back, dport, flags: "SA", seq: 9000, ack: seq }));
    lab.pass(LAN, kit.tcp({ ...out, src, flags: "A", seq, ack: 9001 }));
    lab.pass(LAN, kit.tcp({ ...out, src, flags: "FA", seq, ack: 9001 }));
    lab.pass(WAN, kit.tcp({ ...back, dport, flags: "FA", seq: 9001, ack: seq + 1 }));
    lab.pass(LAN, kit.tcp({ ...out, src, flags: "A", seq: seq + 1, ack: 9002 }));
  };
  close("10.0.0.2", ports[0]);
  assertEquals(open("10.0.0.4", 500), 0, "an older sequence number could be taken for the old connection's");
  assertEquals(open("10.0.0.4", 5000), ports[0]);
  assertEquals(lab.flows().length, 2);
  close("10.0.0.3", ports[1]);
  close("10.0.0.4", ports[0], 5001);
  assertNotEquals(open("10.0.0.5", 9000), 0);
  assertEquals(lab.flows().length, 2, "of two that have ended one gives way");
});

Deno.test("every flow leaves the by-source index when it dies, confirmed or not", () => {
  const range = new NatRange().addresses(words("203.0.113.50")).ports(2000, 2001);
  const lab = new Lab({ rules: snat(range), capacity: 64 });
  for (let round = 0; round < 200; round++) {
    for (let host = 2; host < 12; host++) lab.send(LAN, query(1000, { src: `10.0.0.${host}` }));
    assertEquals(lab.flows().length, 2);
    for (const ct of lab.flows()) lab.conntrack.delete(ct);
    lab.conntrack.sweep();
  }
});

Deno.test("after a restart a socket's next flow leaves as those before", () => {
  const pool = new NatRange().addresses(words("203.0.113.40"), words("203.0.113.47")).ports(2000, 2999);
  const memory = {
    flows: new ArrayBuffer(FlowTable.bytes(1024)),
    expects: new ArrayBuffer(ExpectTable.bytes(64)),
    roster: HelperRoster.of([]),
  };
  const before = new Lab({ rules: snat(pool), memory });
  const first = Array.from({ length: 20 }, (_, i) => kit.parse(before.pass(LAN, query(1000 + i))));
  const after = new Lab({ rules: snat(pool), memory, seed: 2 });
  after.conntrack.recover((ct) => after.nat.adopt(ct));
  after.nat.rebuild();
  for (const [i, { src, sport }] of first.entries()) {
    const other = kit.parse(after.pass(LAN, query(1000 + i, { dst: "198.51.100.8" })));
    assertEquals([other.src, other.sport], [src, sport]);
  }
});

Deno.test("64,512 flows use as many ports, the next ones die without endless search (L03)", () => {
  const lab = new Lab({ rules: masquerade, capacity: 70000 });
  const bytes = query(1024), p = lab.packet;
  let passed = 0, died = 0;
  const ports = new Set<number>();
  for (let i = 0; i < 66000; i++) {
    const host = 2 + (i >> 15);
    bytes[15] = host;
    bytes[20] = (1024 + (i & 0x7fff)) >> 8;
    bytes[21] = i & 0xff;
    bytes[26] = bytes[27] = 0; // no checksum
    kit.fixIpChecksum(bytes);
    const o = lab.send(LAN, bytes);
    if (o.iface === WAN) {
      passed++;
      ports.add(p.view.getUint16(20));
    } else died++;
  }
  assertEquals(ports.size, passed);
  assertEquals(passed + died, 66000);
  assert(passed > 63000 && passed <= 64512, `${passed} passed`);
});
