/**
 * Announcements in moments that a helper may not have thought of: said again with other content, out of the window, cut
 * into fragments, with the end of the connection, over numbers that wrap, while rules change, in zones, twice.
 *
 * @module
 */
import { fragments, tcp } from "../../kit/packets.ts";
import { answer, C, C2, COUNT, fragmented, LAN, M, mangle, nat, NET, raw, S, WAN } from "../cases/case.ts";
import { Session, type SessionOptions } from "../cases/session.ts";
import { dump, packet, type Scenario, type Step } from "../scenario.ts";
import { dials, HELPERS } from "./lines.ts";

const T = M + HELPERS, PLAIN = COUNT + HELPERS, MASQUERADE = "-A POSTROUTING -o wan -j MASQUERADE";
const FTP = "-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp";
/** Bytes by which the public address is longer. */
const GROWS = 2;
const port = (n: number, address = "192,0,2,2") => `PORT ${address},${n >> 8},${n & 255}\r\n`;
const dcc = (n: number) => `PRIVMSG x :\x01DCC SEND f 3221225986 ${n}\x01\r\n`;
const greeted = (o: SessionOptions = {}) => new Session(o).greeted();
const irc = (o: SessionOptions = {}) =>
  new Session({ port: 6667, ...o }).open().client("NICK a\r\n").server(":x\r\n");
const rules = (iptables: string): Step => ({ do: "rules", iptables });

/** Scenarios by what happens to the announcement. */
export const CONVERSATIONS: [says: string, scenario: Scenario][] = [];
const add = (says: string, iptables: string, steps: Step[], more: Partial<Scenario> = {}) =>
  void CONVERSATIONS.push([says, { ...NET, iptables, steps, ...more }]);

// ── Segments that are not what they seem ────────────────────────────────────────────────────────────────────────

