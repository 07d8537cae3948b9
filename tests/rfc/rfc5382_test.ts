/** RFC 5382, NAT behavioural requirements for TCP: what Weir does as Linux does, and under `profile: "rfc"`. */
import { assert, assertEquals } from "@std/assert";
import { ftp } from "../../src/helpers/mod.ts";
import { icmpError, tcp } from "../kit/packets.ts";
import {
  A,
  ask,
  B,
  C,
  type Gateway,
  MASQUERADE,
  type Out,
  OUTSIDE,
  S,
  segment,
  T,
  trace,
} from "./gateway.ts";

/** What can be in a connection, by the opener's port outside (and inside). */
class Connection {
  constructor(readonly g: Gateway, readonly sport = 5000) {}
  client(flags: string, seq: number, ack = 0, payload = 0): Out[] {
    return this.g.send(
      "lan",
      tcp({ src: A, sport: this.sport, dst: S, dport: 80, flags, seq, ack, payload }),
    );
  }
  server(flags: string, seq: number, ack = 0): Out[] {
    return this.g.send("wan", segment(S, 80, OUTSIDE, this.sport, flags, seq, ack));
  }
  open(): this {
    this.client("S", 100);
    this.server("SA", 900, 101);
    this.client("A", 101, 901);
    return this;
  }
  /** State and seconds left, as listed. */
  get state(): [string, number] {
    const lines = this.g.flows().filter((line) => line.includes(`sport=${this.sport} dport=80`));
    if (lines.length !== 1) return ["", lines.length];
    const [, , seconds, state] = lines[0].split(/\s+/);
    return [state, Number(seconds)];
  }
}

ask("RFC 5382 REQ-1: endpoint-independent mapping", (gateway, rfc) => {
  const g = gateway();
  g.tcpPort(A, 5000, S);
  const ports = [
    g.tcpPort(B, 5000, T),
    g.tcpPort(B, 5000, S),
    g.tcpPort(B, 5000, S, 443),
    g.tcpPort(B, 5000, T, 99),
  ];
  assertEquals(new Set(ports).size === 1, rfc, `${ports}`);
});

ask("RFC 5382 REQ-2: connections begun inside", (gateway) => {
  const c = new Connection(gateway()).open();
  assertEquals(c.state[0], "ESTABLISHED");
  assertEquals(trace(c.client("PA", 101, 901, 50)), [`wan ${OUTSIDE}:5000 > ${S}:80`]);
  assertEquals(trace(c.server("FA", 901, 151)), [`lan ${S}:80 > ${A}:5000`]);
  assertEquals(trace(c.client("FA", 151, 902)), [`wan ${OUTSIDE}:5000 > ${S}:80`]);
  assertEquals(trace(c.server("A", 902, 152)), [`lan ${S}:80 > ${A}:5000`]);
  assertEquals(c.state[0], "TIME_WAIT");
});

ask("RFC 5382 REQ-2: connections begun outside, where they are permitted", (gateway, rfc) => {
  const rules = "*nat\n-A PREROUTING -i wan -p tcp --dport 8080 -j DNAT --to-destination 10.0.0.3:80\n" +
    "-A POSTROUTING -o wan -j MASQUERADE\nCOMMIT\n";
  const g = gateway({ iptables: rules });
  const to = (port: number, flags: string, seq: number, ack = 0) =>
    trace(g.send("wan", segment(T, 4000, OUTSIDE, port, flags, seq, ack)));
  assertEquals(to(8080, "S", 1), [`lan ${T}:4000 > ${B}:80`]);
  assertEquals(trace(g.send("lan", segment(B, 80, T, 4000, "SA", 9, 2))), [
    `wan ${OUTSIDE}:8080 > ${T}:4000`,
  ]);
  assertEquals(to(8080, "A", 2, 10), [`lan ${T}:4000 > ${B}:80`]);
  if (!rfc) return;
  // A mapping permits them, too.
  g.tcpPort(A, 5000, S);
  assertEquals(to(5000, "S", 1), [`lan ${T}:4000 > ${A}:5000`]);
  assertEquals(trace(g.send("lan", segment(A, 5000, T, 4000, "SA", 9, 2))), [
    `wan ${OUTSIDE}:5000 > ${T}:4000`,
  ]);
});

ask("RFC 5382 REQ-2a: simultaneous open", (gateway) => {
  const c = new Connection(gateway());
  const seen = [c.client("S", 100), c.server("S", 900), c.client("SA", 100, 901), c.server("SA", 900, 101)];
  assertEquals(seen.map((out) => out.length), [1, 1, 1, 1]);
  c.client("A", 101, 901);
  assertEquals(c.state[0], "ESTABLISHED");
});

