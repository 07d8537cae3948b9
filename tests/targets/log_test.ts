/** LOG writes what the kernel writes: the recorded lines are Linux 6.18's own, made by its LOG target on TUN devices. */
import { assertEquals } from "@std/assert";
import { FORWARD, INPUT, OUTPUT } from "../../src/netfilter.ts";
import { concat, gre, icmp, icmpEcho, icmpError, ip, tcp, udp, udplite } from "../kit/mod.ts";
import { LAN, Rig, WAN } from "../tables/rig.ts";
import { specify } from "../tables/spec.ts";

specify("LOG", [
  { rule: { jump: "LOG" }, save: "-j LOG" },
  {
    rule: { jump: "LOG", logPrefix: "odd: ", logLevel: "alert" },
    save: '-j LOG --log-prefix "odd: " --log-level 1',
  },
  { rule: { jump: "LOG", logPrefix: "x", logLevel: 4 }, save: "-j LOG --log-prefix x" },
  {
    rule: {
      jump: "LOG",
      logTcpSequence: true,
      logTcpOptions: true,
      logIpOptions: true,
      logUid: true,
      logMacdecode: true,
    },
    save: "-j LOG --log-tcp-sequence --log-tcp-options --log-ip-options --log-uid --log-macdecode",
  },
  { rule: { jump: "LOG", logTcpSequence: false as unknown as true }, save: "-j LOG" },
  { rule: { jump: "LOG", logLevel: "bad" }, refused: [".logLevel", "syslog level"] },
  { rule: { jump: "LOG", logLevel: 8 }, refused: [".logLevel", "from 0 to 7"] },
  { rule: { jump: "LOG", logPrefix: "" }, refused: [".logPrefix", "1 to 29 bytes"] },
  { rule: { jump: "LOG", logPrefix: "x".repeat(30) }, refused: [".logPrefix", "30 bytes long"] },
  { rule: { jump: "ACCEPT", logPrefix: "x" }, refused: [".logPrefix", "is an option of LOG, not of ACCEPT"] },
]);

const A = { src: "10.0.0.2", dst: "203.0.113.9", id: 4660, ttl: 63 },
  A6 = { src: "2001:db8:1::2", dst: "2001:db8:2::9", ttl: 63 };
const Q = { ...A, ttl: 64 }, Q6 = { ...A6, ttl: 64 };
const segment = (o: object = {}) => tcp({ ...A, sport: 1025, dport: 80, flags: "S", seq: 100, ...o });
const quoted = udp({ ...Q, sport: 1, dport: 2, payload: 4 });
const segment6 = (o: object) =>
  tcp({ ...A6, sport: 1025, dport: 80, flags: "SA", seq: 1, ack: 2, options: [{ mss: 1440 }], ...o });
const quoted6 = segment6(Q6);

