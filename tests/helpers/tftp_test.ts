import { assertEquals, assertNotEquals } from "@std/assert";
import { conntrackTftp, tftp } from "../../src/helpers/mod.ts";
import { NatRange } from "../../src/nat/range.ts";
import { ACCEPT, ESTABLISHED_REPLY, NEW, PREROUTING, Reason, RELATED } from "../../src/netfilter.ts";
import * as kit from "../kit/mod.ts";
import { Lab, LAN, masquerade, type Outcome, WAN, words } from "../nat/lab.ts";
import { expectations } from "./control.ts";
import { assertMistake } from "./mistakes.ts";

const C = "10.0.0.2", S = "198.51.100.7", M = "203.0.113.1";
const request = (opcode = 1) => `\0${String.fromCharCode(opcode)}file\0octet\0`;
const DATA = "\0\x03\0\x01data", ACK = "\0\x04\0\x01";

const ask = (l: Lab, o: Partial<kit.UdpOptions> = {}) =>
  l.send(LAN, kit.udp({ src: C, dst: S, sport: 1000, dport: 69, payload: request(), ...o }));
const give = (l: Lab, dst: string, o: Partial<kit.UdpOptions> = {}) =>
  l.send(WAN, kit.udp({ src: S, dst, sport: 3456, dport: 1000, payload: DATA, ...o }));
const ends = (o: Outcome) => {
  const s = kit.parse(o.bytes);
  assertEquals(s.errors, []);
  return `${s.src} ${s.sport} > ${s.dst} ${s.dport}`;
};
const bare = (o = {}) => new Lab({ helpers: [conntrackTftp(o)] });
const translated = () => new Lab({ helpers: [tftp()], rules: masquerade });

Deno.test("conntrackTftp finds RRQ and WRQ in the first packet, and the server's answer is RELATED (P01)", () => {
  for (const opcode of [1, 2]) {
    const l = bare();
    assertEquals(ask(l, { payload: request(opcode) }).ctinfo, NEW);
    assertEquals(expectations(l), [`src=${S} dst=${C} sport=0 dport=1000`]);
    assertEquals(give(l, C).ctinfo, RELATED);
    assertEquals(ask(l, { dport: 3456, payload: ACK }).ctinfo, ESTABLISHED_REPLY); // the server has opened it
    assertEquals(expectations(l), []);
  }
});

Deno.test("conntrackTftp finds requests over IPv6", () => {
  const l = bare(), six = { src: "2001:db8:1::2", dst: "2001:db8:9::7" };
  ask(l, six);
  assertEquals(expectations(l), ["src=2001:db8:9::7 dst=2001:db8:1::2 sport=0 dport=1000"]);
  assertEquals(give(l, six.src, { src: six.dst }).ctinfo, RELATED);
});

Deno.test("conntrackTftp finds a request in either direction, since it asks for none", () => {
  const l = bare();
  ask(l, { payload: DATA });
  give(l, C, { sport: 69, payload: request() });
  assertEquals(expectations(l), [`src=${S} dst=${C} sport=0 dport=1000`]);
});

Deno.test("conntrackTftp ignores other opcodes and partial ones (P02)", () => {
  const l = bare();
  for (const payload of [DATA, ACK, "\0\x05\0\x01no\0", "\0\x06", "\0\0", "\x01\0", "\x01\x01", "\0", ""]) {
    assertEquals(ask(l, { payload }).iface, WAN);
    assertEquals(expectations(l), [], JSON.stringify(payload));
  }
  ask(l, { dport: 70 });
  assertEquals(expectations(l), []);
  ask(l, { payload: "\0\x01" });
  assertEquals(expectations(l).length, 1);
});

Deno.test("conntrackTftp keeps one expectation for 300 s, which a second request renews (P02)", () => {
  const l = bare();
  ask(l, { payload: request(2) });
  l.clock.advance(20_000);
  ask(l);
  assertEquals(expectations(l).length, 1);
  for (let i = 0; i < 14; i++) {
    l.clock.advance(20_000);
    ask(l, { payload: ACK }); // the master lives on
  }
  l.clock.advance(19_000);
  assertEquals(give(l, C).ctinfo, RELATED);
  ask(l);
  for (let i = 0; i < 15; i++) {
    l.clock.advance(20_100);
    ask(l, { payload: ACK });
  }
  assertEquals(give(l, C, { sport: 3457 }).ctinfo, NEW);
});

Deno.test("conntrackTftp expects the server alone, and once (P03, P04)", () => {
  const l = bare();
  ask(l);
  assertEquals(give(l, C, { src: "198.51.100.8" }).ctinfo, NEW);
  assertEquals(give(l, C).ctinfo, RELATED);
  assertEquals(give(l, C, { sport: 3457 }).ctinfo, NEW);
});

