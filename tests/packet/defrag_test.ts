import { assert, assertEquals } from "@std/assert";
import { ACCEPT, DROP, OUTPUT, REASONS, STOLEN } from "../../src/netfilter.ts";
import { ipv4HeaderOk, verifyTransport } from "../../src/packet/checksum.ts";
import { Defrag } from "../../src/packet/defrag.ts";
import { Packet } from "../../src/packet/packet.ts";
import { parse } from "../../src/packet/parse.ts";
import { Sysctl } from "../../src/sysctl.ts";
import * as kit from "../kit/mod.ts";

const v4 = { src: "192.0.2.2", dst: "198.51.100.7", sport: 1000, dport: 80, df: false };
const v6 = { src: "2001:db8:1::2", dst: "2001:db8:2::7", sport: 1000, dport: 80 };
const p = new Packet();
let id = 100;

/** A defragmenter with its clock. */
function defragmenter(sysctl: Record<string, number> = {}, expired?: (p: Packet) => void) {
  const clock = new kit.VirtualClock();
  return { clock, defrag: new Defrag({ clock, sysctl: new Sysctl(sysctl), seed: 5, expired }) };
}

/** Parses the bytes into `p` and gathers: "whole", "stolen", or the reason of the drop. */
function gather(defrag: Defrag, bytes: Uint8Array, user = 0, hook: 0 | 3 = 0): string {
  assertEquals(parse(kit.load(p, bytes)), 0);
  p.hook = hook;
  const verdict = defrag.gather(p, user);
  if (verdict === ACCEPT) return "whole";
  if (verdict === STOLEN) return "stolen";
  assertEquals(verdict, DROP);
  return REASONS[p.reason];
}

const outcomes = (defrag: Defrag, all: readonly Uint8Array[]) => all.map((bytes) => gather(defrag, bytes));

Deno.test("gather leaves whole packets alone", () => {
  const { defrag } = defragmenter();
  assertEquals(gather(defrag, kit.udp({ ...v4, payload: 9 })), "whole");
  assertEquals(gather(defrag, kit.udp({ ...v6, payload: 9 })), "whole");
  assertEquals([defrag.pending, defrag.memory, p.fragMaxSize, p.fragCount], [0, 0, 0, 0]);
});

Deno.test("gather joins fragments in order, reversed and mixed, in both families", () => {
  const { defrag } = defragmenter();
  for (const a of [v4, v6]) {
    for (const order of [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]]) {
      const whole = kit.udp({ ...a, payload: 3000, id: ++id });
      const parts = kit.fragments(whole, 800, id);
      assertEquals(outcomes(defrag, order.map((i) => parts[i])), ["stolen", "stolen", "stolen", "whole"]);
      assertEquals(kit.unload(p), whole);
      assert(verifyTransport(p));
      assertEquals(p.fragMaxSize, parts[0].length);
      assertEquals(p.fragDf, false);
      if (a === v6) assertEquals(p.fragId, id);
      const l4 = a === v4 ? 20 : 40;
      assertEquals([...p.fragEnds.subarray(0, p.fragCount)], [l4 + 800, l4 + 1600, l4 + 2400, whole.length]);
      assertEquals([defrag.pending, defrag.memory], [0, 0]);
    }
  }
});

Deno.test("gather keeps the first fragment's header: options, TTL, extension headers", () => {
  const { defrag } = defragmenter();
  const whole = kit.udp({ ...v4, payload: 100, id: ++id, ttl: 60, ipOptions: [148, 4, 0, 0] });
  const parts = kit.fragments(whole, 64, id);
  parts[1][8] = 9;
  kit.fixIpChecksum(parts[1]);
  assertEquals(outcomes(defrag, [parts[1], parts[0]]), ["stolen", "whole"]);
  assertEquals(kit.unload(p), whole);

  const hop = { header: "hop" as const, body: [1, 4, 0, 0, 0, 0] };
  const piece = (offset: number, mf: boolean, payload: Uint8Array) =>
    kit.ip({ ...v6, protocol: 17, extensions: [hop, { header: "fragment", id: 9, offset, mf }], payload });
  const datagram = kit.udp({ ...v6, payload: 100, extensions: [hop] });
  const body = datagram.subarray(48);
  const fragments = [piece(0, true, body.slice(0, 64)), piece(64, false, body.slice(64))];
  assertEquals(outcomes(defrag, fragments), ["stolen", "whole"]);
  assertEquals(kit.unload(p), datagram);
  assertEquals([p.l4, p.protocol, p.fragmentHeader], [48, 17, 0]);
});

