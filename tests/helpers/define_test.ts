import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { EXP_STATE, EXP_WORDS } from "../../src/conntrack/expect.ts";
import {
  type Announcement,
  defineHelper,
  type HelperDefinition,
  type Payload,
} from "../../src/helpers/mod.ts";
import { HelperLab } from "../../src/helpers/testing.ts";
import { validate } from "../../src/config/validate.ts";
import { Writer } from "../../src/helpers/rewriting.ts";
import { assertMistake } from "./mistakes.ts";

/** Announces `port` for each ` LISTEN port` in a line. */
function find(payload: Payload): void {
  for (let at = payload.find("LISTEN "); at >= 0; at = payload.find("LISTEN ", at + 1)) {
    const start = at + 7, port = payload.number(start);
    payload.announce({ port, start, end: payload.behind });
  }
}

const BASE: HelperDefinition = { name: "hello", protocol: "tcp", ports: [7000], maxExpected: 4, find };
const hello = (o: Partial<HelperDefinition> = {}) =>
  defineHelper({ ...BASE, nat: (out, { port }) => void out.number(port), ...o });
const lab = (o: Partial<HelperDefinition> = {}, nat: "none" | "source" | "destination" = "source") =>
  new HelperLab({ helpers: [hello(o)], nat });

/** Expectation records in use, in the table or held. */
function records(l: HelperLab): number {
  const { expects } = l.conntrack;
  let n = 0;
  for (let exp = 0; exp < expects.high; exp++) if (expects.words[exp * EXP_WORDS + EXP_STATE] !== 0) n++;
  return n;
}

Deno.test("defineHelper finds announcements and rewrites all of a packet's at once", () => {
  const l = lab(), talk = l.connect({ port: 7000 });
  assertEquals(talk.client("LISTEN 80, LISTEN 81!\n"), "LISTEN 80, LISTEN 81!\n");
  const other = l.connect({ port: 7000, client: "10.0.0.3" });
  const said = other.client("LISTEN 80, LISTEN 81!\n");
  const ports = [...said.matchAll(/^LISTEN (\d+), LISTEN (\d+)!\n$/g)][0].slice(1).map(Number);
  assertEquals(ports.every((port) => port > 81), true);
  assertEquals(other.server("and on\n") + other.client("and on\n"), "and on\nand on\n"); // numbers follow
  assertEquals(l.expectations().length, 4);
  const to = (port: number) => l.dial({ from: l.outside, to: l.router, port, fromPort: port })?.to;
  assertEquals([80, ...ports].map(to), ["10.0.0.2:80", "10.0.0.3:80", "10.0.0.3:81"]);
});

Deno.test("defineHelper without a NAT half expects at the public address and leaves the payload", () => {
  const l = lab({ nat: undefined });
  assertEquals(l.connect({ port: 7000 }).client("LISTEN 80\n"), "LISTEN 80\n");
  assertEquals(l.expectations(), ["tcp 198.51.100.7 → 203.0.113.1:80"]);
  const plain = lab({}, "none");
  plain.connect({ port: 7000 }).client("LISTEN 80\n");
  assertEquals(plain.expectations(), ["tcp 198.51.100.7 → 10.0.0.2:80"]);
  const server = lab({}, "destination");
  assertEquals(server.connect({ port: 7000 }).server("LISTEN 80\n"), "LISTEN 80\n");
  assertEquals(server.expectations(), ["tcp 198.51.100.7 → 203.0.113.1:80"]);
});

Deno.test("defineHelper reads whom it is told to", () => {
  for (const [reads, expected] of [["client", [80]], ["server", [81]], ["both", [80, 81]]] as const) {
    const l = lab({ reads }, "none"), talk = l.connect({ port: 7000 });
    talk.client("LISTEN 80\n");
    talk.server("LISTEN 81\n");
    assertEquals(l.expectations().map((e) => Number(e.split(":").at(-1))), [...expected]);
  }
});

