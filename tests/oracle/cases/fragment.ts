/** Group G: fragments, gathered for tracking and sent on as they came. */
import {
  addressBytes,
  be,
  concat,
  fixIpChecksum,
  fragment,
  fragments,
  icmpEcho,
  ip,
  tcp,
  udp,
} from "../../kit/packets.ts";
import { dump, packet, type Step, wait } from "../scenario.ts";
import type { View } from "../view.ts";
import {
  C,
  C2,
  C6,
  type Case,
  COUNT,
  fragmented,
  LAN,
  LAN6,
  M,
  nat,
  NET,
  NET6,
  S,
  S6,
  WAN,
  WAN6,
} from "./case.ts";

const big = (size: number, o = {}) =>
  udp({ src: C, sport: 1000, dst: S, dport: 53, payload: size, df: false, ...o });
const big6 = (size: number, o = {}) => udp({ src: C6, sport: 1000, dst: S6, dport: 53, payload: size, ...o });
const lan = (list: Uint8Array[]): Step[] => list.map((bytes) => packet("lan", bytes));
/** The first half of a datagram. */
const waits = (id: number) => fragments(big(1000), 800, id)[0];
/** Sizes and addresses are right, and the last one ends it. */
function whole(v: View, n: number, sizes: number[], src: string = WAN): void {
  const out = v.out(n);
  v.is(out.map((o) => o.length - o.l4), sizes, `packet ${n}, sizes`);
  v.is([...new Set(out.map((o) => o.src))], [src], `packet ${n}, source`);
  v.is(out.at(-1)!.mf, false, "last");
  v.is(out.flatMap((o) => o.errors), []);
}

const wanMtu = (mtu: number) => ({
  interfaces: { lan: { addresses: [`${LAN}/24`] }, wan: { addresses: [`${WAN}/24`], mtu } },
  routes: NET.routes,
});
const wanMtu6 = (mtu: number) => ({
  interfaces: { lan: NET6.interfaces.lan, wan: { ...NET6.interfaces.wan, mtu } },
  routes: NET6.routes,
});

