import { assert, assertEquals } from "@std/assert";
import { LISTEN_FLOWS } from "../../src/conntrack/events.ts";
import {
  CT_EXPIRES,
  CT_HELPER,
  CT_MARK,
  CT_MUTED,
  CT_STATUS,
  CT_TIMEOUT_POLICY,
  FLOW_WORDS,
  IPS_ASSURED,
  IPS_DYING,
  IPS_SIDE,
  tupleAt,
} from "../../src/conntrack/flow.ts";
import type { ConntrackHelper } from "../../src/conntrack/helper.ts";
import { ExpectTable } from "../../src/conntrack/expect.ts";
import { FlowTable } from "../../src/conntrack/table.ts";
import { STAT_DROP, STAT_EARLY_DROP, STAT_INSERT, STAT_INSERT_FAILED } from "../../src/conntrack/tracker.ts";
import { copyTuple, newTuple, PORTS } from "../../src/conntrack/tuple.ts";
import { ACCEPT, NO_CT, OUTPUT, Reason, RELATED_REPLY, UDP, UNTRACKED } from "../../src/netfilter.ts";
import { Packet, ZONE_FROM_MARK } from "../../src/packet/packet.ts";
import { parse } from "../../src/packet/parse.ts";
import { ip, load, tcp, udp, type UdpOptions } from "../kit/mod.ts";
import { PLAIN, Rig } from "./rig.ts";

const C = "192.0.2.2", S = "198.51.100.7";
const query = (o: Partial<UdpOptions> = {}) =>
  udp({ src: C, sport: 4000, dst: S, dport: 53, payload: 20, ...o });
const answer = (o: Partial<UdpOptions> = {}) =>
  udp({ src: S, sport: 53, dst: C, dport: 4000, payload: 60, ...o });

function helper(o: Partial<ConntrackHelper> = {}): ConntrackHelper {
  return {
    name: "test",
    protocol: UDP,
    families: [4],
    ports: [53],
    autoAssign: true,
    policies: [{ name: "test", maxExpected: 1, timeout: 300 }],
    help: () => ACCEPT,
    ...o,
  };
}

Deno.test("Conntrack.in leaves an exempted packet alone, even with a wrong checksum (R01, R03)", () => {
  const rig = new Rig();
  const p = rig.p;
  rig.send(query());
  p.ct = NO_CT;
  p.ctinfo = UNTRACKED;
  assertEquals([rig.conntrack.in(p), p.untracked], [ACCEPT, true]);
});

Deno.test("Conntrack.in takes a later fragment for INVALID", () => {
  const rig = new Rig();
  assertEquals(rig.send(ip({ src: C, dst: S, protocol: UDP, payload: 32, offset: 800 })), "INVALID");
  assertEquals(
    rig.send(ip({ src: "2001:db8:1::2", dst: "2001:db8:2::7", protocol: UDP, payload: 32, offset: 800 })),
    "INVALID",
  );
});

Deno.test("Conntrack verifies checksums in PREROUTING only", () => {
  assertEquals(new Rig().send(query({ badChecksum: true }), { hook: OUTPUT }), "NEW");
});

Deno.test("Conntrack.release undoes a flow that no confirm has seen, and no other", () => {
  const rig = new Rig();
  rig.send(query(), { drop: true });
  assertEquals(rig.conntrack.flows.count, 0);
  rig.send(query());
  rig.send(query(), { drop: true });
  assertEquals([rig.conntrack.flows.count, rig.p.ct], [1, NO_CT]);
});

Deno.test("Conntrack.attach gives a made packet the flow of its cause, which it does not own", () => {
  const rig = new Rig(), made = new Packet();
  rig.send(tcp({ src: C, sport: 1, dst: S, dport: 2, flags: "S" }), {
    drop: true,
    between() {},
  });
  const p = rig.p;
  p.hook = 0;
  rig.conntrack.in(p);
  rig.conntrack.attach(made, p);
  assertEquals([made.ct, made.ctinfo], [p.ct, RELATED_REPLY]);
  assertEquals(rig.conntrack.in(made), ACCEPT);
  assertEquals(rig.conntrack.confirm(made), ACCEPT);
  rig.conntrack.release(made);
  assertEquals([rig.flows(), rig.conntrack.flows.count], [[], 1]);
  rig.conntrack.release(p);
  assertEquals(rig.conntrack.flows.count, 0);
});

