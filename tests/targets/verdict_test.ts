/** Targets that decide about the packet or its flow: ACCEPT and its kin, REJECT, NOTRACK, CT, and those of nat. */
import { assertEquals } from "@std/assert";
import { CT_REPLY, FLOW_WORDS } from "../../src/conntrack/flow.ts";
import { destinationPort, DST, SRC } from "../../src/conntrack/tuple.ts";
import type { RuleConfig } from "../../src/config/types.ts";
import {
  type Hook,
  HOOK_NAMES,
  NO_CT,
  OUTPUT,
  POSTROUTING,
  PREROUTING,
  UNTRACKED,
} from "../../src/netfilter.ts";
import { formatAddress } from "../../src/packet/address.ts";
import { icmpEcho, tcp, udp } from "../kit/mod.ts";
import { idleHelper, LAN, Rig, WAN } from "../tables/rig.ts";
import { type Spec, specify } from "../tables/spec.ts";

const A = { src: "10.0.0.2", dst: "203.0.113.9" }, A6 = { src: "2001:db8:1::2", dst: "2001:db8:2::9" };
const packet = udp({ ...A, sport: 4000, dport: 53 }), packet6 = udp({ ...A6, sport: 4000, dport: 53 });
const helpers = [idleHelper("ftp", 6, 21)];

specify("verdicts", [
  { rule: { jump: "ACCEPT" }, save: "-j ACCEPT", save6: "-j ACCEPT" },
  { rule: { jump: "RETURN" }, save: "-j RETURN" },
  { rule: { protocol: "tcp" }, save: "-p tcp" },
  { rule: { jump: "accept" }, refused: [".jump", "did you mean ACCEPT?"] },
  { rule: { jump: "INPUT" }, refused: [".jump", "INPUT is a built-in chain"] },
  { rule: { goto: "ACCEPT" }, refused: [".goto", "is not a user chain of table filter"] },
  { rule: { jump: "ACCEPT", goto: "x" }, refused: [".goto", "cannot stand beside jump"] },
  {
    rule: { jump: "DROP" },
    table: "nat",
    chain: "POSTROUTING",
    refused: [".jump", "DROP is not allowed in table nat"],
  },
]);

specify("REJECT", [
  {
    rule: { jump: "REJECT" },
    save: "-j REJECT --reject-with icmp-port-unreachable",
    save6: "-j REJECT --reject-with icmp6-port-unreachable",
  },
  ...[
    "net-unreachable",
    "host-unreachable",
    "proto-unreachable",
    "net-prohibited",
    "host-prohibited",
    "admin-prohibited",
  ].map((name): Spec => ({
    rule: { jump: "REJECT", rejectWith: `icmp-${name}` },
    save: `-j REJECT --reject-with icmp-${name}`,
  })),
  ...["no-route", "adm-prohibited", "addr-unreachable", "policy-fail", "reject-route"].map((name): Spec => ({
    rule: { jump: "REJECT", rejectWith: `icmp6-${name}` },
    save6: `-j REJECT --reject-with icmp6-${name}`,
  })),
  {
    rule: { jump: "REJECT", rejectWith: "host-prohib" },
    save: "-j REJECT --reject-with icmp-host-prohibited",
  },
  { rule: { jump: "REJECT", rejectWith: "no-route" }, save6: "-j REJECT --reject-with icmp6-no-route" },
  {
    rule: { protocol: "tcp", jump: "REJECT", rejectWith: "tcp-reset" },
    save: "-p tcp -j REJECT --reject-with tcp-reset",
    save6: "-p tcp -j REJECT --reject-with tcp-reset",
  },
  { rule: { jump: "REJECT", rejectWith: "tcp-reset" }, refused: [".jump", "tcp-reset answers TCP only"] },
  { rule: { jump: "REJECT", rejectWith: "icmp-nonsense" }, refused: [".rejectWith", "is not an answer"] },
  {
    rule: { jump: "REJECT", rejectWith: "icmp6-no-route", source: "10.0.0.1" },
    refused: [".source", "speaks of IPv4, but rejectWith of IPv6"],
  },
  { rule: { jump: "REJECT" }, table: "mangle", refused: [".jump", "belongs in filter"] },
]);

Deno.test("REJECT answers the sender and drops the packet", () => {
  const rig = new Rig({
    filter: {
      FORWARD: [
        { protocol: "tcp", jump: "REJECT", rejectWith: "tcp-reset" },
        { protocol: "icmp", jump: "REJECT", rejectWith: "icmp-admin-prohibited" },
        { jump: "REJECT" },
      ],
    },
  });
  assertEquals(rig.says("filter", tcp({ ...A, sport: 1, dport: 2, flags: "S" })), "rule-reject");
  assertEquals(rig.says("filter", icmpEcho(A)), "rule-reject");
  assertEquals(rig.says("filter", packet), "rule-reject");
  assertEquals(rig.says("filter", packet6), "rule-reject");
  assertEquals(rig.rejects, [256, 13, 3, 4]);
});

