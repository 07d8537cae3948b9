/** What takes the fast path, what does not, and what is noticed. Each packet goes through both twins. */
import { assert, assertEquals } from "@std/assert";
import { below, Xoshiro } from "../../src/clock.ts";
import type { RouterConfig } from "../../src/config/types.ts";
import { CT_HELPER, CT_MARK, CT_ORIGINAL, FLOW_WORDS } from "../../src/conntrack/flow.ts";
import { PORTS } from "../../src/conntrack/tuple.ts";
import { GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, Packet } from "../../src/packet/packet.ts";
import { fragments, ip, tcp, type TcpOptions, udp, type UdpOptions } from "../kit/mod.ts";
import { DMZ, LAN, parted, type Sent, Twins, WAN } from "./twins.ts";

const C = "192.0.2.2", S = "198.51.100.7", C6 = "2001:db8:1::2", S6 = "2001:db8:2::7";
const MASQUERADE = "*nat\n-A POSTROUTING -o wan -j MASQUERADE\nCOMMIT\n";

/** A datagram of the usual flow, from the client. */
const ask = (o: Partial<UdpOptions> = {}) =>
  udp({ src: C, sport: 4000, dst: S, dport: 5000, payload: "ask", ...o });
/** Its answer, to the router's address if the flow is masqueraded. */
const answer = (o: Partial<UdpOptions> = {}) =>
  udp({ src: S, sport: 5000, dst: "198.51.100.1", dport: 4000, payload: "answer", ...o });
const client = (o: Partial<TcpOptions>) => tcp({ src: C, sport: 4000, dst: S, dport: 80, flags: "A", ...o });
const server = (o: Partial<TcpOptions>) =>
  tcp({ src: S, sport: 80, dst: "198.51.100.1", dport: 4000, flags: "A", ...o });

/** Rules of the filter table, with tracking on. */
const filter = (...rules: string[]) =>
  `*filter\n${rules.join("\n")}\n-A FORWARD -m state --state NEW,ESTABLISHED\nCOMMIT\n`;
const table = (name: string, ...rules: string[]) => `*${name}\n${rules.join("\n")}\nCOMMIT\n`;

/** Sends the usual datagram until nothing changes any more: whether the last one took the fast path. */
function settles(twins: Twins): boolean {
  for (let i = 0; i < 6; i++) twins.quick(LAN, ask());
  return twins.quick(LAN, ask());
}

/** Twins with a masqueraded flow on the fast path, in both directions. */
function running(config: Partial<RouterConfig> = {}): Twins {
  const twins = new Twins({ iptables: MASQUERADE, ...config });
  for (let i = 0; i < 3; i++) {
    twins.send(LAN, ask());
    twins.send(WAN, answer());
  }
  assert(twins.quick(LAN, ask()) && twins.quick(WAN, answer()));
  return twins;
}

/** A connection over which the handshake and two segments have gone. */
function connected(config: Partial<RouterConfig> = {}): Twins {
  const twins = new Twins({ iptables: MASQUERADE, ...config });
  twins.send(LAN, client({ flags: "S", seq: 1000 }));
  twins.send(WAN, server({ flags: "SA", seq: 5000, ack: 1001 }));
  twins.send(LAN, client({ seq: 1001, ack: 5001 }));
  for (let i = 0; i < 3; i++) {
    twins.send(LAN, client({ seq: 1001 + 10 * i, ack: 5001, payload: "0123456789" }));
    twins.send(WAN, server({ seq: 5001, ack: 1011 + 10 * i }));
  }
  assert(twins.quick(LAN, client({ seq: 1031, ack: 5001, payload: "0123456789" })));
  assert(twins.quick(WAN, server({ seq: 5001, ack: 1041 })));
  return twins;
}

