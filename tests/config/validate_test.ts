/** What `validate` accepts, makes of it, and says about mistakes: all of them at once, each with its place. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { defineRouter, isDefinedRouter } from "../../src/config/define.ts";
import { nearest } from "../../src/config/problems.ts";
import type { RouterConfig, TablesConfig } from "../../src/config/types.ts";
import { ConfigError, validate } from "../../src/config/validate.ts";
import { ftp, irc, tftp } from "../../src/helpers/mod.ts";
import { ACCEPT, DROP } from "../../src/netfilter.ts";
import { idleHelper } from "../tables/rig.ts";

const INTERFACES = {
  lan: { addresses: ["192.0.2.1/24", "2001:db8:1::1/64"] },
  wan: { addresses: ["198.51.100.1/24"] },
};

/** The mistakes of a configuration as "path: message" lines. */
function mistakes(config: unknown): string[] {
  try {
    validate(config as RouterConfig);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ path, message }) => `${path}: ${message}`);
  }
  return [];
}

/** Each of these has exactly one mistake, at this place, and the message says this. */
const SINGLE: readonly (readonly [config: Record<string, unknown>, path: string, message: string])[] = [
  [{ interfaces: {} }, "interfaces", "needs at least one interface"],
  [{ interfaces: undefined }, "interfaces", "needs at least one interface"],
  [{ interface: {} }, "interface", "did you mean interfaces?"],
  [{ interfaces: { lan: [] } }, "interfaces.lan", "is not an object"],
  [
    { interfaces: { "a-name-that-is-too-long": {} } },
    'interfaces["a-name-that-is-too-long"]',
    "15 characters",
  ],
  [{ interfaces: { lo: {} } }, "interfaces.lo", "keeps for itself"],
  [{ interfaces: { "a b": {} } }, 'interfaces["a b"]', "blank, slash or colon"],
  [{ interfaces: { lan: { adresses: [] } } }, "interfaces.lan.adresses", "did you mean addresses?"],
  [{ interfaces: { lan: { addresses: "192.0.2.1/24" } } }, "interfaces.lan.addresses", "is not an array"],
  [
    { interfaces: { lan: { addresses: ["192.0.2.1"] } } },
    "interfaces.lan.addresses[0]",
    'add a prefix length: "192.0.2.1/24"',
  ],
  [
    { interfaces: { lan: { addresses: ["2001:db8::1"] } } },
    "interfaces.lan.addresses[0]",
    '"2001:db8::1/64"',
  ],
  [
    { interfaces: { lan: { addresses: ["192.0.2.256/24"] } } },
    "interfaces.lan.addresses[0]",
    "is not an address with a prefix length",
  ],
  [{ interfaces: { lan: { addresses: [7] } } }, "interfaces.lan.addresses[0]", "7 is not an address"],
  [
    { interfaces: { lan: { addresses: ["127.0.0.1/8"] } } },
    "interfaces.lan.addresses[0]",
    "a loopback address",
  ],
  [
    { interfaces: { lan: { addresses: ["ff02::1/64"] } } },
    "interfaces.lan.addresses[0]",
    "a multicast address",
  ],
  [
    { interfaces: { lan: { addresses: ["192.0.2.1/24", "192.0.2.1/25"] } } },
    "interfaces.lan.addresses[1]",
    "address 192.0.2.1 stands at interfaces.lan.addresses[0], too",
  ],
  [
    {
      interfaces: { lan: { addresses: ["192.0.2.1/24"], peer: { netns: "x", addresses: ["192.0.2.1/24"] } } },
    },
    "interfaces.lan.peer.addresses[0]",
    "stands at interfaces.lan.addresses[0], too",
  ],
  [{ interfaces: { lan: { mtu: 67 } } }, "interfaces.lan.mtu", "from 68 to 65535"],
  ...[0, 1.5, 65, -1, NaN, "2", null].map((workers): [Record<string, unknown>, string, string] => [
    { interfaces: { lan: {} }, workers },
    "workers",
    "is not a number of threads from 1 to 64",
  ]),
  [
    { interfaces: { lan: { mtu: 1279, addresses: ["2001:db8::1/64"] } } },
    "interfaces.lan.mtu",
    "from 1280 to 65535, as IPv6 needs it",
  ],
  [{ interfaces: { lan: { offload: "no" } } }, "interfaces.lan.offload", "is not true or false"],
  [
    { interfaces: { lan: {}, wan: { device: "lan" } } },
    "interfaces.wan.device",
    'device "lan" is used by interfaces.lan, too',
  ],
  [{ interfaces: { lan: { peer: {} } } }, "interfaces.lan.peer.netns", "is missing"],
  [
    { interfaces: { lan: { peer: { netns: "a/b" } } } },
    "interfaces.lan.peer.netns",
    "not the name of a network namespace",
  ],
  [
    { interfaces: { lan: { peer: { netns: "a", routes: ["everywhere"] } } } },
    "interfaces.lan.peer.routes[0]",
    'nor "default"',
  ],
  [{ host: {} }, "host.device", "is missing"],
  [{ host: { device: "lan" } }, "host.device", "is used by interfaces.lan, too"],
  [{ routes: {} }, "routes", "is not an array"],
  [{ routes: [{ interface: "wan" }] }, "routes[0].destination", "is missing"],
  [
    { routes: [{ destination: "203.0.113.0/33", interface: "wan" }] },
    "routes[0].destination",
    "is not a network",
  ],
  [
    { routes: [{ destination: "203.0.113.1/24", interface: "wan" }] },
    "routes[0].destination",
    'write "203.0.113.0/24"',
  ],
  [{ routes: [{ destination: "default", interface: "wna" }] }, "routes[0].interface", "did you mean wan?"],
  [{ routes: [{ destination: "default" }] }, "routes[0].interface", "is missing"],
  [
    { routes: [{ destination: "::/0", interface: "wan", via: "198.51.100.9" }] },
    "routes[0].via",
    "is IPv4, but the destination is IPv6",
  ],
  [
    { routes: [{ destination: "default", interface: "wan", via: "198.51.100.1" }] },
    "routes[0].via",
    "Weir's own address",
  ],
  [
    { routes: [{ destination: "default", interface: "wan", source: "198.51.100.9" }] },
    "routes[0].source",
    "not one of Weir's own",
  ],
  [
    { routes: [{ destination: "default", interface: "wan", metric: -1 }] },
    "routes[0].metric",
    "whole number",
  ],
  [
    { routes: [{ destination: "10.0.0.0/8", type: "blackhol" }] },
    "routes[0].type",
    "did you mean blackhole?",
  ],
  [
    {
      routes: [{ destination: "10.0.0.0/8", interface: "wan" }, {
        destination: "10.0.0.0/8",
        interface: "lan",
      }],
    },
    "routes[1]",
    "goes where routes[0] goes",
  ],
  [{ helpers: [idleHelper] }, "helpers[0]", "call it: idleHelper()"],
  [{ helpers: [{}] }, "helpers[0]", "is not a helper"],
  [
    { helpers: [idleHelper("ftp", 6, 21), idleHelper("ftp", 6, 2121)] },
    "helpers[1]",
    'helper "ftp" is listed twice',
  ],
  [
    {
      helpers: [{ ...idleHelper("a", 6, 21), autoAssign: true }, {
        ...idleHelper("b", 6, 21),
        autoAssign: true,
      }],
    },
    "helpers[1]",
    "port 21 is served by helpers[0], too",
  ],
  [
    { sysctl: { "net.netfilter.nf_conntrack_tcp_lose": 1 } },
    'sysctl["net.netfilter.nf_conntrack_tcp_lose"]',
    "did you mean net.netfilter.nf_conntrack_tcp_loose?",
  ],
  [
    { sysctl: { nf_conntrack_max: 1 } },
    "sysctl.nf_conntrack_max",
    "did you mean net.netfilter.nf_conntrack_max?",
  ],
  [{ sysctl: { "net.ipv4.ip_default_ttl": 256 } }, 'sysctl["net.ipv4.ip_default_ttl"]', "from 1 to 255"],
  [{ sysctl: { "net.ipv4.ip_forward": "1" } }, 'sysctl["net.ipv4.ip_forward"]', "whole number"],
  [{ tables: [] }, "tables", "is not an object with tables"],
  [{ tables: { fitler: {} } }, "tables.fitler", "did you mean filter?"],
  [
    { tables: { ipv4: { filter: { FORWARD: 7 } } } },
    "tables.ipv4.filter.FORWARD",
    "is not an array of rules",
  ],
  [
    { tables: { filter: { PREROUTING: [] } } },
    "tables.filter.PREROUTING",
    "table filter has no chain PREROUTING; it has INPUT, FORWARD, OUTPUT",
  ],
  [
    { tables: { filter: { FORWARD: { polcy: "DROP" } } } },
    "tables.filter.FORWARD.polcy",
    "did you mean policy?",
  ],
  [
    { tables: { filter: { FORWARD: { policy: "REJECT" } } } },
    "tables.filter.FORWARD.policy",
    "is not a policy",
  ],
  [
    { tables: { filter: { mine: { policy: "DROP" } } } },
    "tables.filter.mine.policy",
    "only built-in chains have a policy",
  ],
  [
    { tables: { filter: { FORWRAD: { policy: "DROP" } } } },
    "tables.filter.FORWRAD.policy",
    "did you mean the chain FORWARD?",
  ],
  [
    { tables: { nat: { POSTROUTING: { policy: "DROP" } } } },
    "tables.nat.POSTROUTING.policy",
    "not allowed in table nat",
  ],
  [{ tables: { filter: { "a chain": [] } } }, 'tables.filter["a chain"]', "has a blank in it"],
  [{ tables: { filter: { LOG: [] } } }, "tables.filter.LOG", "is the name of a target"],
  [{ tables: { filter: { ["x".repeat(29)]: [] } } }, `tables.filter.${"x".repeat(29)}`, "29 characters long"],
  [{ tables: { filter: { FORWARD: ["ACCEPT"] } } }, "tables.filter.FORWARD[0]", "is not a rule"],
  [
    { tables: { filter: { FORWARD: [{ jmp: "ACCEPT" }] } } },
    "tables.filter.FORWARD[0].jmp",
    "did you mean jump?",
  ],
  [
    { tables: { filter: { FORWARD: [{ qwertyuiop: 1 }] } } },
    "tables.filter.FORWARD[0].qwertyuiop",
    "is not an option of a rule",
  ],
  [
    { tables: { filter: { FORWARD: [{ source: "192.0.2.0/33" }] } } },
    "tables.filter.FORWARD[0].source",
    "bad mask",
  ],
  [
    { tables: { filter: { FORWARD: [{ source: "somewhere" }] } } },
    "tables.filter.FORWARD[0].source",
    "is a host name",
  ],
  [
    { tables: { filter: { FORWARD: [{ source: ["! 192.0.2.1", "192.0.2.2"] }] } } },
    "tables.filter.FORWARD[0].source",
    "negates several addresses",
  ],
  [
    { tables: { filter: { FORWARD: [{ source: 7 }] } } },
    "tables.filter.FORWARD[0].source",
    "is not an address",
  ],
  [
    { tables: { filter: { FORWARD: [{ source: "192.0.2.1", destination: "2001:db8::1" }] } } },
    "tables.filter.FORWARD[0].destination",
    "make a rule for each family",
  ],
  [
    { tables: { ipv6: { filter: { FORWARD: [{ source: "192.0.2.1" }] } } } },
    "tables.ipv6.filter.FORWARD[0].source",
    "move the rule to tables.ipv4",
  ],
  [
    { tables: { filter: { FORWARD: [{ protocol: "tpc" }] } } },
    "tables.filter.FORWARD[0].protocol",
    "did you mean tcp?",
  ],
  [
    { tables: { filter: { FORWARD: [{ protocol: "! 0" }] } } },
    "tables.filter.FORWARD[0].protocol",
    "would never match",
  ],
  [
    { tables: { filter: { FORWARD: [{ protocol: "bogus", dport: 1 }] } } },
    "tables.filter.FORWARD[0].protocol",
    "is not a protocol",
  ],
  [
    { tables: { filter: { FORWARD: [{ inInterface: "lam" }] } } },
    "tables.filter.FORWARD[0].inInterface",
    'interface "lam" is not configured; did you mean lan?',
  ],
  [
    { tables: { filter: { FORWARD: [{ outInterface: "eth+" }] } } },
    "tables.filter.FORWARD[0].outInterface",
    "is not configured",
  ],
  [
    { tables: { filter: { INPUT: [{ outInterface: "lan" }] } } },
    "tables.filter.INPUT[0].outInterface",
    "is not known in PREROUTING and INPUT",
  ],
  [
    { tables: { filter: { FORWARD: [{ fragment: 1 }] } } },
    "tables.filter.FORWARD[0].fragment",
    "is not true or false",
  ],
  [
    { tables: { filter: { FORWARD: [{ jump: "knok" }], knock: [{}] } } },
    "tables.filter.FORWARD[0].jump",
    "did you mean knock?",
  ],
  [
    { tables: { filter: { FORWARD: [{ goto: "a" }], a: [{ jump: "a" }] } } },
    "tables.filter.a[0]",
    "makes a loop: a → a",
  ],
  [
    { tables: { raw: { PREROUTING: [{ jump: "a" }], a: [{ jump: "MASQUERADE" }] } } },
    "tables.raw.a[0].jump",
    "belongs in nat",
  ],
  [
    {
      tables: {
        nat: { POSTROUTING: [{ jump: "a" }], PREROUTING: [{ jump: "a" }], a: [{ jump: "MASQUERADE" }] },
      },
    },
    "tables.nat.a[0].jump",
    "MASQUERADE is not allowed in PREROUTING; use it in POSTROUTING",
  ],
  [{ iptables: 7 }, "iptables", "is not text"],
  [{ helpers: [{ name: "x", help: () => 1 }] }, "helpers[0]", "is not a helper"],
  [
    { tables: { filter: { FORWARD: [{ state: new Array(2).fill("NEW", 0, 1) }] } } },
    "tables.filter.FORWARD[0].state",
    "undefined is not",
  ],
  [
    { routes: [{ destination: "default", interface: "lan", via: 7 }] },
    "routes[0].via",
    "7 is not an address",
  ],
];

