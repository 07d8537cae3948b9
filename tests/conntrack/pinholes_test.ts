/** The record of pinholes: which rule put the helper on the flow, where it stands, and what outlives the router. */

import { assertEquals } from "@std/assert";
import { validate } from "../../src/config/validate.ts";
import type { RouterConfig } from "../../src/config/types.ts";
import { PINHOLES, Pinholes } from "../../src/conntrack/pinholes.ts";
import { MOST_HELPERS } from "../../src/conntrack/roster.ts";
import { RuleTexts } from "../../src/conntrack/rule_texts.ts";
import { ftp, talk, tftp } from "../../src/helpers/mod.ts";
import { Memory } from "../../src/memory.ts";
import { Packet } from "../../src/packet/packet.ts";
import { geometryOf } from "../../src/geometry.ts";
import { Router } from "../../src/router.ts";
import { load, seeded, tcp, udp, VirtualClock } from "../kit/mod.ts";
import { addressBytes, be, concat } from "../kit/packets.ts";

const C = "192.0.2.2", S = "198.51.100.7";
const INTERFACES = {
  lan: { addresses: ["192.0.2.1/24"] },
  wan: { addresses: ["198.51.100.1/24"] },
} as const;
const asked = () => ftp({ autoAssign: false, record: true });

/** A router over memory that may have been another's, and an FTP conversation through it. */
class Lab {
  readonly router: Router;
  readonly clock = new VirtualClock();
  readonly log: string[] = [];
  readonly #p = new Packet();
  /** What the client sends next. */
  #next = 0;

  constructor(readonly config: Partial<RouterConfig>, public memory?: Memory) {
    const valid = validate({ interfaces: INTERFACES, ...config });
    const recovered = memory !== undefined, geometry = geometryOf(valid);
    this.memory = memory ?? Memory.create(new ArrayBuffer(Memory.bytes(geometry)), geometry);
    this.router = new Router({
      config: valid,
      clock: this.clock,
      random: seeded(3),
      memory: this.memory,
      recovered,
      emit: () => {},
      emitHost: () => {},
      log: (line) => this.log.push(line),
    });
  }

  /** The router is killed, and started again with this configuration. */
  again(config: Partial<RouterConfig>): Lab {
    const lab = new Lab(config, Memory.open(this.memory!.buffer));
    lab.#next = this.#next;
    return lab;
  }

