/** Flows in memory with holes: what has no memory behind it is not begun, and never touched. */
import { assert, assertEquals } from "@std/assert";
import { MappedArena } from "../src/arena.ts";
import { below, Xoshiro } from "../src/clock.ts";
import { CT_STATUS, FLOW_WORDS, IPS_ASSURED, IPS_COUNTED, IPS_SIDE } from "../src/conntrack/flow.ts";
import { seqadjSet } from "../src/conntrack/seqadj.ts";
import { FlowTable, NO_RECORD, NO_SPACE } from "../src/conntrack/table.ts";
import { STAT_DROP } from "../src/conntrack/tracker.ts";
import { ftp } from "../src/helpers/mod.ts";
import { Memory } from "../src/memory.ts";
import { ESTABLISHED, Reason } from "../src/netfilter.ts";
import { PIECE, type Space } from "../src/space.ts";
import { PLAIN, Rig } from "./conntrack/rig.ts";
import { tcp, udp } from "./kit/mod.ts";

const CLIENT = "192.0.2.2", SERVER = "198.51.100.7";

/** Memory of which pieces are given away, until there are none left. */
class Holes implements Space {
  /** Pieces to be had. */
  left = 0;
  readonly #given = new Set<number>();

  constructor(readonly piece: number) {}

  /** What is there before anybody asks. */
  fill(from: number, to: number): void {
    for (let piece = Math.floor(from / this.piece); piece * this.piece < to; piece++) this.#given.add(piece);
  }

