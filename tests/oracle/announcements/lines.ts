/**
 * What may stand in an announcement: numbers in every spelling, lines nearly right, and who says them. Each line is said
 * in a conversation of its own, through a plain firewall and through NAT of either side.
 *
 * @module
 */
import { tcp, udp } from "../../kit/packets.ts";
import { C, C6, COUNT, M, nat, NET, NET6, raw, S, S6, WAN, WAN6 } from "../cases/case.ts";
import { INSIDE, Session, type SessionOptions } from "../cases/session.ts";
import { packet, type Scenario, type Step } from "../scenario.ts";

const FTP = "-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp";
const IRC = "-A PREROUTING -p tcp -m tcp --dport 6667 -j CT --helper irc";
const TFTP = "-A PREROUTING -p udp -m udp --dport 69 -j CT --helper tftp";
const AMANDA = "-A PREROUTING -p udp -m udp --dport 10080 -j CT --helper amanda";
/** The rules that give helpers to their ports. */
export const HELPERS = raw(FTP, IRC, TFTP, AMANDA);
const HELPERS_6 = raw(FTP, TFTP, AMANDA);
const dnat = (protocol: string, port: number, to: string) =>
  nat(`-A PREROUTING -i wan -p ${protocol} --dport ${port} -j DNAT --to-destination ${to}`);

/** The first packet of a connection that somebody outside opens. */
export const dials = (dport: number, dst: string = WAN, sport = 20, src: string = S): Step =>
  packet("wan", tcp({ src, sport, dst, dport, flags: "S", seq: 1 }));

const of4 = (iptables: string, steps: Step[]): Scenario => ({ ...NET, iptables, steps });
const of6 = (ip6tables: string, steps: Step[]): Scenario => ({ ...NET6, ip6tables, steps });

