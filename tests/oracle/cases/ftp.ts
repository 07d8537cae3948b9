/** Group F: the FTP helper. */
import { fragments, tcp } from "../../kit/packets.ts";
import { dump, packet, type Step } from "../scenario.ts";
import type { View } from "../view.ts";
import {
  answer,
  C,
  C2,
  C6,
  type Case,
  COUNT,
  filter,
  M,
  mangle,
  nat,
  NET,
  NET6,
  raw,
  S,
  S6,
  WAN,
} from "./case.ts";
import { INSIDE, Session, type SessionOptions } from "./session.ts";

const HELPER = raw("-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp");
const FTP = M + HELPER;
/** A plain firewall: no NAT, nothing but what belongs to a flow may come in. */
const FIREWALL = COUNT + HELPER + filter(
  ":FORWARD DROP [0:0]",
  "-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
  "-A FORWARD -i lan -p tcp --dport 21 -j ACCEPT",
);

const PORT = "PORT 192,0,2,2,15,160\r\n", PORT_OUT = "PORT 203,0,113,1,15,160\r\n", GROWS = 2;
/** First packet after `greeted`. */
const NEXT = 6;

const greeted = (o: SessionOptions = {}) => new Session(o).greeted();
/** The server opens a data connection to a port of the public address. */
const active = (dport: number, dst = WAN, sport = 20): Step =>
  packet("wan", tcp({ src: S, sport, dst, dport, flags: "S", seq: 1 }));
/** The client opens a data connection. */
const passive = (dport: number, o: { dst?: string; src?: string } = {}): Step =>
  packet("lan", tcp({ src: C, sport: 2000, dst: S, flags: "S", seq: 1, ...o, dport }));

const text = (v: View, n: number) => v.payload(v.one(n)).replace(/\.\.$/, "");
/**
 * Lines that the server (or client) sends, each in a session of its own, and what becomes of them. Ports 15,160 and 4000
 * count up from line to line, since nobody can expect the same one twice.
 */
function lines(
  id: string,
  says: string,
  side: "client" | "server",
  list: string[],
  expect: Case["expect"],
): Case {
  const steps = list.flatMap((announced, i) => {
    const line = announced.replace("15,160", `15,${160 + i}`).replace("4000", `${4000 + i}`);
    const session = greeted({ clientPort: 1000 + i });
    if (side === "client") session.client(line);
    else session.client("PASV\r\n").server(line);
    return session.then(dump(`line ${i}`)).steps;
  });
  return { id, says, scenario: { ...NET, iptables: FTP, steps }, expect };
}