Deno.test("Conntrack.confirm drops a flow whose tuples are taken, and counts it (N07, N08)", () => {
  const rig = new Rig();
  const port = (to: number) => (p: Packet) => {
    const t = newTuple();
    copyTuple(t, 0, rig.conntrack.flows.words, tupleAt(p.ct, 1));
    t[PORTS] = (t[PORTS] & ~0xffff) | to;
    rig.conntrack.alterReply(p.ct, t, 0);
  };
  const syn = (sport: number) => tcp({ src: C, sport, dst: S, dport: 80, flags: "S" });
  assertEquals(rig.send(syn(1), { between: port(2000) }), "NEW");
  assertEquals(rig.send(syn(2), { between: port(2000) }), "insert-failed");
  assertEquals(rig.send(syn(3), { between: port(2001) }), "NEW");
  assertEquals(rig.flows().length, 2);
  assertEquals([rig.conntrack.stats[STAT_DROP], rig.conntrack.stats[STAT_INSERT_FAILED]], [1, 1]);
});

Deno.test("Conntrack.confirm: a second UDP packet of the same new flow takes the first one's (U12)", () => {
  const rig = new Rig();
  let second: Packet | undefined;
  assertEquals(
    rig.send(query(), {
      between(p) {
        second = new Packet();
        second.raw.set(p.raw);
        second.reset(1, p.length);
        second.family = 4;
        second.protocol = UDP;
        second.l4 = p.l4;
        second.hook = OUTPUT;
        rig.conntrack.in(second);
      },
    }),
    "NEW",
  );
  const winner = rig.p.ct;
  assert(second!.ct !== winner);
  assertEquals(rig.conntrack.confirm(second!), ACCEPT);
  assertEquals([second!.ct, rig.conntrack.flows.count], [winner, 1]);
});

Deno.test("Conntrack.confirm refuses a flow that was deleted on the way", () => {
  const rig = new Rig();
  assertEquals(rig.send(query(), { between: (p) => rig.conntrack.delete(p.ct) }), "insert-failed");
  assertEquals(rig.conntrack.flows.count, 0);
});

Deno.test("Conntrack.tupleTaken inverts the tuple and overlooks the flow that asks", () => {
  const rig = new Rig(), w = rig.conntrack.flows.words;
  rig.send(query());
  const other = rig.p.ct;
  rig.send(query({ sport: 4001 }), {
    between(p) {
      const t = newTuple();
      copyTuple(t, 0, w, tupleAt(p.ct, 0));
      assertEquals(rig.conntrack.tupleTaken(t, 0, p.ct), false);
      t[PORTS] = (4000 << 16) | 53;
      assertEquals(rig.conntrack.tupleTaken(t, 0, p.ct), true);
      assertEquals(rig.conntrack.tupleTaken(t, 0, other), false);
    },
  });
});

Deno.test("Conntrack.delete leaves the record readable while the packet is under way", () => {
  const rig = new Rig();
  rig.send(tcp({ src: C, sport: 1, dst: S, dport: 2, flags: "S", seq: 9 }));
  assertEquals(rig.send(tcp({ src: S, sport: 2, dst: C, dport: 1, flags: "RA", ack: 10 })), "ESTABLISHED");
  const ct = rig.p.ct, w = rig.conntrack.flows.words;
  assertEquals(rig.flows(), []);
  assert((w[ct * FLOW_WORDS + CT_STATUS] & IPS_DYING) !== 0);
  assertEquals(w[tupleAt(ct, 0) + PORTS], 0x00010002);
});

Deno.test("Conntrack.registerDestroyFn hears of every flow that goes", () => {
  const rig = new Rig(), gone: number[] = [];
  rig.conntrack.registerDestroyFn((ct) => gone.push(ct));
  rig.send(query(), { drop: true });
  rig.send(query());
  rig.conntrack.delete(rig.p.ct);
  rig.send(query());
  rig.wait(40_000);
  assertEquals(gone, [0, 0, 0]);
});

Deno.test("Conntrack.sweep collects what has expired, in slices", () => {
  const rig = new Rig({ capacity: 8192, sysctl: { max: 8000 } });
  for (let i = 0; i < 5000; i++) rig.send(query({ sport: 1000 + i }));
  rig.clock.advance(31_000);
  assertEquals(rig.flows(), []);
  rig.wait(1500);
  const left = rig.conntrack.flows.count;
  assert(left >= 4500, `one slice left ${left}`);
  let slices = 1;
  while (rig.conntrack.sweep()) slices++;
  assertEquals(rig.conntrack.flows.count, 0);
  assert(slices <= 20, `${slices} slices`);
});