{
  const s = greeted(), seq = s.clientNext;
  s.client(port(4000), GROWS).lost(port(4001), { seq }).lost(port(4002), { seq }).client("LIST\r\n");
  add("again with another port", T, s.then(dials(4000), dials(4001), dials(4002)).steps);
}
{
  const s = greeted(), seq = s.clientNext;
  s.client("NOOP\r\n").lost(`xx\r\n${port(4000)}`, { seq: seq + 2 }).lost(port(4000), { seq: seq + 6 })
    .lost(port(4000), { seq: seq + 6 }).lost(port(4000), { seq: seq + 3 });
  add("over bytes that were sent before", T, s.then(dials(4000)).steps);
}
{
  const s = greeted(), seq = s.clientNext, first = port(4000);
  s.client(first, GROWS).client("NOOP\r\n").lost(`${first}NOOP\r\n`, { seq })
    .lost("NOOP\r\n", { seq: seq + first.length }).client(port(4005), GROWS).server("200\r\n").client("");
  add("again in one segment with what followed", T, s.steps);
}
for (const liberal of [0, 1]) {
  const s = greeted(), seq = s.clientNext;
  for (const far of [1_000_000, -1_000_000, 0x80000000]) s.lost(port(4000), { seq: (seq + far) >>> 0 });
  s.lost(port(4000), { ack: 77 }).lost(port(4000), { ack: 205_000 }).client(port(4000), GROWS);
  add(`out of the window${liberal ? ", and nobody minds" : ""}`, T, s.then(dials(4000)).steps, {
    sysctl: { "net.netfilter.nf_conntrack_tcp_be_liberal": liberal },
  });
}
for (const flags of ["FPA", "RPA", "R", "PAU", "PAE", "PAUEC", "P", ""]) {
  const s = greeted().client(port(4000), GROWS, { flags, urgent: flags.includes("U") ? 5 : 0 })
    .client(port(4001), GROWS).then(dials(4000), dials(4001)).server("200 ok\r\n");
  add(`with the flags ${flags || "none"}`, T, s.steps);
}
add(
  "behind the end of its direction",
  T,
  greeted().client("", 0, { flags: "FA" }).lost(port(4000)).server("227 (198,51,100,7,15,160)\r\n")
    .server("", 0, { flags: "FA" }).lostServer("227 (198,51,100,7,15,161)\r\n").then(dials(4000)).steps,
);
add(
  "in halves, with a reset between them",
  T,
  greeted().client("PORT 192,0,").server("", 0, { flags: "RA" }).lost(port(4000)).then(dials(4000)).steps,
);
for (const helper of ["ftp", "irc"]) {
  const line = helper === "ftp" ? port(4000) : dcc(5000), dport = helper === "ftp" ? 21 : 6667;
  const from = (flags: string, seq: number, ack: number, payload: string) =>
    packet("lan", tcp({ src: C, sport: 1000, dst: S, dport, flags, seq, ack, payload }));
  add(`in the first segment of all (${helper})`, T, [
    from("S", 1, 0, line),
    packet(
      "wan",
      tcp({ src: S, sport: dport, dst: WAN, dport: 1000, flags: "SA", seq: 1, ack: 2 + line.length }),
    ),
    from("PA", 2 + line.length, 2, line),
    from("PA", 2 + 2 * line.length, 2, line),
  ]);
}
for (const [client, server] of [[-25, -21], [-32, -6], [-16, 5], [0x7ffffff0, 0x7ffffff0]]) {
  const steps: Step[] = [];
  let seq = client >>> 0, other = server >>> 0, grown = 0;
  const says = (flags: string, payload: string, grows = 0) => {
    const ack = flags === "S" ? 0 : other;
    steps.push(packet("lan", tcp({ src: C, sport: 1000, dst: S, dport: 21, flags, seq, ack, payload })));
    seq = (seq + payload.length + (flags === "S" ? 1 : 0)) >>> 0;
    grown += grows;
  };
  const answers = (flags: string, payload: string) => {
    const ack = (seq + grown) >>> 0;
    steps.push(
      packet("wan", tcp({ src: S, sport: 21, dst: WAN, dport: 1000, flags, seq: other, ack, payload })),
    );
    other = (other + payload.length + (flags === "SA" ? 1 : 0)) >>> 0;
  };
  says("S", "");
  answers("SA", "");
  says("A", "");
  answers("PA", "220 hi\r\n");
  says("PA", "USER a\r\n");
  for (let i = 0; i < 3; i++) {
    answers("PA", "200 ok\r\n");
    says("PA", port(4000 + i), GROWS);
  }
  add(`while numbers wrap, from ${client} and ${server}`, T, [...steps, dials(4002)]);
}
for (const size of [8, 16, 24, 32]) {
  const s = greeted(), seq = s.clientNext, ack = s.serverNext;
  const segment = (n: number) =>
    tcp({ src: C, sport: 1000, dst: S, dport: 21, flags: "PA", seq, ack, payload: port(n), df: false });
  const pieces = fragmented("lan", segment(4000), size, 77);
  const other = [...fragments(segment(4000), size, 78).slice(0, -1), ...fragments(segment(4001), size, 78)];
  add(`in fragments of ${size} bytes`, T, [...s.steps, ...pieces, dials(4000)]);
  add(`in fragments of ${size} bytes, the last one first`, T, [
    ...s.steps,
    ...pieces.toReversed(),
    dials(4000),
  ]);
  add(`in fragments of ${size} bytes that overlap others`, T, [
    ...s.steps,
    ...other.map((b) => packet("lan", b)),
    dials(4000),
    dials(4001),
  ]);
}

// ── Browsers, and long lines ────────────────────────────────────────────────────────────────────────────────────

const POST = "POST / HTTP/1.1\r\nHost: x\r\n\r\n";
add("by a browser", T, [
  ...irc().client(POST).client(dcc(5000)).steps,
  ...new Session({ clientPort: 1001 }).open().client(POST).client(port(4010), GROWS).steps,
  ...new Session({ clientPort: 1002 }).open().client(`${POST}${"a".repeat(1400)}`).client(port(4011)).steps,
  ...new Session({ clientPort: 1003 }).open().client(`${POST}${port(4012)}`).steps,
  dials(5000),
  dials(4010),
  dials(4012),
]);
const LARGE = {
  interfaces: {
    lan: { addresses: [`${LAN}/24`], mtu: 65535 },
    wan: { addresses: [`${WAN}/24`], mtu: 65535 },
  },
};
for (const length of [1438, 1439, 1440, 20_000, 65_480, 65_493]) {
  const rest = (line: string) => line + "x".repeat(length - line.length);
  const steps = (s: Session, line: string) =>
    s.client(rest(line), GROWS, { df: false }).client("NOOP\r\n").steps;
  add(`at the head of ${length} bytes (ftp)`, T, steps(greeted(), port(4000)), length > 1440 ? LARGE : {});
  add(`at the head of ${length} bytes (irc)`, T, steps(irc(), dcc(5000)), length > 1440 ? LARGE : {});
}
for (const length of [4030, 4040, 4041, 4042, 4043, 4044, 4045, 4046, 4047, 4048, 4049, 4050, 4060, 4090]) {
  const line = `PRIVMSG ${"x".repeat(length)} :\x01DCC SEND f 3221225986 5000\x01\r\n`;
  add(`behind ${length} bytes of the same line`, T, irc().client(line, 0, { df: false }).steps, LARGE);
}