for (const [config, path, message] of SINGLE) {
  Deno.test(`validate finds the one mistake in ${JSON.stringify(config)}`, () => {
    const found = mistakes({ interfaces: INTERFACES, ...config });
    assertEquals(found.length, 1, found.join("\n"));
    assert(found[0].startsWith(`${path}: `), `${found[0]} is not at ${path}`);
    assert(found[0].includes(message), `${found[0]} does not say "${message}"`);
  });
}

Deno.test("validate tells of bigints as of other values that are wrong", () => {
  const policy = { tables: { filter: { FORWARD: { policy: 7n, rules: [] } } } };
  assert(mistakes({ interfaces: INTERFACES, ...policy }).join().includes("7 is not a policy"));
  assert(
    mistakes({ interfaces: INTERFACES, sets: { s: { type: 7n } } }).join().includes("7 is not a type of set"),
  );
});

Deno.test("validate reports ten mistakes at once, each with its place", () => {
  const found = mistakes({
    interfaces: { lan: { addresses: ["192.0.2.1"] }, wan: { mtu: 10 } },
    routes: [{ destination: "default", interface: "wam" }],
    sysctl: { "net.ipv4.ip_forwrad": 1 },
    tables: {
      filter: {
        FORWARD: {
          policy: "REJECT",
          rules: [
            { protocol: "tcp", dport: 99999, jump: "ACCEPT" },
            { state: "NEWISH", jump: "ACCEPT" },
            { jump: "MASQUERADE" },
            { dport: 22, jump: "ACCEPT" },
          ],
        },
      },
    },
    helper: [],
  });
  assertEquals(found.map((line) => line.split(": ")[0]).sort(), [
    "helper",
    "interfaces.lan.addresses[0]",
    "interfaces.wan.mtu",
    "routes[0].interface",
    'sysctl["net.ipv4.ip_forwrad"]',
    "tables.filter.FORWARD.policy",
    "tables.filter.FORWARD.rules[0].dport",
    "tables.filter.FORWARD.rules[1].state",
    "tables.filter.FORWARD.rules[2].jump",
    "tables.filter.FORWARD.rules[3].dport",
  ]);
});

