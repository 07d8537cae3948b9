import { assertEquals } from "@std/assert";
import { NatRange } from "../../src/nat/range.ts";
import { ACCEPT, NEW, PREROUTING, RELATED, RELATED_REPLY } from "../../src/netfilter.ts";
import * as kit from "../kit/mod.ts";
import { Lab, type LabOptions, LAN, masquerade, WAN, words } from "./lab.ts";

const C = "10.0.0.2", S = "198.51.100.7", M = "203.0.113.1", MIDDLE = "192.0.2.33";

/** A lab with one flow C:1000 → S:53 as it left. */
function opened(o: LabOptions = {}, payload = 8): { lab: Lab; out: Uint8Array } {
  const lab = new Lab({ rules: masquerade, ...o });
  const out = lab.pass(LAN, kit.udp({ src: C, dst: S, sport: 1000, dport: 53, payload, id: 9 }));
  return { lab, out };
}

const inner = (s: kit.Shown) => `${s.quoted!.src}:${s.quoted!.sport} > ${s.quoted!.dst}:${s.quoted!.dport}`;

Deno.test("an error about a masqueraded packet goes to its sender, with what the sender sent (E01)", () => {
  const { lab, out } = opened();
  const error = kit.icmpError({ src: S, dst: M, type: 3, code: 3, quoted: out, quote: 8 });
  const o = lab.send(WAN, error);
  const s = kit.parse(o.bytes);
  assertEquals([o.iface, o.ctinfo], [LAN, RELATED_REPLY]);
  assertEquals([s.src, s.dst, s.type, s.code, s.errors], [S, C, 3, 3, []]);
  assertEquals(inner(s), `${C}:1000 > ${S}:53`);
  assertEquals(s.quoted!.errors, [], "the quoted IP header's checksum is right, too");
});

Deno.test("errors from a router on the way keep type, code, next-hop MTU and their sender (E02, E03)", () => {
  const cases: [type: number, code: number, rest: number][] = [
    [11, 0, 0],
    [3, 4, 1400],
    [12, 0, 0x14000000],
    [4, 0, 0],
  ];
  for (const [type, code, rest] of cases) {
    const { lab, out } = opened();
    const o = lab.send(WAN, kit.icmpError({ src: MIDDLE, dst: M, type, code, rest, quoted: out, quote: 8 }));
    const s = kit.parse(o.bytes);
    assertEquals([o.iface, s.src, s.dst, s.type, s.code, s.rest, s.errors], [
      LAN,
      MIDDLE,
      C,
      type,
      code,
      rest,
      [],
    ]);
    assertEquals(inner(s), `${C}:1000 > ${S}:53`);
  }
});

Deno.test("errors that quote too little, or no flow, or another host are not translated (E05, E07, E08, E10)", () => {
  const { lab, out } = opened();
  const base = { src: S, dst: M, type: 3, code: 3 };
  const strange = kit.udp({ src: M, dst: S, sport: 1001, dport: 53, payload: 8 });
  const later = kit.ip({ src: M, dst: S, protocol: 17, payload: 16, offset: 64 });
  const error = kit.icmpError({ ...base, quoted: out, quote: 8 });
  for (
    const bytes of [
      kit.icmpError({ ...base, quoted: out, quote: 0 }),
      kit.icmpError({ ...base, quoted: new Uint8Array(), quote: 0 }),
      kit.icmpError({ ...base, quoted: strange, quote: 8 }),
      kit.icmpError({ ...base, quoted: later, quote: 8 }),
      kit.icmpError({ ...base, quoted: error, quote: 28 }),
    ]
  ) {
    const o = lab.send(WAN, bytes);
    assertEquals([o.iface, o.ctinfo], [0, -1], kit.show(bytes));
    assertEquals(o.bytes, bytes);
  }
  // Ports alone name the flow, but there is too little to rewrite.
  const short = lab.send(WAN, kit.icmpError({ ...base, quoted: out, quote: 4 }));
  assertEquals([short.iface, short.ctinfo, short.reason], [-1, RELATED_REPLY, "nat-icmp-failed"]);
  const other = lab.send(WAN, kit.icmpError({ ...base, dst: "10.0.0.3", quoted: out, quote: 8 }));
  assertEquals([other.iface, other.ctinfo], [LAN, -1]);
});