Deno.test("FastPath takes a flow's third packet in each direction, translated as the first", () => {
  const twins = new Twins({ iptables: MASQUERADE });
  assertEquals([1, 2, 3, 4].map(() => twins.quick(LAN, ask())), [false, false, false, true]);
  assertEquals([1, 2, 3].map(() => twins.quick(WAN, answer())), [false, false, true]);
  const [{ iface, text }] = twins.send(LAN, ask());
  assertEquals([iface, text.includes("198.51.100.1:4000 > 198.51.100.7:5000")], [WAN, true], text);
});

/** Rules, and whether a flow that meets them can have a path. */
const RULES: readonly (readonly [rules: string, fast: boolean])[] = [
  [MASQUERADE, true],
  [filter("-A FORWARD -i lan -o wan -p udp --dport 5000 -j ACCEPT"), true],
  [filter("-A FORWARD -p udp -s 192.0.2.0/24 -m multiport --dports 4000,5000 -j ACCEPT"), true],
  [
    filter("-A FORWARD -m iprange --src-range 192.0.2.2-192.0.2.9 -m addrtype --dst-type UNICAST -j ACCEPT"),
    true,
  ],
  [filter("-A FORWARD -m conntrack --ctstate NEW --ctorigdst 198.51.100.7 --ctdir ORIGINAL -j ACCEPT"), true],
  [filter("-A FORWARD -m conntrack --ctstatus SEEN_REPLY -j ACCEPT"), true],
  [filter("-A FORWARD -m conntrack --ctstatus ASSURED -j ACCEPT"), false],
  [filter("-A FORWARD -m conntrack --ctexpire 1:20 -j ACCEPT"), false],
  [filter("-A FORWARD -m comment --comment hello -m mark --mark 0 -m connmark --mark 0 -j ACCEPT"), true],
  [filter("-A FORWARD -m length --length 0:100 -j ACCEPT"), true],
  [filter("-A FORWARD -m dscp --dscp 0 -m tos --tos 0 -j ACCEPT"), true],
  [filter("-A FORWARD -m ttl --ttl-eq 63 -j ACCEPT"), false],
  [filter("-A FORWARD -m limit --limit 1000/s -j ACCEPT"), false],
  [filter("-A FORWARD -m statistic --mode nth --every 2 --packet 0 -j ACCEPT"), false],
  [filter("-A FORWARD -m connlabel --label 1 -j ACCEPT"), false],
  [filter("-A FORWARD -j LOG"), false],
  // What is not reached does no harm.
  [filter("-A FORWARD -p udp --dport 5001 -m limit --limit 1000/s -j ACCEPT"), true],
  [filter("-A FORWARD -p udp -m length --length 0:100 -m multiport --dports 1,2 -j LOG"), true],
  [filter("-A FORWARD -p udp -j ACCEPT", "-A FORWARD -j LOG"), true],
  [filter("-N user", "-A FORWARD -j user", "-A user -p tcp -j DROP", "-A user -p udp -j RETURN"), true],
  [filter("-N user", "-A FORWARD -g user", "-A user -m limit --limit 1000/s -j ACCEPT"), false],
  [
    table(
      "mangle",
      "-A FORWARD -m state --state NEW -j MARK --set-mark 7",
      "-A POSTROUTING -m mark --mark 7",
    ),
    true,
  ],
  [table("mangle", "-A PREROUTING -j CONNMARK --restore-mark", "-A FORWARD -m mark --mark 0"), true],
  [table("mangle", "-A FORWARD -j CONNMARK --set-mark 5"), true],
  [table("mangle", "-A FORWARD -j CONNMARK --set-xmark 1/0"), false], // another one each time
  [table("mangle", "-A FORWARD -j TTL --ttl-set 9"), false],
  [table("mangle", "-A POSTROUTING -j DSCP --set-dscp 8"), false],
  [table("raw", "-A PREROUTING -p udp -j NOTRACK") + filter(), true],
  [table("raw", "-A PREROUTING -p udp -j CT --zone 3") + filter(), false],
  [table("raw", "-A PREROUTING -p udp -j CT --ctevents new") + filter(), true],
  [table("raw", "-A PREROUTING -p udp -m limit --limit 1000/s -j NOTRACK") + filter(), false],
  // Nothing is tracked.
  [table("filter", "-A FORWARD -p udp -j ACCEPT"), true],
  [table("filter", "-A FORWARD -m limit --limit 1000/s -j ACCEPT"), false],
  ["", true],
];