  has(from: number, to: number): boolean {
    for (let piece = Math.floor(from / this.piece); piece * this.piece < to; piece++) {
      if (this.#given.has(piece)) continue;
      if (this.left === 0) return false;
      this.left--;
      this.#given.add(piece);
    }
    return true;
  }

  /** Bytes that were written to where there is no memory. */
  damage(memory: ArrayBuffer, end: number): number[] {
    const bytes = new Uint8Array(memory, 0, end), found: number[] = [];
    for (let at = 0; at < end; at++) {
      if (bytes[at] !== 0 && !this.#given.has(Math.floor(at / this.piece))) found.push(at);
    }
    return found;
  }
}

/** A table with nothing but what belongs to no flow. */
function holey(capacity: number, piece: number): { table: FlowTable; holes: Holes; memory: ArrayBuffer } {
  const memory = new ArrayBuffer(FlowTable.bytes(capacity)), holes = new Holes(piece);
  for (const [from, to] of ownWords(capacity)) holes.fill(from, to);
  return {
    table: new FlowTable(memory, 0, capacity, new Xoshiro(1), undefined, holes),
    holes,
    memory,
  };
}

/** The head and the spare words: the first two of what a table begins with. */
const ownWords = (capacity: number) => FlowTable.beginnings(capacity).slice(0, 2);

Deno.test("FlowTable: a record without memory is not given out, and is as soon as there is some", () => {
  const { table } = holey(64, 128), holes = new Holes(128);
  assertEquals([table.alloc(), table.alloc(true), table.count, table.next(-1)], [NO_SPACE, NO_SPACE, 0, -1]);
  const other = new FlowTable(
    new ArrayBuffer(FlowTable.bytes(64)),
    0,
    64,
    new Xoshiro(1),
    undefined,
    holes,
  );
  holes.left = 3;
  assertEquals([other.alloc(), other.alloc(true), other.alloc()], [0, 63, NO_SPACE]);
  other.free(0);
  assertEquals([other.alloc(), other.alloc(true)], [0, NO_SPACE], "what was used has its memory");
  holes.left = 1000;
  for (let i = 0; i < 62; i++) assert(other.alloc(i % 2 === 0) >= 0);
  assertEquals(other.alloc(), NO_RECORD);
});

Deno.test("FlowTable: where no new record can be had one of the other end serves, if its further words can", () => {
  const { table, holes } = holey(64, 128);
  holes.left = 1;
  assertEquals(table.alloc(), 0);
  table.free(0);
  assertEquals(table.alloc(true), NO_SPACE);
  holes.left = 1;
  // The record at the back has its memory then, but its further words do not.
  assertEquals(table.alloc(true), NO_SPACE);
  holes.left = 1;
  assertEquals(table.alloc(true), 63);
  table.free(63);
  assertEquals(table.alloc(), 0);
  assertEquals(table.alloc(), 63);
});

Deno.test("FlowTable: counters and words aside without memory are done without", () => {
  const { table, holes, memory } = holey(64, 64);
  holes.left = 2;
  const ct = table.alloc(), status = ct * FLOW_WORDS + CT_STATUS, w = table.words;
  table.startCounters(ct);
  assertEquals(w[status] & IPS_COUNTED, 0);
  assert(!table.canHaveSide(ct));
  w[table.side(ct)] = 7;
  assertEquals([w[status] & IPS_SIDE, table.aside(ct, 0), w[table.side(ct)]], [0, 0, 0]);
  assertEquals(holes.damage(memory, memory.byteLength), []);
  holes.left = 10;
  table.startCounters(ct);
  assert(table.canHaveSide(ct));
  w[table.side(ct)] = 7;
  assertEquals(w[status] & (IPS_COUNTED | IPS_SIDE), IPS_COUNTED | IPS_SIDE);
  assertEquals(table.aside(ct, 0), 7);
});

Deno.test("FlowTable: earlier corrections without memory are forgotten, as Linux forgets them", () => {
  const { table, holes, memory } = holey(64, 64);
  holes.left = 100;
  const ct = table.alloc(true);
  table.side(ct);
  holes.left = 0;
  for (let i = 1; i < 4; i++) seqadjSet(table, ct, ESTABLISHED, i * 1000, 10);
  assertEquals(table.corrections.linkOf(table.words, table.side(ct)), 0);
  assertEquals(holes.damage(memory, memory.byteLength), []);
});

Deno.test("Conntrack: a flow that has no memory is dropped with a reason, a count and a line; others go on", () => {
  const holes = new Holes(4096), capacity = 1024;
  for (const [from, to] of ownWords(capacity)) holes.fill(from, to);
  const rig = new Rig({ capacity, space: holes });
  const query = (sport: number) => udp({ src: CLIENT, sport, dst: SERVER, dport: 53 });
  const answer = (dport: number) => udp({ src: SERVER, sport: 53, dst: CLIENT, dport });
  holes.left = 1;
  let begun = 0;
  while (rig.send(query(1000 + begun)) === "NEW") begun++;
  assert(begun >= 31, `${begun}`);
  assertEquals([rig.p.reason, rig.p.ct], [Reason["no-space"], -1]);
  assertEquals([rig.conntrack.stats[STAT_DROP], rig.conntrack.flows.count], [1, begun]);
  assertEquals(rig.log, ["nf_conntrack: no space for another flow in the state file, dropping packet"]);
  for (let i = 0; i < begun; i++) assertEquals(rig.send(answer(1000 + i)), "ESTABLISHED");
  rig.wait(200_000);
  assertEquals(rig.send(query(5000)), "NEW", "the places of those that have ended");
  holes.left = 100;
  for (let i = 0; i < capacity - 1; i++) assertEquals(rig.send(query(6000 + i)), "NEW");
});

Deno.test("Conntrack: a flow with a helper, a master or a start begins when there is memory for what they note", () => {
  const capacity = 1024;
  const to = (dport: number) => tcp({ src: CLIENT, sport: 40000 + dport, dst: SERVER, dport, flags: "S" });
  const rigWith = (sysctl: Record<string, number>) => {
    const holes = new Holes(64);
    for (const [from, to] of ownWords(capacity)) holes.fill(from, to);
    holes.left = 3; // a record and its further words
    return { holes, rig: new Rig({ capacity, space: holes, helpers: [ftp()], sysctl }) };
  };
  const { holes, rig } = rigWith({});
  assertEquals(rig.send(to(21)), "no-space");
  assertEquals(rig.conntrack.flows.count, 0, "it left no trace");
  assertEquals(rig.send(to(80)), "NEW", "without helper it needs less");
  holes.left = 10;
  assertEquals(rig.send(to(21)), "NEW");
  assertEquals(rigWith({ timestamp: 1 }).rig.send(to(80)), "no-space");
  assertEquals(rigWith({}).rig.send(to(80), { template: { ...PLAIN, helper: 0 } }), "no-space", "by a rule");
});

Deno.test("Conntrack: whatever comes, nothing is written where there is no memory", () => {
  const capacity = 512, random = new Xoshiro(11);
  for (let run = 0; run < 12; run++) {
    const piece = 64 << below(random, 5), holes = new Holes(piece), bytes = FlowTable.bytes(capacity);
    for (const [from, to] of ownWords(capacity)) holes.fill(from, to);
    const memory = new ArrayBuffer(bytes + 64 * 128);
    holes.fill(bytes, memory.byteLength);
    const rig = new Rig({
      capacity,
      memory,
      arena: new MappedArena(new ArrayBuffer(1 << 23), true),
      space: holes,
      helpers: [ftp()],
      sysctl: { acct: run & 1, timestamp: (run >> 1) & 1, max: 480 },
    });
    const seen = new Set<string>();
    for (let n = 0; n < 4000; n++) {
      if (below(random, 50) === 0) holes.left = below(random, 2) * below(random, 1 + 16384 / piece);
      if (below(random, 100) === 0) rig.wait(below(random, 40_000));
      const sport = 1024 + below(random, 800), port = [21, 21, 53, 80][below(random, 4)];
      const ends = below(random, 3) === 0
        ? { src: SERVER, dst: CLIENT, sport: port, dport: sport }
        : { src: CLIENT, dst: SERVER, sport, dport: port };
      seen.add(rig.send(port === 53 ? udp(ends) : tcp({ ...ends, flags: "S" })));
      const { ct } = rig.p, { flows } = rig.conntrack;
      if (ct < 0) continue;
      if (below(random, 4) === 0) flows.words[ct * FLOW_WORDS + CT_STATUS] |= IPS_ASSURED;
      if (below(random, 8) === 0) seqadjSet(flows, ct, ESTABLISHED, n * 100, 5);
    }
    assertEquals(holes.damage(memory, bytes), [], `run ${run}`);
    assert(seen.has("NEW") && seen.has("ESTABLISHED") && seen.has("no-space"), [...seen].join());
  }
});

Deno.test("Memory.beginnings are whole pieces in order, with all that a router touches before its first packet", () => {
  for (const flows of [1, 100, 5000, 262144]) {
    const geometry = { interfaces: 3, rules: 50, flows, expects: 40 }, end = Memory.bytes(geometry);
    const parts = Memory.beginnings(geometry), holes = new Holes(PIECE);
    let last = -1;
    for (const [from, to] of parts) {
      assert(from > last && to > from && from % PIECE === 0 && (to % PIECE === 0 || to === end), `${parts}`);
      holes.fill(from, to);
      last = to;
    }
    const buffer = new ArrayBuffer(end);
    const memory = Memory.create(buffer, geometry);
    memory.generation.setInterfaceName(3, "lan");
    memory.generation.describe([], true);
    const table = new FlowTable(buffer, memory.flowsOffset, flows, new Xoshiro(1), undefined, holes);
    new Uint8Array(buffer, memory.expectsOffset, 128 * 40).fill(1);
    for (let i = 0; i < Math.min(flows, 256); i++) {
      const ct = table.alloc(i % 2 === 0);
      assert(ct >= 0 && table.canHaveSide(ct), `flow ${i} of ${flows}`);
      table.startCounters(ct);
      assertEquals(table.words[ct * FLOW_WORDS + CT_STATUS] & IPS_COUNTED, IPS_COUNTED);
    }
    assertEquals(holes.damage(buffer, end), []);
  }
});
