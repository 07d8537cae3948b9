/** Group X: what must not open, as far as packets can show it. */
import { tcp, udp } from "../../kit/packets.ts";
import { dump, packet } from "../scenario.ts";
import {
  C,
  c,
  C2,
  type Case,
  COUNT,
  cu,
  filter,
  handshake,
  ISN_C,
  ISN_S,
  LAN,
  M,
  NET,
  raw,
  S,
  S2,
  WAN,
} from "./case.ts";
import { Session } from "./session.ts";

const HELPERS = raw(
  "-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp",
  "-A PREROUTING -p tcp -m tcp --dport 6667 -j CT --helper irc",
);
const RELATED = filter(
  ":FORWARD DROP [0:0]",
  "-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
  "-A FORWARD -i lan -j ACCEPT",
);
const syn = (dst: string, dport: number, src = S) =>
  packet("wan", tcp({ src, sport: 4444, dst, dport, flags: "S", seq: 1 }));

export const SECURITY_CASES: Case[] = [
  {
    id: "X01",
    says: "an FTP server can open the way to itself only",
    scenario: {
      ...NET,
      iptables: COUNT + HELPERS + RELATED,
      steps: [
        ...new Session({ public: C }).greeted().client("PASV\r\n").server("227 (198,51,100,7,0,22)\r\n")
          .steps,
        dump("own"),
        ...new Session({ public: C, clientPort: 1001 }).greeted().client("PASV\r\n").server(
          "227 (192,0,2,2,0,22)\r\n",
        ).steps,
        syn(C, 22),
        syn(C2, 22),
      ],
    },
    expect(v) {
      v.is(v.expects("own").map((e) => [e.tuple.src, e.tuple.dst, e.tuple.dport]), [[C, S, "22"]]);
      v.is(v.expects().length, 1, "expectations");
      v.silent(16, 17);
    },
  },
  {
    id: "X02",
    says: "a DCC offer opens one port of one host",
    scenario: {
      ...NET,
      iptables: COUNT + HELPERS + RELATED,
      steps: [
        ...new Session({ public: C, port: 6667 }).open().client("\n").server("\n")
          .client("PRIVMSG x :\x01DCC SEND f 3221225986 5000\x01\r\n").steps,
        dump("offered"),
        syn(C2, 5000, S2),
        syn(C, 5001, S2),
        syn(C, 5000, S2),
        syn(C, 5000, "198.51.100.9"),
      ],
    },
    expect(v) {
      v.is(v.expects("offered").map((e) => [e.tuple.dst, e.tuple.dport]), [[C, "5000"]]);
      v.silent(6, 7, 9);
      v.one(8);
    },
  },
  {
    id: "X03",
    says: "without a CT rule nothing that a browser says opens anything",
    scenario: {
      ...NET,
      iptables: COUNT + RELATED,
      steps: [
        ...new Session({ public: C, port: 6667 }).open().client("POST / HTTP/1.1\r\n\r\n").server("\r\n")
          .client("PRIVMSG x :\x01DCC CHAT chat 3221225986 5000\x01\r\n").steps,
        ...new Session({ public: C }).greeted().client("PORT 192,0,2,2,15,160\r\n").steps,
        syn(C, 5000),
        syn(C, 4000),
      ],
    },
    expect(v) {
      v.is(v.expects().length, 0, "expectations");
      v.silent(13, 14);
    },
  },
  {
    id: "X04",
    says: "with the IRC helper a segment that begins right is believed, whatever came before",
    scenario: {
      ...NET,
      iptables: M + HELPERS,
      steps: new Session({ port: 6667 }).open().client("POST / HTTP/1.1\r\n" + "x".repeat(1000))
        .client("PRIVMSG x :\x01DCC CHAT chat 3221225986 5000\x01\r\n", 1).steps,
    },
    expect: (v) => v.is(v.expects().length, 1, "expectations"),
  },
  {
    id: "X05",
    says: "a LAN host that sends from a port of the router's own service keeps that port as Linux does",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        packet("wan", udp({ src: S, sport: 5000, dst: WAN, dport: 1194, payload: "to the router" })),
        packet("lan", udp({ src: C, sport: 1194, dst: S, dport: 5000, payload: "shadow" })),
        packet("wan", udp({ src: S, sport: 5000, dst: WAN, dport: 1194, payload: "to the router" })),
      ],
    },
    expect: () => {},
  },
  {
    id: "X06",
    says: "resets with wrong numbers do not remove a mapping",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        ...handshake(),
        ...[0, 1, ISN_S - 1, ISN_S + 2, ISN_S + 70000, 0x80000000, 0xffffffff].map((seq) =>
          packet("wan", tcp({ src: S, sport: 80, dst: WAN, dport: 1000, flags: "R", seq }))
        ),
        packet("wan", tcp({ src: S2, sport: 80, dst: WAN, dport: 1000, flags: "R", seq: ISN_S + 1 })),
        dump("attacked"),
        c("PA", { seq: ISN_C + 1, ack: ISN_S + 1, payload: "still here" }),
      ],
    },
    expect(v) {
      v.is([v.flow("attacked").state, v.flow().state], ["ESTABLISHED", "ESTABLISHED"]);
      v.is(v.one(11).src, WAN);
    },
  },
  {
    id: "X07",
    says: "spoofed SYN and ACK segments change nothing",
    scenario: {
      ...NET,
      iptables: M,
      steps: [
        ...handshake(),
        ...Array.from({ length: 100 }, (_, i) =>
          packet(
            "wan",
            tcp({
              src: S,
              sport: 80,
              dst: WAN,
              dport: 1000,
              flags: i % 2 ? "S" : "A",
              seq: Math.imul(i, 0x9e3779b9) >>> 0,
              ack: i,
            }),
          )),
        dump("attacked"),
        c("PA", { seq: ISN_C + 1, ack: ISN_S + 1, payload: "still here" }),
      ],
    },
    expect(v) {
      v.is([v.flow("attacked").state, v.flow().assured], ["ESTABLISHED", true]);
      v.is(v.one(103).src, WAN);
    },
  },
  {
    id: "X12",
    says: "LAND packets and, with rp_filter, LAN sources on wan are dropped",
    scenario: {
      ...NET,
      iptables: COUNT,
      sysctl: { "net.ipv4.conf.all.rp_filter": 1 },
      steps: [
        packet("wan", tcp({ src: WAN, sport: 80, dst: WAN, dport: 80, flags: "S", seq: 1 })),
        packet("lan", udp({ src: LAN, sport: 80, dst: LAN, dport: 80 })),
        packet("wan", udp({ src: C, sport: 80, dst: C2, dport: 80 })),
        packet("lan", udp({ src: "198.51.100.99", sport: 80, dst: S, dport: 80 })),
        cu(),
      ],
    },
    expect(v) {
      v.silent(0, 1, 2, 3);
      v.one(4);
    },
  },
];
