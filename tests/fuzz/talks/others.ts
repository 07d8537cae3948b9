/**
 * UDP, echo, SCTP, GRE, other protocols, fragments, and packets that belong to nothing.
 *
 * @module
 */
import {
  gre,
  icmp,
  icmpEcho,
  ip,
  sctp,
  SCTP_CHUNK,
  type SctpChunk,
  sctpInit,
  udp,
  udplite,
} from "../../kit/packets.ts";
import type { Chance } from "../chance.ts";
import type { Family } from "../net.ts";
import type { End, Step } from "../steps.ts";
import { ends, Talk } from "./talk.ts";

const LENGTHS = [0, 1, 8, 30, 100, 512, 1300, 1400, 1452];
const LONG_LENGTHS = [...LENGTHS, 2000, 9000, 30000];

/** Questions and answers. */
export function udpTalk(c: Chance, number: number, family: Family): Step[] {
  const t = new Talk(c, number, family, ends(c, family));
  const make = c.is(0.12) ? udplite : udp;
  for (let n = c.between(1, 8), first = true; n > 0; n--, first = false) {
    const from: End = first || c.is(0.5) ? 0 : 1;
    const none = make === udp && family === 4 && c.is(0.1);
    t.send(
      from,
      make({
        ...t.head(from),
        payload: c.pick(c.long ? LONG_LENGTHS : LENGTHS),
        ...(none ? { checksum: 0 } : {}),
        df: c.is(0.7),
      }),
    );
    if (c.is(0.12)) t.complain((1 - from) as End);
  }
  return t.steps;
}

/** Echo, and other ICMP queries. */
export function echoTalk(c: Chance, number: number, family: Family): Step[] {
  const t = new Talk(c, number, family, ends(c, family));
  const echoId = c.weighted([[4, c.between(0, 65535)], [3, c.between(1, 5)]]);
  const kinds = family === 4 && c.is(0.15) ? c.pick([[13, 14], [17, 18], [15, 16]] as const) : null;
  for (let i = 0, n = c.between(1, 6); i < n; i++) {
    for (const from of [0, 1] as const) {
      if (from === 1 && c.is(0.2)) continue;
      const { sport: _s, dport: _d, ...head } = t.head(from);
      t.send(
        from,
        kinds === null
          ? icmpEcho({
            ...head,
            echoId,
            echoSeq: i + 1,
            reply: from === 1,
            payload: c.pick([0, 8, 56, 1000, 1440]),
          })
          : icmp({ ...head, type: kinds[from], rest: (echoId << 16) | i, payload: 12 }),
      );
    }
    if (c.is(0.15)) t.complain(c.pick([0, 1]));
  }
  return t.steps;
}

/** An association: four-way handshake, data, heartbeat, shutdown or abort. */
export function sctpTalk(c: Chance, number: number, family: Family): Step[] {
  const t = new Talk(c, number, family, ends(c, family));
  const tags = [c.word() || 1, c.word() || 1];
  const {
    DATA,
    SACK,
    HEARTBEAT,
    HEARTBEAT_ACK,
    ABORT,
    SHUTDOWN,
    SHUTDOWN_ACK,
    ERROR,
    COOKIE_ECHO,
    COOKIE_ACK,
    SHUTDOWN_COMPLETE,
  } = SCTP_CHUNK;
  const send = (from: End, vtag: number, ...chunks: SctpChunk[]) =>
    t.send(from, sctp({ ...t.head(from), vtag, chunks }));
  const chunk = (type: number, body: number = 4, flags = 0): SctpChunk => ({
    type,
    flags,
    body: new Uint8Array(body).fill(7),
  });
  if (c.is(0.9)) {
    send(0, 0, sctpInit(tags[0], 1));
    if (c.is(0.1)) send(0, 0, sctpInit(tags[0], 1));
    send(1, tags[0], sctpInit(tags[1], 2, true));
    send(0, tags[1], chunk(COOKIE_ECHO, 16));
    send(1, tags[0], chunk(COOKIE_ACK, 0));
  } else if (c.is(0.5)) {
    send(0, tags[1], chunk(HEARTBEAT, 8));
    send(1, tags[0], chunk(HEARTBEAT_ACK, 8));
  }
  for (let n = c.below(6); n > 0; n--) {
    const from = c.pick([0, 1] as const), back = (1 - from) as End;
    c.weighted<() => void>([
      [6, () => {
        send(from, tags[back], chunk(DATA, 12 + c.below(100)));
        send(back, tags[from], chunk(SACK, 12));
      }],
      [2, () => {
        send(from, tags[back], chunk(HEARTBEAT, 8));
        send(back, tags[from], chunk(HEARTBEAT_ACK, 8));
      }],
      [1, () => send(from, c.word(), chunk(DATA, 16))],
      [1, () => send(from, tags[back], chunk(SACK, 12), chunk(DATA, 16), chunk(c.below(20)))],
      [0.5, () => send(from, 0, sctpInit(c.word(), 9))],
      [0.5, () => send(from, tags[back], chunk(ERROR, 4))],
      [0.5, () => send(from, tags[back], { type: DATA, body: [1, 2, 3, 4], length: c.pick([0, 3, 4, 100]) })],
      [0.5, () => t.complain(from)],
    ])();
  }
  const from = c.pick([0, 1] as const), back = (1 - from) as End;
  c.weighted<() => void>([
    [4, () => {
      send(from, tags[back], chunk(SHUTDOWN, 4));
      send(back, tags[from], chunk(SHUTDOWN_ACK, 0));
      send(from, tags[back], chunk(SHUTDOWN_COMPLETE, 0));
    }],
    [1, () => send(from, tags[back], chunk(ABORT, 0))],
    [1, () => send(from, tags[from], chunk(ABORT, 0, 1))],
    [1, () => send(from, c.word(), chunk(ABORT, 0))],
    [2, () => {}],
  ])();
  return t.steps;
}