Deno.test("conntrackTftp's expectation dies with a request that dies behind the helper", () => {
  const l = new Lab({ helpers: [conntrackTftp()] }), helper = l.conntrack.helpers[0];
  l.conntrack.confirm = (p) => {
    assertEquals(helper.help(l.conntrack, p, p.ct, p.ctinfo), ACCEPT);
    assertEquals(expectations(l).length, 1);
    return p.drop(Reason["insert-failed"]);
  };
  assertEquals(ask(l).reason, "insert-failed");
  assertEquals([l.flows(), expectations(l)], [[], []]);
});

Deno.test("conntrackTftp drops a request that it cannot expect", () => {
  const l = bare({ ports: [69, 70] });
  ask(l);
  assertEquals(ask(l, { dport: 70 }).reason, "helper-expect-refused"); // another flow waits for the same
  assertEquals(l.log.at(-1), "nf_ct_tftp: dropping packet: cannot add expectation");
  assertEquals([l.flows().length, expectations(l).length], [1, 1]);
  const small = new Lab({ helpers: [conntrackTftp()], expectations: 1 });
  ask(small);
  assertEquals(ask(small, { sport: 1001 }).reason, "helper-expect-refused");
  assertEquals(small.log.at(-1), "nf_ct_tftp: dropping packet: cannot alloc expectation");
});

Deno.test("conntrackTftp is named as in Linux and refuses options that make no sense", () => {
  assertEquals(conntrackTftp().name, "tftp");
  assertEquals(conntrackTftp({ ports: [6969, 69] }).name, "tftp");
  assertEquals(conntrackTftp({ ports: [6969] }).name, "tftp-0");
  const helper = tftp();
  assertEquals([helper.protocol, helper.families, helper.ports, helper.autoAssign], [17, [4, 6], [69], true]);
  assertEquals(helper.policies, [{ name: "tftp", maxExpected: 1, timeout: 300 }]);
  for (const ports of [[], [0], [65536], [1.5], [7, 7], [1, 2, 3, 4, 5, 6, 7, 8, 9]]) {
    assertMistake(tftp({ ports }), "ports");
  }
  for (const ports of [69, "69", ["69"], [null]]) {
    assertMistake(tftp({ ports } as never), "ports");
  }
});

Deno.test("tftp leads the server's answer to a translated client (P01)", () => {
  for (const [client, server, seen] of [[C, S, M], ["2001:db8:1::2", "2001:db8:9::7", "2001:db8:2::1"]]) {
    const l = translated();
    assertEquals(ends(ask(l, { src: client, dst: server })), `${seen} 1000 > ${server} 69`);
    const o = give(l, seen, { src: server });
    assertEquals([o.iface, o.ctinfo, ends(o)], [LAN, RELATED, `${server} 3456 > ${client} 1000`]);
    const back = ask(l, { src: client, dst: server, dport: 3456, payload: ACK });
    assertEquals([back.ctinfo, ends(back)], [ESTABLISHED_REPLY, `${seen} 1000 > ${server} 3456`]);
  }
});

Deno.test("tftp expects at the port that NAT has given the client, and leads to the client's own (P06)", () => {
  const l = translated();
  ask(l);
  const moved = kit.parse(ask(l, { src: "10.0.0.3" }).bytes).sport!;
  assertNotEquals(moved, 1000);
  assertEquals(expectations(l).length, 2);
  assertEquals(ends(give(l, M, { dport: moved })), `${S} 3456 > 10.0.0.3 1000`);
  assertEquals(ends(give(l, M)), `${S} 3456 > ${C} 1000`);
});

Deno.test("tftp shows a server behind DNAT under its public address (P08)", () => {
  const to = new NatRange().addresses(words(C));
  const l = new Lab({
    helpers: [tftp()],
    rules: (nat, p) => p.hook === PREROUTING && p.inInterface === WAN ? nat.dnat(p, to) : ACCEPT,
  });
  const get = kit.udp({ src: S, dst: M, sport: 2000, dport: 69, payload: request() });
  assertEquals(ends(l.send(WAN, get)), `${S} 2000 > ${C} 69`);
  const o = ask(l, { sport: 3456, dport: 2000, payload: DATA });
  assertEquals([o.ctinfo, ends(o)], [RELATED, `${M} 3456 > ${S} 2000`]);
  const ack = kit.udp({ src: S, dst: M, sport: 2000, dport: 3456, payload: ACK });
  assertEquals(ends(l.send(WAN, ack)), `${S} 2000 > ${C} 3456`);
});

Deno.test("tftp drops a request that it cannot expect", () => {
  const l = new Lab({
    helpers: [tftp()],
    rules: masquerade,
    sysctl: { "net.netfilter.nf_conntrack_expect_max": 1 },
  });
  ask(l);
  assertEquals(ask(l, { sport: 1001 }).reason, "helper-expect-refused");
  assertEquals(l.log.at(-1), "nf_ct_tftp: dropping packet: cannot add expectation");
});
