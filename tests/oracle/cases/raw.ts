/** Group R: the raw table, and the order of tables. */
import { icmpError, udp } from "../../kit/packets.ts";
import { dumpOf, packet } from "../scenario.ts";
import type { View } from "../view.ts";
import {
  C,
  c,
  type Case,
  COUNT,
  cu,
  filter,
  handshake,
  M,
  mangle,
  nat,
  NET,
  raw,
  S,
  s,
  su,
  WAN,
} from "./case.ts";
import { Session } from "./session.ts";

/** Conditions that rules of raw can ask of a flow: those that hold for the template of `-j CT`, and the others. */
const HOLD = [
  "conntrack --ctstate NEW",
  "conntrack ! --ctstate INVALID,UNTRACKED",
  "conntrack ! --ctstate DNAT",
  "state --state NEW",
  "state ! --state INVALID",
  "conntrack --ctdir ORIGINAL",
  "conntrack ! --ctstatus NONE",
  "conntrack --ctstatus CONFIRMED",
  "conntrack --ctstatus ASSURED,CONFIRMED",
  "conntrack ! --ctstatus SEEN_REPLY",
  "conntrack ! --ctproto 17",
  "conntrack --ctorigsrc 0.0.0.0/0",
  "conntrack --ctorigdst 0.0.0.0",
  "conntrack --ctreplsrc 0.0.0.0/8",
  `conntrack ! --ctrepldst ${C}`,
  "conntrack --ctorigsrcport 0",
  "conntrack ! --ctorigdstport 53",
  "conntrack --ctrepldstport 0:1024",
  "conntrack --ctstate NEW --ctdir ORIGINAL --ctstatus CONFIRMED",
  "connmark --mark 0",
  "connmark ! --mark 7",
  'helper ! --helper ""',
  "connlabel ! --label 1",
  "connlabel ! --label 2 --set",
];
const FAIL = [
  "conntrack --ctstate INVALID",
  "conntrack --ctstate UNTRACKED",
  "conntrack --ctstate ESTABLISHED,RELATED",
  "conntrack ! --ctstate NEW",
  "conntrack --ctstate SNAT,DNAT",
  "conntrack --ctdir REPLY",
  "conntrack --ctstatus NONE",
  "conntrack --ctstatus EXPECTED,SEEN_REPLY,ASSURED",
  "conntrack --ctproto 17",
  `conntrack --ctorigsrc ${C}`,
  "conntrack --ctorigdstport 53",
  "conntrack --ctstate NEW --ctdir REPLY",
  "conntrack --ctdir ORIGINAL --ctproto 17",
  "connmark ! --mark 0",
  "connmark --mark 7",
  'helper --helper ""',
  "helper --helper ftp",
  "connlabel --label 1",
  "connlabel --label 2 --set",
];

/** Packets that the conditions of a chain have counted. */
function counts(v: View, chain: string): number[] {
  const rules = dumpOf(v.answer).iptables.matchAll(new RegExp(`^\\[(\\d+):\\d+\\] -A ${chain} -m`, "gm"));
  return [...rules].map((rule) => Number(rule[1]));
}