Deno.test("gather makes an atomic IPv6 fragment whole at once", () => {
  const { defrag } = defragmenter();
  const bytes = kit.udp({ ...v6, payload: 20, extensions: [{ header: "fragment", id: 7 }] });
  assertEquals(gather(defrag, bytes), "whole");
  assertEquals(kit.unload(p), kit.udp({ ...v6, payload: 20 }));
  assertEquals([p.fragMaxSize, p.fragCount], [bytes.length, 1]);
});

Deno.test("gather tolerates exact duplicates of first, middle and last", () => {
  const { defrag } = defragmenter();
  for (const a of [v4, v6]) {
    const whole = kit.udp({ ...a, payload: 3000, id: ++id });
    const [one, two, three, four] = kit.fragments(whole, 800, id);
    const all = [one, one, two, two, four, four, one, three];
    assertEquals(outcomes(defrag, all), [...new Array(7).fill("stolen"), "whole"]);
    assertEquals(kit.unload(p), whole);
  }
});

Deno.test("gather calls a fragment within one run a duplicate, across two runs an overlap", () => {
  for (const [order, want] of [[[0, 1], "stolen"], [[1, 0], "fragment-overlap"]] as const) {
    const { defrag } = defragmenter();
    const whole = kit.udp({ ...v4, payload: 300, id: ++id });
    const small = kit.fragments(whole, 64, id);
    const large = kit.fragments(whole, 128, id);
    assertEquals(outcomes(defrag, order.map((i) => small[i])), ["stolen", "stolen"]);
    assertEquals(gather(defrag, large[0]), want);
  }
});

Deno.test("gather loses the whole datagram to an overlap, and takes the next one", () => {
  for (const a of [v4, v6]) {
    const { defrag } = defragmenter();
    const whole = kit.udp({ ...a, payload: 300, id: ++id });
    const first = kit.fragments(whole, 64, id);
    const second = kit.fragments(whole, [56, 128], id);
    assertEquals(outcomes(defrag, [first[0], first[1], second[1]]), ["stolen", "stolen", "fragment-overlap"]);
    assertEquals([defrag.pending, defrag.memory], [0, 0]);
    const next = kit.fragments(kit.udp({ ...a, payload: 300, id: ++id }), 256, id);
    assertEquals(outcomes(defrag, next), ["stolen", "whole"]);
  }
});

Deno.test("gather drops two ends, data behind the end, and IPv4 pieces without data", () => {
  const { defrag } = defragmenter();
  const header = kit.udp({ ...v4, payload: 0 }).slice(0, 20);
  const piece = (n: number, offset: number, mf: boolean) =>
    kit.fragment(header, new Uint8Array(n), offset, mf, id);
  const cases: readonly (readonly [Uint8Array[], string])[] = [
    [[piece(16, 16, false), piece(16, 24, false)], "fragment-malformed"],
    [[piece(16, 16, false), piece(8, 16, false)], "fragment-malformed"],
    [[piece(16, 16, false), piece(16, 32, true)], "fragment-malformed"],
    [[piece(16, 16, true), piece(8, 8, false)], "fragment-malformed"],
    [[piece(0, 0, true)], "fragment-malformed"],
    [[piece(7, 8, true)], "fragment-malformed"],
    [[piece(0, 16, false)], "fragment-malformed"],
  ];
  for (const [all, want] of cases) {
    id++;
    assertEquals(outcomes(defrag, all).at(-1), want);
    assertEquals([defrag.pending, defrag.memory], [0, 0]);
  }
});

Deno.test("gather drops such IPv6 pieces alone, as Linux: the datagram goes on waiting", () => {
  const { defrag } = defragmenter();
  const header = kit.udp({ ...v6, payload: 0 }).slice(0, 40);
  type Piece = readonly [bytes: number, offset: number, more: boolean];
  const cases: readonly (readonly [string, Piece, Piece])[] = [
    ["two ends, the second behind the first", [16, 16, false], [16, 24, false]],
    ["two ends, the second in front", [16, 16, false], [8, 16, false]],
    ["data behind the end", [16, 16, false], [16, 32, true]],
    ["an end in front of data", [16, 16, true], [8, 8, false]],
    ["an end without data", [16, 16, true], [0, 40, false]],
  ];
  for (const [name, ...pieces] of cases) {
    const pending = defrag.pending;
    id++;
    const all = pieces.map(([n, offset, more]) => kit.fragment(header, new Uint8Array(n), offset, more, id));
    assertEquals(outcomes(defrag, all), ["stolen", "fragment-malformed"], name);
    assertEquals(defrag.pending, pending + 1, name);
  }
});