// ── Twice ───────────────────────────────────────────────────────────────────────────────────────────────────────

const second = { clientPort: 1001 }, other = { client: C2, clientPort: 1001 };
const plain = { public: C };
// The second is given one of the 35 ports behind, which are all as long.
add("by two clients with one port", T, [
  ...greeted().client(port(65500), GROWS).steps,
  ...greeted(other).client(port(65500, "192,0,2,3")).steps,
]);
add("by two masters for one tuple", PLAIN, [
  ...greeted(plain).client(port(4000)).steps,
  ...greeted({ ...plain, ...second }).client(port(4000)).steps,
  dials(4000, C),
]);
for (const [from, to] of [["ftp", "irc"], ["irc", "ftp"]]) {
  const say = (which: string, o: SessionOptions) =>
    which === "ftp" ? greeted(o).client(port(5000)).steps : irc(o).client(dcc(5000)).steps;
  add(`by ${from} and by ${to} for one tuple`, PLAIN, [
    ...say(from, plain),
    ...say(to, { ...plain, ...second }),
    dials(5000, C, 9),
  ]);
}
add(
  "again while its own data connection lives",
  T,
  greeted().client(port(4000), GROWS).then(dials(4000)).client(port(4000), GROWS).then(
    dials(4000),
    dials(4000, WAN, 21),
  ).steps,
);
add(
  "at the port of its own control connection",
  T,
  greeted({ clientPort: 4000 }).client(port(4000), GROWS).then(dials(4000), dials(4000, WAN, 21)).steps,
);
add("at the last port of all, twice", T, [
  ...greeted().client(port(65535), GROWS).steps,
  ...greeted(other).client(port(65535, "192,0,2,3"), GROWS).steps,
]);
add(
  "forty times",
  T,
  Array.from({ length: 40 }, (_, i) => i).reduce((s, i) => s.client(dcc(5000 + i)), irc()).steps,
);
add("for a service that has a helper", PLAIN, [
  ...greeted(plain).server("227 (198,51,100,7,26,11)\r\n").steps,
  ...irc({ ...plain, clientPort: 1002 }).client(dcc(5000)).steps,
]);

// ── While other things change ───────────────────────────────────────────────────────────────────────────────────

