/** Sets of addresses: who is in them, in Weir and in Linux, and which are refused. */
import { assert, assertEquals } from "@std/assert";
import { importRules } from "../../src/config/typescript.ts";
import { ConfigError, validate } from "../../src/config/validate.ts";
import { Chance } from "../fuzz/chance.ts";
import { tcp } from "../kit/mod.ts";
import { find } from "../netns/programs.ts";
import { compare } from "../oracle/compare.ts";
import { askKernel, kernelAvailable } from "../oracle/kernel.ts";
import { packet, type Scenario, type Step } from "../oracle/scenario.ts";
import { askWeir } from "../oracle/weir.ts";
import { INTERFACES, Rig, WAN } from "../tables/rig.ts";
import { type Spec, specify } from "../tables/spec.ts";

const from = (src: string, dst = src.includes(":") ? "2001:db8:2::9" : "203.0.113.9") =>
  tcp({ src, dst, sport: 1025, dport: 80, flags: "S" });

/** A rule of IPv4 alone. */
const V4 = { source: "0.0.0.0/0" } as const;

const sets = {
  blocked: { type: "hash:ip", entries: ["10.0.0.2", "10.0.0.9", "2001:db8:1::2"] },
  nets: { type: "hash:net", entries: ["10.0.0.0/30", "10.0.0.128/25", "203.0.113.9", "2001:db8:1::/64"] },
  empty: { type: "hash:net", entries: [] },
  web: { type: "hash:ip,port", family: "inet", entries: ["203.0.113.9,tcp:80", "203.0.113.9,443"] },
  six: { type: "hash:net", family: "inet6", entries: ["2001:db8:1::/64"] },
  but: { type: "hash:net", entries: ["10.0.0.0/24", "10.0.0.2 nomatch", "2001:db8:1::2 nomatch"] },
  counted: { type: "hash:ip", counters: true, entries: ["10.0.0.2", "10.0.0.3 packets 7 bytes 900"] },
  by: {
    type: "hash:net,iface",
    entries: ["10.0.0.0/24,lan", "0.0.0.0/0,wa wildcard", "2001:db8:1::/48,lan"],
  },
  all: { type: "list:set", entries: ["blocked", "but"] },
} as const;

