/**
 * What is said of a rule that does not match: its first condition that says no, in the rule's words, and the packet's
 * value.
 */
import { assertEquals } from "@std/assert";
import type { RuleConfig } from "../../src/config/types.ts";
import { validate } from "../../src/config/validate.ts";
import { type AskedRule, Explainer, parsePacket } from "../../src/explain/mod.ts";
import { ftp } from "../../src/helpers/mod.ts";
import { foundInstead } from "../../src/explain/found.ts";
import { MATCHES } from "../../src/matches/mod.ts";
import { Packet } from "../../src/packet/packet.ts";

const TCP = "tcp 192.0.2.2:1000 > 203.0.113.9:80 syn ttl 9 tos 8",
  UDP = "udp 192.0.2.2:1000 > 203.0.113.9:53 len 4";
const PING = "icmp 192.0.2.2 > 203.0.113.9 echo-request id 5";
const TCP6 = "tcp [2001:db8:1::2]:1000 > [2001:db8:9::9]:80 syn",
  PING6 = "icmp 2001:db8:1::2 > 2001:db8:9::9";

/** The first rule that a packet from lan meets in FORWARD. */
function asked(o: { text?: string; object?: RuleConfig }, packet: string): AskedRule {
  const config = validate({
    interfaces: {
      lan: { addresses: ["192.0.2.1/24", "2001:db8:1::1/64"] },
      wan: { addresses: ["198.51.100.1/24", "2001:db8:2::1/64"] },
    },
    routes: [{ destination: "203.0.113.0/24", interface: "wan" }, {
      destination: "2001:db8:9::/64",
      interface: "wan",
    }],
    sets: { blocked: { type: "hash:net", entries: ["198.51.100.0/24"] } },
    sysctl: { "net.netfilter.nf_conntrack_max": 64 },
    helpers: [ftp({ autoAssign: false })],
    ...o.object === undefined ? {} : { tables: { filter: { FORWARD: [o.object] } } },
    ...o.text === undefined ? {} : {
      [packet.includes("2001:") ? "ip6tables" : "iptables"]:
        `*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD ${o.text}\nCOMMIT\n`,
    },
  });
  const { bytes, mark } = parsePacket(packet);
  const { steps } = new Explainer(config).send("lan", bytes, mark);
  const table = steps.find((step) => step.stage === "table" && step.table === "filter");
  if (table?.stage !== "table") throw new Error("no table was asked");
  return table.rules[0];
}