Deno.test("defineHelper expects other protocols, ports in a row, and anybody", () => {
  const announcement = (o: Partial<Announcement>) => (payload: Payload) =>
    payload.announce({ port: 5000, start: 0, end: 4, ...o });
  const l = lab({ find: announcement({ protocol: "udp", ports: 2, from: "anybody" }) }, "none");
  l.connect({ port: 7000 }).client("whatever");
  assertEquals(l.expectations(), ["udp anybody → 10.0.0.2:5000", "udp anybody → 10.0.0.2:5001"]);
  const stranger = { from: "192.0.2.9", to: l.inside, port: 5001 };
  assertEquals([l.dial(stranger)?.related, l.dial({ ...stranger, protocol: "udp" })?.related], [false, true]);
});

Deno.test("defineHelper leads each port in a row to its own, and goes on no further than the last port", () => {
  const find = (payload: Payload) =>
    payload.announce({ port: payload.number(0), ports: 2, start: 0, end: payload.behind });
  const l = lab({ find }), clients = ["10.0.0.2", "10.0.0.3"];
  const told = clients.map((client) => Number(l.connect({ port: 7000, client }).client("5000")));
  assertEquals(told[0], 5000);
  for (const [i, port] of told.entries()) {
    for (const n of [1, 0]) {
      const dialled = l.dial({ from: l.outside, to: l.router, port: port + n });
      assertEquals(dialled?.to, `${clients[i]}:${5000 + n}`);
    }
  }
  for (const [last, said, ports] of [[lab({ find }), "65534", 2], [lab(), "LISTEN 65535", 1]] as const) {
    for (let host = 2; host < 12; host++) {
      const talk = last.connect({ port: 7000, client: `10.0.0.${host}` });
      assertEquals([talk.tryClient(said), records(last)], [host === 2 ? said : null, ports]);
    }
  }
});

Deno.test("defineHelper serves the families that it names", () => {
  for (const families of [[4], [6], [4, 6]] as const) {
    for (const family of [4, 6] as const) {
      const l = new HelperLab({ helpers: [hello({ families })], family });
      l.connect({ port: 7000 }).client("LISTEN 80\n");
      assertEquals(l.expectations().length, families.includes(family as never) ? 1 : 0);
    }
  }
});

Deno.test("defineHelper obeys limits port by port, once each, and records the bytes", () => {
  const l = lab({
    find: (p) => p.announce({ port: 5000, ports: 2, start: 0, end: 4 }),
    expectationsPerMinute: 3,
    record: true,
  });
  const talk = l.connect({ port: 7000 });
  for (let i = 0; i < 2; i++) talk.client("whatever");
  assertEquals(l.counts(), { opened: 2, refused: 1, failed: 0, blind: 0 });
  assertEquals(l.pinholes.map(({ announced }) => announced), ["what", "what"]);
  assertEquals(records(l), 2);
});

Deno.test("defineHelper opens nothing for another's address, and nothing for what is no port", () => {
  const found: Partial<Announcement>[] = [
    { address: "10.0.0.3" },
    { address: "198.51.100.7" },
    { address: "::1" },
    { address: "x" },
    { port: 0 },
    { port: -1 },
    { port: 65536 },
    { port: 1.5 },
    { port: 65535, ports: 2 },
  ];
  for (const o of found) {
    const l = lab({ find: (payload) => payload.announce({ port: 5000, start: 0, end: 4, ...o }) });
    assertEquals(l.connect({ port: 7000 }).client("whatever"), "whatever");
    assertEquals([records(l), l.log], [0, []], JSON.stringify(o));
  }
  const own = lab({ find: (p) => p.announce({ port: 5000, start: 0, end: 4, address: "10.0.0.2" }) });
  assertEquals(own.connect({ port: 7000 }).client("whatever"), "5000ever");
});