const specs: Spec[] = [
  {
    rule: { matchSet: "blocked src" },
    save: "-m set --match-set blocked src",
    save6: "-m set --match-set blocked src",
    fits: [from("10.0.0.2"), from("10.0.0.9"), from("2001:db8:1::2")],
    not: [from("10.0.0.3"), from("2001:db8:1::3")],
  },
  {
    rule: { matchSet: "! nets src" },
    save: "-m set ! --match-set nets src",
    fits: [from("10.0.0.4"), from("10.0.0.127"), from("2001:db8:1:1::2")],
    not: [from("10.0.0.3"), from("10.0.0.128"), from("10.0.0.255"), from("2001:db8:1:0:ffff::")],
  },
  {
    rule: { matchSet: "nets dst,src" },
    save: "-m set --match-set nets dst,src",
    fits: [from("10.0.0.4", "203.0.113.9")],
    not: [from("10.0.0.1", "203.0.113.8")],
  },
  { rule: { matchSet: "empty src" }, not: [from("10.0.0.2")] },
  {
    rule: { matchSet: "web dst,dst", ...V4 },
    save: "-m set --match-set web dst,dst",
    fits: [from("10.0.0.4", "203.0.113.9")],
    not: [from("10.0.0.4", "203.0.113.8"), [from("10.0.0.4", "203.0.113.9"), {
      prepare: (p) => p.protocol = 17,
    }]],
  },
  {
    rule: { matchSet: "web dst", ...V4 },
    save: "-m set --match-set web dst",
    not: [from("10.0.0.4", "203.0.113.9")],
  },
  { rule: { matchSet: "but src" }, fits: [from("10.0.0.4")], not: [from("10.0.0.2"), from("2001:db8:1::2")] },
  {
    rule: { matchSet: "but src", returnNomatch: true },
    save: "-m set --match-set but src --return-nomatch",
    fits: [from("10.0.0.2"), from("2001:db8:1::2")],
    not: [from("10.0.0.4")],
  },
  {
    rule: { matchSet: "counted src", packetsGt: 7, updateCounters: { not: true } },
    save: "-m set --match-set counted src ! --update-counters --packets-gt 7",
    not: [from("10.0.0.2"), from("10.0.0.3")],
  },
  {
    rule: { matchSet: "counted src", packetsEq: { not: 8 }, bytesLt: 1000, updateSubcounters: { not: true } },
    save: "-m set --match-set counted src ! --update-subcounters ! --packets-eq 8 --bytes-lt 1000",
    fits: [from("10.0.0.2")],
    not: [from("10.0.0.3")],
  },
  { rule: { matchSet: "counted src", updateCounters: true }, save: "-m set --match-set counted src" },
  {
    rule: { matchSet: "by src,src" },
    fits: [from("10.0.0.4"), [from("192.0.2.1"), { in: WAN }], from("2001:db8:1::9")],
    not: [from("192.0.2.1"), [from("10.0.0.4"), { in: WAN }]],
  },
  { rule: { matchSet: "all src" }, fits: [from("10.0.0.2"), from("10.0.0.4")], not: [from("10.0.1.2")] },
  { rule: { matchSet: "six src", ...V4 }, refused: ["matchSet", "is of IPv6"] },
  {
    rule: { matchSet: "counted src", packetsEq: 1, packetsLt: 5 },
    refused: ["matchSet", "exclude each other"],
  },
  { rule: { matchSet: "bloked src" }, refused: ["matchSet", '"bloked"'] },
  { rule: { matchSet: "blocked" }, refused: ["matchSet", "is not the name of a set"] },
  { rule: { matchSet: "blocked up" }, refused: ["matchSet", "is not the name of a set"] },
];
specify("set", specs, { sets });

Deno.test("set: mistakes are found, each with its place", () => {
  const mistakes: [unknown, string][] = [
    [[], "sets"],
    [{ a: [] }, "sets.a"],
    [{ "a b": { type: "hash:ip", entries: [] } }, 'sets["a b"]'],
    [{ a: { type: "hash:ip", entries: ["192.0.2.1", "192.0.2.1"] } }, "sets.a.entries[1]"],
    [{ a: { type: "hash:ip", maxelem: 1, entries: ["192.0.2.1", "192.0.2.2"] } }, "sets.a.entries[1]"],
    [{ a: { type: "hash:ip", family: "inet6", entries: ["192.0.2.1"] } }, "sets.a.entries[0]"],
    [{ a: { type: "hash:ip", family: "inet5", entries: [] } }, "sets.a.family"],
    [{ a: { type: "bitmap:port", entries: [] } }, "sets.a.range"],
    [{ a: { type: "hash:ip", counters: 1, entries: [] } }, "sets.a.counters"],
    [{ a: { type: "list:set", entries: ["b"] } }, "sets.a"],
    [{ a: { type: "hash:mac", entries: [] } }, "sets.a.type"],
    [{ a: { entries: [] } }, "sets.a.type"],
    [{ a: { type: "hash:ip" } }, "sets.a.entries"],
    [{ a: { type: "hash:ip", entries: ["192.0.2.1", "192.0.2.300"] } }, "sets.a.entries[1]"],
    [{ a: { type: "hash:ip", entries: [], timeot: 5 } }, "sets.a.timeot"],
    [{ a: { type: "hash:ip", entries: [], timeout: 1e10 } }, "sets.a.timeout"],
  ];
  for (const [given, path] of mistakes) {
    try {
      validate({ interfaces: INTERFACES, sets: given as typeof sets });
    } catch (error) {
      assert(error instanceof ConfigError, String(error));
      assertEquals(error.problems.map((problem) => problem.path), [path]);
      continue;
    }
    throw new Error(`${path} was taken`);
  }
});