Deno.test("ConfigError lists its problems in its message", () => {
  const error = assertThrows(() => validate({ interfaces: {} }), ConfigError);
  assertEquals(
    error.message,
    '1 mistake:\n  interfaces: needs at least one interface; write { lan: { addresses: ["192.0.2.1/24"] } }',
  );
});

Deno.test("validate refuses what is no configuration at all", () => {
  for (const value of [null, undefined, 7, "x", []]) {
    assertEquals(mistakes(value), ["config: is not an object; write defineRouter({ … })"]);
  }
});

Deno.test("validate numbers interfaces in their order and fills in what is not said", () => {
  const { interfaces, host, routes } = validate({
    interfaces: {
      wan: { device: "tun7", mtu: 1400, offload: false },
      lan: { addresses: ["192.0.2.1/24"], peer: { netns: "lan", routes: ["default"] } },
    },
    host: { device: "weir0" },
    routes: [{ destination: "default", interface: "wan", metric: 5 }],
  });
  assertEquals(interfaces, [
    { index: 1, name: "wan", device: "tun7", addresses: [], mtu: 1400, offload: false, peer: null },
    {
      index: 2,
      name: "lan",
      device: "lan",
      addresses: ["192.0.2.1/24"],
      mtu: 1500,
      offload: true,
      peer: { netns: "lan", addresses: [], routes: ["default"] },
    },
  ]);
  assertEquals(host, { device: "weir0", netns: null });
  assertEquals(routes, [{ destination: "default", interface: "wan", metric: 5 }]);
});

