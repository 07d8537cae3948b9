/**
 * Path MTUs, learned from messages that Linux believes and from no others; and who keeps to them. Each line is a message
 * or two, behind which packets of all kinds go to the destination that it names.
 */
import { fragments, icmp, icmpEcho, icmpError, ip, type IpOptions, tcp, udp } from "../kit/packets.ts";
import { assertAlike } from "./ask.ts";
import { C, C6, filter, LAN, LAN6, mangle, nat, NET6, R, S, S2, S6, WAN, WAN6 } from "./cases/case.ts";
import { kernelAvailable } from "./kernel.ts";
import { packet, type Scenario, type Step, wait } from "./scenario.ts";

const R6 = "2001:db8:3::fe", S62 = "2001:db8:2::8";

/** "Fragmentation needed", from a router beyond wan unless said otherwise. */
const needed = (mtu: number, quoted: Uint8Array = answer(S), more: object = {}, at = "wan") =>
  packet(at, icmpError({ src: R, dst: WAN, type: 3, code: 4, rest: mtu, quoted, ...more }));
/** "Packet too big". */
const tooBig = (mtu: number, quoted: Uint8Array = answer6(S6), more: object = {}, at = "wan") =>
  packet(at, icmpError({ src: R6, dst: WAN6, type: 2, rest: mtu, quoted, ...more }));
/** What the router answers to a ping. */
const answer = (to: string) => icmpEcho({ src: WAN, dst: to, reply: true, payload: 1400 });
const answer6 = (to: string) => icmpEcho({ src: WAN6, dst: to, reply: true, payload: 1400 });

let n = 0;
/** Packets that show what the router knows of the way to a host: an answer of its own, and what it forwards. */
function probes(to = S, from = C): Step[] {
  const port = { sport: 2000 + ++n, dport: 53 };
  return [
    packet("wan", icmpEcho({ src: to, dst: WAN, payload: 1472, echoId: n, df: false })),
    packet("wan", ip({ src: to, dst: WAN, protocol: 99, payload: 1000, df: false })),
    packet("wan", tcp({ src: to, dst: WAN, sport: n, dport: 9, flags: "S", seq: 7 })),
    ...[530, 600, 1400].flatMap((payload) => [
      packet("lan", udp({ src: from, dst: to, ...port, payload })),
      packet("lan", udp({ src: from, dst: to, ...port, payload, df: false })),
    ]),
    ...fragments(udp({ src: from, dst: to, ...port, payload: 2000, df: false }), 1400, n)
      .map((piece) => packet("lan", piece)),
    packet("lan", tcp({ src: from, dst: to, sport: n, dport: 80, flags: "S", options: [{ mss: 1460 }] })),
    packet("wan", tcp({ src: to, dst: from, sport: n, dport: 81, flags: "S", options: [{ mss: 1460 }] })),
  ];
}

function probes6(to = S6, from = C6): Step[] {
  const port = { sport: 2000 + ++n, dport: 53 };
  return [
    packet("wan", icmpEcho({ src: to, dst: WAN6, payload: 1452, echoId: n })),
    ...[1300, 1340, 1400, 1452].map((payload) =>
      packet("lan", udp({ src: from, dst: to, ...port, payload }))
    ),
    ...fragments(udp({ src: from, dst: to, ...port, payload: 2500 }), 1400, n)
      .map((piece) => packet("lan", piece)),
    ...fragments(udp({ src: from, dst: to, ...port, payload: 2000 }), 1000, n + 1000)
      .map((piece) => packet("lan", piece)),
    packet("lan", tcp({ src: from, dst: to, sport: n, dport: 80, flags: "S", options: [{ mss: 1460 }] })),
    packet("wan", tcp({ src: to, dst: from, sport: n, dport: 81, flags: "S", options: [{ mss: 1460 }] })),
  ];
}

const CLAMP = mangle(
  "-A FORWARD -p tcp --syn -j TCPMSS --clamp-mss-to-pmtu",
  "-A POSTROUTING -p udp",
  "-A OUTPUT -p icmp",
);
const CLAMP6 = CLAMP.replace("-p icmp", "-p icmpv6");
const TRACKED = filter("-A FORWARD -m conntrack --ctstate NEW");
/** The bytes with another one at `at`: its own, changed. */
const changed = (bytes: Uint8Array, at: number, xor: number) => {
  const other = bytes.slice();
  other[at] ^= xor;
  return other;
};

/** What is said in IPv4, one thing after the other. */
const said: Readonly<Record<string, readonly Step[]>> = {
  ...Object.fromEntries(
    [1600, 1500, 1499, 1400, 1000, 600, 553, 552, 551, 68, 0, 0x12340000 | 1000]
      .map((mtu) => [`an MTU of ${mtu}`, [needed(mtu)]]),
  ),
  "less and less": [needed(1400), needed(1000), needed(700)],
  "more again": [needed(700), needed(1000)],
  "less than is believed, after what is": [needed(600), needed(500)],
  "what is believed, after less": [needed(500), needed(552), needed(600)],
  "the least, and less": [needed(552), needed(500)],
};

