/**
 * L12, scaled: an hour of virtual time in which 1,000,000 flows are made and expire, through MASQUERADE, a helper and
 * reassembly. Whatever they took is given back: every ten minutes look like the ten minutes before, and in the end all
 * records, expectations and ports can be had again.
 */
import { assert, assertEquals } from "@std/assert";
import { HeapArena } from "../../src/arena.ts";
import { type Clock, Xoshiro } from "../../src/clock.ts";
import { Corrections } from "../../src/conntrack/corrections.ts";
import { defineRouter } from "../../src/config/define.ts";
import { validate } from "../../src/config/validate.ts";
import { ftp } from "../../src/helpers/mod.ts";
import { Memory } from "../../src/memory.ts";
import { geometryOf } from "../../src/geometry.ts";
import { Router } from "../../src/router.ts";
import { OWN, type Step, TALKS } from "./conversations.ts";

const FLOWS = 1_000_000, MINUTES = 60, MAX = 32_768, EXPECTS = 256;
/** Milliseconds between two conversations' beginnings. */
const STEP = MINUTES * 60_000 / FLOWS;
/** Bytes of a block of earlier sequence corrections. */
const CORRECTION_BYTES = 128;

const CONFIG = validate(defineRouter({
  interfaces: { lan: { addresses: ["192.0.2.1/24"] }, wan: { addresses: [`${OWN}/24`] } },
  tables: {
    nat: { POSTROUTING: [{ outInterface: "wan", jump: "MASQUERADE" }] },
    filter: {
      FORWARD: {
        policy: "DROP",
        rules: [{ inInterface: "lan", jump: "ACCEPT" }, {
          state: ["ESTABLISHED", "RELATED"],
          jump: "ACCEPT",
        }],
      },
    },
  },
  helpers: [ftp()],
  sysctl: {
    "net.netfilter.nf_conntrack_max": MAX,
    "net.netfilter.nf_conntrack_expect_max": EXPECTS,
    // Ports are written into packets made in advance.
    "net.netfilter.nf_conntrack_checksum": 0,
  },
}));

/** Counts what is taken of it. */
class CountedArena extends HeapArena {
  pieces = 0;

  override int32(length: number): Int32Array<ArrayBuffer> {
    this.pieces++;
    return super.int32(length);
  }
  override float64(length: number): Float64Array<ArrayBuffer> {
    this.pieces++;
    return super.float64(length);
  }
  override uint8(length: number): Uint8Array<ArrayBuffer> {
    this.pieces++;
    return super.uint8(length);
  }
}

Deno.test(`L12 ${FLOWS.toLocaleString("en")} flows in an hour come and go, and memory is as before`, () => {
  const geometry = geometryOf(CONFIG), arena = new CountedArena();
  let port = 1024;
  const clock: Clock = { now: 0x7fffffff - 1_800_000, wall: 1e9 }; // the clock wraps half-way
  let emitted = 0, ownPort = 0;
  const router = new Router({
    config: CONFIG,
    clock,
    random: new Xoshiro(12),
    memory: Memory.create(new ArrayBuffer(Memory.bytes(geometry)), geometry),
    arena,
    emit: (iface, p) => {
      emitted++;
      if (iface === 2 && p.view.getUint16(20) === port) ownPort++;
    },
    log: () => {},
  });
  const { conntrack, defrag } = router, { flows, expects } = conntrack;
  const taken = arena.pieces;
  const turns = TALKS.flatMap(([often], talk) => new Array<number>(often).fill(talk));
  let fraction = 0;
  const send = ([iface, bytes, at]: Step) => {
    const p = router.packet;
    p.bytes.set(bytes);
    p.reset(iface, bytes.length);
    if (at > 0) p.view.setUint16(at, port);
    router.receive(p, iface);
  };
  const pass = (milliseconds: number) => {
    fraction += milliseconds;
    const whole = Math.floor(fraction);
    fraction -= whole;
    clock.now = (clock.now + whole) | 0;
    clock.wall += whole / 1000;
    router.sweep();
  };
  /** Records that were ever used. */
  const used = () => {
    let records = 0;
    for (let ct = flows.next(-1); ct >= 0; ct = flows.next(ct)) records++;
    return records;
  };
  /** How far each table ever went, at the end of each ten minutes. */
  const marks: number[][] = [];
  let before = 0;
  for (let i = 0; i < FLOWS; i++) {
    // 7 is prime to 1,000: all kinds are mixed.
    for (const step of TALKS[turns[i * 7 % 1000]][1]) send(step);
    if (++port > 65_000) port = 1024;
    pass(STEP);
    if ((i + 1) % (FLOWS / 6) < 1) {
      marks.push([used(), expects.high, emitted - before]);
      before = emitted;
    }
  }
  assertEquals(marks.slice(3), marks.slice(0, 3), "the same conversations, the same memory");
  assert(marks[0][0] < MAX / 2 && marks[0][0] === marks[2][0] && marks[0][1] === marks[2][1], `${marks}`);

  /** Everybody is silent for longer than the longest timeout of what has ended. */
  const silence = () => {
    for (let s = 0; s < 400; s++) pass(1000);
    assertEquals([flows.count, expects.count, defrag.memory, defrag.pending], [0, 0, 0, 0]);
  };
  silence();
  assertEquals(arena.pieces, taken, "nothing was taken beside what is there from the start");

  const { corrections } = flows, blocks = Corrections.bytes(MAX) / CORRECTION_BYTES;
  const take = (ct: number) => corrections.take(flows.words, flows.side(ct), ct);
  for (let ct = 0; ct < blocks; ct++) assert(take(ct) !== 0, `block ${ct}`);
  assertEquals(take(blocks), 0, "those are all blocks");
  for (let ct = 0; ct < blocks; ct++) flows.releaseCorrections(ct);

  // All expectations at once, then all flows at once, each with its own port.
  const announce = TALKS[4][1];
  for (port = 1024; port < 1024 + EXPECTS; port++) announce.slice(0, -1).forEach(send);
  assertEquals([flows.count, expects.count], [EXPECTS, EXPECTS]);
  for (port = 1024; port < 1024 + EXPECTS; port++) send(announce.at(-1)!);
  silence();
  ownPort = 0;
  for (port = 1024; port < 1024 + MAX; port++) send(TALKS[1][1][0]);
  assertEquals([flows.count, ownPort], [MAX, MAX]);
  silence();
});
