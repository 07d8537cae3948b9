/**
 * Looking a packet up in a long chain and walking the chain row by row come to the same: verdicts and reasons, marks and
 * bytes, counters, log lines, what matches count by being asked, and flows.
 */
import { assert, assertEquals } from "@std/assert";
import type { RouterConfig } from "../../src/config/types.ts";
import { DROP, FORWARD, type Hook, INPUT, OUTPUT, POSTROUTING, PREROUTING } from "../../src/netfilter.ts";
import { parse } from "../../src/packet/parse.ts";
import { amanda, ftp, irc, tftp } from "../../src/helpers/mod.ts";
import type { Packet } from "../../src/packet/packet.ts";
import type { TableName } from "../../src/tables/extension.ts";
import { RowIndex } from "../../src/tables/row_index.ts";
import { Chance } from "../fuzz/chance.ts";
import { interfaces } from "../fuzz/net.ts";
import { makePlan } from "../fuzz/plan.ts";
import { ip, load, show, tcp } from "../kit/mod.ts";
import { longRules, mergedRules, packetFor } from "./long_chains.ts";
import { LAN, Rig, WAN } from "./rig.ts";

/** Where a packet meets tables on its way through, and between them conntrack. */
const WAY: readonly (readonly [TableName | "track" | "confirm", Hook])[] = [
  ["raw", PREROUTING],
  ["track", PREROUTING],
  ["mangle", PREROUTING],
  ["mangle", FORWARD],
  ["filter", FORWARD],
  ["mangle", INPUT],
  ["filter", INPUT],
  ["mangle", OUTPUT],
  ["filter", OUTPUT],
  ["nat", POSTROUTING],
  ["mangle", POSTROUTING],
  ["confirm", POSTROUTING],
];

/** The same rules walked and looked up. */
class Pair {
  readonly walked: Rig;
  readonly lookedUp: Rig;
  packets = 0;

  constructor(more: Partial<RouterConfig>, indexFrom?: number) {
    this.walked = new Rig({}, more, Infinity);
    this.lookedUp = new Rig({}, more, indexFrom);
  }

  /** The packet's way, said in one line. */
  #way(rig: Rig, bytes: Uint8Array, iface: number, mark: number): string {
    const p = load(rig.p, bytes, iface);
    if (parse(p) !== 0) return "refused";
    p.mark = mark;
    const said: (number | string)[] = [];
    for (const [what, hook] of WAY) {
      p.hook = hook;
      p.inInterface = hook === OUTPUT || hook === POSTROUTING ? 0 : iface;
      p.outInterface = hook === PREROUTING || hook === INPUT ? 0 : 3 - iface;
      let verdict = -1;
      if (what === "track") verdict = p.fragmentOffset === 0 ? rig.conntrack.in(p) : -1;
      else if (what === "confirm") verdict = p.ct >= 0 ? rig.conntrack.confirm(p) : -1;
      else if (what !== "nat" || p.ct >= 0) verdict = rig.of(p.family)[what]?.run(hook, p) ?? -1;
      said.push(verdict, p.mark, p.reason);
      // It goes on as if it had passed, to meet more rules.
      if (verdict === DROP) p.reason = 0;
    }
    return `${said.join(" ")} ${p.bytes.slice(0, p.length).join(".")}`;
  }

  send(bytes: Uint8Array, iface = LAN, mark = 0): void {
    this.packets++;
    const expected = this.#way(this.walked, bytes, iface, mark);
    assertEquals(this.#way(this.lookedUp, bytes, iface, mark), expected, show(bytes));
  }

  /** What must be the same in the end. */
  compare(): void {
    const { walked, lookedUp } = this;
    for (let i = 0; i < walked.counters.length; i++) {
      if (walked.counters[i] !== lookedUp.counters[i]) {
        throw new Error(`counter ${i >> 1} is ${lookedUp.counters[i]}, not ${walked.counters[i]}`);
      }
    }
    assertEquals(lookedUp.lines, walked.lines);
    assertEquals(lookedUp.rejects, walked.rejects);
    assertEquals(lookedUp.conntrack.flows.words, walked.conntrack.flows.words);
  }

  /** Rules that have counted. */
  get hit(): number {
    return this.walked.counters.filter((n, i) => i % 2 === 0 && n > 0).length;
  }
}