/** Messages that Linux may believe or not. */
const quotes: Readonly<Record<string, (to: string) => Step>> = {
  "no byte behind the IP header": (to) => needed(1000, answer(to), { quote: 0 }),
  "seven bytes": (to) => needed(1000, answer(to), { quote: 7 }),
  "eight bytes": (to) => needed(1000, answer(to), { quote: 8 }),
  "a request": (to) => needed(1000, icmpEcho({ src: WAN, dst: to })),
  "UDP": (to) => needed(1000, udp({ src: WAN, dst: to, sport: 53, dport: 53, payload: 30 })),
  "TCP": (to) => needed(1000, tcp({ src: WAN, dst: to, sport: 80, dport: 80, flags: "A", payload: 30 })),
  "a host's answer": (to) => needed(1000, icmpEcho({ src: C, dst: to, reply: true })),
  "the answer of nobody": (to) => needed(1000, icmpEcho({ src: "0.0.0.0", dst: to, reply: true })),
  "the answer of everybody": (to) => needed(1000, icmpEcho({ src: "255.255.255.255", dst: to, reply: true })),
  "the answer of a broadcast address": (to) =>
    needed(1000, icmpEcho({ src: "203.0.113.255", dst: to, reply: true })),
  "an answer from another address of the router's": (to) =>
    needed(
      1000,
      icmpEcho({ src: LAN, dst: to, reply: true }),
    ),
  "an answer to the router itself": () => needed(1000, icmpEcho({ src: WAN, dst: LAN, reply: true })),
  "an answer to another host": () => needed(1000, icmpEcho({ src: WAN, dst: S2, reply: true })),
  "a timestamp": (to) => needed(1000, icmp({ src: WAN, dst: to, type: 14, payload: 40 })),
  "an error": (to) => needed(1000, icmp({ src: WAN, dst: to, type: 3, payload: 40 })),
  "GRE": (to) => needed(1000, ip({ src: WAN, dst: to, protocol: 47, payload: 40 })),
  "IP in IP": (to) => needed(1000, ip({ src: WAN, dst: to, protocol: 4, payload: 40 })),
  "a first fragment": (to) => needed(1000, fragments(answer(to), 800, 1)[0]),
  "a later fragment": (to) =>
    needed(1000, fragments(icmpEcho({ src: WAN, dst: to, payload: 3000 }), 1480, 1)[1]),
  "IP options": (to) => needed(1000, icmpEcho({ src: WAN, dst: to, reply: true, ipOptions: [1, 1, 1, 0] })),
  "a header that is too short": (to) => needed(1000, changed(answer(to), 0, 1)),
  "a header that is longer than the packet": (to) => needed(1000, changed(answer(to), 0, 10), { quote: 20 }),
  "another version": (to) => needed(1000, changed(answer(to), 0, 0x20)),
  "a wrong header checksum": (to) => needed(1000, changed(answer(to), 10, 1)),
  "a wrong ICMP checksum": (to) => needed(1000, changed(answer(to), 22, 1)),
  "another length": (to) => needed(1000, changed(answer(to), 2, 5)),
  "a right packet, with a wrong checksum of its own": (to) => needed(1000, answer(to), { badChecksum: true }),
  "a right packet, by the LAN": (to) => needed(1000, answer(to), { src: C, dst: LAN }, "lan"),
  "a right packet, to all": (to) => needed(1000, answer(to), { dst: "203.0.113.255" }),
  "a right packet, with another code": (to) => needed(1000, answer(to), { code: 1 }),
  "a right packet, with a code that ends on 4": (to) => needed(1000, answer(to), { code: 20 }),
  "a right packet, in a source quench": (to) => needed(1000, answer(to), { type: 4 }),
};

const said6: Readonly<Record<string, readonly Step[]>> = {
  ...Object.fromEntries(
    [1600, 1500, 1499, 1400, 1281, 1280, 1279, 0, 0x10000500].map((
      mtu,
    ) => [`an MTU of ${mtu}`, [tooBig(mtu)]]),
  ),
  "less and less": [tooBig(1450), tooBig(1400), tooBig(1300)],
  "more again": [tooBig(1300), tooBig(1400)],
};

const own6 = (to: string, extensions: IpOptions["extensions"]) =>
  icmpEcho({ src: WAN6, dst: to, reply: true, extensions });
