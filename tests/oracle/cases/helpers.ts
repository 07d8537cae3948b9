/** Groups C, P and A: the helpers for IRC, TFTP and Amanda. */
import { tcp, type UdpOptions } from "../../kit/packets.ts";
import { dump, packet, type Step } from "../scenario.ts";
import type { View } from "../view.ts";
import { answer, C, C2, type Case, COUNT, cu, M, nat, NET, raw, S, S2, su, WAN } from "./case.ts";
import { Session, type SessionOptions } from "./session.ts";

const IRC = M + raw("-A PREROUTING -p tcp -m tcp --dport 6667 -j CT --helper irc");
const TFTP = M + raw("-A PREROUTING -p udp -m udp --dport 69 -j CT --helper tftp");
const AMANDA = M + raw("-A PREROUTING -p udp -m udp --dport 10080 -j CT --helper amanda");

/** 192.0.2.2, 203.0.113.1 and others as DCC writes them. */
const OWN = "3221225986", PUBLIC = "3405803777", OTHER = "3221225987", SERVER = "3325256711";
const dcc = (what: string) => `PRIVMSG you :\x01DCC ${what}\x01\r\n`;
const irc = (o: SessionOptions = {}) =>
  new Session({ port: 6667, ...o }).open().client("NICK a\r\n").server(":x\r\n");
/** First packet after `irc`. */
const NEXT = 5;
const text = (v: View, n: number) => v.payload(v.one(n));

/** Lines of the client, each in a connection of its own. */
function offers(id: string, says: string, list: string[], expect: Case["expect"]): Case {
  const steps = list.flatMap((line, i) => irc({ clientPort: 1000 + i }).client(line).steps);
  return { id, says, scenario: { ...NET, iptables: IRC, steps }, expect };
}
/** Index of the packet with line `i` of `offers`. */
const offer = (i: number) => 6 * i + NEXT;

