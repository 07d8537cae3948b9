/** What `strict: false` and `portsOnly` add to what Linux does; that nothing changes without them is the other tests'. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { MappedArena } from "../../src/arena.ts";
import { ExpectTable } from "../../src/conntrack/expect.ts";
import { HELPER_BLIND, HELPER_COUNTS } from "../../src/conntrack/helping.ts";
import { HelperRoster } from "../../src/conntrack/roster.ts";
import { FlowTable } from "../../src/conntrack/table.ts";
import { DCC_NONE, DCC_OFFER, DCC_PARTIAL, DCC_PORT, DccLine } from "../../src/helpers/dcc.ts";
import { amanda, conntrackFtp, conntrackIrc, ftp, irc } from "../../src/helpers/mod.ts";
import { HelperLab } from "../../src/helpers/testing.ts";
import * as kit from "../kit/mod.ts";
import { Lab, masquerade } from "../nat/lab.ts";
import { Control, expectations, result } from "./control.ts";

const C = "10.0.0.2", S = "198.51.100.7", M = "203.0.113.1";
const OWN = "167772162", OTHER = "167772163", PUBLIC = "3405803777";

const plain = (helper = conntrackFtp({ strict: false }), dport = 21, l = new Lab({ helpers: [helper] })) =>
  new Control(l, { dport, seenClient: C }).open();
const translated = (helper = ftp({ strict: false }), dport = 21) =>
  new Control(new Lab({ helpers: [helper], rules: masquerade }), { dport }).open();

/** Sends parts of one text, each at its own place, as a sender that does not wait; what came out of each. */
function inParts(s: Control, whole: string, cuts: readonly number[]): string[] {
  const ends = [...cuts, whole.length];
  return ends.map((end, i) => {
    const from = i === 0 ? 0 : ends[i - 1];
    return result(s.tryClient(whole.slice(from, end), s.clientSeq + from));
  });
}

Deno.test("half a line that one worker has read is known to the others (F15)", () => {
  const line = "PORT 10,0,0,2,19,136\r\n", cut = 11;
  for (const translate of [false, true]) {
    const helper = translate ? ftp({ strict: false }) : conntrackFtp({ strict: false });
    const memory = {
      flows: new ArrayBuffer(FlowTable.bytes(64)),
      expects: new ArrayBuffer(ExpectTable.bytes(64)),
      roster: HelperRoster.of([helper]),
    };
    const buffer = new ArrayBuffer(1 << 23);
    const [one, two] = [true, false].map((fresh) => {
      const arena = new MappedArena(buffer, fresh), rules = translate ? masquerade : undefined;
      const lab = new Lab({ helpers: [helper], rules, capacity: 64, memory, arena });
      return new Control(lab, translate ? {} : { seenClient: C });
    });
    one.open();
    const seq = one.clientSeq;
    assertEquals(
      result(one.tryClient(line.slice(0, cut), seq)),
      translate ? "helper-partial" : line.slice(0, cut),
    );
    const second = result(two.tryClient(line.slice(cut), seq + cut));
    assertEquals(second, translate ? "PORT 203,0,113,1,19,136\r\n" : line.slice(cut));
    assertEquals(expectations(one.lab), [`src=${S} dst=${translate ? M : C} sport=0 dport=5000`]);
  }
});

// ── FTP ─────────────────────────────────────────────────────────────────────────────────────────────────────────

Deno.test("conntrackFtp reads an announcement behind another line when it is not strict, and only then", () => {
  const lines = "TYPE I\r\nPORT 10,0,0,2,19,136\r\n";
  const strict = plain(conntrackFtp());
  assertEquals(strict.fromClient(lines).payload, lines);
  assertEquals(expectations(strict.lab), []);
  const s = plain();
  assertEquals(s.fromClient(lines).payload, lines);
  assertEquals(expectations(s.lab), [`src=${S} dst=${C} sport=0 dport=5000`]);
  const t = translated();
  assertEquals(t.fromClient(lines).payload, "TYPE I\r\nPORT 203,0,113,1,19,136\r\n");
  assertEquals(expectations(t.lab), [`src=${S} dst=${M} sport=0 dport=5000`]);
  t.fromServer("200 a\r\n200 b\r\n");
  t.fromClient("LIST\r\n");
  const answers = "150 x\r\n227 ok (198,51,100,7,19,137)\r\n";
  assertEquals(s.fromServer(answers).payload, answers);
  assertEquals(expectations(s.lab), [`src=${C} dst=${S} sport=0 dport=5001`]);
});