for (const [rules, fast] of RULES) {
  Deno.test(`FastPath ${fast ? "takes" : "leaves"} what meets ${rules.replaceAll("\n", " ").trim() || "no rules"}`, () => {
    assertEquals(settles(new Twins({ iptables: rules })), fast);
  });
}

Deno.test("FastPath leaves what a function judges", () => {
  const FORWARD = [{ state: "NEW", match: () => true, jump: "ACCEPT" as const }];
  assertEquals(settles(new Twins({ tables: { filter: { FORWARD } } })), false);
});

Deno.test("FastPath asks of each packet what its path was found to depend on", () => {
  const twins = new Twins({ iptables: filter("-A FORWARD -m length --length 100: -j DROP") });
  assert(settles(twins));
  assertEquals(twins.send(LAN, ask({ payload: 100 })), []);
  assert(twins.quick(LAN, ask()));

  const mss = table("mangle", "-A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1000");
  const tcp = connected({ iptables: MASQUERADE + mss });
  const options = [{ mss: 1460 }] as const;
  assert(!tcp.quick(LAN, client({ flags: "S", seq: 1041, options })));
  assert(tcp.quick(LAN, client({ seq: 1041, ack: 5001, payload: "0123456789" })));
});

Deno.test("FastPath sees ports and flags of one rule apart, also behind NAT", () => {
  const twins = connected({
    iptables: MASQUERADE +
      table("filter", "-A FORWARD -p tcp --dport 4000 ! --syn -j ACCEPT", "-A FORWARD -p tcp --syn"),
  });
  assert(!twins.quick(WAN, server({ flags: "S", seq: 9000 })));
});

Deno.test("FastPath goes on with a flow's tracker where it has another opinion", () => {
  const twins = connected({ iptables: MASQUERADE + filter("-A FORWARD -m state --state INVALID -j DROP") });
  assertEquals(twins.send(LAN, client({ seq: 900_000_000, ack: 5001 })), [], "out of the window");
  assertEquals(twins.send(LAN, client({ seq: 1041, ack: 5001, badChecksum: true })), []);
  assertEquals(twins.send(LAN, client({ flags: "SF", seq: 1041 })), []);
  assert(twins.quick(LAN, client({ seq: 1041, ack: 5001 })));
  // A reset ends the connection; what comes then begins a new one.
  twins.send(LAN, client({ flags: "R", seq: 1041 }));
  twins.send(LAN, client({ flags: "S", seq: 70_000 }));
  twins.send(LAN, client({ flags: "S", seq: 70_000 }));
  twins.send(WAN, server({ flags: "SA", seq: 9000, ack: 70_001 }));
});

Deno.test("FastPath tells of what it changes about a flow", () => {
  const twins = connected();
  assert(twins.quick(LAN, client({ flags: "FA", seq: 1041, ack: 5001 })));
  assert(twins.quick(WAN, server({ flags: "FA", seq: 5001, ack: 1042 })));
  assert(twins.quick(LAN, client({ seq: 1042, ack: 5002 })));
  assert(twins.fast.router.conntrack.flows.count === 1);
});

Deno.test("FastPath leaves packets that are odd, too old or too long", () => {
  const twins = running();
  assert(!twins.quick(LAN, ask({ ttl: 1 })), "TTL 1");
  assert(twins.quick(LAN, ask({ ttl: 2 })), "TTL 2");
  assert(!twins.quick(LAN, ask({ badIpChecksum: true })), "header checksum");
  assert(!twins.quick(LAN, ask({ badChecksum: true })), "UDP checksum");
  assert(twins.quick(LAN, ask({ checksum: 0 })), "no UDP checksum");
  assert(!twins.quick(LAN, ask({ ipOptions: [1, 1, 1, 0] })), "options");
  assert(twins.quick(LAN, ask({ payload: 1472 })), "as long as may be");
  assert(!twins.quick(LAN, ask({ payload: 1473, df: true })), "too long, DF");
  assert(!twins.quick(LAN, ask({ payload: 1473 })), "too long");
  assert(!fragments(ask({ payload: 1400 }), 800).some((piece) => twins.quick(LAN, piece)), "fragments");
  const padded = new Uint8Array([...ask(), 1, 2, 3, 4]);
  assert(twins.quick(LAN, padded), "padding");
  assert(!twins.quick(LAN, ask().slice(0, 25)), "cut");
  assert(!twins.quick(LAN, ip({ src: C, dst: S, protocol: 47, payload: "gre" })), "another protocol");
  assert(twins.quick(LAN, ask()));
});