Deno.test("a quoted header keeps its options (E09)", () => {
  const { lab, out } = opened();
  const options = [7, 7, 4, 0, 0, 0, 0, 0];
  const withOptions = kit.udp({
    src: M,
    dst: S,
    sport: 1000,
    dport: 53,
    payload: 8,
    id: 9,
    ipOptions: options,
  });
  assertEquals(kit.parse(out).sport, 1000);
  const o = lab.send(WAN, kit.icmpError({ src: S, dst: M, type: 3, code: 3, quoted: withOptions, quote: 8 }));
  const s = kit.parse(o.bytes);
  assertEquals([o.iface, s.errors, s.quoted!.errors], [LAN, [], []]);
  assertEquals([inner(s), [...s.quoted!.ipOptions]], [`${C}:1000 > ${S}:53`, options]);
});

Deno.test("an error from the inside about an answer leaves with the public address (E11)", () => {
  for (const reporter of [C, "10.0.0.99"]) {
    const { lab, out } = opened();
    const sent = kit.parse(out);
    const back = kit.udp({ src: S, dst: M, sport: 53, dport: sent.sport!, payload: 8, id: 10 });
    const answer = lab.pass(WAN, back);
    const o = lab.send(
      LAN,
      kit.icmpError({ src: reporter, dst: S, type: 3, code: 3, quoted: answer, quote: 8 }),
    );
    const s = kit.parse(o.bytes);
    assertEquals([o.iface, o.ctinfo, s.src, s.dst, s.errors], [WAN, RELATED, M, S, []]);
    assertEquals(inner(s), `${S}:53 > ${M}:1000`);
    assertEquals(s.quoted!.errors, []);
  }
});

Deno.test("errors about a DNATed flow are translated in both directions (E12, E13)", () => {
  const to = new NatRange().addresses(words(C)).ports(80);
  const lab = new Lab({
    rules: (nat, p) => p.hook === PREROUTING && p.inInterface === WAN ? nat.dnat(p, to) : ACCEPT,
  });
  const syn = { src: S, dst: M, sport: 5000, dport: 8000, flags: "S", seq: 1 };
  const came = lab.pass(WAN, kit.tcp(syn));
  const o = lab.send(LAN, kit.icmpError({ src: C, dst: S, type: 3, code: 3, quoted: came, quote: 8 }));
  const s = kit.parse(o.bytes);
  assertEquals([o.iface, s.src, s.dst, s.errors, inner(s)], [WAN, M, S, [], `${S}:5000 > ${M}:8000`]);
  // A router outside cannot carry the server's answer.
  const back = kit.tcp({ src: C, dst: S, sport: 80, dport: 5000, flags: "SA", seq: 1, ack: 2 });
  const left = lab.pass(LAN, back);
  const needed = { src: MIDDLE, dst: M, type: 3, code: 4, rest: 1300, quoted: left, quote: 8 };
  const o2 = lab.send(WAN, kit.icmpError(needed));
  const s2 = kit.parse(o2.bytes);
  assertEquals([o2.iface, s2.src, s2.dst, s2.rest, s2.errors], [LAN, MIDDLE, C, 1300, []]);
  assertEquals(inner(s2), `${C}:80 > ${S}:5000`);
});

Deno.test("a quoted TCP or UDP checksum follows, as far as it is quoted", () => {
  const lab = new Lab({ rules: masquerade });
  const segment = (src: string) =>
    kit.tcp({ src, dst: S, sport: 1000, dport: 80, flags: "S", seq: 1, ttl: 63, id: 9, payload: 20 });
  const out = lab.pass(
    LAN,
    kit.tcp({ src: C, dst: S, sport: 1000, dport: 80, flags: "S", seq: 1, id: 9, payload: 20 }),
  );
  assertEquals(out, segment(M));
  for (const quote of [8, 16, 18, 20, 40]) {
    const o = lab.send(WAN, kit.icmpError({ src: S, dst: M, type: 3, code: 3, quoted: out, quote }));
    const s = kit.parse(o.bytes);
    assertEquals([o.iface, s.errors], [LAN, []]);
    // Linux leaves a checksum alone when the quoted TCP header is not whole.
    const wanted = segment(C).slice(0, 20 + quote);
    if (quote > 16 && quote < 20) wanted.set(out.slice(36, Math.min(38, 20 + quote)), 36);
    assertEquals(s.payload, wanted, `${quote} bytes quoted`);
  }
});

Deno.test("an error about a ping has the client's identifier inside", () => {
  for (const [host, target, address] of [[C, S, M], ["2001:db8:1::2", "2001:db8:9::7", "2001:db8:2::1"]]) {
    const lab = new Lab({ rules: masquerade });
    lab.pass(LAN, kit.icmpEcho({ src: host.replace(/2$/, "3"), dst: target, echoId: 7 }));
    const out = lab.pass(LAN, kit.icmpEcho({ src: host, dst: target, echoId: 7, ttl: 64, id: 3 }));
    const type = host === C ? 11 : 3;
    const o = lab.send(WAN, kit.icmpError({ src: target, dst: address, type, quoted: out }));
    const s = kit.parse(o.bytes);
    assertEquals([o.iface, s.dst, s.errors], [LAN, host, []]);
    const sent = kit.icmpEcho({ src: host, dst: target, echoId: 7, ttl: 63, id: 3 });
    assertEquals(s.payload, sent);
  }
});