export const IRC_CASES: Case[] = [
  offers(
    "C01",
    "CHAT, SEND, MOVE, TSEND and SCHAT show the public address and expect anybody",
    ["CHAT chat", "SEND file", "MOVE file", "TSEND file", "SCHAT chat"].map((what, i) =>
      dcc(`${what} ${OWN} ${5000 + i}`)
    ),
    (v) => {
      for (const i of [0, 1, 2, 3, 4]) {
        v.ok(text(v, offer(i)).includes(` ${PUBLIC} ${5000 + i}.`), text(v, offer(i)));
      }
      v.is(v.expects().map((e) => [e.tuple.src, e.tuple.dst]), [0, 1, 2, 3, 4].map(() => ["0.0.0.0", WAN]));
      v.timer(v.expects()[0], 300);
    },
  ),
  {
    id: "C01b",
    says:
      "the peer connects to the offered port and reaches the client, which sees it under the server's address",
    scenario: {
      ...NET,
      iptables: IRC,
      steps: irc().client(dcc(`SEND file ${OWN} 5000`)).then(
        packet("wan", tcp({ src: S2, sport: 7, dst: WAN, dport: 5000, flags: "S", seq: 1 })),
        answer("lan"),
      ).server(":ok\r\n").client("PING\r\n").steps,
    },
    expect(v) {
      // nf_nat_follow_master takes the source from the master, whoever comes.
      v.is(v.ends(v.one(NEXT + 1)), `${S}:7 > ${C}:5000`);
      v.is(v.ends(v.one(NEXT + 2)), `${WAN}:5000 > ${S2}:7`);
      v.is(v.expects().length, 0, "expectations");
    },
  },
  offers(
    "C02",
    "RESUME, ACCEPT and lower-case dcc pass unchanged",
    [
      dcc(`RESUME file ${OWN} 5000`),
      dcc(`ACCEPT file ${OWN} 5001`),
      dcc(`SEND file ${OWN} 5002`).replace("DCC", "dcc"),
    ],
    (v) => {
      for (const i of [0, 1, 2]) v.ok(text(v, offer(i)).includes(OWN), text(v, offer(i)));
      v.is(v.expects().length, 0, "expectations");
    },
  ),
  offers(
    "C03",
    "NOTICE, a prefix, leading blanks and a second line",
    [
      dcc(`SEND file ${OWN} 5000`).replace("PRIVMSG", "NOTICE"),
      `:me!u@h ${dcc(`SEND file ${OWN} 5001`)}`,
      `\r\n  ${dcc(`SEND file ${OWN} 5002`)}`,
      `PING x\r\n${dcc(`SEND file ${OWN} 5003`)}`,
      dcc(`SEND file ${OWN} 5004`).replace("PRIVMSG", "privmsg"),
    ],
    (v) => v.is(v.expects().map((e) => e.tuple.dport).sort(), ["5002", "5004"]),
  ),
  offers(
    "C04",
    "another host's or the server's address passes unchanged, the public one is accepted",
    [dcc(`SEND f ${OTHER} 5000`), dcc(`SEND f ${SERVER} 5001`), dcc(`SEND f ${PUBLIC} 5002`)],
    (v) => v.is(v.expects().map((e) => e.tuple.dport), ["5002"]),
  ),
  offers(
    "C06",
    "one offer per segment, and only if the first is right",
    [
      dcc(`SEND f ${OWN} 5000`) + dcc(`SEND f ${OWN} 5001`),
      dcc(`SEND f ${OTHER} 5002`) + dcc(`SEND f ${OWN} 5003`),
    ],
    (v) => v.is(v.expects().map((e) => e.tuple.dport), ["5000"]),
  ),
  offers(
    "C07",
    "no line end, an address too large, a file name with blanks",
    [
      dcc(`SEND file ${OWN} 5000`).replace("\r\n", ""),
      dcc("SEND file 99999999999 5001"),
      dcc(`SEND my file ${OWN} 5002`),
    ],
    (v) => v.is(v.expects().length, 0, "expectations"),
  ),
  offers(
    "C08",
    "port 70000 is taken as 4464, port 0 is refused",
    [dcc(`SEND file ${OWN} 70000`), dcc(`SEND file ${OWN} 0`)],
    (v) => {
      v.ok(text(v, offer(0)).includes(` ${PUBLIC} 4464.`), text(v, offer(0)));
      v.ok(text(v, offer(1)).includes(OWN), text(v, offer(1)));
      v.is(v.expects().map((e) => e.tuple.dport), ["4464"]);
    },
  ),
  {
    id: "C09",
    says: "of ten offers eight are expected, the oldest go first",
    scenario: {
      ...NET,
      iptables: IRC,
      steps: Array.from({ length: 10 }, (_, i) => i).reduce(
        (s, i) => s.client(dcc(`SEND f ${OWN} ${5000 + i}`)),
        irc(),
      ).steps,
    },
    expect: (v) =>
      v.is(v.expects().map((e) => e.tuple.dport).sort(), [2, 3, 4, 5, 6, 7, 8, 9].map((i) => `${5000 + i}`)),
  },
  {
    id: "C10",
    says: "offers of the server's side are not read",
    scenario: { ...NET, iptables: IRC, steps: irc().server(dcc(`SEND f ${SERVER} 5000`)).steps },
    expect: (v) => v.is(v.expects().length, 0, "expectations"),
  },
  {
    id: "C11",
    says: "a port already expected is replaced by another",
    scenario: {
      ...NET,
      iptables: IRC,
      steps: [
        ...irc().client(dcc(`SEND f ${OWN} 65000`)).steps,
        ...irc({ client: C2, clientPort: 1001 }).client(dcc(`SEND f ${OTHER} 65000`)).server(":ok\r\n").steps,
      ],
    },
    expect(v) {
      const ports = v.expects().map((e) => Number(e.tuple.dport)).sort();
      v.is(ports[0], 65000);
      v.ok(ports[1] > 65000, `port ${ports[1]}`);
    },
  },
  {
    id: "C11b",
    says: "without NAT a port already expected is not exchanged for another: the offer is dropped",
    scenario: {
      ...NET,
      iptables: COUNT + raw("-A PREROUTING -p tcp -m tcp --dport 6667 -j CT --helper irc"),
      steps: [
        ...irc({ public: C }).client(dcc(`SEND f ${OWN} 65000`)).steps,
        ...irc({ public: C, clientPort: 1001 }).client(dcc(`SEND f ${OWN} 65000`)).steps,
      ],
    },
    expect(v) {
      v.is(v.expects().map((e) => e.tuple.dport), ["65000"]);
      v.silent(NEXT + 1 + NEXT);
    },
  },
  {
    id: "C12",
    says: "a shorter public address leaves no stray bytes",
    scenario: {
      ...NET,
      iptables: COUNT + raw("-A PREROUTING -p tcp -m tcp --dport 6667 -j CT --helper irc") +
        nat("-A POSTROUTING -o wan -j SNAT --to-source 9.9.9.9"),
      steps:
        irc({ public: "9.9.9.9" }).client(dcc(`SEND f ${OWN} 5000`), -1).server(":ok\r\n").client("PING\r\n")
          .steps,
    },
    expect(v) {
      v.is(text(v, NEXT), "PRIVMSG you :.DCC SEND f 151587081 5000...");
      v.is(v.one(NEXT + 2).errors, []);
    },
  },
  offers(
    "C13",
    "an offer cut at any byte is safe",
    Array.from({ length: 41 }, (_, i) => dcc(`CHAT c ${OWN} ${6000 + i}`).slice(0, i + 1)),
    (v) => {
      for (let i = 0; i < 41; i++) v.one(offer(i));
    },
  ),
];