Deno.test("FastPath notices an interface that goes down and comes up", () => {
  const twins = running();
  twins.both((router) => router.interfaces.setUp(WAN, false));
  assertEquals(twins.send(LAN, ask()).map((s) => s.iface), [LAN], "an ICMP error");
  twins.both((router) => router.interfaces.setUp(WAN, true));
  assert(settles(twins));
});

Deno.test("FastPath notices another incoming interface", () => {
  const twins = running({ iptables: MASQUERADE + table("filter", "-A FORWARD -i dmz -j DROP") });
  assertEquals(twins.send(DMZ, ask()), []);
  assert(!twins.quick(WAN, ask()), "turns back to its link");
  assert(twins.quick(LAN, ask()));
});

Deno.test("FastPath notices another incoming interface of what is not tracked", () => {
  const twins = new Twins({ iptables: table("filter", "-A FORWARD -i dmz -j DROP") });
  assert(settles(twins));
  assertEquals(twins.send(DMZ, ask()), []);
  assert(twins.quick(LAN, ask()));
});

Deno.test("FastPath notices that a flow has been answered", () => {
  const twins = new Twins({
    iptables: MASQUERADE +
      filter("-A FORWARD -m state --state NEW", "-A FORWARD -m state --state ESTABLISHED"),
  });
  assert(settles(twins));
  twins.send(WAN, answer());
  assert(!twins.quick(LAN, ask()));
  assert(settles(twins));
});

Deno.test("FastPath leaves nothing behind of a packet that raw drops", () => {
  const twins = running({
    iptables: MASQUERADE + table("raw", "-A PREROUTING -m length --length 100: -j DROP"),
  });
  assertEquals(twins.send(LAN, ask({ payload: 100 })), []);
  twins.send(LAN, ip({ src: C, dst: S, protocol: 47, payload: [0, 0, 8, 0, 1, 2, 3, 4] }));
});

Deno.test("FastPath notices the flow's mark, and a helper that it gets later", () => {
  const twins = running({
    iptables: MASQUERADE + table("filter", "-A FORWARD -m connmark --mark 9 -j DROP"),
  });
  const set = (word: number, value: number) =>
    twins.both(({ conntrack: { flows } }) => {
      for (let ct = flows.next(-1); ct >= 0; ct = flows.next(ct)) flows.words[ct * FLOW_WORDS + word] = value;
    });
  set(CT_MARK, 9);
  assertEquals(twins.send(LAN, ask()), []);
  set(CT_MARK, 8);
  assert(settles(twins));
  let read = 0;
  const helped = running({
    helpers: [{
      name: "reader",
      protocol: 17,
      families: [4],
      ports: [1],
      autoAssign: false,
      policies: [{ name: "reader", maxExpected: 1, timeout: 300 }],
      help: () => (read++, 1),
    }],
  });
  helped.both(({ conntrack: { flows } }) => flows.words[CT_HELPER] = 1);
  assert(!helped.quick(LAN, ask()));
  assertEquals(read, 2, "by both twins");
});

