import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { conntrackIrc, irc } from "../../src/helpers/mod.ts";
import { NatRange } from "../../src/nat/range.ts";
import { ACCEPT, NEW, POSTROUTING, PREROUTING, RELATED } from "../../src/netfilter.ts";
import * as kit from "../kit/mod.ts";
import { Lab, LAN, masquerade, WAN, words } from "../nat/lab.ts";
import { Control, expectations, result } from "./control.ts";
import { assertMistake } from "./mistakes.ts";

const S = "198.51.100.7", M = "203.0.113.1";
/** 10.0.0.2, 203.0.113.1, 10.0.0.3 and 198.51.100.7 as DCC writes them. */
const OWN = "167772162", PUBLIC = "3405803777", OTHER = "167772163", SERVER = "3325256711";

const dcc = (what: string) => `PRIVMSG you :\x01DCC ${what}\x01\r\n`;
/** Without NAT: the server sees the client itself. */
const bare = (o = {}) =>
  new Control(new Lab({ helpers: [conntrackIrc(o)] }), { dport: 6667, seenClient: "10.0.0.2" }).open();
const translated = (l = new Lab({ helpers: [irc()], rules: masquerade }), o = {}) =>
  new Control(l, { dport: 6667, ...o }).open();
const anybody = (l: Lab, src: string, dst: string, dport: number) =>
  l.send(WAN, kit.tcp({ src, dst, sport: 7, dport, flags: "S", seq: 1 }));

Deno.test("conntrackIrc finds CHAT, SEND, MOVE, TSEND and SCHAT, and whoever comes is RELATED, once (C01, X02)", () => {
  for (const verb of ["CHAT", "SEND", "MOVE", "TSEND", "SCHAT"]) {
    const s = bare(), line = dcc(`${verb} file ${OWN} 5000`);
    assertEquals(s.fromClient(line).payload, line);
    assertEquals(expectations(s.lab), ["src=0.0.0.0 dst=10.0.0.2 sport=0 dport=5000"], verb);
    assertEquals(anybody(s.lab, S, "10.0.0.2", 5001).ctinfo, NEW);
    assertEquals(anybody(s.lab, S, "10.0.0.3", 5000).ctinfo, NEW);
    assertEquals(anybody(s.lab, "192.0.2.9", "10.0.0.2", 5000).ctinfo, RELATED);
    assertEquals(expectations(s.lab), []);
  }
});

Deno.test("conntrackIrc finds PRIVMSG behind blanks and in any case", () => {
  for (const line of ["  ", "\r\n", "\n \r "].map((blanks) => blanks + dcc(`SEND f ${OWN} 5000`))) {
    const s = bare();
    s.fromClient(line.replace("PRIVMSG", "PrivMsg"));
    assertEquals(expectations(s.lab).length, 1, JSON.stringify(line));
  }
});

Deno.test("conntrackIrc ignores what is no offer of a client's (C02, C03, C07, C10, X04)", () => {
  const offer = dcc(`SEND file ${OWN} 5000`);
  for (
    const line of [
      offer.replace("SEND", "RESUME"),
      offer.replace("SEND", "ACCEPT"),
      offer.replace("SEND", "send"),
      offer.replace("DCC", "dcc"),
      offer.replace("PRIVMSG", "NOTICE"),
      `:me!u@h ${offer}`,
      `\t${offer}`,
      `PING x\r\n${offer}`,
      `POST / HTTP/1.1\r\n\r\n${offer}`,
      offer.replace(" :", " :look :"),
      offer.replace(" :", ":"),
      offer.replace("file", "my file"),
      offer.replace("file ", ""),
      offer.replace("\r\n", ""),
      offer.replace(OWN, "99999999999"),
      offer.replace(OWN, "10.0.0.2"),
    ]
  ) {
    const s = bare();
    assertEquals(s.fromClient(line).payload, line);
    assertEquals(expectations(s.lab), [], line);
  }
  const s = bare();
  s.fromServer(dcc(`SEND file ${SERVER} 5000`));
  assertEquals(expectations(s.lab), []);
});