Deno.test("conntrackFtp reads lines only of a segment that begins a line", () => {
  const s = plain();
  s.fromClient("LIST"); // no line end
  s.fromClient("\r\nPORT 10,0,0,2,19,136\r\n");
  assertEquals(expectations(s.lab), []);
});

Deno.test("conntrackFtp puts a command together that is cut anywhere (F15)", () => {
  const line = "PORT 10,0,0,2,19,136\r\n";
  for (let cut = 1; cut < line.length; cut++) {
    // Where nothing is translated nothing is held back, whether it could be rewritten or not.
    for (const s of [plain(), plain(ftp({ strict: false }))]) {
      assertEquals(inParts(s, line, [cut]), [line.slice(0, cut), line.slice(cut)]);
      assertEquals(expectations(s.lab), [`src=${S} dst=${C} sport=0 dport=5000`], `cut at ${cut}`);
    }
  }
  const s = plain();
  inParts(s, line, [...line].map((_, i) => i).slice(1)); // byte by byte
  assertEquals(expectations(s.lab), [`src=${S} dst=${C} sport=0 dport=5000`]);
});

Deno.test("ftp holds the beginning of a cut command back, and the rest brings it along (F15)", () => {
  const line = "PORT 10,0,0,2,19,136\r\n", told = "PORT 203,0,113,1,19,136\r\n";
  for (let cut = 1; cut < line.length - 1; cut++) {
    const s = translated();
    const [first, second] = inParts(s, line, [cut]);
    // "PORT 10,0,0,2,19,136\r" is whole to Linux, too.
    assertEquals([first, second], ["helper-partial", told], `cut at ${cut}`);
    s.clientSeq += line.length;
    s.seenClientSeq += told.length;
    s.fromServer("200 ok\r\n");
    assertEquals(s.fromClient("LIST\r\n").payload, "LIST\r\n");
    assertEquals(expectations(s.lab), [`src=${S} dst=${M} sport=0 dport=5000`]);
  }
});

Deno.test("ftp lets whole lines before a cut command pass, and holds back only that", () => {
  const whole = "TYPE I\r\nPORT 10,0,0,2,19,136\r\n";
  const s = translated(), [first, second] = inParts(s, whole, [17]);
  assertEquals([first, second], ["TYPE I\r\n", "PORT 203,0,113,1,19,136\r\n"]);
  s.clientSeq += whole.length;
  s.seenClientSeq += first.length + second.length;
  s.fromServer("200 ok\r\n");
  s.fromClient("LIST\r\n");
});

Deno.test("ftp is not confused by what is sent again: the beginning, the rest, or both in one piece", () => {
  const line = "PORT 10,0,0,2,19,136\r\n", told = "PORT 203,0,113,1,19,136\r\n";
  const s = translated(), seq = s.clientSeq;
  assertEquals(inParts(s, line, [9]), ["helper-partial", told]);
  assertEquals(result(s.tryClient(line.slice(9), seq + 9)), told);
  assertEquals(result(s.tryClient(line, seq)), told);
  assertEquals(inParts(s, line, [9]), ["helper-partial", told]);
  assertEquals(expectations(s.lab).length, 1);
});

Deno.test("ftp tells an announcement behind another line alike whatever of its segment is sent again", () => {
  const before = "TYPE I\r\n", behind = "NOOP\r\n", line = "PORT 10,0,0,2,19,136\r\n";
  const told = "PORT 203,0,113,1,19,136\r\n", whole = before + line + behind;
  const again = (s: Control, from: number, to = whole.length) => {
    const { iface, bytes, reason } = s.tryClient(whole.slice(from, to), s.clientSeq + from);
    if (iface < 0) return reason;
    const { seq, payload, errors } = kit.parse(bytes);
    assertEquals(errors, []);
    return [seq! - s.seenClientSeq, String.fromCharCode(...payload)];
  };
  const second = before.length, third = second + line.length, grown = told.length - line.length;
  for (const cut of [second + 9, third, whole.length]) {
    const s = translated();
    assertEquals(again(s, 0, cut), [
      0,
      before + (cut < third ? "" : told) + (cut < whole.length ? "" : behind),
    ]);
    assertEquals(again(s, second), [second, told + behind], `from the second line, after ${cut} bytes`);
    assertEquals(again(s, third), [third + grown, behind]);
    assertEquals(again(s, 0), [0, before + told + behind]);
    assertEquals(again(s, 0, second), [0, before]);
    assertEquals(again(s, second, third), [second, told]);
    assertEquals(expectations(s.lab), [`src=${S} dst=${M} sport=0 dport=5000`]);
  }
});