const raw = (rule: RuleConfig, more: Partial<Spec> = {}): Spec => ({
  rule,
  table: "raw",
  chain: "PREROUTING",
  ...more,
});
specify("NOTRACK and CT", [
  raw({ jump: "NOTRACK" }, { save: "-j NOTRACK", save6: "-j NOTRACK" }),
  {
    rule: { jump: "NOTRACK" },
    refused: [".jump", "NOTRACK is not allowed in table filter; it belongs in raw"],
  },
  raw({ jump: "CT", notrack: true }, { save: "-j CT --notrack" }),
  raw({ protocol: "tcp", dport: 2121, jump: "CT", helper: "ftp" }, {
    save: "-p tcp -m tcp --dport 2121 -j CT --helper ftp",
  }),
  raw({ jump: "CT", ctevents: ["new", "destroy"], expevents: "new" }, {
    save: "-j CT --ctevents new,destroy --expevents new",
  }),
  raw({ jump: "CT", zone: 65535 }, { save: "-j CT --zone 65535" }),
  raw({ jump: "CT", zoneOrig: 7 }, { save: "-j CT --zone-orig 7" }),
  raw({ jump: "CT", zone: "mark" }, { save: "-j CT --zone mark" }),
  raw({ jump: "CT", zoneOrig: "mark" }, { save: "-j CT --zone-orig mark" }),
  raw({ jump: "CT", zoneReply: "mark" }, { save: "-j CT --zone-reply mark" }),
  raw({ jump: "CT", zone: 65536 }, { refused: [".zone", "from 0 to 65535"] }),
  raw({ jump: "CT", zone: 1, zoneReply: 2 }, { refused: [".jump", "exclude each other"] }),
  raw({ jump: "CT", helper: "ftp" }, { refused: [".jump", "needs the protocol"] }),
  raw({ protocol: "! tcp", jump: "CT", helper: "ftp" }, { refused: [".jump", "needs the protocol"] }),
  raw({ protocol: "tcp", jump: "CT", helper: "irc" }, {
    refused: [".jump", "is not listed; add irc() to `helpers` (listed: ftp)"],
  }),
  ...Object.entries({
    sip:
      'Weir has no helper "sip", only ftp, irc, tftp, amanda, sane, talk; leave the rule out, or make one ' +
      "with defineHelper and list it (listed: ftp)",
    pptp: 'Weir has no helper "pptp", only ',
    FTP: 'helper "FTP" is not listed; did you mean "ftp"? (listed: ftp)',
    "ftp-2121":
      'helper "ftp-2121" is not listed; it is ftp() on another port: give that more `ports` (listed: ftp)',
  }).map(([helper, message]) =>
    raw({ protocol: "tcp", jump: "CT", helper }, { refused: [".jump", message] })
  ),
  raw({ protocol: "udp", jump: "CT", helper: "ftp" }, { refused: [".jump", "does not read udp, but tcp"] }),
  raw({ jump: "CT", ctevents: ["born"] }, { refused: [".ctevents", "is not one of new"] }),
  raw({ jump: "CT", timeout: { established: 5 } }, { refused: [".timeout", "needs a protocol"] }),
  raw({ protocol: "udp", jump: "CT", timeout: { established: 5 } }, {
    refused: [".timeout", "they are unreplied, replied"],
  }),
  raw({ protocol: "udp", jump: "CT", timeout: { replied: 0 } }, { refused: [".timeout", "seconds from 1"] }),
  { rule: { jump: "CT", zone: 1 }, table: "mangle", refused: [".jump", "belongs in raw"] },
], { helpers });

Deno.test("NOTRACK exempts the packet and lets later rules of raw see it", () => {
  const rig = new Rig({ raw: { PREROUTING: [{ jump: "NOTRACK" }, { jump: "CT", zone: 5 }, {}] } });
  rig.run("raw", packet, { hook: PREROUTING });
  assertEquals([rig.p.ct, rig.p.ctinfo, rig.p.template], [NO_CT, UNTRACKED, null]);
  assertEquals(rig.count("raw", "PREROUTING").map(([n]) => n), [1, 1, 1, 1]);
  assertEquals(rig.p.untracked, true);
  // NOTRACK alone asks nothing of tracking; CT --zone does.
  assertEquals(rig.config.tracking, { ipv4: true, ipv6: true });
  assertEquals(new Rig({ raw: { PREROUTING: [{ jump: "NOTRACK" }] } }).config.tracking, {
    ipv4: false,
    ipv6: false,
  });
});