Deno.test("Conntrack.sweep deletes those that have expired among those that go on", () => {
  const rig = new Rig({ capacity: 256 });
  for (let i = 0; i < 100; i++) rig.send(query({ sport: 1000 + i }));
  rig.wait(20_000);
  const goOn = (i: number) => i % 3 === 0 || (i > 40 && i < 60);
  for (let i = 0; i < 100; i++) if (goOn(i)) assertEquals(rig.send(query({ sport: 1000 + i })), "NEW");
  rig.wait(15_000);
  const left = Array.from({ length: 100 }, (_, i) => i).filter(goOn);
  assertEquals(rig.conntrack.flows.count, left.length);
  for (const i of left) assertEquals(rig.send(answer({ dport: 1000 + i })), "ESTABLISHED");
  rig.wait(40_000);
  assertEquals(rig.conntrack.flows.count, 0);
});

Deno.test("Conntrack: a full table drops what is new, unless something near is not ASSURED (pressure)", () => {
  const rig = new Rig({ capacity: 32, sysctl: { max: 32 } });
  const w = rig.conntrack.flows.words;
  for (let i = 0; i < 32; i++) rig.send(query({ sport: 1000 + i }));
  for (let ct = 0; ct < 32; ct++) w[ct * FLOW_WORDS + CT_STATUS] |= IPS_ASSURED;
  assertEquals(rig.send(query({ sport: 2000 })), "table-full");
  assertEquals(rig.p.reason, Reason["table-full"]);
  assert(rig.log[0].includes("table full, dropping packet"));
  for (let ct = 0; ct < 32; ct++) w[ct * FLOW_WORDS + CT_STATUS] &= ~IPS_ASSURED;
  assertEquals(rig.send(query({ sport: 2000 })), "NEW");
  assertEquals([rig.conntrack.flows.count, rig.conntrack.stats[STAT_EARLY_DROP]], [32, 1]);
  assertEquals(rig.send(answer({ dport: 2000 })), "ESTABLISHED");
});

Deno.test("Conntrack.sweep thins a table that was full, until 95 % are left", () => {
  const rig = new Rig({ capacity: 256, sysctl: { max: 200 } });
  const w = rig.conntrack.flows.words;
  for (let i = 0; i < 200; i++) rig.send(query({ sport: 1000 + i }));
  for (let ct = 0; ct < 200; ct++) w[ct * FLOW_WORDS + CT_STATUS] |= IPS_ASSURED;
  assertEquals(rig.send(query({ sport: 5000 })), "table-full");
  for (let ct = 0; ct < 50; ct++) w[ct * FLOW_WORDS + CT_STATUS] &= ~IPS_ASSURED;
  for (let i = 0; i < 4; i++) rig.conntrack.sweep();
  assertEquals(rig.conntrack.flows.count, 190);
});

Deno.test("Conntrack: zones keep equal tuples apart (N29, N30)", () => {
  const rig = new Rig(), one = { ...PLAIN, zoneOriginal: 1, zoneReply: 1 };
  assertEquals(rig.send(query(), { template: one }), "NEW");
  assertEquals(rig.send(answer()), "NEW", "an answer in zone 0 is another flow");
  assertEquals(rig.send(answer(), { template: one }), "ESTABLISHED");
  assert(rig.flows()[0].endsWith("mark=0 zone=1 use=1"));
});

Deno.test("Conntrack: a zone of one direction only", () => {
  const rig = new Rig(), original = { ...PLAIN, zoneOriginal: 7 };
  assertEquals(rig.send(query(), { template: original }), "NEW");
  assertEquals(rig.send(answer()), "ESTABLISHED", "answers are in zone 0");
  assertEquals(rig.send(query(), { template: original }), "ESTABLISHED");
  assertEquals(
    rig.flow(),
    "udp      17 30 src=192.0.2.2 dst=198.51.100.7 sport=4000 dport=53 zone-orig=7 " +
      "src=198.51.100.7 dst=192.0.2.2 sport=53 dport=4000 mark=0 use=1",
  );
});

Deno.test("Conntrack: the zone comes from the mark", () => {
  const rig = new Rig(), template = { ...PLAIN, zoneOriginal: ZONE_FROM_MARK, zoneReply: ZONE_FROM_MARK };
  rig.send(query(), { template, mark: 9 });
  assert(rig.flow().includes(" zone=9 "));
  assertEquals(rig.send(answer(), { template, mark: 8 }), "NEW");
  assertEquals(rig.send(answer(), { template, mark: 9 }), "ESTABLISHED");
});