Deno.test("ftp keeps what it holds back when a part of it is sent again", () => {
  const line = "PORT 10,0,0,2,19,136\r\n", s = translated(), seq = s.clientSeq;
  assertEquals(inParts(s, line.slice(0, 12), [4, 8]), Array(3).fill("helper-partial"));
  assertEquals(result(s.tryClient(line.slice(0, 4), seq)), "helper-partial");
  assertEquals(result(s.tryClient(line.slice(12), seq + 12)), "PORT 203,0,113,1,19,136\r\n");
});

Deno.test("ftp holds a beginning back three times, then it passes as it is", () => {
  const s = translated();
  const said = Array.from({ length: 5 }, () => result(s.tryClient("P")));
  assertEquals(said, ["helper-partial", "helper-partial", "helper-partial", "P", "P"]);
});

Deno.test("ftp remembers so many beginnings, and the oldest gives way", () => {
  const l = new Lab({ helpers: [conntrackFtp({ strict: false })] }), line = "PORT 10,0,0,2,19,136\r\n";
  const all = Array.from(
    { length: 65 },
    (_, i) => new Control(l, { sport: 41000 + i, seenClient: C }).open(),
  );
  for (const s of all) s.tryClient(line.slice(0, 9));
  for (const s of [all[0], all[64]]) s.tryClient(line.slice(9), s.clientSeq + 9);
  assertEquals(expectations(l).length, 1);
});

Deno.test("ftp keeps the same port of two routers that share a helper apart", () => {
  const helper = conntrackFtp({ strict: false });
  const a = plain(helper), b = plain(helper), line = "PORT 10,0,0,2,19,136\r\n";
  a.tryClient(line.slice(0, 9));
  b.tryClient(line.slice(9), b.clientSeq + 9);
  assertEquals([expectations(a.lab), expectations(b.lab)], [[], []]);
});

Deno.test("conntrackFtp lets commands with wrong numbers pass when it is not strict (F22, F24)", () => {
  for (const line of ["PORT 1,2\r\n", "PORT\r\n", "EPRT |3|x|1|\r\n", "PORT 10,0,0,2,19,136x\r\n"]) {
    for (const s of [plain(), translated()]) {
      assertEquals(s.fromClient(line).payload, line);
      assertEquals(expectations(s.lab), []);
    }
  }
});

Deno.test("conntrackFtp says when it is blind: AUTH TLS and the server's consent", () => {
  const blind = (s: Control) => s.lab.conntrack.helperCounts[HELPER_COUNTS.indexOf("blind")];
  assertEquals(HELPER_BLIND, HELPER_COUNTS.indexOf("blind"));
  const s = plain();
  s.fromClient("auth tls\r\n");
  s.fromServer("502 no\r\n");
  s.fromServer("234 what?\r\n");
  assertEquals([blind(s), s.lab.log], [0, []]);
  s.fromClient("AUTH SSL\r\n");
  s.fromServer("234 go on\r\n");
  assertEquals(blind(s), 1);
  assertEquals(
    s.lab.log[0],
    `nf_ct_ftp: helper blind from here: flow tcp ${C}:40000 → ${S}:21 goes on in TLS (AUTH TLS)`,
  );
  // After CCC (RFC 4217, 12) it is plain text again.
  s.fromClient("\x16\x03\x01\n");
  s.fromClient("PORT 10,0,0,2,19,136\r\n");
  assertEquals([blind(s), expectations(s.lab).length], [1, 1]);
  const later = plain();
  later.fromClient("PORT 10,0,0,2,19,136\r\n");
  later.fromServer("200 ok\r\n");
  later.fromClient("AUTH TLS\r\n");
  later.fromServer("234 go on\r\n");
  assertEquals(blind(later), 1);
  const strict = plain(conntrackFtp());
  strict.fromClient("AUTH TLS\r\n");
  strict.fromServer("234 go on\r\n");
  assertEquals([blind(strict), strict.lab.log], [0, []]);
});

