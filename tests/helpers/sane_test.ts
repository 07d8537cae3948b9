import { assertEquals } from "@std/assert";
import { sane } from "../../src/helpers/mod.ts";
import { NEW, RELATED } from "../../src/netfilter.ts";
import { be, concat } from "../kit/packets.ts";
import { Lab, masquerade } from "../nat/lab.ts";
import { Control, expectations, result, text } from "./control.ts";
import { assertMistake } from "./mistakes.ts";

const C = "10.0.0.2", S = "198.51.100.7";
const START = text(concat(be(7, 4), be(1, 4)));
/** status 0, zero, port, byte order and an empty name. */
const answer = (port: number, status = 0, zero = 0) =>
  text(concat(be(status, 4), be(zero, 2), be(port, 2), be(0x1234, 4), be(0, 4)));

const open = (o = {}, l = new Lab({ helpers: [sane()] })) =>
  new Control(l, { dport: 6566, seenClient: C, ...o }).open();

Deno.test("conntrackSane finds the answer to SANE_NET_START, and the client's connection is RELATED, once", () => {
  const s = open();
  s.fromClient(START);
  s.fromServer(answer(5000));
  assertEquals(expectations(s.lab), [`src=${C} dst=${S} sport=0 dport=5000`]);
  assertEquals(s.clientDials(5000).ctinfo, RELATED);
  assertEquals(s.clientDials(5000, 40009).ctinfo, NEW);
});

Deno.test("conntrackSane finds answers over IPv6", () => {
  const s = open({ client: "2001:db8:1::2", server: "2001:db8:9::7", seenClient: "2001:db8:1::2" });
  s.fromClient(START);
  s.fromServer(answer(5000));
  assertEquals(expectations(s.lab), ["src=2001:db8:1::2 dst=2001:db8:9::7 sport=0 dport=5000"]);
});

Deno.test("conntrackSane ignores answers to other requests, refusals and partial answers", () => {
  for (
    const [request, reply] of [
      [text(concat(be(8, 4), be(1, 4))), answer(5000)],
      [START + "x", answer(5000)],
      [START.slice(0, 7), answer(5000)],
      [START, answer(5000, 1)],
      [START, answer(5000, 0, 1)],
      [START, answer(5000).slice(0, 7)],
    ]
  ) {
    const s = open();
    s.fromClient(request);
    assertEquals(s.fromServer(reply).payload, reply);
    assertEquals(expectations(s.lab), []);
    s.fromServer(answer(5000)); // whatever it was, it was the answer
    assertEquals(expectations(s.lab), []);
  }
});

Deno.test("conntrackSane waits for the answer until another request of eight bytes comes", () => {
  const s = open();
  s.fromClient(START);
  s.fromClient("seven..");
  s.fromServer(answer(5000).slice(0, 8));
  assertEquals(expectations(s.lab).length, 1);
  s.fromClient(START);
  s.fromClient(text(concat(be(6, 4), be(1, 4))));
  s.fromServer(answer(5001));
  assertEquals(expectations(s.lab), [`src=${C} dst=${S} sport=0 dport=5000`]);
});

Deno.test("conntrackSane keeps one expectation for 300 s", () => {
  const s = open();
  for (const port of [5000, 5001]) {
    s.fromClient(START);
    s.fromServer(answer(port));
    assertEquals(expectations(s.lab), [`src=${C} dst=${S} sport=0 dport=${port}`]);
  }
  s.lab.clock.advance(299_900);
  s.fromClient("x");
  s.lab.clock.advance(200);
  assertEquals(s.clientDials(5001).ctinfo, NEW);
});

Deno.test("conntrackSane drops an answer that it cannot expect", () => {
  const l = new Lab({ helpers: [sane()] });
  const a = open({}, l), b = open({ sport: 40001 }, l);
  for (const s of [a, b]) s.fromClient(START);
  a.fromServer(answer(5000));
  assertEquals(result(b.tryServer(answer(5000))), "helper-expect-refused");
  assertEquals(l.log.at(-1), "nf_ct_sane: dropping packet: cannot add expectation");
  assertEquals(expectations(l).length, 1);
  const small = open({}, new Lab({ helpers: [sane()], expectations: 1 }));
  small.fromClient(START);
  small.fromServer(answer(5000));
  small.fromClient(START);
  assertEquals(result(small.tryServer(answer(5001))), "helper-expect-refused");
  assertEquals(small.lab.log.at(-1), "nf_ct_sane: dropping packet: cannot alloc expectation");
});

Deno.test("conntrackSane behind MASQUERADE needs no NAT half: the client dials, and rules translate it", () => {
  const l = new Lab({ helpers: [sane()], rules: masquerade });
  const s = new Control(l, { dport: 6566 }).open();
  s.fromClient(START);
  assertEquals(s.fromServer(answer(5000)).payload, answer(5000));
  assertEquals(expectations(l), [`src=${C} dst=${S} sport=0 dport=5000`]);
  const o = s.clientDials(5000);
  assertEquals(o.ctinfo, RELATED);
  assertEquals(l.list().filter((line) => line.includes("dst=203.0.113.1 sport=5000 ")).length, 1);
});

Deno.test("conntrackSane is named as in Linux and refuses options that make no sense", () => {
  const helper = sane();
  assertEquals([helper.name, helper.protocol, helper.families, helper.ports], ["sane", 6, [4, 6], [6566]]);
  assertEquals(sane({ ports: [7000] }).name, "sane-7000");
  assertEquals(sane({ ports: [7000, 6566], autoAssign: false }).name, "sane");
  assertEquals(helper.policies, [{ name: "sane", maxExpected: 1, timeout: 300 }]);
  for (const ports of [[], [0], [65536], [1.5], [7, 7], [1, 2, 3, 4, 5, 6, 7, 8, 9]]) {
    assertMistake(sane({ ports }), "ports");
  }
  for (const ports of [6566, ["6566"]]) assertMistake(sane({ ports } as never), "ports");
});