Deno.test("conntrackIrc ignores other ports, IPv6, and flows without an answer", () => {
  const l = new Lab({ helpers: [conntrackIrc({ ports: [7000] })] });
  const elsewhere = new Control(l, { dport: 6667, seenClient: "10.0.0.2", sport: 40001 }).open();
  elsewhere.fromClient(dcc(`SEND f ${OWN} 5000`));
  const six = { client: "2001:db8:1::2", server: "2001:db8:9::7", seenClient: "2001:db8:1::2", dport: 7000 };
  new Control(l, six).open().fromClient(dcc(`SEND f ${OWN} 5000`));
  new Control(l, { dport: 7000, sport: 40002 }).tryClient(dcc(`SEND f ${OWN} 5000`)); // picked up in the middle
  assertEquals(expectations(l), []);
  new Control(l, { dport: 7000, seenClient: "10.0.0.2" }).open().fromClient(dcc(`SEND f ${OWN} 5000`));
  assertEquals(expectations(l).length, 1);
  assertEquals(l.list().filter((line) => line.includes("helper=irc-0")).length, 2);
});

Deno.test("conntrackIrc ignores forged addresses and port 0, and says so (C04, C08)", () => {
  const s = bare();
  for (const what of [`SEND f ${OTHER} 5000`, `SEND f ${SERVER} 5001`, `SEND f ${OWN} 0`]) {
    const line = dcc(what);
    assertEquals(s.fromClient(line).payload, line);
  }
  assertEquals(expectations(s.lab), []);
  assertEquals(s.lab.log, [
    "nf_conntrack_irc: Forged DCC command from 10.0.0.2: 10.0.0.3:5000",
    "nf_conntrack_irc: Forged DCC command from 10.0.0.2: 198.51.100.7:5001",
    "nf_conntrack_irc: Forged DCC command from 10.0.0.2: 10.0.0.2:0",
  ]);
});

Deno.test("conntrackIrc reads one offer per segment, and goes on only behind verbs that it does not know (C06)", () => {
  const wrong = dcc(`SEND f ${OTHER} 5002`), right = dcc(`SEND f ${OWN} 5003`);
  for (
    const [line, ports] of [
      [right + dcc(`SEND f ${OWN} 5001`), ["5003"]],
      [wrong + right, []],
      [dcc(`RESUME f ${OWN} 5004`) + right, ["5003"]],
    ] as const
  ) {
    const s = bare();
    s.fromClient(line);
    assertEquals(expectations(s.lab).map((e) => e.match(/dport=(\d+)/)![1]), [...ports]);
  }
});

Deno.test("conntrackIrc reads the first 4095 bytes", () => {
  for (const [at, found] of [[4094, 1], [4095, 0]]) {
    const s = bare(), start = `PRIVMSG ${"y".repeat(4000)} :\x01DCC SEND f ${OWN} 5000`;
    s.fromClient(start + " ".repeat(at - start.length) + "\n" + "z".repeat(20));
    assertEquals(expectations(s.lab).length, found, `line end at ${at}`);
  }
});

Deno.test("conntrackIrc lets partial offers pass as they are (C13)", () => {
  const s = bare(), line = dcc(`SEND f ${OWN} 5000`);
  for (let length = 1; length < line.length; length++) {
    assertEquals(result(s.tryClient(line.slice(0, length))), line.slice(0, length));
    assertEquals(expectations(s.lab), []);
  }
  // The shortest that Linux reads, and one byte less.
  s.tryClient(`PRIVMSG x :\x01DCC SEND f ${OWN} 5\n`);
  assertEquals(expectations(s.lab), []);
  s.tryClient(`PRIVMSG x :\x01DCC SEND f ${OWN} 50\n`);
  assertEquals(expectations(s.lab).length, 1);
});