Deno.test("FastPath notices a flow that is deleted, expires, or leaves its record to another", () => {
  const twins = running({ iptables: MASQUERADE + filter("-A FORWARD -m state --state NEW") });
  const port = (ct: number) => {
    const { words } = twins.fast.router.conntrack.flows;
    return words[ct * FLOW_WORDS + CT_ORIGINAL + PORTS] >>> 16;
  };
  assertEquals(port(0), 4000);
  twins.both((router) => router.conntrack.delete(0));
  twins.send(LAN, ask({ sport: 4001 }));
  assertEquals(port(0), 4001, "the record is another flow's");
  assert(!twins.quick(LAN, ask()) && !twins.quick(LAN, ask({ sport: 4001 })));
  assert(settles(twins));
  twins.both((_, { clock }) => clock.advance(31_000));
  assert(!twins.quick(LAN, ask()), "it has expired");
  assert(settles(twins));
  twins.both(({ conntrack, conntrack: { flows } }) => {
    for (let ct = flows.next(-1); ct >= 0; ct = flows.next(ct)) conntrack.delete(ct);
  });
  assert(!twins.quick(LAN, ask()), "it was deleted");
});

Deno.test("FastPath keeps flows with the same tuple and record but another translation apart", () => {
  const twins = new Twins({
    iptables: MASQUERADE + table("filter", "-A FORWARD -m conntrack --ctrepldstport 4000 -j ACCEPT"),
  });
  const C2 = "192.0.2.3";
  assert(settles(twins));
  twins.send(LAN, ask({ src: C2 }));
  for (const ct of [1, 0]) twins.both((router) => router.conntrack.delete(ct));
  // Now the other client is first, and has the port.
  twins.send(LAN, ask({ src: C2 }));
  twins.send(LAN, ask());
  const { words } = twins.fast.router.conntrack.flows;
  assertEquals(words[CT_ORIGINAL] & 0xff, 2, "the same record as before");
  assert(settles(twins));
  assert(!twins.send(LAN, ask())[0].text.includes("198.51.100.1:4000 "));
});

Deno.test("FastPath forwards offloaded packets whole, with unfinished checksums", () => {
  const twins = connected();
  const offload =
    (gsoType: number, gsoSize: number) =>
    (p: { gsoType: number; gsoSize: number; partialChecksum: boolean }) => {
      p.gsoType = gsoType;
      p.gsoSize = gsoSize;
      p.partialChecksum = true;
    };
  const large = client({ seq: 1041, ack: 5001, payload: 20_000 });
  assert(twins.quick(LAN, large, offload(GSO_TCPV4, 1460)));
  assert(!twins.quick(LAN, large, offload(GSO_TCPV4, 1461)), "segments that are too long");
  assert(!twins.quick(LAN, large, offload(GSO_TCPV6, 1460)), "of the other family");
  assert(!twins.quick(LAN, large, offload(GSO_UDP_L4, 1460)), "of another protocol");
  assert(twins.quick(LAN, client({ seq: 1041, ack: 5001 }), (p) => p.partialChecksum = true));
  assert(running().quick(LAN, ask({ payload: 20_000 }), offload(GSO_UDP_L4, 1472)));
});

Deno.test("FastPath treats IPv6 as IPv4", () => {
  const twins = new Twins({ ip6tables: MASQUERADE + filter("-A FORWARD -i lan -j ACCEPT") });
  const there = (o: Partial<UdpOptions> = {}) =>
    udp({ src: C6, sport: 4000, dst: S6, dport: 5000, payload: "ask", ...o });
  const back = udp({ src: S6, sport: 5000, dst: "2001:db8:2::1", dport: 4000, payload: "answer" });
  for (let i = 0; i < 3; i++) {
    twins.send(LAN, there());
    twins.send(WAN, back);
  }
  assert(twins.quick(LAN, there()) && twins.quick(WAN, back));
  assert(twins.send(LAN, there())[0].text.includes("2001:db8:2::1"));
  assert(!twins.quick(LAN, there({ ttl: 1 })), "hop limit 1");
  assert(twins.quick(LAN, there({ payload: 1452 })));
  assert(!twins.quick(LAN, there({ payload: 1453 })), "too long");
  assert(
    !twins.quick(LAN, there({ extensions: [{ header: "destination", body: [1, 4, 0, 0, 0, 0] }] })),
    "extension headers",
  );
});

