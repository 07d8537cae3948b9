import { assert, assertEquals } from "@std/assert";
import { MappedArena } from "../../src/arena.ts";
import { below, Xoshiro } from "../../src/clock.ts";
import {
  COUNTERS,
  CT_ID,
  CT_MARK,
  CT_MASTER,
  CT_ORIGINAL,
  CT_REPLY,
  CT_STATE,
  CT_STATUS,
  FLOW_CONFIRMED,
  FLOW_FREE,
  FLOW_UNCONFIRMED,
  FLOW_WORDS,
  PROTO_WORDS,
  SIDE_WORDS,
} from "../../src/conntrack/flow.ts";
import { FlowTable } from "../../src/conntrack/table.ts";
import { invertTuple, newTuple, PORTS, PROTO } from "../../src/conntrack/tuple.ts";

function table(capacity: number, memory = new ArrayBuffer(FlowTable.bytes(capacity)), seed = 1): FlowTable {
  return new FlowTable(memory, 0, capacity, new Xoshiro(seed));
}

/** Gives a record the tuples of flow number `n`, of IPv4 or, for odd numbers, IPv6. */
function name(t: FlowTable, ct: number, n: number): void {
  const w = t.words, at = ct * FLOW_WORDS + CT_ORIGINAL;
  w[at] = 0x0a000001;
  w[at + 4] = n >>> 8;
  if (n & 1) w[at + 3] = w[at + 7] = 7;
  w[at + PORTS] = (n << 16) | 53;
  w[at + PROTO] = ((n & 1 ? 6 : 4) << 8) | 17;
  invertTuple(w, ct * FLOW_WORDS + CT_REPLY, w, at);
}

Deno.test("FlowTable.alloc reuses the record freed last, zeroed, under a new id", () => {
  const t = table(4);
  const [a, b] = [t.alloc(), t.alloc()];
  const id = t.words[b * FLOW_WORDS + CT_ID];
  t.words[b * FLOW_WORDS + CT_STATUS] = 99;
  t.free(a);
  t.free(b);
  assertEquals(t.alloc(), b);
  assertEquals(t.words[b * FLOW_WORDS + CT_STATUS], 0);
  assertEquals(t.words[b * FLOW_WORDS + CT_STATE], FLOW_UNCONFIRMED);
  assert(t.words[b * FLOW_WORDS + CT_ID] !== id);
  assertEquals([t.alloc(), t.alloc(), t.alloc(), t.alloc()], [a, 2, 3, -1]);
  assertEquals([t.count, t.next(3)], [4, -1]);
});

Deno.test("FlowTable.retire keeps a record's words until reclaim", () => {
  const t = table(1);
  const ct = t.alloc();
  t.words[CT_STATUS] = 5;
  t.retire(ct);
  assertEquals([t.count, t.words[CT_STATE], t.words[CT_STATUS], t.alloc()], [0, FLOW_FREE, 5, -1]);
  t.reclaim();
  assertEquals(t.alloc(), ct);
});

Deno.test("FlowTable finds what was inserted and nothing else, whatever came and went", () => {
  const t = table(300), random = new Xoshiro(9), live = new Map<number, number>();
  for (let step = 0; step < 20_000; step++) {
    const n = below(random, 1000);
    const ct = live.get(n);
    if (ct !== undefined) {
      t.remove(ct);
      t.free(ct);
      live.delete(n);
    } else if (live.size < 300) {
      const made = t.alloc();
      name(t, made, n);
      t.insert(made);
      live.set(n, made);
    }
    if (step % 500 !== 0) continue;
    const probe = table(1);
    probe.alloc();
    for (let i = 0; i < 1000; i++) {
      probe.words.fill(0);
      name(probe, 0, i);
      const expected = live.get(i);
      assertEquals(t.find(probe.words, CT_ORIGINAL), expected === undefined ? -1 : expected << 1);
      assertEquals(t.find(probe.words, CT_REPLY), expected === undefined ? -1 : expected << 1 | 1);
    }
  }
  assertEquals(t.count, live.size);
});

Deno.test("FlowTable.rebuild brings back what was confirmed, from the memory alone", () => {
  const memory = new ArrayBuffer(FlowTable.bytes(16));
  const old = table(16, memory);
  for (let n = 0; n < 10; n++) {
    const ct = old.alloc();
    name(old, ct, n);
    if (n < 8) old.insert(ct);
  }
  old.remove(3);
  old.retire(3);
  const t = table(16, memory, 2);
  t.rebuild(0);
  assertEquals(t.count, 7);
  for (let n = 0; n < 10; n++) {
    const found = t.find(old.words, n * FLOW_WORDS + CT_ORIGINAL);
    assertEquals(found, n < 8 && n !== 3 ? n << 1 : -1, `flow ${n}`);
  }
  assertEquals([t.alloc(), t.alloc(), t.alloc()], [3, 8, 9], "what was not confirmed is free again");
  assertEquals(t.words[4 * FLOW_WORDS + CT_STATE], FLOW_CONFIRMED);
  assert(t.words[9 * FLOW_WORDS + CT_ID] > 10, "ids go on");
});