/** In the order of the recorded lines. */
const PACKETS: readonly Uint8Array[] = [
  segment({ options: [{ mss: 1460 }] }),
  segment({ flags: "FPAUEC", urgent: 7, win: 512, df: false, tos: 0x1b }),
  segment({ ipOptions: [7, 7, 8, 10, 0, 0, 1, 0] }),
  udp({ ...A, sport: 1, dport: 2, payload: 4 }),
  udp({ ...A, sport: 1, dport: 2, payload: 16, mf: true, df: false }),
  udp({ ...A, sport: 1, dport: 2, payload: 16, offset: 1480, df: false }),
  segment({ cut: 12 }),
  udp({ ...A, sport: 1, dport: 2, cut: 5 }),
  udplite({ ...A, sport: 1, dport: 2, payload: 4 }),
  icmpEcho({ ...A, echoId: 7, echoSeq: 8 }),
  icmp({ ...A, type: 8, cut: 6 }),
  icmpError({ ...A, type: 3, code: 4, rest: 1400, quoted }),
  icmpError({ ...A, type: 5, code: 1, rest: 0x0a000001, quoted }),
  icmpError({ ...A, type: 12, rest: 0x09000000, quoted }),
  icmp({ ...A, type: 3, code: 3, payload: 4 }),
  icmp({ ...A, type: 13, payload: 12 }),
  icmpError({ ...A, type: 11, quoted: icmpError({ ...Q, type: 3, code: 3, quoted }) }),
  gre(A),
  ip({ ...A, protocol: 50, payload: [0, 0, 16, 1, 0, 0, 0, 1] }),
  ip({ ...A, protocol: 51, payload: [6, 4, 0, 0, 0, 0, 16, 2, 0, 0, 0, 1] }),
  ip({ ...A, protocol: 50, payload: [0, 0] }),
  segment6({}),
  udp({ ...A6, sport: 1, dport: 2, payload: 4, tos: 0xb8, flowLabel: 0x12345 }),
  icmpEcho({ ...A6, echoId: 7, echoSeq: 8 }),
  icmpError({ ...A6, type: 2, rest: 1280, quoted: quoted6 }),
  icmpError({ ...A6, type: 4, code: 1, rest: 40, quoted: quoted6 }),
  icmpError({ ...A6, type: 1, code: 4, quoted: icmpError({ ...Q6, type: 3, quoted: quoted6 }) }),
  udp({ ...A6, sport: 1, dport: 2, extensions: [{ header: "hop", body: [1, 4, 0, 0, 0, 0] }] }),
  udp({ ...A6, sport: 1, dport: 2, payload: 16, extensions: [{ header: "fragment", mf: true, id: 77 }] }),
  udp({ ...A6, sport: 1, dport: 2, payload: 16, extensions: [{ header: "fragment", offset: 1448, id: 77 }] }),
  tcp({
    ...A6,
    sport: 1,
    dport: 2,
    flags: "S",
    extensions: [{ header: "destination", body: [1, 4, 0, 0, 0, 0] }],
  }),
  gre(A6),
  tcp({ ...A6, sport: 1, dport: 2, flags: "S", cut: 7 }),
  ip({ ...A6, protocol: 59 }),
];

Deno.test("LOG writes every sort of packet as the kernel does, byte for byte", async () => {
  const lines = (await Deno.readTextFile(new URL("recorded/log_lines.txt", import.meta.url))).split("\n")
    .slice(0, -1);
  const rule = {
    jump: "LOG",
    logPrefix: "wl: ",
    logTcpSequence: true,
    logTcpOptions: true,
    logIpOptions: true,
  } as const;
  const rig = new Rig({ mangle: { FORWARD: [{ jump: "MARK", setMark: 0x2a }, rule] } });
  assertEquals(PACKETS.length, lines.length);
  PACKETS.forEach((bytes, i) => {
    rig.lines.length = 0;
    rig.run("mangle", bytes, { hook: FORWARD, in: LAN, out: WAN });
    assertEquals(rig.lines, [lines[i]]);
  });
});

Deno.test("LOG names the interfaces that there are", () => {
  const rig = new Rig({ filter: { INPUT: [{ jump: "LOG" }], OUTPUT: [{ jump: "LOG" }] } });
  const packet = udp({ ...A, sport: 1, dport: 2 });
  rig.run("filter", packet, { hook: INPUT, in: WAN, out: 0 });
  rig.run("filter", packet, { hook: OUTPUT, in: 0, out: LAN });
  assertEquals(rig.lines.map((line) => line.slice(0, 22)), [
    "IN=wan OUT= MAC= SRC=1",
    "IN= OUT=lan SRC=10.0.0",
  ]);
});

Deno.test("LOG goes on with the next rule", () => {
  const rig = new Rig({ filter: { FORWARD: [{ jump: "LOG" }, { jump: "DROP" }] } });
  assertEquals(rig.says("filter", concat(PACKETS[3])), "rule-drop");
});