Deno.test("Conntrack: the zone of one direction comes from the mark", () => {
  const original = new Rig(), reply = new Rig();
  original.send(query(), { template: { ...PLAIN, zoneOriginal: ZONE_FROM_MARK }, mark: 0x10009 });
  assert(original.flow().includes("dport=53 zone-orig=9 [UNREPLIED]"), original.flow());
  assertEquals(original.send(answer(), { mark: 5 }), "ESTABLISHED");
  const template = { ...PLAIN, zoneReply: ZONE_FROM_MARK };
  reply.send(query(), { template, mark: 9 });
  assert(reply.flow().includes("dport=4000 zone-reply=9 "), reply.flow());
  assertEquals(reply.send(answer(), { template, mark: 9 }), "ESTABLISHED");
  assertEquals(reply.send(answer(), { template, mark: 8 }), "NEW");
});

Deno.test("Conntrack: events that a template does not ask for stand aside, of flows that have some", () => {
  const rig = new Rig(), { flows } = rig.conntrack, muted = () => flows.aside(rig.p.ct, CT_MUTED);
  rig.events.wanted = LISTEN_FLOWS;
  rig.send(query(), { template: { ...PLAIN, events: 0x10205 } });
  assertEquals(muted(), ~0x10205);
  rig.send(query({ sport: 1 }), { template: { ...PLAIN, events: -1 } });
  assertEquals([muted(), flows.words[rig.p.ct * FLOW_WORDS + CT_STATUS] & IPS_SIDE], [0, 0]);
});

Deno.test("R09 Conntrack: a template's timeouts hold for its flow only, and 0 leaves the default", () => {
  const rig = new Rig(), timeoutPolicy = rig.conntrack.timeoutPolicy([7, 0], UDP);
  rig.send(query(), { template: { ...PLAIN, timeoutPolicy } });
  rig.send(query({ sport: 4001 }), { template: { ...PLAIN, timeoutPolicy } });
  rig.send(query({ sport: 4002 }));
  assertEquals(rig.flows().map((l) => l.split(/ +/)[2]), ["7", "7", "30"]);
  rig.send(answer());
  rig.clock.advance(2100);
  rig.send(query());
  assert(rig.flows()[0].startsWith("udp      17 120 "));
});

Deno.test("Conntrack: a helper takes flows on its ports by itself, or only by a template (R08)", () => {
  const seen: string[] = [];
  const auto = helper({ help: (_c, _p, ct, ctinfo) => (seen.push(`auto ${ct} ${ctinfo}`), ACCEPT) });
  const asked = helper({
    name: "asked",
    autoAssign: false,
    help: (_c, _p, ct) => (seen.push(`asked ${ct}`), ACCEPT),
  });
  const rig = new Rig({ helpers: [auto, asked] });
  rig.send(query());
  rig.send(answer());
  rig.send(query({ dport: 54 }));
  rig.send(query({ dport: 55 }), { template: { ...PLAIN, helper: 1 } });
  rig.send(tcp({ src: C, sport: 1, dst: S, dport: 53, flags: "S" }), { template: { ...PLAIN, helper: 1 } });
  assertEquals(seen, ["auto 0 2", "auto 0 3", "asked 2"]);
  assert(rig.flows()[0].endsWith("mark=0 helper=test use=1"));
});

Deno.test("Conntrack.alterReply chooses an automatic helper anew, and leaves one given by a rule", () => {
  const rig = new Rig({ helpers: [helper(), helper({ name: "asked", autoAssign: false })] });
  const w = rig.conntrack.flows.words;
  const toPort = (port: number) => (p: Packet) => {
    const t = newTuple();
    copyTuple(t, 0, w, tupleAt(p.ct, 1));
    t[PORTS] = (port << 16) | (t[PORTS] & 0xffff);
    rig.conntrack.alterReply(p.ct, t, 0);
  };
  rig.send(query({ dport: 5353 }), { between: toPort(53) });
  assertEquals(w[rig.p.ct * FLOW_WORDS + CT_HELPER], 1, "DNAT to its port");
  rig.send(query(), { between: toPort(5353) });
  assertEquals(w[rig.p.ct * FLOW_WORDS + CT_HELPER], 0, "DNAT away from its port");
  rig.send(query({ sport: 9 }), { template: { ...PLAIN, helper: 1 }, between: toPort(53) });
  assertEquals(w[rig.p.ct * FLOW_WORDS + CT_HELPER], 2);
});