Deno.test("validate takes one worker, or as many as are asked for", () => {
  assertEquals(validate({ interfaces: { lan: {} } }).workers, 1);
  assertEquals(validate({ interfaces: { lan: {} }, workers: 64 }).workers, 64);
});

Deno.test("validate warns of what is allowed but looks wrong", () => {
  const { warnings } = validate({
    interfaces: { lan: { addresses: ["192.0.2.0/24"] } },
    tables: { filter: { FORWARDS: [{ jump: "DROP" }] } },
  });
  assertEquals(warnings, [
    { path: "interfaces.lan.addresses[0]", message: '"192.0.2.0/24" is the address of the network itself' },
    { path: "tables.filter.FORWARDS", message: "is never jumped to; did you mean the chain FORWARD?" },
  ]);
});

/** The rules of a chain in both families, by the number of rules. */
function spread(tables: TablesConfig): [number | null, number | null] {
  const { rules } = validate({ interfaces: INTERFACES, tables });
  const count = (family: "ipv4" | "ipv6") =>
    rules[family].filter?.chains.find((chain) => chain.name === "FORWARD")?.rules.length ?? null;
  return [count("ipv4"), count("ipv6")];
}

Deno.test("validate gives a rule to both families unless something in it belongs to one", () => {
  const one = (rule: object) => spread({ filter: { FORWARD: [rule] } });
  assertEquals(one({ jump: "ACCEPT" }), [1, 1]);
  assertEquals(one({ protocol: "tcp", dport: 22 }), [1, 1]);
  assertEquals(one({ source: "0.0.0.0/0" }), [1, null]);
  assertEquals(one({ source: "! 2001:db8::/32" }), [null, 1]);
  assertEquals(one({ source: { not: "192.0.2.1" } }), [1, null]);
  assertEquals(one({ destination: ["192.0.2.1", "192.0.2.2"] }), [2, null]);
  assertEquals(one({ protocol: "icmp" }), [1, null]);
  assertEquals(one({ protocol: "! icmp" }), [1, 1]);
  assertEquals(one({ protocol: "ipv6-icmp" }), [null, 1]);
  assertEquals(one({ fragment: true }), [1, null]);
  assertEquals(one({ ttlLt: 3 }), [1, null]);
  assertEquals(one({ hlLt: 3 }), [null, 1]);
  assertEquals(one({ ctorigsrc: "192.0.2.1" }), [1, null]);
  assertEquals(one({ jump: "REJECT", rejectWith: "icmp-host-prohib" }), [1, null]);
  assertEquals(one({ jump: "REJECT", rejectWith: "icmp6-no-route" }), [null, 1]);
  assertEquals(one({ protocol: "tcp", jump: "REJECT", rejectWith: "tcp-reset" }), [1, 1]);
});