export const FRAGMENT_CASES: Case[] = [
  {
    id: "G01",
    says: "fragments in order and in reverse leave in their sizes with the public address, as one NEW",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        ...fragmented("lan", big(3000), 800, 801),
        ...lan(fragments(big(3000, { sport: 1001 }), [1400, 800], 802).reverse()),
        ...lan([2, 0, 3, 1].map((i) => fragments(big(3000, { sport: 1002 }), 800, 803)[i])),
      ],
    },
    expect(v) {
      v.silent(0, 1, 2, 4, 5);
      whole(v, 3, [800, 800, 800, 608]);
      v.is(v.count("--ctstate NEW"), 3);
    },
  },
  {
    id: "G01b",
    says:
      "a datagram starts over when its source has sent too many other fragments since; another's do not count",
    scenario: {
      ...NET,
      iptables: M,
      sysctl: { "net.ipv4.ipfrag_max_dist": 2 },
      steps: [
        ...lan([waits(821), waits(822), waits(823), ...fragments(big(1000), 800, 821).slice(1)]),
        ...lan([waits(831), waits(832), ...fragments(big(1000), 800, 831).slice(1)]),
        ...lan([waits(841)]),
        ...lan([842, 843, 844].map((id) => fragments(big(1000, { src: C2 }), 800, id)[0])),
        ...lan(fragments(big(1000), 800, 841).slice(1)),
        // What came last still waits.
        ...lan([waits(821)]),
      ],
    },
    expect(v) {
      v.silent(3);
      whole(v, 6, [800, 208]);
      whole(v, 11, [800, 208]);
    },
  },
  {
    id: "G02",
    says: "a datagram without its first fragment does not leave",
    scenario: { ...NET, iptables: M, steps: lan(fragments(big(3000), 800, 804).slice(1)) },
    expect(v) {
      v.silent(0, 1, 2);
      v.is(v.flows().length, 0, "flows");
    },
  },
  {
    id: "G03",
    says: "an overlap loses the datagram, the next one passes",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        ...lan(overlapping(big(1600), 805)),
        ...fragmented("lan", big(1600), 800, 806),
      ],
    },
    expect(v) {
      v.silent(0, 1, 2, 3);
      whole(v, 5, [800, 800, 8]);
    },
  },
  {
    id: "G04",
    says: "exact duplicates of first, middle and last fragment do not matter",
    scenario: {
      ...NET,
      iptables: M,
      steps: [0, 1, 3].flatMap((twice, n) => {
        const list = fragments(big(3000, { sport: 1000 + n }), 800, 810 + n);
        return lan(list.flatMap((f, i) => i === twice ? [f, f] : [f]));
      }),
    },
    expect(v) {
      whole(v, 4, [800, 800, 800, 608]);
      whole(v, 9, [800, 800, 800, 608]);
    },
  },
  {
    id: "G05",
    says: "fragments of eight bytes leave as fragments of eight bytes",
    scenario: { ...NET, iptables: M, steps: fragmented("lan", big(200), 8, 820) },
    expect: (v) => whole(v, 25, new Array(26).fill(8)),
  },
  {
    id: "G06",
    says: "without tracking fragments pass one by one",
    scenario: { ...NET, steps: fragmented("lan", big(3000), 800, 821).reverse() },
    expect(v) {
      for (const n of [0, 1, 2, 3]) v.is(v.one(n).src, C);
    },
  },
  {
    id: "G07",
    says: "what is larger than the MTU is cut anew, or refused when the fragments had DF",
    scenario: {
      ...wanMtu(1280),
      iptables: M,
      steps: [
        ...fragmented("lan", big(3000), 1376, 830),
        ...fragmented("lan", big(3000, { df: true, sport: 1001 }), 1376, 831),
        ...fragmented("lan", big(1500, { sport: 1002 }), 576, 832),
        packet("lan", big(1400, { sport: 1003, id: 833 })),
        packet("lan", big(1400, { sport: 1004, id: 834, df: true })),
        ...fragmented("lan", big(1500, { sport: 1005, df: true }), 576, 835),
      ],
    },
    expect(v) {
      whole(v, 2, [1256, 1256, 496]);
      const refused = v.one(5);
      v.is([refused.iface, refused.type, refused.code], ["lan", 3, 4]);
      v.is(refused.rest, 1280);
      whole(v, 8, [576, 576, 356]);
      v.is([v.one(10).type, v.one(10).rest], [3, 1280]);
    },
  },
  {
    id: "G08",
    says: "malformed fragments leave nothing behind and nothing comes of them",
    scenario: {
      ...NET,
      iptables: M,
      steps: lan([
        ip({ src: C, dst: S, protocol: 17, id: 840, mf: true, df: false }),
        ip({ src: C, dst: S, protocol: 17, id: 841, mf: true, df: false, payload: 801 }),
        ip({ src: C, dst: S, protocol: 17, id: 842, offset: 65528, payload: 100 }),
        ip({ src: C, dst: S, protocol: 17, id: 843, offset: 65528, mf: true, df: false, payload: 8 }),
        ip({ src: C, dst: S, protocol: 17, id: 844, offset: 800, payload: 0 }),
      ]),
    },
    expect: (v) => v.silent(0, 1, 2, 3, 4),
  },
  {
    id: "G09",
    says: "two datagrams with the same id and other protocol, address or interface do not mix",
    scenario: {
      ...NET,
      iptables: M,
      steps: ((a, b, d) => lan([a[0], b[0], d[0], a[1], b[1], d[1]]))(
        fragments(big(1000), 800, 850),
        fragments(big(1000, { src: "192.0.2.3" }), 800, 850),
        fragments(icmpEcho({ src: C, dst: S, echoId: 5, payload: 1000, df: false }), 800, 850),
      ),
    },
    expect(v) {
      v.silent(0, 1, 2);
      for (const n of [3, 4, 5]) v.is(v.out(n).length, 2);
    },
  },
  {
    id: "G11",
    says: "an incomplete datagram times out; a late piece does not complete it",
    slow: true,
    scenario: {
      ...NET,
      iptables: M,
      sysctl: { "net.ipv4.ipfrag_time": 1 },
      steps: [
        ...lan(fragments(big(1600), 800, 860).slice(0, 1)),
        wait(1800),
        ...lan(fragments(big(1600), 800, 860).slice(1)),
      ],
    },
    expect(v) {
      v.silent(0, 1, 2);
      v.is(v.ofStep(1).map((o) => [o.iface, o.type, o.code]), [], "no error for what was meant for others");
    },
  },
  {
    id: "G12",
    says: "a fragmented ping is translated both ways",
    scenario: {
      ...NET,
      iptables: COUNT + nat("-A POSTROUTING -o wan -j SNAT --to-source 203.0.113.50"),
      steps: [
        ...fragmented("lan", icmpEcho({ src: C, dst: S, echoId: 5, payload: 4500, df: false }), 1480, 870),
        ...fragments(
          icmpEcho({ src: S, dst: "203.0.113.50", echoId: 5, reply: true, payload: 4500, df: false }),
          1480,
          871,
        ).map((f) => packet("wan", f)),
      ],
    },
    expect(v) {
      whole(v, 3, [1480, 1480, 1480, 68], "203.0.113.50");
      v.is(v.out(7).map((o) => o.dst), [C, C, C, C]);
    },
  },
  {
    id: "G13",
    says: "IPv6 fragments are gathered and leave as they came; an overlap loses the datagram",
    scenario: {
      ...NET6,
      ip6tables: M,
      steps: [
        ...lan(fragments(big6(3000), 800, 0x1001)),
        ...lan(fragments(big6(3000, { sport: 1001 }), [1400, 800], 0x1002).reverse()),
        ...lan(overlapping(big6(1600, { sport: 1002 }), 0x1003)),
        ...lan(fragments(big6(1600, { sport: 1003 }), 800, 0x1004)),
        ...lan(duplicate(fragments(big6(1600, { sport: 1004 }), 800, 0x1005), 1)),
      ],
    },
    expect(v) {
      // Linux gives the datagram a new identification when it cuts it again.
      v.is(v.out(3).map((o) => [o.offset, o.src]), [0, 800, 1600, 2400].map((offset) => [offset, WAN6]));
      v.is(v.out(6).length, 3);
    },
  },
  {
    id: "G13b",
    says: "IPv6 extension headers before and behind the fragment header",
    scenario: {
      ...NET6,
      ip6tables: M,
      steps: [
        // Hop-by-hop and destination options in the part that is repeated, destination options in the part that is cut.
        ...fragments6(big6(1600, { extensions: [{ header: "destination" }] }), 0x1011, 800),
        packet("lan", big6(100, { sport: 1001, extensions: [{ header: "hop" }] })),
        packet("lan", big6(100, { sport: 1002, extensions: [{ header: "destination" }] })),
        packet(
          "lan",
          big6(100, { sport: 1003, extensions: [{ header: "routing", body: [0, 0, 0, 0, 0, 0] }] }),
        ),
        // Atomic fragments (RFC 6946) and one that is said to be more.
        packet("lan", big6(100, { sport: 1004, offset: 0, id: 7 })),
        packet("lan", ip({ src: C6, dst: S6, protocol: 59 })),
      ],
    },
    expect(v) {
      v.is(v.out(2).map((o) => o.src), [WAN6, WAN6, WAN6]);
      v.is(v.one(3).src, WAN6);
    },
  },
  {
    id: "G16",
    says: "a packet too big for an IPv6 link is refused, and so is a gathered datagram of large fragments",
    scenario: {
      ...wanMtu6(1280),
      ip6tables: M,
      steps: [
        packet("lan", big6(1400)),
        ...lan(fragments(big6(3000, { sport: 1001 }), 1376, 0x1021)),
        ...lan(fragments(big6(3000, { sport: 1002 }), 1000, 0x1022)),
      ],
    },
    expect(v) {
      v.is([v.one(0).iface, v.one(0).type, v.one(0).rest], ["lan", 2, 1280]);
      v.is([v.one(3).iface, v.one(3).type], ["lan", 2]);
      v.is(v.out(7).length, 4);
    },
  },
  {
    id: "G15",
    says: "a TCP segment in fragments that hide its flags is judged whole",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        ...fragmented(
          "lan",
          tcp({ src: C, sport: 1000, dst: S, dport: 80, flags: "S", seq: 1, df: false }),
          8,
          880,
        ),
        packet("wan", tcp({ src: S, sport: 80, dst: WAN, dport: 1000, flags: "SA", seq: 5000, ack: 2 })),
        dump("opened"),
      ],
    },
    expect(v) {
      v.silent(0, 1);
      whole(v, 2, [8, 8, 4]);
      v.is(v.flow("opened").state, "SYN_RECV");
    },
  },
  {
    id: "G17",
    says:
      "an answer of the router's own is in pieces of eight bytes from the beginning, in IPv6 the last one too",
    scenario: {
      ...NET6,
      steps: [
        ...fragmented("lan", icmpEcho({ src: C, dst: LAN, payload: 2960, df: false }), 1400, 890),
        ...fragmented("lan", icmpEcho({ src: C6, dst: LAN6, payload: 2892 }), 1400, 0x1031),
      ],
    },
    expect(v) {
      v.is(v.out(2).map((o) => o.length), [1500, 1500, 28]);
      v.is(v.out(5).map((o) => o.length), [1496, 1496, 52]);
    },
  },
  {
    id: "G18",
    says: "an answer keeps the pieces of the way that it was made for when OUTPUT sends it another way",
    scenario: {
      ...wanMtu(1400),
      iptables: nat(`-A INPUT -s ${C} -j SNAT --to-source ${S}`),
      steps: fragmented("lan", icmpEcho({ src: C, dst: LAN, payload: 1600, df: false }), 800, 891),
    },
    expect(v) {
      v.is(v.out(2).map((o) => [o.iface, o.dst, o.length]), [["lan", C, 1396], ["lan", C, 252]]);
    },
  },
];

