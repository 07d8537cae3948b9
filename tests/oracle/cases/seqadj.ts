/** Group F, continued: sequence adjustment, and what outlives a control connection. */
import { icmpError, tcp, type TcpOptions } from "../../kit/packets.ts";
import { dump, packet, type Step } from "../scenario.ts";
import { C, type Case, filter, M, NET, raw, S, WAN } from "./case.ts";
import { Session } from "./session.ts";

const FTP = M + raw("-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp");
const PORT = "PORT 192,0,2,2,15,160\r\n", GROWS = 2;

const client = (o: Partial<TcpOptions>): Step =>
  packet("lan", tcp({ src: C, sport: 1000, dst: S, dport: 21, flags: "PA", ...o }));
const server = (o: Partial<TcpOptions>): Step =>
  packet("wan", tcp({ src: S, sport: 21, dst: WAN, dport: 1000, flags: "PA", ...o }));

const greeted = new Session().greeted();
/** Where the client's first PORT begins, its length, and what the server has said. */
const AT = greeted.clientNext, L = PORT.length, ACK = greeted.serverNext;
/** Two PORTs and a line, none of them acknowledged; the numbers that the server sees. */
const TWO: Step[] = [
  ...greeted.steps,
  client({ seq: AT, ack: ACK, payload: PORT }),
  client({ seq: AT + L, ack: ACK, payload: PORT }),
  client({ seq: AT + 2 * L, ack: ACK, payload: "LIST\r\n" }),
];
const SECOND = AT + L + GROWS, THIRD = AT + 2 * (L + GROWS), END = THIRD + 6;
/** Index of the first step after these. */
const N = TWO.length;
const nop = { nop: true } as const;

/** The server's data connection, opened from its port 20. */
const data = (side: "c" | "s", flags: string, seq: number, ack: number): Step =>
  side === "s"
    ? packet("wan", tcp({ src: S, sport: 20, dst: WAN, dport: 4000, flags, seq, ack }))
    : packet("lan", tcp({ src: C, sport: 4000, dst: S, dport: 20, flags, seq, ack }));

export const SEQADJ_CASES: Case[] = [
  {
    id: "F06b",
    says: "Linux knows one correction: what is sent again from before the first gets the offset between both",
    scenario: {
      ...NET,
      iptables: FTP,
      steps: [
        ...TWO,
        client({ seq: AT, ack: ACK, payload: PORT }),
        client({ seq: AT + 4, ack: ACK, payload: "abc" }),
        client({ seq: AT + L, ack: ACK, payload: PORT }),
        client({ seq: AT + L + 3, ack: ACK, payload: "abc" }),
      ],
    },
    expect(v) {
      v.is([N, N + 2, N + 3].map((n) => v.one(n).seq), [AT + GROWS, SECOND, AT + L + 3 + 2 * GROWS]);
    },
  },
  {
    id: "F06c",
    says: "acknowledgements of two corrections at once are taken back",
    scenario: {
      ...NET,
      iptables: FTP,
      steps: [
        ...TWO,
        server({ seq: ACK, ack: SECOND, flags: "A" }),
        server({ seq: ACK, ack: SECOND - GROWS, flags: "A" }),
        server({ seq: ACK, ack: THIRD, flags: "A" }),
        server({ seq: ACK, ack: END, payload: "200 ok\r\n" }),
      ],
    },
    expect(v) {
      v.is([N, N + 2, N + 3].map((n) => v.one(n).ack), [AT + L, AT + 2 * L, AT + 2 * L + 6]);
    },
  },
  {
    id: "F06d",
    says: "SACK blocks over both corrections are taken back; at odd places Linux spoils the checksum",
    scenario: {
      ...NET,
      iptables: FTP,
      steps: [[nop, nop], [nop]].flatMap((nops, i) => [
        ...(i === 0 ? TWO : []),
        server({
          seq: ACK,
          ack: AT,
          flags: "A",
          options: [...nops, { sack: [[SECOND, THIRD], [THIRD, END]] }, ...(i === 0 ? [] : [nop])],
        }),
      ]),
    },
    expect(v) {
      v.is(v.one(N).errors, []);
      v.is(v.one(N + 1).errors, ["TCP checksum"]);
    },
  },
  {
    id: "F06e",
    says: "an acknowledgement number without its flag is left as it is",
    scenario: { ...NET, iptables: FTP, steps: [...TWO, server({ seq: ACK, ack: 7777, flags: "R" })] },
    expect(v) {
      v.is(v.one(N).ack, 7777);
    },
  },
  {
    id: "E11b",
    says:
      "Linux takes an ICMP error in the original direction of an adjusted flow for a segment, and damages it",
    scenario: {
      ...NET,
      iptables: FTP,
      steps: [
        ...TWO,
        packet(
          "lan",
          icmpError({
            src: C,
            dst: S,
            type: 3,
            code: 4,
            quoted: tcp({
              src: S,
              sport: 21,
              dst: C,
              dport: 1000,
              flags: "A",
              seq: ACK,
              ack: AT,
              payload: 99,
            }),
          }),
        ),
        packet(
          "wan",
          icmpError({
            src: "203.0.113.9",
            dst: WAN,
            type: 3,
            code: 4,
            quoted: tcp({
              src: WAN,
              sport: 1000,
              dst: S,
              dport: 21,
              flags: "A",
              seq: AT,
              ack: ACK,
              payload: 99,
            }),
          }),
        ),
      ],
    },
    expect(v) {
      v.is(v.one(N).quoted!.errors, ["IP checksum"]);
      v.is(v.one(N + 1).quoted!.errors, []);
    },
  },
  {
    id: "F28b",
    says: "a data connection is its helper's still when the control connection is gone",
    scenario: {
      ...NET,
      iptables: FTP + filter(
        "-A FORWARD -m helper --helper ftp",
        "-A FORWARD -m helper ! --helper ftp",
        '-A FORWARD -m helper --helper ""',
      ),
      steps: [
        ...new Session().greeted().client(PORT, GROWS).steps,
        data("s", "S", 1, 0),
        data("c", "SA", 100, 2),
        data("s", "A", 2, 101),
        dump("both"),
        { do: "delete", arguments: ["-p", "tcp", "--dport", "21"] },
        data("s", "PA", 2, 101),
        // Another connection may take the place of the old one.
        ...new Session({ clientPort: 1005 }).greeted().steps,
        data("c", "A", 101, 2),
      ],
    },
    expect(v) {
      v.is(v.count("-m helper --helper ftp", "both"), 3);
      v.is(v.count("-m helper --helper ftp"), 5);
      v.is(v.flows().length, 2);
    },
  },
];