Deno.test("defineHelper contains mistakes of the definition, and nothing of them stays", () => {
  const announce = (o: object) => (payload: Payload) =>
    payload.announce({ port: 5000, start: 0, end: 4, ...o } as Announcement);
  const mistakes: Partial<HelperDefinition>[] = [
    { find: announce({ start: 5, end: 4 }) },
    { find: announce({ end: 9 }) },
    { find: announce({ start: undefined }) },
    { find: announce({ ports: 9 }) },
    { find: announce({ ports: 5 }) }, // more than maxExpected
    { find: announce({ port: "5000" }) },
    { find: (payload) => payload.remember(6, 1) },
    {
      find: (payload) => {
        for (let i = 0; i < 2; i++) announce({})(payload);
      },
    },
    {
      nat: () => {
        throw new Error("no");
      },
    },
    { nat: (out) => void out.text("x".repeat(5000)) },
    {
      find: (payload) => {
        for (let i = 0; i < 40; i++) payload.announce({ port: 5000 + i, start: 0, end: 0 });
      },
      maxExpected: 255,
    },
  ];
  for (const [i, mistake] of mistakes.entries()) {
    const l = lab(mistake), talk = l.connect({ port: 7000 });
    assertEquals(talk.client("LISTEN 8"), "LISTEN 8", String(i));
    assertEquals([l.counts().failed, records(l)], [1, 0], String(i));
    assertEquals(talk.client("LISTEN 8\n"), "LISTEN 8\n");
    const careful = lab({ ...mistake, onFailure: "drop" });
    assertEquals(careful.connect({ port: 7000 }).tryClient("LISTEN 8"), null);
  }
});

const ENDLESS: Record<string, HelperDefinition["find"]> = {
  "reads on behind the end": (p) => {
    for (let at = 0; p.at(at) !== 0x0a;) at++;
  },
  "finds the same place again and again": (p) => {
    for (let at = p.find("L"); at >= 0;) at = p.find("L", at);
  },
  "looks for what is not there": (p) => {
    while (p.find("nothing") < 0);
  },
  "waits for a number": (p) => {
    while (p.number(0) < 0);
  },
  "waits for another packet": (p) => {
    while (p.recall(0) === 0 && !p.startsWith("x") && p.uint16(0) !== 1 && p.uint32(0) !== 1) p.text(99);
  },
  "waits for an address": (p) => {
    while (p.address(0, 6) === "");
  },
  "announces without end": (p) => {
    for (;;) p.announce({ port: 0, start: 0, end: 0 });
  },
};

for (const [what, find] of Object.entries(ENDLESS)) {
  Deno.test(`a helper that ${what} is stopped and contained`, () => {
    const l = lab({ find, name: "odd" }), talk = l.connect({ port: 7000 });
    assertEquals(talk.client("LISTEN 80"), "LISTEN 80");
    assertEquals([l.counts().failed, records(l), l.log.length], [1, 0, 1]);
    assertMatch(
      l.log[0],
      /^nf_ct_odd: helper failed, accepting packet; .* RangeError: it \w+ (at )?more than \d+ /,
    );
    assertEquals(talk.client("LISTEN 80"), "LISTEN 80");
    assertEquals(l.counts().failed, 1);
  });
}

Deno.test("a helper that fails is told with the place in its own file, if it is in its own file", () => {
  const line = (error: Error) => /define_test\.ts:(\d+):/.exec(error.stack!)![1];
  let here = "";
  const l = lab({
    find(p) {
      if (p.length > 1) return p.announce({ port: 5000, start: 9, end: 8 });
      here = line(new Error()), p.remember(9, 1);
    },
  });
  l.connect({ port: 7000 }).client("x");
  l.connect({ port: 7000 }).client("long");
  const forged = lab({
    find: () => {
      throw new Error("\n    at file:///forged.ts:1:1\n");
    },
  });
  forged.connect({ port: 7000 }).client("x");
  assertMatch(forged.log[0], / Error: {6}at file:\/\/\/forged\.ts:1:1 {2}\(define_test\.ts:\d+\)$/);
  const [own, ours] = l.log.map((line) => line.slice(line.indexOf("RangeError")));
  assertEquals(own, `RangeError: a flow has the numbers 0 to 5, not 9 (define_test.ts:${here})`);
  assertMatch(ours, /^RangeError: bytes 9 to 8 do not lie in the payload, /);
});