Deno.test("gather cuts an IPv4 fragment that does not end on 8 bytes, as Linux", () => {
  const { defrag } = defragmenter();
  const whole = kit.udp({ ...v4, payload: 100, id: ++id });
  const parts = kit.fragments(whole, 64, id);
  const header = whole.slice(0, 20);
  const long = kit.fragment(header, whole.slice(20, 20 + 69), 0, true, id);
  assertEquals(outcomes(defrag, [long, parts[1]]), ["stolen", "whole"]);
  assertEquals(kit.unload(p), whole);
});

Deno.test("gather lets an IPv6 fragment pass that does not end on 8 bytes, and forgets the rest", () => {
  const { defrag } = defragmenter();
  const whole = kit.udp({ ...v6, payload: 100 });
  const parts = kit.fragments(whole, 64, ++id);
  const odd = kit.fragment(whole.slice(0, 40), whole.slice(40, 40 + 61), 0, true, id);
  assertEquals(outcomes(defrag, [parts[1], odd]), ["stolen", "whole"]);
  assertEquals(kit.unload(p), odd);
  assertEquals([p.fragCount, defrag.pending], [0, 0]);
});

Deno.test("gather lets a first IPv6 fragment pass that does not hold all headers", () => {
  const { defrag } = defragmenter();
  const parts = kit.fragments(kit.tcp({ ...v6, flags: "S", payload: 100 }), 16, ++id);
  assertEquals(gather(defrag, parts[0]), "whole");
  assertEquals(kit.unload(p), parts[0]);
  assertEquals([defrag.pending, p.fragmentHeader], [0, 40]);
});

Deno.test("gather refuses datagrams over 65535 bytes", () => {
  const { defrag } = defragmenter();
  const header4 = kit.udp({ ...v4, payload: 0 }).slice(0, 20);
  const header6 = kit.udp({ ...v6, payload: 0 }).slice(0, 40);
  const last4 = kit.fragment(header4, new Uint8Array(24), 65512, false, ++id);
  const rest4 = [kit.fragment(header4, new Uint8Array(65000), 0, true, id)];
  rest4.push(kit.fragment(header4, new Uint8Array(512), 65000, true, id));
  assertEquals(outcomes(defrag, [last4, ...rest4]), ["stolen", "stolen", "fragment-oversize"]);
  assertEquals(
    gather(defrag, kit.fragment(header6, new Uint8Array(32), 65512, false, id)),
    "fragment-oversize",
  );
  // The largest that fit.
  const fit4 = [kit.fragment(header4, new Uint8Array(65000), 0, true, ++id)];
  fit4.push(kit.fragment(header4, new Uint8Array(515), 65000, false, id));
  assertEquals(outcomes(defrag, fit4), ["stolen", "whole"]);
  assertEquals(p.length, 65535);
  const fit6 = [kit.fragment(header6, new Uint8Array(65000), 0, true, ++id)];
  fit6.push(kit.fragment(header6, new Uint8Array(535), 65000, false, id));
  assertEquals(outcomes(defrag, fit6), ["stolen", "whole"]);
  assertEquals(p.length, 65575);
});

Deno.test("gather joins ECN bits as RFC 3168 asks", () => {
  const cases: readonly (readonly [number[], string, number])[] = [
    [[0, 0], "whole", 0],
    [[2, 2], "whole", 2],
    [[1, 2], "whole", 1],
    [[2, 3], "whole", 3],
    [[3, 1], "whole", 3],
    [[3, 3], "whole", 3],
    [[0, 3], "fragment-malformed", 0],
    [[0, 2], "fragment-malformed", 0],
  ];
  const { defrag } = defragmenter();
  for (const a of [v4, v6]) {
    for (const [bits, want, ecn] of cases) {
      const parts = kit.fragments(kit.udp({ ...a, payload: 100, id: ++id }), 64, id);
      parts.forEach((bytes, i) => {
        if (a === v4) bytes[1] = bits[i];
        else bytes[1] |= bits[i] << 4;
        kit.fixIpChecksum(bytes);
      });
      assertEquals(outcomes(defrag, parts), ["stolen", want], `${bits}`);
      if (want !== "whole") continue;
      assertEquals(a === v4 ? p.bytes[1] : p.bytes[1] >> 4, ecn);
      if (a === v4) assert(ipv4HeaderOk(p.view, 0, 20));
    }
  }
});

