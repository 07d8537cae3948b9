/** Groups U and I: what connection tracking makes of UDP and of ICMP queries. */
import { icmp, icmpEcho, type IpOptions, udp } from "../../kit/packets.ts";
import { dump, packet, wait } from "../scenario.ts";
import {
  answer,
  C,
  C2,
  C6,
  type Case,
  COUNT,
  cu,
  filter,
  LAN,
  LAN6,
  M,
  nat,
  NET,
  NET6,
  R,
  S,
  S2,
} from "./case.ts";
import { S6, su, WAN, WAN6 } from "./case.ts";

/** An ICMP message of the client's. */
const ci = (type: number, o: Partial<IpOptions> & { code?: number; rest?: number; cut?: number } = {}) =>
  packet("lan", icmp({ src: C, dst: S, type, rest: 0x00070001, payload: 12, ...o }));
const echo = (echoId: number, o = {}) => packet("lan", icmpEcho({ src: C, dst: S, echoId, ...o }));
const echo6 = (echoId: number, o = {}) => packet("lan", icmpEcho({ src: C6, dst: S6, echoId, ...o }));

export const UDP_CASES: Case[] = [
  {
    id: "U01",
    says: "a flow gets 30 seconds, and 120 and ASSURED once it is two seconds old with traffic both ways",
    slow: true,
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        cu(),
        dump("query"),
        su(),
        dump("answer"),
        cu(),
        dump("third"),
        wait(2300),
        cu(),
        dump("later"),
        su(),
      ],
    },
    expect(v) {
      for (const name of ["query", "answer", "third"]) {
        v.timer(v.flow(name), 30);
        v.is(v.flow(name).assured, false, name);
      }
      v.timer(v.flow(), 120);
      v.is(v.flow().assured, true);
      v.is(v.states(), "NEW 1, ESTABLISHED 4");
    },
  },
  {
    id: "U01b",
    says: "within two seconds a flow with traffic both ways keeps 30 seconds",
    scenario: { ...NET, iptables: M, steps: [cu(), su(), cu(), su(), cu()] },
    expect(v) {
      v.timer(v.flow(), 30);
      v.is([v.flow().assured, v.flow().unreplied], [false, false]);
    },
  },
  {
    id: "U02",
    says: "packets one way only stay NEW",
    scenario: { ...NET, iptables: M, steps: [cu(), cu(), cu()] },
    expect(v) {
      v.is(v.states(), "NEW 3");
      v.is(v.flow().unreplied, true);
    },
  },
  {
    id: "U03",
    says: "a checksum of 0 stays 0",
    scenario: { ...NET, iptables: M, steps: [cu({ checksum: 0 }), su({ checksum: 0 })] },
    expect: (v) => v.is([v.one(0).checksum, v.one(0).src, v.one(1).checksum, v.one(1).dst], [0, WAN, 0, C]),
  },
  {
    id: "U04",
    says: "a wrong checksum is INVALID, forwarded untranslated",
    scenario: { ...NET, iptables: M, steps: [cu({ badChecksum: true })] },
    expect(v) {
      v.is(v.states(), "INVALID 1");
      v.is(v.one(0).src, C);
    },
  },
  {
    id: "U05",
    says: "wrong UDP lengths are INVALID, a short one is taken at its word",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        cu({ udpLength: 200 }),
        cu({ udpLength: 4 }),
        cu({ cut: 4 }),
        cu({ udpLength: 0 }),
        cu({ udpLength: 10, checksum: 0 }),
      ],
    },
    expect(v) {
      v.is([0, 1, 2].map((n) => v.one(n).src), [C, C, C]);
      v.is(v.count("--ctstate INVALID"), 4);
      v.is(v.one(4).src, WAN);
    },
  },
  {
    id: "U08",
    says: "answers from another port or host do not come in; the router refuses them",
    scenario: { ...NET, iptables: M, steps: [cu(), su({ sport: 54 }), su({ src: S2 }), su()] },
    expect(v) {
      v.is([1, 2].map((n) => [v.one(n).iface, v.one(n).type, v.one(n).code]), [["wan", 3, 3], ["wan", 3, 3]]);
      v.is(v.one(3).dst, C);
    },
  },
  {
    id: "U09",
    says: "port 0 is a port",
    scenario: {
      ...NET,
      iptables: M,
      steps: [cu({ sport: 0 }), su({ dport: 0 }), cu({ sport: 5, dport: 0 })],
    },
    expect(v) {
      v.is([v.one(0).src, v.one(0).sport], [WAN, 0]);
      v.is([v.one(1).dst, v.one(1).dport], [C, 0]);
    },
  },
  {
    id: "U10",
    says: "a flow that timed out is NEW again and has its port again",
    slow: true,
    scenario: {
      ...NET,
      iptables: M,
      sysctl: { "net.netfilter.nf_conntrack_udp_timeout": 2 },
      steps: [cu(), wait(3000), cu()],
    },
    expect(v) {
      v.is(v.states(), "NEW 2");
      v.is([v.one(0).sport, v.one(1).sport], [1000, 1000]);
    },
  },
  {
    id: "U11",
    says: "packets that cross each other are one flow and no port changes",
    scenario: {
      ...NET,
      iptables: COUNT + nat("-A POSTROUTING -o lo -j MASQUERADE"),
      steps: [
        packet("lan", udp({ src: C, sport: 5000, dst: S, dport: 6000 })),
        packet("wan", udp({ src: S, sport: 6000, dst: C, dport: 5000 })),
        packet("lan", udp({ src: C, sport: 5000, dst: S, dport: 6000 })),
      ],
    },
    expect(v) {
      v.is(v.flows().length, 1, "flows");
      v.is([v.ends(v.one(0)), v.ends(v.one(1))], [`${C}:5000 > ${S}:6000`, `${S}:6000 > ${C}:5000`]);
    },
  },
  {
    id: "U13",
    says: "IPv6 UDP without checksum, with a wrong one, and to a closed port",
    scenario: {
      ...NET6,
      ip6tables: M,
      steps: [
        packet("lan", udp({ src: C6, sport: 1000, dst: S6, dport: 53, checksum: 0, payload: "x" })),
        packet("lan", udp({ src: C6, sport: 1001, dst: S6, dport: 53, badChecksum: true, payload: "x" })),
        packet("lan", udp({ src: C6, sport: 1002, dst: S6, dport: 53, payload: "x" })),
        packet("wan", udp({ src: S6, sport: 53, dst: WAN6, dport: 1002, payload: "x" })),
        packet("wan", udp({ src: S6, sport: 53, dst: WAN6, dport: 1003, payload: "x" })),
      ],
    },
    expect(v) {
      v.is([v.one(2).src, v.one(3).dst], [WAN6, C6]);
      v.is([v.one(4).type, v.one(4).code], [1, 4]);
    },
  },
];

