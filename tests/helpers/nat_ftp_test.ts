import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { CT_MARK, FLOW_WORDS } from "../../src/conntrack/flow.ts";
import { ftp } from "../../src/helpers/mod.ts";
import { NatRange } from "../../src/nat/range.ts";
import { ACCEPT, POSTROUTING, PREROUTING, RELATED } from "../../src/netfilter.ts";
import { completeChecksum } from "../../src/packet/segment.ts";
import * as kit from "../kit/mod.ts";
import { Lab, LAN, masquerade, WAN, words } from "../nat/lab.ts";
import { Control, expectations, result, text } from "./control.ts";

const S = "198.51.100.7", M = "203.0.113.1";
const lab = () => new Lab({ helpers: [ftp()], rules: masquerade });
const six = { client: "2001:db8:1::2", server: "2001:db8:9::7", seenClient: "2001:db8:2::1" };

/** A line, what Linux 6.18.44 makes of it behind MASQUERADE, and the port it expects. */
type Recorded = [line: string, from: "client" | "server", out: string | null, port: number | null, v6?: true];
const V6_PUBLIC = "2001:0db8:0002:0000:0000:0000:0000:0001";
const RECORDED: Recorded[] = [
  ["PORT 10,0,0,2,7,208\r\n", "client", "PORT 203,0,113,1,7,208\r\n", 2000],
  ["port 10,0,0,2,7,208\r\n", "client", "port 203,0,113,1,7,208\r\n", 2000],
  ["PORT 10,0,0,2,256,22\r\n", "client", "PORT 203,0,113,1,0,22\r\n", 22],
  ["PORT 10,0,0,258,4,1\r\n", "client", "PORT 10,0,0,258,4,1\r\n", null],
  ["PORT 10,0,0,2,0,0\r\n", "client", null, 0],
  ["PORT 10,0,0,2,,\r\n", "client", null, 0],
  ["PORT 10,0,0,2,0000000007,208\r\n", "client", "PORT 203,0,113,1,7,208\r\n", 2000],
  ["PORT 10,0,0,2,4294967303,208\r\n", "client", "PORT 203,0,113,1,7,208\r\n", 2000],
  ["port   10,0,0,2,7,208\r\n", "client", null, null],
  ["PORTX 10,0,0,2,7,208\r\n", "client", "PORTX 203,0,113,1,7,208\r\n", 2000],
  ["PORT10,0,0,2,7,208\r\n", "client", null, null],
  ["PORT 10,0,0,2,7,208\n", "client", null, null],
  ["PORT 10,0,0,2,7,208\0\r\n", "client", null, null],
  ["EPRT |1|10.0.0.2|2000|\r\n", "client", "EPRT |1|203.0.113.1|2000|\r\n", 2000],
  ["EPRT !1!10.0.0.2!2000!\r\n", "client", "EPRT |1|203.0.113.1|2000|\r\n", 2000],
  ["EPRT a1a10.0.0.2a2000a\r\n", "client", "EPRT |1|203.0.113.1|2000|\r\n", 2000],
  ["EPRT |1|10.0.0.2|70000|\r\n", "client", "EPRT |1|203.0.113.1|4464|\r\n", 4464],
  ["EPRT |1|10.0.0.2|65536|\r\n", "client", null, null],
  ["EPRT |1|10.0.0.2|0|\r\n", "client", null, null],
  ["EPRT |1|10.0.0.2||\r\n", "client", null, null],
  ["EPRT |1|10.0.0.258|2000|\r\n", "client", "EPRT |1|10.0.0.258|2000|\r\n", null],
  ["EPRT |2|::1|2000|\r\n", "client", null, null],
  ["EPRT .1.10.0.0.2.2000.\r\n", "client", null, null],
  ["EPRT 1110.0.0.212000\r\n", "client", null, null],
  ["229 ok (|||2000|)\r\n", "server", "229 ok (|||2000|)\r\n", 2000],
  ["229 ok (|||70000|)\r\n", "server", "229 ok (|||4464|)\r\n", 4464],
  ["229 ok (|||0|)\r\n", "server", null, null],
  ["229 ok (!!!2000!)\r\n", "server", "229 ok (|||2000|)\r\n", 2000],
  ["229 ok |||2000|\r\n", "server", null, null],
  ["229 ok (|||20", "server", null, null],
  ["227 (198,51,100,7,7,208)\r\n", "server", "227 (198,51,100,7,7,208)\r\n", 2000],
  ["227 =198,51,100,7,7,208\r\n", "server", "227 =198,51,100,7,7,208\r\n", 2000],
  ["227 198,51,100,7,7,208\r\n", "server", "227 198,51,100,7,7,208\r\n", 2000],
  ["227 198,51,100,7,7,208", "server", null, null],
  ["227 ok 1 (198,51,100,7,7,208)\r\n", "server", null, null],
  ["227-foo\r\n", "server", "227-foo\r\n", null],
  ["227 (198,51,100,7,7,300)\r\n", "server", "227 (198,51,100,7,7,44)\r\n", 1836],
  ["227 \r\n", "server", null, null],
  ["227 ", "server", null, null],
  ["22", "server", null, null],
  ["2", "server", null, null],
  ["3", "server", "3", null],
  ["P", "client", null, null],
  ["Q", "client", "Q", null],
  ["PORT", "client", null, null],
  ["PORT ", "client", null, null],
  ["EPR", "client", null, null],
  ["EPRT |2|2001:db8:1::2|2000|\r\n", "client", `EPRT |2|${V6_PUBLIC}|2000|\r\n`, 2000, true],
  ["EPRT |2|2001:0db8:1:0:0:0:0:2|2000|\r\n", "client", `EPRT |2|${V6_PUBLIC}|2000|\r\n`, 2000, true],
  ["EPRT |2|2001:db8:1::0.0.0.2|2000|\r\n", "client", `EPRT |2|${V6_PUBLIC}|2000|\r\n`, 2000, true],
  ["EPRT |2|2001:db8:1::0.0.0.2:2000|\r\n", "client", `EPRT |2|${V6_PUBLIC}|2000|\r\n`, 2000, true],
  ["EPRT |2|2001:db8:1::2\x002000|\r\n", "client", `EPRT |2|${V6_PUBLIC}|2000|\r\n`, 2000, true],
  ["EPRT |2|2001:db8:1:0:0:0:0:0:2|2000|\r\n", "client", null, null, true],
  ["EPRT |2|000002001:db8:1::2|2000|\r\n", "client", `EPRT |2|${V6_PUBLIC}|2000|\r\n`, 2000, true],
  ["EPRT |2|2001:db8:1:::2|2000|\r\n", "client", null, null, true],
  ["EPRT |2|2001:db8:1::2:|2000|\r\n", "client", null, null, true],
  ["EPRT |2|2001:db8:1::3|2000|\r\n", "client", "EPRT |2|2001:db8:1::3|2000|\r\n", null, true],
  ["EPRT |1|10.0.0.2|2000|\r\n", "client", null, null, true],
  ["PORT 32,1,13,184,7,208\r\n", "client", "PORT 32,1,13,184,7,208\r\n", 2000, true],
  ["229 ok (|||2000|)\r\n", "server", "229 ok (|||2000|)\r\n", 2000, true],
];

