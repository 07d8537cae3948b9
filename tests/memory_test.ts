import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { FlowTable } from "../src/conntrack/table.ts";
import { ExpectTable } from "../src/conntrack/expect.ts";
import { EventRing } from "../src/conntrack/events.ts";
import { Pinholes } from "../src/conntrack/pinholes.ts";
import { HelperRoster } from "../src/conntrack/roster.ts";
import { Xoshiro } from "../src/clock.ts";
import { writeKey } from "../src/config/key.ts";
import type { Generation } from "../src/generation.ts";
import { ftp, tftp } from "../src/helpers/mod.ts";
import {
  COMMAND_WORDS,
  CONTROL_HEARTBEAT,
  type Geometry,
  INTERFACE_COUNTERS,
  LAYOUT_VERSION,
  Memory,
  MemoryError,
  RX_PACKETS,
} from "../src/memory.ts";
import { Reason, REASONS } from "../src/netfilter.ts";

const geometry: Geometry = { interfaces: 3, rules: 10, flows: 100, expects: 8 };
const owner = { pid: 4711, processStarted: 123456, started: 1.7e12 };

function make(): { buffer: ArrayBuffer; memory: Memory } {
  const buffer = new ArrayBuffer(Memory.bytes(geometry));
  return { buffer, memory: Memory.create(buffer, geometry, owner) };
}

Deno.test("Memory.open finds what Memory.create laid out", () => {
  const { buffer, memory } = make();
  memory.countDrop(Reason["no-route"], 84);
  memory.countDrop(Reason["no-route"], 16);
  memory.interfaces[2 * INTERFACE_COUNTERS + RX_PACKETS] = 7;
  memory.generation.rules[19] = 5;
  memory.generation.setInterfaceName(0, "weir0");
  memory.generation.setInterfaceName(3, "a-name-that-is-too-long");
  const again = Memory.open(buffer);
  assertEquals(again.geometry, geometry);
  assertEquals(again.reasons, REASONS.length);
  assertEquals(again.drops[Reason["no-route"] * 2], 2);
  assertEquals(again.drops[Reason["no-route"] * 2 + 1], 100);
  assertEquals(again.dropped, 2);
  assertEquals(again.interfaces[2 * INTERFACE_COUNTERS + RX_PACKETS], 7);
  assertEquals(again.generation.rules[19], 5);
  assertEquals([0, 1, 3].map((i) => again.generation.interfaceName(i)), ["weir0", "", "a-name-that-is-"]);
  assertEquals({ ...again.owner, boot: undefined }, { ...owner, boot: undefined });
  assertEquals(new TextDecoder().decode(new Uint8Array(buffer, 0, 8)), "WEIRSTAT");
});

Deno.test("Memory sections do not overlap", () => {
  const { buffer, memory } = make();
  const flows = new FlowTable(buffer, memory.flowsOffset, geometry.flows, new Xoshiro(1));
  const expects = new ExpectTable(buffer, memory.expectsOffset, geometry.expects, new Xoshiro(1));
  const { generation } = memory;
  const sections: [name: string, from: number, to: number][] = [
    ["control", memory.control.byteOffset, memory.control.byteOffset + memory.control.byteLength],
    ["drops", memory.drops.byteOffset, memory.drops.byteOffset + memory.drops.byteLength],
    ["stats", memory.stats.byteOffset, memory.stats.byteOffset + memory.stats.byteLength],
    ["pinholes", memory.pinholes.byteOffset, memory.pinholes.byteOffset + Pinholes.BYTES],
    ["events", memory.events.byteOffset, memory.events.byteOffset + EventRing.bytes()],
    ["flows", memory.flowsOffset, flows.words.byteOffset + flows.words.byteLength],
    ["expects", memory.expectsOffset, expects.words.byteOffset + expects.words.byteLength],
    ["generation", memory.generation.at, memory.generation.at],
    ["interfaces", memory.interfaces.byteOffset, memory.interfaces.byteOffset + memory.interfaces.byteLength],
    [
      "rules",
      memory.generation.rules.byteOffset,
      memory.generation.rules.byteOffset + memory.generation.rules.byteLength,
    ],
    ["keys", generation.keys.byteOffset, generation.keys.byteOffset + generation.keys.byteLength],
    ["roster", memory.generation.roster.byteOffset, memory.generation.roster.byteOffset + HelperRoster.BYTES],
    ["end", buffer.byteLength, buffer.byteLength],
  ];
  for (let i = 1; i < sections.length; i++) {
    const [before, , end] = sections[i - 1], [after, start] = sections[i];
    assert(end <= start, `${before} ends at ${end}, ${after} begins at ${start}`);
  }
  assertEquals(memory.flowsOffset % 64, 0);
  assertEquals(memory.expectsOffset % 64, 0);
});