Deno.test("a helper may look at each byte of the longest packet many times", () => {
  let last = 0;
  const l = lab({
    find(p) {
      for (let times = 0; times < 50; times++) {
        for (let at = 0; at < p.length; at++) last = p.at(at);
      }
    },
  });
  l.connect({ port: 7000 }).client("x".repeat(65000) + "y");
  assertEquals([l.counts().failed, last], [0, 0x79]);
});

Deno.test("a NAT half knows what it writes anew, and writes addresses of either family as bytes", () => {
  // A mark, then the port, two bytes of somebody's, and the address.
  for (const family of [4, 6] as const) {
    const l = new HelperLab({
      helpers: [hello({
        protocol: "udp",
        find(p) {
          const address = p.address(4, family), port = p.uint16(0);
          if (p.address(5, family) !== "") throw new Error("it is longer than it is");
          p.announce({ protocol: "tcp", port, address, start: 0, end: p.length });
        },
        nat: (out, { port, address }, { start, end }, p) =>
          void out.uint16(port).text(p.text(start + 2, start + 4)).address(address).text(p.text(end, end)),
      })],
      nat: "source",
      family,
    });
    const message = (address: string) =>
      Uint8Array.of(
        0x13,
        0x88,
        0xff,
        0x21,
        ...new Writer().address(address).bytes.slice(0, family === 4 ? 4 : 16),
      );
    const said = l.connect({ port: 7000, protocol: "udp" }).client(message(l.inside));
    assertEquals(Uint8Array.from(said, (c) => c.charCodeAt(0)), message(l.router));
    assertEquals(l.dial({ from: l.outside, to: l.router, port: 5000 })?.related, true);
    assertEquals(l.log, []);
  }
  assertEquals(new Writer().address("2001:db8::7").bytes.slice(0, 3), Uint8Array.of(0x20, 0x01, 0x0d));
  assertThrows(() => new Writer().address("10.0.0"), TypeError, "10.0.0 is not an address");
});

Deno.test("defineHelper drops what the definition drops, and what it cannot expect or rewrite", () => {
  const l = lab({ find: (payload) => payload.drop("not whole") });
  assertEquals(l.connect({ port: 7000 }).tryClient("x"), null);
  assertEquals(l.log, ["nf_ct_hello: dropping packet: not whole"]);

  const full = new HelperLab({ helpers: [hello()], expectations: 1 }), talk = full.connect({ port: 7000 });
  assertEquals(talk.tryClient("LISTEN 80 LISTEN 81"), null);
  assertEquals([full.log.at(-1), records(full)], ["nf_ct_hello: dropping packet: cannot add expectation", 0]);

  const taken = lab();
  taken.connect({ port: 7000 }).client("LISTEN 65535");
  const second = taken.connect({ port: 7000, client: "10.0.0.3" });
  assertEquals(second.tryClient("LISTEN 80 LISTEN 65535"), null);
  assertEquals([taken.log.at(-1), records(taken)], ["nf_ct_hello: dropping packet: all ports in use", 1]);

  const long = lab({ nat: (out) => void out.text("x".repeat(100)) });
  assertEquals(long.connect({ port: 7000 }).tryClient("LISTEN 80" + " ".repeat(65460)), null);
  assertEquals([long.log.at(-1), records(long)], ["nf_ct_hello: dropping packet: cannot mangle packet", 0]);
});