Deno.test("validate puts a family's rules behind the common ones, and its policy first", () => {
  const { rules } = validate({
    interfaces: INTERFACES,
    tables: {
      filter: {
        FORWARD: { policy: "DROP", rules: [{ protocol: "tcp" }] },
        both: [{}],
        INPUT: [{ jump: "both" }],
      },
      ipv4: { filter: { FORWARD: { policy: "ACCEPT", rules: [{ protocol: "udp" }] }, own: [] } },
      ipv6: { filter: { FORWARD: [{ protocol: "icmpv6" }], both: [{ protocol: "tcp" }] } },
    },
  });
  const chain = (family: "ipv4" | "ipv6", name: string) =>
    rules[family].filter!.chains.find((c) => c.name === name);
  assertEquals(chain("ipv4", "FORWARD")!.rules.map((rule) => rule.protocol), [6, 17]);
  assertEquals(chain("ipv6", "FORWARD")!.rules.map((rule) => rule.protocol), [6, 58]);
  assertEquals([chain("ipv4", "FORWARD")!.policy, chain("ipv6", "FORWARD")!.policy], [ACCEPT, DROP]);
  assertEquals([chain("ipv4", "both")!.rules.length, chain("ipv6", "both")!.rules.length], [1, 2]);
  assertEquals([chain("ipv4", "own")?.name, chain("ipv6", "own")], ["own", undefined]);
  assertEquals(chain("ipv6", "FORWARD")!.rules[1].path, "tables.ipv6.filter.FORWARD[0]");
});

