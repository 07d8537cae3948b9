/** Maps of rules: what they are expanded to, what is refused and where, and that entries cost a packet nothing. */
import { assert, assertEquals } from "@std/assert";
import { saveTable } from "../../src/config/iptables_save.ts";
import { type RuleMap, valueMap, verdictMap } from "../../src/config/rule_map.ts";
import type { RouterConfig, RuleConfig } from "../../src/config/types.ts";
import { ConfigError, validate } from "../../src/config/validate.ts";
import { ACCEPT, FORWARD } from "../../src/netfilter.ts";
import { Chance } from "../fuzz/chance.ts";
import { tcp } from "../kit/mod.ts";
import { INTERFACES, LAN, Rig, WAN } from "../tables/rig.ts";

const CHAINS = { web: [], guests: [], admins: [] };

/** Rules of a chain as iptables-save prints them. */
function saved(
  map: RuleMap | RuleConfig,
  family: "ipv4" | "ipv6" = "ipv4",
  table: "filter" | "nat" | "mangle" = "filter",
) {
  const chain = table === "nat" ? "PREROUTING" : "FORWARD";
  const chains = table === "filter" ? CHAINS : {};
  const tables = { [table]: { [chain]: [map], ...chains } } as RouterConfig["tables"];
  const { rules } = validate({ interfaces: INTERFACES, tables });
  const text = rules[family][table] === null ? "" : saveTable(rules[family][table]);
  return text.split("\n").filter((line) => line.startsWith("-A ")).map((line) =>
    line.replace(/^-A \w+ /, "")
  );
}

Deno.test("verdictMap: each entry is a rule, verdicts, chains and targets alike", () => {
  assertEquals(
    saved(verdictMap("dport", {
      22: "admins",
      443: "ACCEPT",
      "6000:6063": { jump: "REJECT", rejectWith: "tcp-reset" },
      http: { goto: "web" },
    }, { protocol: "tcp", inInterface: "lan" })),
    [
      "-i lan -p tcp -m tcp --dport 22 -j admins",
      "-i lan -p tcp -m tcp --dport 443 -j ACCEPT",
      "-i lan -p tcp -m tcp --dport 80 -g web",
      "-i lan -p tcp -m tcp --dport 6000:6063 -j REJECT --reject-with tcp-reset",
    ],
  );
});

Deno.test("verdictMap: of networks the longest prefix comes first, each family in its own table", () => {
  const map = verdictMap("source", [
    ["10.0.0.0/8", "DROP"],
    ["10.1.0.0/16", "ACCEPT"],
    ["2001:db8::/32", "guests"],
    ["10.1.2.3", { goto: "web" }],
    ["192.0.2.0/24", "guests"],
    ["2001:db8:1::/48", "ACCEPT"],
  ]);
  assertEquals(saved(map), [
    "-s 10.1.2.3/32 -g web",
    "-s 192.0.2.0/24 -j guests",
    "-s 10.1.0.0/16 -j ACCEPT",
    "-s 10.0.0.0/8 -j DROP",
  ]);
  assertEquals(saved(map, "ipv6"), ["-s 2001:db8:1::/48 -j ACCEPT", "-s 2001:db8::/32 -j guests"]);
});

Deno.test("verdictMap: interfaces by name, by pattern behind them; marks; protocols", () => {
  assertEquals(
    saved(verdictMap("inInterface", new Map([["l+", "DROP"], ["lan", "ACCEPT"], ["wan", "web"]]))),
    ["-i lan -j ACCEPT", "-i wan -j web", "-i l+ -j DROP"],
  );
  assertEquals(saved(verdictMap("mark", { 1: "web", "0x10": "DROP" })), [
    "-m mark --mark 0x1 -j web",
    "-m mark --mark 0x10 -j DROP",
  ]);
  assertEquals(saved(verdictMap("protocol", { tcp: "ACCEPT", 17: "web" })), [
    "-p udp -j web",
    "-p tcp -j ACCEPT",
  ]);
});

Deno.test("valueMap: an option of a target for each value of a field", () => {
  const servers = { "203.0.113.5": "10.0.0.5", "203.0.113.6": "10.0.0.6:8080" };
  assertEquals(
    saved(
      valueMap("destination", "toDestination", servers, { protocol: "tcp", jump: "DNAT" }),
      "ipv4",
      "nat",
    ),
    [
      "-d 203.0.113.5/32 -p tcp -j DNAT --to-destination 10.0.0.5",
      "-d 203.0.113.6/32 -p tcp -j DNAT --to-destination 10.0.0.6:8080",
    ],
  );
  assertEquals(
    saved(
      valueMap("dport", "setMark", [[22, 1], ["1024:65535", 2]], { protocol: "udp", jump: "MARK" }),
      "ipv4",
      "mangle",
    ),
    [
      "-p udp -m udp --dport 22 -j MARK --set-xmark 0x1/0xffffffff",
      "-p udp -m udp --dport 1024:65535 -j MARK --set-xmark 0x2/0xffffffff",
    ],
  );
});