Deno.test("conntrackIrc keeps maxDccChannels expectations for dccTimeout seconds; the oldest goes first (C09)", () => {
  const s = bare({ maxDccChannels: 2, dccTimeout: 10 });
  for (const port of [5000, 5001, 5002]) s.fromClient(dcc(`SEND f ${OWN} ${port}`));
  assertEquals(expectations(s.lab).map((e) => e.slice(-4)).sort(), ["5001", "5002"]);
  s.lab.clock.advance(9_900);
  assertEquals(anybody(s.lab, S, "10.0.0.2", 5001).ctinfo, RELATED);
  s.lab.clock.advance(200);
  assertEquals(anybody(s.lab, S, "10.0.0.2", 5002).ctinfo, NEW);
  const usual = bare();
  for (let port = 5000; port < 5010; port++) usual.fromClient(dcc(`SEND f ${OWN} ${port}`));
  const ports = expectations(usual.lab).map((e) => Number(e.match(/dport=(\d+)/)![1])).sort();
  assertEquals(ports, [5002, 5003, 5004, 5005, 5006, 5007, 5008, 5009]);
});

Deno.test("conntrackIrc drops an offer that it cannot expect", () => {
  const l = new Lab({ helpers: [conntrackIrc()] });
  const first = new Control(l, { dport: 6667, seenClient: "10.0.0.2" }).open();
  const second = new Control(l, { dport: 6667, seenClient: "10.0.0.2", sport: 40001 }).open();
  first.fromClient(dcc(`SEND f ${OWN} 5000`));
  assertEquals(result(second.tryClient(dcc(`SEND f ${OWN} 5000`))), "helper-expect-refused");
  assertEquals(l.log.at(-1), "nf_ct_irc: dropping packet: cannot add expectation");
  assertEquals(expectations(l).length, 1);
  const small = new Lab({ helpers: [conntrackIrc()], expectations: 1 });
  const s = new Control(small, { dport: 6667, seenClient: "10.0.0.2" }).open();
  s.fromClient(dcc(`SEND f ${OWN} 5000`));
  assertEquals(result(s.tryClient(dcc(`SEND f ${OWN} 5001`))), "helper-expect-refused");
  assertEquals(small.log.at(-1), "nf_ct_irc: dropping packet: cannot alloc expectation");
});

Deno.test("conntrackIrc is named as in Linux and refuses options that make no sense", () => {
  assertEquals(conntrackIrc().name, "irc");
  assertEquals(conntrackIrc({ ports: [7000, 6667] }).name, "irc");
  assertEquals(conntrackIrc({ ports: [7000] }).name, "irc-0");
  const helper = irc();
  assertEquals([helper.protocol, helper.families, helper.ports, helper.autoAssign], [6, [4], [6667], true]);
  assertEquals(helper.policies, [{ name: "irc", maxExpected: 8, timeout: 300 }]);
  assertEquals(irc({ autoAssign: false }).autoAssign, false);
  for (const ports of [[], [0], [65536], [1.5], [7, 7], [1, 2, 3, 4, 5, 6, 7, 8, 9]]) {
    assertMistake(irc({ ports }), "ports");
  }
  for (const maxDccChannels of [0, 256, 1.5]) assertMistake(irc({ maxDccChannels }), "maxDccChannels");
  for (const dccTimeout of [0, -1, 3e6, NaN]) assertMistake(irc({ dccTimeout }), "dccTimeout");
  for (const o of [{ ports: 6667 }, { ports: ["6667"] }, { maxDccChannels: "8" }, { dccTimeout: "300" }]) {
    assertMistake(irc(o as never), Object.keys(o)[0]);
  }
});