Deno.test("Memory.open refuses what it does not understand, with the reason", () => {
  const broken: [reason: string, change: (words: Int32Array, floats: Float64Array) => void][] = [
    ["does not begin with WEIRSTAT", (w) => w[0] = 0],
    ["does not begin with WEIRSTAT", (w) => w[1]++],
    [
      `layout version ${LAYOUT_VERSION + 1}, this Weir reads ${LAYOUT_VERSION}`,
      (w) => w[2] = LAYOUT_VERSION + 1,
    ],
    ["geometry makes no sense", (w) => w[6] = 0],
    ["what its header names is not there", (w) => w[28]++],
    ["what its header names is not there", (w) => w[28] = 1 << 20],
    ["size and its geometry disagree", (w) => w[6] = 99999],
    ["records of 79", (w) => w[8] = 79],
    ["size and its geometry disagree", (_w, f) => f[9] = NaN],
  ];
  for (const [reason, change] of broken) {
    const { buffer } = make();
    change(new Int32Array(buffer), new Float64Array(buffer));
    assertStringIncludes(assertThrows(() => Memory.open(buffer), MemoryError).message, reason);
  }
  const { buffer } = make();
  assertStringIncludes(
    assertThrows(() => Memory.open(buffer.slice(0, 9000)), MemoryError).message,
    "cut short",
  );
  assertStringIncludes(assertThrows(() => Memory.open(new ArrayBuffer(100)), MemoryError).message, "too few");
});

Deno.test("Memory.create refuses too little memory, used memory and impossible geometry", () => {
  assertThrows(() => Memory.create(new ArrayBuffer(Memory.bytes(geometry) - 1), geometry), RangeError);
  assertThrows(() => Memory.create(make().buffer, geometry), MemoryError);
  for (const change of [{ flows: 0 }, { expects: -1 }, { rules: 1.5 }, { interfaces: NaN }]) {
    assertThrows(() => Memory.bytes({ ...geometry, ...change }), RangeError);
  }
});

Deno.test("Memory.adopt keeps the counters and begins the control area anew", () => {
  const { buffer, memory } = make();
  memory.control[CONTROL_HEARTBEAT] = 99;
  memory.totals[0] = 5;
  memory.generation.rules[0] = 3;
  const next = Memory.open(buffer);
  next.adopt({ ...owner, pid: 4712, boot: new Int32Array([1, 2, 3, 4]) });
  assertEquals([next.owner.pid, next.restarts, next.control[CONTROL_HEARTBEAT], next.totals[0]], [
    4712,
    1,
    0,
    0,
  ]);
  assertEquals(Array.from(next.owner.boot!), [1, 2, 3, 4]);
  assertEquals(next.generation.rules[0], 3);
});

