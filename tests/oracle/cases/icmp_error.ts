/** Group E: ICMP errors about flows. */
import { icmpEcho, icmpError, type IpOptions, tcp, udp } from "../../kit/packets.ts";
import { dump, type Emitted, packet, type Step } from "../scenario.ts";
import type { View } from "../view.ts";
import {
  answer,
  C,
  C2,
  C6,
  type Case,
  COUNT,
  cu,
  handshake,
  ISN_C,
  M,
  nat,
  NET,
  NET6,
  R,
  S,
  S6,
} from "./case.ts";
import { S2, su, WAN, WAN6 } from "./case.ts";

type Error = Partial<IpOptions> & {
  type: number;
  code?: number;
  rest?: number;
  quote?: number;
  badChecksum?: boolean;
};

/** What came out by an interface last. */
function last(seen: readonly Emitted[], iface: string): Uint8Array {
  return seen.filter((e) => e.iface === iface).at(-1)!.bytes;
}

/** An error that comes in by `iface` about the last packet that left there, or about `quoted`. */
function about(iface: "lan" | "wan", o: Error, quoted?: Uint8Array): Step {
  const ends = iface === "wan" ? { src: S, dst: WAN } : { src: C, dst: S };
  if (quoted) return packet(iface, icmpError({ ...ends, quote: 8, ...o, quoted }));
  return packet(iface, (seen) => icmpError({ ...ends, quote: 8, ...o, quoted: last(seen, iface) }));
}

/** The datagram of `cu` as it is outside. */
const outside = (o: Partial<Parameters<typeof udp>[0]> = {}) =>
  udp({ src: WAN, sport: 1000, dst: S, dport: 53, payload: "query", ttl: 60, ...o });

/** The error reached the client, RELATED, and quotes what the client sent. */
function reaches(v: View, n: number, type: number, code: number, from = S): void {
  const o = v.one(n);
  v.is([o.iface, o.src, o.dst, o.type, o.code], ["lan", from, C, type, code]);
  v.is([o.quoted!.src, o.quoted!.sport, o.quoted!.dst], [C, 1000, S]);
  v.is(o.errors, []);
}