Deno.test("ftp reads and writes every line as Linux does (F12, F15, F22, F23, F24)", () => {
  for (const [line, from, out, port, v6] of RECORDED) {
    const s = new Control(lab(), v6 ? six : {}).open();
    const o = from === "client" ? s.tryClient(line) : s.tryServer(line);
    if (out === null) assertEquals(o.iface, -1, line);
    else assertEquals(result(o), out, line);
    const ports = expectations(s.lab).map((e) => Number(e.match(/dport=(\d+)/)![1]));
    assertEquals(ports, port === null ? [] : [port], line);
  }
});

Deno.test("ftp rewrites PORT, expects at the public address, and the data connection reaches the client", () => {
  const s = new Control(lab()).open();
  assertEquals(s.fromClient("PORT 10,0,0,2,7,208\r\n").payload, "PORT 203,0,113,1,7,208\r\n");
  assertEquals(expectations(s.lab), [`src=${S} dst=${M} sport=0 dport=2000`]);
  const o = s.serverDials(2000);
  const syn = kit.parse(o.bytes);
  assertEquals([o.iface, o.ctinfo], [LAN, RELATED]);
  assertEquals([syn.src, syn.sport, syn.dst, syn.dport], [S, 20, "10.0.0.2", 2000]);
  const back = kit.tcp({ src: "10.0.0.2", dst: S, sport: 2000, dport: 20, flags: "SA", seq: 1, ack: 2 });
  const answer = kit.parse(s.lab.pass(LAN, back));
  assertEquals([answer.src, answer.sport], [M, 2000]);
});

Deno.test("ftp adjusts sequence numbers behind a PORT that grew, in both directions (F05, F06)", () => {
  const s = new Control(lab()).open();
  s.fromClient("PORT 10,0,0,2,7,208\r\n");
  assertEquals(s.seenClientSeq - s.clientSeq, 3);
  s.fromServer("200 PORT ok\r\n");
  s.fromClient("PORT 10,0,0,2,7,209\r\n");
  assertEquals(s.seenClientSeq - s.clientSeq, 6);
  s.fromServer("200 PORT ok\r\n");
  s.fromClient("LIST\r\n");
  s.fromServer("150 here\r\n");
});

