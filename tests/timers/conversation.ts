/**
 * What is said to a router to bring one flow into every state that has a time of its own, and the routers that it is
 * said to. Linux's runs in real time and every moment is written down; Weir's clock is then set to those moments.
 *
 * @module
 */
import { validate } from "../../src/config/validate.ts";
import { amanda, ftp, irc, tftp } from "../../src/helpers/mod.ts";
import { VirtualRouter } from "../../src/replay/virtual.ts";
import {
  fragments,
  gre,
  icmpEcho,
  ip,
  sctp,
  SCTP_CHUNK as CHUNK,
  type SctpChunk,
  sctpInit,
  tcp,
  udp,
  udplite,
} from "../kit/packets.ts";
import { hex, unhex } from "../kit/show.ts";
import { KernelRouter } from "../oracle/kernel.ts";
import { inNewNetns } from "../oracle/netns.ts";
import { type Scenario, SCENARIO_SYSCTLS } from "../oracle/scenario.ts";

const A = "192.0.2.2", S = "198.51.100.7", A6 = "2001:db8:1::2", S6 = "2001:db8:9::7";
/** The router's own addresses. */
const OWN = "192.0.2.1", OWN6 = "2001:db8:1::1";

/** A packet, and milliseconds after the beginning when it is due. */
export type Said = readonly [at: number, iface: "lan" | "wan", bytes: Uint8Array];

/** TCP segments of one connection, `c` from the client and `s` from the server: `c SA seq ack payload`. */
function tcpTalk(sport: number, ...lines: string[]): Said[] {
  return lines.map((line) => {
    const [who, flags, seq, ack = "0", payload = "0", win = "65535"] = line.split(" ");
    const fields = { flags: flags === "-" ? "" : flags, seq: +seq, ack: +ack, payload: +payload, win: +win };
    return who === "c"
      ? [0, "lan", tcp({ src: A, sport, dst: S, dport: 80, ...fields })]
      : [0, "wan", tcp({ src: S, sport: 80, dst: A, dport: sport, ...fields })];
  });
}
const OPEN = ["c S 100", "s SA 900 101", "c A 101 901"];
const FIN = [...OPEN, "c FA 101 901"], LAST_ACK = [...FIN, "s FA 901 102"];

/** SCTP packets of one association: client's tag 11, server's 22. */
function sctpTalk(sport: number, ...chunks: ["c" | "s", number, SctpChunk][]): Said[] {
  return chunks.map(([who, vtag, chunk]) =>
    who === "c"
      ? [0, "lan", sctp({ src: A, sport, dst: S, dport: 80, vtag, chunks: [chunk] })]
      : [0, "wan", sctp({ src: S, sport: 80, dst: A, dport: sport, vtag, chunks: [chunk] })]
  );
}
const chunk = (type: number, ...body: number[]): SctpChunk => ({ type, body });
const ECHO: ["c" | "s", number, SctpChunk][] = [
  ["c", 0, sctpInit(11, 1)],
  ["s", 11, sctpInit(22, 1, true)],
  ["c", 22, chunk(CHUNK.COOKIE_ECHO, 1, 2, 3, 4)],
];
const UP: typeof ECHO = [...ECHO, ["s", 11, chunk(CHUNK.COOKIE_ACK)]];

/** Query and answer, and the third packet after two seconds that makes it a stream. */
function both(there: Uint8Array, back: Uint8Array, again = true): Said[] {
  const said: Said[] = [[0, "lan", there], [0, "wan", back]];
  return again ? [...said, [2300, "lan", there]] : said;
}
const u = (sport: number, dport = 53) => udp({ src: A, sport, dst: S, dport });
const uBack = (dport: number) => udp({ src: S, sport: 53, dst: A, dport });
const raw = (protocol: number) => ip({ src: A, dst: S, protocol, payload: 8 });