ask("RFC 5382 REQ-3: endpoint-independent filtering", (gateway, rfc) => {
  const g = gateway();
  g.tcpPort(A, 5000, S);
  for (const [src, sport] of [[S, 99], [T, 80]] as const) {
    const out = g.send("wan", segment(src, sport, OUTSIDE, 5000, "S", 7));
    assertEquals(trace(out), [
      rfc ? `lan ${src}:${sport} > ${A}:5000` : `wan ${OUTSIDE}:5000 > ${src}:${sport}`,
    ]);
  }
});

ask("RFC 5382 REQ-4: no answer to an unsolicited SYN", (gateway, rfc) => {
  const g = gateway();
  const out = g.send("wan", segment(S, 80, OUTSIDE, 5000, "S", 900));
  assertEquals(out.map((p) => p.flags), rfc ? [] : ["RA"]);
  g.wait(7);
  assertEquals(g.send("wan", segment(S, 80, OUTSIDE, 5000, "S", 900)).length, rfc ? 0 : 1);
  // The connection can be begun from inside meanwhile.
  assertEquals(g.send("lan", segment(A, 5000, S, 80, "S", 100)).map((p) => [p.iface, p.dst]), [["wan", S]]);
  // Other segments to closed ports are answered as ever.
  assertEquals(g.send("wan", segment(T, 80, OUTSIDE, 5001, "FA", 900, 1)).map((p) => p.flags), ["R"]);
});

ask("RFC 5382 REQ-4a: a rule keeps it silent as well, and leaves no flow behind", (gateway) => {
  const g = gateway({ iptables: `${MASQUERADE}*filter\n-A INPUT -i wan -p tcp --syn -j DROP\nCOMMIT\n` });
  assertEquals(g.send("wan", segment(S, 80, OUTSIDE, 5000, "S", 900)), []);
  assertEquals(g.flows(), []);
  assertEquals(trace(g.send("lan", segment(A, 5000, S, 80, "S", 100))), [`wan ${OUTSIDE}:5000 > ${S}:80`]);
});

/** Seconds that an idle connection is kept, by where it stands. */
const TRANSITORY: [string, (c: Connection) => void, number][] = [
  ["SYN_SENT", (c) => c.client("S", 100), 120],
  ["SYN_RECV", (c) => (c.client("S", 100), c.server("SA", 900, 101)), 60],
  ["FIN_WAIT", (c) => c.open().client("FA", 101, 901), 120],
  ["CLOSE_WAIT", (c) => (c.open().client("FA", 101, 901), c.server("A", 901, 102)), 60],
  ["LAST_ACK", (c) => (c.open().client("FA", 101, 901), c.server("FA", 901, 102)), 30],
  [
    "TIME_WAIT",
    (c) => (c.open().client("FA", 101, 901), c.server("FA", 901, 102), c.client("A", 102, 902)),
    120,
  ],
  ["CLOSE", (c) => c.open().client("R", 101), 10],
];

ask("RFC 5382 REQ-5: a connection that is being opened or closed is kept four minutes", (gateway, rfc) => {
  for (const [state, lead, linux] of TRANSITORY) {
    const c = new Connection(gateway());
    lead(c);
    const [name, seconds] = c.state;
    assertEquals(name, state);
    assert(rfc ? seconds >= 239 : seconds === linux || seconds === linux - 1, `${state} ${seconds}`);
  }
  // The time runs from the last packet, though a SYN that is sent again does not renew it.
  const c = new Connection(gateway());
  for (const pause of [0, 1, 2, 4, 8, 16, 32]) {
    c.g.wait(pause);
    c.client("S", 100);
  }
  c.g.wait(239);
  assertEquals(c.state[0] === "SYN_SENT", rfc);
});

ask("RFC 5382 REQ-5: an open connection is kept two hours and four minutes", (gateway, rfc) => {
  const idle = new Connection(gateway()).open();
  idle.g.wait(7439);
  assertEquals(trace(idle.server("A", 901, 101)), [`lan ${S}:80 > ${A}:5000`]);
  // With data that nobody has acknowledged, Linux gives it five minutes.
  const waiting = new Connection(gateway()).open();
  waiting.server("A", 901, 101);
  waiting.client("PA", 101, 901, 100);
  for (let i = 0; i < 4; i++) waiting.client("PA", 101, 901, 100);
  waiting.g.wait(301);
  assertEquals(waiting.state[0] === "ESTABLISHED", rfc);
  waiting.g.wait(7130);
  assertEquals(waiting.state[0] === "ESTABLISHED", rfc);
});