Deno.test("conntrackFtp notices AUTH TLS in a client's first words, and believes nothing else there", () => {
  const begun = (first: string) =>
    new Control(new Lab({ helpers: [conntrackFtp({ strict: false })] }), { seenClient: C }).open(first);
  const s = begun("AUTH TLS\r\n");
  s.fromServer("234 go on\r\n");
  assertEquals(s.lab.conntrack.helperCounts[HELPER_BLIND], 1);
  assertEquals(expectations(begun("PORT 10,0,0,2,19,136\r\n").lab), []);
});

Deno.test("ftp serves IPv6 in parts, too", () => {
  const o = { client: "2001:db8:1::2", server: "2001:db8:9::7", seenClient: "2001:db8:2::1" };
  const s = new Control(new Lab({ helpers: [ftp({ strict: false })], rules: masquerade }), o).open();
  const line = "EPRT |2|2001:db8:1::2|5000|\r\n";
  const [first, second] = inParts(s, line, [12]);
  assertEquals([first, second], [
    "helper-partial",
    "EPRT |2|2001:0db8:0002:0000:0000:0000:0000:0001|5000|\r\n",
  ]);
});

// ── IRC ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const dcc = (what: string) => `PRIVMSG you :\x01DCC ${what}\x01\r\n`;
const chat = (o = {}) => plain(conntrackIrc({ strict: false, ...o }), 6667);
const chatNat = () => translated(irc({ strict: false }), 6667);

const LINES: [line: string, kind: number, port?: number, address?: string, passive?: boolean][] = [
  [dcc(`SEND f ${OWN} 5000 10`), DCC_OFFER, 5000, OWN],
  [dcc(`SEND "my file" ${OWN} 5000`), DCC_OFFER, 5000, OWN],
  [dcc(`CHAT chat ${OWN} 5000`), DCC_OFFER, 5000, OWN],
  [dcc(`SEND f ${OWN} 0 10 7`), DCC_OFFER, 0, OWN, true],
  [dcc(`SEND f ${OWN} 0`), DCC_OFFER, 0, OWN, false],
  [dcc("RESUME f 5000 100"), DCC_PORT, 5000],
  [dcc('ACCEPT "my file" 5000 100'), DCC_PORT, 5000],
  ["privmsg x :\x01DCC SEND f 1 2\n", DCC_OFFER, 2, "1"],
  [dcc(`SEND my file ${OWN} 5000`), DCC_NONE],
  [dcc(`SEND f ${OWN} 65536`), DCC_NONE],
  [dcc("SEND f 4294967296 1"), DCC_NONE],
  [dcc(`SEND f ${OWN}x 5000`), DCC_NONE],
  [dcc(`SEND "f ${OWN} 5000`), DCC_NONE],
  [dcc("send f 1 2"), DCC_NONE],
  ["NOTICE x :\x01DCC SEND f 1 2\x01\n", DCC_NONE],
  ["PRIVMSG x :hello :\x01DCC SEND f 1 2\x01\n", DCC_NONE],
  [":a PRIVMSG x :\x01DCC SEND f 1 2\x01\n", DCC_NONE],
  ["\r\n", DCC_NONE],
  ["\n", DCC_NONE],
];

Deno.test("DccLine reads offers and words about them, and knows what may still become one", () => {
  const line = new DccLine();
  const read = (said: string, prefix = false) => {
    const bytes = kit.payloadBytes(said);
    return line.read(bytes, 0, bytes.length, prefix);
  };
  for (const [said, kind, port, address, passive] of LINES) {
    assertEquals(read(said), kind, said);
    if (port !== undefined) assertEquals(line.port, port, said);
    if (address !== undefined) assertEquals(String(line.address >>> 0), address, said);
    if (passive !== undefined) assertEquals(line.passive, passive, said);
    if (kind !== DCC_NONE) {
      for (let n = 1; n < said.length; n++) {
        assertEquals(read(said.slice(0, n)), DCC_PARTIAL, said.slice(0, n));
      }
    }
  }
  for (const part of ["", " ", "NICK", "PRIVMSG x :h", "PRIVMSG x :\x01DCC SEX"]) {
    assertEquals(read(part), DCC_NONE, part);
  }
  assertEquals(read(`:nick!u@h ${dcc("RESUME f 5000 1")}`, true), DCC_PORT);
  assertEquals(line.port, 5000);
});