Deno.test("gather remembers DF when the largest fragment had it", () => {
  const { defrag } = defragmenter();
  for (const [df, want] of [[[true, true], true], [[true, false], true], [[false, true], false]] as const) {
    const parts = kit.fragments(kit.udp({ ...v4, payload: 100, id: ++id }), 64, id);
    parts.forEach((bytes, i) => {
      if (df[i]) bytes[6] |= 0x40;
      kit.fixIpChecksum(bytes);
    });
    assertEquals(outcomes(defrag, parts), ["stolen", "whole"]);
    assertEquals([p.fragDf, (p.bytes[6] & 0x40) !== 0], [want, want], `${df}`);
  }
});

Deno.test("gather keeps apart what differs in address, id, protocol, zone or hook", () => {
  const { defrag } = defragmenter();
  const [first, second] = kit.fragments(kit.udp({ ...v4, payload: 100, id: ++id }), 64, id);
  assertEquals(gather(defrag, first), "stolen");
  const other = second.slice();
  other[9] = 136;
  assertEquals(gather(defrag, kit.fixIpChecksum(other)), "stolen");
  other[9] = 17;
  other[15]++;
  assertEquals(gather(defrag, kit.fixIpChecksum(other)), "stolen");
  assertEquals(gather(defrag, second, 1), "stolen");
  assertEquals(gather(defrag, second, 0, OUTPUT), "stolen");
  assertEquals(defrag.pending, 5);
  assertEquals(gather(defrag, second), "whole");
});

Deno.test("gather keeps apart what differs in any word of the addresses", () => {
  const { defrag } = defragmenter();
  for (const [a, from, to] of [[v4, 12, 20], [v6, 8, 40]] as const) {
    const [first, second] = kit.fragments(kit.udp({ ...a, payload: 100, id: ++id }), 64, id);
    assertEquals(gather(defrag, first), "stolen");
    for (let at = from; at < to; at += 4) {
      const other = second.slice();
      other[at + 3] ^= 1;
      if (a === v4) kit.fixIpChecksum(other);
      assertEquals(gather(defrag, other), "stolen", `byte ${at}`);
    }
    assertEquals(gather(defrag, second), "whole");
  }
});

Deno.test("gather sets right what a fragment could not tell: the protocol behind its extension headers", () => {
  const { defrag } = defragmenter();
  const options = { header: "destination" as const, body: [1, 4, 0, 0, 0, 0] };
  const piece = (offset: number, mf: boolean, payload: Uint8Array) =>
    kit.ip({
      ...v6,
      protocol: 17,
      extensions: [{ header: "fragment", id, offset, mf }, ...(offset === 0 ? [options] : [])],
      payload,
    });
  const datagram = kit.udp({ ...v6, payload: 100, extensions: [options] }), body = datagram.subarray(48);
  const first = piece(0, true, body.slice(0, 56)), second = piece(64, false, body.slice(56));
  second[40] = 60; // what follows in the first fragment is destination options
  assertEquals(gather(defrag, first), "stolen");
  assertEquals(gather(defrag, second), "whole");
  assertEquals([p.protocol, p.l4, p.headerChainCut], [17, 48, false]);
  assertEquals(kit.unload(p), datagram);
});

Deno.test("gather starts over when the source has sent 64 other fragments in between", () => {
  const { defrag } = defragmenter();
  for (const [between, want] of [[63, "whole"], [64, "stolen"]] as const) {
    const parts = kit.fragments(kit.udp({ ...v4, payload: 100, id: ++id }), 64, id);
    assertEquals(gather(defrag, parts[0]), "stolen");
    for (let i = 0; i < between; i++) {
      gather(defrag, kit.fragments(kit.udp({ ...v4, payload: 100, id: 5000 + i }), 64, 5000 + i)[i & 1]);
    }
    assertEquals(gather(defrag, parts[1]), want);
  }
});

