import { assertEquals } from "@std/assert";
import { seqadjSet, seqAdjust } from "../../src/conntrack/seqadj.ts";
import { CT_STATUS, FLOW_WORDS, IPS_SEQ_ADJUST } from "../../src/conntrack/flow.ts";
import { ESTABLISHED, ESTABLISHED_REPLY, Reason } from "../../src/netfilter.ts";
import { pseudoSum, verifyTransport } from "../../src/packet/checksum.ts";
import { parse } from "../../src/packet/parse.ts";
import { icmpError, load, tcp, type TcpOption, type TcpOptions } from "../kit/mod.ts";
import { Rig, seqOffset } from "./rig.ts";

const C = "192.0.2.2", S = "198.51.100.7";
const A = 1000, B = 9000;
const c = (seq: number, ack: number, o: Partial<TcpOptions> = {}) =>
  tcp({ src: C, sport: 40000, dst: S, dport: 21, flags: "PA", seq, ack, ...o });
const s = (seq: number, ack: number, o: Partial<TcpOptions> = {}) =>
  tcp({ src: S, sport: 21, dst: C, dport: 40000, flags: "PA", seq, ack, ...o });

function opened(): [Rig, number] {
  const rig = new Rig(), sack: TcpOption = { sackPermitted: true };
  rig.send(c(A, 0, { flags: "S", options: [sack] }));
  rig.send(s(B, A + 1, { flags: "SA", options: [sack] }));
  rig.send(c(A + 1, B + 1, { flags: "A" }));
  return [rig, rig.p.ct];
}

/** Sequence and acknowledgement number of the last packet as it left. */
function left(rig: Rig): [number, number] {
  const view = new DataView(rig.sent.buffer, rig.sent.byteOffset);
  assertEquals(verifyTransport(rig.p), true, "the checksum followed");
  return [view.getUint32(24), view.getUint32(28)];
}

Deno.test("F05 a longer payload moves what follows, and the answers back", () => {
  const [rig, ct] = opened();
  rig.send(c(A + 1, B + 1, { payload: 20 }));
  seqadjSet(rig.conntrack.flows, ct, ESTABLISHED, A + 1, 3);
  assertEquals(rig.send(c(A + 1, B + 1, { payload: 20 })), "ESTABLISHED");
  assertEquals(left(rig), [A + 1, B + 1], "the segment itself is where it was");
  assertEquals(rig.send(s(B + 1, A + 24, { payload: 10 })), "ESTABLISHED");
  assertEquals(left(rig), [B + 1, A + 21]);
  assertEquals(rig.send(c(A + 21, B + 11, { payload: 5 })), "ESTABLISHED");
  assertEquals(left(rig), [A + 24, B + 11]);
  assertEquals(rig.brief(), "tcp 300 ESTABLISHED [ASSURED]");
});

Deno.test("F07 the same segment sent again is not counted twice", () => {
  const [rig, ct] = opened();
  seqadjSet(rig.conntrack.flows, ct, ESTABLISHED, A + 1, 3);
  seqadjSet(rig.conntrack.flows, ct, ESTABLISHED, A + 1, 3);
  seqadjSet(rig.conntrack.flows, ct, ESTABLISHED, A + 1, 0);
  assertEquals(seqOffset(rig.conntrack.flows, ct, 0, A + 2), 3);
  assertEquals(seqOffset(rig.conntrack.flows, ct, 0, A + 1), 0);
  assertEquals(seqOffset(rig.conntrack.flows, ct, 1, B + 99), 0);
});