/** GRE with and without key, and protocols that nobody knows. */
export function rareTalk(c: Chance, number: number, family: Family): Step[] {
  const t = new Talk(c, number, family, ends(c, family));
  const key = c.is(0.5) ? c.word() : undefined;
  const pptp = c.is(0.3) ? { callId: c.below(65536), seq: c.is(0.5) ? 1 : undefined } : undefined;
  const protocol = c.weighted([[3, 47], [2, 50], [1, 51], [1, 4], [1, 41], [1, 103], [1, 253], [0.5, 2], [
    0.5,
    108,
  ]]);
  for (let n = c.between(1, 5); n > 0; n--) {
    const from: End = c.is(0.6) ? 0 : 1;
    const { sport: _s, dport: _d, ...head } = t.head(from);
    const payload = c.pick([0, 3, 4, 8, 40, 500]);
    t.send(from, protocol === 47 ? gre({ ...head, key, pptp, payload }) : ip({ ...head, protocol, payload }));
    if (c.is(0.15)) t.complain((1 - from) as End);
  }
  return t.steps;
}

/** Datagrams that come in pieces. */
export function fragmentTalk(c: Chance, number: number, family: Family): Step[] {
  const t = new Talk(c, number, family, ends(c, family));
  const echo = c.is(0.3);
  for (let i = 0, n = c.between(1, 4); i < n; i++) {
    const from: End = i === 0 || c.is(0.5) ? 0 : 1, payload = c.between(9, c.pick([60, 1500, 4000]));
    const { sport, dport, ...head } = t.head(from);
    const whole = echo
      ? icmpEcho({ ...head, echoId: 7, echoSeq: i, reply: from === 1, payload, df: false })
      : udp({ ...head, sport, dport, payload, df: c.is(0.1) });
    t.sendFragments(from, whole);
    if (c.is(0.15)) t.complain((1 - from) as End);
  }
  return t.steps;
}

/** One packet of nothing: ICMP without a cause, odd types, neighbour discovery. */
export function strayTalk(c: Chance, number: number, family: Family): Step[] {
  const t = new Talk(c, number, family, ends(c, family));
  const from: End = c.is(0.7) ? 0 : 1;
  const { sport, dport, ...head } = t.head(from);
  const inner = udp({ src: head.dst, dst: head.src, sport: dport, dport: sport, payload: 20, id: 5 });
  const types = family === 4
    ? [0, 3, 4, 5, 8, 9, 10, 11, 12, 13, 14, 17, 18, 30, 42, 255]
    : [1, 2, 3, 4, 100, 128, 129, 130, 133, 134, 135, 136, 137, 143, 151, 200];
  c.weighted<() => void>([
    [
      3,
      () =>
        t.send(
          from,
          icmp({ ...head, type: c.pick(types), code: c.below(5), rest: c.word(), payload: c.below(60) }),
        ),
    ],
    [2, () => t.send(from, icmp({ ...head, type: family === 4 ? 3 : 1, code: 3, payload: inner }))],
    [1, () => t.send(from, icmpEcho({ ...head, reply: true, echoId: c.below(9), payload: 8 }))],
  ])();
  return t.steps;
}
