/** What tracking costs: a lookup, and an established packet through in and confirm, at 1,000 and 1,000,000 flows. */
import { Conntrack } from "../../src/conntrack/core.ts";
import { ExpectTable } from "../../src/conntrack/expect.ts";
import {
  CT_EXPIRES,
  CT_ORIGINAL,
  CT_REPLY,
  CT_STATUS,
  FLOW_WORDS,
  IPS_ASSURED,
  IPS_CONFIRMED,
  IPS_SEEN_REPLY,
} from "../../src/conntrack/flow.ts";
import { FlowTable } from "../../src/conntrack/table.ts";
import { invertTuple, newTuple, PORTS, PROTO } from "../../src/conntrack/tuple.ts";
import { below, Xoshiro } from "../../src/clock.ts";
import { PREROUTING, TCP, UDP } from "../../src/netfilter.ts";
import { Packet } from "../../src/packet/packet.ts";
import { parse } from "../../src/packet/parse.ts";
import { Sysctl } from "../../src/sysctl.ts";
import { load, tcp, udp, VirtualClock } from "../kit/mod.ts";

const SERVER = 0xc6336407 | 0;

/** Flow number `i`: a client of 16 bits, a port of 16 bits. */
function nth(t: Int32Array, at: number, i: number, family: 4 | 6): void {
  t.fill(0, at, at + 10);
  t[at + (family === 4 ? 0 : 3)] = 0x0a000000 | (i >>> 4);
  t[at + (family === 4 ? 4 : 7)] = SERVER;
  t[at + PORTS] = ((1024 + (i & 15)) << 16) | 443;
  t[at + PROTO] = (family << 8) | UDP;
}

function filled(flows: number, family: 4 | 6): Conntrack {
  const random = new Xoshiro(3), clock = new VirtualClock();
  const table = new FlowTable(new ArrayBuffer(FlowTable.bytes(flows + 64)), 0, flows + 64, random);
  const w = table.words;
  for (let i = 0; i < flows; i++) {
    const ct = table.alloc(), at = ct * FLOW_WORDS;
    nth(w, at + CT_ORIGINAL, i, family);
    invertTuple(w, at + CT_REPLY, w, at + CT_ORIGINAL);
    w[at + CT_STATUS] = IPS_CONFIRMED | IPS_SEEN_REPLY | IPS_ASSURED;
    w[at + CT_EXPIRES] = clock.now + 1_000_000_000;
    table.insert(ct);
  }
  return new Conntrack({
    flows: table,
    expects: new ExpectTable(new ArrayBuffer(ExpectTable.bytes(64)), 0, 64, random),
    clock,
    random,
    sysctl: new Sysctl({ "net.netfilter.nf_conntrack_max": flows + 64 }),
    helpers: [],
    log: () => {},
  });
}

for (const family of [4, 6] as const) {
  for (const flows of [1_000, 1_000_000]) {
    const name = `IPv${family}, ${flows.toLocaleString("en")} flows`;
    const conntrack = filled(flows, family), random = new Xoshiro(5);
    const COUNT = 8192;
    const tuples = new Int32Array(COUNT * 10);
    for (let i = 0; i < COUNT; i++) {
      nth(tuples, i * 10, below(random, flows), family);
      if (i & 1) invertTuple(tuples, i * 10, tuples.slice(i * 10, i * 10 + 10), 0);
    }
    Deno.bench(`${name}: 8192 lookups`, { group: "lookup" }, () => {
      for (let i = 0; i < COUNT; i++) if (conntrack.find(tuples, i * 10) < 0) throw new Error("lost");
    });

    const o = family === 4
      ? { src: "10.0.0.1", dst: "198.51.100.7" }
      : { src: "::a00:1", dst: "::c633:6407" };
    const p = load(new Packet(), udp({ ...o, sport: 1024, dport: 443, payload: 20 }));
    if (parse(p) !== 0) throw new Error("parse");
    p.checksumValid = true;
    const view = p.view, at = family === 4 ? 12 : 20;
    const t = newTuple();
    const order = new Int32Array(COUNT).map(() => below(random, flows));
    Deno.bench(`${name}: 8192 UDP packets through in and confirm`, { group: "packet" }, () => {
      for (let i = 0; i < COUNT; i++) {
        nth(t, 0, order[i], family);
        view.setInt32(at, 0x0a000000 | (order[i] >>> 4));
        view.setInt32(p.l4, t[PORTS]);
        p.ct = -1;
        p.ctinfo = 0;
        p.hook = PREROUTING;
        conntrack.in(p);
        if (p.ct < 0) throw new Error("lost");
        conntrack.confirm(p);
      }
    });
  }
}

{
  const conntrack = filled(1000, 4), clock = conntrack.clock;
  const c = { src: "192.0.2.2", dst: "198.51.100.7", sport: 40000, dport: 80 };
  const s = { src: c.dst, dst: c.src, sport: c.dport, dport: c.sport };
  const p = new Packet();
  const send = (bytes: Uint8Array) => {
    load(p, bytes);
    if (parse(p) !== 0) throw new Error("parse");
    conntrack.in(p);
    conntrack.confirm(p);
  };
  const options = [{ nop: true }, { nop: true }, { timestamp: [1, 2] }] as const;
  send(tcp({ ...c, flags: "S", seq: 0, options: [{ sackPermitted: true }, { wscale: 7 }] }));
  send(tcp({ ...s, flags: "SA", seq: 0, ack: 1, options: [{ sackPermitted: true }, { wscale: 7 }] }));
  send(tcp({ ...c, flags: "A", seq: 1, ack: 1, options }));
  const data = load(new Packet(), tcp({ ...c, flags: "A", seq: 1, ack: 1, payload: 1400, options }));
  const answer = load(new Packet(), tcp({ ...s, flags: "A", seq: 1, ack: 1, options }));
  if (parse(data) !== 0 || parse(answer) !== 0) throw new Error("parse");
  data.checksumValid = answer.checksumValid = true;
  let seq = 1;
  Deno.bench(`TCP, established: 8192 segments and their ACKs`, { group: "packet" }, () => {
    for (let i = 0; i < 4096; i++) {
      data.view.setInt32(data.l4 + 4, seq);
      seq = (seq + 1400) | 0;
      answer.view.setInt32(answer.l4 + 8, seq);
      data.ct = answer.ct = -1;
      data.ctinfo = answer.ctinfo = 0;
      conntrack.in(data);
      if (data.protocol !== TCP || data.ct < 0) throw new Error(`lost ${clock.now}`);
      conntrack.confirm(data);
      conntrack.in(answer);
      if (answer.ct < 0) throw new Error("lost");
      conntrack.confirm(answer);
    }
  });
  let port = 0;
  const syn = load(new Packet(), tcp({ ...c, flags: "S", seq: 0 }));
  if (parse(syn) !== 0) throw new Error("parse");
  syn.checksumValid = true;
  Deno.bench("TCP: 8192 new flows, confirmed and deleted", { group: "packet" }, () => {
    for (let i = 0; i < 8192; i++) {
      syn.view.setInt16(syn.l4, ++port);
      syn.ct = -1;
      syn.ctinfo = 0;
      conntrack.in(syn);
      if (syn.ct < 0) continue;
      conntrack.confirm(syn);
      conntrack.delete(syn.ct);
    }
  });
}
