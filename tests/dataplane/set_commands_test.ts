/** What commands do to sets at work, and what they refuse. */
import { assert, assertEquals } from "@std/assert";
import { type SetAnswer, SetCommands, type SetRequest } from "../../src/dataplane/set_commands.ts";
import { HeapArena } from "../../src/arena.ts";
import { validate } from "../../src/config/validate.ts";
import { Interfaces } from "../../src/routing/interfaces.ts";
import { Sets } from "../../src/sets/mod.ts";
import { VirtualClock } from "../kit/mod.ts";
import { INTERFACES } from "../tables/rig.ts";

const IPSET = [
  "create plain hash:ip maxelem 5",
  "add plain 192.0.2.1",
  "create nets hash:net",
  "add nets 192.0.2.0/24",
  "add nets 192.0.2.9 nomatch",
  "create timed hash:ip,port timeout 60 counters comment",
  "create ports bitmap:port range 0-99",
  "create list list:set",
  "add list plain",
  "",
].join("\n");

class Bench {
  readonly clock = new VirtualClock();
  readonly sets: Sets;
  readonly #commands: SetCommands;

  constructor() {
    const config = validate({
      interfaces: INTERFACES,
      ipset: IPSET,
      sets: { both: { type: "hash:ip", entries: ["192.0.2.1", "2001:db8::1"] } },
    });
    const interfaces = new Interfaces(config.interfaces);
    const binding = { clock: this.clock, arena: new HeapArena(), interfaces, seed: 7, roomy: true };
    this.sets = new Sets(config.sets, new Set(), binding);
    this.#commands = new SetCommands(this.sets, this.clock);
  }

  ask(request: SetRequest): SetAnswer {
    return this.#commands.answer(JSON.stringify(request));
  }

  /** What a request answers. */
  told(verb: SetRequest["verb"], set: string, entry?: string, exist = false): Record<string, unknown> {
    const { done, text } = this.ask({ verb, set, entry, exist });
    assert(done, text);
    return JSON.parse(text);
  }

  entries(set: string): string[] {
    return this.told("list", set).entries as string[];
  }
}

Deno.test("SetCommands adds, tests, removes and lists, and says what it has done", () => {
  const b = new Bench(), version = b.sets.version[0];
  assertEquals(b.told("add", "plain", "192.0.2.4/31"), { members: 2 });
  assertEquals(b.entries("plain"), ["192.0.2.1", "192.0.2.4", "192.0.2.5"]);
  assertEquals(b.told("test", "plain", "192.0.2.4"), { holds: true });
  assertEquals(b.told("del", "plain", "192.0.2.4"), { members: 1 });
  assertEquals(b.told("test", "plain", "192.0.2.4"), { holds: false });
  assertEquals(b.told("add", "plain", "192.0.2.1", true), { members: 0 });
  assertEquals(b.told("del", "plain", "192.0.2.77", true), { members: 0 });
  assertEquals(b.told("flush", "plain"), { members: 2 });
  assertEquals(b.entries("plain"), []);
  assertEquals(b.told("add", "ports", "10-12"), { members: 3 });
  assertEquals(b.sets.version[0] - version, 6, "each change is told to the fast path");
});

Deno.test("SetCommands looks an address up as a packet's is, and a network as it stands there", () => {
  const b = new Bench();
  const holds = (entry: string) => b.told("test", "nets", entry).holds;
  assertEquals(["192.0.2.7", "192.0.2.9", "192.0.2.0/24", "192.0.2.0/25"].map(holds), [
    true,
    false,
    true,
    false,
  ]);
  b.told("add", "nets", "198.51.100.0/25");
  assertEquals(["198.51.100.7", "198.51.100.200"].map(holds), [true, false]);
  b.told("flush", "nets");
  b.told("add", "nets", "192.0.2.0/28");
  assertEquals(["192.0.2.7", "192.0.2.77"].map(holds), [true, false]);
});

