import { assertEquals } from "@std/assert";
import { nextState, TCP_STATES } from "../../../src/conntrack/proto/tcp.ts";
import { GSO_TCPV4 } from "../../../src/packet/packet.ts";
import { tcp, type TcpOptions } from "../../kit/mod.ts";
import { brief, Rig, type RigOptions } from "../rig.ts";

// The table of nf_conntrack_proto_tcp as facts, written down apart from the code: state, then what each event of the
// opener and of the answerer leads to. IV is invalid, IG ignored.
const TABLE = `
  NONE SS IV IV ES IV | IV IV IV IV IV
  SS   SS IV IV IV CL | S2 SR IV IG CL
  SR   IG SR FW ES CL | IV IG FW SR CL
  ES   IG IV FW ES CL | IV IG FW ES CL
  FW   IG IV LA CW CL | IV IG LA CW CL
  CW   IG IV LA CW CL | IV IG LA CW CL
  LA   IG IV LA TW CL | IV IG LA TW CL
  TW   SS IV TW TW CL | SS IG TW TW CL
  CL   SS IV CL CL CL | IV IG CL CL CL
  S2   S2 SR IV IV CL | S2 SR IV IG CL
`;
const SHORT = ["NONE", "SS", "SR", "ES", "FW", "CW", "LA", "TW", "CL", "S2", "IV", "IG"];

Deno.test("nextState agrees with the table in every cell", () => {
  for (const line of TABLE.trim().split("\n")) {
    const [state, ...cells] = line.trim().split(/[\s|]+/);
    const from = SHORT.indexOf(state);
    cells.forEach((cell, i) => {
      assertEquals(SHORT[nextState(i < 5 ? 0 : 1, i % 5, from)], cell, `${TCP_STATES[from]} event ${i}`);
    });
    assertEquals(SHORT[nextState(0, 5, from)], "IV");
    assertEquals(SHORT[nextState(1, 5, from)], "IV");
  }
});

const C = "192.0.2.2", S = "198.51.100.7";
/** Initial sequence numbers of the opener and of the answerer. */
const A = 1_000_000, B = 5_000_000;
type Segment = Partial<TcpOptions> & { flags: string };

const c = (o: Segment) => tcp({ src: C, sport: 40000, dst: S, dport: 80, ...o });
const s = (o: Segment) => tcp({ src: S, sport: 80, dst: C, dport: 40000, ...o });
/** From the client, numbers relative to the beginning. */
const C_ = (flags: string, seq: number, ack = 0, o: Partial<TcpOptions> = {}) =>
  c({ flags, seq: (A + seq) >>> 0, ack: flags.includes("A") ? (B + ack) >>> 0 : 0, ...o });
const S_ = (flags: string, seq: number, ack = 0, o: Partial<TcpOptions> = {}) =>
  s({ flags, seq: (B + seq) >>> 0, ack: flags.includes("A") ? (A + ack) >>> 0 : 0, ...o });

const OPEN = [C_("S", 0), S_("SA", 0, 1), C_("A", 1, 1)];
const I = "INVALID", N = "NEW", E = "ESTABLISHED";

interface Case {
  id: string;
  says: string;
  rig?: RigOptions;
  /** Packets that bring the flow to where the case begins. */
  before?: Uint8Array[];
  /** Packet, what it is, and optionally the flow behind it: protocol, timeout, state, flags. */
  steps: (readonly [Uint8Array, string, string?] | { wait: number })[];
}