Deno.test("FlowTable.side is zero for each new flow, its own, and survives with its flow", () => {
  const memory = new ArrayBuffer(FlowTable.bytes(16)), random = new Xoshiro(9);
  let t = table(16, memory);
  const said = new Map<number, number>();
  for (let step = 0; step < 500; step++) {
    const n = below(random, 16), [ct] = [...said.keys()];
    if (said.size < 12) {
      const made = t.alloc();
      assert(!said.has(made));
      name(t, made, step);
      t.insert(made);
      if (n & 1) {
        const at = t.side(made);
        assertEquals([...t.words.subarray(at, at + SIDE_WORDS)], new Array(SIDE_WORDS).fill(0));
        t.words.fill(step, at, at + SIDE_WORDS);
      }
      said.set(made, n & 1 ? step : 0);
    } else {
      const at = t.side(ct);
      assertEquals([...t.words.subarray(at, at + SIDE_WORDS)], new Array(SIDE_WORDS).fill(said.get(ct)));
      t.remove(ct);
      t.free(ct);
      said.delete(ct);
    }
    if (step % 100 === 99) {
      t = table(16, memory, step);
      t.rebuild(0);
      assertEquals(t.count, said.size);
    }
  }
});

Deno.test("FlowTable gives each flow a record and columns of its own, however flows of both kinds come and go", () => {
  const CAPACITY = 300, memory = new ArrayBuffer(FlowTable.bytes(CAPACITY)), random = new Xoshiro(7);
  let t = table(CAPACITY, memory), number = 0, retired = 0;
  interface Flow {
    readonly n: number;
    readonly further: boolean;
    readonly counted: boolean;
    readonly aside: boolean;
  }
  const live = new Map<number, Flow>();
  const say = (ct: number, { n, further, counted, aside }: Flow) => {
    t.words[ct * FLOW_WORDS + CT_MARK] = n;
    if (further) t.words.fill(n, t.proto(ct), t.proto(ct) + PROTO_WORDS);
    if (counted) t.floats.fill(n, t.counters(ct), t.counters(ct) + COUNTERS);
    if (aside) t.words.fill(n, t.side(ct) + CT_MASTER, t.side(ct) + SIDE_WORDS); // behind the link of a pool
  };
  const hears = (ct: number, { n, further, counted, aside }: Flow, said = n) => {
    const all = (part: Int32Array | Float64Array) => part.every((word) => word === said);
    assertEquals(t.words[ct * FLOW_WORDS + CT_MARK], said);
    if (further) assert(all(t.words.subarray(t.proto(ct), t.proto(ct) + PROTO_WORDS)), `proto of ${n}`);
    if (counted) {
      assert(all(t.floats.subarray(t.counters(ct), t.counters(ct) + COUNTERS)), `counters of ${n}`);
    }
    if (aside) {
      assert(all(t.words.subarray(t.side(ct) + CT_MASTER, t.side(ct) + SIDE_WORDS)), `aside of ${n}`);
    }
  };
  const make = (further: boolean): boolean => {
    const ct = t.alloc(further);
    if (ct < 0) return false;
    const flow = { n: ++number, further, counted: below(random, 4) === 0, aside: below(random, 4) === 0 };
    assert(ct < CAPACITY && !live.has(ct), `record ${ct} is in use`);
    name(t, ct, flow.n);
    if (flow.counted) t.startCounters(ct);
    if (flow.aside) t.side(ct);
    hears(ct, flow, 0);
    say(ct, flow);
    t.insert(ct);
    live.set(ct, flow);
    return true;
  };
  const end = (ct: number) => {
    hears(ct, live.get(ct)!);
    t.remove(ct);
    if (below(random, 2) === 0) t.free(ct);
    else {
      t.retire(ct);
      retired++;
    }
    live.delete(ct);
  };
  const settle = () => {
    t.reclaim();
    retired = 0;
    const used: number[] = [];
    for (let ct = t.next(-1); ct >= 0; ct = t.next(ct)) {
      if (t.words[ct * FLOW_WORDS + CT_STATE] === FLOW_CONFIRMED) used.push(ct);
    }
    assertEquals(used.sort((a, b) => a - b), [...live.keys()].sort((a, b) => a - b));
    assertEquals(t.count, live.size);
    for (const [ct, flow] of live) hears(ct, flow);
  };
  const any = () => [...live.keys()][below(random, live.size)];

  // While there is room for the most that there were of each, each stays at its end.
  let mostShort = 0, mostFurther = 0;
  for (let step = 0; step < 4000; step++) {
    if (live.size < 120 && below(random, 5) > 1) assert(make(below(random, 3) === 0));
    else if (live.size > 0) end(any());
    if (step % 16 === 0) settle();
    if (step % 500 === 499) {
      t = table(CAPACITY, memory, step);
      t.rebuild(0);
      settle();
    }
    const further = [...live.values()].filter((flow) => flow.further).length;
    // A record that is retired is no more to be had than one in use, until all are reclaimed, every 16 steps.
    mostShort = Math.max(mostShort, live.size - further + 16);
    mostFurther = Math.max(mostFurther, further + 16);
    for (const [ct, flow] of live) {
      assert(flow.further ? ct >= CAPACITY - mostFurther : ct < mostShort, `${flow.n} has ${ct}`);
    }
  }
  // Then in any number: no record is lost, whoever had it before.
  for (let step = 0; step < 12_000; step++) {
    const turn = Math.floor(step / 1500), full = live.size + retired === CAPACITY;
    if (below(random, 5) > (turn & 1)) assertEquals(make(below(random, 8) < turn), !full);
    else if (live.size > 0) end(any());
    if (step % 50 === 49) settle();
  }
  for (const ct of [...live.keys()]) end(ct);
  settle();
  for (const further of [false, true]) {
    for (let i = 0; i < CAPACITY; i++) assert(make(further), `${i} of ${CAPACITY}`);
    assertEquals([t.alloc(false), t.alloc(true)], [-1, -1]);
    for (const ct of [...live.keys()]) end(ct);
    settle();
  }
});