/** Three fragments of which the second begins eight bytes too early. */
function overlapping(packet: Uint8Array, id: number): Uint8Array[] {
  const length = packet[0] >> 4 === 6 ? 40 : 20;
  const header = packet.slice(0, length), payload = packet.slice(length);
  return [
    fragment(header, payload.slice(0, 800), 0, true, id),
    fragment(header, payload.slice(792, 1592), 792, true, id),
    fragment(header, payload.slice(800), 800, false, id),
  ];
}

function duplicate(list: Uint8Array[], which: number): Uint8Array[] {
  return list.flatMap((f, i) => i === which ? [f, f] : [f]);
}

/** Fragments behind a hop-by-hop header, cut through a packet that has its own extension headers. */
function fragments6(packet6: Uint8Array, id: number, size: number): Step[] {
  const payload = packet6.slice(40), out: Step[] = [];
  for (let at = 0; at < payload.length; at += size) {
    const part = payload.slice(at, at + size), more = at + size < payload.length;
    out.push(packet(
      "lan",
      fixIpChecksum(concat(
        packet6.slice(0, 4),
        be(16 + part.length, 2),
        [0, 64],
        addressBytes(C6),
        addressBytes(S6),
        [44, 0, 1, 4, 0, 0, 0, 0],
        [packet6[6], 0, ...be(at | (more ? 1 : 0), 2), ...be(id, 4)],
        part,
      )),
    ));
  }
  return out;
}
