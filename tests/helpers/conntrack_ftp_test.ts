import { assertEquals } from "@std/assert";
import { CT_HELP } from "../../src/conntrack/flow.ts";
import { conntrackFtp, ftp } from "../../src/helpers/mod.ts";
import { ESTABLISHED, NEW, RELATED } from "../../src/netfilter.ts";
import { Lab, LAN, WAN } from "../nat/lab.ts";
import { Control, expectations, result } from "./control.ts";
import { assertMistake } from "./mistakes.ts";

const S = "198.51.100.7";
/** Without NAT the server sees the client itself. */
const bare = { seenClient: "10.0.0.2" };
const lab = (o = {}) => new Lab({ helpers: [conntrackFtp(o)] });

Deno.test("conntrackFtp finds PORT, and the server's SYN is RELATED, once (F01)", () => {
  const s = new Control(lab(), bare).open();
  assertEquals(s.fromClient("PORT 10,0,0,2,7,208\r\n").payload, "PORT 10,0,0,2,7,208\r\n");
  assertEquals(expectations(s.lab), [`src=${S} dst=10.0.0.2 sport=0 dport=2000`]);
  assertEquals(s.serverDials(2000).ctinfo, RELATED);
  assertEquals(expectations(s.lab), []);
  assertEquals(s.serverDials(2000, 21).ctinfo, NEW);
});

Deno.test("conntrackFtp finds 227 and 229, and the client's SYN is RELATED (F02)", () => {
  const s = new Control(lab(), bare).open();
  s.fromServer("227 Entering Passive Mode (198,51,100,7,7,208).\r\n");
  assertEquals(expectations(s.lab), [`src=10.0.0.2 dst=${S} sport=0 dport=2000`]);
  assertEquals(s.clientDials(2000).ctinfo, RELATED);
  s.fromServer("229 Entering Extended Passive Mode (|||2001|)\r\n");
  assertEquals(expectations(s.lab), [`src=10.0.0.2 dst=${S} sport=0 dport=2001`]);
  assertEquals(s.clientDials(2001, 40002).ctinfo, RELATED);
});

Deno.test("conntrackFtp finds EPRT and 229 over IPv6", () => {
  const six = { client: "2001:db8:1::2", server: "2001:db8:9::7", seenClient: "2001:db8:1::2" };
  const s = new Control(lab(), six).open();
  s.fromClient("EPRT |2|2001:DB8:1:0::2|2000|\r\n");
  assertEquals(expectations(s.lab), ["src=2001:db8:9::7 dst=2001:db8:1::2 sport=0 dport=2000"]);
  assertEquals(s.serverDials(2000).ctinfo, RELATED);
  s.fromServer("229 x (|||2001|)\r\n");
  assertEquals(s.clientDials(2001).ctinfo, RELATED);
});

Deno.test("conntrackFtp ignores connections to ports that are not its own (F03, F04)", () => {
  const without = new Control(new Lab(), bare).open();
  without.fromClient("PORT 10,0,0,2,7,208\r\n");
  assertEquals(without.serverDials(2000).ctinfo, NEW);
  const l = lab({ ports: [2121] });
  const there = new Control(l, { ...bare, dport: 2121 }).open();
  const elsewhere = new Control(l, { ...bare, sport: 40009 }).open();
  elsewhere.fromClient("PORT 10,0,0,2,7,209\r\n");
  assertEquals(expectations(l), []);
  there.fromClient("PORT 10,0,0,2,7,208\r\n");
  assertEquals(expectations(l).length, 1);
  assertEquals(l.list().filter((line) => line.includes("helper=ftp-2121")).length, 1);
});

Deno.test("conntrackFtp is named after its port, serves both families and allows one expectation", () => {
  assertEquals(conntrackFtp().name, "ftp");
  assertEquals(conntrackFtp({ ports: [2121] }).name, "ftp-2121");
  assertEquals(conntrackFtp({ ports: [21, 2121] }).name, "ftp");
  const helper = ftp();
  assertEquals([helper.protocol, helper.families, helper.ports, helper.autoAssign], [6, [4, 6], [21], true]);
  assertEquals(helper.policies.map((p) => [p.maxExpected, p.timeout]), [[1, 300]]);
  assertEquals(ftp({ autoAssign: false }).autoAssign, false);
  for (const ports of [[], [0], [65536], [1.5], [1, 2, 3, 4, 5, 6, 7, 8, 9]]) {
    assertMistake(ftp({ ports }), "ports");
  }
});

Deno.test("conntrackFtp does not read the first data of a direction", () => {
  const s = new Control(lab(), bare);
  s.open();
  const other = new Control(s.lab, { ...bare, sport: 40010 });
  // As `open`, but the first thing the client says is PORT.
  const send = (side: number, bytes: Uint8Array) => s.lab.pass(side, bytes);
  send(LAN, other.clientSegment("")); // picked up in the middle
  send(WAN, other.serverSegment(""));
  send(LAN, other.clientSegment("PORT 10,0,0,2,7,208\r\n"));
  assertEquals(expectations(s.lab), []);
});

