import { assertEquals } from "@std/assert";
import { FLOW_WORDS } from "../../../src/conntrack/flow.ts";
import { canEarlyDrop } from "../../../src/conntrack/proto/sctp.ts";
import { sctp, SCTP_CHUNK as T, type SctpChunk, sctpInit } from "../../kit/mod.ts";
import { Rig } from "../rig.ts";

const C = "192.0.2.2", S = "198.51.100.7";
const TAG_C = 0x11111111, TAG_S = 0x22222222;
const c = (vtag: number, ...chunks: SctpChunk[]) =>
  sctp({ src: C, sport: 3000, dst: S, dport: 3868, vtag, chunks });
const s = (vtag: number, ...chunks: SctpChunk[]) =>
  sctp({ src: S, sport: 3868, dst: C, dport: 3000, vtag, chunks });
const chunk = (type: keyof typeof T, flags = 0): SctpChunk => ({ type: T[type], flags, body: [1, 2, 3, 4] });
const DATA: SctpChunk = { type: T.DATA, body: new Uint8Array(16) };
const HANDSHAKE = [
  c(0, sctpInit(TAG_C, 1)),
  s(TAG_C, sctpInit(TAG_S, 1, true)),
  c(TAG_S, chunk("COOKIE_ECHO")),
  s(TAG_C, chunk("COOKIE_ACK")),
];

type Step = readonly [Uint8Array, string, string?];
const CASES: { id: string; says: string; before?: Uint8Array[]; steps: Step[] }[] = [
  {
    id: "S01",
    says: "the handshake leads to ESTABLISHED",
    steps: [
      [HANDSHAKE[0], "NEW", "sctp 10 CLOSED [UNREPLIED]"],
      [HANDSHAKE[1], "ESTABLISHED", "sctp 3 COOKIE_WAIT"],
      [HANDSHAKE[2], "ESTABLISHED", "sctp 3 COOKIE_ECHOED"],
      [HANDSHAKE[3], "ESTABLISHED", "sctp 210 ESTABLISHED [ASSURED]"],
      [c(TAG_S, DATA), "ESTABLISHED", "sctp 210 ESTABLISHED [ASSURED]"],
    ],
  },
  {
    id: "S02",
    says: "a wrong tag and an INIT with a tag are INVALID",
    before: HANDSHAKE,
    steps: [
      [c(TAG_S + 1, DATA), "INVALID", "sctp 210 ESTABLISHED [ASSURED]"],
      [c(TAG_S, sctpInit(TAG_C, 1)), "INVALID", "sctp 210 ESTABLISHED [ASSURED]"],
    ],
  },
  {
    id: "S03",
    says: "a HEARTBEAT opens a second path",
    steps: [
      [c(TAG_S, chunk("HEARTBEAT")), "NEW", "sctp 30 HEARTBEAT_SENT [UNREPLIED]"],
      [s(TAG_C, chunk("HEARTBEAT_ACK")), "ESTABLISHED", "sctp 210 ESTABLISHED [ASSURED]"],
    ],
  },
  {
    id: "S05",
    says: "a stale INIT ACK after the association is up is INVALID",
    before: HANDSHAKE,
    steps: [
      [s(TAG_C, sctpInit(0x33333333, 1, true)), "INVALID", "sctp 210 ESTABLISHED [ASSURED]"],
      [c(TAG_S, DATA), "ESTABLISHED", "sctp 210 ESTABLISHED [ASSURED]"],
    ],
  },
  {
    id: "S05",
    says: "both sides begin at once",
    steps: [
      [c(0, sctpInit(TAG_C, 1)), "NEW"],
      [s(0, sctpInit(TAG_S, 1)), "ESTABLISHED"],
      [c(TAG_S, sctpInit(TAG_C, 1, true)), "ESTABLISHED"],
      [s(TAG_C, sctpInit(0x44444444, 1, true)), "INVALID"],
      [s(TAG_C, sctpInit(TAG_S, 1, true)), "ESTABLISHED", "sctp 3 COOKIE_WAIT"],
      [s(TAG_C, chunk("COOKIE_ECHO")), "ESTABLISHED", "sctp 3 COOKIE_ECHOED"],
      [c(TAG_S, chunk("COOKIE_ACK")), "ESTABLISHED", "sctp 210 ESTABLISHED [ASSURED]"],
    ],
  },
  {
    id: "S06",
    says: "ABORT closes, with the sender's tag or with T and the peer's",
    before: HANDSHAKE,
    steps: [
      [c(TAG_C, chunk("ABORT")), "INVALID", "sctp 210 ESTABLISHED [ASSURED]"],
      [c(TAG_C, chunk("ABORT", 1)), "ESTABLISHED", "sctp 10 CLOSED [ASSURED]"],
    ],
  },
  {
    id: "S06",
    says: "shutdown leads through its states to CLOSED",
    before: HANDSHAKE,
    steps: [
      [c(TAG_S, chunk("SHUTDOWN")), "ESTABLISHED", "sctp 3 SHUTDOWN_SENT [ASSURED]"],
      [s(TAG_C, chunk("SHUTDOWN_ACK")), "ESTABLISHED", "sctp 3 SHUTDOWN_ACK_SENT [ASSURED]"],
      [c(TAG_S, chunk("SHUTDOWN_COMPLETE")), "ESTABLISHED", "sctp 10 CLOSED [ASSURED]"],
    ],
  },
  ...(["ABORT", "SHUTDOWN_COMPLETE", "COOKIE_ACK", "DATA", "INIT_ACK", "COOKIE_ECHO"] as const).map((
    type,
  ) => ({
    id: "S01",
    says: `${type} cannot begin a flow`,
    steps: [[c(TAG_S, type === "INIT_ACK" ? sctpInit(1, 1, true) : chunk(type)), "INVALID", ""] as const],
  })),
  {
    id: "S01",
    says: "chunks that must come alone or first do not come otherwise, and none has length 0",
    steps: [
      [c(0, sctpInit(TAG_C, 1), DATA), "INVALID", ""],
      [c(0, DATA, chunk("COOKIE_ECHO")), "INVALID", ""],
      [c(0, { ...sctpInit(TAG_C, 1), length: 0 }), "INVALID", ""],
      [c(0), "INVALID", ""],
    ],
  },
  {
    id: "S01",
    says: "a wrong CRC is INVALID",
    steps: [[
      sctp({ src: C, sport: 1, dst: S, dport: 2, vtag: 0, chunks: [sctpInit(1, 1)], badChecksum: true }),
      "INVALID",
      "",
    ]],
  },
];
for (const { id, says, before = [], steps } of CASES) {
  Deno.test(`${id} sctp: ${says}`, () => {
    const rig = new Rig();
    for (const bytes of before) rig.send(bytes);
    steps.forEach(([bytes, state, flow], i) => {
      assertEquals(rig.send(bytes), state, `step ${i}`);
      if (flow !== undefined) assertEquals(rig.brief(), flow, `step ${i}`);
    });
  });
}

