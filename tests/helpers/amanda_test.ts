import { assert, assertEquals } from "@std/assert";
import { amanda, conntrackAmanda } from "../../src/helpers/mod.ts";
import { NatRange } from "../../src/nat/range.ts";
import { ACCEPT, NEW, PREROUTING, RELATED } from "../../src/netfilter.ts";
import * as kit from "../kit/mod.ts";
import { Lab, LAN, masquerade, type Outcome, WAN, words } from "../nat/lab.ts";
import { expectations, text } from "./control.ts";
import { assertMistake } from "./mistakes.ts";

/** The backup server asks, the backup client answers. */
const C = "10.0.0.2", S = "198.51.100.7", M = "203.0.113.1";
const CONNECT = "CONNECT DATA 1024 MESG 1025 INDEX 1026 STATE 1027\n";

const ask = (l: Lab, o: Partial<kit.UdpOptions> = {}) =>
  l.send(LAN, kit.udp({ src: C, dst: S, sport: 1000, dport: 10080, payload: "REQ\n", ...o }));
const reply = (l: Lab, dst: string, payload: string, o: Partial<kit.UdpOptions> = {}) =>
  l.send(WAN, kit.udp({ src: S, dst, sport: 10080, dport: 1000, payload, ...o }));
const dial = (l: Lab, dport: number, o: Partial<kit.TcpOptions> = {}) =>
  l.send(LAN, kit.tcp({ src: C, dst: S, sport: 2000, dport, flags: "S", seq: 1, ...o }));
const ports = (l: Lab) =>
  expectations(l).map((e) => Number(e.match(/dport=(\d+)/)![1])).sort((a, b) => a - b);
const payload = (o: Outcome) => {
  const s = kit.parse(o.bytes);
  assertEquals(s.errors, []);
  return text(s.payload);
};
const bare = (o = {}) => new Lab({ helpers: [conntrackAmanda(o)] });

/** Ports that a reply makes expected, without NAT. */
function found(line: string): number[] {
  const l = bare();
  ask(l);
  assertEquals(payload(reply(l, C, line)), line);
  return ports(l);
}

Deno.test("conntrackAmanda finds DATA, MESG, INDEX and STATE, and the connections are RELATED (A01, A02)", () => {
  const l = bare();
  ask(l);
  assertEquals(payload(reply(l, C, `OPTIONS x;\n${CONNECT}`)), `OPTIONS x;\n${CONNECT}`);
  assertEquals(expectations(l)[0], `src=${C} dst=${S} sport=0 dport=1024`);
  assertEquals(ports(l), [1024, 1025, 1026, 1027]);
  assertEquals(dial(l, 1026).ctinfo, RELATED);
  assertEquals(dial(l, 1028).ctinfo, NEW);
  assertEquals(ports(l), [1024, 1025, 1027]);
});

Deno.test("conntrackAmanda finds ports over IPv6", () => {
  const l = bare(), six = { src: "2001:db8:1::2", dst: "2001:db8:9::7" };
  ask(l, six);
  reply(l, six.src, CONNECT, { src: six.dst });
  assertEquals(ports(l), [1024, 1025, 1026, 1027]);
  assertEquals(dial(l, 1024, six).ctinfo, RELATED);
});

Deno.test("conntrackAmanda finds the first CONNECT, and of each word the first in its line (A07)", () => {
  assertEquals(found("CONNECT DATA 1024 DATA 1025\nCONNECT DATA 1026\n"), [1024]);
  assertEquals(found("CONNECT INDEX 3026 MESG 3025 DATA 3024\n"), [3024, 3025, 3026]);
  assertEquals(found("xCONNECT xDATA 1024\n"), [1024]);
  assertEquals(found("CONNECT DATA 1024\nMESG 1025\n"), [1024]);
  assertEquals(found("CONNECT x\nCONNECT DATA 1024\n"), []);
});

Deno.test("conntrackAmanda reads five digits of a number, modulo 65536, and stops at a word without one (A04, A06)", () => {
  assertEquals(found("CONNECT DATA 99999 MESG 1025\n"), [1025, 34463]);
  assertEquals(found("CONNECT DATA 100000\n"), [10000]);
  assertEquals(found("CONNECT DATA 00022x\n"), [22]);
  assertEquals(found("CONNECT DATA 0 MESG 1025\n"), []);
  assertEquals(found("CONNECT DATA 65536 MESG 1025\n"), []);
  assertEquals(found("CONNECT DATA x MESG 1025\n"), []);
  assertEquals(found("CONNECT DATA \n"), []);
  assertEquals(found("CONNECT DATA 1024 MESG x INDEX 1026\n"), [1024]);
});