/** Words of a rule, a packet, and what is said of the two. */
const TEXT: readonly (readonly [string, string, string])[] = [
  ["-p udp", TCP, "-p udp: it is tcp"],
  ["! -p tcp", TCP, "! -p tcp: it is tcp"],
  ["-i wan", TCP, "-i wan: it is lan"],
  ["-i wan+ -o lan", TCP, "-i wan+: it is lan"],
  ["! -o wan", TCP, "! -o wan: it is wan"],
  ["-s 192.0.2.3", TCP, "-s 192.0.2.3: it is 192.0.2.2"],
  ["! -s 192.0.2.0/24", TCP, "! -s 192.0.2.0/24: it is 192.0.2.2"],
  ["-d 198.51.100.0/255.255.0.255", TCP, "-d 198.51.0.0/255.255.0.255: it is 203.0.113.9"],
  ["-d 2001:db8:8::/64", TCP6, "-d 2001:db8:8::/64: it is 2001:db8:9::9"],
  ["-f", TCP, "-f: it is no later fragment"],
  ["-p tcp --dport 22", TCP, "--dport 22: it is 80"],
  ["-p tcp --sport 1000 --dport 22:25", TCP, "--dport 22:25: it is 80"],
  ["-p tcp ! --sport 1000 --dport 80", TCP, "! --sport 1000: it is 1000"],
  ["-p tcp ! --syn", TCP, "! --syn: they are SYN"],
  ["-p tcp --dport 80 --tcp-flags SYN,ACK ACK", TCP, "--tcp-flags SYN,ACK ACK: they are SYN"],
  ["-p tcp --tcp-option 2", TCP, "--tcp-option 2: it is not there"],
  ["-p udp --dport 54", UDP, "--dport 54: it is 53"],
  ["-p tcp -m multiport --dports 22,443", TCP, "--dports 22,443: it is 80"],
  ["-p tcp -m multiport --ports 22,443", TCP, "--ports 22,443: they are 1000 and 80"],
  ["-p icmp --icmp-type echo-reply", PING, "--icmp-type 0: it is 8/0"],
  ["-p icmpv6 --icmpv6-type echo-reply", PING6, "--icmpv6-type 129: it is 128/0"],
  ["-m state --state ESTABLISHED", TCP, "--state ESTABLISHED: it is NEW"],
  ["-m conntrack ! --ctstate NEW,RELATED", TCP, "! --ctstate NEW,RELATED: it is NEW"],
  ["-m conntrack --ctstate NEW --ctstatus ASSURED", TCP, "--ctstatus ASSURED: it is NONE"],
  [
    "-m conntrack --ctstate NEW --ctorigdstport 81 --ctdir ORIGINAL",
    TCP,
    "--ctorigdstport 81: the flow is tcp 192.0.2.2:1000 → 203.0.113.9:80",
  ],
  ["-m conntrack --ctdir REPLY", TCP, "--ctdir REPLY: it is ORIGINAL"],
  ["-m conntrack --ctexpire 9", TCP, "--ctexpire 9: it is 0, for the flow is new"],
  ["-m connmark --mark 0x1", TCP, "--mark 0x1: it is 0x0"],
  ["-m connlabel --label 3", TCP, '--label "3": its flow says otherwise'],
  ["-m helper --helper ftp", TCP, "--helper ftp: no helper has announced its flow"],
  ["-m helper --helper sip", TCP, '--helper sip: no helper "sip" is listed in `helpers` (listed: ftp)'],
  ["-m mark --mark 0x1/0xff", TCP, "--mark 0x1/0xff: it is 0x0"],
  ["-m mark ! --mark 0x7", `${TCP} mark 7`, "! --mark 0x7: it is 0x7"],
  ["-m ttl --ttl-lt 5", TCP, "--ttl-lt 5: it is 8"],
  ["-m hl --hl-eq 5", TCP6, "--hl-eq 5: it is 63"],
  ["-m length --length 100:200", TCP, "--length 100:200: it is 40"],
  ["-m dscp --dscp 3", TCP, "--dscp 0x03: it is 0x02"],
  ["-m tos --tos 4", TCP, "--tos 0x04/0xff: it is 0x08"],
  ["-m iprange --src-range 192.0.2.5-192.0.2.9", TCP, "--src-range 192.0.2.5-192.0.2.9: it is 192.0.2.2"],
  [
    "-m iprange --src-range 192.0.2.1-192.0.2.9 --dst-range 192.0.2.5-192.0.2.9",
    TCP,
    "--dst-range 192.0.2.5-192.0.2.9: it is 203.0.113.9",
  ],
  ["-m addrtype --dst-type LOCAL", TCP, "--dst-type LOCAL: 203.0.113.9 is not"],
  ["-m addrtype --src-type UNICAST --dst-type LOCAL", TCP, "--dst-type LOCAL: 203.0.113.9 is not"],
  ["-m set --match-set blocked src", TCP, "--match-set blocked src: 192.0.2.2 is not in it"],
  [
    "-m statistic --mode nth --every 2 --packet 1",
    TCP,
    "--mode nth --every 2 --packet 1: this packet is not one of them",
  ],
  ["-m comment --comment web -p tcp --dport 22", TCP, "--dport 22: it is 80"],
  ["-p tcp --dport 80 -m state --state NEW -m mark --mark 1", TCP, "--mark 0x1: it is 0x0"],
];