Deno.test("ftp mangles a retransmitted PORT to the same bytes and counts it once (F07)", () => {
  const s = new Control(lab()).open();
  const seq = s.clientSeq, seenServerSeq = s.seenServerSeq;
  const first = s.fromClient("PORT 10,0,0,2,7,208\r\n");
  s.seenServerSeq = seenServerSeq;
  const again = kit.parse(s.tryClient("PORT 10,0,0,2,7,208\r\n", seq).bytes);
  assertEquals([text(again.payload), again.seq], [first.payload, first.seq]);
  assertEquals(expectations(s.lab).length, 1);
  s.fromClient("LIST\r\n");
  assertEquals(s.seenClientSeq - s.clientSeq, 3);
});

Deno.test("ftp shrinks a PORT for a shorter address (F10)", () => {
  const to = new NatRange().addresses(words("9.9.9.9"));
  const l = new Lab({
    helpers: [ftp()],
    rules: (nat, p) => p.hook === POSTROUTING ? nat.snat(p, to) : ACCEPT,
  });
  const s = new Control(l, { seenClient: "9.9.9.9" }).open();
  assertEquals(s.fromClient("PORT 10,0,0,2,7,208\r\n").payload, "PORT 9,9,9,9,7,208\r\n");
  s.fromServer("200 ok\r\n");
  s.fromClient("LIST\r\n");
  assertEquals(s.seenClientSeq - s.clientSeq, -1);
});

Deno.test("ftp leaves a PORT for another host as it is (F17)", () => {
  const s = new Control(lab()).open();
  for (
    const line of ["PORT 10,0,0,3,7,208\r\n", "PORT 198,51,100,7,7,208\r\n", "PORT 203,0,113,1,7,208\r\n"]
  ) {
    assertEquals(s.fromClient(line).payload, line);
  }
  assertEquals(expectations(s.lab), []);
});

Deno.test("two clients announce one port: the second gets another one written (F25)", () => {
  const l = lab();
  const a = new Control(l).open();
  const b = new Control(l, { client: "10.0.0.3", sport: 40001 }).open();
  a.fromClient("PORT 10,0,0,2,7,208\r\n");
  const line = b.fromClient("PORT 10,0,0,3,7,208\r\n").payload;
  const [, high, low] = line.match(/^PORT 203,0,113,1,(\d+),(\d+)\r\n$/)!;
  const port = Number(high) * 256 + Number(low);
  assertNotEquals(port, 2000);
  assert(port > 2000 && port < 65535);
  // Each data connection reaches its own client, at the port that it announced.
  const first = kit.parse(a.serverDials(2000).bytes), second = kit.parse(b.serverDials(port).bytes);
  assertEquals([first.dst, first.dport, second.dst, second.dport], ["10.0.0.2", 2000, "10.0.0.3", 2000]);
});

Deno.test("ftp drops the packet when no port is left", () => {
  const l = lab();
  new Control(l).open().fromClient("PORT 10,0,0,2,255,255\r\n");
  const b = new Control(l, { client: "10.0.0.3", sport: 40001 }).open();
  assertEquals(result(b.tryClient("PORT 10,0,0,3,255,255\r\n")), "helper-no-port");
  assertEquals(l.log.at(-1), "nf_ct_ftp: dropping packet: all ports in use");
  assertEquals(expectations(l).length, 1);
});

Deno.test("the data connection has the master's mark (F29)", () => {
  const s = new Control(lab()).open();
  const w = s.lab.conntrack.flows.words;
  w[s.lab.flows()[0] * FLOW_WORDS + CT_MARK] = 7;
  s.fromClient("PORT 10,0,0,2,7,208\r\n");
  s.serverDials(2000);
  assertEquals(s.lab.flows().map((ct) => w[ct * FLOW_WORDS + CT_MARK]), [7, 7]);
});

Deno.test("rules are not asked for the data connection of a translated master", () => {
  const s = new Control(lab()).open();
  s.fromClient("PORT 10,0,0,2,7,208\r\n");
  let asked = 0;
  s.lab.rules = () => {
    asked++;
    return ACCEPT;
  };
  s.serverDials(2000);
  assertEquals(asked, 0);
});

Deno.test("a server behind DNAT announces the public address (F31)", () => {
  const to = new NatRange().addresses(words("10.0.0.2"));
  const l = new Lab({
    helpers: [ftp()],
    rules: (nat, p) => p.hook === PREROUTING && p.inInterface === WAN ? nat.dnat(p, to) : ACCEPT,
  });
  const s = new Control(l, { side: WAN, client: S, seenClient: S, server: "10.0.0.2", seenServer: M }).open();
  assertEquals(s.fromServer("227 x (10,0,0,2,7,208)\r\n").payload, "227 x (203,0,113,1,7,208)\r\n");
  const o = s.clientDials(2000);
  const syn = kit.parse(o.bytes);
  assertEquals([o.iface, o.ctinfo, syn.dst, syn.dport], [LAN, RELATED, "10.0.0.2", 2000]);
  s.fromClient("LIST\r\n");
  assertEquals(s.fromServer("229 x (|||2001|)\r\n").payload, "229 x (|||2001|)\r\n");
  s.fromClient("NOOP\r\n");
});

