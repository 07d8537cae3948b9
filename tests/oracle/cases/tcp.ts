/** Group T: what connection tracking makes of TCP. */
import { tcp } from "../../kit/packets.ts";
import { dump, packet, type Step, wait } from "../scenario.ts";
import type { View } from "../view.ts";
import {
  C,
  type Case,
  COUNT,
  DROP_INVALID,
  filter,
  handshake,
  ISN_C,
  ISN_S,
  M,
  nat,
  NET,
  S,
  WAN,
} from "./case.ts";
import { c, s } from "./case.ts";

/** Client's and server's next sequence numbers after `handshake`. */
const NC = ISN_C + 1, NS = ISN_S + 1;

/** "STATE timer-class" of the only flow, or "none". */
function state(v: View, name?: string): string {
  const flows = v.flows(name);
  if (flows.length === 0) return "none";
  v.is(flows.length, 1, "flows");
  const f = flows[0];
  return [f.state, f.unreplied ? "UNREPLIED" : "", f.assured ? "ASSURED" : ""].filter((x) => x).join(" ");
}

/** The state of the flow at each dump must be as listed. */
function course(v: View, expected: Record<string, string | [string, number]>): void {
  for (const [name, e] of Object.entries(expected)) {
    const [text, timer] = typeof e === "string" ? [e, undefined] : e;
    v.is(state(v, name), text, name);
    if (timer !== undefined) v.timer(v.flow(name), timer);
  }
}

/** A first packet that nobody should take for the start of a connection: it goes out as it came in. */
function notTracked(v: View, packets: number): void {
  for (let n = 0; n < packets; n++) v.is(v.one(n).src, C, `packet ${n}, source`);
  v.is(v.states(), `INVALID ${packets}`);
  v.is(v.flows().length, 0, "flows");
}

/** INVALID packets that `DROP_INVALID` stopped. */
function refused(v: View): number {
  return v.count("INPUT -m conntrack --ctstate INVALID") +
    v.count("FORWARD -m conntrack --ctstate INVALID -j DROP");
}

const loose = (value: number) => ({ "net.netfilter.nf_conntrack_tcp_loose": value });
const wscale = (n: number) => ({ options: [{ mss: 1460 }, { wscale: n }] });
const close: Step[] = [
  c("FA", { seq: NC, ack: NS }),
  dump("fin"),
  s("A", { seq: NS, ack: NC + 1 }),
  dump("ack"),
  s("FA", { seq: NS, ack: NC + 1 }),
  dump("fin back"),
  c("A", { seq: NC + 1, ack: NS + 1 }),
  dump("last ack"),
];