// ── FTP ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const PORTS = `
192,00,2,2,15,160  192,0,2,2,015,160  192,0,2,2,0015,160  0192,0,2,2,15,160  192,0,2,2,15,0xa0  192,0,2,2,256,160
192,0,2,2,271,160  448,0,2,2,15,160  192,0,2,2,15,416  192,0,2,2,4294967311,160  192,0,2,2,15,4294967456
0,0,0,0,15,160  3221225986,0,0,0,15,160  192,0,514,15,160  192.0.2.2.15.160  192,0,2,2,15,160,7  +192,0,2,2,15,160
-64,0,2,2,15,160  192,0,2,2,,160  ,,,,,  192,0,2,2,255,255  192,0,2,2,0,0  192,0,2,2,0,1  192,0,2,3,15,160
198,51,100,7,15,160  203,0,113,1,15,160  192,0,2,2,99999999999999999999,1`.trim().split(/\s+/);
const EPRTS = `
|1|192.0.2.2|4000|  |1|192.0.2.2|04000|  |1|192.0.2.2|0000000000004000|  |1|192.0.2.2|69536|  |1|192.0.2.2|0|
|1|192.0.2.2|65535|  |1|192.0.2.2|4294971296|  |1|192.0.2.02|4000|  |1|192.0.2|4000|  |1|0300.0.02.02|4000|
|1|::ffff:192.0.2.2|4000|  |2|::ffff:192.0.2.2|4000|  |2|::ffff:c000:202|4000|  |1||4000|  ||192.0.2.2|4000|
|1|192.0.2.2|4000  |1|192.0.2.2||  |3|192.0.2.2|4000|  |11|192.0.2.2|4000|  .1.192.0.2.2.4000.  ,1,192.0.2.2,4000,
~1~192.0.2.2~4000~  111192.0.2.2140001  |1|192.0.2.2|-1|  |1|256.0.2.2|4000|  |1|448.0.2.2|4000|`.trim()
  .split(/\s+/);
const CLIENT_LINES = [
  ...PORTS.map((numbers) => `PORT ${numbers}`),
  ...EPRTS.map((numbers) => `EPRT ${numbers}`),
  ..."\x7f \xff".split(" ").map((d) => `EPRT ${d}1${d}192.0.2.2${d}4000${d}`),
  "PORT 192,0,2,2,15,160 ",
  "PORT 192, 0,2,2,15,160",
  "PORT 192,0,2,2,15,160\0",
  "PORT 192,0,2,2,15,160\r\nPORT 192,0,2,2,15,161",
  "EPRT  |1|192.0.2.2|4000|",
  "EPRT  1 192.0.2.2 4000 ",
  "EPRT |1|192.0.2.2|4000| EPRT |1|192.0.2.2|4001|",
  "EPSV ALL",
  "EPSV 1",
  "LPRT 4,4,192,0,2,2,2,15,160",
  // What only the server may say.
  "227 (192,0,2,2,15,160)",
  "229 (|||4000|)",
];
const SERVER_LINES = [
  "227 (OWN,15,160)",
  "227 Entering OWN,15,160",
  "227 (OWN,15,160",
  "227 x 1 (OWN,15,160)",
  "227 (0OWN,15,160)",
  "227 (OWN,0,0)",
  "227 (OWN,0,22)",
  "227 (OWN,256,1)",
  "227 (10,0,0,1,15,160)",
  "227 (127,0,0,1,0,22)",
  "227 (203,0,113,1,0,22)",
  "227 (192,0,2,3,0,22)",
  "227",
  "227 ",
  "227-(OWN,15,160)",
  "227 \0(OWN,15,160)",
  "227 (OWN,15,160)\r\n227 (OWN,15,161)",
  "226 ok\n227 (OWN,15,160)",
  "331 227 (OWN,15,160)",
  "229 (|||4000|)",
  "229 x(|||4000|)",
  "229 (||4000|)",
  "229 (|||0|)",
  "229 (|||65536|)",
  "229 (|||04000|)",
  "229 (|1||4000|)",
  "229 (|1|198.51.100.7|4000|)",
  "229 (|||4000)",
  "229 (!!!4000!)",
  "229 |||4000|",
  "229 (((|||4000|)",
  "229 )(|||4000|)",
  "229 ((((4000()",
  "229 (|||4000|4001|)",
  // What only the client may say.
  "PORT OWN,15,160",
  "EPRT |1|198.51.100.7|4000|",
];
const greeted = (o: SessionOptions = {}) => new Session(o).greeted();
const own = (line: string, address: string) => line.replaceAll("OWN", address.replaceAll(".", ","));

const CLIENT_LINES_6 = [
  "EPRT |2|2001:db8:1::2|4000|",
  "EPRT |2|2001:0db8:0001:0000:0000:0000:0000:0002|4000|",
  "EPRT |2|2001:DB8:1::2|4000|",
  "EPRT |2|2001:db8:1:0:0:0:0.0.0.2|4000|",
  "EPRT |2|::2001:db8:1:0:2|4000|",
  "EPRT |2|2001:db8:1::2%lan|4000|",
  "EPRT |2|[2001:db8:1::2]|4000|",
  "EPRT |1|192.0.2.2|4000|",
  "EPRT |2|::ffff:192.0.2.2|4000|",
  "EPRT |2|192.0.2.2|4000|",
  "EPRT |2|::|4000|",
  "EPRT |2|2001:db8:1::3|4000|",
  "EPRT |2|2001:db8:1:::2|4000|",
  "EPRT |2|2001:db8:1::2::|4000|",
  "EPRT |2|2001:db8:1:0:0:0:0:0:2|4000|",
  "EPRT |2|02001:db8:1::2|4000|",
  "EPRT |2|2001:db8:1::0002|4000|",
  "EPRT |2|2001:db8:1::00002|4000|",
  "EPRT |2|2001:db8:1::2 |4000|",
  "EPRT |2|2001:db8:1::2|0|",
  "EPRT |2|2001:db8:1::2|65536|",
  "PORT 192,0,2,2,15,160",
  "PORT 32,1,13,184,15,160",
  "EPSV",
  "EPSV 2",
];
const SERVER_LINES_6 = [
  "227 (198,51,100,7,15,160)",
  "227 (32,1,13,184,15,160)",
  "229 (|||4000|)",
  "229 (|2|2001:db8:2::7|4000|)",
  "229 (|||0|)",
];
const SIX: SessionOptions = { client: C6, server: S6, public: C6 };
const INSIDE_6: SessionOptions = { ...INSIDE, client: S6, server: C6, public: S6, called: WAN6 };

function ftpLines(): [string, Scenario][] {
  const list: [string, Scenario][] = [];
  for (const line of CLIENT_LINES) {
    const steps = (o: SessionOptions, to: string) =>
      greeted(o).client(`${line}\r\n`).then(dials(4000, to)).steps;
    list.push([`client, MASQUERADE: ${line}`, of4(M + HELPERS, steps({}, WAN))]);
    list.push([`client: ${line}`, of4(COUNT + HELPERS, steps({ public: C }, C))]);
  }
  for (const line of SERVER_LINES) {
    const steps = (o: SessionOptions, address: string) =>
      greeted(o).client("PASV\r\n").server(`${own(line, address)}\r\n`).then(dials(4000)).steps;
    list.push([`server, MASQUERADE: ${line}`, of4(M + HELPERS, steps({}, S))]);
    list.push([`server, DNAT: ${line}`, of4(COUNT + HELPERS + dnat("tcp", 21, C), steps(INSIDE, C))]);
  }
  for (const line of CLIENT_LINES_6) {
    const steps = (o: SessionOptions, to: string) =>
      greeted(o).client(`${line}\r\n`).then(dials(4000, to, 20, S6)).steps;
    list.push([`client, IPv6: ${line}`, of6(COUNT + HELPERS_6, steps(SIX, C6))]);
    list.push([
      `client, IPv6, MASQUERADE: ${line}`,
      of6(M + HELPERS_6, steps({ ...SIX, public: WAN6 }, WAN6)),
    ]);
  }
  for (const line of SERVER_LINES_6) {
    const steps = (o: SessionOptions) =>
      greeted(o).server(`${line}\r\n`).then(dials(4000, WAN6, 2000, S6)).steps;
    list.push([`server, IPv6: ${line}`, of6(COUNT + HELPERS_6, steps(SIX))]);
    list.push([`server, IPv6, DNAT: ${line}`, of6(COUNT + HELPERS_6 + dnat("tcp", 21, C6), steps(INSIDE_6))]);
  }
  return list;
}

// ── IRC ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** 192.0.2.2 as a number, and 198.51.100.7. */
const OWN = "3221225986", OUTSIDE = "3325256711";
const OFFERS = `
OWN 5000  OWN 05000  OWN 0005000  OWN 65535  OWN 65536  OWN 70536  OWN 0  OWN 22  0OWN 5000  7516193282 5000
0xC0000202 5000  -1073741310 5000  3405803777 5000  0 5000  2130706433 5000  4294967295 5000  3221225987 5000
OWN 5000x  OWN x5000`.trim().split(/\s\s+|\n/).map((offer) => `PRIVMSG x :\x01DCC SEND f ${offer}\x01\r\n`);
const IRC_LINES = [
  ...OFFERS,
  "PRIVMSG x :\x01DCC SEND f OWN \x01\r\n",
  "PRIVMSG x :\x01DCC SEND f OWN   5000\x01\r\n",
  "PRIVMSG x :\x01DCC SEND  OWN 5000\x01\r\n",
  'PRIVMSG x :\x01DCC SEND "a b" OWN 5000\x01\r\n',
  "PRIVMSG x :\x01DCC SEND f OWN 5000 4294967296 T\x01\r\n",
  "PRIVMSG x :\x01DCC SEND f OWN 0 100 17\x01\r\n",
  "PRIVMSG x y :\x01DCC CHAT chat OWN 5000\x01\n",
  " PRIVMSG x :\x01DCC CHAT chat OWN 5000\x01\r\n",
  "\r\nPRIVMSG x :\x01DCC CHAT chat OWN 5000\x01\r\n",
  ":me!u@h PRIVMSG x :\x01DCC CHAT chat OWN 5000\x01\r\n",
  "NOTICE x :\x01DCC CHAT chat OWN 5000\x01\r\n",
  "privmsg x :\x01DCC CHAT chat OWN 5000\x01\r\n",
  "PRIVMSG x :\x01dcc CHAT chat OWN 5000\x01\r\n",
  "PRIVMSG x :hi :\x01DCC CHAT chat OWN 5000\x01\r\n",
  "PRIVMSG x :\x01DCC FOO :\x01DCC CHAT chat OWN 5000\x01\r\n",
  "PRIVMSG x :\x01DCC CHAT chat OWN 5000\x01",
  "PRIVMSG x :\x01DCC CHAT chat OWN\n5000\x01\r\n",
  "PRIVMSG x :\x01DCC CHAT chat OWN 5000\x01PRIVMSG x :\x01DCC CHAT chat OWN 5001\x01\r\n",
];

function ircLines(): [string, Scenario][] {
  const talk = (o: SessionOptions) =>
    new Session({ port: 6667, ...o }).open().client("NICK a\r\n").server(":x\r\n");
  return IRC_LINES.flatMap((line): [string, Scenario][] => {
    const said = line.replaceAll("OWN", OWN), outside = line.replaceAll("OWN", OUTSIDE);
    const plain = { public: C }, masquerade = M + HELPERS, firewall = COUNT + HELPERS;
    return [
      [`MASQUERADE: ${line}`, of4(masquerade, talk({}).client(said).then(dials(5000)).steps)],
      [`firewall: ${line}`, of4(firewall, talk(plain).client(said).then(dials(5000, C)).steps)],
      [`by the server: ${line}`, of4(firewall, talk(plain).server(said).then(dials(5000, C)).steps)],
      [`DNAT: ${line}`, of4(firewall + dnat("tcp", 6667, C), talk(INSIDE).client(outside).steps)],
      // Nothing has been said before it.
      [`at first: ${line}`, of4(masquerade, new Session({ port: 6667 }).open().client(said).steps)],
    ];
  });
}

// ── TFTP and Amanda ─────────────────────────────────────────────────────────────────────────────────────────────

const ASKED = [
  "\0\x01f\0octet\0",
  "\0\x02f\0octet\0",
  "\0\x01f\0octet\0blksize\x001428\0tsize\x000\0",
  "\0\x01",
  "\0\x01f",
  "\0",
  "",
  "\x01\0f\0octet\0",
  "\0\x03\0\x01abc",
  "\0\x04\0\x01",
  "\0\x05\0\x01no\0",
  "\0\x06blksize\x00512\0",
  "\0\x01" + "x".repeat(1400),
];

function tftpRequests(): [string, Scenario][] {
  return ASKED.flatMap((payload): [string, Scenario][] => {
    const ask = packet("lan", udp({ src: C, sport: 1000, dst: S, dport: 69, payload }));
    const data = (sport: number, dst: string, said: string) =>
      packet("wan", udp({ src: S, sport, dst, dport: 1000, payload: said }));
    const reply = packet("lan", udp({ src: C, sport: 1000, dst: S, dport: 3456, payload: "\0\x04\0\0" }));
    const steps = (to: string) => [
      ask,
      data(3456, to, "\0\x06blksize\x00512\0"),
      data(3457, to, "\0\x03\0\x01abc"),
      reply,
      ask,
      data(69, to, payload),
      data(3458, to, "\0\x05\0\x01no\0"),
    ];
    const name = JSON.stringify(payload.slice(0, 40));
    return [[`${name}, MASQUERADE`, of4(M + HELPERS, steps(WAN))], [name, of4(COUNT + HELPERS, steps(C))]];
  });
}

const REPLIES = [
  "CONNECT DATA 5000 MESG 5001 INDEX 5002 STATE 5003\n",
  "CONNECT DATA 5000 MESG 5000 INDEX 5000\n",
  "CONNECT DATA 05000 MESG 005001\n",
  "CONNECT DATA 65536\n",
  "CONNECT DATA 22 MESG 80 INDEX 1023\n",
  "CONNECT DATA 5000\nCONNECT MESG 5001\n",
  "CONNECT \nCONNECT DATA 5000\n",
  "CONNECT DATA 0 MESG 5001\n",
  "CONNECT MESG 5001 DATA 5000\n",
  "CONNECT DATA 5000",
  "xCONNECT DATA 5000\n",
  "CONNECT  DATA  5000\n",
  "CONNECT DATA 99999 MESG 99999 INDEX 99999\n",
  "CONNECT DATA DATA 5000\n",
  "CONNECT DATA 5000 MESG x INDEX 5002\n",
  "CONNECT CONNECT DATA 5000\n",
  "CONNECT DATA 4294972296\n",
  "CONNECT DATA -5000\n",
  "\nCONNECT DATA 5000\n\n",
  "CONNECT DATA 50000 MESG 9 INDEX 99\n",
];

function amandaReplies(): [string, Scenario][] {
  return REPLIES.flatMap((payload): [string, Scenario][] => {
    const told = [5000, 5001, 5002, 22, 80, 34463];
    const says = (
      iface: string,
      src: string,
      sport: number,
      dst: string,
      dport: number,
      text: string,
      more = {},
    ) => packet(iface, udp({ src, sport, dst, dport, payload: text, ...more }));
    const inside = [
      says("lan", C, 1000, S, 10080, "REQ\n"),
      ...[{}, {}, { checksum: 0 }].map((more) => says("wan", S, 10080, WAN, 1000, payload, more)),
      ...told.map((dport) =>
        packet("lan", tcp({ src: C, sport: 3000 + dport, dst: S, dport, flags: "S", seq: 1 }))
      ),
    ];
    const outside = (src: string, server: string, called: string) => [
      says("wan", src, 1000, called, 10080, "REQ\n"),
      ...[1, 2].map(() => says("lan", server, 10080, src, 1000, payload)),
      ...told.map((dport) => dials(dport, called, 3000, src)),
    ];
    const name = JSON.stringify(payload);
    return [
      [`${name}, MASQUERADE`, of4(M + HELPERS, inside)],
      [`${name}, DNAT`, of4(COUNT + HELPERS + dnat("udp", 10080, C), outside(S, C, WAN))],
      [`${name}, IPv6, DNAT`, of6(COUNT + HELPERS_6 + dnat("udp", 10080, C6), outside(S6, C6, WAN6))],
    ];
  });
}

/** Scenarios by helper, each with what is said in it. */
export const LINES: Readonly<Record<string, readonly [name: string, scenario: Scenario][]>> = {
  FTP: ftpLines(),
  IRC: ircLines(),
  TFTP: tftpRequests(),
  Amanda: amandaReplies(),
};
