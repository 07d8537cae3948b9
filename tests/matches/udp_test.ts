import { sctp, udp } from "../kit/mod.ts";
import { type Spec, specify } from "../tables/spec.ts";

const A = { src: "10.0.0.2", dst: "203.0.113.9" }, A6 = { src: "2001:db8:1::2", dst: "2001:db8:2::9" };
const d = (sport: number, dport: number, more: object = {}) =>
  udp({ ...A, sport, dport, payload: 4, ...more });

const specs: Spec[] = [
  {
    rule: { protocol: "udp", dport: 53, jump: "ACCEPT" },
    save: "-p udp -m udp --dport 53 -j ACCEPT",
    save6: "-p udp -m udp --dport 53 -j ACCEPT",
    fits: [d(1, 53), udp({ ...A6, sport: 1, dport: 53 })],
    not: [d(53, 1), d(1, 53, { offset: 8 }), d(1, 53, { offset: 1480 })],
    hotdrop: [d(1, 53, { cut: 7 })],
  },
  {
    rule: { protocol: "udp", sport: "! 1024:65535" },
    save: "-p udp -m udp ! --sport 1024:65535",
    fits: [d(1023, 1)],
    not: [d(1024, 1)],
  },
  {
    rule: { protocol: "udp", sport: "domain", dport: "1024:" },
    save: "-p udp -m udp --sport 53 --dport 1024:65535",
    fits: [d(53, 2000)],
    not: [d(53, 53)],
  },
  { rule: { protocol: "udp", dport: "5:4" }, refused: [".dport", "swap its ends"] },
  { rule: { protocol: "udp", dport: "1:2:3" }, refused: [".dport", "is not a port"] },
];

specify("udp", specs);
specify("sctp", [
  {
    rule: { protocol: "sctp", dport: 5060 },
    save: "-p sctp -m sctp --dport 5060",
    fits: [sctp({ ...A, sport: 1, dport: 5060, vtag: 0, chunks: [] })],
    not: [sctp({ ...A, sport: 1, dport: 5061, vtag: 0, chunks: [] }), d(1, 5060)],
  },
  { rule: { protocol: "sctp", sport: "! 1:9" }, save: "-p sctp -m sctp ! --sport 1:9" },
]);
