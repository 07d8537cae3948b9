import { sctp, tcp, udp, udplite } from "../kit/mod.ts";
import { type Spec, specify } from "../tables/spec.ts";

const A = { src: "10.0.0.2", dst: "203.0.113.9" };
const t = (sport: number, dport: number, more: object = {}) =>
  tcp({ ...A, sport, dport, flags: "S", ...more });
const u = (sport: number, dport: number, more: object = {}) =>
  udp({ ...A, sport, dport, payload: 4, ...more });

const specs: Spec[] = [
  {
    rule: { protocol: "tcp", dport: [22, "8000:8010"] },
    save: "-p tcp -m multiport --dports 22,8000:8010",
    fits: [t(1, 22), t(1, 8000), t(1, 8010)],
    not: [t(22, 1), t(1, 7999), t(1, 8011), t(1, 22, { offset: 1480 })],
    hotdrop: [t(1, 22, { cut: 3 })],
  },
  {
    rule: { protocol: "udp", sport: [53, 123] },
    save: "-p udp -m multiport --sports 53,123",
    fits: [u(123, 1)],
    not: [u(1, 53)],
  },
  {
    rule: { protocol: "udp", dport: "53,123" },
    save: "-p udp -m multiport --dports 53,123",
    fits: [u(1, 53)],
  },
  {
    rule: { protocol: "udp", ports: [53, "100:200"] },
    save: "-p udp -m multiport --ports 53,100:200",
    fits: [u(150, 1), u(1, 53)],
    not: [u(54, 201)],
  },
  {
    rule: { protocol: "tcp", dport: { not: [22, 80] } },
    save: "-p tcp -m multiport ! --dports 22,80",
    fits: [t(1, 23)],
    not: [t(1, 22), t(1, 80)],
  },
  { rule: { protocol: "tcp", dports: "! ssh,http" }, save: "-p tcp -m multiport ! --dports 22,80" },
  {
    rule: { protocol: "tcp", sport: [1, 2], dport: [3, 4] },
    save: "-p tcp -m multiport --sports 1,2 -m multiport --dports 3,4",
    fits: [t(1, 3)],
    not: [t(1, 1), t(3, 3)],
  },
  {
    rule: { protocol: "sctp", dport: [5060] },
    save: "-p sctp -m multiport --dports 5060",
    fits: [sctp({ ...A, sport: 1, dport: 5060, vtag: 0, chunks: [] })],
  },
  {
    rule: { protocol: "udplite", sport: 9 },
    save: "-p udplite -m multiport --sports 9",
    fits: [udplite({ ...A, sport: 9, dport: 1 })],
  },
  {
    rule: { protocol: "tcp", dport: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15] },
    save: "-p tcp -m multiport --dports 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
  },
  {
    rule: { protocol: "tcp", dport: ["1:2", "3:4", "5:6", "7:8", "9:10", "11:12", "13:14", "15:16"] },
    refused: [".dport", "16 numbers, 15 fit"],
  },
  { rule: { protocol: "tcp", dport: ["5:5"] }, refused: [".dport", "end must be above"] },
  { rule: { protocol: "tcp", dport: [] }, refused: [".dport", "ports and ranges"] },
  {
    rule: { protocol: "tcp", ports: [1], sports: [2] },
    save: "-p tcp -m multiport --ports 1 -m multiport --sports 2",
  },
  { rule: { dport: [1, 2] }, refused: [".dport", "needs protocol"] },
  { rule: { protocol: 47, ports: [1] }, refused: [".ports", "needs protocol"] },
];

specify("multiport", specs);