const CASES: Case[] = [
  {
    id: "T01",
    says: "a handshake leads through SYN_SENT and SYN_RECV to ESTABLISHED",
    steps: [
      [C_("S", 0), N, "tcp 120 SYN_SENT [UNREPLIED]"],
      [S_("SA", 0, 1), E, "tcp 60 SYN_RECV"],
      [C_("A", 1, 1), E, "tcp 432000 ESTABLISHED [ASSURED]"],
      [C_("PA", 1, 1, { payload: 100 }), E, "tcp 300 ESTABLISHED [ASSURED]"],
      [S_("A", 1, 101), E, "tcp 432000 ESTABLISHED [ASSURED]"],
    ],
  },
  {
    id: "T02",
    says: "a flow picked up in its middle lives 300 s until it is answered",
    steps: [
      [C_("A", 1, 1), N, "tcp 300 ESTABLISHED [UNREPLIED]"],
      [S_("A", 1, 1), E, "tcp 300 ESTABLISHED"],
      [C_("A", 1, 1), E, "tcp 432000 ESTABLISHED [ASSURED]"],
    ],
  },
  {
    id: "T03",
    says: "tcp_loose=0 picks up nothing",
    rig: { sysctl: { tcp_loose: 0 } },
    steps: [[C_("A", 1, 1), I, ""]],
  },
  ...["SA", "F", "FA", "R", "RA"].map((flags): Case => ({
    id: "T04",
    says: `${flags} cannot begin a flow`,
    steps: [[C_(flags, 1, 1), I, ""]],
  })),
  ...["", "SF", "SR", "FPU"].map((flags): Case => ({
    id: "T05",
    says: `flags "${flags}" are invalid`,
    steps: [[C_(flags, 1), I, ""]],
  })),
  ...["SP", "SU", "SEC"].map((flags): Case => ({
    id: "T05",
    says: `flags "${flags}" begin a flow`,
    steps: [[C_(flags, 1), N, "tcp 120 SYN_SENT [UNREPLIED]"]],
  })),
  {
    id: "T06",
    says: "a wrong checksum is INVALID",
    steps: [[C_("S", 0, 0, { badChecksum: true }), I, ""]],
  },
  {
    id: "T06",
    says: "a wrong checksum passes with nf_conntrack_checksum=0",
    rig: { sysctl: { checksum: 0 } },
    steps: [[C_("S", 0, 0, { badChecksum: true }), N]],
  },
  {
    id: "T07",
    says: "a data offset below 5 and a cut header are INVALID",
    steps: [[C_("S", 0, 0, { dataOffset: 4 }), I, ""], [C_("S", 0, 0, { cut: 12 }), I, ""], [
      C_("S", 0, 0, { dataOffset: 15 }),
      I,
      "",
    ]],
  },
  {
    id: "T08",
    says: "simultaneous open passes through SYN_SENT2",
    steps: [
      [C_("S", 0), N, "tcp 120 SYN_SENT [UNREPLIED]"],
      [S_("S", 0), E, "tcp 120 SYN_SENT2"],
      [C_("SA", 0, 1), E, "tcp 60 SYN_RECV"],
      [S_("SA", 0, 1), E, "tcp 60 SYN_RECV"],
      [C_("A", 1, 1), E, "tcp 432000 ESTABLISHED [ASSURED]"],
    ],
  },
  {
    id: "T09",
    says: "an old SYN/ACK is INVALID and the right one is not",
    steps: [
      [C_("S", 0), N],
      [S_("SA", 99, 70_000), I, "tcp 120 SYN_SENT [UNREPLIED]"],
      [S_("SA", 0, 1), E, "tcp 60 SYN_RECV"],
      [C_("A", 1, 1), E, "tcp 432000 ESTABLISHED [ASSURED]"],
    ],
  },
  {
    id: "T11",
    says: "a RST in answer to a SYN ends the flow at once",
    steps: [
      [C_("S", 0), N],
      [s({ flags: "RA", seq: 0, ack: A + 1, win: 0 }), E, ""],
      [C_("S", 0), N, "tcp 120 SYN_SENT [UNREPLIED]"],
    ],
  },
  {
    id: "T12",
    says: "a challenge ACK in answer to a SYN, and the RST to it, lead to a new beginning",
    steps: [
      [C_("S", 0), N],
      [S_("A", 700, -5000), E, "tcp 120 SYN_SENT"],
      [C_("R", -5000), E, "tcp 10 CLOSE"],
      [C_("S", 0), N, "tcp 120 SYN_SENT [UNREPLIED]"],
      [S_("SA", 0, 1), E, "tcp 60 SYN_RECV"],
      [C_("A", 1, 1), E, "tcp 432000 ESTABLISHED [ASSURED]"],
    ],
  },
  {
    id: "T13",
    says: "a SYN inside ESTABLISHED is ignored, and its challenge ACK and RST clear the flow",
    before: OPEN,
    steps: [
      [C_("S", 900_000), E, "tcp 432000 ESTABLISHED [ASSURED]"],
      [S_("A", 1, 1), E, "tcp 432000 ESTABLISHED [ASSURED]"],
      [C_("R", 1), E, "tcp 10 CLOSE [ASSURED]"],
      [C_("S", 900_000), N, "tcp 120 SYN_SENT [UNREPLIED]"],
      [S_("SA", 77, 900_001), E, "tcp 60 SYN_RECV"],
    ],
  },
  {
    id: "T13",
    says: "a SYN inside LAST_ACK may bring one challenge ACK, and the next ACK ends the connection",
    before: [...OPEN, C_("FA", 1, 1), S_("A", 1, 2), S_("FA", 1, 2)],
    steps: [
      [C_("S", 900_000), E, "tcp 30 LAST_ACK [ASSURED]"],
      [S_("A", 2, 2), E, "tcp 30 LAST_ACK [ASSURED]"],
      [S_("A", 2, 2), E, "tcp 120 TIME_WAIT [ASSURED]"],
    ],
  },
  {
    id: "T13",
    says: "a SYN/ACK that answers an ignored SYN brings the flow back in step",
    before: OPEN,
    steps: [
      [C_("S", 900_000), E],
      [S_("SA", 700_000, 900_001), E, "tcp 60 SYN_RECV [ASSURED]"],
      [C_("A", 900_001, 700_001), E, "tcp 432000 ESTABLISHED [ASSURED]"],
    ],
  },
  {
    id: "T14",
    says: "data that was acknowledged long ago passes when it is sent again",
    before: [
      ...OPEN,
      ...Array.from({ length: 46 }, (_, i) => [
        C_("A", 1 + i * 1448, 1, { payload: 1448 }),
        S_("A", 1, 1 + (i + 1) * 1448, { win: 1000 }),
      ]).flat(),
    ],
    steps: [[C_("A", 1, 1, { payload: 1448 }), E, "tcp 432000 ESTABLISHED [ASSURED]"]],
  },
  {
    id: "T15",
    says: "only the exact RST closes",
    before: [
      ...OPEN,
      ...[0, 1, 2].flatMap((i) => [C_("A", 1 + i * 100, 1, { payload: 100 }), S_("A", 1, 101 + i * 100)]),
    ],
    steps: [
      [c({ flags: "R", seq: 0 }), I, "tcp 432000 ESTABLISHED [ASSURED]"],
      [c({ flags: "R", seq: A + 5_000_000 }), I, "tcp 432000 ESTABLISHED [ASSURED]"],
      [C_("R", 200), I, "tcp 432000 ESTABLISHED [ASSURED]"],
      [C_("R", 300), I, "tcp 432000 ESTABLISHED [ASSURED]"],
      [C_("R", 301), E, "tcp 10 CLOSE [ASSURED]"],
    ],
  },
  {
    id: "T15",
    says: "a RST just beyond keeps the state for a challenge ACK, with the time of CLOSE",
    before: [...OPEN, C_("A", 1, 1, { payload: 100 }), S_("A", 1, 101)],
    steps: [
      [C_("R", 150), E, "tcp 10 ESTABLISHED [ASSURED]"],
      [S_("A", 1, 101), E, "tcp 300 ESTABLISHED [ASSURED]"],
    ],
  },
  {
    id: "T16",
    says: "an inexact RST closes what is closing",
    before: [...OPEN, C_("FA", 1, 1), S_("A", 1, 2)],
    steps: [[S_("R", 5000), E, "tcp 10 CLOSE [ASSURED]"]],
  },
  {
    id: "T19",
    says: "a scaled window limits what may be sent",
    before: [
      C_("S", 0, 0, { options: [{ wscale: 7 }] }),
      S_("SA", 0, 1, { options: [{ wscale: 7 }], win: 512 }),
      C_("A", 1, 1, { win: 512 }),
      S_("A", 1, 1, { win: 512 }),
    ],
    steps: [
      [C_("A", 60_000, 1, { payload: 100 }), E],
      [C_("A", 3_000_000, 1, { payload: 100 }), I],
      [S_("A", 1, 1, { win: 65535 }), E],
      [C_("A", 3_000_000, 1, { payload: 100 }), E],
    ],
  },
  {
    id: "T21",
    says: "scaling is off when only one side wants it",
    before: [C_("S", 0, 0, { options: [{ wscale: 7 }] }), S_("SA", 0, 1), C_("A", 1, 1)],
    steps: [[S_("A", 1, 1, { win: 60_000 }), E], [C_("A", 200_000, 1, { win: 60_000, payload: 10 }), I]],
  },
  {
    id: "T22",
    says: "an ACK of what was never sent is INVALID, an old one is not",
    before: [...OPEN, C_("A", 1, 1, { payload: 1000 }), S_("A", 1, 1001)],
    steps: [[S_("A", 1, 91_001), I], [S_("A", 1, -59_000), E], [S_("A", 1, -69_000), E]],
  },
  {
    id: "T23",
    says: "closing leads through FIN_WAIT, CLOSE_WAIT, LAST_ACK and TIME_WAIT",
    before: OPEN,
    steps: [
      [C_("FA", 1, 1), E, "tcp 120 FIN_WAIT [ASSURED]"],
      [S_("A", 1, 2), E, "tcp 60 CLOSE_WAIT [ASSURED]"],
      [S_("FA", 1, 2), E, "tcp 30 LAST_ACK [ASSURED]"],
      [C_("A", 2, 2), E, "tcp 120 TIME_WAIT [ASSURED]"],
      [C_("S", 100_000), N, "tcp 120 SYN_SENT [UNREPLIED]"],
    ],
  },
  {
    id: "T24",
    says: "in LAST_ACK a challenge ACK to an ignored SYN does not end the flow",
    before: [...OPEN, C_("FA", 1, 1), S_("A", 1, 2), S_("FA", 1, 2)],
    steps: [
      [C_("S", 100_000), E, "tcp 30 LAST_ACK [ASSURED]"],
      [S_("A", 2, 2), E, "tcp 30 LAST_ACK [ASSURED]"],
      [C_("A", 2, 2), E, "tcp 120 TIME_WAIT [ASSURED]"],
    ],
  },
  {
    id: "T24",
    says: "a SYN from the other side reopens a flow in TIME_WAIT the other way round",
    before: [...OPEN, C_("FA", 1, 1), S_("A", 1, 2), S_("FA", 1, 2), C_("A", 2, 2)],
    steps: [[S_("S", 90_000), N, "tcp 120 SYN_SENT [UNREPLIED]"]],
  },
  ...["A", "FA", "SA"].map((flags): Case => ({
    id: "T26",
    says: `the opener sends ${flags} before any answer`,
    before: [C_("S", 0)],
    steps: [[C_(flags, 1, 1), I, "tcp 120 SYN_SENT [UNREPLIED]"]],
  })),
  {
    id: "T29",
    says: "a SYN sent again does not renew the time",
    steps: [
      [C_("S", 0), N, "tcp 120 SYN_SENT [UNREPLIED]"],
      { wait: 60_000 },
      [C_("S", 0), N, "tcp 60 SYN_SENT [UNREPLIED]"],
      { wait: 60_000 },
      [C_("S", 0), N, "tcp 120 SYN_SENT [UNREPLIED]"],
    ],
  },
  {
    id: "T30",
    says: "retransmissions without an answer shorten the time to 300 s",
    rig: { sysctl: { tcp_timeout_unacknowledged: 3000 } },
    before: OPEN,
    steps: [
      [C_("A", 1, 1, { payload: 10 }), E, "tcp 3000 ESTABLISHED [ASSURED]"],
      [C_("A", 1, 1, { payload: 10 }), E, "tcp 3000 ESTABLISHED [ASSURED]"],
      [C_("A", 1, 1, { payload: 10 }), E, "tcp 3000 ESTABLISHED [ASSURED]"],
      [C_("A", 1, 1, { payload: 10 }), E, "tcp 300 ESTABLISHED [ASSURED]"],
    ],
  },
  {
    id: "T30",
    says: "a closed window shortens the time to 300 s",
    before: OPEN,
    steps: [[S_("A", 1, 1, { win: 0 }), E, "tcp 300 ESTABLISHED [ASSURED]"]],
  },
  {
    id: "T31",
    says: "ACKs out of order, lost ACKs and retransmissions pass, what is far out of the window does not",
    before: OPEN,
    steps: [
      [C_("A", 1, 1, { payload: 500 }), E],
      [C_("A", 501, 1, { payload: 500 }), E],
      [S_("A", 1, 1001), E],
      [S_("A", 1, 501), E],
      [C_("A", 501, 1, { payload: 500 }), E],
      [C_("A", 9_000_000, 1, { payload: 500 }), I],
    ],
  },
  {
    id: "T32",
    says: "sequence numbers wrap",
    steps: [
      [c({ flags: "S", seq: 0xfffffff0 }), N],
      [s({ flags: "SA", seq: 0xfffffff8, ack: 0xfffffff1 }), E],
      [c({ flags: "A", seq: 0xfffffff1, ack: 0xfffffff9 }), E],
      [c({ flags: "PA", seq: 0xfffffff1, ack: 0xfffffff9, payload: 100 }), E],
      [s({ flags: "A", seq: 0xfffffff9, ack: 0x55 }), E],
      [c({ flags: "PA", seq: 0x55, ack: 0xfffffff9, payload: 100 }), E, "tcp 300 ESTABLISHED [ASSURED]"],
    ],
  },
  {
    id: "T33",
    says: "a SACK block may reach to the newest data and no further",
    before: [
      C_("S", 0, 0, { options: [{ sackPermitted: true }] }),
      S_("SA", 0, 1, { options: [{ sackPermitted: true }] }),
      C_("A", 1, 1),
      C_("A", 1, 1, { payload: 1000 }),
      C_("A", 1001, 1, { payload: 1000 }),
    ],
    steps: [
      [S_("A", 1, 1, { options: [{ nop: true }, { nop: true }, { sack: [[A + 1001, A + 2001]] }] }), E],
      [S_("A", 1, 1, { options: [{ nop: true }, { nop: true }, { sack: [[A + 1001, A + 2002]] }] }), I],
    ],
  },
  ...[[3, 0], [3, 1], [3], [3, 4, 1, 1], [253, 4, 0, 0], [8, 40, 0, 0]].map((raw): Case => ({
    id: "T34",
    says: `options ${raw} do no harm`,
    steps: [[C_("S", 0, 0, { options: [{ raw }] }), N]],
  })),
  {
    id: "T36",
    says: "be_liberal lets data out of the window pass, and RST not",
    rig: { sysctl: { tcp_be_liberal: 1 } },
    before: [...OPEN, C_("A", 1, 1, { payload: 10 }), S_("A", 1, 11)],
    steps: [[C_("A", 9_000_000, 1, { payload: 10 }), E], [C_("R", -9_000), I]],
  },
  {
    id: "T36",
    says: "ignore_invalid_rst lets a RST before the window pass",
    rig: { sysctl: { tcp_ignore_invalid_rst: 1 } },
    before: [...OPEN, C_("A", 1, 1, { payload: 10 }), S_("A", 1, 11)],
    steps: [[C_("R", 5), E, "tcp 10 ESTABLISHED [ASSURED]"]],
  },
  {
    id: "X06",
    says: "RSTs with all kinds of wrong numbers do not end the flow",
    before: [...OPEN, C_("A", 1, 1, { payload: 10 }), S_("A", 1, 11)],
    steps: [
      ...[-1, -100, -60_000, 200_000, 2_000_000_000].map((seq) => [S_("R", seq), I] as const),
      [C_("PA", 11, 1, { payload: 10 }), E, "tcp 300 ESTABLISHED [ASSURED]"],
      [S_("A", 1, 21), E, "tcp 432000 ESTABLISHED [ASSURED]"],
    ],
  },
  {
    id: "X07",
    says: "spoofed SYNs and ACKs change no state",
    before: OPEN,
    steps: [
      ...Array.from({ length: 50 }, (_, i) => [C_("S", i * 91_000_001), E] as const),
      [S_("A", -3_000_000, 1), E],
      [C_("A", 1, 1), E, "tcp 432000 ESTABLISHED [ASSURED]"],
    ],
  },
  {
    id: "X07",
    says: "FIN out of the window from both sides shortens an ASSURED flow's time",
    before: OPEN,
    steps: [
      [C_("FA", 9_000_000, 1), I, "tcp 432000 ESTABLISHED [ASSURED]"],
      [S_("FA", 9_000_000, 1), I, "tcp 300 ESTABLISHED [ASSURED]"],
    ],
  },
];