Deno.test("RowIndex finds the rows that a walk finds in thousands of rules of the fuzzer", () => {
  let hit = 0;
  for (let seed = 1; seed <= 2; seed++) {
    const c = new Chance(seed);
    const pair = new Pair({
      interfaces: interfaces({}),
      helpers: [amanda, ftp, irc, tftp].map((helper) => helper({ autoAssign: false })),
      iptables: mergedRules(c.fork(), 4, 60),
      ip6tables: mergedRules(c.fork(), 6, 60),
    }, seed % 2 === 0 ? 1 : undefined);
    for (const step of makePlan({ seed, packets: 1500 }).steps) {
      pair.send(step.bytes, step.iface === "lan" ? LAN : WAN, c.below(4));
    }
    pair.compare();
    hit += pair.hit;
  }
  assert(hit > 1500, `only ${hit} rules were hit`);
});

Deno.test("RowIndex finds the rows that a walk finds where rules have everything that can be looked up", () => {
  let hit = 0;
  for (let seed = 1; seed <= 8; seed++) {
    const c = new Chance(seed), rules = [20, 100, 1000, 3000][seed % 4];
    const pair = new Pair({ iptables: longRules(c, 4, rules), ip6tables: longRules(c, 6, rules) });
    for (let i = 0; i < 2000; i++) {
      pair.send(packetFor(c, c.is(0.5) ? 4 : 6), c.pick([LAN, WAN]), c.pick([0, 1, 2, 0x10]));
    }
    pair.compare();
    hit += pair.hit;
  }
  assert(hit > 2000, `only ${hit} rules were hit`);
});

/** Rows that were judged behind the first ones of a chain, per packet. */
function judged(rig: Rig, packets: readonly Uint8Array[]): number {
  const { next } = RowIndex.prototype;
  let calls = 0;
  RowIndex.prototype.next = function (row) {
    calls++;
    return next.call(this, row);
  };
  try {
    for (const packet of packets) rig.run("filter", packet);
  } finally {
    RowIndex.prototype.next = next;
  }
  return calls / packets.length;
}

/** 10,000 rules, of which one accepts the packet to port 443 of one address. */
function manyRules(rule: (i: number) => string, before = ""): string {
  const rules = Array.from({ length: 10_000 }, (_, i) => `-A FORWARD ${rule(i)}`);
  return `*filter\n:FORWARD DROP [0:0]\n:web - [0:0]\n${before}${rules.join("\n")}\nCOMMIT\n`;
}

const host = (i: number) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
const to = (i: number, dport: number) =>
  tcp({ src: "203.0.113.9", dst: host(i), sport: 1025, dport, flags: "S" });

Deno.test("RowIndex judges a few of 10,000 rows, whatever tells them apart", () => {
  const c = new Chance(1);
  const shapes: [string, (i: number) => string, number][] = [
    ["address and port", (i) => `-d ${host(i)} -p tcp -m tcp --dport 443 -j ACCEPT`, 2],
    [
      "flags behind a comment",
      (i) => `-d ${host(i)} -p tcp -m comment --comment ${i} -m tcp --syn -j ACCEPT`,
      2,
    ],
    [
      "a list of ports",
      (i) => `-p tcp -m multiport --dports ${10000 + i},${20000 + i},443 -d ${host(i)} -j ACCEPT`,
      2,
    ],
    ["a range of addresses", (i) => `-m iprange --dst-range ${host(4 * i)}-${host(4 * i + 2)} -j ACCEPT`, 3],
    ["a range of ports", (i) => `-d ${host(i)} -p tcp -m tcp --dport ${i % 440}:443 -j ACCEPT`, 2],
    ["a mark", (i) => `-m mark --mark ${i + 1}/0xffff -j DROP`, 2],
    ["an interface", (i) => `-i ppp${i} -j DROP`, 2],
    ["a state", (i) => `-m state --state NEW -m limit --limit ${1 + i % 9}/hour -j LOG`, 2],
    ["a protocol", (i) => `-p udp -m limit --limit ${1 + i % 9}/hour -j LOG`, 2],
    [
      "networks of all sizes",
      () =>
        `-s ${host(c.below(1 << 24))}/${c.between(8, 32)} -d ${host(c.below(1 << 24))}/${
          c.between(8, 32)
        } -j DROP`,
      20,
    ],
    [
      "networks and overlapping ranges",
      (i) =>
        `-d ${host(c.below(1 << 24))}/${c.between(12, 32)} -p tcp -m tcp --dport ${i}:${2 * i + 1} -j DROP`,
      40,
    ],
  ];
  for (const [what, rule, most] of shapes) {
    const rig = new Rig({}, { iptables: manyRules(rule) });
    const packets = Array.from({ length: 50 }, (_, i) => to(199 * i, 443));
    const rows = judged(rig, packets);
    assert(rows > 0.9 && rows <= most, `${what}: ${rows} rows`);
  }
});