Deno.test("padding behind the address stays where it is, whatever its length (F33)", () => {
  for (const length of [255, 256, 257, 261, 1400]) {
    const s = new Control(lab()).open();
    const command = "PORT 10,0,0,2,7,208\r";
    const padding = "x".repeat(length - command.length - 2) + "\r\n";
    assertEquals(s.fromClient(command + padding).payload, "PORT 203,0,113,1,7,208\r" + padding);
    s.fromServer("200 ok\r\n");
    s.fromClient("LIST\r\n");
  }
});

Deno.test("ftp works through NAT of IPv6, with the address written in full", () => {
  const s = new Control(lab(), six).open();
  const line = s.fromClient("EPRT |2|2001:db8:1::2|2000|\r\n").payload;
  assertEquals(line, `EPRT |2|${V6_PUBLIC}|2000|\r\n`);
  const o = s.serverDials(2000);
  const syn = kit.parse(o.bytes);
  assertEquals([o.iface, o.ctinfo, syn.dst, syn.dport, syn.errors], [
    LAN,
    RELATED,
    "2001:db8:1::2",
    2000,
    [],
  ]);
  s.fromServer("200 ok\r\n");
  s.fromClient("LIST\r\n");
});

Deno.test("SACK blocks over a corrected range follow", () => {
  const s = new Control(lab()).open();
  const start = s.clientSeq;
  s.fromClient("PORT 10,0,0,2,7,208\r\n");
  s.fromServer("200 ok\r\n");
  const lost = s.clientSeq;
  s.fromClient("NOOP\r\n");
  // The server has got the NOOP but not the PORT.
  const sack = [lost + 3, lost + 9] as const;
  const bytes = kit.tcp({
    src: S,
    dst: M,
    sport: 21,
    dport: s.sport,
    flags: "A",
    seq: s.serverSeq,
    ack: start,
    options: [{ nop: true }, { nop: true }, { sack: [sack] }],
  });
  const got = kit.parse(s.lab.pass(WAN, bytes));
  const options = [...got.tcpOptions!];
  assertEquals(got.errors, []);
  assertEquals(got.ack, start);
  assertEquals(options.slice(4), [...kit.be(lost, 4), ...kit.be(lost + 6, 4)]);
});

Deno.test("an offloaded segment is rewritten with its checksum left for the device", () => {
  const s = new Control(lab()).open();
  const bytes = s.clientSegment("PORT 10,0,0,2,7,208\r\n");
  const pseudo = ~kit.checksum(
    kit.pseudoHeader(kit.addressBytes(s.client), kit.addressBytes(S), 6, bytes.length - 20),
  ) & 0xffff;
  bytes[36] = pseudo >> 8;
  bytes[37] = pseudo & 255;
  const o = s.lab.send(LAN, bytes, (p) => p.partialChecksum = true);
  assertEquals(o.iface, WAN);
  const p = s.lab.packet;
  assert(p.partialChecksum);
  completeChecksum(p);
  const shown = kit.parse(kit.unload(p));
  assertEquals([shown.errors, text(shown.payload)], [[], "PORT 203,0,113,1,7,208\r\n"]);
});

Deno.test("odd lines make no exception and no expectation for a third address (L09)", () => {
  const s = new Control(lab()).open();
  const random = kit.seeded(7);
  const seeds = RECORDED.filter(([, , , , v6]) => !v6).map(([line, from]) => ({ line, from }));
  for (let i = 0; i < 30_000; i++) {
    const { line, from } = seeds[(random.next() >>> 0) % seeds.length];
    const chars = [...line];
    for (let n = (random.next() >>> 0) % 4; n > 0; n--) {
      const at = (random.next() >>> 0) % (chars.length + 1);
      const change = (random.next() >>> 0) % 3;
      if (change === 0) chars.splice(at, 1);
      else chars.splice(at, change - 1, String.fromCharCode(random.next() & 0xff));
    }
    const payload = chars.join("") || "x";
    if (from === "client") s.tryClient(payload);
    else s.tryServer(payload);
    for (const e of expectations(s.lab)) {
      assert(
        e.startsWith(`src=${S} dst=${M} `) || e.startsWith(`src=10.0.0.2 dst=${S} `),
        `${JSON.stringify(payload)}: ${e}`,
      );
    }
  }
});
