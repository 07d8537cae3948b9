import { assertEquals } from "@std/assert";
import { CORRECTIONS } from "../../src/conntrack/corrections.ts";
import { CT_CORRECTIONS, SIDE_WORDS } from "../../src/conntrack/flow.ts";
import { acknowledgedOffset, seqadjSet } from "../../src/conntrack/seqadj.ts";
import { FlowTable } from "../../src/conntrack/table.ts";
import { ExpectTable } from "../../src/conntrack/expect.ts";
import { ESTABLISHED, ESTABLISHED_REPLY, ORIGINAL, REPLY } from "../../src/netfilter.ts";
import { verifyTransport } from "../../src/packet/checksum.ts";
import { tcp, type TcpOption, type TcpOptions } from "../kit/mod.ts";
import { Rig, type RigOptions, seqOffset } from "./rig.ts";

const C = "192.0.2.2", S = "198.51.100.7";
const LINUX = { "weir.seqadj_exact": 0 };

/** A connection whose numbers begin at `a` and `b`. */
class Talk {
  readonly rig: Rig;
  readonly ct: number;

  constructor(
    readonly a: number,
    readonly b: number,
    o: RigOptions = {},
    options: TcpOption[] = [{ sackPermitted: true }],
  ) {
    this.rig = new Rig(o);
    this.client(0, 0, { flags: "S", options });
    this.server(0, 1, { flags: "SA", options });
    this.client(1, 1, { flags: "A" });
    this.ct = this.rig.p.ct;
  }

  /** A segment of the client, numbers counted from the beginnings; the numbers that it leaves with, likewise. */
  client(seq: number, ack: number, o: Partial<TcpOptions> = {}): [number, number] {
    return this.#send({ src: C, sport: 40000, dst: S, dport: 21 }, this.a, seq, this.b, ack, o);
  }

  /** The same of the server. */
  server(seq: number, ack: number, o: Partial<TcpOptions> = {}): [number, number] {
    return this.#send({ src: S, sport: 21, dst: C, dport: 40000 }, this.b, seq, this.a, ack, o);
  }

  #send(
    way: { src: string; sport: number; dst: string; dport: number },
    from: number,
    seq: number,
    to: number,
    ack: number,
    o: Partial<TcpOptions>,
  ): [number, number] {
    const numbers = { seq: (from + seq) >>> 0, ack: (to + ack) >>> 0 };
    this.rig.send(tcp({ ...way, flags: "PA", win: 65535, ...numbers, ...o }));
    assertEquals(verifyTransport(this.rig.p), true, "the checksum followed");
    const view = new DataView(this.rig.sent.buffer, this.rig.sent.byteOffset);
    return [(view.getInt32(24) - from) | 0, (view.getInt32(28) - to) | 0];
  }

  /** A helper changes the length of the client's segment at `seq`. */
  corrects(seq: number, offset: number, ctinfo: number = ESTABLISHED): void {
    const base = ctinfo === ESTABLISHED ? this.a : this.b;
    seqadjSet(this.rig.conntrack.flows, this.ct, ctinfo, (base + seq) | 0, offset);
  }

  /** The client sends a segment that a helper lengthens by `growth`. */
  command(seq: number, payload: number, growth: number): [number, number] {
    const left = this.client(seq, 1, { payload });
    this.corrects(seq, growth);
    return left;
  }

  /** Edges of the SACK block of the last packet, counted from the client's beginning. */
  sacked(blocks: number): number[] {
    const view = new DataView(this.rig.sent.buffer, this.rig.sent.byteOffset);
    const edges: number[] = [];
    for (let i = 0; i < blocks * 2; i++) edges.push((view.getInt32(44 + 4 * i) - this.a) | 0);
    return edges;
  }

  /** True while the flow has a block of the pool. */
  get holds(): boolean {
    return this.rig.conntrack.flows.aside(this.ct, CT_CORRECTIONS) !== 0;
  }
}

const STARTS: [string, number, number][] = [
  ["small numbers", 1000, 9000],
  ["numbers that wrap between the corrections", 0xffffffe0, 0xfffffff0],
  ["numbers about to turn negative", 0x7fffffe0, 0x7ffffff0],
];