Deno.test("conntrackIrc reads every line, and file names in quotes, when it is not strict (C06, C07)", () => {
  const s = chat({ maxDccChannels: 8 });
  const lines = "PING x\r\n" + dcc(`SEND "my file" ${OWN} 5000`) + dcc(`CHAT chat ${OWN} 5001`);
  assertEquals(s.fromClient(lines).payload, lines);
  assertEquals(expectations(s.lab).map((e) => e.slice(-4)).sort(), ["5000", "5001"]);
  const t = chatNat();
  const told = "PING x\r\n" + dcc(`SEND "my file" ${PUBLIC} 5000`);
  assertEquals(t.fromClient("PING x\r\n" + dcc(`SEND "my file" ${OWN} 5000`)).payload, told);
  t.fromServer("ok\r\n");
  t.fromClient("PING\r\n");
});

Deno.test("conntrackIrc does not call a passive offer forged, and believes the answer to one (C08)", () => {
  const s = chat();
  s.fromClient(dcc(`SEND f ${OWN} 0 1024 7`));
  assertEquals([expectations(s.lab), s.lab.log], [[], []]);
  s.fromClient(dcc(`SEND f ${OWN} 5000 1024 7`));
  assertEquals(expectations(s.lab), [`src=0.0.0.0 dst=${C} sport=0 dport=5000`]);
  s.fromClient(dcc(`SEND f ${OTHER} 5000`));
  s.fromClient(dcc(`SEND f ${OWN} 0`));
  assertEquals(s.lab.log.length, 2);
});

/** What the server gets of a segment that begins `before` characters into what the client has said, and where. */
function again(s: Control, all: string, from: number, to = all.length): [payload: string, seq: number] {
  const { iface, bytes, reason } = s.tryClient(all.slice(from, to), 1001 + "USER x\r\n".length + from);
  assert(iface >= 0, reason);
  const { payload, seq, errors } = kit.parse(bytes);
  assertEquals(errors, []);
  return [String.fromCharCode(...payload), seq! - 1001 - "USER x\r\n".length];
}

Deno.test("irc rewrites every offer of a segment, and each once however it is cut when it is sent again", () => {
  const said = ["PING a\r\n", dcc(`SEND f ${OWN} 5000`), dcc(`CHAT chat ${OWN} 5001`), "PING b\r\n"];
  said.push(dcc(`SEND "a file" ${OWN} 5002`));
  const all = said.join(""), told = all.replaceAll(OWN, PUBLIC);
  assertNotEquals(OWN.length, PUBLIC.length);
  const before = (lines: number, text = said) => text.slice(0, lines).join("").length;
  const seen = (lines: number) => before(lines, said.map((line) => line.replaceAll(OWN, PUBLIC)));
  const copies = (t: Control) => {
    for (let from = 0; from < said.length; from++) {
      for (let to = from + 1; to <= said.length; to++) {
        const [payload, seq] = again(t, all, before(from), before(to));
        assertEquals(
          [payload, seq],
          [told.slice(seen(from), seen(to)), seen(from)],
          `lines ${from} to ${to}`,
        );
      }
    }
    t.clientSeq += all.length;
    t.seenClientSeq += told.length;
    t.fromServer("ok\r\n");
    t.fromClient("PING c\r\n");
  };
  const whole = chatNat();
  assertEquals(again(whole, all, 0), [told, 0]);
  assertEquals(expectations(whole.lab).map((e) => e.slice(-4)).sort(), ["5000", "5001", "5002"]);
  copies(whole);
  // The first time line by line, or two by two; then in any other way.
  for (const step of [1, 2, 3]) {
    const t = chatNat();
    for (let from = 0; from < said.length; from += step) {
      const [payload, seq] = again(t, all, before(from), before(Math.min(from + step, said.length)));
      assertEquals([payload, seq], [
        told.slice(seen(from), seen(Math.min(from + step, said.length))),
        seen(from),
      ]);
    }
    copies(t);
  }
});

Deno.test("irc puts an offer together that is cut anywhere (C13)", () => {
  const line = dcc(`SEND f ${OWN} 5000`), told = dcc(`SEND f ${PUBLIC} 5000`);
  for (let cut = 1; cut < line.length; cut++) {
    const s = chat();
    inParts(s, line, [cut]);
    assertEquals(expectations(s.lab), [`src=0.0.0.0 dst=${C} sport=0 dport=5000`], `cut at ${cut}`);
    const t = chatNat();
    assertEquals(inParts(t, line, [cut]), ["helper-partial", told], `cut at ${cut}`);
    t.clientSeq += line.length;
    t.seenClientSeq += told.length;
    t.fromServer("ok\r\n");
    t.fromClient("PING\r\n");
  }
});