/** Every state with a timeout of its own. */
export const FLOWS: readonly Said[] = [
  ...tcpTalk(1001, "c S 100"),
  ...tcpTalk(1002, "c S 100", "s S 900"), // SYN_SENT2
  ...tcpTalk(1003, "c S 100", "s SA 900 101"),
  ...tcpTalk(1004, ...OPEN),
  ...tcpTalk(1005, ...FIN),
  ...tcpTalk(1006, ...FIN, "s A 901 102"),
  ...tcpTalk(1007, ...LAST_ACK),
  ...tcpTalk(1008, ...LAST_ACK, "c A 102 902"),
  ...tcpTalk(1009, ...OPEN, "s R 901"),
  ...tcpTalk(1010, ...OPEN, "s A 901 101", "c PA 101 901 50"), // unacknowledged
  ...tcpTalk(1011, ...OPEN, "s A 901 101", ...Array(5).fill("c PA 101 901 50")), // max_retrans
  ...tcpTalk(1012, "c A 500 700"), // picked up
  ...tcpTalk(1013, ...OPEN, "s A 901 101 0 0"), // window shut
  ...tcpTalk(1014, ...OPEN, "s A 901 101", "s R 950"), // a RST that is not exact
  ...tcpTalk(1015, ...OPEN, "s R 700000000", "c FA 700000000 901"), // invalid ends from both sides
  [0, "lan", u(2001)],
  ...both(u(2002), uBack(2002), false),
  ...both(u(2003), uBack(2003)),
  [0, "lan", udplite({ src: A, sport: 3001, dst: S, dport: 53, payload: 20 })],
  ...both(
    udplite({ src: A, sport: 3002, dst: S, dport: 53, payload: 20 }),
    udplite({ src: S, sport: 53, dst: A, dport: 3002, payload: 20 }),
    false,
  ),
  [0, "lan", icmpEcho({ src: A, dst: S, echoId: 1 })],
  ...both(
    icmpEcho({ src: A, dst: S, echoId: 2 }),
    icmpEcho({ src: S, dst: A, echoId: 2, reply: true }),
    false,
  ),
  [0, "lan", icmpEcho({ src: A6, dst: S6, echoId: 1 })],
  [0, "lan", udp({ src: A6, sport: 2001, dst: S6, dport: 53 })],
  [0, "lan", tcp({ src: A6, sport: 1001, dst: S6, dport: 80, flags: "S", seq: 1 })],
  [0, "lan", raw(253)],
  [0, "lan", raw(50)],
  [0, "wan", ip({ src: S, dst: A, protocol: 50, payload: 8 })],
  [0, "lan", gre({ src: A, dst: S })],
  [0, "lan", gre({ src: A, dst: "198.51.100.8" })],
  [0, "wan", gre({ src: "198.51.100.8", dst: A })],
  [100, "lan", gre({ src: A, dst: "198.51.100.8" })],
  ...sctpTalk(4001, ["c", 0, sctpInit(11, 1)]),
  ...sctpTalk(4002, ...ECHO.slice(0, 2)),
  ...sctpTalk(4003, ...ECHO),
  ...sctpTalk(4004, ...UP),
  ...sctpTalk(4005, ...UP, ["c", 22, chunk(CHUNK.SHUTDOWN, 0, 0, 0, 1)]),
  ...sctpTalk(4006, ...UP, ["s", 11, chunk(CHUNK.SHUTDOWN, 0, 0, 0, 1)]),
  ...sctpTalk(4007, ...UP, ["c", 22, chunk(CHUNK.SHUTDOWN, 0, 0, 0, 1)], [
    "s",
    11,
    chunk(CHUNK.SHUTDOWN_ACK),
  ]),
  ...sctpTalk(4008, ["c", 33, chunk(CHUNK.HEARTBEAT, 0, 1, 0, 8, 1, 2, 3, 4)]),
  ...sctpTalk(4009, ...UP, ["c", 22, chunk(CHUNK.ABORT)]),
];

/** Expectations of the helpers, and their masters. */
export const EXPECTATIONS: readonly Said[] = [
  [0, "lan", udp({ src: A, sport: 5001, dst: S, dport: 69, payload: "\0\x01file\0octet\0" })],
  ...[
    "c S 100",
    "s SA 900 101",
    "c A 101 901",
    "s PA 901 101 220 x\r\n",
    "c PA 101 907 USER x\r\n",
    "c PA 109 907 PORT 192,0,2,2,15,160\r\n",
  ].map((line): Said => {
    const [who, flags, seq, ack = "0", ...text] = line.split(" ");
    const fields = { flags, seq: +seq, ack: +ack, payload: text.join(" ") };
    return who === "c"
      ? [0, "lan", tcp({ src: A, sport: 5002, dst: S, dport: 21, ...fields })]
      : [0, "wan", tcp({ src: S, sport: 21, dst: A, dport: 5002, ...fields })];
  }),
  ...[
    "c S 100",
    "s SA 900 101",
    "c A 101 901",
    "c PA 101 901 PRIVMSG you :\x01DCC SEND file 3221225986 5002\x01\r\n",
  ].map((line): Said => {
    const [who, flags, seq, ack = "0", ...text] = line.split(" ");
    const fields = { flags, seq: +seq, ack: +ack, payload: text.join(" ") };
    return who === "c"
      ? [0, "lan", tcp({ src: A, sport: 5003, dst: S, dport: 6667, ...fields })]
      : [0, "wan", tcp({ src: S, sport: 6667, dst: A, dport: 5003, ...fields })];
  }),
  [0, "lan", udp({ src: A, sport: 5004, dst: S, dport: 10080, payload: "Amanda 2.6 REQ HANDLE 0\n" })],
  [
    0,
    "wan",
    udp({ src: S, sport: 10080, dst: A, dport: 5004, payload: "CONNECT DATA 1024 MESG 1025 INDEX 1026\n" }),
  ],
];

const piece = (src: string, dst: string, id: number, n: number, sport = 6001) =>
  fragments(udp({ src, sport, dst, dport: 53, payload: 1000, df: false }), 504, id)[n];