Deno.test("sweep forgets after 30 and 60 seconds and reports first fragments", () => {
  const reported: string[] = [];
  const { clock, defrag } = defragmenter(
    {},
    (q) => reported.push(`${q.inInterface} ${kit.hex(kit.unload(q))}`),
  );
  const four = kit.fragments(kit.udp({ ...v4, payload: 1000, id: ++id }), 608, id);
  const lone = kit.fragments(kit.udp({ ...v4, payload: 1000, id: id + 1 }), 608, id + 1);
  const six = kit.fragments(kit.udp({ ...v6, payload: 1000 }), 608, id);
  assertEquals(outcomes(defrag, [four[0], lone[1], six[0]]), ["stolen", "stolen", "stolen"]);
  clock.advance(29_999);
  defrag.sweep();
  assertEquals([defrag.pending, reported.length], [3, 0]);
  clock.advance(1);
  defrag.sweep();
  assertEquals([defrag.pending, defrag.timeouts], [1, 2]);
  assertEquals(reported, [`1 ${kit.hex(four[0])}`]);
  // A late piece does not complete it.
  assertEquals(gather(defrag, four[1]), "stolen");
  clock.advance(30_000);
  defrag.sweep();
  assertEquals(reported[1], `1 ${kit.hex(six[0])}`);
  assertEquals([defrag.pending, defrag.memory, defrag.timeouts], [0, 0, 4]);
});

Deno.test("a datagram whose time is over is not completed before the sweep either", () => {
  const reported: number[] = [];
  const { clock, defrag } = defragmenter({}, (q) => reported.push(q.length));
  const parts = kit.fragments(kit.udp({ ...v4, payload: 100, id: ++id }), 64, id);
  assertEquals(gather(defrag, parts[0]), "stolen");
  clock.advance(30_000);
  assertEquals(gather(defrag, parts[1]), "stolen");
  defrag.sweep();
  assertEquals([reported, defrag.pending], [[84], 1]);
});

Deno.test("the clock may wrap around", () => {
  const clock = new kit.VirtualClock(0x7fffffff - 1000);
  const defrag = new Defrag({ clock });
  const parts = kit.fragments(kit.udp({ ...v4, payload: 100, id: ++id }), 64, id);
  assertEquals(gather(defrag, parts[0]), "stolen");
  clock.advance(20_000);
  defrag.sweep();
  assertEquals(gather(defrag, parts[1]), "whole");
});

Deno.test("a flood of incomplete fragments stays within the limit, and time makes room again", () => {
  const limit = 256 * 1024;
  const { clock, defrag } = defragmenter({ "net.ipv4.ipfrag_high_thresh": limit });
  const bytes = kit.fragments(kit.udp({ ...v4, payload: 1000, id: 1 }), 504, 1)[0];
  let dropped = 0;
  for (let i = 0; i < 20000; i++) {
    bytes[4] = i >> 8;
    bytes[5] = i;
    bytes[14] = i >> 16;
    kit.fixIpChecksum(bytes);
    const outcome = gather(defrag, bytes);
    if (outcome !== "stolen") {
      assertEquals(outcome, "fragment-memory");
      dropped++;
    }
    assert(defrag.memory <= limit);
  }
  assert(dropped > 19000 && defrag.pending > 100);
  clock.advance(30_000);
  defrag.sweep();
  assertEquals([defrag.pending, defrag.memory], [0, 0]);
  assertEquals(outcomes(defrag, kit.fragments(kit.udp({ ...v4, payload: 100, id: ++id }), 64, id)), [
    "stolen",
    "whole",
  ]);
});

Deno.test("thousands of tiny fragments in the worst order cost no more than milliseconds", () => {
  const { defrag } = defragmenter();
  const header = kit.udp({ ...v4, payload: 0 }).slice(0, 20);
  const start = performance.now();
  let outcome = "";
  // Odd pieces downwards, then even pieces downwards: every piece a run of its own.
  for (const odd of [1, 0]) {
    for (let i = 4000 + odd; i >= 0; i -= 2) {
      outcome = gather(defrag, kit.fragment(header, new Uint8Array(8).fill(i), 8 * i, i !== 4001, 77));
    }
  }
  assertEquals(outcome, "whole");
  assertEquals([p.length, p.fragCount], [20 + 8 * 4002, 4002]);
  assert(performance.now() - start < 2000);
});