export const ICMP_CASES: Case[] = [
  {
    id: "I01",
    says: "an echo request is NEW, its replies ESTABLISHED, for 30 seconds",
    scenario: { ...NET, iptables: M, steps: [echo(7), answer("wan"), answer("wan"), dump("done")] },
    expect(v) {
      v.is(v.states("done"), "NEW 1, ESTABLISHED 2");
      v.timer(v.flow(), 30);
      v.is([v.one(0).src, v.one(1).dst, v.one(1).echoId], [WAN, C, 7]);
    },
  },
  {
    id: "I02",
    says: "a reply without a request is INVALID",
    scenario: { ...NET, iptables: M, steps: [echo(7, { reply: true })] },
    expect(v) {
      v.is(v.states(), "INVALID 1");
      v.is(v.one(0).src, C);
    },
  },
  {
    id: "I03",
    says: "timestamp, information and mask requests are NEW, everything else that asks nothing is INVALID",
    scenario: {
      ...NET,
      iptables: M,
      steps: [13, 15, 17, 14, 16, 18, 9, 10, 19, 42, 6, 255].map((type) =>
        ci(type, { rest: 0x00010000 + type })
      ),
    },
    expect(v) {
      v.is(v.states(), "NEW 3, INVALID 9");
      v.is([0, 1, 2].map((n) => v.one(n).src), [WAN, WAN, WAN]);
    },
  },
  {
    id: "I03b",
    says: "timestamp replies come back, replies of another type do not",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        ci(13),
        packet("wan", icmp({ src: S, dst: WAN, type: 14, rest: 0x00070001, payload: 12 })),
        packet("wan", icmp({ src: S, dst: WAN, type: 0, rest: 0x00070001, payload: 12 })),
      ],
    },
    expect(v) {
      v.is(v.one(1).dst, C);
      v.silent(2);
    },
  },
  {
    id: "I04",
    says: "a wrong checksum or a cut message is INVALID",
    scenario: {
      ...NET,
      iptables: M,
      steps: [echo(7, { badChecksum: true }), ci(8, { cut: 4 }), ci(8, { cut: 7 })],
    },
    expect(v) {
      v.is(v.states(), "INVALID 3");
      v.is([0, 1].map((n) => v.one(n).src), [C, C]);
    },
  },
  {
    id: "I05",
    says: "two hosts ping with the same id; the outside ids differ and each has its answer",
    scenario: {
      ...NET,
      iptables: M,
      steps: [echo(7), answer("wan"), echo(7, { src: C2 }), answer("wan"), echo(7, { src: C2 })],
    },
    expect(v) {
      v.ok(v.one(0).echoId !== v.one(2).echoId, "same id outside");
      v.is(v.one(2).echoId, v.one(4).echoId);
      v.is([1, 3].map((n) => [v.one(n).dst, v.one(n).echoId]), [[C, 7], [C2, 7]]);
      v.is(v.flows().length, 2, "flows");
    },
  },
  {
    id: "I06",
    says: "a SNAT port range is nothing to ICMP but a range of ids",
    scenario: {
      ...NET,
      iptables: COUNT + nat(
        "-A POSTROUTING -o wan -p tcp -j SNAT --to-source 203.0.113.50:20000",
        "-A POSTROUTING -o wan -p icmp -j SNAT --to-source 203.0.113.50",
      ),
      steps: [echo(7), answer("wan")],
    },
    expect(v) {
      v.is([v.one(0).src, v.one(0).echoId], ["203.0.113.50", 7]);
      v.is([v.one(1).dst, v.one(1).errors], [C, []]);
    },
  },
  {
    id: "I07",
    says: "a reply within the timeout is translated, a later one is not",
    slow: true,
    scenario: {
      ...NET,
      iptables: M,
      sysctl: { "net.netfilter.nf_conntrack_icmp_timeout": 2 },
      steps: [
        echo(7),
        wait(1500),
        packet("wan", icmpEcho({ src: S, dst: WAN, echoId: 7, reply: true })),
        echo(8),
        wait(3000),
        packet("wan", icmpEcho({ src: S, dst: WAN, echoId: 8, reply: true })),
      ],
    },
    expect(v) {
      v.is(v.one(1).dst, C);
      v.silent(3);
    },
  },
  {
    id: "I08",
    says: "ICMPv6 echo is tracked, neighbour discovery is not",
    scenario: {
      ...NET6,
      ip6tables: M +
        filter("-A INPUT -m conntrack --ctstate UNTRACKED", "-A OUTPUT -m conntrack --ctstate UNTRACKED"),
      steps: [
        echo6(7),
        answer("wan"),
        packet("lan", icmp({ src: C6, dst: LAN6, type: 135, ttl: 255, payload: [...new Array(16).fill(0)] })),
        echo6(7, { reply: true, echoId: 99 }),
        packet("lan", icmp({ src: C6, dst: S6, type: 139, rest: 5, payload: 24 })),
        packet("lan", icmp({ src: C6, dst: S6, type: 133, ttl: 255 })),
        packet("lan", icmp({ src: C6, dst: S6, type: 200, rest: 7 })),
        packet("lan", icmpEcho({ src: C6, dst: LAN6, echoId: 12 })),
      ],
    },
    expect(v) {
      v.is([v.one(0).src, v.one(1).dst], [WAN6, C6]);
      v.is(v.count("INPUT -m conntrack --ctstate UNTRACKED", "end", 6), 1);
      v.is(v.one(3).src, C6, "a reply without request");
      v.is([v.one(7).type, v.one(7).src], [129, LAN6]);
    },
  },
  {
    id: "I09",
    says: "the router answers pings to its own addresses, and those tracked, too",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        packet("lan", icmpEcho({ src: C, dst: LAN, echoId: 3 })),
        packet("wan", icmpEcho({ src: R, dst: WAN, echoId: 3 })),
        packet("lan", icmp({ src: C, dst: LAN, type: 13, rest: 1, payload: 12, badChecksum: true })),
        packet("lan", icmpEcho({ src: C, dst: LAN, echoId: 4, badChecksum: true })),
      ],
    },
    expect(v) {
      v.is([v.one(0).src, v.one(1).src], [LAN, WAN]);
      v.silent(2, 3);
    },
  },
];