Deno.test("RowIndex judges a few of 10,000 rows for packets that ports drop by being asked", () => {
  const rig = new Rig({}, {
    iptables: manyRules((i) => `-d ${host(i)} -p tcp -m tcp --dport 443 -j ACCEPT`),
    ip6tables: manyRules((i) => `-d 2001:db8::${i.toString(16)} -p tcp -m tcp --dport 443 -j ACCEPT`),
  });
  const some = Array.from({ length: 20 }, (_, i) => 400 + 397 * i);
  const cut = some.map((i) => ip({ src: "203.0.113.9", dst: host(i), protocol: 6, payload: 19 }));
  const later = some.map((i) =>
    ip({ src: "203.0.113.9", dst: host(i), protocol: 6, payload: 40, offset: 8 })
  );
  const cutChain = some.map((i) => {
    const packet = ip({ src: "2001:db8:1::9", dst: `2001:db8::${i.toString(16)}`, protocol: 60, payload: 8 });
    packet[41] = 200;
    return packet;
  });
  for (const packets of [cut, later, cutChain]) {
    assert(judged(rig, packets) <= 2);
    for (const packet of packets) assertEquals(rig.says("filter", packet), "match-hotdrop");
  }
});

Deno.test("RowIndex finds each of 10,000 rules, and the policy behind them", () => {
  const rig = new Rig({}, {
    iptables: manyRules((i) => `-d ${host(i)} -p tcp -m tcp --dport 443 -j ACCEPT`),
  });
  for (let i = 0; i < 10_000; i += 7) assertEquals(rig.says("filter", to(i, 443)), "ACCEPT");
  for (let i = 0; i < 100; i++) assertEquals(rig.says("filter", to(i, 80)), "policy-drop");
  const counted = rig.count("filter", "FORWARD").map(([packets]) => packets);
  assertEquals(counted, Array.from({ length: 10_001 }, (_, i) => i === 10_000 ? 100 : i % 7 === 0 ? 1 : 0));
});

Deno.test("RowIndex goes on behind jumps into thousands of chains, gotos and returns", () => {
  const rules = Array.from({ length: 3000 }, (_, i) => {
    const jump = i % 3 === 0 ? "-g" : "-j";
    return [
      `-A FORWARD -d ${host(i)} ${jump} c${i}`,
      `-A FORWARD -d ${host(i)}`,
      `-A c${i} -p udp -j ACCEPT`,
      `-A c${i} -p tcp -m tcp --dport 80 -j RETURN`,
      `-A c${i} -p tcp -m tcp --dport 443 -g long`,
    ].join("\n");
  });
  const chains = Array.from({ length: 3000 }, (_, i) => `:c${i} - [0:0]`);
  const long = Array.from(
    { length: 1000 },
    (_, i) => `-A long -d ${host(3 * i + 1)} -j ${i % 2 === 0 ? "DROP" : "RETURN"}`,
  );
  const iptables = [
    "*filter",
    ":FORWARD DROP [0:0]",
    ":long - [0:0]",
    ...chains,
    ...rules,
    ...long,
    "COMMIT",
    "",
  ];
  const pair = new Pair({ iptables: iptables.join("\n") });
  for (let i = 0; i < 3000; i += 5) for (const dport of [22, 80, 443]) pair.send(to(i, dport));
  pair.compare();
  assert(pair.hit > 1500, `only ${pair.hit} rules were hit`);
});

Deno.test("RowIndex leaves functions where they stand, and sees what they change", () => {
  const asked: string[] = [];
  const ask = (name: string, answer: (p: Packet) => boolean) => (p: Packet) => (asked.push(name), answer(p));
  const filling = Array.from(
    { length: 40 },
    (_, i) => ({ destination: host(i), mark: 7, jump: "DROP" as const }),
  );
  const rig = new Rig({
    filter: {
      FORWARD: [
        ...filling,
        { match: ask("all", () => false) },
        { destination: host(50), match: ask("another", () => true) },
        { destination: host(99), match: ask("its own", () => false) },
        { mark: 7, match: ask("too early", () => false) },
        {
          match: ask("marking", (p) => {
            p.mark = 7;
            return false;
          }),
        },
        ...filling,
        { mark: 7, match: ask("marked", () => true), jump: "ACCEPT" },
        { match: ask("never", () => true) },
      ],
    },
  });
  assertEquals(rig.says("filter", to(99, 80)), "ACCEPT");
  assertEquals(asked, ["all", "its own", "marking", "marked"]);
});