export const RAW_CASES: Case[] = [
  {
    id: "R01",
    says: "NOTRACK makes a packet UNTRACKED: no entry, no NAT",
    scenario: {
      ...NET,
      iptables: M + raw("-A PREROUTING -i lan -p udp --dport 9999 -j NOTRACK"),
      steps: [cu({ dport: 9999 }), cu()],
    },
    expect(v) {
      v.is([v.one(0).src, v.one(1).src], [C, WAN]);
      v.is(v.states(), "NEW 1, UNTRACKED 1");
      v.is(v.flows().length, 1, "flows");
    },
  },
  {
    id: "R02",
    says: "NOTRACK for answers alone: they are not translated back and end at the router",
    scenario: {
      ...NET,
      iptables: M + raw(`-A PREROUTING -i wan -s ${S} -p udp --sport 53 -j CT --notrack`),
      steps: [cu(), su()],
    },
    expect(v) {
      v.is(v.one(0).src, WAN);
      v.is([v.one(1).iface, v.one(1).type, v.one(1).code], ["wan", 3, 3]);
      v.is(v.flow().unreplied, true);
    },
  },
  {
    id: "R03",
    says: "an untracked packet with a wrong checksum is UNTRACKED, not INVALID",
    scenario: {
      ...NET,
      iptables: M + raw("-A PREROUTING -i lan -j NOTRACK"),
      steps: [cu({ badChecksum: true }), c("FPU", { seq: 1 }), c("S", { seq: 1, badChecksum: true })],
    },
    expect: (v) => v.is(v.states(), "UNTRACKED 3"),
  },
  {
    id: "R04",
    says: "an ICMP error about an untracked flow is INVALID",
    scenario: {
      ...NET,
      iptables: COUNT + raw("-A PREROUTING -p udp -j NOTRACK"),
      steps: [
        cu(),
        packet(
          "wan",
          icmpError({
            src: S,
            dst: C,
            type: 3,
            code: 3,
            quoted: udp({ src: C, sport: 1000, dst: S, dport: 53 }),
          }),
        ),
      ],
    },
    expect: (v) => v.is(v.states(), "INVALID 1, UNTRACKED 1"),
  },
  {
    id: "R05",
    says: "rules behind NOTRACK in raw still run, and the first CT target wins",
    scenario: {
      ...NET,
      iptables: nat("-A POSTROUTING -o wan -j MASQUERADE") + raw(
        "-A PREROUTING -p udp --dport 1 -j NOTRACK",
        "-A PREROUTING -p udp --dport 1 -j MARK --set-mark 3",
        "-A PREROUTING -p udp --dport 1:2 -j CT --zone 5",
        "-A PREROUTING -p udp --dport 2 -j NOTRACK",
      ) + mangle("-A FORWARD -m mark --mark 3"),
      steps: [cu({ dport: 1 }), cu({ dport: 2 })],
    },
    expect: (v) => v.is(v.count("mark --mark 0x3"), 1),
  },
  {
    id: "R06",
    says: "rules of raw behind -j CT take its template for a new flow, and conntrack does not",
    scenario: {
      ...NET,
      iptables: raw(
        ":hold - [0:0]",
        ":fail - [0:0]",
        "-A PREROUTING -j CT --zone 3",
        ...HOLD.map((condition) => `-A hold -m ${condition}`),
        ...FAIL.map((condition) => `-A fail -m ${condition}`),
        "-A PREROUTING -j hold",
        "-A PREROUTING -g fail",
        "-A fail -j NOTRACK",
        "-A fail -j CT --notrack",
        "-A fail -j CT --zone 9",
      ) + mangle(
        "-A PREROUTING -m conntrack --ctstate INVALID",
        "-A PREROUTING -m conntrack --ctstate NEW",
        "-A PREROUTING -m conntrack --ctproto 17",
      ),
      steps: [cu(), c("A", { seq: 1, badChecksum: true })],
    },
    expect(v) {
      v.is(v.flows().map((flow) => flow.rest.zone), ["3"]);
      v.is(v.count("PREROUTING -m conntrack --ctproto 17"), 1);
      v.is(counts(v, "hold"), HOLD.map(() => 2), "hold");
      v.is(counts(v, "fail"), FAIL.map(() => 0), "fail");
    },
  },
  {
    id: "R06b",
    says:
      "CONNMARK in raw behind -j CT marks the template, which all packets of that rule share, and no flow",
    scenario: {
      ...NET,
      iptables: raw(
        "-A PREROUTING -p udp --dport 1:2 -j CT --zone 1",
        "-A PREROUTING -p udp --dport 3 -j CT --zone 2",
        "-A PREROUTING -m connmark --mark 7",
        "-A PREROUTING -m connmark ! --mark 7",
        "-A PREROUTING -j MARK --set-mark 0x30",
        "-A PREROUTING -p udp --dport 1 -j CONNMARK --set-xmark 7",
        "-A PREROUTING -p udp --dport 3 -j CONNMARK --save-mark --mask 0xf0",
        "-A PREROUTING -p udp --dport 4 -j CONNMARK --set-xmark 9",
        "-A PREROUTING -j CONNMARK --restore-mark --mask 0xf",
        "-A PREROUTING -m mark --mark 0x37",
        "-A PREROUTING -m connmark --mark 0x30",
      ) + mangle("-A PREROUTING -m connmark ! --mark 0"),
      steps: [1, 2, 3, 4, 2, 3].map((dport) => cu({ dport })),
    },
    expect(v) {
      v.is(v.count("connmark --mark 0x7"), 2);
      v.is(v.count("connmark ! --mark 0x7"), 3);
      v.is(v.count("mark --mark 0x37"), 3);
      v.is(v.count("connmark --mark 0x30"), 2);
      v.is(v.count("connmark ! --mark 0x0"), 0);
    },
  },
  {
    id: "R07",
    says: "every table sees the packet in its turn, and counters say so",
    scenario: {
      ...NET,
      iptables: raw(
        "-A PREROUTING -p udp --dport 1 -j MARK --set-mark 1",
        "-A PREROUTING -p udp --dport 2 -j DROP",
        "-A PREROUTING -p udp --dport 3 -j ACCEPT",
        "-A PREROUTING -j MARK --or-mark 0x10",
      ) + mangle(
        ":user - [0:0]",
        "-A PREROUTING -m mark --mark 1",
        "-A PREROUTING -m mark --mark 0x11 -j user",
        "-A user -p tcp",
        "-A user -j RETURN",
        "-A user -p udp",
        "-A FORWARD -m mark --mark 0x10 -j MARK --set-xmark 0x20/0xff",
        "-A POSTROUTING -m mark --mark 0x20",
        "-A POSTROUTING -o wan -p udp --dport 4 -j DROP",
      ) +
        nat(
          "-A PREROUTING -p udp --dport 5 -j DNAT --to-destination 198.51.100.99:55",
          "-A POSTROUTING -o wan -j MASQUERADE",
        ) +
        filter(
          ":one - [0:0]",
          ":two - [0:0]",
          "-A FORWARD -p udp --dport 6 -g one",
          "-A FORWARD -p udp --dport 7 -j one",
          "-A FORWARD -p udp --dport 7 -j DROP",
          "-A FORWARD ! -p udp -j DROP",
          "-A one -j two",
          "-A one -p udp --sport 2000 -j ACCEPT",
          "-A two ! -s 192.0.2.0/24 -j DROP",
          "-A two -m ttl --ttl-gt 100",
        ),
      steps: [
        ...[1, 2, 3, 4, 5, 6, 7].flatMap((dport) => [cu({ dport }), cu({ dport, sport: 2000 })]),
        c("S", { seq: 1 }),
        su({ sport: 55, src: "198.51.100.99" }),
        cu({ dport: 5 }),
      ],
    },
    expect(v) {
      v.silent(2, 3, 6, 7, 14);
    },
  },
  {
    id: "R08",
    says: "no helper attaches by itself: FTP on its port expects nothing",
    scenario: {
      ...NET,
      iptables: M,
      steps: new Session().greeted().client("PORT 192,0,2,2,15,160\r\n").steps,
    },
    expect(v) {
      v.is(v.payload(v.one(6)), "PORT 192,0,2,2,15,160..");
      v.is([v.expects().length, v.flow().rest.helper], [0, undefined]);
    },
  },
  {
    id: "R10",
    says: "a flow keeps the tracking it began with when NOTRACK comes later",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        ...handshake(),
        { do: "rules", iptables: raw("-A PREROUTING -i lan -p tcp -j NOTRACK") },
        c("A", { seq: 1001, ack: 5001 }),
        s("A", { seq: 5001, ack: 1001 }),
      ],
    },
    expect: (v) => v.is([v.one(3).src, v.one(4).dst], [C, C]),
  },
];