Deno.test("conntrackAmanda ignores partial lines, other words, requests and other ports (A06)", () => {
  for (const line of ["CONNECT DATA 1024", "connect data 1024\n", "CONNECT", "CONNECT\nDATA 1024\n", "\n"]) {
    assertEquals(found(line), [], line);
  }
  const l = bare();
  ask(l, { payload: CONNECT });
  assertEquals(ports(l), []);
  ask(l, { dport: 10081 });
  reply(l, C, CONNECT, { sport: 10081 });
  assertEquals(ports(l), []);
});

Deno.test("conntrackAmanda complains about an empty reply and lets it pass (A06)", () => {
  const l = bare();
  ask(l);
  assertEquals(payload(reply(l, C, "")), "");
  assertEquals(l.log, ["amanda_help: skblen = 28"]);
});

Deno.test("conntrackAmanda keeps the flow for masterTimeout after every reply, expectations for 180 s (A01)", () => {
  for (const [o, seconds] of [[{}, 300], [{ masterTimeout: 1000 }, 1000]] as const) {
    const l = bare(o);
    ask(l);
    reply(l, C, "nothing to read");
    assertEquals(Number(l.list()[0].split(/\s+/)[2]), seconds);
  }
  const l = bare();
  ask(l);
  reply(l, C, CONNECT);
  l.clock.advance(179_000);
  assertEquals(dial(l, 1024).ctinfo, RELATED);
  l.clock.advance(2_000);
  assertEquals(dial(l, 1025).ctinfo, NEW);
});

Deno.test("conntrackAmanda drops a reply of which a port cannot be expected", () => {
  const l = bare();
  ask(l);
  ask(l, { sport: 1001 });
  reply(l, C, "CONNECT DATA 1024\n");
  const second = reply(l, C, "CONNECT DATA 1024 MESG 1025\n", { dport: 1001 });
  assertEquals(second.reason, "helper-expect-refused");
  assertEquals(l.log.at(-1), "nf_ct_amanda: dropping packet: cannot add expectation");
  assertEquals(ports(l), [1024, 1025]); // as in Linux, the rest of the line is read all the same
  const small = new Lab({ helpers: [conntrackAmanda()], expectations: 1 });
  ask(small);
  assertEquals(reply(small, C, CONNECT).reason, "helper-expect-refused");
  assertEquals(small.log.at(-1), "nf_ct_amanda: dropping packet: cannot alloc expectation");
});

Deno.test("conntrackAmanda has Linux's limits and refuses options that make no sense", () => {
  const helper = amanda();
  assertEquals([helper.name, helper.protocol, helper.families], ["amanda", 17, [4, 6]]);
  assertEquals([helper.ports, helper.autoAssign], [[10080], true]);
  assertEquals(helper.policies, [{ name: "amanda", maxExpected: 4, timeout: 180 }]);
  for (const masterTimeout of [0, -1, 1.5, 3e6, NaN]) {
    assertMistake(amanda({ masterTimeout }), "masterTimeout");
  }
  assertMistake(amanda({ masterTimeout: "300" } as never), "masterTimeout");
});

/** The backup client is in the LAN, behind DNAT. */
class Behind {
  readonly lab: Lab;
  constructor() {
    const to = new NatRange().addresses(words(C));
    this.lab = new Lab({
      helpers: [amanda()],
      rules: (nat, p) => p.hook === PREROUTING && p.inInterface === WAN ? nat.dnat(p, to) : ACCEPT,
    });
  }
  request(sport = 2000): this {
    this.lab.send(WAN, kit.udp({ src: S, dst: M, sport, dport: 10080, payload: "REQ\n" }));
    return this;
  }
  reply(line: string, o: Partial<kit.UdpOptions> = {}): Outcome {
    const from = { src: C, dst: S, sport: 10080, dport: 2000 };
    return this.lab.send(LAN, kit.udp({ ...from, payload: line, ...o }));
  }
  dial(dport: number): kit.Shown {
    const syn = { src: S, dst: M, sport: 2001, dport, flags: "S", seq: 1 };
    return kit.parse(this.lab.send(WAN, kit.tcp(syn)).bytes);
  }
}

Deno.test("amanda expects at the public address of a backup client behind DNAT (A03)", () => {
  const b = new Behind().request();
  assertEquals(payload(b.reply(CONNECT)), CONNECT);
  assertEquals(expectations(b.lab)[0], `src=${S} dst=${M} sport=0 dport=1024`);
  const syn = b.dial(1026);
  assertEquals([syn.src, syn.dst, syn.dport], [S, C, 1026]);
});

Deno.test("amanda leads a translated backup server to the client, over both families (A02)", () => {
  for (const [server, client, seen] of [[C, S, M], ["2001:db8:1::2", "2001:db8:9::7", "2001:db8:2::1"]]) {
    const l = new Lab({ helpers: [amanda()], rules: masquerade });
    ask(l, { src: server, dst: client });
    assertEquals(payload(reply(l, seen, CONNECT, { src: client })), CONNECT);
    const o = dial(l, 1024, { src: server, dst: client }), syn = kit.parse(o.bytes);
    assertEquals([o.ctinfo, syn.src, syn.dst, syn.dport], [RELATED, seen, client, 1024]);
  }
});