Deno.test("Memory.send, take and answer pass commands in order and answers back, and a full ring refuses", () => {
  const { buffer, memory } = make();
  const dataPlane = Memory.open(buffer), out = new Int32Array(COMMAND_WORDS);
  assertEquals(dataPlane.take(out), false);
  for (let round = 0; round < 3; round++) {
    let sent = 0;
    const first = memory.send(7, [sent++, -1]);
    while (memory.send(7, [sent, -1]) >= 0) sent++;
    assertEquals(sent, 32);
    for (let i = 0; i < sent; i++) {
      assert(dataPlane.take(out));
      assertEquals(Array.from(out), [7, i, -1, 0, 0, 0, 0, 0]);
      assertEquals(memory.answered(first + i), null);
      out[2] = i * 2;
      dataPlane.answer(out);
      assertEquals(Array.from(memory.answered(first + i)!).slice(0, 4), [7, i, i * 2, 0]);
    }
    assertEquals(dataPlane.take(out), false);
  }
});

/** Memory with room behind it, its first generation named. */
function roomy(names: readonly string[]): { buffer: ArrayBuffer; memory: Memory } {
  const buffer = new ArrayBuffer(Memory.bytes(geometry) * 4), memory = Memory.create(buffer, geometry, owner);
  names.forEach((name, i) => memory.generation.setInterfaceName(i + 1, name));
  return { buffer, memory };
}

Deno.test("Memory.successor lays out another generation beside the one in force, until it is published", () => {
  const { buffer, memory } = roomy(["lan", "wan"]);
  const places: number[] = [];
  let now = memory;
  for (const rules of [12, 10, 400, 10]) {
    now.generation.rules[0] = 7;
    const next = now.successor({ interfaces: 2, rules });
    next.generation.setInterfaceName(1, `lan${rules}`);
    // Nothing of the one in force is another, and whoever opens the state finds that one.
    assertEquals([now.generation.rules[0], Memory.open(buffer).generation.interfaceName(1)], [
      7,
      now.generation.interfaceName(1),
    ]);
    assert(next.end <= buffer.byteLength);
    next.publish();
    const found = Memory.open(buffer);
    assertEquals([found.generation.interfaceName(1), found.geometry.rules, found.generation.rules[0]], [
      `lan${rules}`,
      rules,
      0,
    ]);
    places.push(next.generation.at - memory.generation.at);
    now = next;
  }
  assertEquals(places.map((place) => place === 0), [false, true, false, true], "two places take turns");
});

Deno.test("Generation.adoptCounters: what is the same goes on, by its name and not by its place", () => {
  const { memory } = roomy(["lan", "wan", "dmz"]);
  const before = memory.generation;
  const name = (generation: Generation, names: readonly string[]) =>
    names.forEach((rule, slot) => writeKey(generation.keys, 2 * slot, rule));
  name(before, ["a", "b", "c"]);
  for (let i = 0; i < 6; i++) before.rules[i] = 10 + i;
  before.interfaces[2 * INTERFACE_COUNTERS + RX_PACKETS] = 5;
  before.interfaces[3 * INTERFACE_COUNTERS + RX_PACKETS] = 6;
  before.roster.list([ftp(), tftp()], false);
  before.roster.counts[0] = 3;
  before.roster.setLoaded(1, false);
  for (const zero of [false, true]) {
    const next = memory.successor({ interfaces: 3, rules: 5 }).generation;
    ["lan", "wan", "guest"].forEach((text, i) => next.setInterfaceName(i + 1, text));
    name(next, ["c", "new", "a"]);
    next.roster.list([ftp(), tftp()], false);
    next.adoptCounters(before, zero);
    assertEquals(
      Array.from(next.rules.subarray(0, 8)),
      zero ? Array(8).fill(0) : [14, 15, 0, 0, 10, 11, 0, 0],
    );
    assertEquals([2, 3].map((i) => next.interfaces[i * INTERFACE_COUNTERS + RX_PACKETS]), [5, 0]);
    assertEquals(next.roster.entries.map(({ loaded, counts }) => [loaded, counts[0]]), [[true, 3], [
      false,
      0,
    ]]);
  }
});