ask("RFC 5382 REQ-5a: the timeouts can be set, and what is set wins over the profile", (gateway) => {
  const c = new Connection(
    gateway({ sysctl: { "net.netfilter.nf_conntrack_tcp_timeout_established": 8000 } }),
  ).open();
  assert([7999, 8000].includes(c.state[1]), `${c.state}`);
});

ask("RFC 5382 REQ-6: no ALG unless the configuration lists it", (gateway) => {
  for (const helpers of [[], [ftp()]]) {
    const g = gateway({ helpers });
    const lan = (flags: string, seq: number, payload = "") =>
      g.send("lan", tcp({ src: A, sport: 5000, dst: S, dport: 21, flags, seq, ack: 901, payload }));
    lan("S", 100);
    g.send("wan", segment(S, 21, OUTSIDE, 5000, "SA", 900, 101));
    lan("A", 101);
    lan("PA", 101, "USER x\r\n");
    const out = lan("PA", 109, "PORT 10,0,0,2,15,160\r\n");
    const text = new TextDecoder().decode(out[0].payload);
    assertEquals(text, helpers.length ? "PORT 203,0,113,1,15,160\r\n" : "PORT 10,0,0,2,15,160\r\n");
  }
});

ask("RFC 5382 REQ-7: no port overloading", (gateway, rfc) => {
  const g = gateway();
  assertEquals(g.tcpPort(A, 5000, S), 5000);
  assertEquals(g.tcpPort(B, 5000, T) === 5000, !rfc);
  const taken = new Set<number>();
  for (let host = 2; host < 100; host++) taken.add(g.tcpPort(`10.0.0.${host}`, 6000, `198.51.100.${host}`));
  assertEquals(taken.size, rfc ? 98 : 1);
});

ask("RFC 5382 REQ-8: hairpinning, with external source address and port", (gateway, rfc) => {
  for (const host of [A, C]) {
    const g = gateway(), iface = host === C ? "dmz" : "lan";
    const b = g.tcpPort(B, 7000, S);
    const there = g.send(iface, segment(host, 5000, OUTSIDE, b, "S", 100));
    if (!rfc) {
      assertEquals(trace(there), [`${iface} ${OUTSIDE}:${b} > ${host}:5000`]); // the router's own reset
      assertEquals(there[0].flags, "RA");
      continue;
    }
    assertEquals(trace(there), [`lan ${OUTSIDE}:5000 > ${B}:7000`]);
    const back = g.send("lan", segment(B, 7000, OUTSIDE, 5000, "SA", 900, 101));
    assertEquals(trace(back), [`${iface} ${OUTSIDE}:${b} > ${host}:5000`]);
    assertEquals(trace(g.send(iface, segment(host, 5000, OUTSIDE, b, "A", 101, 901))), [
      `lan ${OUTSIDE}:5000 > ${B}:7000`,
    ]);
    // And the mapping of the one who called is the one that it has towards others.
    assertEquals(g.tcpPort(host, 5000, T), 5000);
  }
});

ask("RFC 5382 REQ-9: destination unreachable is translated", (gateway) => {
  const c = new Connection(gateway());
  const [sent] = c.client("S", 100);
  for (const code of [0, 1, 3, 4, 13]) {
    const out = c.g.send(
      "wan",
      icmpError({ src: T, dst: OUTSIDE, type: 3, code, rest: code === 4 ? 1280 : 0, quoted: sent.bytes }),
    );
    assertEquals(trace(out), [`lan ${T} > ${A} icmp 3/${code}`]);
    assertEquals([out[0].quoted!.src, out[0].quoted!.sport, out[0].errors], [A, 5000, []]);
  }
});

ask("RFC 5382 REQ-10: no ICMP message ends a mapping or a connection", (gateway) => {
  const c = new Connection(gateway()).open();
  const [sent] = c.client("PA", 101, 901, 10);
  const before = c.state;
  for (let type = 3; type <= 12; type++) {
    for (let code = 0; code < 16; code++) {
      c.g.send("wan", icmpError({ src: S, dst: OUTSIDE, type, code, quoted: sent.bytes }));
    }
  }
  assertEquals(c.state[0], before[0]);
  assertEquals(trace(c.server("A", 901, 111)), [`lan ${S}:80 > ${A}:5000`]);
});