const quotes6: Readonly<Record<string, (to: string) => Step>> = {
  "no byte behind the IPv6 header": (to) => tooBig(1300, answer6(to), { quote: 0 }),
  "seven bytes": (to) => tooBig(1300, answer6(to), { quote: 7 }),
  "eight bytes": (to) => tooBig(1300, answer6(to), { quote: 8 }),
  "a request": (to) => tooBig(1300, icmpEcho({ src: WAN6, dst: to })),
  "UDP": (to) => tooBig(1300, udp({ src: WAN6, dst: to, sport: 53, dport: 53, payload: 30 })),
  "TCP": (to) => tooBig(1300, tcp({ src: WAN6, dst: to, sport: 80, dport: 80, flags: "A", payload: 30 })),
  "a host's answer": (to) => tooBig(1300, icmpEcho({ src: C6, dst: to, reply: true })),
  "a stranger's answer": (to) => tooBig(1300, icmpEcho({ src: "2001:db8:77::1", dst: to, reply: true })),
  "the answer of nobody": (to) => tooBig(1300, icmpEcho({ src: "::", dst: to, reply: true })),
  "the answer of nobody, by the LAN": (to) =>
    tooBig(1300, icmpEcho({ src: "::", dst: to, reply: true }), {
      src: C6,
      dst: LAN6,
    }, "lan"),
  "the answer of many": (to) => tooBig(1300, icmpEcho({ src: "ff02::1", dst: to, reply: true })),
  "an answer to the router itself": () => tooBig(1300, icmpEcho({ src: WAN6, dst: LAN6, reply: true })),
  "an answer to another host": () => tooBig(1300, icmpEcho({ src: WAN6, dst: S62, reply: true })),
  "an error": (to) => tooBig(1300, icmp({ src: WAN6, dst: to, type: 1, payload: 40 })),
  "an unknown type": (to) => tooBig(1300, icmp({ src: WAN6, dst: to, type: 200, payload: 40 })),
  "GRE": (to) => tooBig(1300, ip({ src: WAN6, dst: to, protocol: 47, payload: 40 })),
  "no next header": (to) => tooBig(1300, ip({ src: WAN6, dst: to, protocol: 59, payload: 40 })),
  "an authentication header": (to) => tooBig(1300, ip({ src: WAN6, dst: to, protocol: 51, payload: 40 })),
  "a first fragment": (to) => tooBig(1300, fragments(answer6(to), 800, 1)[0]),
  "a later fragment": (to) => tooBig(1300, fragments(answer6(to), 800, 1)[1]),
  "a hop-by-hop header": (to) => tooBig(1300, own6(to, [{ header: "hop" }])),
  "destination options": (to) => tooBig(1300, own6(to, [{ header: "destination" }])),
  "a routing header": (to) => tooBig(1300, own6(to, [{ header: "routing", body: [0, 0, 0, 0, 0, 0] }])),
  "three headers, and seven bytes": (to) =>
    tooBig(
      1300,
      own6(to, [{ header: "hop" }, { header: "destination" }, { header: "fragment" }]),
      { quote: 31 },
    ),
  "three headers, and eight bytes": (to) =>
    tooBig(
      1300,
      own6(to, [{ header: "hop" }, { header: "destination" }, { header: "fragment" }]),
      { quote: 32 },
    ),
  "a header that is cut": (to) => tooBig(1300, own6(to, [{ header: "hop" }]), { quote: 1 }),
  "another version": (to) => tooBig(1300, changed(answer6(to), 0, 0x20)),
  "a right packet, with a wrong checksum of its own": (to) =>
    tooBig(1300, answer6(to), { badChecksum: true }),
  "a right packet, by the LAN": (to) => tooBig(1300, answer6(to), { src: C6, dst: LAN6 }, "lan"),
  "a right packet, to all nodes": (to) => tooBig(1300, answer6(to), { dst: "ff02::1" }),
  "a right packet, to any router": (to) => tooBig(1300, answer6(to), { dst: "2001:db8:3::" }),
  "a right packet, with a code": (to) => tooBig(1300, answer6(to), { code: 3 }),
};

function test(name: string, scenario: () => Scenario): void {
  Deno.test({ name, ignore: !kernelAvailable(), fn: () => assertAlike(scenario()) });
}

for (const rules of ["", TRACKED]) {
  const how = rules === "" ? "" : ", with tracking";
  for (const [what, steps] of Object.entries(said)) {
    test(`after ${what}, IPv4 packets are as long as Linux's${how}`, () => ({
      ...NET6,
      iptables: CLAMP + rules,
      steps: [...steps, ...probes(), ...probes(S2)],
    }));
  }
  for (const [what, steps] of Object.entries(said6)) {
    test(`after ${what}, IPv6 packets are as long as Linux's${how}`, () => ({
      ...NET6,
      ip6tables: CLAMP6 + rules,
      steps: [...steps, ...probes6(), ...probes6(S62)],
    }));
  }
}

