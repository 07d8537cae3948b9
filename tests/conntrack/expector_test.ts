import { assert, assertEquals } from "@std/assert";
import { below, Xoshiro } from "../../src/clock.ts";
import {
  EXP_FLAGS,
  EXP_FN,
  EXP_HELPER,
  EXP_WORDS,
  EXPECT_BUSY,
  EXPECT_EXISTS,
  EXPECT_FULL,
  EXPECT_INACTIVE,
  EXPECT_OK,
  EXPECT_PERMANENT,
  EXPECT_SHUTDOWN,
  ExpectTable,
} from "../../src/conntrack/expect.ts";
import {
  CT_EXPECTING,
  CT_HELPER,
  CT_MARK,
  CT_STATUS,
  FLOW_WORDS,
  IPS_MASTER_HELPER_MASK,
  IPS_MASTER_HELPER_SHIFT,
  tupleAt,
} from "../../src/conntrack/flow.ts";
import type { ConntrackHelper } from "../../src/conntrack/helper.ts";
import { FlowTable } from "../../src/conntrack/table.ts";
import { DST, SRC } from "../../src/conntrack/tuple.ts";
import { ACCEPT, TCP } from "../../src/netfilter.ts";
import { tcp, type TcpOptions } from "../kit/mod.ts";
import { PLAIN, Rig, type RigOptions } from "./rig.ts";

const C = "192.0.2.2", S = "198.51.100.7";

const HELPER: ConntrackHelper = {
  name: "test",
  protocol: TCP,
  families: [4, 6],
  ports: [21],
  autoAssign: true,
  policies: [{ name: "one", maxExpected: 1, timeout: 300 }, { name: "three", maxExpected: 3, timeout: 60 }],
  help: () => ACCEPT,
};

const control = (o: Partial<TcpOptions> = {}) =>
  tcp({ src: C, sport: 40000, dst: S, dport: 21, flags: "S", ...o });
/** The announced flow's first packet: from the server to a port of the client. */
const data = (dport: number, o: Partial<TcpOptions> = {}) =>
  tcp({ src: S, sport: 20, dst: C, dport, flags: "S", ...o });

/** A rig with a control flow, and its handle. */
function opened(o: RigOptions = {}): [Rig, number] {
  const rig = new Rig({ helpers: [HELPER], ...o });
  rig.send(control());
  return [rig, rig.p.ct];
}

interface Announced {
  port: number;
  expectClass?: number;
  anySource?: boolean;
  sourcePort?: number;
  flags?: number;
  change?: (e: Int32Array, at: number) => void;
}

/** Announces a flow from the master's server to a port of its client; says what `expectRelated` said. */
function announce(rig: Rig, master: number, o: Announced): number {
  const c = rig.conntrack, w = c.flows.words, reply = tupleAt(master, 1), e = c.expects.words;
  const exp = c.expectAlloc(master);
  if (exp < 0) return -1;
  c.expectInit(
    exp,
    o.expectClass ?? 0,
    4,
    o.anySource ? null : w,
    reply + SRC,
    w,
    reply + DST,
    TCP,
    o.sourcePort ?? -1,
    o.port,
  );
  e[exp * EXP_WORDS + EXP_FLAGS] = o.flags ?? 0;
  o.change?.(e, exp * EXP_WORDS);
  const said = c.expectRelated(exp);
  c.expectPut(exp);
  return said;
}

Deno.test("an announced flow is RELATED, once, and a child of its master (F01)", () => {
  const [rig, master] = opened();
  const w = rig.conntrack.flows.words;
  w[master * FLOW_WORDS + CT_MARK] = 7;
  assertEquals(announce(rig, master, { port: 4000 }), EXPECT_OK);
  assertEquals(rig.expects(), [
    "300 proto=6 src=198.51.100.7 dst=192.0.2.2 sport=0 dport=4000 mask-src=255.255.255.255 " +
    "mask-dst=255.255.255.255 sport=0 dport=65535 master-src=192.0.2.2 master-dst=198.51.100.7 sport=40000 dport=21 " +
    "class=0 helper=test",
  ]);
  assertEquals(rig.send(data(4000)), "RELATED");
  const child = rig.p.ct;
  assertEquals(rig.expects(), []);
  assertEquals(
    [rig.conntrack.master(child), w[child * FLOW_WORDS + CT_MARK]],
    [master, 7],
    "F29: the mark is copied",
  );
  assertEquals(rig.conntrack.flows.aside(master, CT_EXPECTING), 0);
  assertEquals(rig.send(data(4000)), "RELATED", "the same flow's SYN once more");
  assertEquals(rig.send(tcp({ src: C, sport: 4000, dst: S, dport: 20, flags: "SA", ack: 1 })), "ESTABLISHED");
  assertEquals(rig.send(data(4000, { sport: 21 })), "NEW", "used up");
  assert(rig.flows()[0].endsWith("helper=test use=2"));
  rig.conntrack.delete(master);
  assertEquals([rig.conntrack.master(child), rig.flows().length], [-1, 2], "children live on");
  const status = w[child * FLOW_WORDS + CT_STATUS];
  assertEquals((status >>> IPS_MASTER_HELPER_SHIFT) & IPS_MASTER_HELPER_MASK, 1, "and know its helper");
});