Deno.test("validate gives every rule and policy of both families a counter slot of its own", () => {
  const { rules, counters } = validate({
    interfaces: INTERFACES,
    tables: {
      filter: { FORWARD: [{}, {}], a: [{}], INPUT: [{ jump: "a" }] },
      ipv4: { raw: { OUTPUT: [{}] } },
    },
  });
  // raw: 2 policies and a rule; filter: 3 policies, 4 rules and the end of a user chain, for each family.
  assertEquals(
    [rules.ipv4.raw!.counters, rules.ipv4.filter!.counters, rules.ipv6.filter!.counters, counters],
    [0, 3, 11, 19],
  );
});

Deno.test("validate says for each family whether it is tracked", () => {
  const tracking = (tables: TablesConfig, helpers = [] as RouterConfig["helpers"]) =>
    validate({ interfaces: INTERFACES, tables, helpers }).tracking;
  assertEquals(tracking({ filter: { FORWARD: [{ protocol: "tcp", jump: "ACCEPT" }, { jump: "REJECT" }] } }), {
    ipv4: false,
    ipv6: false,
  });
  assertEquals(tracking({ filter: { FORWARD: [{ state: "NEW", source: "192.0.2.1" }] } }), {
    ipv4: true,
    ipv6: false,
  });
  assertEquals(tracking({ nat: { POSTROUTING: [{ jump: "SNAT", toSource: "2001:db8::1" }] } }), {
    ipv4: false,
    ipv6: true,
  });
  assertEquals(tracking({ raw: { PREROUTING: [{ jump: "NOTRACK" }, { jump: "CT", notrack: true }] } }), {
    ipv4: false,
    ipv6: false,
  });
  assertEquals(tracking({ raw: { PREROUTING: [{ jump: "CT", zone: 2 }] } }), { ipv4: true, ipv6: true });
  assertEquals(tracking({ mangle: { PREROUTING: [{ connmark: 1 }] } }), { ipv4: true, ipv6: true });
  assertEquals(tracking({ nat: { POSTROUTING: [{ protocol: "tcp", jump: "ACCEPT" }] } }), {
    ipv4: false,
    ipv6: false,
  });
  // A helper that serves its ports by itself needs flows; one that waits for CT --helper does not by being listed.
  const irc = { ...idleHelper("irc", 6, 6667), families: [4] } as const;
  assertEquals(tracking({}, [{ ...irc, autoAssign: true }]), { ipv4: true, ipv6: false });
  assertEquals(tracking({}, [irc]), { ipv4: false, ipv6: false });
});