for (const { id, says, rig: options, before = [], steps } of CASES) {
  Deno.test(`${id} tcp: ${says}`, () => {
    const rig = new Rig(options);
    for (const bytes of before) rig.send(bytes);
    steps.forEach((step, i) => {
      if ("wait" in step) return rig.wait(step.wait);
      const [bytes, state, flow] = step;
      assertEquals(rig.send(bytes), state, `step ${i}`);
      if (flow !== undefined) assertEquals(rig.brief(), flow, `step ${i}`);
    });
  });
}

Deno.test("T35 tcp: what a rule drops leaves no entry", () => {
  const rig = new Rig();
  assertEquals(rig.send(C_("S", 0), { drop: true }), "NEW");
  assertEquals([rig.flows(), rig.conntrack.flows.count], [[], 0]);
});

Deno.test("tcp: offloaded segments of 64 KiB are segments", () => {
  const rig = new Rig();
  const scale = { options: [{ wscale: 7 }] };
  for (const bytes of [C_("S", 0, 0, scale), S_("SA", 0, 1, scale), C_("A", 1, 1)]) rig.send(bytes);
  const big = 65_000;
  for (let i = 0; i < 20; i++) {
    const state = rig.send(C_("A", 1 + i * big, 1, { payload: big, checksum: 0x1234 }), {
      offload(p) {
        p.gsoType = GSO_TCPV4;
        p.gsoSize = 1448;
        p.partialChecksum = true;
      },
    });
    assertEquals(state, E, `segment ${i}`);
    assertEquals(rig.send(S_("A", 1, 1 + (i + 1) * big)), E, `answer ${i}`);
  }
  assertEquals(brief(rig.flow()), "tcp 432000 ESTABLISHED [ASSURED]");
});