export const ICMP_ERROR_CASES: Case[] = [
  {
    id: "E01",
    says: "port unreachable is RELATED, and inside and outside are translated back",
    scenario: { ...NET, iptables: M, steps: [cu(), about("wan", { type: 3, code: 3 }), dump("error")] },
    expect(v) {
      reaches(v, 1, 3, 3);
      v.is(v.states(), "NEW 1, RELATED 1");
      v.is(v.flow().unreplied, true);
    },
  },
  {
    id: "E01b",
    says: "the same for a TCP flow, with the whole segment quoted",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        ...handshake(),
        packet(
          "lan",
          tcp({
            src: C,
            sport: 1000,
            dst: S,
            dport: 80,
            flags: "PA",
            seq: ISN_C + 1,
            ack: 5001,
            payload: 100,
          }),
        ),
        about("wan", { type: 3, code: 1, quote: 120 }),
        about("wan", { type: 3, code: 1, quote: 20 }),
        about("wan", { type: 3, code: 1, quote: 9 }),
      ],
    },
    expect(v) {
      for (const n of [4, 5, 6]) reaches(v, n, 3, 1);
    },
  },
  {
    id: "E02",
    says: "time exceeded and frag-needed from a router on the way are RELATED",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        cu(),
        about("wan", { type: 11, src: R }),
        about("wan", { type: 3, code: 4, rest: 1280, src: R }, outside()),
      ],
    },
    expect(v) {
      reaches(v, 1, 11, 0, R);
      reaches(v, 2, 3, 4, R);
      v.is(v.one(2).rest, 1280, "next-hop MTU");
    },
  },
  {
    id: "E03",
    says: "parameter problem and source quench are RELATED",
    scenario: {
      ...NET,
      iptables: M,
      steps: [cu(), about("wan", { type: 12, rest: 20 << 24 }), about("wan", { type: 4 })],
    },
    expect(v) {
      reaches(v, 1, 12, 0);
      reaches(v, 2, 4, 0);
    },
  },
  {
    id: "E05",
    says: "a quote without the transport header's first eight bytes is about nothing",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        cu(),
        ...[4, 0, 7].map((quote) => about("wan", { type: 3, code: 3, quote }, outside())),
        packet("wan", icmpError({ src: S, dst: WAN, type: 3, code: 3, quoted: new Uint8Array() })),
      ],
    },
    expect(v) {
      for (const n of [1, 2, 3, 4]) v.is(v.out(n).filter((o) => o.iface === "lan").length, 0, `packet ${n}`);
      v.is(v.count("--ctstate RELATED"), 0);
    },
  },
  {
    id: "E07",
    says: "a quote of no flow is not forwarded",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        cu(),
        about("wan", { type: 3, code: 3 }, outside({ sport: 1001 })),
        about("wan", { type: 3, code: 3 }, outside({ src: "203.0.113.77" })),
        about("wan", { type: 3, code: 3 }, outside({ dport: 54 })),
      ],
    },
    expect: (v) => v.silent(1, 2, 3),
  },
  {
    id: "E08",
    says: "an error whose own target is another host is INVALID",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        cu(),
        about("wan", { type: 3, code: 3, dst: C2 }, outside()),
        about("wan", { type: 3, code: 3, dst: C }, outside()),
      ],
    },
    expect(v) {
      v.is(v.count("--ctstate INVALID"), 2);
      v.is(v.one(1).quoted!.src, WAN, "not translated");
    },
  },
  {
    id: "E09",
    says: "IP options in the quoted header are kept",
    scenario: {
      ...NET,
      iptables: M,
      steps: [cu(), about("wan", { type: 3, code: 3 }, outside({ ipOptions: [7, 7, 4, 0, 0, 0, 0, 0] }))],
    },
    expect(v) {
      reaches(v, 1, 3, 3);
      v.is([...v.one(1).quoted!.ipOptions], [7, 7, 4, 0, 0, 0, 0, 0]);
    },
  },
  {
    id: "E10",
    says: "quotes of later fragments and errors about errors are about nothing",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        cu(),
        about("wan", { type: 3, code: 3 }, outside({ offset: 1480 })),
        about(
          "wan",
          { type: 3, code: 3, quote: 64 },
          icmpError({ src: WAN, dst: S, type: 11, quoted: outside() }),
        ),
      ],
    },
    expect(v) {
      v.silent(1, 2);
      v.is(v.count("--ctstate RELATED"), 0);
    },
  },
  {
    id: "E11",
    says: "errors of the LAN about answers leave with the public address",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        cu(),
        su(),
        about("lan", { type: 3, code: 3 }),
        about(
          "lan",
          { type: 11, src: "192.0.2.77" },
          udp({ src: S, sport: 53, dst: C, dport: 1000, payload: "answer", ttl: 1 }),
        ),
      ],
    },
    expect(v) {
      for (const n of [2, 3]) {
        const o = v.one(n);
        v.is([o.iface, o.dst], ["wan", S]);
        v.is([o.quoted!.dst, o.quoted!.dport], [WAN, 1000]);
      }
      v.is([v.one(2).src, v.one(3).src], [WAN, WAN]);
    },
  },
  {
    id: "E12",
    says: "an error of a DNATed server names the public address inside",
    scenario: {
      ...NET,
      iptables: COUNT + nat(`-A PREROUTING -i wan -p tcp --dport 80 -j DNAT --to-destination ${C}:8080`),
      steps: [
        packet("wan", tcp({ src: S, sport: 4000, dst: WAN, dport: 80, flags: "S", seq: 9 })),
        about("lan", { type: 3, code: 3 }),
        about(
          "lan",
          { type: 3, code: 4, rest: 1300, src: "192.0.2.77" },
          tcp({ src: S, sport: 4000, dst: C, dport: 8080, flags: "S", seq: 9 }),
        ),
      ],
    },
    expect(v) {
      v.is([v.one(1).src, v.one(1).quoted!.dst, v.one(1).quoted!.dport], [WAN, WAN, 80]);
      v.is([v.one(2).quoted!.dst, v.one(2).quoted!.dport], [WAN, 80]);
    },
  },
  {
    id: "E13",
    says: "frag-needed from routers on either side of a DNATed flow is translated",
    scenario: {
      ...NET,
      iptables: COUNT + nat(`-A PREROUTING -i wan -p tcp --dport 80 -j DNAT --to-destination ${C}:8080`),
      steps: [
        packet("wan", tcp({ src: S, sport: 4000, dst: WAN, dport: 80, flags: "S", seq: 9 })),
        answer("lan"),
        about("wan", { type: 3, code: 4, rest: 1300, src: R }),
        about(
          "lan",
          { type: 3, code: 4, rest: 1300, src: "192.0.2.77" },
          tcp({ src: S, sport: 4000, dst: C, dport: 8080, flags: "A", seq: 10, ack: 5002 }),
        ),
      ],
    },
    expect(v) {
      v.is([v.one(2).src, v.one(2).dst, v.one(2).quoted!.src, v.one(2).quoted!.sport], [R, C, C, 8080]);
      v.is([v.one(3).src, v.one(3).dst, v.one(3).quoted!.dst, v.one(3).quoted!.dport], [WAN, S, WAN, 80]);
    },
  },
  {
    id: "E14",
    says: "a flood of errors leaves a flow as it is",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        ...handshake(),
        ...Array.from(
          { length: 50 },
          (_, i) =>
            about(
              "wan",
              { type: 3, code: i % 5 },
              tcp({ src: WAN, sport: 1000, dst: S, dport: 80, flags: "A", seq: i }),
            ),
        ),
      ],
    },
    expect(v) {
      v.is([v.flow().state, v.flow().assured], ["ESTABLISHED", true]);
      v.is(v.count("--ctstate RELATED"), 50);
    },
  },
  {
    id: "E15",
    says: "ICMPv6 unreachable and packet too big are RELATED",
    scenario: {
      ...NET6,
      ip6tables: M,
      steps: [
        packet("lan", udp({ src: C6, sport: 1000, dst: S6, dport: 53, payload: "query" })),
        ...[[1, 4, 0], [2, 0, 1280], [3, 0, 0], [4, 1, 40]].map(([type, code, rest]) =>
          packet(
            "wan",
            (seen) => icmpError({ src: S6, dst: WAN6, type, code, rest, quoted: last(seen, "wan") }),
          )
        ),
        packet(
          "wan",
          icmpError({
            src: S6,
            dst: WAN6,
            type: 1,
            code: 4,
            quoted: udp({ src: WAN6, sport: 7, dst: S6, dport: 8 }),
          }),
        ),
      ],
    },
    expect(v) {
      // The packets that left by wan are those of the client, so each error is about one of them.
      v.is(
        [1, 2, 3, 4].map((n) => [v.one(n).dst, v.one(n).type, v.one(n).quoted!.src]),
        [1, 2, 3, 4].map((t) => [C6, t, C6]),
      );
      v.is(v.one(2).rest, 1280);
      v.silent(5);
      for (const n of [1, 2, 3, 4]) v.is(v.one(n).errors, []);
    },
  },
  {
    id: "E17",
    says: "a redirect about a translated flow is dropped, one with a wrong checksum is INVALID",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        cu(),
        about("wan", { type: 5, code: 1, rest: 0x0a000001 }, outside()),
        about("wan", { type: 3, code: 3, badChecksum: true }, outside()),
        about("wan", { type: 3, code: 3, quote: 13 }, outside({ badChecksum: true })),
      ],
    },
    expect(v) {
      v.silent(1, 2);
      v.is(v.one(3).dst, C);
    },
  },
  {
    id: "E18",
    says: "errors about pings are translated, id included",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        packet("lan", echo(C)),
        packet("lan", echo(C2)),
        about("wan", { type: 11, src: R }),
      ],
    },
    expect(v) {
      v.is([v.one(2).dst, v.one(2).quoted!.src, v.one(2).quoted!.echoId], [C2, C2, 7]);
      v.is(v.one(2).errors, []);
    },
  },
  {
    id: "E19",
    says: "without NAT an error is RELATED and passes as it is",
    scenario: {
      ...NET,
      iptables: COUNT,
      steps: [
        cu(),
        about("wan", { type: 3, code: 3, dst: C }),
        su({ dst: C }),
        about("lan", { type: 3, code: 2 }),
      ],
    },
    expect: (v) => v.is(v.states(), "NEW 1, ESTABLISHED 1, RELATED 2"),
  },
  {
    id: "E20",
    says:
      "an MTU that the router's own answer was too big for holds for its answers, below 552 for all packets",
    scenario: {
      ...NET,
      steps: [
        ...[0, 1, 2].map(() => cu({ payload: 1000, df: false })),
        tooBig(700),
        packet("wan", icmpEcho({ src: S, dst: WAN, payload: 1000, df: false })),
        cu({ payload: 1000, df: false }),
        tooBig(500),
        cu({ payload: 1000, df: false }),
        cu({ payload: 1000 }),
        // Quoted is a host's packet: nothing that this router could learn from.
        tooBig(600, C, S2),
        packet("wan", icmpEcho({ src: S2, dst: WAN, payload: 1000, df: false })),
      ],
    },
    expect(v) {
      v.silent(3, 6, 9);
      v.is([4, 5, 7, 10].map((n) => v.out(n).map((o) => o.length)), [[700, 348], [1028], [548, 500], [1028]]);
      v.is([v.one(8).iface, v.one(8).type, v.one(8).code, v.one(8).rest], ["lan", 3, 4, 552]);
    },
  },
  {
    id: "E21",
    says: "in IPv6 it holds for forwarded packets too, whoever sent the quoted one, behind all rules",
    scenario: {
      ...NET6,
      ip6tables: COUNT,
      steps: [
        ...[0, 1, 2].map(() => cu({ src: C6, dst: S6, payload: 1400 })),
        tooBig(1300, "2001:db8:77::1", S6),
        cu({ src: C6, dst: S6, payload: 1400 }),
        cu({ src: C6, dst: S6, payload: 1200 }),
        packet("wan", icmpEcho({ src: S6, dst: WAN6, payload: 1400 })),
      ],
    },
    expect(v) {
      v.silent(3);
      v.is([v.one(4).iface, v.one(4).type, v.one(4).rest, v.one(4).quoted!.ttl], ["lan", 2, 1300, 63]);
      v.is([v.one(5).iface, v.out(6).map((o) => o.length)], ["wan", [1296, 208]]);
      v.is(v.states(undefined, 6), "NEW 5");
    },
  },
];

/** A router beyond wan says that the router's echo reply to a host is too big for an MTU. */
function tooBig(mtu: number, from = WAN, to = S) {
  const quoted = icmpEcho({ src: from, dst: to, reply: true, payload: 600 });
  return packet(
    "wan",
    to.includes(":")
      ? icmpError({ src: "2001:db8:3::fe", dst: WAN6, type: 2, rest: mtu, quoted })
      : icmpError({ src: R, dst: WAN, type: 3, code: 4, rest: mtu, quoted }),
  );
}

function echo(src: string): Uint8Array {
  return icmpEcho({ src, dst: S, echoId: 7 });
}