Deno.test("CT sets the template, and the first one stays", () => {
  const rig = new Rig({
    raw: {
      PREROUTING: [
        {
          protocol: "tcp",
          jump: "CT",
          helper: "ftp",
          zoneOrig: 3,
          timeout: { established: 60, close: 2 },
          ctevents: ["new"],
        },
        { jump: "CT", zone: 9 },
        { jump: "NOTRACK" },
      ],
    },
  }, { helpers });
  rig.run("raw", tcp({ ...A, sport: 1, dport: 21, flags: "S" }), { hook: PREROUTING });
  const template = rig.p.template!;
  assertEquals([template.helper, template.zoneOriginal, template.zoneReply, template.events], [0, 3, 0, 1]);
  const policy = rig.conntrack.timeoutPolicies[template.timeoutPolicy - 1]!;
  assertEquals([policy[3], policy[8], policy[1]], [60_000, 2_000, 120_000]);
  assertEquals(
    new TextDecoder().decode(rig.conntrack.ruleTexts.bytes(template.rule)),
    "tables.raw.PREROUTING[0]",
  );
  assertEquals(rig.p.untracked, false);
  rig.run("raw", packet, { hook: PREROUTING });
  assertEquals([rig.p.template!.zoneOriginal, rig.p.template!.zoneReply, rig.p.template!.helper], [9, 9, -1]);
});

const nat = (rule: RuleConfig, chain: Spec["chain"], more: Partial<Spec> = {}): Spec => ({
  rule,
  table: "nat",
  chain,
  ...more,
});
specify("SNAT and its kin", [
  nat({ jump: "SNAT", toSource: "203.0.113.5" }, "POSTROUTING", { save: "-j SNAT --to-source 203.0.113.5" }),
  nat(
    { jump: "SNAT", toSource: "203.0.113.5-203.0.113.9", random: true, randomFully: true, persistent: true },
    "POSTROUTING",
    {
      save: "-j SNAT --to-source 203.0.113.5-203.0.113.9 --random --random-fully --persistent",
    },
  ),
  nat({ protocol: "udp", jump: "SNAT", toSource: "203.0.113.5:1024-65535" }, "POSTROUTING", {
    save: "-p udp -j SNAT --to-source 203.0.113.5:1024-65535",
  }),
  nat({ protocol: "tcp", jump: "SNAT", toSource: ":5000" }, "INPUT", {
    save: "-p tcp -j SNAT --to-source :5000",
    save6: "-p tcp -j SNAT --to-source :5000",
  }),
  nat({ protocol: "tcp", jump: "SNAT", toSource: "[2001:db8:2::5]:80" }, "POSTROUTING", {
    save6: "-p tcp -j SNAT --to-source [2001:db8:2::5]:80",
  }),
  nat({ jump: "SNAT", toSource: "2001:db8:2::5-2001:db8:2::6" }, "POSTROUTING", {
    save6: "-j SNAT --to-source 2001:db8:2::5-2001:db8:2::6",
  }),
  nat({ jump: "SNAT" }, "POSTROUTING", { refused: [".jump", "SNAT needs toSource"] }),
  nat({ jump: "SNAT", toSource: "203.0.113.5:80" }, "POSTROUTING", {
    refused: [".toSource", "names ports; add protocol"],
  }),
  nat({ protocol: "tcp", jump: "SNAT", toSource: "203.0.113.5:90-80" }, "POSTROUTING", {
    refused: [".toSource", "swap its ends"],
  }),
  nat({ protocol: "tcp", jump: "SNAT", toSource: "203.0.113.5:80-65536" }, "POSTROUTING", {
    refused: [".toSource", "no port or range such as"],
  }),
  nat({ jump: "SNAT", toSource: "203.0.113.500" }, "POSTROUTING", {
    refused: [".toSource", "is not an address"],
  }),
  nat({ jump: "SNAT", toSource: "203.0.113.5", source: "2001:db8::1" }, "POSTROUTING", {
    refused: [".source", "speaks of IPv6, but toSource of IPv4"],
  }),
  nat({ jump: "SNAT", toSource: "203.0.113.5" }, "PREROUTING", {
    refused: [".jump", "SNAT is not allowed in PREROUTING; use it in INPUT or POSTROUTING"],
  }),
  { rule: { jump: "SNAT", toSource: "203.0.113.5" }, refused: [".jump", "belongs in nat"] },
  nat({ protocol: "tcp", dport: 8000, jump: "DNAT", toDestination: "10.0.0.2:6000" }, "PREROUTING", {
    save: "-p tcp -m tcp --dport 8000 -j DNAT --to-destination 10.0.0.2:6000",
  }),
  nat(
    { protocol: "tcp", jump: "DNAT", toDestination: "10.0.0.2:2000-2010/1000", persistent: true },
    "OUTPUT",
    { save: "-p tcp -j DNAT --to-destination 10.0.0.2:2000-2010/1000 --persistent" },
  ),
  nat({ jump: "DNAT", toDestination: "10.0.0.2", randomFully: true }, "PREROUTING", {
    refused: [".randomFully", "is an option of MASQUERADE, SNAT, not of DNAT"],
  }),
  nat({ outInterface: "wan", jump: "MASQUERADE" }, "POSTROUTING", {
    save: "-o wan -j MASQUERADE",
    save6: "-o wan -j MASQUERADE",
  }),
  nat({ protocol: "tcp", jump: "MASQUERADE", toPorts: "1024-31000", random: true }, "POSTROUTING", {
    save: "-p tcp -j MASQUERADE --to-ports 1024-31000 --random",
  }),
  nat({ jump: "MASQUERADE", toPorts: 80 }, "POSTROUTING", { refused: [".toPorts", "add protocol"] }),
  nat({ jump: "MASQUERADE" }, "PREROUTING", {
    refused: [".jump", "MASQUERADE is not allowed in PREROUTING; use it in POSTROUTING"],
  }),
  nat({ protocol: "tcp", dport: 80, jump: "REDIRECT", toPorts: 8080 }, "PREROUTING", {
    save: "-p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080",
  }),
  nat({ jump: "REDIRECT" }, "OUTPUT", { save: "-j REDIRECT" }),
  nat({ destination: "203.0.113.64/28", jump: "NETMAP", to: "10.0.0.64/28" }, "PREROUTING", {
    save: "-d 203.0.113.64/28 -j NETMAP --to 10.0.0.64/28",
  }),
  nat({ jump: "NETMAP", to: "10.0.0.64" }, "POSTROUTING", { save: "-j NETMAP --to 10.0.0.64/32" }),
  nat({ jump: "NETMAP", to: "2001:db8:7::/64" }, "POSTROUTING", { save6: "-j NETMAP --to 2001:db8:7::/64" }),
  nat({ jump: "NETMAP" }, "POSTROUTING", { refused: [".jump", "NETMAP needs to"] }),
]);

