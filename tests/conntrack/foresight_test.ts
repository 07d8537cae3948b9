import { assertEquals } from "@std/assert";
import { below, Xoshiro } from "../../src/clock.ts";
import { CT_ORIGINAL, CT_REPLY, FLOW_WORDS } from "../../src/conntrack/flow.ts";
import { Foresight } from "../../src/conntrack/foresight.ts";
import { FlowTable } from "../../src/conntrack/table.ts";
import { copyTuple, DST, invertTuple, newTuple, PORTS, PROTO } from "../../src/conntrack/tuple.ts";
import { NatRange } from "../../src/nat/range.ts";
import { ACCEPT, ESTABLISHED_REPLY, NEW, POSTROUTING, PREROUTING } from "../../src/netfilter.ts";
import * as kit from "../kit/mod.ts";
import { Lab, LAN, WAN, words } from "../nat/lab.ts";

/** A tuple of chance: IPv4 or IPv6, TCP, UDP or ping. */
function tuple(random: Xoshiro): Int32Array {
  const t = newTuple(), family = below(random, 2) === 0 ? 4 : 6;
  for (const at of [0, 4]) for (let i = 0; i < (family === 4 ? 1 : 4); i++) t[at + i] = random.next();
  const protocol = [6, 17, family === 4 ? 1 : 58][below(random, 3)];
  t[PORTS] = protocol === 6 || protocol === 17
    ? random.next()
    : (random.next() << 16) | (family === 4 ? 8 : 128) << 8;
  t[PROTO] = family << 8 | protocol;
  return t;
}

Deno.test("Foresight.hashReply is the hash of the tuple, rightly foreseen or wrongly", () => {
  const random = new Xoshiro(5), flows = new FlowTable(new ArrayBuffer(FlowTable.bytes(64)), 0, 64, random);
  const foresight = new Foresight(flows), reply = newTuple(), w = new Int32Array(FLOW_WORDS);
  const touched: number[] = [];
  foresight.register((t, at) => touched.push(t[at]));
  const addresses = [tuple(random), tuple(random)];
  for (let i = 0; i < 2000; i++) {
    const t = tuple(random), zoneReply = below(random, 3);
    foresight.begin(flows.hash(t, 0), t, zoneReply);
    assertEquals(touched.pop(), t[0]);
    invertTuple(reply, 0, t, 0);
    reply[PROTO] |= zoneReply << 16;
    // Three flows in four are translated, to one of two places.
    const to = below(random, 4);
    if (to !== 0) { for (let n = 0; n < 4; n++) reply[DST + n] = addresses[to & 1][n]; }
    assertEquals(foresight.hashReply(reply, 0), flows.hash(reply, 0));
    copyTuple(w, CT_ORIGINAL, t, 0);
    copyTuple(w, CT_REPLY, reply, 0);
    foresight.note(w, 0);
  }
});

Deno.test("Foresight.hash is the tuple's, announced or not, and in whatever order packets come", () => {
  const random = new Xoshiro(7), flows = new FlowTable(new ArrayBuffer(FlowTable.bytes(64)), 0, 64, random);
  const foresight = new Foresight(flows);
  for (let round = 0; round < 200; round++) {
    const tuples = Array.from({ length: below(random, 100) }, () => tuple(random));
    foresight.clear();
    for (const t of tuples) foresight.announce(t);
    foresight.fetch();
    for (const t of tuples) {
      // Some do not come, some come twice, and some were not announced.
      for (let n = below(random, 3); n > 0; n--) assertEquals(foresight.hash(t), flows.hash(t, 0));
      const other = tuple(random);
      if (below(random, 4) === 0) assertEquals(foresight.hash(other), flows.hash(other, 0));
    }
  }
});

Deno.test("Foresight.fetch finds what a lookup finds, one or many flows together, and changes nothing", () => {
  const random = new Xoshiro(13),
    flows = new FlowTable(new ArrayBuffer(FlowTable.bytes(512)), 0, 512, random);
  const foresight = new Foresight(flows), reply = newTuple(), there: Int32Array[] = [];
  for (let i = 0; i < 400; i++) {
    const t = tuple(random), ct = flows.alloc();
    invertTuple(reply, 0, t, 0);
    copyTuple(flows.words, ct * FLOW_WORDS + CT_ORIGINAL, t, 0);
    copyTuple(flows.words, ct * FLOW_WORDS + CT_REPLY, reply, 0);
    flows.insert(ct);
    there.push(t, reply.slice());
  }
  const before = flows.words.slice();
  for (const accounting of [false, true]) {
    flows.accounting = accounting;
    for (let round = 0; round < 100; round++) {
      const asked = Array.from(
        { length: below(random, 64) },
        () => below(random, 3) === 0 ? tuple(random) : there[below(random, there.length)],
      );
      foresight.clear();
      for (const t of asked) foresight.announce(t);
      assertEquals(foresight.fetch(), asked.length);
      assertEquals([...foresight.found.subarray(0, asked.length)], asked.map((t) => flows.find(t, 0)));
    }
  }
  assertEquals(flows.words, before);
});

Deno.test("Foresight: answers find their flow, however NAT changes its ways from flow to flow", () => {
  const random = new Xoshiro(11);
  const lab = new Lab({
    rules: (nat, p) => {
      const way = p.view.getUint16(p.l4 + 2) & 3;
      if (p.hook === POSTROUTING && p.outInterface === WAN && (way & 1) !== 0) {
        return nat.masquerade(p, new NatRange());
      }
      if (p.hook === PREROUTING && (way & 2) !== 0) {
        return nat.dnat(
          p,
          new NatRange().addresses(words(p.family === 4 ? "198.51.100.9" : "2001:db8:9::9")),
        );
      }
      return ACCEPT;
    },
  });
  const out: [sent: Uint8Array, left: Uint8Array][] = [];
  for (let i = 0; i < 400; i++) {
    const [src, dst] = below(random, 2) === 0
      ? ["10.0.0.2", "198.51.100.7"]
      : ["2001:db8:1::2", "2001:db8:9::7"];
    const sent = kit.udp({ src, dst, sport: 2000 + i, dport: 50 + below(random, 4) });
    const { iface, bytes, ctinfo } = lab.send(LAN, sent);
    assertEquals([iface, ctinfo], [WAN, NEW]);
    out.push([sent, bytes]);
  }
  for (const [sent, left] of out) {
    const s = kit.parse(sent), l = kit.parse(left);
    const back = lab.send(WAN, kit.udp({ src: l.dst, dst: l.src, sport: l.dport!, dport: l.sport! }));
    assertEquals([back.iface, back.ctinfo], [LAN, ESTABLISHED_REPLY]);
    const b = kit.parse(back.bytes);
    assertEquals([b.src, b.sport, b.dst, b.dport], [s.dst, s.dport, s.src, s.sport]);
  }
  lab.clock.advance(200_000);
  while (lab.conntrack.sweep());
  assertEquals([lab.conntrack.flows.count, lab.flows()], [0, []]);
});