Deno.test("X02 an expectation is for one source, one destination and one port", () => {
  const [rig, master] = opened();
  announce(rig, master, { port: 4000, sourcePort: 20 });
  assertEquals(rig.send(data(4001)), "NEW");
  assertEquals(rig.send(data(4000, { dst: "192.0.2.3" })), "NEW");
  assertEquals(rig.send(data(4000, { src: "198.51.100.8" })), "NEW");
  assertEquals(rig.send(data(4000, { sport: 21 })), "NEW");
  assertEquals(rig.send(data(4000)), "RELATED");
});

Deno.test("C01 a null source is any source", () => {
  const [rig, master] = opened();
  announce(rig, master, { port: 4000, anySource: true });
  assert(rig.expects()[0].includes(" src=0.0.0.0 ") && rig.expects()[0].includes(" mask-src=0.0.0.0 "));
  assertEquals(rig.send(data(4000, { src: "198.51.100.99" })), "RELATED");
});

Deno.test("nobody can know of an announcement before the master is confirmed", () => {
  const rig = new Rig({ helpers: [HELPER] });
  rig.send(control(), {
    between(p) {
      assertEquals(announce(rig, p.ct, { port: 4000 }), EXPECT_OK);
    },
    drop: false,
  });
  assertEquals(rig.send(data(4000)), "RELATED");
  rig.send(control({ sport: 40001 }), {
    between(p) {
      announce(rig, p.ct, { port: 4001 });
      const { ct, ctinfo } = p;
      const other = new Rig({ helpers: [HELPER] });
      assertEquals(other.send(data(4001)), "NEW");
      assertEquals([p.ct, p.ctinfo], [ct, ctinfo]);
    },
  });
});

Deno.test("F28 expectations die with their master, confirmed or dropped", () => {
  const [rig, master] = opened();
  announce(rig, master, { port: 4000 });
  rig.conntrack.delete(master);
  assertEquals([rig.expects(), rig.conntrack.expects.count], [[], 0]);
  assertEquals(rig.send(data(4000)), "NEW");

  rig.send(control({ sport: 40001 }), {
    between: (p) => void announce(rig, p.ct, { port: 4002 }),
    drop: false,
  });
  assertEquals(rig.conntrack.expects.count, 1);
  const p = rig.p;
  p.hook = 0;
  rig.send(control({ sport: 40002 }), {
    between(p) {
      announce(rig, p.ct, { port: 4003 });
      rig.conntrack.delete(p.ct);
    },
  });
  assertEquals(rig.conntrack.expects.count, 1, "P: the master was never confirmed");
});

Deno.test("an expectation dies when its time is over, listed, looked up and swept", () => {
  const [rig, master] = opened({ sysctl: { tcp_timeout_syn_sent: 1000 } });
  announce(rig, master, { port: 4000 });
  rig.clock.advance(299_500);
  assert(rig.expects()[0].startsWith("0 proto=6 "));
  rig.clock.advance(500);
  assertEquals(rig.expects(), []);
  assertEquals(rig.send(data(4000)), "NEW");
  announce(rig, master, { port: 4001 });
  rig.wait(301_000);
  assertEquals(rig.conntrack.expects.count, 0);
});

Deno.test("F30 C09 a class has its limit, and the oldest makes room", () => {
  const [rig, master] = opened();
  for (const port of [4000, 4001, 4002]) assertEquals(announce(rig, master, { port }), EXPECT_OK);
  assertEquals(rig.expects().map((l) => l.match(/ sport=0 dport=(\d+)/)![1]), ["4002"]);
  for (const port of [5000, 5001, 5002, 5003]) announce(rig, master, { port, expectClass: 1 });
  assertEquals(
    rig.expects().map((l) => l.match(/ sport=0 dport=(\d+)/)![1]).sort(),
    ["4002", "5001", "5002", "5003"],
  );
  assertEquals(rig.conntrack.flows.aside(master, CT_EXPECTING), 0x301);
  assertEquals(rig.send(data(5002)), "RELATED");
  assertEquals(rig.conntrack.flows.aside(master, CT_EXPECTING), 0x201, "of its own class");
});