Deno.test("FlowTable: tables over one memory and one arena are one table", () => {
  const memory = new ArrayBuffer(FlowTable.bytes(64)), buffer = new ArrayBuffer(1 << 21);
  const over = (fresh: boolean) =>
    new FlowTable(memory, 0, 64, new Xoshiro(fresh ? 1 : 2), new MappedArena(buffer, fresh));
  const tables = [over(true), over(false), over(false)], random = new Xoshiro(4), live: number[] = [];
  for (let step = 0; step < 2000; step++) {
    const t = tables[below(random, 3)], other = tables[below(random, 3)];
    if (live.length < 40 && below(random, 3) > 0) {
      const ct = t.alloc();
      name(t, ct, step);
      t.insert(ct);
      live.push(ct);
    } else if (live.length > 0) {
      const [ct] = live.splice(below(random, live.length), 1);
      t.remove(ct);
      other.retire(ct);
      t.reclaim();
      assertEquals(other.find(t.words, ct * FLOW_WORDS + CT_ORIGINAL), -1);
    }
    assertEquals([t.count, other.count, other.inserted], [live.length, live.length, t.inserted]);
    for (const ct of live) assertEquals(other.find(t.words, ct * FLOW_WORDS + CT_REPLY), ct << 1 | 1);
  }
});

Deno.test("X08 FlowTable: tuples chosen to look alike spread as random ones do", () => {
  const SIZE = 1 << 16, COUNT = 50_000;
  /** Longest run that a linear probe would walk. */
  const longest = (tuple: (i: number, t: Int32Array) => void) => {
    const t = table(8, undefined, 42), words = newTuple(), used = new Uint8Array(SIZE * 2);
    let most = 0;
    for (let i = 0; i < COUNT; i++) {
      words.fill(0);
      words[PROTO] = 0x411;
      tuple(i, words);
      let slot = t.hash(words, 0) & (SIZE * 2 - 1), probes = 1;
      while (used[slot]) {
        slot = (slot + 1) & (SIZE * 2 - 1);
        probes++;
      }
      used[slot] = 1;
      most = Math.max(most, probes);
    }
    return most;
  };
  const random = new Xoshiro(4);
  const fair = longest((_, t) => {
    t[0] = random.next();
    t[4] = random.next();
    t[PORTS] = random.next();
  });
  const attacks: Record<string, (i: number, t: Int32Array) => void> = {
    "counting ports": (i, t) => (t[PORTS] = i << 16),
    "counting addresses": (i, t) => (t[0] = i),
    "high bits only": (i, t) => (t[4] = i << 15),
    "equal sums": (i, t) => {
      t[0] = i;
      t[4] = -i;
    },
    "equal differences": (i, t) => (t[0] = t[4] = t[PORTS] = i * 0x10001),
  };
  for (const [what, tuple] of Object.entries(attacks)) {
    const most = longest(tuple);
    assert(most < fair * 3, `${what}: ${most} probes, random tuples ${fair}`);
  }
});

Deno.test("FlowTable walks over no more records than it has, whatever stands in memory that another process has left", () => {
  for (const [front, back] of [[1 << 30, 1 << 30], [0x7fffffff, 3], [-5, -5], [60, 60], [3, -1 << 31]]) {
    const memory = new ArrayBuffer(FlowTable.bytes(100));
    new Int32Array(memory).set([front, back]);
    const t = new FlowTable(memory, 0, 100, new Xoshiro(1)), seen = new Set<number>();
    for (let ct = t.next(-1); ct >= 0; ct = t.next(ct)) {
      assert(ct < 100 && !seen.has(ct), `${ct} with ${front} and ${back}`);
      seen.add(ct);
    }
  }
});