const SNAT = COUNT + HELPERS + nat("-A POSTROUTING -o wan -j SNAT --to-source 203.0.113.9");
add(
  "before NAT changes",
  T,
  greeted().client(port(4000), GROWS).then(rules(SNAT), dials(4000), dump("then")).client(port(4001), GROWS)
    .then(dials(4001), dials(4001, "203.0.113.9")).steps,
);
for (
  const [says, text] of Object.entries({
    "before its rule goes": M,
    "before its rule names another helper": M +
      raw("-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper irc"),
    "before its master is not tracked any more": M +
      raw("-A PREROUTING -i lan -p tcp -m tcp --dport 21 -j CT --notrack", FTP),
  })
) {
  const s = greeted().client(port(4000), GROWS).then(rules(text), dials(4000), dump("then"));
  add(says, T, s.client(port(4001), GROWS).then(dials(4001)).server("200 ok\r\n").steps);
}
add(
  "before its rule comes",
  M,
  greeted().client(port(4000)).then(rules(T)).client(port(4001)).client(port(4002)).then(dials(4001)).steps,
);
add("before NAT comes", PLAIN, greeted(plain).client(port(4000)).then(rules(T), dials(4000, C)).steps);
for (
  const [says, way] of [["lan", "-i lan -p tcp -m tcp --dport 21"], [
    "wan",
    "-i wan -p tcp -m tcp --sport 21",
  ]]
) {
  const notrack = raw(`-A PREROUTING ${way} -j CT --notrack`, FTP);
  for (const [o, text] of [[plain, COUNT + notrack], [{}, M + notrack]] as const) {
    const s = greeted(o).client(port(4000)).then(dials(4000, o === plain ? C : WAN));
    add(
      `where what comes from ${says} is not tracked${o === plain ? "" : ", with NAT"}`,
      text,
      s.server("227 (198,51,100,7,15,160)\r\n").client(port(4001)).steps,
    );
  }
}
add(
  "for a connection that is not tracked",
  M + raw("-A PREROUTING -i wan -p tcp -m tcp --sport 20 -j CT --notrack", FTP),
  greeted().client(port(4000), GROWS).then(dials(4000)).steps,
);
const ended: Record<string, (s: Session) => Session> = {
  "deleted": (s) => s.then({ do: "delete", arguments: ["-p", "tcp", "--dport", "21"] }),
  "closed": (s) => s.client("", 0, { flags: "FA" }).server("", 0, { flags: "FA" }).client(""),
  "reset": (s) => s.client("", 0, { flags: "R" }),
};
for (const [how, end] of Object.entries(ended)) {
  add(
    `by a master that is ${how}`,
    T,
    end(greeted().client(port(4000), GROWS)).then(dump("ended"), dials(4000)).steps,
  );
  add(
    `by a master that is ${how} when its child lives`,
    T,
    end(greeted().client(port(4000), GROWS).then(dials(4000))).then(dump("ended"), answer("lan"), dials(4000))
      .steps,
  );
}
for (const zone of ["--zone 1", "--zone-orig 1", "--zone-reply 1", "--zone mark"]) {
  const zones = raw(
    `-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp ${zone}`,
    `-A PREROUTING -i wan -p tcp -m tcp --sport 21 -j CT ${zone}`,
    `-A PREROUTING -i wan -p tcp -m tcp --sport 30 -j CT ${zone}`,
    "-A PREROUTING -i wan -p tcp -m tcp --sport 31 -j CT --zone 2",
  );
  const all = (to: string) => [31, 20, 30].map((sport) => dials(4000, to, sport));
  add(`in ${zone}`, COUNT + zones, greeted(plain).client(port(4000)).then(...all(C)).steps);
  add(`in ${zone}, with NAT`, M + zones, greeted().client(port(4000), GROWS).then(...all(WAN)).steps);
}
add(
  "by a flow with a mark that changes",
  HELPERS + nat(MASQUERADE) + mangle(
    "-A PREROUTING -p tcp --dport 21 -j CONNMARK --set-mark 7",
    "-A POSTROUTING -m connmark --mark 7 -j CONNMARK --set-mark 9",
    "-A FORWARD -m connmark --mark 9 -j MARK --set-mark 3",
  ),
  greeted().client(port(4000), GROWS).then(dials(4000), answer("lan")).client(port(4001), GROWS)
    .then(dials(4001)).steps,
);
const HAIRPIN = COUNT + HELPERS + nat(
  `-A PREROUTING -d ${WAN} -p tcp --dport 21 -j DNAT --to-destination ${C2}`,
  "-A POSTROUTING -s 192.0.2.0/24 -d 192.0.2.0/24 -j MASQUERADE",
);
const back: SessionOptions = { client: C, server: C2, public: LAN, called: WAN, serverIface: "lan" };
add("to a neighbour, by way of the public address", HAIRPIN, [
  ...greeted(back).client(port(4000)).server("227 (192,0,2,3,15,160)\r\n", GROWS).steps,
  packet("lan", tcp({ src: C, sport: 2000, dst: WAN, dport: 4000, flags: "S", seq: 1 })),
  answer("lan"),
]);
add(
  "behind NETMAP",
  COUNT + HELPERS + nat("-A POSTROUTING -o wan -s 192.0.2.0/24 -j NETMAP --to 203.0.113.0/24"),
  greeted({ public: "203.0.113.2" }).client(port(4000), GROWS).then(dials(4000, "203.0.113.2")).steps,
);