Deno.test("P02 the same announcement again replaces the old one, with its time", () => {
  const [rig, master] = opened();
  announce(rig, master, { port: 4000, expectClass: 1 });
  rig.clock.advance(50_000);
  assertEquals(announce(rig, master, { port: 4000, expectClass: 1 }), EXPECT_OK);
  assertEquals(rig.expects().map((l) => l.split(" ")[0]), ["60"]);
  assertEquals(announce(rig, master, { port: 4000, expectClass: 0 }), EXPECT_EXISTS);
});

Deno.test("F25 what another master waits for is BUSY", () => {
  const [rig, first] = opened();
  rig.send(control({ sport: 40001 }));
  const second = rig.p.ct;
  announce(rig, first, { port: 4000 });
  assertEquals(announce(rig, second, { port: 4000 }), EXPECT_BUSY);
  assertEquals(announce(rig, second, { port: 4000, anySource: true }), EXPECT_BUSY, "masks that overlap");
  assertEquals(announce(rig, second, { port: 4001 }), EXPECT_OK);
});

Deno.test("the table has its limit, and a master without helper expects nothing", () => {
  const [rig, master] = opened({ sysctl: { expect_max: 2 } });
  announce(rig, master, { port: 1, expectClass: 1 });
  announce(rig, master, { port: 2, expectClass: 1 });
  assertEquals(announce(rig, master, { port: 3, expectClass: 1 }), EXPECT_FULL);
  assert(rig.log[0].includes("expectation table full"));
  rig.send(control({ dport: 22 }));
  assertEquals(announce(rig, rig.p.ct, { port: 4 }), EXPECT_SHUTDOWN);
  assertEquals(rig.conntrack.expects.count, 2);
});

Deno.test("memory is given back: allocate, refuse, use, over and over", () => {
  const [rig, master] = opened({ expectCapacity: 3 });
  for (let i = 0; i < 50; i++) {
    assertEquals(announce(rig, master, { port: 4000 + i }), EXPECT_OK, `round ${i}`);
    if (i % 3 === 0) rig.send(data(4000 + i), { drop: true });
  }
  const c = rig.conntrack;
  const held = [c.expectAlloc(master), c.expectAlloc(master), c.expectAlloc(master)];
  assert(held.includes(-1));
  for (const exp of held) if (exp >= 0) c.expectPut(exp);
  assertEquals(announce(rig, master, { port: 9 }), EXPECT_OK);
});

Deno.test("PERMANENT stays, INACTIVE does not count", () => {
  const [rig, master] = opened();
  announce(rig, master, { port: 4000, expectClass: 1, flags: EXPECT_PERMANENT });
  announce(rig, master, { port: 4001, expectClass: 1, flags: EXPECT_INACTIVE });
  assertEquals(rig.send(data(4000, { sport: 1 })), "RELATED");
  assertEquals(rig.send(data(4000, { sport: 2 })), "RELATED");
  assertEquals(rig.send(data(4001)), "NEW");
  assert(rig.expects().some((l) => l.includes(" PERMANENT class=1 ")));
  assert(rig.expects().some((l) => l.includes(" INACTIVE class=1 ")));
});

Deno.test("unexpectRelated takes an expectation back that its maker still holds", () => {
  const [rig, master] = opened(), c = rig.conntrack, w = c.flows.words;
  const exp = c.expectAlloc(master);
  c.expectInit(exp, 0, 4, null, 0, w, tupleAt(master, 0), TCP, -1, 4000);
  for (let i = 0; i < 3; i++) {
    assertEquals(c.expectRelated(exp), EXPECT_OK);
    c.unexpectRelated(exp);
  }
  assertEquals([c.expects.count, c.flows.aside(master, CT_EXPECTING)], [0, 0]);
  c.expectPut(exp);
  assertEquals(c.expectAlloc(master), exp);
});

Deno.test("the expectation's function runs on the new flow, which gets the expectation's helper", () => {
  const second = { ...HELPER, name: "second", autoAssign: false };
  const [rig, master] = opened({ helpers: [HELPER, second] }), calls: number[][] = [];
  const fn = rig.conntrack.registerExpectFn((ct, exp) => calls.push([ct, exp]));
  assertEquals(fn, 1);
  announce(rig, master, {
    port: 4000,
    change(e, at) {
      e[at + EXP_FN] = fn;
      e[at + EXP_HELPER] = 2;
    },
  });
  rig.send(data(4000), { template: { ...PLAIN, helper: 0 } });
  assertEquals(calls, [[rig.p.ct, 0]]);
  assert(rig.flows()[1].includes(" helper=second "), "a9: not the template's");
});

