/** Group S: SCTP and the protocols that nobody tracks in particular. */
import {
  gre,
  ip,
  sctp,
  SCTP_CHUNK,
  type SctpChunk,
  sctpInit,
  type SctpOptions,
  udplite,
} from "../../kit/packets.ts";
import { seeded } from "../../kit/mod.ts";
import { dump, packet, type Step } from "../scenario.ts";
import type { View } from "../view.ts";
import { C, type Case, COUNT, DROP_INVALID, filter, M, nat, NET, S, S2, WAN } from "./case.ts";

const TAG_C = 0x11111111, TAG_S = 0x22222222;
const client = (vtag: number, chunks: SctpChunk[], o: Partial<SctpOptions> = {}): Step =>
  packet("lan", sctp({ src: C, sport: 1000, dst: S, dport: 36412, vtag, chunks, ...o }));
const server = (vtag: number, chunks: SctpChunk[], o: Partial<SctpOptions> = {}): Step =>
  packet("wan", sctp({ src: S, sport: 36412, dst: WAN, dport: 1000, vtag, chunks, ...o }));
const chunk = (name: keyof typeof SCTP_CHUNK, body: number[] = [], flags = 0): SctpChunk => ({
  type: SCTP_CHUNK[name],
  flags,
  body,
});
const data = chunk("DATA", [0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 65, 66, 67, 68], 3);

/** UDP-Lite of the client's. */
const lite = (o: Partial<Parameters<typeof udplite>[0]>): Step =>
  packet("lan", udplite({ src: C, sport: 1000, dst: S, dport: 53, payload: 50, ...o }));

/** The four packets of an association's beginning, and the tables after each. */
export function associated(o: { sport?: number; dst?: string; dport?: number } = {}, dumps = false): Step[] {
  const s = { dst: o.dst ?? WAN, dport: o.dport ?? o.sport ?? 1000 }, c = { sport: o.sport ?? 1000 };
  return [
    client(0, [sctpInit(TAG_C, 1)], c),
    ...dumps ? [dump("init")] : [],
    server(TAG_C, [sctpInit(TAG_S, 9, true)], s),
    ...dumps ? [dump("init ack")] : [],
    client(TAG_S, [chunk("COOKIE_ECHO", [1, 2, 3, 4])], c),
    ...dumps ? [dump("cookie echo")] : [],
    server(TAG_C, [chunk("COOKIE_ACK")], s),
    ...dumps ? [dump("cookie ack")] : [],
  ];
}

/** What one side sends with a tag: letters of `SAID`. */
type Line = readonly [side: typeof client, vtag: number, what: string];
const SAID: Record<string, SctpChunk> = {
  h: chunk("HEARTBEAT", [0, 1, 0, 4]),
  a: chunk("HEARTBEAT_ACK", [0, 1, 0, 4]),
  d: data,
  i: chunk("INIT", [1, 1, 1, 1, 0, 0, 0, 0]), // cut: without streams and TSN
  I: chunk("INIT_ACK", [1, 1, 1, 1, 0, 0, 0, 0]),
};
/** Tags that nobody has been told of. */
const NEW_C = 0x55555555, NEW_S = 0x66666666;
/** What follows an association: afterwards both sides send data with the old tags and with the new ones. */
const AFTERWARDS: readonly Line[] = [
  [client, TAG_S, "d"],
  [client, NEW_S, "d"],
  [server, TAG_C, "d"],
  [server, NEW_C, "d"],
];
/** Heartbeats with tags of an association that may have begun anew, and chunks that are cut. */
const HEARTBEATS: readonly (readonly Line[])[] = [
  [[client, NEW_S, "h"]],
  [[client, NEW_S, "h"], [server, NEW_C, "a"]],
  [[server, NEW_C, "h"], [client, NEW_S, "a"]],
  [[client, NEW_S, "h"], [server, NEW_C, "a"], [client, NEW_S, "h"], [server, NEW_C, "a"]],
  [[client, NEW_S, "h"], [server, TAG_C, "a"], [server, NEW_C, "a"]],
  [[client, NEW_S, "h"], [client, NEW_S, "a"]],
  [[client, NEW_S, "h"], [client, TAG_S, "h"], [server, NEW_C, "a"]],
  [[server, NEW_C, "a"]],
  [[client, TAG_S, "h"], [server, NEW_C, "a"]],
  [[client, NEW_S, "hd"], [server, NEW_C, "a"]],
  [[client, NEW_S, "dh"], [server, NEW_C, "a"]],
  [[client, NEW_S, "hh"], [server, NEW_C, "a"]],
  [[client, TAG_S, "hd"], [server, TAG_C, "ad"]],
  [[client, 0, "i"]],
  [[server, 0, "i"]],
  [[server, TAG_C, "I"]],
];