Deno.test("Conntrack.confirm lets the helper's verdict end the packet, and with it a new flow", () => {
  const rig = new Rig({ helpers: [helper({ help: (_c, p) => p.drop(Reason["helper-partial"]) })] });
  assertEquals(rig.send(query()), "helper-partial");
  assertEquals(rig.conntrack.flows.count, 0);
});

Deno.test("Conntrack.refresh moves a flow's end", () => {
  const rig = new Rig();
  rig.send(query());
  rig.conntrack.refresh(rig.p.ct, 300_000);
  assertEquals(rig.brief(), "udp 300 [UNREPLIED]");
});

Deno.test("Conntrack counts packets and bytes when asked, an offloaded one as one", () => {
  const rig = new Rig({ sysctl: { acct: 1 } });
  rig.send(query());
  rig.send(query());
  rig.send(answer());
  assertEquals(
    rig.flow(),
    "udp      17 30 src=192.0.2.2 dst=198.51.100.7 sport=4000 dport=53 packets=2 bytes=96 " +
      "src=198.51.100.7 dst=192.0.2.2 sport=53 dport=4000 packets=1 bytes=88 mark=0 use=1",
  );
});

Deno.test("Conntrack counts flows that begin while counting is on, and those to their end", () => {
  const memory = new ArrayBuffer(FlowTable.bytes(64) + ExpectTable.bytes(64));
  const before = new Rig({ capacity: 64, memory });
  before.send(query());
  const counting = new Rig({ capacity: 64, memory, sysctl: { acct: 1 } });
  counting.send(query());
  counting.send(query({ sport: 1 }));
  const after = new Rig({ capacity: 64, memory });
  after.send(query());
  after.send(query({ sport: 1 }));
  after.send(query({ sport: 2 }));
  assertEquals(after.flows().map((line) => /packets=\d+ bytes=\d+ \[/.exec(line)?.[0]), [
    undefined,
    "packets=2 bytes=96 [",
    undefined,
  ]);
});

Deno.test("Conntrack tells how long ago a flow was confirmed, when asked", () => {
  const rig = new Rig({ sysctl: { timestamp: 1 } });
  rig.clock.wall = 1_700_000_000.9;
  rig.send(query());
  rig.clock.wall += 5.2;
  assert(rig.flow().endsWith(" mark=0 delta-time=6 use=1"), rig.flow());
  rig.clock.wall = 5;
  assert(rig.flow().includes(" delta-time=0 "), "the clock was set back");
});

Deno.test("Conntrack: flows outlive the process with their memory", () => {
  const memory = new ArrayBuffer(FlowTable.bytes(64) + ExpectTable.bytes(64));
  const before = new Rig({ capacity: 64, memory });
  const o = { src: C, sport: 1, dst: S, dport: 2 }, r = { src: S, sport: 2, dst: C, dport: 1 };
  before.send(tcp({ ...o, flags: "S", seq: 100 }));
  before.send(tcp({ ...r, flags: "SA", seq: 500, ack: 101 }));
  before.send(tcp({ ...o, flags: "A", seq: 101, ack: 501 }));
  before.conntrack.flows.words[before.p.ct * FLOW_WORDS + CT_MARK] = 7;
  const after = new Rig({ capacity: 64, memory });
  assertEquals(after.flows(), before.flows());
  assertEquals(after.send(tcp({ ...r, flags: "A", seq: 501, ack: 101 })), "ESTABLISHED");
  assertEquals(after.send(tcp({ ...r, flags: "A", seq: 9_000_501, ack: 101, payload: 5 })), "INVALID");
});

Deno.test("Conntrack: what a dead process left is made to fit: helpers that are gone, timeouts, lost masters", () => {
  const memory = new ArrayBuffer(FlowTable.bytes(64) + ExpectTable.bytes(64));
  const before = new Rig({ capacity: 64, memory, helpers: [helper()] });
  const timeoutPolicy = before.conntrack.timeoutPolicy([5, 5], UDP);
  before.send(query(), { template: { ...PLAIN, timeoutPolicy } });
  const c = before.conntrack, ct = before.p.ct;
  for (const [master, port] of [[ct, 1], [c.flows.alloc(), 2]]) {
    c.flows.words[master * FLOW_WORDS + CT_HELPER] = 1;
    const exp = c.expectAlloc(master);
    c.expectInit(exp, 0, 4, null, 0, c.flows.words, tupleAt(ct, 0), UDP, -1, port);
    c.expectRelated(exp);
  }
  const after = new Rig({ capacity: 64, memory, helpers: [helper()] });
  assertEquals(after.expects().length, 1);
  assertEquals(after.send(answer()), "ESTABLISHED");
  assertEquals(after.conntrack.flows.words[after.p.ct * FLOW_WORDS + CT_TIMEOUT_POLICY], 0);
  const bare = new Rig({ capacity: 64, memory });
  assertEquals([bare.expects(), bare.send(answer())], [[], "ESTABLISHED"]);
});

Deno.test("Conntrack: time wraps without harm", () => {
  const rig = new Rig();
  rig.clock.now = 0x7fffffff - 5000;
  rig.send(query());
  rig.clock.advance(10_000);
  assertEquals([rig.clock.now < 0, rig.brief()], [true, "udp 20 [UNREPLIED]"]);
  rig.wait(20_000);
  assertEquals(rig.flows(), []);
});

Deno.test("Conntrack.in and confirm allocate nothing for packets of flows", () => {
  const rig = new Rig(), p = rig.p, c = rig.conntrack;
  rig.send(query());
  rig.send(answer());
  const run = (n: number) => {
    for (let i = 0; i < n; i++) {
      p.ct = NO_CT;
      p.ctinfo = 0;
      p.hook = 0;
      c.in(p);
      c.confirm(p);
    }
  };
  run(20_000);
  const before = Deno.memoryUsage().heapUsed;
  run(200_000);
  const grown = Deno.memoryUsage().heapUsed - before;
  assert(grown < 400_000, `${grown} bytes for 200,000 packets`);
  assert(c.flows.words[p.ct * FLOW_WORDS + CT_EXPIRES] !== 0);
});

Deno.test("Conntrack allocates nothing for flows that begin and end", () => {
  const rig = new Rig({ capacity: 4096 }), p = rig.p, c = rig.conntrack;
  rig.send(query());
  const run = (n: number) => {
    for (let i = 0; i < n; i++) {
      p.view.setInt16(p.l4, i);
      p.checksumValid = true;
      p.ct = NO_CT;
      p.ctinfo = 0;
      p.hook = 0;
      c.in(p);
      c.confirm(p);
      if (i % 4 === 0) c.delete(p.ct);
      if (i % 16 === 0) {
        rig.clock.now += 200; // 30 seconds are 2,400 flows
        c.sweep();
      }
    }
  };
  run(20_000);
  const before = Deno.memoryUsage().heapUsed, made = c.stats[STAT_INSERT];
  run(200_000);
  const grown = Deno.memoryUsage().heapUsed - before;
  assert(c.stats[STAT_INSERT] - made > 190_000, `${c.stats[STAT_INSERT] - made} flows`);
  assert(grown < 400_000, `${grown} bytes for 200,000 flows`);
  assert(c.flows.count > 1000 && c.flows.count < 2500, `${c.flows.count} flows are left`);
});

Deno.test("Conntrack.confirm sees a flow that began while its packet was on the way", () => {
  const rig = new Rig(), other = new Packet();
  rig.send(query(), {
    between: () => {
      load(other, query());
      assertEquals(parse(other), 0);
      other.hook = OUTPUT;
      rig.conntrack.in(other);
      assertEquals([rig.conntrack.confirm(other), other.ct !== rig.p.ct], [ACCEPT, true]);
    },
  });
  assertEquals(rig.flows().length, 1);
  assertEquals(rig.p.ct, other.ct, "the packet takes the flow in the table");
  // Likewise when NAT has asked for the answers' tuple before the other came.
  rig.send(tcp({ src: C, sport: 1, dst: S, dport: 2, flags: "S", seq: 9 }), {
    between: (p) => {
      const t = newTuple();
      copyTuple(t, 0, rig.conntrack.flows.words, tupleAt(p.ct, 0));
      assertEquals(rig.conntrack.tupleTaken(t, 0, p.ct), false);
      load(other, tcp({ src: S, sport: 2, dst: C, dport: 1, flags: "S", seq: 1 }));
      assertEquals(parse(other), 0);
      other.hook = OUTPUT;
      rig.conntrack.in(other);
      assertEquals(rig.conntrack.confirm(other), ACCEPT);
    },
  });
  assertEquals(rig.p.reason, Reason["insert-failed"]);
  assertEquals(rig.flows().length, 2);
});