Deno.test("expectations are for the master's zone", () => {
  const rig = new Rig({ helpers: [HELPER] }), zone = { ...PLAIN, zoneOriginal: 3, zoneReply: 3 };
  rig.send(control(), { template: zone });
  announce(rig, rig.p.ct, { port: 4000 });
  assert(rig.expects()[0].includes(" zone=3 "));
  assertEquals(rig.send(data(4000)), "NEW");
  assertEquals(rig.send(data(4000), { template: zone }), "RELATED");
});

Deno.test("expectations outlive the process with their memory", () => {
  const memory = new ArrayBuffer(FlowTable.bytes(64) + ExpectTable.bytes(64));
  const [before, master] = opened({ capacity: 64, memory });
  announce(before, master, { port: 4000, expectClass: 1 });
  announce(before, master, { port: 4001, expectClass: 1 });
  before.conntrack.expectAlloc(master);
  const after = new Rig({ capacity: 64, memory, helpers: [HELPER] });
  assertEquals(after.expects(), before.expects());
  assertEquals(after.conntrack.expects.count, 2);
  assertEquals(after.send(data(4001)), "RELATED");
  assertEquals(announce(after, master, { port: 4002, expectClass: 1 }), EXPECT_OK);
});

Deno.test("expectations outlive the process without a helper that is no longer there", () => {
  const memory = new ArrayBuffer(FlowTable.bytes(64) + ExpectTable.bytes(64));
  const [before, master] = opened({
    capacity: 64,
    memory,
    helpers: [HELPER, { ...HELPER, name: "second", ports: [22], autoAssign: false }],
  });
  const change = (e: Int32Array, at: number) => void (e[at + EXP_HELPER] = 2);
  announce(before, master, { port: 4000, expectClass: 1, change });
  const after = new Rig({ capacity: 64, memory, helpers: [HELPER] });
  assertEquals(after.send(data(4000)), "RELATED");
  assertEquals(after.conntrack.flows.words[after.p.ct * FLOW_WORDS + CT_HELPER], 0);
});

Deno.test("many expectations end on time, each looked at a few times, some at each sweep", () => {
  const MANY = 3000, random = new Xoshiro(12);
  const slow = {
    ...HELPER,
    policies: [5, 60, 300].map((timeout) => ({ name: `${timeout}`, maxExpected: 0, timeout })),
  };
  const rig = new Rig({
    helpers: [slow],
    expectCapacity: MANY,
    sysctl: { expect_max: MANY, tcp_timeout_syn_sent: 100_000, tcp_timeout_max_retrans: 100_000 },
  });
  const { conntrack } = rig, { expects } = conntrack;
  const ends = new Map<number, number>();
  let looks = 0, made = 0, ended = 0;
  const next = expects.wheel.next.bind(expects.wheel);
  expects.wheel.next = (now) => {
    const exp = next(now);
    if (exp >= 0) looks++;
    return exp;
  };
  rig.send(control());
  const master = rig.p.ct;
  for (let step = 0; step < 3000; step++) {
    for (let i = below(random, 4); i > 0 && ends.size < MANY; i--) {
      const port = 1024 + below(random, 60_000), expectClass = below(random, 3);
      if (ends.has(port)) continue;
      assertEquals(announce(rig, master, { port, expectClass }), EXPECT_OK);
      ends.set(port, rig.clock.now + slow.policies[expectClass].timeout * 1000);
      made++;
    }
    const [port] = ends.keys();
    if (below(random, 6) === 0 && port !== undefined) {
      assertEquals(rig.send(data(port), { drop: true }), "RELATED");
      ends.delete(port);
    }
    rig.clock.advance(below(random, 300));
    conntrack.sweep();
    for (const [port, end] of ends) if (end <= rig.clock.now && ends.delete(port)) ended++;
    assertEquals(expects.count, ends.size, `step ${step}`);
  }
  assert(made > 3000 && ended > 1500, `${made} made, ${ended} ended`);
  assert(looks < 3 * made, `${looks} looks at ${made}`);
  // All the rest at once: no sweep takes them all.
  rig.clock.advance(400_000);
  const rest = expects.count;
  let sweeps = 1;
  while (conntrack.sweep()) sweeps++;
  assertEquals(expects.count, 0);
  assert(rest > 500 && sweeps > rest / 300, `${sweeps} sweeps for ${rest}`);
});