const rrq = (name = "file", opcode = 1) => `\0${String.fromCharCode(opcode)}${name}\0octet\0`;
const block = "\0\x03\0\x01data", ack = "\0\x04\0\x01";
const ask = (o: Partial<UdpOptions> = {}) => cu({ dport: 69, payload: rrq(), ...o });
const give = (o: Partial<UdpOptions> = {}) => su({ sport: 3456, payload: block, ...o });

export const TFTP_CASES: Case[] = [
  {
    id: "P01",
    says: "the data comes from another port and is RELATED",
    scenario: {
      ...NET,
      iptables: TFTP,
      steps: [ask(), dump("asked"), give(), cu({ dport: 3456, payload: ack })],
    },
    expect(v) {
      v.is(v.expects("asked").map((e) => [e.tuple.src, e.tuple.dst, e.tuple.dport]), [[S, WAN, "1000"]]);
      v.is(v.ends(v.one(1)), `${S}:3456 > ${C}:1000`);
      v.is(v.ends(v.one(2)), `${WAN}:1000 > ${S}:3456`);
      v.is(v.states(), "NEW 1, ESTABLISHED 1, RELATED 1");
    },
  },
  {
    id: "P02",
    says: "a second request refreshes the one expectation",
    scenario: {
      ...NET,
      iptables: TFTP,
      steps: [
        ask({ payload: rrq("f", 2) }),
        ask(),
        ask({ payload: block }),
        ask({ payload: "\0\x05\0\x01no\0" }),
        ask({ payload: "\0" }),
      ],
    },
    expect: (v) => v.is(v.expects().length, 1, "expectations"),
  },
  {
    id: "P03",
    says: "data from another host does not come in",
    scenario: { ...NET, iptables: TFTP, steps: [ask(), give({ src: S2 })] },
    expect(v) {
      v.is(v.one(1).type, 3);
      v.is(v.expects().length, 1, "expectations");
    },
  },
  {
    id: "P04",
    says: "an expectation is used once",
    scenario: { ...NET, iptables: TFTP, steps: [ask(), give(), give({ sport: 3457 })] },
    expect(v) {
      v.is(v.one(1).dst, C);
      v.is(v.one(2).type, 3);
    },
  },
  {
    id: "P06",
    says: "a client whose port moved is expected at the moved port and gets its data at its own",
    scenario: {
      ...NET,
      iptables: TFTP,
      steps: [ask(), ask({ src: C2 }), answer("wan", { sport: 3456, payload: block })],
    },
    expect(v) {
      v.is(v.one(0).sport, 1000);
      v.ok(v.one(1).sport !== 1000, "port did not move");
      v.is(v.ends(v.one(2)), `${S}:3456 > ${C2}:1000`);
    },
  },
  {
    id: "P08",
    says: "a server behind DNAT answers from a new port with the public address",
    scenario: {
      ...NET,
      iptables: COUNT + raw("-A PREROUTING -p udp -m udp --dport 69 -j CT --helper tftp") +
        nat(`-A PREROUTING -i wan -p udp --dport 69 -j DNAT --to-destination ${C}`),
      steps: [
        su({ sport: 2000, dport: 69, payload: rrq() }),
        cu({ sport: 3456, dport: 2000, payload: block }),
        su({ sport: 2000, dport: 3456, payload: ack }),
      ],
    },
    expect(v) {
      v.is(v.ends(v.one(0)), `${S}:2000 > ${C}:69`);
      v.is(v.ends(v.one(1)), `${WAN}:3456 > ${S}:2000`);
      v.is(v.ends(v.one(2)), `${S}:2000 > ${C}:3456`);
    },
  },
];

const CONNECT = "CONNECT DATA 1024 MESG 1025 INDEX 1026\n";
const request = (o: Partial<UdpOptions> = {}) => cu({ dport: 10080, payload: "Amanda 2.6 REQ\n", ...o });
const reply = (payload: string, o: Partial<UdpOptions> = {}) => su({ sport: 10080, payload, ...o });
const expected = (v: View, name?: string) => v.expects(name).map((e) => e.tuple.dport).sort();
/** Replies, each to a request of its own. */
function replies(id: string, says: string, list: string[], expect: Case["expect"]): Case {
  const steps: Step[] = list.flatMap((
    line,
    i,
  ) => [request({ sport: 1000 + i }), reply(line, { dport: 1000 + i }), dump(`${i}`)]);
  return { id, says, scenario: { ...NET, iptables: AMANDA, steps }, expect };
}