for (const [name, a, b] of STARTS) {
  Deno.test(`what was sent before each of three corrections keeps its offset, ${name}`, () => {
    const talk = new Talk(a, b);
    assertEquals(talk.command(1, 20, 3), [1, 1]);
    assertEquals(talk.command(21, 20, 4), [24, 1]);
    assertEquals(talk.client(41, 1, { payload: 10 }), [48, 1], "between them");
    assertEquals(talk.command(51, 20, -9), [58, 1]);
    assertEquals(talk.client(71, 1, { payload: 10 }), [69, 1], "behind all");
    // Once more, as it was and cut otherwise.
    assertEquals(talk.client(1, 1, { payload: 23 }), [1, 1]);
    assertEquals(talk.client(21, 1, { payload: 5 }), [24, 1]);
    assertEquals(talk.client(26, 1, { payload: 35 }), [33, 1], "behind the second, over the third");
    assertEquals(talk.client(51, 1, { payload: 1 }), [58, 1]);
    assertEquals(talk.client(52, 1, { payload: 29 }), [50, 1]);
  });

  Deno.test(`acknowledgements and SACK edges are moved back over all corrections, ${name}`, () => {
    const talk = new Talk(a, b);
    talk.command(1, 20, 3); // 1…24 to the server
    talk.command(21, 20, 4); // 24…48
    talk.client(41, 1, { payload: 10 }); // 48…58
    talk.command(51, 20, -9); // 58…69
    talk.client(71, 1, { payload: 10 }); // 69…79
    const at = (left: number, right: number): [number, number] => [(a + left) >>> 0, (a + right) >>> 0];
    const sack: TcpOption = { sack: [at(24, 48), at(58, 69), at(69, 79)] };
    assertEquals(talk.server(1, 1, { options: [{ nop: true }, { nop: true }, sack] }), [1, 1]);
    assertEquals(talk.sacked(3), [21, 41, 51, 71, 71, 81]);
    assertEquals(talk.server(1, 24), [1, 21]);
    assertEquals(talk.server(1, 48), [1, 41]);
    assertEquals(talk.server(1, 58), [1, 51]);
    assertEquals(talk.server(1, 69), [1, 71]);
    assertEquals(talk.server(1, 79), [1, 81]);
    assertEquals(talk.rig.brief(), "tcp 432000 ESTABLISHED [ASSURED]", "nothing was out of the window");
  });
}

Deno.test("as Linux, only the last correction is known", () => {
  const talk = new Talk(1000, 9000, { weir: LINUX });
  talk.command(1, 20, 3);
  talk.command(21, 20, 4);
  assertEquals(talk.client(1, 1, { payload: 20 }), [4, 1], "the offset before the second");
  assertEquals(talk.holds, false);
});

Deno.test("both directions have corrections of their own", () => {
  const talk = new Talk(1000, 9000);
  talk.command(1, 20, 3);
  talk.command(21, 20, 3);
  talk.server(1, 1, { payload: 30 });
  talk.corrects(1, -5, ESTABLISHED_REPLY);
  talk.server(31, 1, { payload: 30 });
  talk.corrects(31, -6, ESTABLISHED_REPLY);
  assertEquals(talk.server(61, 1, { payload: 5 }), [50, 1]);
  assertEquals(talk.server(31, 1, { payload: 30 }), [26, 1]);
  assertEquals(talk.server(1, 1, { payload: 30 }), [1, 1]);
  assertEquals(talk.client(41, 26, {}), [47, 31]);
  const { flows } = talk.rig.conntrack;
  assertEquals(acknowledgedOffset(flows, talk.ct, ORIGINAL, 1000 + 24), 3);
  assertEquals(acknowledgedOffset(flows, talk.ct, REPLY, 9000 + 50), -11);
});

Deno.test("the same segment sent again is not counted twice, nor is one from before", () => {
  const talk = new Talk(1000, 9000);
  talk.command(1, 20, 3);
  talk.command(21, 20, 4);
  talk.command(21, 20, 4);
  talk.command(1, 20, 3);
  assertEquals(talk.client(41, 1), [48, 1]);
});

