/** Group N: address translation, and what a router does beside it. */
import { icmpEcho, ip, tcp, udp } from "../../kit/packets.ts";
import { dump, packet } from "../scenario.ts";
import type { View } from "../view.ts";
import {
  answer,
  C,
  c,
  C2,
  C6,
  type Case,
  COUNT,
  cu,
  DROP_INVALID,
  filter,
  fragmented,
  handshake,
} from "./case.ts";
import { ISN_C, LAN, LAN6, M, mangle, nat, NET, NET6, raw, S, s, S2, S6, su, WAN, WAN6 } from "./case.ts";

const POOL = "203.0.113.64-203.0.113.71";
/** Source ports that datagrams left with. */
const ports = (v: View, ...packets: number[]) => packets.map((n) => v.one(n).sport!);
/** A datagram of some LAN host. */
const host = (n: number, o = {}) => cu({ src: `192.0.2.${n}`, ...o });
const mss = (n: number) => ({ options: [{ mss: n }] });

export const NAT_CASES: Case[] = [
  {
    id: "N01",
    says: "two hosts with the same port and target leave with different ports",
    scenario: { ...NET, iptables: M, steps: [cu(), answer("wan"), cu({ src: C2 }), answer("wan")] },
    expect(v) {
      const [a, b] = ports(v, 0, 2);
      v.is(a, 1000, "the first keeps its port");
      v.ok(b !== a && b >= 600 && b <= 1023 || b >= 1024, `port ${b}`);
      v.is([v.ends(v.one(1)), v.ends(v.one(3))], [`${S}:53 > ${C}:1000`, `${S}:53 > ${C2}:1000`]);
    },
  },
  {
    id: "N02",
    says: "a port that must move stays in its class",
    scenario: {
      ...NET,
      iptables: M,
      steps: [100, 700, 4000].flatMap((sport) => [
        cu({ sport }),
        cu({ src: C2, sport }),
        answer("wan"),
      ]),
    },
    expect(v) {
      const [a, b, d] = ports(v, 1, 4, 7);
      v.ok(a >= 1 && a <= 511 && a !== 100, `from 100 to ${a}`);
      v.ok(b >= 600 && b <= 1023 && b !== 700, `from 700 to ${b}`);
      v.ok(d >= 1024 && d !== 4000, `from 4000 to ${d}`);
    },
  },
  {
    id: "N04",
    says: "a packet from an unknown host to a mapped port is not translated",
    scenario: { ...NET, iptables: M, steps: [cu(), su({ src: S2 }), su({ sport: 54 }), su()] },
    expect(v) {
      v.is([1, 2].map((n) => [v.one(n).iface, v.one(n).type, v.one(n).code]), [["wan", 3, 3], ["wan", 3, 3]]);
      v.is(v.one(3).dst, C);
    },
  },
  {
    id: "N05",
    says: "a pool address follows from source and destination",
    scenario: {
      ...NET,
      iptables: COUNT + nat(`-A POSTROUTING -o wan -j SNAT --to-source ${POOL}`),
      steps: [
        ...[2, 3, 4, 5, 6, 7].map((n) => host(n)),
        cu({ dst: S2 }),
        cu({ dst: "198.51.100.99" }),
        c("S", { src: "192.0.2.9", seq: 1 }),
        packet("lan", icmpEcho({ src: "192.0.2.10", dst: S })),
      ],
    },
    expect(v) {
      for (let n = 0; n < 10; n++) v.ok(/^203\.0\.113\.(6[4-9]|7[01])$/.test(v.one(n).src), v.one(n).text);
    },
  },
  {
    id: "N06",
    says: "a persistent pool gives a host the same address for every target",
    scenario: {
      ...NET,
      iptables: COUNT + nat(`-A POSTROUTING -o wan -j SNAT --to-source ${POOL} --persistent`),
      steps: [...Array.from({ length: 20 }, (_, i) => cu({ dst: `198.51.100.${i + 1}` })), host(3), host(4)],
    },
    expect(v) {
      const addresses = new Set(Array.from({ length: 20 }, (_, n) => v.one(n).src));
      v.is(addresses.size, 1, "addresses");
    },
  },
  {
    id: "N07",
    says: "three ports serve three hosts, the others are dropped, and another target works",
    scenario: {
      ...NET,
      iptables: COUNT + nat("-A POSTROUTING -o wan -p udp -j SNAT --to-source 203.0.113.50:2000-2002"),
      steps: [...[10, 11, 12, 13, 14, 15].map((n) => host(n)), host(10, { dst: S2 })],
    },
    expect(v) {
      v.is(ports(v, 0, 1, 2).sort(), [2000, 2001, 2002]);
      v.silent(3, 4, 5);
      v.one(6);
    },
  },
  {
    id: "N08",
    says: "with one port the second flow to a target is dropped and the first lives on",
    scenario: {
      ...NET,
      iptables: COUNT + nat("-A POSTROUTING -o wan -p udp -j SNAT --to-source 203.0.113.50:34568"),
      steps: [cu(), cu({ src: C2 }), cu(), su({ dst: "203.0.113.50", dport: 34568 })],
    },
    expect(v) {
      v.is(ports(v, 0, 2), [34568, 34568]);
      v.silent(1);
      v.is(v.ends(v.one(3)), `${S}:53 > ${C}:1000`);
    },
  },
  {
    id: "N09",
    says: "DNAT rewrites both ways",
    scenario: {
      ...NET,
      iptables: COUNT + nat(`-A PREROUTING -i wan -p tcp --dport 8000 -j DNAT --to-destination ${C}:6000`),
      steps: [s("S", { sport: 4000, dport: 8000, seq: 1 }), answer("lan")],
    },
    expect(v) {
      v.is(v.ends(v.one(0)), `${S}:4000 > ${C}:6000`);
      v.is(v.ends(v.one(1)), `${WAN}:8000 > ${S}:4000`);
      v.is([...v.one(0).errors, ...v.one(1).errors], []);
    },
  },
  {
    id: "N10",
    says: "a DNAT range with a base shifts ports",
    scenario: {
      ...NET,
      iptables: COUNT +
        nat(`-A PREROUTING -p tcp --dport 1000:1010 -j DNAT --to-destination ${C}:2000-2010/1000`),
      steps: Array.from({ length: 11 }, (_, i) => s("S", { sport: 4000, dport: 1000 + i, seq: 1 })),
    },
    expect(v) {
      for (let n = 0; n < 11; n++) v.is(v.one(n).dport, 2000 + n);
    },
  },
  {
    id: "N13",
    says: "NETMAP keeps the host bits",
    scenario: {
      ...NET,
      iptables: COUNT + nat(
        "-A PREROUTING -d 203.0.113.64/28 -i wan -j NETMAP --to 192.0.2.64/28",
        "-A POSTROUTING -s 192.0.2.64/28 -o wan -j NETMAP --to 203.0.113.64/28",
      ),
      steps: [
        s("S", { dst: "203.0.113.70", dport: 80, seq: 1 }),
        answer("lan"),
        host(73),
        answer("wan"),
        packet("lan", icmpEcho({ src: "192.0.2.79", dst: S })),
      ],
    },
    expect(v) {
      v.is(v.one(0).dst, "192.0.2.70");
      v.is(v.one(1).src, "203.0.113.70");
      v.is(v.one(2).src, "203.0.113.73");
      v.is(v.one(4).src, "203.0.113.79");
    },
  },
  {
    id: "N14",
    says: "a LAN host reaches another by the public address",
    scenario: {
      ...NET,
      iptables: COUNT + nat(
        `-A PREROUTING -d ${WAN} -p tcp --dport 8000 -j DNAT --to-destination ${C2}:6000`,
        "-A POSTROUTING -s 192.0.2.0/24 -o lan -j MASQUERADE",
      ),
      steps: [
        c("S", { dst: WAN, dport: 8000, seq: 1 }),
        answer("lan"),
        c("A", { dst: WAN, dport: 8000, seq: 2, ack: 5001 }),
      ],
    },
    expect(v) {
      v.is([0, 1, 2].map((n) => v.ends(v.one(n))), [
        `${LAN}:1000 > ${C2}:6000`,
        `${WAN}:8000 > ${C}:1000`,
        `${LAN}:1000 > ${C2}:6000`,
      ]);
    },
  },
  {
    id: "N15",
    says: "a fragmented datagram takes the same way",
    scenario: {
      ...NET,
      iptables: COUNT + nat(
        `-A PREROUTING -d ${WAN} -p udp --dport 8000 -j DNAT --to-destination ${C2}:6000`,
        "-A POSTROUTING -s 192.0.2.0/24 -o lan -j MASQUERADE",
      ),
      steps: fragmented(
        "lan",
        udp({ src: C, sport: 1000, dst: WAN, dport: 8000, payload: 3000, df: false }),
        1480,
        501,
      ),
    },
    expect(v) {
      v.silent(0, 1);
      v.is(v.out(2).map((o) => [o.dst, o.offset, o.id]), [[C2, 0, 501], [C2, 1480, 501], [C2, 2960, 501]]);
    },
  },
  {
    id: "N16",
    says: "rules decide about the first packet only",
    scenario: {
      ...NET,
      iptables: nat("-A POSTROUTING -o wan -j SNAT --to-source 203.0.113.50"),
      steps: [
        cu(),
        { do: "rules", iptables: nat("-A POSTROUTING -o wan -j SNAT --to-source 203.0.113.60") },
        cu(),
        cu({ sport: 1001 }),
        su({ dst: "203.0.113.50" }),
      ],
    },
    expect(v) {
      v.is([0, 1, 2].map((n) => v.one(n).src), ["203.0.113.50", "203.0.113.50", "203.0.113.60"]);
      v.is(v.one(3).dst, C);
    },
  },
  {
    id: "N17",
    says: "TTL 1 is answered by time exceeded, TTL 2 leaves as 1",
    scenario: {
      ...NET,
      iptables: M,
      steps: [cu({ ttl: 1, sport: 1001 }), cu({ ttl: 2 }), cu({ ttl: 0, sport: 1002 })],
    },
    expect(v) {
      const error = v.one(0);
      v.is([error.iface, error.src, error.dst, error.type, error.code, error.tos], [
        "lan",
        LAN,
        C,
        11,
        0,
        0xc0,
      ]);
      v.is(v.one(1).ttl, 1);
    },
  },
  {
    id: "N18",
    says: "a connection to a virtual address moves its port when the direct flow has it",
    scenario: {
      ...NET,
      iptables: COUNT +
        nat(`-A PREROUTING -d 203.0.113.99 -p tcp --dport 443 -j DNAT --to-destination ${S}:5201`),
      steps: [
        c("S", { sport: 10000, dport: 5201, seq: 1 }),
        answer("wan"),
        c("A", { sport: 10000, dport: 5201, seq: 2, ack: 5001 }),
        c("S", { sport: 10000, dst: "203.0.113.99", dport: 443, seq: 1 }),
        answer("wan"),
      ],
    },
    expect(v) {
      v.is(v.one(0).sport, 10000);
      v.ok(v.one(3).sport !== 10000, "port did not move");
      v.is(v.ends(v.one(4)), `203.0.113.99:443 > ${C}:10000`);
    },
  },
  {
    id: "N19",
    says: "two ports redirected to one keep their flows apart",
    scenario: {
      ...NET,
      iptables: nat(
        "-A PREROUTING -p udp --dport 5202 -j REDIRECT --to-ports 5201",
        "-A PREROUTING -p udp --dport 5203 -j REDIRECT --to-ports 5201",
      ),
      steps: [cu({ dport: 5202 }), cu({ dport: 5203 }), cu({ dport: 5202 })],
    },
    expect(v) {
      // The router has no such service: what it refuses is quoted as the client sent it.
      v.is([0, 1, 2].map((n) => v.one(n).quoted!.dport), [5202, 5203, 5202]);
      v.is([0, 1, 2].map((n) => v.one(n).src), [S, S, S]);
      v.is(v.flows().length, 2, "flows");
    },
  },
  {
    id: "N20",
    says: "statistic nth shares flows round robin",
    scenario: {
      ...NET,
      iptables: COUNT + nat(
        `-A PREROUTING -i wan -p udp -m statistic --mode nth --every 3 --packet 0 -j DNAT --to-destination 192.0.2.2`,
        `-A PREROUTING -i wan -p udp -m statistic --mode nth --every 2 --packet 0 -j DNAT --to-destination 192.0.2.3`,
        `-A PREROUTING -i wan -p udp -j DNAT --to-destination 192.0.2.4`,
      ),
      steps: Array.from({ length: 9 }, (_, i) => su({ sport: 2000 + i, dport: 53 })),
    },
    expect(v) {
      v.is(
        Array.from({ length: 9 }, (_, n) => v.one(n).dst.slice(8)),
        [2, 3, 4, 2, 3, 4, 2, 3, 4].map(String),
      );
    },
  },
  {
    id: "N21",
    says: "INVALID packets leave with the private source, but for the rule that drops them",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        c("R", { seq: 1 }),
        { do: "rules", iptables: DROP_INVALID },
        c("R", { seq: 1 }),
      ],
    },
    expect(v) {
      v.is(v.one(0).src, C);
      v.silent(1);
    },
  },
  {
    id: "N22",
    says: "the router answers for its own addresses as a stack without programs does",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        s("A", { dport: 2222, seq: 10, ack: 20, payload: "x" }),
        su({ dport: 2222 }),
        s("S", { dport: 2223, seq: 10 }),
        s("R", { dport: 2224, seq: 10 }),
        s("FA", { dport: 2225, seq: 10, ack: 77 }),
        s("SP", { dport: 2226, seq: 10, payload: "abc" }),
        packet("wan", ip({ src: S, dst: WAN, protocol: 253, payload: 20 })),
        packet("lan", icmpEcho({ src: C, dst: WAN, tos: 0x20 })),
        packet("lan", icmpEcho({ src: C, dst: LAN, payload: 1400, df: false })),
        packet("wan", udp({ src: S, sport: 1, dst: LAN, dport: 2, payload: 700 })),
      ],
    },
    expect(v) {
      v.is([0, 2, 4, 5].map((n) => v.one(n).flags), ["R", "RA", "R", "RA"]);
      v.is([v.one(1).type, v.one(1).code], [3, 3]);
      v.silent(3);
      v.is([v.one(6).type, v.one(6).code], [3, 2]);
      v.is([v.one(7).type, v.one(8).type], [0, 0]);
    },
  },
  {
    id: "N23",
    says: "a RST to a translated address that the router does not own is routed back",
    scenario: {
      ...NET,
      iptables: COUNT + nat("-A POSTROUTING -o wan -j SNAT --to-source 203.0.113.50"),
      steps: [c("S", { seq: 1 }), s("R", { dst: "203.0.113.50", dport: 7777, seq: 9 })],
    },
    expect(v) {
      v.is([v.one(1).iface, v.one(1).dst, v.one(1).ttl], ["wan", "203.0.113.50", 63]);
    },
  },
  {
    id: "N24",
    says: "martian sources and destinations are dropped, class E and 0.0.0.0/8 but its first are forwarded",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        ...["127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", LAN].map((src) => cu({ src })),
        ...["192.0.2.255", "255.255.255.255", "224.0.0.18", "127.0.0.1", "0.0.0.0"].map((dst) => cu({ dst })),
        cu({ dst: "240.0.0.1" }),
        cu({ src: "240.0.0.1", sport: 1001 }),
        cu({ dst: "203.0.113.255", sport: 1002 }),
        cu({ dst: "0.1.2.3", sport: 1003 }),
        // Linux 5.3 made 0.0.0.0/8 unicast.
        cu({ src: "0.0.0.1", sport: 1004 }),
      ],
    },
    expect(v) {
      v.silent(0, 1, 2, 3, 4, 5, 6, 7, 8, 9);
      v.is([10, 13].map((n) => v.one(n).dst), ["240.0.0.1", "0.1.2.3"]);
      v.is(v.one(14).sport, 1004);
    },
  },
  {
    id: "N25",
    says: "options and lengths are checked before anything else",
    scenario: {
      ...NET,
      iptables: COUNT,
      steps: [
        cu({ ipOptions: [131, 7, 4, 10, 0, 0, 1, 0] }),
        cu({ ipOptions: [7, 7, 4, 0, 0, 0, 0, 0] }),
        cu({ ihl: 4 }),
        cu({ totalLength: 2000 }),
        cu({ badIpChecksum: true }),
        cu({ trailer: 13 }),
        cu({ version: 5 }),
        cu({ ipOptions: [7, 8, 4, 0, 0, 0, 0, 0] }),
        cu({ ipOptions: [1, 1, 1, 7, 20, 0, 0, 0] }),
        cu({ totalLength: 19 }),
        cu({ ipOptions: [137, 7, 4, 10, 0, 0, 1, 0] }),
        cu({ ipOptions: [148, 4, 0, 0] }),
      ],
    },
    expect(v) {
      v.silent(2, 3, 4, 10);
      v.is(v.one(1).ipOptions[0], 7);
      v.is(v.one(5).bytes.length, 33);
      v.is([v.one(8).iface, v.one(8).type, v.one(8).code], ["lan", 12, 0], "a broken option is answered");
    },
  },
  {
    id: "N26",
    says: "TCPMSS clamps to the MTU of the way, and adds the option where there is none",
    scenario: {
      interfaces: { lan: { addresses: [`${LAN}/24`] }, wan: { addresses: [`${WAN}/24`], mtu: 1400 } },
      routes: NET.routes,
      iptables: mangle("-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu") +
        nat("-A POSTROUTING -o wan -j MASQUERADE"),
      steps: [
        c("S", { seq: 1, ...mss(1460) }),
        c("S", { seq: 1, sport: 1001 }),
        c("S", { seq: 1, sport: 1002, ...mss(500) }),
        s("SA", { seq: 1, ack: 2, ...mss(1460) }),
        c("S", { seq: 1, sport: 1003, options: [{ nop: true }, { nop: true }, { sackPermitted: true }] }),
        c("S", { seq: 1, sport: 1004, payload: "data" }),
      ],
    },
    expect(v) {
      const option = (n: number) => [...v.one(n).tcpOptions!.slice(0, 4)];
      v.is(option(0), [2, 4, 1360 >> 8, 1360 & 255]);
      v.is(option(1), [2, 4, 536 >> 8, 536 & 255]);
      v.is(option(2), [2, 4, 500 >> 8, 500 & 255]);
      for (let n = 0; n < 5; n++) v.is(v.one(n).errors, []);
    },
  },
  {
    id: "N26b",
    says: "TCPMSS --set-mss sets a value that is larger only",
    scenario: {
      ...NET,
      iptables: mangle("-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1000"),
      steps: [
        c("S", { seq: 1, ...mss(1460) }),
        c("S", { seq: 1, sport: 1001 }),
        c("S", { seq: 1, sport: 1002, ...mss(500) }),
      ],
    },
    expect(v) {
      v.is([...v.one(0).tcpOptions!], [2, 4, 1000 >> 8, 1000 & 255]);
      v.is([...v.one(2).tcpOptions!], [2, 4, 500 >> 8, 500 & 255]);
    },
  },
  {
    id: "N27",
    says: "REJECT answers with a reset or an ICMP error",
    scenario: {
      ...NET,
      iptables: filter(
        "-A FORWARD -p tcp -j REJECT --reject-with tcp-reset",
        "-A FORWARD -p udp --dport 54 -j REJECT --reject-with icmp-admin-prohibited",
        "-A FORWARD -j REJECT",
      ),
      steps: [
        c("S", { seq: 10 }),
        c("A", { seq: 10, ack: 77 }),
        c("R", { seq: 10 }),
        cu(),
        cu({ dport: 54 }),
        c("PA", { seq: 10, ack: 77, payload: "abcd" }),
        c("FA", { seq: 10, ack: 77 }),
        c("F", { seq: 10 }),
        cu({ offset: 1480 }),
        packet("lan", icmpEcho({ src: C, dst: S })),
        cu({ badChecksum: true }),
        c("S", { seq: 10, badChecksum: true }),
      ],
    },
    expect(v) {
      const reset = v.one(0);
      v.is([reset.iface, v.ends(reset), reset.flags, reset.seq, reset.ack], [
        "lan",
        `${S}:80 > ${C}:1000`,
        "RA",
        0,
        11,
      ]);
      v.is([v.one(1).flags, v.one(1).seq], ["R", 77]);
      v.silent(2);
      v.is([v.one(3).type, v.one(3).code, v.one(3).tos], [3, 3, 0xc0]);
      v.is([v.one(4).type, v.one(4).code, v.one(4).tos], [3, 13, 0xc0]);
    },
  },
  {
    id: "N27b",
    says: "REJECT over IPv6 answers with a reset or an ICMPv6 error",
    scenario: {
      ...NET6,
      ip6tables: filter(
        "-A FORWARD -p tcp -j REJECT --reject-with tcp-reset",
        "-A FORWARD -p udp --dport 54 -j REJECT --reject-with icmp6-adm-prohibited",
        "-A FORWARD -j REJECT",
      ),
      steps: [
        packet("lan", tcp({ src: C6, sport: 1000, dst: S6, dport: 80, flags: "S", seq: 10 })),
        packet("lan", tcp({ src: C6, sport: 1000, dst: S6, dport: 80, flags: "A", seq: 10, ack: 77 })),
        packet("lan", tcp({ src: C6, sport: 1000, dst: S6, dport: 80, flags: "R", seq: 10 })),
        packet("lan", udp({ src: C6, sport: 1000, dst: S6, dport: 54, payload: "x" })),
        packet("lan", udp({ src: C6, sport: 1000, dst: S6, dport: 55, payload: 1400 })),
      ],
    },
    expect(v) {
      v.is([v.one(0).flags, v.one(0).ack, v.one(1).flags, v.one(1).seq], ["RA", 11, "R", 77]);
      v.silent(2);
      v.is([v.one(3).type, v.one(3).code, v.one(4).code], [1, 1, 4]);
    },
  },
  {
    id: "N28",
    says: "TTL, DSCP and MARK change what they name",
    scenario: {
      ...NET,
      iptables: mangle(
        "-A PREROUTING -p udp --dport 1 -j TTL --ttl-set 9",
        "-A PREROUTING -p udp --dport 2 -j DSCP --set-dscp 46",
        "-A PREROUTING -p udp --dport 3 -j MARK --set-mark 7",
        "-A PREROUTING -p udp --dport 4 -j TTL --ttl-inc 5",
        "-A PREROUTING -p udp --dport 5 -j TTL --ttl-dec 5",
        "-A FORWARD -m mark --mark 7",
      ),
      steps: [1, 2, 3, 4, 5].map((dport) => cu({ dport, tos: dport === 2 ? 3 : 0 })),
    },
    expect(v) {
      v.is([v.one(0).ttl, v.one(3).ttl, v.one(4).ttl], [8, 68, 58]);
      v.is(v.one(1).tos, 0xbb);
      v.is(v.count("mark --mark"), 1);
      for (let n = 0; n < 5; n++) v.is(v.one(n).errors, []);
    },
  },
  {
    id: "N29",
    says: "a zone keeps its flows to itself",
    scenario: {
      ...NET,
      iptables: M + raw("-A PREROUTING -i lan -j CT --zone 1"),
      steps: [cu(), su(), cu()],
    },
    expect(v) {
      v.is(v.one(1).type, 3, "the answer is refused");
      v.is(v.flows().map((f) => f.rest.zone).sort(), ["1", undefined]);
    },
  },
  {
    id: "N30",
    says: "the same five-tuple of three customers makes three flows",
    scenario: {
      interfaces: {
        lan: { addresses: [`${LAN}/24`] },
        lan2: { addresses: ["10.2.0.1/24"] },
        lan3: { addresses: ["10.3.0.1/24"] },
        wan: { addresses: [`${WAN}/24`] },
      },
      routes: NET.routes,
      iptables: M + raw(
        "-A PREROUTING -i lan -j CT --zone-orig 1",
        "-A PREROUTING -i lan2 -j CT --zone-orig 2",
        "-A PREROUTING -i lan3 -j CT --zone-orig 3",
      ),
      steps: ["lan", "lan2", "lan3"].flatMap((iface) => [
        packet(iface, udp({ src: C, sport: 5000, dst: S, dport: 53, payload: iface })),
        answer("wan"),
      ]),
    },
    expect(v) {
      v.is(new Set(ports(v, 0, 2, 4)).size, 3, "ports");
      v.is([1, 3, 5].map((n) => v.ends(v.one(n))), [1, 2, 3].map(() => `${S}:53 > ${C}:5000`));
      v.is(v.flows().length, 3, "flows");
    },
  },
  {
    id: "N31",
    says: "IPv6 is translated as IPv4 is",
    scenario: {
      ...NET6,
      ip6tables: COUNT + nat(
        `-A PREROUTING -i wan -p tcp --dport 8000 -j DNAT --to-destination [${C6}]:6000`,
        "-A POSTROUTING -o wan -j MASQUERADE",
      ),
      steps: [
        packet("lan", udp({ src: C6, sport: 1000, dst: S6, dport: 53, payload: "query" })),
        answer("wan"),
        packet("lan", tcp({ src: C6, sport: 1000, dst: S6, dport: 80, flags: "S", seq: 1 })),
        answer("wan"),
        packet("lan", icmpEcho({ src: C6, dst: S6, echoId: 9 })),
        answer("wan"),
        packet("lan", udp({ src: C6, sport: 1001, dst: S6, dport: 53, payload: "query", ttl: 1 })),
        packet("wan", tcp({ src: S6, sport: 4000, dst: WAN6, dport: 8000, flags: "S", seq: 1 })),
        answer("lan"),
        packet("wan", udp({ src: S6, sport: 4000, dst: WAN6, dport: 8000, payload: "x" })),
      ],
    },
    expect(v) {
      v.is([0, 2, 4].map((n) => v.one(n).src), [WAN6, WAN6, WAN6]);
      v.is([1, 3, 5].map((n) => v.one(n).dst), [C6, C6, C6]);
      v.is([v.one(6).src, v.one(6).type, v.one(6).code], [LAN6, 3, 0]);
      v.is(v.ends(v.one(7)), `${S6}:4000 > ${C6}:6000`);
      v.is(v.ends(v.one(8)), `${WAN6}:8000 > ${S6}:4000`);
      for (let n = 0; n < 9; n++) v.is(v.one(n).errors, []);
    },
  },
  {
    id: "N33",
    says: "MASQUERADE with ports, and with --random, stays in its range",
    scenario: {
      ...NET,
      iptables: COUNT + nat(
        "-A POSTROUTING -o wan -p udp -j MASQUERADE --to-ports 40000-40099 --random",
        "-A POSTROUTING -o wan -p tcp -j MASQUERADE --to-ports 50000-50001",
      ),
      steps: [cu(), answer("wan"), c("S", { seq: 1 }), answer("wan"), c("S", { src: C2, seq: 1 })],
    },
    expect(v) {
      const [a, b, d] = ports(v, 0, 2, 4);
      v.ok(a >= 40000 && a <= 40099, `port ${a}`);
      v.is([b, d].sort(), [50000, 50001]);
    },
  },
  {
    id: "N35",
    says: "REDIRECT goes to an address of the interface that the packet came in by, whatever it was sent to",
    scenario: {
      interfaces: {
        lan: { addresses: [`${LAN}/24`, "192.0.2.100/24", `${LAN6}/64`, "2001:db8:1::100/64", "fe80::1/64"] },
        wan: NET6.interfaces.wan,
      },
      routes: NET6.routes,
      iptables: nat("-A PREROUTING -i lan -p udp -j REDIRECT --to-ports 5353"),
      ip6tables: nat("-A PREROUTING -i lan -p udp -j REDIRECT --to-ports 5353"),
      steps: [
        ...[S, WAN, "192.0.2.100"].map((dst, i) => cu({ dst, sport: 1000 + i })),
        ...[S6, WAN6, "2001:db8:1::100", "fe80::1"].map((dst, i) =>
          packet(
            "lan",
            udp({
              src: dst === "fe80::1" ? "fe80::2" : C6,
              sport: 1000 + i,
              dst,
              dport: 53,
              payload: "query",
            }),
          )
        ),
      ],
    },
    expect(v) {
      v.is(v.flows().filter((f) => f.original.src === C).map((f) => f.reply.src), [LAN, LAN, LAN]);
      v.is(v.flows().some((f) => f.reply.src === WAN6), false, "the address of wan");
    },
  },
  {
    id: "N34",
    says: "an established connection is translated in both directions to its end",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        ...handshake(),
        c("PA", { seq: ISN_C + 1, ack: 5001, payload: "x" }),
        s("FA", { seq: 5001, ack: ISN_C + 2 }),
        c("FA", { seq: ISN_C + 2, ack: 5002 }),
        s("A", { seq: 5002, ack: ISN_C + 3 }),
        dump("closed"),
        { do: "delete", arguments: ["-p", "tcp"] },
        s("A", { seq: 5002, ack: ISN_C + 3 }),
      ],
    },
    expect(v) {
      v.is(v.flow("closed").state, "TIME_WAIT");
      v.is(v.one(7).flags, "R");
    },
  },
];