/** Maps, and the place and a part of the message of each mistake. */
const REFUSED: readonly (readonly [RuleMap, ...(readonly [string, string])[]])[] = [
  [
    verdictMap("source", [["10.0.0.1", "DROP"], ["10.0.0.2", "DROP"], ["10.0.0.1/32", "ACCEPT"]]),
    ['["10.0.0.1/32"]', 'is there already, as "10.0.0.1"'],
  ],
  [verdictMap("dport", [[80, "DROP"], ["http", "ACCEPT"]], { protocol: "tcp" }), [".http", 'as "80"']],
  [verdictMap("protocol", [["tcp", "DROP"], [6, "ACCEPT"]]), ['["6"]', 'as "tcp"']],
  [verdictMap("mark", [["0x10", "DROP"], [16, "ACCEPT"]]), ['["16"]', 'as "0x10"']],
  [
    verdictMap("source", { "10.0.0.0/8": "DROP", "10.1.0.0/16": "guests" }),
    ['["10.1.0.0/16"]', 'lies within "10.0.0.0/8"'],
  ],
  [
    verdictMap("sport", { "1:10": "DROP", "5:20": "DROP" }, { protocol: "udp" }),
    ['["5:20"]', 'overlaps with "1:10"'],
  ],
  [verdictMap("source", { "! 10.0.0.0/8": "DROP" }), ['["! 10.0.0.0/8"]', "is negated"]],
  [verdictMap("source", { "10.0.0.1,10.0.0.2": "DROP" }), ['["10.0.0.1,10.0.0.2"]', "an entry for each"]],
  [verdictMap("source", { "10.0.0.300": "DROP" }), ['["10.0.0.300"]', "is not an address"]],
  [verdictMap("mark", { "1/3": "DROP" }), ['["1/3"]', "no mask"]],
  [verdictMap("dport", { 80: "DROP" }), ["", "protocol"]],
  [verdictMap("source", { "10.0.0.1": "DROP" }, { source: "10.0.0.0/8" }), ["", "source cannot stand"]],
  [verdictMap("source", { "10.0.0.1": { source: "10.0.0.0/8", jump: "DROP" } }), [
    '["10.0.0.1"]',
    "said again",
  ]],
  [verdictMap("source", { "10.0.0.1": "gests" }), ['["10.0.0.1"].jump', "did you mean guests?"]],
  [verdictMap("inInterface", { lna: "DROP" }), [".lna.inInterface", "did you mean lan?"]],
  [
    valueMap("source", "toDestination", { "10.0.0.1": "10.0.0.2" }, { jump: "DNAT" }),
    ['["10.0.0.1"].jump', "nat"],
  ],
  // What only a program without types says.
  [valueMap("source", "jump", { "10.0.0.1": "DROP" }, undefined as never), ["", "what all its entries have"]],
];

for (const [map, ...mistakes] of REFUSED) {
  Deno.test(`maps: refused is ${JSON.stringify([map.key, map.entries])}`, () => {
    try {
      saved(map);
    } catch (error) {
      assert(error instanceof ConfigError, String(error));
      assertEquals(
        error.problems.map(({ path }) => path),
        mistakes.map(([path]) => `tables.filter.FORWARD[0]${path}`),
        error.message,
      );
      error.problems.forEach(({ message }, i) => assert(message.includes(mistakes[i][1]), message));
      return;
    }
    throw new Error("it was taken");
  });
}

/** A map of so many networks and addresses, with the verdict of each. */
function big(entries: number, c: Chance): Map<string, string> {
  const map = new Map<string, string>();
  while (map.size < entries) {
    const n = c.below(1 << 24), length = c.weighted([[8, 32], [2, 24], [1, 20]]);
    const at = n & (-1 << (32 - length));
    map.set(`10.${(at >> 16) & 255}.${(at >> 8) & 255}.${at & 255}/${length}`, c.pick(["ACCEPT", "DROP"]));
  }
  return map;
}

Deno.test("maps: 10,000 entries answer as the longest prefix does, and a packet is judged by as many rows as with 10", () => {
  const judged: number[] = [];
  for (const entries of [20, 10_000]) {
    const c = new Chance(entries), map = big(entries, c);
    const rig = new Rig({
      ipv4: { filter: { FORWARD: { policy: "DROP", rules: [verdictMap("source", map)] } } },
    });
    const { indexes } = rig.ipv4.filter!.program;
    assertEquals(indexes.length, 1);
    let steps = 0;
    const index = indexes[0], next = index.next.bind(index);
    index.next = (row) => {
      steps++;
      return next(row);
    };
    const keys = [...map.keys()];
    let most = 0;
    for (let i = 0; i < 1000; i++) {
      const src = c.is(0.7)
        ? c.pick(keys).split("/")[0]
        : `10.${c.below(256)}.${c.below(256)}.${c.below(256)}`;
      const n = src.split(".").reduce((sum, byte) => sum * 256 + Number(byte), 0);
      const prefix = (length: number) => {
        const at = (n & (-1 << (32 - length))) >>> 0;
        return `${at >>> 24}.${(at >> 16) & 255}.${(at >> 8) & 255}.${at & 255}/${length}`;
      };
      const found = [32, 24, 20].map((length) => map.get(prefix(length))).find((verdict) =>
        verdict !== undefined
      );
      steps = 0;
      const verdict = rig.run("filter", tcp({ src, dst: "203.0.113.9", sport: 1, dport: 2, flags: "S" }), {
        hook: FORWARD,
        in: LAN,
        out: WAN,
      });
      assertEquals(verdict === ACCEPT ? "ACCEPT" : "DROP", found ?? "DROP", src);
      most = Math.max(most, steps);
    }
    judged.push(most);
  }
  assert(judged[1] <= judged[0] + 1 && judged[1] <= 3, `${judged}`);
});