Deno.test("corrections are forgotten once what lies behind them is acknowledged", () => {
  const talk = new Talk(1000, 9000);
  talk.command(1, 20, 3);
  talk.command(21, 20, 4);
  talk.client(41, 1, { payload: 100 });
  assertEquals(talk.holds, true);
  talk.server(1, 24);
  assertEquals(talk.holds, true, "the second is still under way");
  assertEquals(talk.server(1, 48), [1, 41]);
  assertEquals(talk.holds, false);
  assertEquals(talk.client(41, 1, { payload: 100 }), [48, 1]);
  talk.command(141, 20, 1);
  assertEquals(talk.holds, true, "and room is there for new ones");
});

Deno.test("beyond eight corrections the oldest goes", () => {
  const talk = new Talk(1000, 9000), all = CORRECTIONS + 4;
  for (let i = 0; i < all; i++) talk.command(1 + 20 * i, 20, 1);
  for (let i = all - 1; i >= 0; i--) {
    const [seq] = talk.client(1 + 20 * i, 1, { payload: 20 });
    assertEquals(seq - 1 - 20 * i, Math.max(i, all - CORRECTIONS - 1), `command ${i}`);
  }
});

Deno.test("a correction two gigabytes back is not taken for one ahead", () => {
  const talk = new Talk(1000, 9000, {}, [{ sackPermitted: true }, { wscale: 14 }]);
  talk.command(1, 20, 3);
  for (let seq = 21; seq < 2 ** 32; seq += 400_000_000) {
    assertEquals(talk.client(seq, 1, { payload: 10 }), [(seq + 3) | 0, 1]);
    assertEquals(talk.server(1, seq + 13), [1, (seq + 10) | 0]);
  }
  assertEquals(talk.rig.brief(), "tcp 432000 ESTABLISHED [ASSURED]");
});

Deno.test("a flow without room in the pool does as Linux", () => {
  const rig = new Rig({ capacity: 1 }), flows = rig.conntrack.flows, c = flows.corrections;
  const other = new Int32Array(SIDE_WORDS);
  assertEquals(c.take(other, 0, 7), 1);
  const ct = flows.alloc();
  seqadjSet(flows, ct, ESTABLISHED, 100, 3);
  seqadjSet(flows, ct, ESTABLISHED, 200, 3);
  assertEquals([50, 150, 250].map((seq) => seqOffset(flows, ct, ORIGINAL, seq)), [3, 3, 6]);
  c.release(other, 0);
  seqadjSet(flows, ct, ESTABLISHED, 300, 3);
  assertEquals([50, 150, 250, 350].map((seq) => seqOffset(flows, ct, ORIGINAL, seq)), [3, 3, 6, 9]);
});

Deno.test("a block goes back with its flow, and can be had again", () => {
  const rig = new Rig({ capacity: 1 }), flows = rig.conntrack.flows;
  for (let round = 0; round < 3; round++) {
    const ct = flows.alloc();
    for (const seq of [100, 200, 300]) seqadjSet(flows, ct, ESTABLISHED, seq, 2);
    assertEquals([50, 150, 250, 350].map((seq) => seqOffset(flows, ct, ORIGINAL, seq)), [0, 2, 4, 6]);
    flows.free(ct);
  }
});

Deno.test("corrections survive the process, and what it left half-made does not", () => {
  const memory = new ArrayBuffer(FlowTable.bytes(64) + ExpectTable.bytes(64));
  const talk = new Talk(1000, 9000, { capacity: 64, memory });
  talk.command(1, 20, 3);
  talk.command(21, 20, 4);
  // An unconfirmed flow with a block dies with the old process.
  const half = talk.rig.conntrack.flows.alloc();
  for (const seq of [1, 2]) seqadjSet(talk.rig.conntrack.flows, half, ESTABLISHED, seq, 1);
  const rig = new Rig({ capacity: 64, memory }), flows = rig.conntrack.flows;
  assertEquals([1, 21, 22].map((seq) => seqOffset(flows, talk.ct, ORIGINAL, 1000 + seq)), [0, 3, 7]);
  const ct = flows.alloc();
  assertEquals(flows.corrections.take(flows.words, flows.side(ct), ct), 2, "the half-made flow's block");
});