Deno.test("irc holds nothing back that cannot become an offer", () => {
  const t = chatNat();
  for (const part of ["NICK a", "PRIVMSG x :hello", " ", "\r", "PONG"]) {
    assertEquals(result(t.tryClient(part)), part);
  }
});

Deno.test("irc gives RESUME and ACCEPT the port that each side knows", () => {
  const l = new Lab({ helpers: [irc({ strict: false })], rules: masquerade });
  const a = new Control(l, { dport: 6667 }).open();
  const b = new Control(l, { dport: 6667, client: "10.0.0.3", sport: 40001 }).open();
  a.fromClient(dcc(`SEND f ${OWN} 999`));
  const told = Number(b.fromClient(dcc(`SEND f ${OTHER} 999`)).payload.match(/ (\d+)\W+$/)![1]);
  assertNotEquals(told, 999);
  const resume = (port: number) => `:you!u@h ${dcc(`RESUME f ${port} 100`)}`;
  assertEquals(b.fromServer(resume(told)).payload, resume(999));
  assertEquals(b.fromClient(dcc("ACCEPT f 999 100")).payload, dcc(`ACCEPT f ${told} 100`));
  assertEquals(b.fromServer(resume(12)).payload, resume(12));
  assertEquals(a.fromServer(resume(999)).payload, resume(999));
  assertEquals(a.fromClient(dcc("ACCEPT f 999 100")).payload, dcc("ACCEPT f 999 100"));
  b.fromServer("ok\r\n");
  b.fromClient("PING\r\n");
});

Deno.test("nothing that is cut or mangled makes an exception or opens another's address", () => {
  const random = kit.seeded(5), pick = (n: number) => (random.next() >>> 0) % n;
  const lines = [...LINES.map(([line]) => line), "PORT 10,0,0,2,19,136\r\n", "EPRT |1|10.0.0.2|5000|\r\n"];
  for (const s of [chat(), chatNat(), plain(), translated()]) {
    let seq = s.clientSeq;
    for (let i = 0; i < 4000; i++) {
      const chars = [...lines[pick(lines.length)]];
      for (let n = pick(3); n > 0; n--) {
        chars.splice(pick(chars.length + 1), pick(2), String.fromCharCode(random.next() & 0xff));
      }
      const said = chars.join("").slice(0, pick(8) === 0 ? pick(chars.length + 1) : undefined);
      s.tryClient(said, seq);
      if (pick(3) !== 0) seq = (seq + said.length) | 0;
      for (const e of expectations(s.lab)) assert(e.includes(` dst=${C} `) || e.includes(` dst=${M} `), e);
    }
    assertEquals(s.lab.log.filter((line) => line.includes("helper failed")), []);
  }
});

// ── Amanda ──────────────────────────────────────────────────────────────────────────────────────────────────────

Deno.test("amanda leaves alone what is not a port when it is asked to", () => {
  const reply = "Amanda 3.5 REP\nCONNECT DATA 50032 MESG 499999 INDEX 500000 STATE 65536\n";
  const said = (portsOnly: boolean) => {
    const lab = new HelperLab({ helpers: [amanda({ portsOnly })], nat: "destination" });
    // Two backup clients behind one address, which name the same numbers.
    const talks = [10080, 10080].map((port) => lab.connect({ port, protocol: "udp" }));
    for (const talk of talks) talk.client("REQ\n");
    return [lab, ...talks.map((talk) => talk.server(reply))] as const;
  };
  const [linux, , second] = said(false);
  assertEquals(linux.expectations().length > 2, true);
  assert(!second.includes("MESG 499999"), second);
  const [lab, first, other] = said(true);
  assertEquals(first, reply);
  assert(/^Amanda 3\.5 REP\nCONNECT DATA 5\d{4} MESG 499999 INDEX 500000 STATE 65536\n$/.test(other), other);
  assertEquals(lab.expectations().length, 2);
});

Deno.test("the offers of a server stay unread", () => {
  // Also those that name the client: whoever writes to it could open a way to it.
  for (const address of ["3325256711", OWN, PUBLIC]) {
    for (const t of [chat(), chatNat()]) {
      const line = `:x!u@h ${dcc(`SEND f ${address} 5000`)}`;
      assertEquals(t.fromServer(line).payload, line);
      assertEquals(expectations(t.lab), []);
    }
  }
});