Deno.test("validate takes link-local addresses that several interfaces share", () => {
  assertEquals(
    mistakes({ interfaces: { a: { addresses: ["fe80::1/64"] }, b: { addresses: ["fe80::1/64"] } } }),
    [],
  );
});

Deno.test("defineRouter marks a configuration without changing it", () => {
  const config = { interfaces: INTERFACES };
  const defined = defineRouter(config);
  assertEquals(isDefinedRouter(defined), true);
  assertEquals(isDefinedRouter(config), false);
  assertEquals([isDefinedRouter(null), isDefinedRouter(7), isDefinedRouter({})], [false, false, false]);
  assertEquals({ ...defined }, config);
  assertEquals(Object.keys(defined), ["interfaces"]);
  assertEquals(mistakes(defined), []);
});

Deno.test("nearest finds words that are a few letters off", () => {
  const known = ["source", "destination", "dport", "sport", "jump"];
  assertEquals(
    ["soruce", "destinaton", "d-port", "jmup", "xyzzy", "DPORT"].map((word) => nearest(word, known)),
    ["source", "destination", "dport", "jump", null, "dport"],
  );
});

Deno.test("validate: mistakes in options of helpers stand among all others, each at its option", () => {
  const error = assertThrows(() =>
    validate({
      interfaces: { lan: { addresses: ["192.0.2.1"] } },
      helpers: [
        ftp({ ports: [0, 21, 21], minport: 1024 } as never),
        tftp(),
        irc({ maxDccChannels: 0, onFailure: "pass" } as never),
      ],
      tables: { raw: { PREROUTING: [{ protocol: "tcp", jump: "CT", helper: "ftp" }] } },
    }), ConfigError);
  assertEquals(error.problems.map(({ path }) => path), [
    "interfaces.lan.addresses[0]",
    "helpers[0].ports",
    "helpers[0].ports",
    "helpers[0].minport",
    "helpers[2].maxDccChannels",
    "helpers[2].onFailure",
  ]);
});

Deno.test("validate has flows counted where rules ask for connbytes, and says so to whoever has switched it off", () => {
  const acct = "net.netfilter.nf_conntrack_acct",
    match = "-m connbytes --connbytes 1: --connbytes-mode bytes";
  const config = (iptables: string, ip6tables: string, sysctl = {}) =>
    validate({ interfaces: { lan: {} }, iptables, ip6tables, sysctl });
  const text = `*filter\n-A FORWARD ${match} --connbytes-dir both\nCOMMIT\n`;
  assertEquals(config("", "").sysctl.get(acct), 0);
  for (const made of [config(text, ""), config("", text), config(text, text, { [acct]: 1 })]) {
    assertEquals([made.sysctl.get(acct), made.warnings], [1, []]);
  }
  const { sysctl, warnings } = config("", text, { [acct]: 0 });
  assertEquals([sysctl.get(acct), warnings], [1, [
    { path: `sysctl["${acct}"]`, message: "is 1 all the same: rules with connbytes need it" },
  ]]);
});

Deno.test("validate takes match owner where only the router sends, and refuses it where programs do", () => {
  const iptables = "*filter\n-A OUTPUT -m owner --uid-owner 0\n-A OUTPUT -m owner ! --gid-owner 5\nCOMMIT\n";
  const config = { interfaces: { lan: {} }, iptables };
  assertEquals(validate(config).warnings, [{
    path: "iptables:2:1",
    message: "never fits: without a host device no program sends packets, only the router itself does",
  }]);
  const message =
    "match owner cannot stand beside `host`: Weir does not know which program has sent a packet";
  const { problems } = assertThrows(() => validate({ ...config, host: { device: "weir0" } }), ConfigError);
  assertEquals(problems, [{ path: "iptables:2:1", message }, { path: "iptables:3:1", message }]);
});