// Each of another destination's packet.
test("IPv4 messages count that count in Linux, by what they quote", () => ({
  ...NET6,
  steps: Object.values(quotes).flatMap((message, i) => {
    const to = `198.51.100.${100 + i}`;
    return [message(to), packet("wan", icmpEcho({ src: to, dst: WAN, payload: 1400, df: false }))];
  }),
}));
test("IPv6 messages count that count in Linux, by what they quote", () => ({
  ...NET6,
  steps: Object.values(quotes6).flatMap((message, i) => {
    const to = `2001:db8:2::${100 + i}`;
    return [message(to), packet("wan", icmpEcho({ src: to, dst: WAN6, payload: 1400 }))];
  }),
}));

test("path MTUs of neighbours, of hosts behind another interface and of link-local hosts are theirs alone", () => ({
  ...NET6,
  interfaces: { ...NET6.interfaces, wan: { addresses: [...NET6.interfaces.wan.addresses, "fe80::1/64"] } },
  steps: [
    needed(1000, answer("203.0.113.50")),
    ...probes("203.0.113.50"),
    needed(700, answer(C), { src: S }),
    packet("lan", icmpEcho({ src: C, dst: LAN, payload: 1400, df: false })),
    ...probes(),
    tooBig(1300, answer6("2001:db8:3::50")),
    ...probes6("2001:db8:3::50"),
    tooBig(1400, answer6("fe80::7")),
    packet("wan", icmpEcho({ src: "fe80::7", dst: "fe80::1", payload: 1440 })),
    ...probes6(),
  ],
}));

/** Packets of one flow, of which the later ones take the fast path. */
const flow = (length: number, sport = 4000) =>
  Array.from(
    { length: 4 },
    () => packet("lan", udp({ src: C, dst: S, sport, dport: 53, payload: length, df: false })),
  );
const flow6 = (length: number, sport = 4000) =>
  Array.from(
    { length: 4 },
    () => packet("lan", udp({ src: C6, dst: S6, sport, dport: 53, payload: length })),
  );
/** And back. */
const back = (length: number) =>
  Array.from(
    { length: 4 },
    () => packet("wan", udp({ src: S, dst: WAN, sport: 53, dport: 4000, payload: length, df: false })),
  );
const back6 = (length: number) =>
  Array.from(
    { length: 4 },
    () => packet("wan", udp({ src: S6, dst: WAN6, sport: 53, dport: 4000, payload: length })),
  );
const masquerade = nat("-A POSTROUTING -o wan -j MASQUERADE");

for (const [how, rules] of [["untracked", ""], ["tracked", TRACKED], ["translated", TRACKED + masquerade]]) {
  const talk = rules.includes("MASQ");
  test(`what is learned holds for the next packet of a flow that is on its way, ${how}`, () => ({
    ...NET6,
    iptables: rules,
    ip6tables: rules,
    steps: [
      ...flow(1400),
      ...(talk ? back(1400) : []),
      needed(1000),
      ...flow(1400),
      needed(500),
      ...flow(1400),
      ...flow(400),
      ...flow(1400, 4001),
      // The client's own way is narrow, too.
      needed(500, answer(C)),
      ...(talk ? back(1400) : []),
      ...flow6(1400),
      ...(talk ? back6(1400) : []),
      tooBig(1300),
      ...flow6(1400),
      ...flow6(1200),
      ...flow6(1400, 4001),
      tooBig(1300, answer6(C6)),
      ...(talk ? back6(1400) : []),
    ],
  }));
}

test("net.ipv4.ip_forward_use_pmtu and min_pmtu are heeded as in Linux", () => ({
  ...NET6,
  sysctl: { "net.ipv4.ip_forward_use_pmtu": 1, "net.ipv4.route.min_pmtu": 800 },
  iptables: CLAMP,
  steps: [...flow(1400), needed(1000), ...flow(1400), ...probes(), needed(700), ...flow(1400), ...probes()],
}));

test("an IPv4 path MTU is forgotten some time after it was last said, an IPv6 one after it was first said", () => {
  const ping = packet("wan", icmpEcho({ src: S, dst: WAN, payload: 1400, df: false }));
  const ping6 = packet("wan", icmpEcho({ src: S6, dst: WAN6, payload: 1400 }));
  return {
    ...NET6,
    sysctl: { "net.ipv4.route.mtu_expires": 2, "net.ipv6.route.mtu_expires": 2 },
    steps: [
      needed(1000),
      needed(500, answer(S2)),
      tooBig(1400),
      wait(1300),
      needed(1000),
      needed(500, answer(S2)),
      tooBig(1300),
      ...probes(),
      ...probes6(),
      wait(1200),
      ping,
      ping6,
      ...probes(S2),
      tooBig(1350),
      ping6,
      wait(1200),
      ping,
    ],
  };
});