/** What a client says, and what Linux 6.18.44 makes of it behind MASQUERADE; null where it stays as it is. */
const RECORDED: [said: string, seen: string | null, port?: number][] = [
  [`SEND f ${OWN} 5000\x01\r\n`, `SEND f ${PUBLIC} 5000\x01\r\n`, 5000],
  [`SEND f ${PUBLIC} 5000\x01\r\n`, `SEND f ${PUBLIC} 5000\x01\r\n`, 5000],
  [`SEND f ${OWN}   5000 1024\x01\r\n`, `SEND f ${PUBLIC} 5000 1024\x01\r\n`, 5000],
  [`SEND f ${OWN} 70000\x01\r\n`, `SEND f ${PUBLIC} 4464\x01\r\n`, 4464],
  [`SEND f 0000000000000000000000000000${OWN} 0005000\n`, `SEND f ${PUBLIC} 5000\n`, 5000],
  ["SEND f 4462739458 5000\n", `SEND f ${PUBLIC} 5000\n`, 5000],
  ["SEND f 18446744073877323778 5000\n", `SEND f ${PUBLIC} 5000\n`, 5000],
  [`SEND  ${OWN} 5000\x01\n`, `SEND  ${PUBLIC} 5000\x01\n`, 5000],
  [`SEND CHAT ${OWN} 5000\x01\r\n`, `SEND CHAT ${PUBLIC} 5000\x01\r\n`, 5000],
  [`SEND CHAT f ${OWN} 5000\x01\r\n`, null],
  [`CHAT SEND f ${OWN} 5000\x01\r\n`, null],
  [`SEND f ${OWN}5000\x01\r\n`, null],
  [`SEND f ${OWN}   \n`, null],
  [`SEND f  ${OWN} 5000\n`, null],
  [`SEND ${OWN} 5000\x01\n`, null],
  [`SEND f ${OWN} 65536\n`, null],
];

Deno.test("irc mangles address and port as Linux does (C01, C08)", () => {
  for (const [said, seen, port] of RECORDED) {
    const s = translated(), line = `PRIVMSG x :\x01DCC ${said}`;
    assertEquals(s.fromClient(line).payload, seen === null ? line : `PRIVMSG x :\x01DCC ${seen}`);
    const expected = seen === null ? [] : [`src=0.0.0.0 dst=${M} sport=0 dport=${port}`];
    assertEquals(expectations(s.lab), expected, said);
    s.fromServer("ok\r\n");
    s.fromClient("PING\r\n");
  }
});

Deno.test("irc leads whoever comes to the client, who sees the server's address (C01)", () => {
  const s = translated();
  s.fromClient(dcc(`SEND f ${OWN} 5000`));
  const o = anybody(s.lab, "192.0.2.9", M, 5000), syn = kit.parse(o.bytes);
  assertEquals([o.iface, o.ctinfo, syn.src, syn.dst, syn.dport], [LAN, RELATED, S, "10.0.0.2", 5000]);
  const back = kit.tcp({ src: "10.0.0.2", dst: S, sport: 5000, dport: 7, flags: "SA", seq: 1, ack: 2 });
  const answer = kit.parse(s.lab.pass(LAN, back));
  assertEquals([answer.src, answer.sport, answer.dst], [M, 5000, "192.0.2.9"]);
});

Deno.test("irc mangles to a shorter address without stray bytes, and numbers follow (C12)", () => {
  const to = new NatRange().addresses(words("9.9.9.9"));
  const l = new Lab({
    helpers: [irc()],
    rules: (nat, p) => p.hook === POSTROUTING ? nat.snat(p, to) : ACCEPT,
  });
  // 9.9.9.9 has nine digits, as 10.0.0.2 has; blanks make the difference.
  const s = translated(l, { seenClient: "9.9.9.9" });
  assertEquals(s.fromClient(dcc(`SEND f ${OWN}    5000`)).payload, dcc("SEND f 151587081 5000"));
  assertEquals(s.seenClientSeq - s.clientSeq, -3);
  s.fromServer("ok\r\n");
  s.fromClient("PING\r\n");
});

Deno.test("irc mangles a retransmitted offer to the same bytes and counts it once", () => {
  const s = translated(), seq = s.clientSeq, line = dcc(`SEND f ${OWN} 5000`);
  const first = s.fromClient(line);
  assertEquals(result(s.tryClient(line, seq)), first.payload);
  assertEquals(expectations(s.lab).length, 1);
  s.fromClient("PING\r\n");
  assertEquals(s.seenClientSeq - s.clientSeq, PUBLIC.length - OWN.length);
});