Deno.test("defineHelper reads UDP from the first packet on, and keeps even ports even", () => {
  const l = lab({
    protocol: "udp",
    find: (p) => p.announce({ port: 5000, ports: 2, start: 0, end: p.length }),
  });
  for (let i = 2; i < 30; i++) {
    const talk = l.connect({ port: 7000, protocol: "udp", client: `10.0.0.${i}` });
    assertEquals(Number(talk.client("5000")) % 2, 0);
  }
});

Deno.test("Payload remembers with each flow", () => {
  const l = lab({
    find(p) {
      p.remember(5, p.recall(5) + 1);
      p.announce({ port: 5000 + p.recall(5), start: 0, end: 0 });
    },
  }, "none");
  const talks = ["10.0.0.2", "10.0.0.3"].map((client) => l.connect({ port: 7000, client }));
  for (const i of [0, 0, 1, 0]) talks[i].client("x");
  const ports = [["10.0.0.2", 5001], ["10.0.0.2", 5002], ["10.0.0.3", 5001], ["10.0.0.2", 5003]] as const;
  assertEquals(l.expectations().sort(), ports.map(([to, port]) => `tcp ${l.outside} → ${to}:${port}`).sort());
});

Deno.test("Payload answers small questions, and what is outside looks like nothing", () => {
  const said: unknown[] = [];
  const l = lab({
    find(p) {
      said.push(
        [p.at(0), p.at(-1), p.at(p.length)],
        [p.uint16(0), p.uint16(p.length - 1), p.uint32(0), p.uint32(p.length - 3)],
        [p.startsWith("ab"), p.startsWith("AB"), p.startsWith("AB", 0, true), p.startsWith("12", 3)],
        [p.find("12"), p.find("12", 4), p.find("123", 0, 5), p.find("B", 0, 9, true), p.find("")],
        [p.number(3), p.behind, p.number(0), p.behind, p.text(1, 4), p.text(-3, 99)],
        [p.recall(0), p.fromClient],
      );
      p.remember(0, p.recall(0) + 1);
    },
  });
  const talk = l.connect({ port: 7000 });
  talk.client("ab 123");
  assertEquals(said.splice(0), [
    [97, -1, -1],
    [0x6162, -1, 0x61622031, -1],
    [true, false, true, true],
    [3, -1, -1, 1, 0],
    [123, 6, -1, 0, "b 1", "ab 123"],
    [0, true],
  ]);
  talk.server("99999999999");
  assertEquals(said.at(-1), [1, false]);
  assertEquals((said.at(-2) as unknown[]).slice(2, 4), [-1, 11]);
});

Deno.test("defineHelper refuses definitions that make no sense", () => {
  for (
    const o of [
      { name: "" },
      { name: "a name" },
      { name: "sixteen-letters-" },
      { protocol: "icmp" },
      { reads: "nobody" },
      { families: [] },
      { families: [5] },
      { find: undefined },
      { find: async () => {} },
      { find: function* () {} },
      { nat: async () => {} },
      { nat: {} },
      { ports: 7000 },
      { onFailure: "pass" },
    ]
  ) assertMistake(hello(o as never), Object.keys(o)[0]);
  for (
    const o of [{ ports: [] }, { ports: [0] }, { ports: [1, 1] }, { maxExpected: 0 }, { maxExpected: 256 }, {
      timeout: 0,
    }, { minPort: -1 }]
  ) assertMistake(hello(o), Object.keys(o)[0]);
});

Deno.test("a configuration takes a helper of one's own like any other", () => {
  const valid = validate({
    interfaces: { lan: { addresses: ["192.0.2.1/24"] } },
    helpers: [hello({ autoAssign: false })],
    tables: { raw: { PREROUTING: [{ protocol: "tcp", dport: 7000, jump: "CT", helper: "hello" }] } },
  });
  assertEquals(valid.helpers.map((helper) => helper.name), ["hello"]);
});