export const AMANDA_CASES: Case[] = [
  {
    id: "A01",
    says: "a CONNECT line expects its three connections for 180 seconds, the master lives 300",
    scenario: { ...NET, iptables: AMANDA, steps: [request(), reply(CONNECT)] },
    expect(v) {
      v.is(expected(v), ["1024", "1025", "1026"]);
      v.timer(v.expects()[0], 180);
      v.timer(v.flow(), 300);
    },
  },
  {
    id: "A02",
    says: "the connections are RELATED",
    scenario: {
      ...NET,
      iptables: AMANDA,
      steps: [
        request(),
        reply(CONNECT),
        ...[1024, 1026].map((dport) =>
          packet("lan", tcp({ src: C, sport: 2000, dst: S, dport, flags: "S", seq: 1 }))
        ),
        answer("wan"),
      ],
    },
    expect(v) {
      v.is(v.count("--ctstate RELATED"), 2);
      v.is(v.one(2).src, WAN);
      v.is(expected(v), ["1025"]);
    },
  },
  {
    id: "A02b",
    says: "without NAT a port already expected is not exchanged for another: the answer is dropped",
    scenario: {
      ...NET,
      iptables: AMANDA.replace(M, COUNT),
      steps: [1000, 1001].flatMap((
        port,
      ) => [request({ sport: port }), reply(CONNECT, { dst: C, dport: port })]),
    },
    expect(v) {
      v.is(expected(v), ["1024", "1025", "1026"]);
      v.silent(3);
    },
  },
  {
    id: "A03",
    says: "a client behind DNAT is expected at the public address",
    scenario: {
      ...NET,
      iptables: COUNT + raw("-A PREROUTING -p udp -m udp --dport 10080 -j CT --helper amanda") +
        nat(`-A PREROUTING -i wan -p udp --dport 10080 -j DNAT --to-destination ${C}`),
      steps: [
        su({ sport: 2000, dport: 10080, payload: "REQ\n" }),
        cu({ sport: 10080, dport: 2000, payload: CONNECT }),
        dump("expected"),
        packet("wan", tcp({ src: S, sport: 2001, dst: WAN, dport: 1024, flags: "S", seq: 1 })),
        answer("lan"),
      ],
    },
    expect(v) {
      v.is(v.expects("expected").map((e) => [e.tuple.src, e.tuple.dst]), [1, 2, 3].map(() => [S, WAN]));
      v.is(v.ends(v.one(2)), `${S}:2001 > ${C}:1024`);
    },
  },
  replies(
    "A04",
    "DATA 99999 is taken as 34463 and written so",
    ["CONNECT DATA 99999\n", "CONNECT DATA 65536\n", "CONNECT DATA 100000\n"],
    (v) =>
      v.is([expected(v, "0"), v.payload(v.one(1)), v.one(1).errors], [["34463"], "CONNECT DATA 34463.", []]),
  ),
  replies(
    "A06",
    "DATA 0, no line end, lower case and nothing",
    [
      "CONNECT DATA 0\n",
      "CONNECT DATA 1024",
      "connect data 1024\n",
      "",
      "CONNECT DATA x\n",
      "CONNECT MESG 1025 DATA 1024\n",
    ],
    (v) => v.is(expected(v, "4"), []),
  ),
  replies(
    "A07",
    "only the first CONNECT line, and the first of each word",
    [
      "CONNECT DATA 1024 DATA 1025\nCONNECT DATA 1026\n",
      "OPTIONS x;\nCONNECT DATA 2024 MESG 2025 INDEX 2026 STATE 2027\n",
      "CONNECT DATA 3024 INDEX 3026 MESG 3025\n",
    ],
    (v) => v.is(expected(v, "0"), ["1024"]),
  ),
  {
    id: "A08",
    says: "a checksum of 0 stays 0",
    scenario: {
      ...NET,
      iptables: AMANDA,
      steps: [request(), reply("CONNECT DATA 99999\n", { checksum: 0 })],
    },
    expect: (v) => v.is(v.one(1).checksum, 0),
  },
  {
    id: "A10",
    says: "a port that is taken and gets another number of digits changes the lengths",
    scenario: {
      ...NET,
      iptables: COUNT + raw("-A PREROUTING -p udp -m udp --dport 10080 -j CT --helper amanda") +
        nat(`-A PREROUTING -i wan -p udp --dport 10080 -j DNAT --to-destination ${C}`),
      steps: [
        su({ sport: 2000, dport: 10080, payload: "REQ\n" }),
        cu({ sport: 10080, dport: 2000, payload: "CONNECT DATA 65000\n" }),
        su({ sport: 2001, dport: 10080, payload: "REQ\n" }),
        cu({ sport: 10080, dport: 2001, payload: "CONNECT DATA 65000\n" }),
        dump("taken"),
      ],
    },
    expect(v) {
      v.is(v.expects("taken").length, 2, "expectations");
      v.is(v.one(3).errors, []);
    },
  },
];