  send(iface: number, bytes: Uint8Array): void {
    const p = load(this.#p, bytes);
    if (iface === 0) this.router.receiveHost(p);
    else this.router.receive(p, iface);
  }

  /** Opens a control connection from `client`, behind interface `iface`. */
  connect(sport = 4000, client = C, iface = 1): void {
    const o = { src: client, sport, dst: S, dport: 21 }, r = { src: S, sport: 21, dst: client, dport: sport };
    this.send(iface, tcp({ ...o, flags: "S", seq: 100 }));
    this.send(2, tcp({ ...r, flags: "SA", seq: 500, ack: 101 }));
    this.send(iface, tcp({ ...o, flags: "A", seq: 101, ack: 501 }));
    this.#next = 101;
    this.announce("USER ftp\r\n", sport, client, iface); // what is announced stands on a line of its own
  }

  /** Announces a port on it. */
  announce(text = "PORT 192,0,2,2,19,136\r\n", sport = 4000, client = C, iface = 1): void {
    const o = { src: client, sport, dst: S, dport: 21 };
    this.send(iface, tcp({ ...o, flags: "PA", seq: this.#next, ack: 501, payload: text }));
    this.#next += text.length;
  }

  get rules(): string[] {
    return this.router.conntrack.pinholes.map(({ assigned, rule }) => `${assigned}: ${rule}`);
  }
}

const raw = (chain: string, rule: object = {}) =>
  ({
    raw: {
      [chain]: [{ protocol: "udp" }, { protocol: "tcp", dport: 21, jump: "CT", helper: "ftp", ...rule }],
    },
  }) as RouterConfig["tables"];

Deno.test("a pinhole names the rule that gave its flow the helper, as messages name it", () => {
  const cases: [Partial<RouterConfig>, string][] = [
    [{ tables: raw("PREROUTING") }, "rule: tables.raw.PREROUTING[1]"],
    [{ tables: { ipv4: raw("PREROUTING") } }, "rule: tables.ipv4.raw.PREROUTING[1]"],
    [
      { iptables: "*raw\n[1:2] -A PREROUTING -p tcp   --dport 21 -j CT --helper ftp\nCOMMIT\n" },
      "rule: iptables:2:7 -A PREROUTING -p tcp   --dport 21 -j CT --helper ftp",
    ],
    [
      { iptables: "*raw\n:ours -\n-A PREROUTING -j ours\n-A ours -p tcp -j CT --helper ftp\nCOMMIT\n" },
      "rule: iptables:4:1 -A ours -p tcp -j CT --helper ftp",
    ],
  ];
  for (const [config, rule] of cases) {
    const lab = new Lab({ ...config, helpers: [asked()] });
    lab.connect();
    lab.announce();
    assertEquals(lab.rules, [rule]);
  }
});

Deno.test("a pinhole names the rule in OUTPUT for what programs behind the host device begin", () => {
  const own = "198.51.100.1";
  const lab = new Lab({ tables: raw("OUTPUT"), host: { device: "weir0" }, helpers: [asked()] });
  lab.connect(4000, own, 0);
  lab.announce("PORT 198,51,100,1,19,136\r\n", 4000, own, 0);
  assertEquals(lab.rules, ["rule: tables.raw.OUTPUT[1]"]);
});

Deno.test("a pinhole of a helper that serves its port by itself names that port", () => {
  const lab = new Lab({ tables: { filter: { FORWARD: [{ state: "NEW" }] } }, helpers: [ftp()] });
  lab.connect();
  lab.announce();
  const [pinhole] = lab.router.conntrack.pinholes;
  assertEquals(pinhole, {
    number: 1,
    time: pinhole.time,
    helper: "ftp",
    assigned: "port",
    rule: "autoAssign tcp 21",
    id: pinhole.id,
    flow: `tcp ${C}:4000 → ${S}:21`,
    expected: `tcp ${S} → ${C}:5000`,
    announced: null,
  });
});

Deno.test("a flow that was expected, and is read by a helper, too, names the rule of its master", () => {
  const rule = { protocol: "udp", source: C, dport: 518, jump: "CT", helper: "talk" } as const;
  const lab = new Lab({ tables: { raw: { PREROUTING: [rule] } }, helpers: [talk({ autoAssign: false })] });
  /** An ntalk response, of which the helper reads type, answer and address. */
  const response = (type: number, host: string) =>
    concat([1, type, 0, 0], be(7, 4), [0, 2], be(4000, 2), addressBytes(host), new Uint8Array(8));
  const ANNOUNCE = 3, LOOK_UP = 1, asks = new Uint8Array(84).fill(1, 0, 1);
  const caller = { src: C, sport: 1500, dst: S, dport: 518 },
    callee = { src: S, sport: 40000, dst: C, dport: 518 };
  const back = (o: typeof caller) => ({ src: o.dst, sport: o.dport, dst: o.src, dport: o.sport });
  lab.send(1, udp({ ...caller, payload: asks }));
  lab.send(2, udp({ ...back(caller), payload: response(ANNOUNCE, "0.0.0.0") }));
  lab.send(2, udp({ ...callee, payload: asks }));
  lab.send(1, udp({ ...back(callee), payload: response(LOOK_UP, C) }));
  assertEquals(lab.router.conntrack.pinholes.map(({ flow }) => flow), [
    `udp ${C}:1500 → ${S}:518`,
    `udp ${S}:40000 → ${C}:518`,
  ]);
  assertEquals(lab.rules, ["rule: tables.raw.PREROUTING[0]", "rule: tables.raw.PREROUTING[0]"]);
});

Deno.test("the record survives the router, and so do the rules that its flows name", () => {
  const config = { tables: raw("PREROUTING"), helpers: [asked()] };
  const before = new Lab(config);
  before.connect();
  before.announce();
  const after = before.again(config);
  assertEquals(after.router.conntrack.pinholes, before.router.conntrack.pinholes);
  after.announce("PORT 192,0,2,2,19,137\r\n");
  assertEquals(after.rules, ["rule: tables.raw.PREROUTING[1]", "rule: tables.raw.PREROUTING[1]"]);
  assertEquals(after.log.length, 1, after.log.join("\n"));

  // Its rule is gone, and another stands in its place; the flow names its own all the same.
  const tables = raw("PREROUTING", { source: C });
  const changed = { ...config, tables: { ipv4: tables } };
  const other = after.again(changed);
  other.announce("PORT 192,0,2,2,19,138\r\n");
  assertEquals(other.rules.at(-1), "rule: tables.raw.PREROUTING[1]");
  other.connect(4001);
  other.announce("PORT 192,0,2,2,19,139\r\n", 4001);
  assertEquals(other.rules.at(-1), "rule: tables.ipv4.raw.PREROUTING[1]");
});

Deno.test("an unloaded helper stays so when its router is killed and started again", () => {
  const config = { tables: raw("PREROUTING"), helpers: [asked(), tftp()] };
  const before = new Lab(config);
  before.router.conntrack.unloadHelper(0);
  const loaded = (lab: Lab) =>
    lab.memory!.generation.roster.entries.map((entry) => [entry.name, entry.loaded]);
  const after = before.again(config);
  assertEquals(loaded(after), [["ftp", false], ["tftp", true]]);
  after.connect();
  after.announce();
  assertEquals(after.rules, []);
  assertEquals(loaded(new Lab(config)), [["ftp", true], ["tftp", true]]);
});

Deno.test("timeouts that a rule gave outlive the router, whatever its rules give then", () => {
  const rule = (established: number) =>
    ({
      raw: { PREROUTING: [{ protocol: "tcp", jump: "CT", timeout: { established } }] },
    }) as RouterConfig["tables"];
  const seconds = (lab: Lab) => {
    lab.connect();
    const { conntrack } = lab.router;
    return conntrack.timeouts(conntrack.flows.next(-1), Int32Array.of(0, 0, 0, 432000_000))[3] / 1000;
  };
  const before = new Lab({ tables: rule(100) });
  assertEquals(seconds(before), 100);
  assertEquals(seconds(before.again({ tables: rule(100) })), 100);
  assertEquals(seconds(before.again({ tables: rule(200) })), 100);
});

Deno.test("Pinholes keeps the newest, and never shows a record that is being written", () => {
  const buffer = new ArrayBuffer(Pinholes.BYTES), ring = new Pinholes(buffer, 0);
  const tuple = Int32Array.of(0xc0000202, 0, 0, 0, 0xc6336407, 0, 0, 0, 4000 << 16 | 21, 6 | 4 << 8);
  const expectation = new Int32Array(32);
  expectation.set(tuple, 1);
  const note = () => ring.note(0, 7, 42, tuple, 0, expectation, 0, null, 21, null, 0, -1);
  assertEquals(ring.list([]), []);
  for (let i = 0; i < PINHOLES + 10; i++) assertEquals(note(), i + 1);
  const numbers = ring.list(["ftp"]).map(({ number }) => number);
  assertEquals([numbers[0], numbers.at(-1), numbers.length], [11, PINHOLES + 10, PINHOLES]);
  assertEquals(new Pinholes(buffer, 0).list(["ftp"]).length, PINHOLES);
  // As a reader finds it in the middle of a write: the number is gone.
  new Int32Array(buffer)[16 + 10 * 128] = 0;
  assertEquals(ring.list(["ftp"]).length, PINHOLES - 1);
});

Deno.test("Pinholes cuts long announcements and long rules, and says so", () => {
  const ring = new Pinholes(new ArrayBuffer(Pinholes.BYTES), 0), words = new Int32Array(32).fill(4 << 8);
  const texts = new RuleTexts(9), long = `iptables:1:1 -A PREROUTING ${"é".repeat(200)}`;
  const bytes = new TextEncoder().encode("x".repeat(200));
  ring.note(0, 0, 1, words, 0, words, 0, texts.bytes(texts.number(long)), 0, bytes, 10, 190);
  const [{ rule, announced }] = ring.list(["ftp"]);
  assertEquals(announced, "x".repeat(128) + "…");
  assertEquals(rule, `${long.slice(0, 27 + 110)}…`);
});

Deno.test("RuleTexts gives the same text the same number, also when other rules follow", () => {
  const texts = new RuleTexts(3),
    read = (t: RuleTexts, number: number) => new TextDecoder().decode(t.bytes(number));
  assertEquals(["a", "b", "a", "c", "d", "b"].map((text) => texts.number(text)), [1, 2, 1, 3, 0, 2]);
  // The next rules are b and e; a flow has c, and nobody knows yet that it will never have a.
  const next = new RuleTexts(3);
  next.adopt(texts, new Set([3]));
  assertEquals(["b", "e"].map((text) => next.number(text)), [2, 0]);
  assertEquals([1, 2, 3].map((number) => read(next, number)), ["a", "b", "c"]);
  const last = new RuleTexts(3);
  last.adopt(next, new Set([3]));
  assertEquals(["e", "b"].map((text) => last.number(text)), [1, 2]);
  assertEquals([1, 2, 3].map((number) => read(last, number)), ["e", "b", "c"]);
});

Deno.test("HelperRoster tells what is listed, up to its room", () => {
  const lab = new Lab({ helpers: [ftp({ ports: [21, 2121], record: true }), talk({ autoAssign: false })] });
  const entry = { families: [4, 6] as const, loaded: true, counts: [0, 0, 0, 0] };
  const file = { ...entry, protocol: 6, autoAssign: true, records: true };
  assertEquals(lab.memory!.generation.roster.entries, [
    { ...file, name: "ftp", ports: [21] },
    { ...file, name: "ftp-2121", ports: [2121] },
    {
      ...entry,
      name: "talk",
      protocol: 17,
      families: [4],
      ports: [517, 518],
      autoAssign: false,
      records: false,
    },
  ]);
  assertEquals(MOST_HELPERS, 64);
});