/** First fragments, and second ones that come in time, or too late for a timeout of two seconds. */
export const FRAGMENTS: readonly Said[] = [
  [0, "lan", piece(A, OWN, 11, 0)],
  [0, "lan", piece(A6, OWN6, 12, 0)],
  [0, "lan", piece(A, S, 13, 0)],
  [0, "lan", piece(A6, S6, 14, 0)],
  [0, "lan", piece(A, S, 15, 0)],
  [900, "lan", piece(A, S, 15, 1)],
  [0, "lan", piece(A6, S6, 16, 0)],
  [1500, "lan", piece(A6, S6, 16, 1)],
  [3100, "lan", piece(A, S, 13, 1)],
  [4100, "lan", piece(A6, S6, 14, 1)],
];

/** What a question is made of. */
export interface Question {
  readonly id: string;
  readonly says: string;
  readonly said: readonly Said[];
  readonly sysctl: Readonly<Record<string, number>>;
  readonly iptables?: string;
  readonly ip6tables?: string;
  /** Milliseconds to watch, and between two looks. */
  readonly length: number;
  readonly every: number;
  /** Flows and expectations that Linux lists at the first look: nothing was lost on the way. */
  readonly listed?: number;
  readonly expected?: number;
}

/** What was seen, and when, in milliseconds after the beginning. */
export interface Watched {
  kernel: string;
  /** When each packet was said. */
  said: number[];
  looks: { at: number; flows: string[]; expects: string[] }[];
  emitted: { at: number; iface: string; bytes: string }[];
}

const INTERFACES = {
  lan: { addresses: ["192.0.2.1/24", "2001:db8:1::1/64"] },
  wan: { addresses: ["203.0.113.1/24", "2001:db8:2::1/64"] },
};
const ROUTES = [{ destination: "0.0.0.0/0", interface: "wan" }, { destination: "::/0", interface: "wan" }];

/** Packets in the order in which they are due. */
function ordered(q: Question): Said[] {
  return q.said.map((said, i) => [said, i] as const).sort(([a, i], [b, j]) => a[0] - b[0] || i - j).map((
    [s],
  ) => s);
}

/** Watches Linux, in real time. */
export function watchKernel(q: Question): Watched {
  const scenario: Scenario = {
    interfaces: INTERFACES,
    routes: ROUTES,
    iptables: q.iptables,
    ip6tables: q.ip6tables,
    sysctl: q.sysctl,
    steps: [],
  };
  return inNewNetns(() => {
    const router = new KernelRouter(scenario);
    try {
      const seen: Watched = { kernel: Deno.osRelease(), said: [], looks: [], emitted: [] };
      const due = ordered(q), begin = performance.now(), now = () => Math.round(performance.now() - begin);
      let drained = 0;
      const drain = () => {
        for (const e of router.emitted.slice(drained)) {
          seen.emitted.push({ at: now(), iface: e.iface, bytes: hex(e.bytes) });
        }
        drained = router.emitted.length;
      };
      while (now() < q.length) {
        while (seen.said.length < due.length && due[seen.said.length][0] <= now()) {
          const [, iface, bytes] = due[seen.said.length];
          seen.said.push(now());
          router.packet(iface, bytes, 0);
          drain();
        }
        if (now() >= seen.looks.length * q.every + 200) {
          const at = now();
          router.dump("look");
          const { conntrack, expect } = router.dumps.at(-1)!;
          seen.looks.push({ at, flows: conntrack, expects: expect });
        }
        router.wait(20, 0);
        drain();
      }
      return seen;
    } finally {
      router.close();
    }
  });
}

/** Asks Weir the same, at the same moments. */
export function watchWeir(q: Question, linux: Watched): Watched {
  const names = Object.keys(INTERFACES), begin = 1_700_000_000_000;
  const seen: Watched = { kernel: "", said: linux.said, looks: [], emitted: [] };
  const router = new VirtualRouter(
    validate({
      interfaces: INTERFACES,
      routes: ROUTES,
      iptables: q.iptables,
      ip6tables: q.ip6tables,
      helpers: [ftp, irc, tftp, amanda].map((helper) => helper({ autoAssign: false })),
      sysctl: {
        ...SCENARIO_SYSCTLS,
        "net.netfilter.nf_conntrack_max": 1024,
        "net.netfilter.nf_conntrack_expect_max": 64,
        ...q.sysctl,
      },
    }),
    {
      emit: (iface, bytes) =>
        seen.emitted.push({
          at: router.clock.wall * 1000 - begin,
          iface: names[iface - 1],
          bytes: hex(bytes),
        }),
    },
  );
  router.moveTo(begin);
  const due = ordered(q);
  const events: [number, () => void][] = linux.said.map((at, i) => [at, () => {
    router.receive(names.indexOf(due[i][1]) + 1, due[i][2]);
  }]);
  for (const { at } of linux.looks) {
    events.push([at, () => seen.looks.push({ at, flows: router.flows(), expects: router.expects() })]);
  }
  for (const [at, happen] of events.sort(([a], [b]) => a - b)) {
    router.moveTo(begin + at);
    happen();
  }
  router.moveTo(begin + q.length);
  return seen;
}

export { unhex };