for (const [text, packet, no] of TEXT) {
  Deno.test(`Conditions: ${text} does not match, ${no}`, () => {
    const rule = asked({ text }, packet);
    assertEquals([rule.matched, rule.no], [false, no]);
    assertEquals([rule.place, rule.chain, rule.number], [
      `${packet.includes("2001:") ? "ip6tables" : "iptables"}:3:1`,
      "FORWARD",
      1,
    ]);
  });
}

/** The same of rules that are objects: their text, and their words. */
const OBJECTS: readonly (readonly [RuleConfig, string, string, string])[] = [
  [
    { protocol: "tcp", dport: 22, jump: "ACCEPT" },
    TCP,
    '{ protocol: "tcp", dport: 22, jump: "ACCEPT" }',
    "dport 22: it is 80",
  ],
  [
    { inInterface: "! lan", jump: "DROP" },
    TCP,
    '{ inInterface: "! lan", jump: "DROP" }',
    "inInterface ! lan: it is lan",
  ],
  [
    { source: { not: "192.0.2.0/24" }, jump: "DROP" },
    TCP,
    '{ source: "! 192.0.2.0/24", jump: "DROP" }',
    "source ! 192.0.2.0/24: it is 192.0.2.2",
  ],
  [
    { state: ["ESTABLISHED", "RELATED"], jump: "ACCEPT" },
    TCP,
    '{ state: ["RELATED", "ESTABLISHED"], jump: "ACCEPT" }',
    "state RELATED,ESTABLISHED: it is NEW",
  ],
  [
    {
      match: function large(p) {
        return p.length > 100;
      },
      jump: "DROP",
    },
    TCP,
    '{ match: large, jump: "DROP" }',
    "match large: it answered false",
  ],
];

for (const [object, packet, text, no] of OBJECTS) {
  Deno.test(`Conditions: ${text} does not match, ${no}`, () => {
    const rule = asked({ object }, packet);
    assertEquals([rule.place, rule.text, rule.no], ["tables.filter.FORWARD[0]", text, no]);
  });
}

/** Options that only go with another, which speaks for both. */
const SILENT = [
  "comment",
  "limitBurst",
  // Of a set only what is looked for in it is told.
  "returnNomatch",
  "updateCounters",
  "updateSubcounters",
  "packetsEq",
  "packetsLt",
  "packetsGt",
  "bytesEq",
  "bytesLt",
  "bytesGt",
  "setConnlabel",
  "limitIfaceIn",
  "limitIfaceOut",
  "probability",
  "every",
  "packet",
  // What an address is looked for, in which bucket or list.
  ...[
    "Burst",
    "Mode",
    "Name",
    "HtableSize",
    "HtableMax",
    "HtableGcinterval",
    "HtableExpire",
    "Srcmask",
    "Dstmask",
  ]
    .map((option) => `hashlimit${option}`),
  "ipv6HeaderSoft",
  "connlimitMask",
  "connbytesMode",
  "connbytesDir",
  "connlimitSaddr",
  "connlimitDaddr",
  "seconds",
  "reap",
  "hitcount",
  "rttl",
  "recentName",
  "recentMask",
  "rsource",
  "rdest",
  "algo",
  "stringFrom",
  "stringTo",
  "icase",
  "contiguous",
  // Refused.
  "kerneltz",
  // They fit all packets or none, and say themselves why.
  ...MATCHES.filter(({ never }) => never !== undefined).flatMap(({ options }) => Object.keys(options)),
  // Read as another.
  "syn",
  "dscpClass",
];

Deno.test("foundInstead knows every option of every match", () => {
  const { conntrack } = new Explainer(validate({ interfaces: { lan: {} } })).virtual.router, p = new Packet();
  const plain = MATCHES.flatMap(({ name, options }) =>
    Object.keys(options).filter((option) => !SILENT.includes(option)).flatMap((option) =>
      foundInstead(name, option, p, conntrack, { flags: ["src"] }, false) === "it does not"
        ? [`${name} ${option}`]
        : []
    )
  );
  assertEquals(plain, []);
});