Deno.test("set: an imported text leaves its sets to be filled in", () => {
  const text = "*filter\n-A FORWARD -m set ! --match-set blocked src -j DROP\nCOMMIT\n";
  const module = importRules({ name: "rules.v4", text }, null);
  assert(module.includes('sets: { blocked: { type: "hash:net", entries: ["address/length"] } },'), module);
  assert(module.includes('{ matchSet: "! blocked src", jump: "DROP" }'), module);
});

Deno.test("set: 100,000 addresses and networks of all sizes hold what a search finds", () => {
  const c = new Chance(1);
  const address = (n: number) => `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;
  const members = new Set(Array.from({ length: 100_000 }, () => c.below(1 << 24)));
  const networks = Array.from({ length: 50 }, () => ({ at: c.below(1 << 24), length: c.between(12, 31) }));
  const entries = [
    ...[...members].map(address),
    ...networks.map(({ at, length }) => `${address(at)}/${length}`),
  ];
  const rig = new Rig({ filter: { FORWARD: [{ matchSet: "big src", jump: "DROP" }] } }, {
    sets: { big: { type: "hash:net", entries } },
  });
  for (let i = 0; i < 2000; i++) {
    const n = c.is(0.3) ? c.pick([...networks]).at ^ c.below(1 << 14) : c.below(1 << 24);
    const expected = members.has(n) || networks.some(({ at, length }) => (at ^ n) >>> (32 - length) === 0);
    assertEquals(rig.says("filter", from(address(n))), expected ? "rule-drop" : "ACCEPT", address(n));
  }
});

/** The same sets and packets for Linux; a set there has one family. */
function scenario(): Scenario {
  const c = new Chance(5), steps: Step[] = [];
  for (let i = 0; i < 200; i++) {
    const host = c.below(12);
    steps.push(
      c.is(0.5)
        ? packet("lan", from(`192.0.2.${2 + host}`, `198.51.100.${c.between(1, 9)}`))
        : packet("lan", from(`2001:db8:1::${2 + host}`, `2001:db8:2::${c.between(2, 9)}`)),
    );
  }
  const rules = (ip: string, net: string) =>
    ["*filter", ":FORWARD ACCEPT [0:0]"].concat(
      [`${ip} src`, `${net} src`, `${ip} dst`, `${net} dst`, `${net} src,dst`].flatMap((asked) => [
        `-A FORWARD -m set --match-set ${asked}`,
        `-A FORWARD -m set ! --match-set ${asked}`,
      ]),
      [
        `-A FORWARD -p tcp -m set --match-set ${net} src -m set ! --match-set ${ip} src -j DROP`,
        "COMMIT",
        "",
      ],
    ).join("\n");
  return {
    interfaces: {
      lan: { addresses: ["192.0.2.1/24", "2001:db8:1::1/64"] },
      wan: { addresses: ["203.0.113.1/24", "2001:db8:2::1/64"] },
    },
    routes: [{ destination: "0.0.0.0/0", interface: "wan", via: "203.0.113.254" }],
    sets: {
      ip: { type: "hash:ip", entries: ["192.0.2.3", "192.0.2.7", "198.51.100.4"] },
      net: { type: "hash:net", entries: ["192.0.2.4/30", "192.0.2.12/31", "198.51.100.0/29", "192.0.2.6"] },
      ip6: { type: "hash:ip", entries: ["2001:db8:1::3", "2001:db8:1::7", "2001:db8:2::4"] },
      net6: { type: "hash:net", entries: ["2001:db8:1::4/126", "2001:db8:2::8/125", "2001:db8:1::6"] },
    },
    iptables: rules("ip", "net"),
    ip6tables: rules("ip6", "net6"),
    steps,
  };
}

Deno.test({
  name: "set: Linux's sets and Weir's hold the same",
  ignore: !kernelAvailable() || find("ipset") === null,
  fn() {
    const asked = scenario();
    assertEquals(compare(asked, askKernel(asked), askWeir(asked)), []);
  },
});