Deno.test("irc writes another port where the offered one is taken (C11)", () => {
  const l = new Lab({ helpers: [irc()], rules: masquerade });
  const a = translated(l), b = translated(l, { client: "10.0.0.3", sport: 40001 });
  a.fromClient(dcc(`SEND f ${OWN} 999`));
  const line = b.fromClient(dcc(`SEND f ${OTHER} 999`)).payload;
  const port = Number(line.match(new RegExp(`SEND f ${PUBLIC} (\\d+)\x01`))![1]);
  assertNotEquals(port, 999);
  b.fromServer("ok\r\n");
  b.fromClient("PING\r\n");
  const first = kit.parse(anybody(l, S, M, 999).bytes), second = kit.parse(anybody(l, S, M, port).bytes);
  assertEquals([first.dst, first.dport, second.dst, second.dport], ["10.0.0.2", 999, "10.0.0.3", 999]);
});

Deno.test("irc drops the offer when no port is left", () => {
  const l = new Lab({ helpers: [irc()], rules: masquerade });
  translated(l).fromClient(dcc(`SEND f ${OWN} 65535`));
  const b = translated(l, { client: "10.0.0.3", sport: 40001 });
  assertEquals(result(b.tryClient(dcc(`SEND f ${OTHER} 65535`))), "helper-no-port");
  assertEquals(l.log.at(-1), "nf_ct_irc: dropping packet: all ports in use");
  assertEquals(expectations(l).length, 1);
});

Deno.test("irc undoes the expectation of an offer that cannot grow", () => {
  const s = translated(), line = dcc(`SEND f ${OWN} 5000`);
  assertEquals(result(s.tryClient(line + "x".repeat(65495 - line.length))), "helper-mangle-failed");
  assertEquals(s.lab.log.at(-1), "nf_ct_irc: dropping packet: cannot mangle packet");
  assertEquals(expectations(s.lab), []);
});

Deno.test("irc serves clients of a server behind DNAT: what dials them looks like the public address", () => {
  const to = new NatRange().addresses(words("10.0.0.2"));
  const l = new Lab({
    helpers: [irc()],
    rules: (nat, p) => p.hook === PREROUTING && p.inInterface === WAN ? nat.dnat(p, to) : ACCEPT,
  });
  const o = { side: WAN, client: S, seenClient: S, server: "10.0.0.2", seenServer: M, dport: 6667 };
  const s = new Control(l, o).open(), line = dcc(`SEND f ${SERVER} 5000`);
  assertEquals(s.fromClient(line).payload, line);
  assertEquals(expectations(l), [`src=0.0.0.0 dst=${S} sport=0 dport=5000`]);
  const dial = kit.tcp({ src: "10.0.0.9", dst: S, sport: 7, dport: 5000, flags: "S", seq: 1 });
  const syn = kit.parse(l.pass(LAN, dial));
  assertEquals([syn.src, syn.dst, syn.dport], [M, S, 5000]);
});

Deno.test("irc without its NAT half expects at the public address and leaves the payload (X03)", () => {
  const l = new Lab({ helpers: [conntrackIrc()], rules: masquerade });
  const s = translated(l), line = dcc(`SEND f ${OWN} 5000`);
  assertEquals(s.fromClient(line).payload, line);
  assertEquals(expectations(l), [`src=0.0.0.0 dst=${M} sport=0 dport=5000`]);
});

Deno.test("odd offers make no exception and no expectation for a third address (L09)", () => {
  const s = translated(), random = kit.seeded(11);
  for (let i = 0; i < 30_000; i++) {
    const chars = [...dcc(RECORDED[(random.next() >>> 0) % RECORDED.length][0])];
    for (let n = (random.next() >>> 0) % 4; n > 0; n--) {
      const at = (random.next() >>> 0) % (chars.length + 1), change = (random.next() >>> 0) % 3;
      if (change === 0) chars.splice(at, 1);
      else chars.splice(at, change - 1, String.fromCharCode(random.next() & 0xff));
    }
    s.tryClient(chars.join(""));
    for (const e of expectations(s.lab)) assert(e.startsWith(`src=0.0.0.0 dst=${M} `), e);
  }
});