Deno.test("conntrackFtp drops a command that is there but not whole, until it comes in one piece (F15)", () => {
  const s = new Control(lab(), bare).open();
  for (const part of ["PORT 10,0,0,2,7", "PO", "P", "PORT 10,0,0\r\n", "PORT 10,0,0,2,7,208"]) {
    assertEquals(result(s.tryClient(part)), "helper-partial", part);
  }
  assertEquals(s.lab.log.at(-1), "nf_ct_ftp: dropping packet: partial matching of `PORT'");
  s.fromClient("PORT 10,0,0,2,7,208\r\n");
  assertEquals(expectations(s.lab).length, 1);
});

Deno.test("conntrackFtp reads only segments that begin a line (F16)", () => {
  const s = new Control(lab(), bare).open();
  assertEquals(s.tryClient("PORT 10,0,0,2,7,208\r\n", s.clientSeq + 10).iface, WAN);
  assertEquals(expectations(s.lab), []);
  s.fromClient("NOOP"); // no line end
  s.fromClient("PORT 10,0,0,2,7,208\r\n");
  assertEquals(expectations(s.lab), []);
});

Deno.test("conntrackFtp expects nothing at an address that is not the announcer's (F17, F18, X01)", () => {
  const s = new Control(lab(), bare).open();
  for (
    const command of [
      "PORT 10,0,0,3,7,208\r\n",
      `PORT ${S.replaceAll(".", ",")},7,208\r\n`,
      "EPRT |1|10.0.0.3|22|\r\n",
    ]
  ) {
    s.fromClient(command);
    assertEquals(expectations(s.lab), [], command);
  }
  for (const reply of ["227 x (192,0,2,9,0,22)\r\n", "227 x (10,0,0,9,0,22)\r\n"]) {
    s.fromServer(reply);
    assertEquals(expectations(s.lab), [], reply);
  }
});

Deno.test("conntrackFtp with loose believes another address", () => {
  const s = new Control(lab({ loose: true }), bare).open();
  s.fromServer("227 x (192,0,2,9,7,208)\r\n");
  assertEquals(expectations(s.lab), ["src=10.0.0.2 dst=192.0.2.9 sport=0 dport=2000"]);
  s.fromClient("PORT 10,0,0,3,7,209\r\n");
  assertEquals(expectations(s.lab), [`src=${S} dst=10.0.0.3 sport=0 dport=2001`]);
});

Deno.test("conntrackFtp keeps one expectation: each replaces the former (F30)", () => {
  const s = new Control(lab(), bare).open();
  s.fromClient("PORT 10,0,0,2,7,208\r\n");
  s.fromServer("227 x (198,51,100,7,7,209)\r\n");
  assertEquals(expectations(s.lab), [`src=10.0.0.2 dst=${S} sport=0 dport=2001`]);
  s.fromServer("229 x (|||2002|)\r\n");
  assertEquals(expectations(s.lab), [`src=10.0.0.2 dst=${S} sport=0 dport=2002`]);
});

Deno.test("conntrackFtp's expectation lives 300 s and no longer than its master (F28)", () => {
  const s = new Control(lab(), bare).open();
  s.fromClient("PORT 10,0,0,2,7,208\r\n");
  s.lab.clock.advance(299_000);
  s.fromServer("200 ok\r\n");
  assertEquals(expectations(s.lab).length, 1);
  s.lab.clock.advance(2_000);
  assertEquals(s.serverDials(2000).ctinfo, NEW);
  s.fromClient("PORT 10,0,0,2,7,209\r\n");
  assertEquals(expectations(s.lab), [`src=${S} dst=10.0.0.2 sport=0 dport=2001`]);
  const master = s.lab.list().findIndex((line) => line.includes("dport=21 "));
  s.lab.conntrack.delete(s.lab.flows()[master]);
  assertEquals(expectations(s.lab), []);
});

Deno.test("conntrackFtp remembers two line ends per direction, the later ones", () => {
  const s = new Control(lab(), bare).open();
  const w = s.lab.conntrack.flows.words, at = s.lab.conntrack.flows.side(s.lab.flows()[0]) + CT_HELP;
  s.fromClient("NOOP\r\n");
  s.fromClient("NOOP\r\n");
  assertEquals([w[at] & 0xff, w[at] >> 8 & 0xff], [2, 1]);
  assertEquals([w[at + 1], w[at + 2]].sort(), [s.clientSeq - 6, s.clientSeq]);
  // An old segment again: its position is known and stays; an older one is not taken.
  s.tryClient("USER x\r\n", 1001);
  assertEquals([w[at + 1], w[at + 2]].sort(), [s.clientSeq - 6, s.clientSeq]);
});

Deno.test("conntrackFtp leaves ESTABLISHED packets without payload alone", () => {
  const s = new Control(lab(), bare).open();
  const o = s.tryClient("");
  assertEquals([o.iface, o.ctinfo], [WAN, ESTABLISHED]);
});