/** Sends the first packet of a flow through nat and says what its answers are addressed to, and come from. */
function translated(
  hook: Hook,
  rule: RuleConfig,
  bytes = packet,
): { from: string; to: string; port: number } {
  const rig = new Rig({ nat: { [HOOK_NAMES[hook]]: [rule] } });
  const p = rig.load(bytes, { hook: PREROUTING, track: true, in: LAN, out: WAN });
  p.hook = hook;
  if (hook === OUTPUT) p.inInterface = 0;
  assertEquals(rig.nat.manip(p), 1);
  const words = rig.conntrack.flows.words, at = p.ct * FLOW_WORDS + CT_REPLY;
  return {
    from: formatAddress(p.family, words, at + SRC),
    to: formatAddress(p.family, words, at + DST),
    port: destinationPort(words, at),
  };
}

Deno.test("nat targets bind the flow as they say", () => {
  const from = "203.0.113.9", to = "10.0.0.2", port = 4000;
  assertEquals(translated(POSTROUTING, { jump: "SNAT", toSource: "203.0.113.5" }), {
    from,
    to: "203.0.113.5",
    port,
  });
  assertEquals(translated(POSTROUTING, { protocol: "udp", jump: "SNAT", toSource: "203.0.113.5:7000" }), {
    from,
    to: "203.0.113.5",
    port: 7000,
  });
  assertEquals(translated(POSTROUTING, { jump: "MASQUERADE" }), { from, to: "203.0.113.1", port });
  assertEquals(translated(POSTROUTING, { protocol: "udp", jump: "MASQUERADE", toPorts: 7001 }), {
    from,
    to: "203.0.113.1",
    port: 7001,
  });
  assertEquals(translated(PREROUTING, { jump: "DNAT", toDestination: "10.0.0.7" }), {
    from: "10.0.0.7",
    to,
    port,
  });
  assertEquals(translated(PREROUTING, { jump: "REDIRECT" }), { from: "10.0.0.1", to, port });
  assertEquals(translated(PREROUTING, { jump: "NETMAP", to: "198.51.100.0/24" }), {
    from: "198.51.100.9",
    to,
    port,
  });
  assertEquals(translated(POSTROUTING, { jump: "NETMAP", to: "198.51.100.0/24" }), {
    from,
    to: "198.51.100.2",
    port,
  });
  assertEquals(translated(POSTROUTING, { jump: "MASQUERADE" }, packet6), {
    from: A6.dst,
    to: "2001:db8:2::1",
    port,
  });
  assertEquals(translated(PREROUTING, { jump: "DNAT", toDestination: "2001:db8:1::7" }, packet6), {
    from: "2001:db8:1::7",
    to: A6.src,
    port,
  });
});
