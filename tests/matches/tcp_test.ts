import { tcp, udp } from "../kit/mod.ts";
import { type Spec, specify } from "../tables/spec.ts";

const A = { src: "10.0.0.2", dst: "203.0.113.9" }, A6 = { src: "2001:db8:1::2", dst: "2001:db8:2::9" };
const seg = (sport: number, dport: number, flags = "S", more: object = {}) =>
  tcp({ ...A, sport, dport, flags, ...more });
const TIMESTAMP = { timestamp: [1, 0] } as const;

const specs: Spec[] = [
  {
    rule: { protocol: "tcp", dport: 22, jump: "ACCEPT" },
    save: "-p tcp -m tcp --dport 22 -j ACCEPT",
    save6: "-p tcp -m tcp --dport 22 -j ACCEPT",
    fits: [seg(1, 22), tcp({ ...A6, sport: 1, dport: 22, flags: "" })],
    not: [seg(22, 1), seg(1, 23), udp({ ...A, sport: 1, dport: 22 })],
  },
  {
    rule: { protocol: "tcp", sport: "1:1023" },
    save: "-p tcp -m tcp --sport 1:1023",
    fits: [seg(1, 9), seg(1023, 9)],
    not: [seg(0, 9), seg(1024, 9)],
  },
  {
    rule: { protocol: "tcp", sport: "1024:" },
    save: "-p tcp -m tcp --sport 1024:65535",
    fits: [seg(65535, 1)],
    not: [seg(1023, 1)],
  },
  {
    rule: { protocol: "tcp", dport: ":4" },
    save: "-p tcp -m tcp --dport 0:4",
    fits: [seg(1, 0), seg(1, 4)],
    not: [seg(1, 5)],
  },
  { rule: { protocol: "tcp", dport: ":" }, save: "-p tcp -m tcp", fits: [seg(1, 1)] },
  { rule: { protocol: "tcp", dport: "! :" }, save: "-p tcp -m tcp ! --dport 0:65535", not: [seg(1, 1)] },
  { rule: { protocol: "tcp", dport: "4:4" }, save: "-p tcp -m tcp --dport 4" },
  { rule: { protocol: "tcp", dport: "http" }, save: "-p tcp -m tcp --dport 80", fits: [seg(1, 80)] },
  {
    rule: { protocol: 6, dport: "! 22" },
    save: "-p tcp -m tcp ! --dport 22",
    fits: [seg(1, 23)],
    not: [seg(1, 22)],
  },
  {
    rule: { protocol: "tcp", sport: { not: 7 }, dport: { not: "8:9" } },
    save: "-p tcp -m tcp ! --sport 7 ! --dport 8:9",
    fits: [seg(1, 1)],
    not: [seg(7, 1), seg(1, 9)],
  },
  {
    rule: { protocol: "tcp", syn: true },
    save: "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN",
    fits: [seg(1, 1, "S"), seg(1, 1, "SUEC"), seg(1, 1, "SP")],
    not: [seg(1, 1, "SA"), seg(1, 1, "SF"), seg(1, 1, "SR"), seg(1, 1, "A"), seg(1, 1, "")],
  },
  {
    rule: { protocol: "tcp", syn: false },
    save: "-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN",
    fits: [seg(1, 1, "SA")],
    not: [seg(1, 1, "S")],
  },
  { rule: { protocol: "tcp", syn: { not: true } }, save: "-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN" },
  {
    rule: { protocol: "tcp", tcpFlags: "SYN,ACK SYN" },
    save: "-p tcp -m tcp --tcp-flags SYN,ACK SYN",
    fits: [seg(1, 1, "S"), seg(1, 1, "SF")],
    not: [seg(1, 1, "SA")],
  },
  {
    rule: { protocol: "tcp", tcpFlags: { mask: ["ALL"], set: "NONE" } },
    save: "-p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG NONE",
    fits: [seg(1, 1, "")],
    not: [seg(1, 1, "A")],
  },
  {
    rule: { protocol: "tcp", tcpFlags: "! ALL rst" },
    save: "-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,PSH,ACK,URG RST",
    fits: [seg(1, 1, "RA")],
    not: [seg(1, 1, "R")],
  },
  {
    rule: { protocol: "tcp", tcpOption: 8 },
    save: "-p tcp -m tcp --tcp-option 8",
    fits: [
      seg(1, 1, "S", { options: [TIMESTAMP] }),
      seg(1, 1, "S", { options: [{ mss: 9 }, { nop: true }, TIMESTAMP] }),
    ],
    not: [seg(1, 1, "S"), seg(1, 1, "S", { options: [{ mss: 1460 }] })],
    // The header says it has options that are not there.
    hotdrop: [seg(1, 1, "S", { dataOffset: 8 }), seg(1, 1, "S", { dataOffset: 4 })],
  },
  {
    rule: { protocol: "tcp", tcpOption: { not: 2 } },
    save: "-p tcp -m tcp ! --tcp-option 2",
    fits: [seg(1, 1), seg(1, 1, "S", { options: [TIMESTAMP] })],
    not: [seg(1, 1, "S", { options: [{ mss: 1 }] })],
  },
  {
    rule: { protocol: "tcp", dport: 80 },
    // Later fragments have no ports; one at offset 8 could hide the flags of the first (RFC 1858); a header must be whole.
    not: [seg(1, 80, "S", { offset: 1480 }), seg(1, 80, "S", { offset: 16 })],
    hotdrop: [seg(1, 80, "S", { offset: 8 }), seg(1, 80, "S", { cut: 19 }), seg(1, 80, "S", { cut: 2 })],
  },
  { rule: { dport: 80 }, refused: [".dport", 'needs protocol: "tcp", "udp"'] },
  { rule: { protocol: "! tcp", dport: 80 }, refused: [".dport", "not negated"] },
  { rule: { protocol: "icmp", dport: 80 }, refused: [".dport", "needs protocol"] },
  { rule: { protocol: "tcp", dport: 65536 }, refused: [".dport", "65536 is not a port"] },
  { rule: { protocol: "tcp", dport: -1 }, refused: [".dport", "-1 is not a port"] },
  { rule: { protocol: "tcp", dport: "9:8" }, refused: [".dport", "ends before it begins"] },
  { rule: { protocol: "tcp", dport: "nonesuch" }, refused: [".dport", "service name"] },
  { rule: { protocol: "udp", syn: true }, refused: [".syn", 'needs protocol: "tcp"'] },
  { rule: { protocol: "tcp", tcpFlags: "SYN" }, refused: [".tcpFlags", "flags that must be set"] },
  { rule: { protocol: "tcp", tcpFlags: "SYN,ECE SYN" }, refused: [".tcpFlags", "is not a TCP flag"] },
  { rule: { protocol: "tcp", tcpFlags: "SYN SYN", syn: true }, refused: [".tcpFlags", "exclude each other"] },
  { rule: { protocol: "tcp", tcpOption: 0 }, refused: [".tcpOption", "from 1 to 255"] },
];

specify("tcp", specs);
