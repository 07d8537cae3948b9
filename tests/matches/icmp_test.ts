import { icmp, icmpEcho, udp } from "../kit/mod.ts";
import { type Spec, specify } from "../tables/spec.ts";

const A = { src: "10.0.0.2", dst: "203.0.113.9" }, A6 = { src: "2001:db8:1::2", dst: "2001:db8:2::9" };
const m = (type: number, code = 0, more: object = {}) => icmp({ ...A, type, code, ...more });
const m6 = (type: number, code = 0, more: object = {}) => icmp({ ...A6, type, code, ...more });

const specs: Spec[] = [
  {
    rule: { protocol: "icmp", icmpType: "echo-request", jump: "ACCEPT" },
    save: "-p icmp -m icmp --icmp-type 8 -j ACCEPT",
    fits: [icmpEcho(A), m(8, 1)],
    not: [m(0), m(3, 3), udp({ ...A, sport: 1, dport: 2 }), icmpEcho(A6), m(8, 0, { offset: 1480 })],
    hotdrop: [m(8, 0, { cut: 7 })],
  },
  {
    rule: { protocol: "icmp", icmpType: "3/4" },
    save: "-p icmp -m icmp --icmp-type 3/4",
    fits: [m(3, 4)],
    not: [m(3, 3)],
  },
  {
    rule: { protocol: "icmp", icmpType: "fragmentation-needed" },
    save: "-p icmp -m icmp --icmp-type 3/4",
    fits: [m(3, 4)],
  },
  {
    rule: { protocol: "icmp", icmpType: 3 },
    save: "-p icmp -m icmp --icmp-type 3",
    fits: [m(3, 0), m(3, 13)],
  },
  {
    rule: { protocol: "icmp", icmpType: "any" },
    save: "-p icmp -m icmp --icmp-type any",
    fits: [m(0), m(42)],
  },
  {
    rule: { protocol: "icmp", icmpType: "! ping" },
    save: "-p icmp -m icmp ! --icmp-type 8",
    fits: [m(0)],
    not: [m(8)],
  },
  { rule: { protocol: "icmp", icmpType: "source-q" }, save: "-p icmp -m icmp --icmp-type 4", fits: [m(4)] },
  { rule: { protocol: "icmp", icmpType: "echo-re" }, refused: [".icmpType", "ambiguous"] },
  { rule: { protocol: "icmp", icmpType: 256 }, refused: [".icmpType", "ICMP type"] },
  { rule: { protocol: "icmp", icmpType: "3/4/5" }, refused: [".icmpType", "ICMP type"] },
  { rule: { icmpType: 8 }, refused: [".icmpType", 'needs protocol: "icmp"'] },
  {
    rule: { protocol: "icmpv6", icmpType: 8 },
    refused: [".icmpType", "speaks of IPv4, but protocol of IPv6"],
  },
  {
    rule: { protocol: "icmpv6", icmpv6Type: "echo-request", jump: "ACCEPT" },
    save6: "-p ipv6-icmp -m icmp6 --icmpv6-type 128 -j ACCEPT",
    fits: [icmpEcho(A6)],
    not: [m6(129), icmpEcho(A)],
    hotdrop: [m6(128, 0, { cut: 7 })],
  },
  {
    rule: { protocol: "icmpv6", icmpv6Type: "no-route" },
    save6: "-p ipv6-icmp -m icmp6 --icmpv6-type 1/0",
    fits: [m6(1, 0)],
    not: [m6(1, 3)],
  },
  {
    rule: { protocol: "icmpv6", icmpv6Type: { not: "1/4" } },
    save6: "-p ipv6-icmp -m icmp6 ! --icmpv6-type 1/4",
    fits: [m6(1, 3)],
    not: [m6(1, 4)],
  },
  {
    rule: { protocol: 58, icmpv6Type: 255 },
    save6: "-p ipv6-icmp -m icmp6 --icmpv6-type 255",
    fits: [m6(255)],
    not: [m6(1)],
  },
];

specify("icmp", specs);