/** Tags by digit. */
const TAGS = [0, TAG_C, NEW_C, TAG_S, NEW_S];
const ASSOCIATION = "c0i1 s1I3 c3e s1c";
/**
 * INITs that cross each other or come again, and what must come alone: side, digit of the tag, letters of the chunks,
 * and the tag that INIT and INIT ACK name.
 */
const CROSSED = [
  "c0i1 s0i3 c0i2 s2I4 c4e s2c",
  "c0i1 s0i3 s0i4 c4I2 s2e c4c",
  "c0i1 s0i3 s1I4 c4e",
  "c0i1 s0i3 c3I2 s2e",
  "c0i1 s0i3 s1I3 c3e s1c",
  "c0i1 c0i2 s2I3 c3e s2c",
  `${ASSOCIATION} s1I4`,
  `${ASSOCIATION} c0i2 s2I4 c4e s2c`,
  `${ASSOCIATION} s0i4 s1I3 c4d`,
  `${ASSOCIATION} c0i1 s1I4`,
  `${ASSOCIATION} c0i2 s0i4 c0i1 s1I3`,
  "c0i1 s1Id3",
  "c0i1 s1dI3",
  `${ASSOCIATION} c3s s1S c3Cd`,
  `${ASSOCIATION} c3s s1S c3dC`,
  `${ASSOCIATION} c3s s1S c3C`,
];

/** A packet as `CROSSED` writes it. */
function crossed(text: string, port: number): Step {
  const [, who, tag, letters, own] = /^(.)(\d)(\D+)(\d?)$/.exec(text)!;
  const chunks = [...letters].map((letter) => chunkOf(letter, TAGS[Number(own)]));
  return who === "c"
    ? client(TAGS[Number(tag)], chunks, { sport: port })
    : server(TAGS[Number(tag)], chunks, { dport: port });
}

/** A chunk by its letter; INIT and INIT ACK name a tag, others may say that theirs is the peer's. */
function chunkOf(letter: string, tag: number, flags = 0): SctpChunk {
  switch (letter) {
    case "i":
    case "I":
      return sctpInit(tag, 1, letter === "I");
    case "e":
      return chunk("COOKIE_ECHO", [1, 2, 3, 4]);
    case "c":
      return chunk("COOKIE_ACK");
    case "s":
      return chunk("SHUTDOWN", [0, 0, 0, 1]);
    case "S":
      return chunk("SHUTDOWN_ACK");
    case "C":
      return chunk("SHUTDOWN_COMPLETE", [], flags);
    case "A":
      return chunk("ABORT", [], flags);
    default:
      return SAID[letter];
  }
}

/** Chunks that come together, as often as they are worth trying. */
const TOGETHER = "i I e c c d d d h h a a s S C A A! i I e hd dh ha hh aa dA dA! ed dc ia".split(" ");

/**
 * Conversations of which each sends whatever comes to mind, mostly with the tag that is right as long as nothing unusual
 * happens: one packet each, `rounds` times, and the tables now and then.
 */
function anyhow(conversations: number, rounds: number): Step[] {
  const random = seeded(44), pick = <T>(list: readonly T[]) => list[(random.next() >>> 0) % list.length];
  // What each has said last that it wants to be called.
  const called = Array.from({ length: conversations }, () => [TAG_C, TAG_S]);
  const steps: Step[] = [];
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < conversations; i++) {
      // A third begins as it should, a third begins for ever.
      const usual = i % 3 === 0 && round < 4, tags = called[i];
      const own = usual ? round % 2 : pick([0, 1]), side = own === 0 ? client : server;
      const said = usual ? "iIec"[round] : i % 3 === 1 ? pick(["i", "I", "I", "e", "c"]) : pick(TOGETHER);
      const flags = said.endsWith("!") ? 1 : 0;
      const right = said.startsWith("i") ? 0 : tags[flags === 1 ? own : 1 - own];
      const tag = usual
        ? right
        : pick([right, right, right, right, right, right, 0, tags[own], NEW_C, NEW_S]);
      const chunks = [...said.replace("!", "")].map((letter) => {
        if (letter.toLowerCase() === "i") tags[own] = pick([tags[own], tags[own], NEW_C, NEW_S]);
        return chunkOf(letter, tags[own], flags);
      });
      steps.push(side(tag, chunks, own === 0 ? { sport: 2000 + i } : { dport: 2000 + i }));
    }
    if (round % 3 === 0) steps.push(dump(`round ${round}`));
  }
  return steps;
}