export const TCP_CASES: Case[] = [
  {
    id: "T01",
    says: "a connection is NEW, then ESTABLISHED, and its entry goes SYN_SENT, SYN_RECV, ESTABLISHED",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        ...handshake().flatMap((step, i) => [step, dump(["syn", "synack", "ack"][i])]),
        c("PA", { seq: NC, ack: NS, payload: "GET / HTTP/1.0\r\n\r\n" }),
        s("PA", { seq: NS, ack: NC + 18, payload: "HTTP/1.0 200 OK\r\n" }),
        c("A", { seq: NC + 18, ack: NS + 17 }),
      ],
    },
    expect(v) {
      v.is(v.states(), "NEW 1, ESTABLISHED 5");
      course(v, {
        syn: ["SYN_SENT UNREPLIED", 120],
        synack: ["SYN_RECV", 60],
        ack: ["ESTABLISHED ASSURED", 432000],
        end: ["ESTABLISHED ASSURED", 432000],
      });
      v.is(v.ends(v.one(0)), `${WAN}:1000 > ${S}:80`);
      v.is(v.ends(v.one(4)), `${S}:80 > ${C}:1000`);
    },
  },
  {
    id: "T02",
    says: "with tcp_loose a flow is picked up by a bare ACK, with 300 seconds to prove itself",
    scenario: { ...NET, iptables: M, sysctl: loose(1), steps: [c("A", { seq: 10, ack: 20 })] },
    expect(v) {
      v.is(v.states(), "NEW 1");
      v.is(v.one(0).src, WAN);
      course(v, { end: ["ESTABLISHED UNREPLIED", 300] });
    },
  },
  {
    id: "T03",
    says: "without tcp_loose a bare ACK is INVALID",
    scenario: { ...NET, iptables: M, sysctl: loose(0), steps: [c("A", { seq: 10, ack: 20 })] },
    expect: (v) => notTracked(v, 1),
  },
  {
    id: "T04",
    says: "SYN/ACK, FIN, FIN/ACK or RST start no flow",
    scenario: {
      ...NET,
      iptables: M,
      steps: ["SA", "F", "FA", "R"].map((flags, i) => c(flags, { sport: 1000 + i, seq: 1, ack: 1 })),
    },
    expect: (v) => notTracked(v, 4),
  },
  {
    id: "T05",
    says: "combinations of flags that no stack sends are INVALID",
    scenario: {
      ...NET,
      iptables: M,
      steps: ["", "FS", "SR", "FPU"].map((flags, i) => c(flags, { sport: 1000 + i, seq: 1, ack: 1 })),
    },
    expect: (v) => notTracked(v, 4),
  },
  {
    id: "T05b",
    says: "PSH, URG, ECE and CWR beside SYN do not matter",
    scenario: {
      ...NET,
      iptables: M,
      steps: ["SP", "SU", "SEC"].map((flags, i) => c(flags, { sport: 1000 + i, seq: 1 })),
    },
    expect(v) {
      v.is(v.states(), "NEW 3");
      for (const n of [0, 1, 2]) v.is(v.one(n).src, WAN);
    },
  },
  {
    id: "T06",
    says: "a SYN with a wrong checksum is INVALID and leaves with the private source",
    scenario: { ...NET, iptables: M, steps: [c("S", { seq: 1, badChecksum: true })] },
    expect: (v) => notTracked(v, 1),
  },
  {
    id: "T06b",
    says: "with nf_conntrack_checksum=0 a wrong checksum is not looked at, and stays wrong",
    scenario: {
      ...NET,
      iptables: M,
      sysctl: { "net.netfilter.nf_conntrack_checksum": 0 },
      steps: [c("S", { seq: 1, badChecksum: true })],
    },
    expect(v) {
      v.is(v.states(), "NEW 1");
      v.is(v.one(0).src, WAN);
      v.is(v.one(0).errors, ["TCP checksum"]);
    },
  },
  {
    id: "T07",
    says: "a data offset below five or a cut header is INVALID",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        c("S", { seq: 1, dataOffset: 4 }),
        c("S", { seq: 1, cut: 12 }),
        c("S", { seq: 1, dataOffset: 15 }),
      ],
    },
    expect: (v) => notTracked(v, 3),
  },
  {
    id: "T08",
    says: "simultaneous open goes through SYN_SENT2",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        c("S", { seq: ISN_C }),
        dump("syn"),
        s("S", { seq: ISN_S }),
        dump("syn back"),
        c("SA", { seq: ISN_C, ack: NS }),
        dump("synack"),
        s("SA", { seq: ISN_S, ack: NC }),
        c("A", { seq: NC, ack: NS }),
      ],
    },
    expect(v) {
      for (let n = 0; n < 5; n++) v.one(n);
      course(v, {
        syn: "SYN_SENT UNREPLIED",
        "syn back": "SYN_SENT2",
        synack: "SYN_RECV",
        end: "ESTABLISHED ASSURED",
      });
    },
  },
  ...([["S", "ESTABLISHED ASSURED"], ["SA", "SYN_RECV"]] as const).map(([back, end], i): Case => ({
    id: `T08${"bc"[i]}`,
    says: i === 0
      ? "an ACK of the answerer's is enough after a simultaneous open"
      : "an ACK of the answerer's opens nothing in a handshake of three segments",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        c("S", { seq: ISN_C }),
        s(back, { seq: ISN_S, ack: NC }),
        ...back === "S" ? [c("SA", { seq: ISN_C, ack: NS })] : [],
        dump("synack"),
        s("A", { seq: NS, ack: NC }),
      ],
    },
    expect: (v) => course(v, { synack: "SYN_RECV", end }),
  })),
  {
    id: "T09",
    says: "an old SYN/ACK is INVALID and does not disturb the right one",
    scenario: {
      ...NET,
      iptables: M + DROP_INVALID,
      steps: [
        c("S", { seq: ISN_C }),
        s("SA", { seq: 77, ack: NC + 100000 }),
        dump("old"),
        s("SA", { seq: ISN_S, ack: NC }),
        c("A", { seq: NC, ack: NS }),
      ],
    },
    expect(v) {
      v.silent(1);
      v.is(refused(v), 1);
      course(v, { old: "SYN_SENT UNREPLIED", end: "ESTABLISHED ASSURED" });
    },
  },
  {
    id: "T11",
    says: "a refusal passes and takes the entry with it, so the next SYN is NEW",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        c("S", { seq: ISN_C }),
        s("RA", { seq: 0, ack: NC }),
        dump("refused"),
        c("S", { seq: ISN_C + 500 }),
      ],
    },
    expect(v) {
      v.is(v.ends(v.one(1)), `${S}:80 > ${C}:1000`);
      course(v, { refused: "none", end: "SYN_SENT UNREPLIED" });
      v.is(v.count("--ctstate NEW"), 2);
    },
  },
  {
    id: "T12",
    says: "a challenge ACK to the SYN of a new incarnation passes, and the RST and second SYN after it",
    scenario: {
      ...NET,
      iptables: M + DROP_INVALID,
      steps: [
        c("S", { seq: ISN_C, ...wscale(7) }),
        s("A", { seq: 900000, ack: 5 }),
        dump("challenge"),
        c("R", { seq: 5 }),
        dump("reset"),
        c("S", { seq: ISN_C, ...wscale(7) }),
        s("SA", { seq: ISN_S, ack: NC, ...wscale(7) }),
        c("A", { seq: NC, ack: NS }),
      ],
    },
    expect(v) {
      v.is(refused(v), 0);
      for (let n = 0; n < 6; n++) v.one(n);
      v.is(state(v), "ESTABLISHED ASSURED");
    },
  },
  {
    id: "T13",
    says: "a new SYN inside an established flow is ignored, its challenge ACK passes, RST clears the way",
    scenario: {
      ...NET,
      iptables: M + DROP_INVALID,
      steps: [
        ...handshake(wscale(7), wscale(7)),
        c("S", { seq: 500000, ...wscale(7) }),
        dump("syn"),
        s("A", { seq: NS, ack: NC }),
        c("R", { seq: NC }),
        dump("reset"),
        c("S", { seq: 500000, ...wscale(7) }),
        dump("syn again"),
        s("SA", { seq: 800000, ack: 500001, ...wscale(7) }),
        dump("opened"),
      ],
    },
    expect(v) {
      for (let n = 0; n < 8; n++) v.one(n);
      course(v, {
        syn: "ESTABLISHED ASSURED",
        reset: ["CLOSE ASSURED", 10],
        "syn again": "SYN_SENT UNREPLIED",
        opened: "SYN_RECV",
      });
    },
  },
  {
    id: "T13b",
    says: "a SYN/ACK that answers an ignored SYN brings the entry in step again",
    scenario: {
      ...NET,
      iptables: M + DROP_INVALID,
      steps: [
        ...handshake(wscale(7), wscale(7)),
        c("S", { seq: 500000, ...wscale(7) }),
        s("SA", { seq: 800000, ack: 500001, ...wscale(7) }),
        dump("opened"),
        c("A", { seq: 500001, ack: 800001 }),
      ],
    },
    expect(v) {
      for (let n = 0; n < 6; n++) v.one(n);
      course(v, { opened: "SYN_RECV ASSURED", end: "ESTABLISHED ASSURED" });
    },
  },
  {
    id: "T14",
    says: "a retransmission far below the window passes",
    scenario: {
      ...NET,
      iptables: M + DROP_INVALID,
      steps: [
        ...handshake(),
        ...Array.from({ length: 46 }, (_, i) => [
          c("A", { seq: NC + i * 1460, ack: NS, payload: 1460 }),
          s("A", { seq: NS, ack: NC + (i + 1) * 1460 }),
        ]).flat(),
        c("A", { seq: NC, ack: NS, payload: 1460 }),
      ],
    },
    expect(v) {
      v.is(refused(v), 0);
      v.one(3 + 92);
    },
  },
  {
    id: "T15",
    says: "only the exact RST closes; others are INVALID or leave the flow ESTABLISHED",
    scenario: {
      ...NET,
      iptables: M + DROP_INVALID,
      steps: [
        ...handshake(),
        ...[0, 1, 2].flatMap((i) => [
          s("A", { seq: NS + i * 1000, ack: NC, payload: 1000 }),
          c("A", { seq: NC, ack: NS + (i + 1) * 1000 }),
        ]),
        s("R", { seq: 0 }),
        dump("zero"),
        s("R", { seq: 1000000 }),
        dump("million"),
        s("R", { seq: NS + 2000 - 1 }),
        dump("before last ack"),
        s("R", { seq: NS + 3000 - 1 }),
        dump("one off"),
        s("R", { seq: NS + 3000 }),
        dump("exact"),
      ],
    },
    expect(v) {
      v.silent(9, 10, 11, 12);
      for (const name of ["zero", "million", "before last ack", "one off"]) {
        v.is(state(v, name), "ESTABLISHED ASSURED");
      }
      v.one(13);
      course(v, { exact: ["CLOSE ASSURED", 10] });
    },
  },
  {
    id: "T16",
    says: "a RST beyond the expected sequence number closes a flow that has seen FIN",
    scenario: {
      ...NET,
      iptables: M + DROP_INVALID,
      steps: [
        ...handshake(),
        s("FA", { seq: NS, ack: NC }),
        c("A", { seq: NC, ack: NS + 1 }),
        dump("half closed"),
        s("R", { seq: NS + 100 }),
      ],
    },
    expect(v) {
      v.is(refused(v), 0);
      course(v, { "half closed": "CLOSE_WAIT ASSURED", end: ["CLOSE ASSURED", 10] });
    },
  },
  {
    id: "T19",
    says: "window scaling counts when both sides offer it",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        ...handshake({ ...wscale(7) }, { ...wscale(7) }),
        s("A", { seq: NS, ack: NC, win: 512 }),
        c("A", { seq: NC + 60000, ack: NS, payload: 100, win: 512 }),
        c("A", { seq: NC + 3000000, ack: NS, payload: 100, win: 512 }),
        s("A", { seq: NS, ack: NC, win: 65535 }),
        c("A", { seq: NC + 3000000, ack: NS, payload: 100, win: 512 }),
      ],
    },
    expect(v) {
      v.is([4, 5, 7].map((n) => v.one(n).src), [WAN, C, WAN], "sources");
    },
  },
  {
    id: "T21",
    says: "window scaling is off when the SYN/ACK does not offer it",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        ...handshake(wscale(7)),
        s("A", { seq: NS, ack: NC, win: 60000 }),
        c("A", { seq: NC + 200000, ack: NS, payload: 100 }),
      ],
    },
    expect: (v) => v.is(v.one(4).src, C, "source"),
  },
  {
    id: "T22",
    says: "an ACK for data never seen is INVALID, old ACKs pass",
    scenario: {
      ...NET,
      iptables: M + DROP_INVALID,
      steps: [
        ...handshake({ seq: 1000000 }, { ack: 1000001 }).slice(0, 2),
        c("A", { seq: 1000001, ack: NS }),
        ...Array.from({ length: 60 }, (_, i) => [
          c("A", { seq: 1000001 + i * 1400, ack: NS, payload: 1400 }),
          s("A", { seq: NS, ack: 1000001 + (i + 1) * 1400 }),
        ]).flat(),
        s("A", { seq: NS, ack: 1000001 + 84000 + 90000 }),
        s("A", { seq: NS, ack: 1000001 + 84000 - 60000 }),
        s("A", { seq: NS, ack: 1000001 + 84000 - 70000 }),
      ],
    },
    expect(v) {
      v.silent(123);
      v.is([124, 125].map((n) => v.one(n).dst), [C, C], "destinations");
    },
  },
  {
    id: "T23",
    says: "closing goes FIN_WAIT, CLOSE_WAIT, LAST_ACK, TIME_WAIT",
    scenario: { ...NET, iptables: M, steps: [...handshake(), ...close] },
    expect(v) {
      course(v, {
        fin: ["FIN_WAIT ASSURED", 120],
        ack: ["CLOSE_WAIT ASSURED", 60],
        "fin back": ["LAST_ACK ASSURED", 30],
        "last ack": ["TIME_WAIT ASSURED", 120],
      });
    },
  },
  {
    id: "T24",
    says: "a SYN with a higher sequence number replaces a flow in TIME_WAIT",
    scenario: { ...NET, iptables: M, steps: [...handshake(), ...close, c("S", { seq: NC + 100000 })] },
    expect(v) {
      v.is(v.count("--ctstate NEW"), 2);
      course(v, { end: ["SYN_SENT UNREPLIED", 120] });
    },
  },
  {
    id: "T24b",
    says: "a SYN of the side that did not close first reopens, too",
    scenario: { ...NET, iptables: M, steps: [...handshake(), ...close, s("S", { seq: NS + 100000 })] },
    expect: () => {},
  },
  {
    id: "T26",
    says: "before any answer the client can only repeat its SYN",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        c("S", { seq: ISN_C }),
        c("A", { seq: NC, ack: NS }),
        c("FA", { seq: NC, ack: NS }),
        c("SA", { seq: ISN_C, ack: NS }),
        c("S", { seq: ISN_C }),
      ],
    },
    expect(v) {
      v.is(v.count("--ctstate INVALID"), 3);
      v.is(v.count("--ctstate NEW"), 2);
      course(v, { end: ["SYN_SENT UNREPLIED", 120] });
    },
  },
  {
    id: "T29",
    says: "a client that retries for ever does not keep its unanswered entry alive, so a new rule takes hold",
    slow: true,
    scenario: {
      ...NET,
      iptables: M,
      sysctl: { "net.netfilter.nf_conntrack_tcp_timeout_syn_sent": 2 },
      steps: [
        c("S", { seq: ISN_C }),
        { do: "rules", iptables: nat("-A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 8080") },
        ...Array.from({ length: 6 }, (_, i) => [wait(500), c("S", { seq: ISN_C + i })]).flat(),
      ],
    },
    expect(v) {
      v.is(v.one(1).iface, "wan", "first retry");
      v.is(v.one(6).flags, "RA", "last retry is answered by the router");
    },
  },
  {
    id: "T30",
    says: "retransmissions without an ACK cut the timer to 300 seconds",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        ...handshake(),
        s("A", { seq: NS, ack: NC }),
        ...[1, 2, 3, 4, 5].flatMap((
          i,
        ) => [c("PA", { seq: NC, ack: NS, payload: "again" }), dump(`sent ${i}`)]),
        s("A", { seq: NS, ack: NC + 5 }),
      ],
    },
    expect(v) {
      v.timer(v.flow("sent 5"), 300);
      v.timer(v.flow(), 432000);
    },
  },
  {
    id: "T31",
    says: "an ACK out of order and a lost ACK with its retransmission pass, data far outside does not",
    scenario: {
      ...NET,
      iptables: M + DROP_INVALID,
      steps: [
        ...handshake(),
        c("A", { seq: NC, ack: NS, payload: 500 }),
        c("A", { seq: NC + 500, ack: NS, payload: 500 }),
        s("A", { seq: NS, ack: NC + 1000 }),
        s("A", { seq: NS, ack: NC + 500 }),
        c("A", { seq: NC + 500, ack: NS, payload: 500 }),
        s("FA", { seq: NS, ack: NC + 1000 }),
        s("FA", { seq: NS, ack: NC + 1000 }),
        c("A", { seq: NC + 1000, ack: NS + 1 }),
        c("FA", { seq: NC + 1000, ack: NS + 1 }),
        s("A", { seq: NS + 1, ack: NC + 1001 }),
        s("A", { seq: NS + 200000, ack: NC + 1001, payload: 100 }),
      ],
    },
    expect(v) {
      for (let n = 0; n < 13; n++) v.one(n);
      v.silent(13);
    },
  },
  {
    id: "T32",
    says: "sequence numbers wrap",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        c("S", { seq: 0xfffffff0 }),
        s("SA", { seq: 0xfffffff8, ack: 0xfffffff1 }),
        c("A", { seq: 0xfffffff1, ack: 0xfffffff9 }),
        c("PA", { seq: 0xfffffff1, ack: 0xfffffff9, payload: 100 }),
        s("A", { seq: 0xfffffff9, ack: 85 }),
        s("PA", { seq: 0xfffffff9, ack: 85, payload: 100 }),
        c("PA", { seq: 85, ack: 93, payload: 10 }),
      ],
    },
    expect: (v) => v.is(v.states(), "NEW 1, ESTABLISHED 6"),
  },
  {
    id: "T33",
    says: "a SACK block may reach up to the newest data and no further",
    scenario: {
      ...NET,
      iptables: M + DROP_INVALID,
      steps: [
        ...handshake({ options: [{ mss: 1460 }, { sackPermitted: true }] }, {
          options: [{ mss: 1460 }, { sackPermitted: true }],
        }),
        c("A", { seq: NC, ack: NS, payload: 1000 }),
        c("A", { seq: NC + 1000, ack: NS, payload: 1000 }),
        s("A", {
          seq: NS,
          ack: NC,
          options: [{ nop: true }, { nop: true }, { sack: [[NC + 1000, NC + 2000]] }],
        }),
        s("A", {
          seq: NS,
          ack: NC,
          options: [{ nop: true }, { nop: true }, { sack: [[NC + 1000, NC + 2001]] }],
        }),
        s("A", {
          seq: NS,
          ack: NC,
          options: [{ nop: true }, { nop: true }, { sack: [[NC + 1000, NC + 90000]] }],
        }),
      ],
    },
    expect(v) {
      v.one(5);
      v.silent(6, 7);
    },
  },
  {
    id: "T34",
    says: "malformed options do not matter and harm nothing",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        [2, 0, 0, 0],
        [2, 1, 0, 0],
        [1, 1, 1, 2],
        [3, 4, 7, 7],
        [253, 4, 1, 2],
        [2, 40, 5, 180],
        [3, 3, 200, 1],
        [5, 10, 0, 0],
      ].map((bytes, i) => c("S", { sport: 1000 + i, seq: ISN_C, options: [{ raw: bytes }] })),
    },
    expect(v) {
      v.is(v.states(), "NEW 8");
      for (let n = 0; n < 8; n++) v.is(v.one(n).src, WAN);
    },
  },
  {
    id: "T35",
    says: "a connection that the filter refuses leaves no entry",
    scenario: {
      ...NET,
      iptables: M + filter("-A FORWARD -p tcp --dport 80 -j DROP"),
      steps: [c("S", { seq: 1 }), dump("dropped"), c("S", { seq: 1, dport: 81 })],
    },
    expect(v) {
      v.silent(0);
      v.is(v.states("dropped"), "NEW 1");
      v.is(state(v, "dropped"), "none");
      v.one(1);
    },
  },
  {
    id: "T36",
    says: "be_liberal lets data pass that is outside the window, but no RST",
    scenario: {
      ...NET,
      iptables: M,
      sysctl: { "net.netfilter.nf_conntrack_tcp_be_liberal": 1 },
      steps: [
        ...handshake(),
        c("A", { seq: NC + 5000000, ack: NS, payload: 100 }),
        c("R", { seq: NC - 500000 }),
        c("R", { seq: NC + 500000 }),
      ],
    },
    expect(v) {
      v.is(v.one(3).src, WAN);
    },
  },
  {
    id: "T40",
    says: "window tracking without NAT counts every segment of a bulk transfer as ESTABLISHED",
    scenario: {
      ...NET,
      iptables: COUNT,
      steps: [
        ...handshake(),
        ...Array.from(
          { length: 30 },
          (_, i) => c("A", { seq: NC + i * 1460, ack: NS, payload: 1460, win: 500 + i }),
        ),
        packet("wan", tcp({ src: S, sport: 80, dst: C, dport: 1000, flags: "SA", seq: ISN_S, ack: NC })),
        packet("wan", tcp({ src: S, sport: 80, dst: C, dport: 1000, flags: "A", seq: NS, ack: NC + 14600 })),
      ],
    },
    expect: () => {},
  },
];