Deno.test("S01 sctp: INIT sent again and a HEARTBEAT in doubt do not renew the time", () => {
  const rig = new Rig();
  rig.send(HANDSHAKE[0]);
  rig.wait(3000);
  assertEquals([rig.send(HANDSHAKE[0]), rig.brief()], ["NEW", "sctp 7 CLOSED [UNREPLIED]"]);
  for (const packet of HANDSHAKE.slice(1)) rig.send(packet);
  rig.wait(3000);
  const times = ([[TAG_S + 1, 207], [TAG_S, 210]] as const).map(([tag, seconds]) => {
    assertEquals(rig.send(c(tag, chunk("HEARTBEAT"))), "ESTABLISHED");
    return [rig.brief(), `sctp ${seconds} ESTABLISHED [ASSURED]`];
  });
  for (const [is, expected] of times) assertEquals(is, expected);
});

Deno.test("canEarlyDrop lets go of an association that shuts down, and of no other", () => {
  const states: Uint8Array[][] = [
    HANDSHAKE,
    [c(TAG_S, chunk("SHUTDOWN"))],
    [s(TAG_C, chunk("SHUTDOWN_ACK"))],
    [c(TAG_S, chunk("SHUTDOWN_COMPLETE"))],
  ];
  const rig = new Rig(),
    found = states.map((packets) => {
      for (const packet of packets) assertEquals(["NEW", "ESTABLISHED"].includes(rig.send(packet)), true);
      return canEarlyDrop(rig.conntrack.flows.words, rig.p.ct * FLOW_WORDS);
    });
  assertEquals(found, [false, true, true, false]);
});