Deno.test("SetCommands gives members what stands behind them, for their time", () => {
  const b = new Bench();
  b.told("add", "timed", '192.0.2.1,tcp:80 timeout 30 packets 5 comment "by hand"');
  b.told("add", "timed", "192.0.2.2,udp:53");
  assertEquals(b.entries("timed"), [
    '192.0.2.1,tcp:80 timeout 30 packets 5 bytes 0 comment "by hand"',
    "192.0.2.2,udp:53 timeout 60 packets 0 bytes 0",
  ]);
  b.clock.advance(30_000);
  assertEquals(b.entries("timed"), ["192.0.2.2,udp:53 timeout 30 packets 0 bytes 0"]);
  assertEquals(b.told("test", "timed", "192.0.2.1,tcp:80"), { holds: false });
  assertEquals(b.told("add", "timed", "192.0.2.1,tcp:80"), { members: 1 });
  assertEquals(b.told("add", "timed", "192.0.2.1,tcp:80 timeout 7 -exist"), { members: 0 });
  const version = b.sets.version[0];
  b.clock.advance(8000);
  b.sets.sweep();
  assertEquals(b.entries("timed"), ["192.0.2.2,udp:53 timeout 22 packets 0 bytes 0"]);
  assert(b.sets.version[0] > version, "an end is a change as well");
});

Deno.test("SetCommands takes members of both families where a set has them", () => {
  const b = new Bench();
  b.told("add", "both", "2001:db8::2");
  b.told("add", "both", "192.0.2.2");
  b.told("del", "both", "2001:db8::1");
  assertEquals(b.entries("both"), ["192.0.2.1", "192.0.2.2", "2001:db8::2"]);
});

Deno.test("SetCommands lists large sets in pieces that fit the mailbox, none twice and none left out", () => {
  const b = new Bench(), all = new Set<string>();
  for (let i = 0; i < 20; i++) b.told("add", "nets", `10.${i}.0.0-10.${i}.255.254`);
  for (let i = 0; i < 30; i++) b.told("add", "both", `10.0.${i}.0/24`);
  b.told("add", "both", "2001:db8::77");
  for (let i = 0; i < 60; i++) {
    b.told("add", "timed", `192.0.2.${i},tcp:1 comment "${"\\\u0001".repeat(100)}"`);
  }
  for (const name of ["nets", "both", "timed"]) {
    all.clear();
    let pieces = 0, members = 0;
    for (let from: number | null = 0; from !== null; pieces++) {
      const { done, text } = b.ask({ verb: "list", set: name, from });
      assert(done, text);
      assert(text.length < 1 << 14, `${text.length} bytes`);
      const answer = JSON.parse(text) as { entries: string[]; next: number | null };
      answer.entries.forEach((entry) => all.add(entry));
      members += answer.entries.length;
      from = answer.next;
    }
    assertEquals(all.size, members);
    assertEquals(members, b.sets.get(name).count);
    assert(name === "nets" || pieces > 5);
  }
});

const REFUSED: readonly (readonly [SetRequest, string])[] = [
  [{ verb: "add", set: "plian", entry: "192.0.2.1" }, 'there is no set "plian"; there are '],
  [{ verb: "add", set: "plain", entry: "192.0.2.1" }, "is in the set already"],
  [{ verb: "add", set: "plain" }, "needs a member"],
  [{ verb: "add", set: "plain", entry: "192.0.2.300" }, "is not an address"],
  [{ verb: "add", set: "plain", entry: "192.0.2.3 timeout 5" }, "timeout needs"],
  [{ verb: "add", set: "plain", entry: "192.0.2.8/29" }, "the set is full"],
  [{ verb: "del", set: "plain", entry: "192.0.2.77" }, "is not in the set"],
  [{ verb: "del", set: "plain", entry: "10.0.0.0/15", exist: true }, "too many at once"],
  [{ verb: "test", set: "timed", entry: "10.0.0.0/8,tcp:1-65535" }, "too many at once"],
  [{ verb: "add", set: "list", entry: "plain" }, "stand in the configuration"],
  [{ verb: "add", set: "ports", entry: "100" }, "out of the set's range"],
  [{ verb: "rename" as "add", set: "plain", entry: "192.0.2.1" }, "nothing that can be done"],
];

for (const [request, message] of REFUSED) {
  Deno.test(`SetCommands refuses ${JSON.stringify(request)}`, () => {
    const { done, text } = new Bench().ask(request);
    assert(!done && text.includes(message), text);
  });
}