Deno.test("F06 F10 corrections add up, growing and shrinking", () => {
  const [rig, ct] = opened(), w = rig.conntrack.flows.words;
  const at = (seq: number) => seqOffset(rig.conntrack.flows, ct, 0, seq);
  seqadjSet(rig.conntrack.flows, ct, ESTABLISHED, 100, 3);
  seqadjSet(rig.conntrack.flows, ct, ESTABLISHED, 200, 3);
  assertEquals([at(150), at(200), at(201)], [3, 3, 6]);
  seqadjSet(rig.conntrack.flows, ct, ESTABLISHED, 300, -8);
  assertEquals([at(250), at(301)], [6, -2]);
  assertEquals(w[ct * FLOW_WORDS + CT_STATUS] & IPS_SEQ_ADJUST, IPS_SEQ_ADJUST);
});

Deno.test("positions and offsets wrap with the sequence numbers", () => {
  const [rig, ct] = opened();
  seqadjSet(rig.conntrack.flows, ct, ESTABLISHED_REPLY, 0xfffffff0 | 0, 5);
  assertEquals(seqOffset(rig.conntrack.flows, ct, 1, 0xffffffef | 0), 0);
  assertEquals(seqOffset(rig.conntrack.flows, ct, 1, 3), 5);
});

for (const nops of [2, 1]) {
  Deno.test(`SACK blocks are moved back, ${nops === 2 ? "even" : "odd"} offsets`, () => {
    const [rig, ct] = opened();
    seqadjSet(rig.conntrack.flows, ct, ESTABLISHED, A + 1, 3);
    const options: TcpOption[] = [
      ...new Array(nops).fill({ nop: true }),
      { sack: [[A + 30, A + 40], [A, A + 1]] },
    ];
    load(rig.p, s(B + 1, A + 24, { options }));
    assertEquals(parse(rig.p), 0);
    assertEquals(seqAdjust(rig.conntrack.flows, rig.p, ct, ESTABLISHED_REPLY), true);
    const at = rig.p.l4 + 20 + nops + 2;
    const edges = [0, 4, 8, 12].map((i) => rig.p.view.getUint32(at + i));
    assertEquals(edges, [A + 27, A + 37, A, A + 1]);
    assertEquals(verifyTransport(rig.p), true);
  });
}

Deno.test("a partial checksum is left to the device", () => {
  const [rig, ct] = opened(), p = rig.p;
  seqadjSet(rig.conntrack.flows, ct, ESTABLISHED, A + 1, 3);
  load(p, c(A + 21, B + 1, { payload: 10 }));
  assertEquals(parse(p), 0);
  p.partialChecksum = true;
  const sum = pseudoSum(p, 6, p.length - p.l4);
  p.view.setUint16(p.l4 + 16, sum);
  seqAdjust(rig.conntrack.flows, p, ct, ESTABLISHED);
  assertEquals([p.view.getUint32(p.l4 + 4), p.view.getUint16(p.l4 + 16)], [A + 24, sum]);
});

Deno.test("options that cannot be read drop the packet; an ICMP error is left alone", () => {
  const [rig, ct] = opened();
  seqadjSet(rig.conntrack.flows, ct, ESTABLISHED, A + 1, 3);
  // Longer than the header, shorter than itself, without a length.
  for (const raw of [[253, 40, 0, 0], [253, 1, 0, 0], [1, 1, 1, 253]]) {
    assertEquals(rig.send(c(A + 21, B + 1, { payload: 1, options: [{ raw }] })), "seqadj-failed");
    assertEquals(rig.p.reason, Reason["seqadj-failed"]);
  }
  const error = icmpError({ src: C, dst: S, type: 3, quoted: s(B + 1, A + 1) });
  assertEquals(rig.send(error), "RELATED");
  assertEquals(rig.sent, error);
});

Deno.test("window tracking counts in each sender's own numbers", () => {
  const [rig, ct] = opened();
  rig.send(c(A + 1, B + 1, { payload: 20 }));
  seqadjSet(rig.conntrack.flows, ct, ESTABLISHED, A + 1, 50_000);
  assertEquals(rig.send(s(B + 1, A + 21 + 50_000)), "ESTABLISHED", "acks the lengthened payload");
  assertEquals(rig.send(s(B + 1, A + 22 + 50_000)), "INVALID", "one byte more than was sent");
});