Deno.test("FastPath shares paths: many flows that are treated alike have one", () => {
  const twins = new Twins({ iptables: MASQUERADE, sysctl: { "net.netfilter.nf_conntrack_max": 1024 } });
  for (let i = 0; i < 4; i++) {
    for (let port = 0; port < 300; port++) twins.send(LAN, ask({ sport: 5000 + port }));
  }
  assertEquals([twins.taken, twins.fast.router.fastpath!.paths], [300, 1]);
});

Deno.test("FastPath brings rule counters up to date with the sweep when packets come in batches", () => {
  const twins = new Twins({ iptables: MASQUERADE + filter("-A FORWARD -i lan") }, true);
  const count = () => twins.fast.memory.generation.rules.slice(), send = () => twins.fast.send(LAN, ask());
  for (let i = 0; i < 3; i++) send();
  const before = count();
  for (let i = 0; i < 5; i++) send();
  assertEquals([count(), twins.taken], [before, 0]);
  for (let i = 0; i < 8; i++) twins.long.send(LAN, ask());
  twins.both((router) => router.sweep());
  assertEquals([count(), twins.taken], [twins.long.memory.generation.rules, 5]);
});

Deno.test("FastPath keeps packets without a flow apart whose hashes begin alike", () => {
  const twins = new Twins({ iptables: table("raw", "-A PREROUTING -j NOTRACK") }, true), flows = 200;
  const round = () => {
    for (let i = 0; i < flows; i++) {
      const bytes = ask({ sport: 1024 + i });
      twins.fast.send(LAN, bytes);
      twins.long.send(LAN, bytes);
      assertEquals(parted(twins.fast.out, twins.long.out), []);
    }
    twins.both((router) => router.sweep());
    return twins.taken;
  };
  for (let i = 0; i < 5; i++) round();
  // Of 200 in 4,096 places about ten share one with another; hardly ever do three of them.
  const before = round(), quick = round() - before;
  assert(quick >= flows - 3, `${quick} of ${flows}`);
});

Deno.test("FastPath.foresee changes no answer: packets of many flows, read together and one by one", () => {
  // More flows than slots, so that most packets are looked up, and some that nobody knows, or that are no packets.
  const flows = 10_000, together = 32, random = new Xoshiro(3);
  const twins = new Twins({
    iptables: MASQUERADE,
    ip6tables: MASQUERADE,
    sysctl: { "net.netfilter.nf_conntrack_max": 16384 },
  }, true);
  const { fast, long } = twins, slots = Array.from({ length: together }, () => new Packet());
  const made = (): Uint8Array => {
    const i = below(random, flows), odd = below(random, 50);
    const sport = 1024 + i % 5000, v6 = i >= 5000;
    const bytes = udp({ src: v6 ? C6 : C, dst: v6 ? S6 : S, sport, dport: 5000, payload: `${i}` });
    if (odd === 0) bytes[0] = 0;
    else if (odd === 1) return tcp({ src: C, dst: S, sport, dport: 80, flags: "S" });
    else if (odd === 2) return Uint8Array.of(...bytes, 0, 0, 0); // padding
    return bytes;
  };
  let foreseen = 0;
  for (let turn = 0; turn < 1500; turn++) {
    const packets = Array.from({ length: together }, made), out: Sent[] = [];
    slots.forEach((p, n) => {
      p.bytes.set(packets[n]);
      p.reset(LAN, packets[n].length);
    });
    fast.out = [];
    fast.router.foresee(slots, together);
    foreseen += fast.router.conntrack.foresight.fetch();
    for (const p of slots) fast.router.receive(p, LAN);
    for (const bytes of packets) {
      long.send(LAN, bytes);
      out.push(...long.out);
    }
    assertEquals(parted(fast.out, out), []);
  }
  twins.both((router) => router.sweep());
  assertEquals(parted(fast.state(), long.state()), []);
  assert(foreseen > 5000, `${foreseen} packets were foreseen`);
});