const states = (v: View, ...names: string[]) => names.map((n) => v.flow(n).state);

export const SCTP_CASES: Case[] = [
  {
    id: "S01",
    says: "an association goes COOKIE_WAIT, COOKIE_ECHOED, ESTABLISHED",
    scenario: { ...NET, iptables: M, steps: [...associated({}, true), client(TAG_S, [data])] },
    expect(v) {
      v.is(states(v, "init ack", "cookie echo", "cookie ack"), [
        "COOKIE_WAIT",
        "COOKIE_ECHOED",
        "ESTABLISHED",
      ]);
      v.timer(v.flow(), 210);
      v.is(v.flow().assured, true);
      v.is([v.one(0).src, v.one(1).dst, v.one(3).dst], [WAN, C, C]);
      for (let n = 0; n < 5; n++) v.is(v.one(n).errors, []);
    },
  },
  {
    id: "S02",
    says: "a wrong verification tag, or one on INIT, is INVALID",
    scenario: {
      ...NET,
      iptables: M,
      steps: [...associated(), client(TAG_S + 1, [data]), client(5, [sctpInit(TAG_C, 1)])],
    },
    expect(v) {
      v.is(v.count("--ctstate INVALID"), 2);
      v.is(v.flow().state, "ESTABLISHED");
    },
  },
  {
    id: "S03",
    says: "a HEARTBEAT may come first",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        client(TAG_S, [chunk("HEARTBEAT", [0, 1, 0, 4])]),
        dump("sent"),
        server(TAG_S, [chunk("HEARTBEAT_ACK", [0, 1, 0, 4])]),
      ],
    },
    expect(v) {
      v.is(states(v, "sent"), ["HEARTBEAT_SENT"]);
      v.timer(v.flow("sent"), 30);
    },
  },
  {
    id: "S04",
    says: "shutdown and abort end an association; what cannot begin one is INVALID",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        ...associated(),
        client(TAG_S, [chunk("SHUTDOWN", [0, 0, 0, 1])]),
        dump("shutdown"),
        server(TAG_C, [chunk("SHUTDOWN_ACK")]),
        dump("shutdown ack"),
        client(TAG_S, [chunk("SHUTDOWN_COMPLETE")]),
        dump("complete"),
        client(TAG_S, [chunk("ABORT")], { sport: 1001 }),
        client(TAG_S, [chunk("COOKIE_ACK")], { sport: 1002 }),
        client(TAG_S, [chunk("SHUTDOWN_COMPLETE")], { sport: 1003 }),
        client(TAG_S, [data], { sport: 1004 }),
        client(0, [sctpInit(TAG_C, 1), data], { sport: 1005 }),
        client(0, [sctpInit(TAG_C, 1)], { sport: 1006, badChecksum: true }),
        client(0, [sctpInit(0, 1)], { sport: 1007 }),
        client(0, [{ type: 1, length: 2 }], { sport: 1008 }),
        client(0, [], { sport: 1009 }),
      ],
    },
    expect(v) {
      v.is(states(v, "shutdown", "shutdown ack", "complete"), [
        "SHUTDOWN_SENT",
        "SHUTDOWN_ACK_SENT",
        "CLOSED",
      ]);
    },
  },
  {
    id: "S05",
    says: "a stale INIT passes and takes the expected tag with it, so later data is INVALID",
    scenario: {
      ...NET,
      iptables: M + DROP_INVALID,
      steps: [
        ...associated(),
        server(0, [sctpInit(0x33333333, 1)]),
        dump("stale INIT"),
        client(0x33333333, [sctpInit(TAG_C, 1, true)]),
        dump("stale INIT ACK"),
        server(TAG_C, [sctpInit(0x44444444, 1, true)]),
        client(TAG_S, [data]),
        server(TAG_C, [chunk("SACK", [0, 0, 0, 1, 0, 0, 255, 255, 0, 0, 0, 0])]),
      ],
    },
    expect: (v) => v.is(v.flow().state, "ESTABLISHED"),
  },
  {
    id: "S05b",
    says:
      "a HEARTBEAT with another tag is believed when the other side acknowledges it with another one, too",
    scenario: {
      ...NET,
      iptables: M + DROP_INVALID,
      steps: HEARTBEATS.flatMap((lines, i) => [
        ...associated({ sport: 1000 + i }),
        ...[...lines, ...AFTERWARDS].map(([side, vtag, what]) =>
          side(
            vtag,
            [...what].map((letter) => SAID[letter]),
            side === client ? { sport: 1000 + i } : { dport: 1000 + i },
          )
        ),
      ]),
    },
    expect(v) {
      v.is(v.flows().length, HEARTBEATS.length, "flows");
      v.is(v.flows().every((f) => f.state === "ESTABLISHED" && f.assured), true);
    },
  },
  {
    id: "S05c",
    says:
      "a HEARTBEAT that comes first learns the tags from whoever sends them, and what is cut begins nothing",
    scenario: {
      ...NET,
      iptables: M + DROP_INVALID,
      steps: HEARTBEATS.flatMap((lines, i) =>
        [...lines, ...AFTERWARDS].map(([side, vtag, what]) =>
          side(
            vtag,
            [...what].map((letter) => SAID[letter]),
            side === client ? { sport: 1000 + i } : { dport: 1000 + i },
          )
        )
      ),
    },
    expect: (v) => v.is(v.flows().length, 13, "flows"),
  },
  {
    id: "S05d",
    says: "whatever chunks come, with whatever tags, in whatever order",
    scenario: { ...NET, iptables: M + DROP_INVALID, steps: anyhow(45, 15) },
    expect(v) {
      const seen = v.answer.dumps.flatMap(({ conntrack }) => conntrack.map((line) => line.split(/ +/)[3]));
      v.is(new Set(seen).size, 8, "states");
    },
  },
  {
    id: "S05e",
    says: "INITs that cross each other or come again, and chunks that do not come alone",
    scenario: {
      ...NET,
      iptables: M + DROP_INVALID,
      steps: CROSSED.flatMap((line, i) => [
        ...line.split(" ").map((text) => crossed(text, 3000 + i)),
        ...["c3d", "c4d", "s1d", "s2d"].map((text) => crossed(text, 3000 + i)),
      ]),
    },
    expect: (v) => v.is(v.flows().length, CROSSED.length, "flows"),
  },
  {
    id: "S06",
    says: "SNAT to one port rewrites the whole association, CRC32c included",
    scenario: {
      ...NET,
      iptables: COUNT + nat("-A POSTROUTING -o wan -p sctp -j SNAT --to-source 203.0.113.50:34567"),
      steps: [
        ...associated({ dst: "203.0.113.50", dport: 34567 }),
        client(TAG_S, [data]),
        server(TAG_C, [chunk("SACK", [0, 0, 0, 1, 0, 0, 255, 255, 0, 0, 0, 0])], {
          dst: "203.0.113.50",
          dport: 34567,
        }),
        client(TAG_S, [chunk("ABORT")]),
      ],
    },
    expect(v) {
      for (const n of [0, 2, 4, 6]) v.is([v.one(n).sport, v.one(n).errors], [34567, []]);
      for (const n of [1, 3, 5]) v.is([v.one(n).dst, v.one(n).dport, v.one(n).errors], [C, 1000, []]);
      v.is(v.flow().state, "CLOSED");
    },
  },
  {
    id: "S07",
    says: "other protocols are tracked by their addresses",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        packet("lan", gre({ src: C, dst: S, payload: "inner" })),
        packet("lan", ip({ src: C, dst: S, protocol: 50, payload: 40 })),
        packet("lan", ip({ src: C, dst: S, protocol: 253, payload: 40 })),
        packet("wan", gre({ src: S, dst: WAN, payload: "inner" })),
        packet("wan", ip({ src: S, dst: WAN, protocol: 50, payload: 40 })),
        packet("lan", gre({ src: C, dst: S2, key: 77, payload: "inner" })),
        packet("lan", gre({ src: C, dst: S2, pptp: { callId: 5, seq: 1 }, payload: "ppp" })),
        packet("lan", ip({ src: C, dst: S, protocol: 51, payload: 40 })),
        packet("lan", ip({ src: C, dst: S, protocol: 253, payload: 0 })),
        packet("lan", ip({ src: C, dst: S2, protocol: 47, payload: 3 })),
      ],
    },
    expect(v) {
      v.is([0, 1, 2].map((n) => v.one(n).src), [WAN, WAN, WAN]);
      v.is([3, 4].map((n) => v.one(n).dst), [C, C]);
      for (const f of v.flows().filter((f) => f.protocol === "unknown")) v.timer(f, 600);
    },
  },
  {
    id: "S08",
    says: "right UDP-Lite is INVALID to Linux, whose tracker sums it with the pseudo header of UDP",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        lite({ coverage: 12 }),
        packet("wan", udplite({ src: S, sport: 53, dst: WAN, dport: 1000, payload: 50 })),
        lite({ sport: 1001, checksum: 0 }),
        lite({ sport: 1002, coverage: 4 }),
        lite({ sport: 1003, coverage: 200 }),
        lite({ sport: 1004, badChecksum: true }),
      ],
    },
    expect(v) {
      v.is(v.states(), "INVALID 5");
      v.is(v.flows().length, 0, "flows");
    },
  },
  {
    id: "S08b",
    says:
      "without the check of checksums UDP-Lite is tracked and translated, and so is SCTP with a wrong one",
    scenario: {
      ...NET,
      iptables: M,
      sysctl: { "net.netfilter.nf_conntrack_checksum": 0 },
      steps: [
        lite({ coverage: 12 }),
        packet("wan", udplite({ src: S, sport: 53, dst: WAN, dport: 1000, payload: 50 })),
        lite({ coverage: 12 }),
        lite({ sport: 1001, checksum: 0 }),
        lite({ sport: 1002, coverage: 4 }),
        lite({ sport: 1003, coverage: 200 }),
        lite({ sport: 1004, coverage: 8 }),
        lite({ sport: 1005, cut: 7 }),
        client(0, [sctpInit(TAG_C, 1)], { sport: 1006, badChecksum: true }),
      ],
    },
    expect(v) {
      v.is([v.one(0).src, v.one(1).dst, v.one(0).errors, v.one(1).errors], [WAN, C, [], []]);
      v.is(v.one(3).src, C, "no checksum");
    },
  },
  {
    id: "S09",
    says: "a rule for one port of SCTP or UDP-Lite does not open another",
    scenario: {
      ...NET,
      iptables: COUNT + filter(
        ":FORWARD DROP [0:0]",
        "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT",
        "-A FORWARD -p sctp --dport 36412 -j ACCEPT",
        "-A FORWARD -p udplite -m multiport --dports 53 -j ACCEPT",
      ),
      steps: [
        client(0, [sctpInit(TAG_C, 1)]),
        client(0, [sctpInit(TAG_C, 1)], { dport: 22 }),
        packet("lan", udplite({ src: C, sport: 1000, dst: S, dport: 53, payload: 50 })),
        packet("lan", udplite({ src: C, sport: 1000, dst: S, dport: 22, payload: 50 })),
      ],
    },
    expect(v) {
      v.one(0);
      v.silent(1, 3);
      v.one(2);
    },
  },
  {
    id: "S10",
    says: "multicast is not forwarded",
    scenario: {
      ...NET,
      iptables: COUNT,
      steps: [
        packet("lan", ip({ src: C, dst: "224.0.0.18", protocol: 112, ttl: 255, payload: 20 })),
        packet(
          "lan",
          ip({ src: C, dst: "224.0.0.1", protocol: 2, ttl: 1, payload: [0x11, 0, 0xee, 0xff, 0, 0, 0, 0] }),
        ),
        packet("lan", ip({ src: C, dst: "239.1.2.3", protocol: 17, ttl: 9, payload: 20 })),
      ],
    },
    expect: (v) => v.silent(0, 1, 2),
  },
];