Deno.test("a redirect about a translated flow is dropped, about another one it passes", () => {
  const { lab, out } = opened();
  const o = lab.send(WAN, kit.icmpError({ src: S, dst: M, type: 5, code: 1, quoted: out, quote: 8 }));
  assertEquals([o.iface, o.reason], [-1, "nat-icmp-failed"]);
  const bare = new Lab();
  const plain = bare.pass(LAN, kit.udp({ src: C, dst: S, sport: 1000, dport: 53, payload: 8 }));
  const passed = bare.send(WAN, kit.icmpError({ src: S, dst: C, type: 5, code: 1, quoted: plain, quote: 8 }));
  assertEquals(passed.iface, LAN);
});

Deno.test("an error with a wrong checksum dies where conntrack has not judged it", () => {
  const { lab, out } = opened({ sysctl: { "net.netfilter.nf_conntrack_checksum": 0 } });
  const error = kit.icmpError({ src: S, dst: M, type: 3, code: 3, quoted: out, quote: 8, badChecksum: true });
  const o = lab.send(WAN, error);
  assertEquals([o.iface, o.reason], [-1, "nat-icmp-failed"]);
});

Deno.test("a flood of errors leaves flow, state and binding as they are (E14)", () => {
  const { lab, out } = opened();
  const before = lab.list();
  for (let i = 0; i < 100; i++) {
    assertEquals(
      lab.send(WAN, kit.icmpError({ src: S, dst: M, type: 3, code: i & 15, quoted: out, quote: 8 })).iface,
      LAN,
    );
  }
  assertEquals(lab.list(), before);
  assertEquals(lab.send(LAN, kit.udp({ src: C, dst: S, sport: 1000, dport: 53 })).ctinfo, NEW);
});

Deno.test("ICMPv6 errors are translated, behind extension headers too (E15)", () => {
  const c = "2001:db8:1::2", s = "2001:db8:9::7", m = "2001:db8:2::1";
  const cases: [type: number, code: number, rest: number, extensions: kit.Extension[]][] = [
    [1, 4, 0, []],
    [2, 0, 1280, []],
    [3, 0, 0, [{ header: "hop" }]],
    [1, 0, 0, [{ header: "hop" }, { header: "routing", body: [4, 0] }, { header: "destination" }]],
    [1, 4, 0, [{ header: "fragment", offset: 0, mf: false, id: 4 }]],
  ];
  for (const [type, code, rest, extensions] of cases) {
    const lab = new Lab({ rules: masquerade });
    const udp = { dst: s, sport: 1000, dport: 53, payload: 30, extensions };
    lab.pass(LAN, kit.udp({ src: c, ...udp, extensions: [] }));
    const quoted = kit.udp({ src: m, ...udp, ttl: 60 });
    const o = lab.send(WAN, kit.icmpError({ src: s, dst: m, type, code, rest, quoted }));
    const shown = kit.parse(o.bytes);
    assertEquals([o.iface, shown.dst, shown.type, shown.rest, shown.errors], [LAN, c, type, rest, []]);
    assertEquals(shown.payload, kit.udp({ src: c, ...udp, ttl: 60 }));
    // The error itself may have extension headers.
    const o2 = lab.send(
      WAN,
      kit.icmpError({ src: s, dst: m, type, code, rest, quoted, extensions: [{ header: "destination" }] }),
    );
    assertEquals([o2.iface, kit.parse(o2.bytes).errors], [LAN, []]);
  }
});

Deno.test("quoted SCTP gets ports, and like Linux a checksum over what is quoted", () => {
  const lab = new Lab({ rules: masquerade });
  const init = { dst: S, sport: 5000, dport: 6000, vtag: 0, chunks: [kit.sctpInit(1, 2)], id: 1 };
  const out = lab.pass(LAN, kit.sctp({ src: C, ...init, ttl: 64 }));
  const short = lab.send(WAN, kit.icmpError({ src: S, dst: M, type: 3, code: 2, quoted: out, quote: 8 }));
  assertEquals(inner(kit.parse(short.bytes)), `${C}:5000 > ${S}:6000`);
  const whole = lab.send(WAN, kit.icmpError({ src: S, dst: M, type: 3, code: 2, quoted: out }));
  assertEquals(kit.parse(whole.bytes).payload, kit.sctp({ src: C, ...init, ttl: 63 }));
});