Deno.test("amanda mangles numbers, lengths and checksums, and leaves a checksum of 0 (A04, A08)", () => {
  for (const [said, seen] of [["99999", "34463"], ["00022", "22"], ["0000", "0000"]]) {
    assertEquals(payload(new Behind().request().reply(`CONNECT DATA ${said}\n`)), `CONNECT DATA ${seen}\n`);
  }
  const o = new Behind().request().reply("CONNECT DATA 99999\n", { checksum: 0 });
  assertEquals([payload(o), kit.parse(o.bytes).checksum], ["CONNECT DATA 34463\n", 0]);
});

Deno.test("amanda writes another port where the named one is taken, and the line may grow (A10)", () => {
  const b = new Behind().request().request(2002);
  b.reply("CONNECT DATA 999 MESG 1025\n");
  const line = payload(b.reply("CONNECT DATA 999 MESG 1026\nx", { dport: 2002 }));
  const port = Number(line.match(/^CONNECT DATA (\d+) MESG 1026\nx$/)![1]);
  assert(port > 999, line);
  assertEquals([b.dial(999).dport, b.dial(port).dport], [999, 999]);
});

Deno.test("amanda goes on to where the line ended before it was mangled", () => {
  // Shorter by eight: the search goes on into the next line, and ends within a number.
  const shrunk = new Behind().request();
  const line = "CONNECT DATA 00001 INDEX 00002\nSTATE 31026\n";
  assertEquals(payload(shrunk.reply(line)), "CONNECT DATA 1 INDEX 2\nSTATE 31026\n");
  assertEquals(ports(shrunk.lab), [1, 2, 3]);
  // Shorter than the whole reply: a number that would lie beyond it ends the search.
  const short = new Behind().request();
  assertEquals(payload(short.reply("CONNECT DATA 00001 MESG 2\n")), "CONNECT DATA 1 MESG 2\n");
  assertEquals(ports(short.lab), [1]);
  const longer = new Behind().request();
  longer.reply("CONNECT DATA 00001 MESG 2\nabc");
  assertEquals(ports(longer.lab), [1, 2]);
  // Longer: the last digits are beyond the end.
  const grown = new Behind().request().request(2002);
  grown.reply("CONNECT DATA 9\n");
  const seen = payload(grown.reply("CONNECT DATA 9 MESG 12345\n", { dport: 2002 }));
  const more = seen.length - "CONNECT DATA 9 MESG 12345\n".length;
  assert(more >= 1 && more <= 4, seen);
  assert(ports(grown.lab).includes(Number("12345".slice(0, 5 - more))), seen);
});

Deno.test("amanda drops a reply whose last port finds no place; one before it is forgotten", () => {
  const b = new Behind().request().request(2002);
  b.reply("CONNECT DATA 65535\n");
  assertEquals(b.reply("CONNECT DATA 65535\n", { dport: 2002 }).reason, "helper-no-port");
  assertEquals(b.lab.log.at(-1), "nf_ct_amanda: dropping packet: all ports in use");
  const o = b.reply("CONNECT DATA 65535 MESG 1025\n", { dport: 2002 });
  assertEquals([o.iface, o.reason, payload(o)], [WAN, "none", "CONNECT DATA 65535 MESG 1025\n"]);
  assertEquals(ports(b.lab), [1025, 65535]);
});

Deno.test("amanda undoes the expectation of a port that cannot be written", () => {
  const b = new Behind().request().request(2002);
  b.reply("CONNECT DATA 9\n");
  const line = "CONNECT DATA 9\n";
  const o = b.reply(line + "x".repeat(65535 - 28 - line.length), { dport: 2002 });
  assertEquals(o.reason, "helper-mangle-failed");
  assertEquals(b.lab.log.at(-1), "nf_ct_amanda: dropping packet: cannot mangle packet");
  assertEquals(ports(b.lab), [9]);
});

Deno.test("odd replies make no exception and no expectation for a third address (L09)", () => {
  const b = new Behind().request(), random = kit.seeded(12);
  const lines = [
    CONNECT,
    "CONNECT DATA 99999 MESG 00001 STATE 70000\nDATA 7\n",
    "x\nCONNECT INDEX 1DATA 2\n",
  ];
  for (let i = 0; i < 30_000; i++) {
    const chars = [...lines[(random.next() >>> 0) % lines.length]];
    for (let n = (random.next() >>> 0) % 4; n > 0; n--) {
      const at = (random.next() >>> 0) % (chars.length + 1), change = (random.next() >>> 0) % 3;
      if (change === 0) chars.splice(at, 1);
      else chars.splice(at, change - 1, String.fromCharCode(random.next() & 0xff));
    }
    b.reply(chars.join(""));
    for (const e of expectations(b.lab)) assert(e.startsWith(`src=${S} dst=${M} `), e);
  }
});