export const FTP_CASES: Case[] = [
  {
    id: "F01",
    says: "PORT makes the server's data connection RELATED, and the expectation is used up",
    scenario: {
      ...NET,
      iptables: FIREWALL,
      steps: greeted({ public: C }).client(PORT).then(
        dump("announced"),
        active(4000, C),
        dump("opened"),
        active(4000, C, 21),
      )
        .steps,
    },
    expect(v) {
      v.is(v.expects("announced").map((e) => [e.tuple.src, e.tuple.dst, e.tuple.dport]), [[S, C, "4000"]]);
      v.timer(v.expects("announced")[0], 300);
      v.one(NEXT + 1);
      v.is(v.expects("opened").length, 0, "expectations");
      v.silent(NEXT + 2);
      v.is(v.count("--ctstate RELATED"), 1);
    },
  },
  {
    id: "F02",
    says: "227 and 229 make the client's data connection RELATED",
    scenario: {
      ...NET,
      iptables: FIREWALL + "",
      steps: [
        ...greeted({ public: C }).client("PASV\r\n").server("227 Entering (198,51,100,7,15,161)\r\n")
          .then(dump("227"), passive(4001)).steps,
        ...greeted({ public: C, clientPort: 1001 }).client("EPSV\r\n").server("229 Entering (|||4002|)\r\n")
          .then(dump("229"), passive(4002)).steps,
      ],
    },
    expect(v) {
      v.is(v.expects("227").map((e) => [e.tuple.src, e.tuple.dst, e.tuple.dport]), [[C, S, "4001"]]);
      v.is(v.expects("229").map((e) => [e.tuple.src, e.tuple.dst, e.tuple.dport]), [[C, S, "4002"]]);
      v.one(NEXT + 2);
      v.is(v.count("--ctstate RELATED"), 2);
    },
  },
  {
    id: "F02b",
    says: "an announcement is read behind any number of lines",
    scenario: {
      ...NET,
      iptables: FTP,
      steps: [0, 1, 2, 3, 4].flatMap((count) => {
        const session = greeted({ clientPort: 1000 + count });
        for (let i = 0; i < count; i++) session.client("NOOP\r\n").server("200 ok\r\n");
        const line = PORT.replace("160", `${160 + count}`);
        return session.lost(line).client(line, GROWS).steps; // and when it is sent again
      }),
    },
    expect: (v) =>
      v.is(v.expects().map((e) => e.tuple.dport).sort(), ["4000", "4001", "4002", "4003", "4004"]),
  },
  {
    id: "F03",
    says: "without a helper the data connection is NEW and dropped",
    scenario: {
      ...NET,
      iptables: FIREWALL.replace(HELPER, ""),
      steps: greeted({ public: C }).client(PORT).then(active(4000, C)).steps,
    },
    expect(v) {
      v.silent(NEXT + 1);
      v.is(v.flows().length, 1, "flows");
    },
  },
  {
    id: "F04",
    says: "the helper serves the port that the rule names and no other",
    scenario: {
      ...NET,
      iptables: M + raw("-A PREROUTING -p tcp -m tcp --dport 2121 -j CT --helper ftp"),
      steps: [
        ...greeted({ port: 2121 }).client(PORT, GROWS).steps,
        ...greeted({ port: 21, clientPort: 1001 }).client(PORT).steps,
      ],
    },
    expect(v) {
      v.is(v.flows().filter((f) => f.rest.helper === "ftp").map((f) => f.original.dport), ["2121"]);
      v.is(text(v, NEXT), PORT_OUT.trim());
      v.is(text(v, NEXT + 7), PORT.trim());
    },
  },
  {
    id: "F05",
    says: "PORT is rewritten, and both sides' numbers fit afterwards",
    scenario: {
      ...NET,
      iptables: FTP,
      steps: greeted().client(PORT, GROWS).server("200 ok\r\n").client("LIST\r\n").then(
        active(4000),
        answer("lan"),
        dump("data"),
      ).server("150 go\r\n").client("").steps,
    },
    expect(v) {
      v.is(text(v, NEXT), PORT_OUT.trim());
      v.is(v.one(NEXT).seq, 1009);
      v.is(v.one(NEXT + 1).ack, 1009 + PORT.length, "the client's ack");
      v.is(v.one(NEXT + 2).seq, 1009 + PORT_OUT.length, "the server's view");
      v.is(v.ends(v.one(NEXT + 3)), `${S}:20 > ${C}:4000`);
      v.is(v.ends(v.one(NEXT + 4)), `${WAN}:4000 > ${S}:20`);
      for (let n = 0; n < NEXT + 7; n++) v.is(v.one(n).errors, []);
    },
  },
  {
    id: "F06",
    says: "offsets of two PORT commands add up",
    scenario: {
      ...NET,
      iptables: FTP,
      steps:
        greeted().client(PORT, GROWS).server("200 ok\r\n").client(PORT, GROWS).server("200 ok\r\n").client(
          "LIST\r\n",
        )
          .server("150 x\r\n").steps,
    },
    expect(v) {
      v.is(v.one(NEXT + 4).seq, 1009 + 2 * PORT_OUT.length);
      v.is(v.one(NEXT + 5).ack, 1009 + 2 * PORT.length + 6);
    },
  },
  {
    id: "F07",
    says: "a PORT sent twice gives the same bytes and one expectation",
    scenario: {
      ...NET,
      iptables: FTP,
      steps: greeted().lost(PORT).client(PORT, GROWS).server("200 ok\r\n").client("LIST\r\n").steps,
    },
    expect(v) {
      v.is(text(v, NEXT), PORT_OUT.trim());
      v.is(text(v, NEXT + 1), PORT_OUT.trim());
      v.is(v.expects().length, 1, "expectations");
      v.is(v.one(NEXT + 3).seq, 1009 + PORT_OUT.length);
    },
  },
  {
    id: "F08",
    says: "a SACK over a lengthened range is taken back for the client",
    scenario: {
      ...NET,
      iptables: FTP,
      steps: greeted().client(PORT, GROWS).server("200 ok\r\n").lost("LIST\r\n").server("", 0, {
        ack: 1009 + PORT_OUT.length,
        options: [{ nop: true }, { nop: true }, {
          sack: [[1009 + PORT_OUT.length, 1009 + PORT_OUT.length + 6]],
        }],
      }).steps,
    },
    expect(v) {
      const o = v.one(NEXT + 3), at = 1009 + PORT.length;
      const edge = (i: number) => new DataView(o.tcpOptions!.buffer).getUint32(4 + i);
      v.is([o.ack, edge(0), edge(4)], [at, at, at + 6]);
    },
  },
  {
    id: "F10",
    says: "a shorter public address shrinks the line",
    scenario: {
      ...NET,
      iptables: COUNT + HELPER + nat("-A POSTROUTING -o wan -j SNAT --to-source 9.9.9.9"),
      steps: greeted({ public: "9.9.9.9" }).client(PORT, -2).server("200 ok\r\n").client("LIST\r\n").steps,
    },
    expect(v) {
      v.is(text(v, NEXT), "PORT 9,9,9,9,15,160");
      v.is(v.one(NEXT + 2).seq, 1009 + PORT.length - 2);
    },
  },
  {
    id: "F11",
    says: "a public address of the same length changes no numbers",
    scenario: {
      ...NET,
      iptables: COUNT + HELPER + nat("-A POSTROUTING -o wan -j SNAT --to-source 203.0.1.1"),
      steps: greeted({ public: "203.0.1.1" }).client(PORT).server("200 ok\r\n").client("LIST\r\n").steps,
    },
    expect(v) {
      v.is(text(v, NEXT), "PORT 203,0,1,1,15,160");
      v.is(v.one(NEXT + 2).seq, 1009 + PORT.length);
    },
  },
  lines(
    "F12",
    "letter case does not matter and is kept; EPRT is written anew with bars",
    "client",
    [
      "port 192,0,2,2,15,160\r\n",
      "Port 192,0,2,2,15,160\r\n",
      "EPRT |1|192.0.2.2|4000|\r\n",
      "eprt !1!192.0.2.2!4000!\r\n",
    ],
    (v) =>
      v.is([0, 1, 2, 3].map((i) => text(v, 7 * i + NEXT)), [
        "port 203,0,113,1,15,160",
        "Port 203,0,113,1,15,161",
        "EPRT |1|203.0.113.1|4002|",
        "eprt |1|203.0.113.1|4003|",
      ]),
  ),
  {
    id: "F15",
    says: "a command cut in two is held back until it comes whole",
    scenario: {
      ...NET,
      iptables: FTP,
      steps: greeted().lost("PO").lost("PORT 192,0").lost("PORT 192,0,2,2,15,160").client(PORT, GROWS).steps,
    },
    expect(v) {
      v.silent(NEXT, NEXT + 1, NEXT + 2);
      v.is(text(v, NEXT + 3), PORT_OUT.trim());
    },
  },
  {
    id: "F16",
    says: "a command ahead of a gap is not read",
    scenario: {
      ...NET,
      iptables: FTP,
      steps: greeted().lost(PORT, { seq: 1009 + 6 }).client("NOOP\r\n").lost(PORT).steps,
    },
    expect(v) {
      v.is(text(v, NEXT), PORT.trim());
      v.is(text(v, NEXT + 2), PORT_OUT.trim());
    },
  },
  lines(
    "F17",
    "PORT with the address of another host, of the server or of the router itself passes unchanged",
    "client",
    [
      "PORT 192,0,2,3,15,160\r\n",
      "PORT 198,51,100,7,15,160\r\n",
      "PORT 203,0,113,1,15,160\r\n",
      "EPRT |1|192.0.2.3|4000|\r\n",
    ],
    (v) => {
      v.is(text(v, NEXT), "PORT 192,0,2,3,15,160");
      v.is(text(v, NEXT + 7), "PORT 198,51,100,7,15,161");
      v.is(v.expects().length, 0, "expectations");
    },
  ),
  lines(
    "F18",
    "227 with another address than the server's passes unchanged",
    "server",
    ["227 Entering (198,51,100,9,15,160)\r\n", "227 Entering (192,0,2,3,15,160)\r\n"],
    (v) => {
      v.is(text(v, NEXT + 1), "227 Entering (198,51,100,9,15,160)");
      v.is(v.expects().length, 0, "expectations");
    },
  ),
  lines(
    "F22",
    "commands that begin well and go wrong are dropped",
    "client",
    [
      "PORT 192,0,2,2,15,160\n",
      "PORT   192,0,2,2,15,160\r\n",
      "PORT 192,0,2,2,15,160\0\r\n",
      "EPRT |2|2001:db8::1|4000|\r\n",
      "EPRT 111192.0.2.21400011\r\n",
      "EPRT |1|192.0.2.2|0|\r\n",
      "PORT 192,0,2,2,15\r\n",
      "PORT 300,0,2,2,15,160\r\n",
      "PORT 192,0,2,2,999,160\r\n",
      "P",
      "PORTAL\r\n",
      "PORT\t192,0,2,2,15,160\r\n",
      "PORT 192,0,2,2,0,0\r\n",
    ],
    (v) => v.silent(...[0, 1, 2, 3, 4].map((i) => 7 * i + NEXT)),
  ),
  lines(
    "F23",
    "227 needs no brackets; a line that does not begin with “227 ” is none",
    "server",
    [
      "227 Entering 198,51,100,7,15,160\r\n",
      "227 =198,51,100,7,15,160\r\n",
      "227-Entering\r\n227 (198,51,100,7,15,160)\r\n",
      "228 (198,51,100,7,15,160)\r\n",
      "227 ok (198,51,100,7,15,160) and (198,51,100,7,15,161)\r\n",
      "227 v2 (198,51,100,7,15,160)\r\n",
    ],
    (v) => {
      v.is(v.expects("line 0").length, 1, "plain");
      v.is(v.expects("line 2").length, 2, "with hyphen");
    },
  ),
  lines(
    "F24",
    "answers cut or without a usable port are dropped",
    "server",
    [
      "229 Entering (|||0|)\r\n",
      "229 Entering (|||4",
      "227 Entering (198,51,100,7,15",
      "2",
      "229 Entering (||4000|)\r\n",
      "229 Entering (!!!4000!)\r\n",
      "229 Entering |||4000|\r\n",
    ],
    (v) => v.silent(...[0, 1, 2, 3].map((i) => 8 * i + NEXT + 1)),
  ),
  {
    id: "F25",
    says: "a port that is already expected is replaced by another, in the text as well",
    scenario: {
      ...NET,
      iptables: FTP,
      // High ports, so that whatever is chosen has as many digits.
      steps: [
        ...greeted().client("PORT 192,0,2,2,255,100\r\n", GROWS).steps,
        ...greeted({ client: C2, clientPort: 1001 }).client("PORT 192,0,2,3,255,100\r\n", GROWS).server(
          "200 ok\r\n",
        ).steps,
        packet("wan", (seen) => {
          const line = String.fromCharCode(...seen.filter((e) => e.iface === "wan").at(-1)!.bytes.slice(40));
          return tcp({
            src: S,
            sport: 20,
            dst: WAN,
            dport: 255 * 256 + Number(line.match(/,255,(\d+)/)![1]),
            flags: "S",
            seq: 1,
          });
        }),
      ],
    },
    expect(v) {
      v.is(text(v, NEXT), "PORT 203,0,113,1,255,100");
      v.ok(/^PORT 203,0,113,1,255,\d+$/.test(text(v, 2 * NEXT + 1)), text(v, 2 * NEXT + 1));
      v.ok(text(v, 2 * NEXT + 1) !== text(v, NEXT), "same port");
      v.is(v.ends(v.one(2 * NEXT + 3)), `${S}:20 > ${C2}:65380`);
    },
  },
  {
    id: "F28",
    says: "the expectation goes with the control connection",
    scenario: {
      ...NET,
      iptables: FTP,
      steps: greeted().client(PORT, GROWS).then(
        dump("announced"),
        { do: "delete", arguments: ["-p", "tcp", "--dport", "21"] },
        dump("deleted"),
        active(4000),
      ).steps,
    },
    expect(v) {
      v.is([v.expects("announced").length, v.expects("deleted").length], [1, 0]);
      v.is(v.one(NEXT + 1).flags, "RA");
    },
  },
  {
    id: "F29",
    says: "the data connection inherits the mark",
    scenario: {
      ...NET,
      iptables: HELPER + nat("-A POSTROUTING -o wan -j MASQUERADE") +
        mangle("-A FORWARD -p tcp --dport 21 -j CONNMARK --set-mark 7", "-A FORWARD -m connmark --mark 7"),
      steps: greeted().client(PORT, GROWS).then(active(4000)).steps,
    },
    expect: (v) => v.is(v.flows().map((f) => f.rest.mark), ["7", "7"]),
  },
  {
    id: "F30",
    says: "there is one expectation at a time, the newest",
    scenario: {
      ...NET,
      iptables: FTP,
      steps: greeted().client(PORT, GROWS).then(dump("PORT")).server("227 Entering (198,51,100,7,15,161)\r\n")
        .then(dump("227"))
        .client("EPSV\r\n").server("229 Entering (|||4002|)\r\n").steps,
    },
    expect(v) {
      v.is(["PORT", "227", "end"].map((d) => v.expects(d).map((e) => e.tuple.dport)), [["4000"], ["4001"], [
        "4002",
      ]]);
    },
  },
  {
    id: "F31",
    says: "227 of a server behind DNAT shows the public address, and the client gets through",
    scenario: {
      ...NET,
      iptables: COUNT + HELPER + nat(`-A PREROUTING -i wan -p tcp --dport 21 -j DNAT --to-destination ${C}`),
      steps: greeted(INSIDE).client("PASV\r\n").server("227 Entering (192,0,2,2,15,160)\r\n", GROWS).client(
        "LIST\r\n",
      ).then(
        packet("wan", tcp({ src: S, sport: 2000, dst: WAN, dport: 4000, flags: "S", seq: 1 })),
        answer("lan"),
        dump("data"),
      ).server("150 ok\r\n").client("").steps,
    },
    expect(v) {
      v.is(text(v, NEXT + 1), "227 Entering (203,0,113,1,15,160)");
      v.is(v.ends(v.one(NEXT + 3)), `${S}:2000 > ${C}:4000`);
      v.is(v.one(NEXT + 5).seq, 5000 + 1 + 16 + "227 Entering (203,0,113,1,15,160)\r\n".length);
    },
  },
  {
    id: "F32",
    says: "229 of a server behind DNAT keeps its port, 227 after it is adjusted",
    scenario: {
      ...NET,
      iptables: COUNT + HELPER + nat(`-A PREROUTING -i wan -p tcp --dport 21 -j DNAT --to-destination ${C}`),
      steps: greeted(INSIDE)
        .client("EPSV\r\n").server("229 Entering (|||4000|)\r\n").then(
          packet("wan", tcp({ src: S, sport: 2000, dst: WAN, dport: 4000, flags: "S", seq: 1 })),
        ).steps,
    },
    expect(v) {
      v.is(text(v, NEXT + 1), "229 Entering (|||4000|)");
      v.is(v.ends(v.one(NEXT + 2)), `${S}:2000 > ${C}:4000`);
    },
  },
  {
    id: "F33",
    says: "lines padded to 255 bytes and more keep their padding",
    scenario: {
      ...NET,
      iptables: FTP,
      steps: [255, 256, 257, 261, 1400].flatMap((length, i) =>
        greeted({ clientPort: 1000 + i }).client(
          (PORT.trim().replace("160", `${160 + i}`) + "\r").padEnd(length - 1, " ") + "\n",
          GROWS,
        )
          .steps
      ),
    },
    expect(v) {
      [255, 256, 257, 261, 1400].forEach((length, i) => {
        const o = v.one(7 * i + NEXT);
        v.is([o.payload.length, o.errors], [length + GROWS, []]);
        v.ok(text(v, 7 * i + NEXT).startsWith("PORT 203,0,113,1,15,16"), text(v, 7 * i + NEXT));
      });
    },
  },
  {
    id: "F36",
    says: "a command in IP fragments is read and rewritten",
    scenario: {
      ...NET,
      iptables: FTP,
      steps: greeted().then(
        ...fragments(
          tcp({
            src: C,
            sport: 1000,
            dst: S,
            dport: 21,
            flags: "PA",
            seq: 1009,
            ack: 5017,
            payload: PORT,
            df: false,
          }),
          32,
          700,
        ).map((f) => packet("lan", f)),
        dump("sent"),
      ).steps,
    },
    expect(v) {
      v.is(v.expects().length, 1, "expectations");
    },
  },
  {
    id: "F37",
    says: "over IPv6 EPRT and EPSV are read, and EPRT is written without compression",
    scenario: {
      ...NET6,
      ip6tables: FTP,
      steps: [
        ...greeted({ client: C6, server: S6, public: "2001:db8:3::1" }).client(
          `EPRT |2|${C6}|4000|\r\n`,
          27 - 13,
        ).then(
          dump("EPRT"),
          packet("wan", tcp({ src: S6, sport: 20, dst: "2001:db8:3::1", dport: 4000, flags: "S", seq: 1 })),
        ).steps,
        ...greeted({ client: C6, server: S6, public: "2001:db8:3::1", clientPort: 1001 }).client("EPSV\r\n")
          .server("229 Entering (|||4002|)\r\n").then(
            dump("EPSV"),
            packet("lan", tcp({ src: C6, sport: 2000, dst: S6, dport: 4002, flags: "S", seq: 1 })),
          ).steps,
      ],
    },
    expect(v) {
      v.ok(text(v, NEXT).startsWith("EPRT |2|2001:"), text(v, NEXT));
      v.is(v.one(NEXT + 1).dst, C6);
      v.is(v.count("--ctstate RELATED", "end", 6), 2);
    },
  },
  {
    id: "F38",
    says: "the first line of each side is never read",
    scenario: {
      ...NET,
      iptables: FTP,
      steps:
        new Session().open().client(PORT).server("227 (198,51,100,7,15,160)\r\n").client("NOOP\r\n").client(
          PORT,
          GROWS,
        )
          .steps,
    },
    expect(v) {
      v.is(text(v, 3), PORT.trim());
      v.is(text(v, 6), PORT_OUT.trim());
    },
  },
];
