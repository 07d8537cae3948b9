/** RFC 4787, NAT behavioural requirements for unicast UDP: what Weir does as Linux does, and under `profile: "rfc"`. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { ConfigError, validate } from "../../src/config/validate.ts";
import { tftp } from "../../src/helpers/mod.ts";
import { fragments, icmpEcho, icmpError, tcp, udp } from "../kit/packets.ts";
import { A, ask, B, C, DROP_INVALID, MASQUERADE, OUTSIDE, S, T, trace } from "./gateway.ts";

const query = (src = A, sport = 5000, dst = S, dport = 53) => udp({ src, sport, dst, dport });
const answer = (dport = 5000, src = S, sport = 53) => udp({ src, sport, dst: OUTSIDE, dport });

ask("RFC 4787 REQ-1: endpoint-independent mapping", (gateway, rfc) => {
  const g = gateway();
  g.port(A, 5000, S);
  const ports = [g.port(B, 5000, T), g.port(B, 5000, S), g.port(B, 5000, S, 3478), g.port(B, 5000, T, 99)];
  // Linux: as long as nobody else has the port towards that target.
  assertEquals(new Set(ports).size === 1, rfc, `${ports}`);
  assertEquals(ports[0] === 5000, !rfc);
});

ask("RFC 4787 REQ-2: paired address pooling", (gateway, rfc) => {
  const g = gateway({
    iptables: "*nat\n-A POSTROUTING -o wan -j SNAT --to-source 203.0.113.32-203.0.113.39\nCOMMIT\n",
  });
  const addresses = new Set<string>();
  for (let i = 0; i < 20; i++) {
    addresses.add(g.pass("lan", query(A, 6000 + i, `198.51.100.${10 + i}`)).src);
    addresses.add(g.pass("lan", icmpEcho({ src: A, dst: `198.51.100.${10 + i}`, echoId: i })).src);
    addresses.add(
      g.pass("lan", tcp({ src: A, sport: 7000 + i, dst: `198.51.100.${10 + i}`, dport: 80, flags: "S" })).src,
    );
  }
  assertEquals(addresses.size === 1, rfc, [...addresses].join());
});

ask("RFC 4787 REQ-3: no port overloading", (gateway, rfc) => {
  const g = gateway();
  assertEquals(g.port(A, 5000, S), 5000);
  assertEquals(g.port(B, 5000, T) === 5000, !rfc);
  // With no port left a flow is refused; Linux overloads as long as targets differ.
  const few = gateway({
    iptables: "*nat\n-A POSTROUTING -p udp -j SNAT --to-source 203.0.113.1:2000-2001\nCOMMIT\n",
  });
  const hosts = [2, 3, 4].map((n) => few.send("lan", query(`10.0.0.${n}`, 5000, `198.51.100.${n}`)));
  assertEquals(hosts.map((out) => out.filter((p) => p.iface === "wan").length), rfc ? [1, 1, 0] : [1, 1, 1]);
});

ask("RFC 4787 REQ-3a: a port of another range only if that range was left", (gateway) => {
  const g = gateway();
  for (const port of [100, 700, 4000]) {
    for (let host = 2; host < 40; host++) {
      const outside = g.port(`10.0.0.${host}`, port, S);
      assertEquals(outside < 1024, port < 1024, `${port} became ${outside}`);
    }
  }
});

ask("RFC 4787 REQ-4: port parity", (gateway, rfc) => {
  const g = gateway(), kept: boolean[] = [];
  for (const port of [5000, 5001, 900, 901]) {
    for (let host = 2; host < 34; host++) kept.push((g.port(`10.0.0.${host}`, port, S) & 1) === (port & 1));
  }
  assertEquals(kept.every(Boolean), rfc);
});

ask("RFC 4787 REQ-5: a mapping lives two minutes, better five", (gateway, rfc) => {
  for (const [seconds, alive] of [[29, true], [119, rfc], [299, rfc], [301, false]] as const) {
    const g = gateway();
    g.pass("lan", query());
    g.wait(seconds);
    assertEquals(
      trace(g.send("wan", answer()))[0] === `lan ${S}:53 > ${A}:5000`,
      alive,
      `after ${seconds} s`,
    );
  }
  // With traffic both ways for more than two seconds.
  for (const [seconds, alive] of [[119, true], [299, rfc], [301, false]] as const) {
    const g = gateway();
    g.pass("lan", query());
    g.pass("wan", answer());
    g.wait(3);
    g.pass("lan", query());
    g.wait(seconds);
    assertEquals(
      trace(g.send("wan", answer()))[0] === `lan ${S}:53 > ${A}:5000`,
      alive,
      `after ${seconds} s`,
    );
  }
});

ask("RFC 4787 REQ-5b: the timer can be set, and what is set wins over the profile", (gateway) => {
  for (const [seconds, alive] of [[149, true], [151, false]] as const) {
    const g = gateway({ sysctl: { "net.netfilter.nf_conntrack_udp_timeout": 150 } });
    g.pass("lan", query());
    g.wait(seconds);
    assertEquals(trace(g.send("wan", answer()))[0].startsWith("lan"), alive);
  }
});

ask("RFC 4787 REQ-6: outbound packets renew a mapping", (gateway, rfc) => {
  const g = gateway(), pause = rfc ? 290 : 25;
  for (let i = 0; i < 5; i++) {
    g.pass("lan", query());
    g.wait(pause);
  }
  assertEquals(trace(g.send("wan", answer())), [`lan ${S}:53 > ${A}:5000`]);
  if (!rfc) return;
  // Also those that answer somebody who came in by the mapping after its maker had gone.
  const own = gateway();
  own.port(A, 5000, S);
  own.port(B, 5000, T);
  const port = own.port(B, 5000, S);
  own.pass("wan", answer(port, T, 7000));
  for (let i = 0; i < 5; i++) {
    own.pass("lan", query(B, 5000, T, 7000));
    own.wait(200);
  }
  assertEquals(own.port(B, 5000, S), port);
});

ask("RFC 4787 REQ-6a: inbound packets renew it, too", (gateway, rfc) => {
  const g = gateway(), pause = rfc ? 290 : 25;
  g.pass("lan", query());
  for (let i = 0; i < 5; i++) {
    g.wait(pause);
    assertEquals(trace(g.send("wan", answer())), [`lan ${S}:53 > ${A}:5000`]);
  }
});

ask(
  "RFC 4787 REQ-7: addresses come from the configuration alone, so none can begin to conflict",
  (_gateway, rfc) => {
    const profile = rfc ? "rfc" : "linux";
    for (const wan of ["dhcp", "10.0.0.1/24"]) {
      const interfaces = { lan: { addresses: ["10.0.0.1/24"] }, wan: { addresses: [wan] } };
      assertThrows(() => validate({ interfaces, profile }), ConfigError);
    }
  },
);

ask("RFC 4787 REQ-8: endpoint-independent filtering", (gateway, rfc) => {
  const g = gateway();
  g.pass("lan", query());
  for (const [src, sport] of [[S, 99], [T, 53], [T, 99]] as const) {
    const expected = rfc ? `lan ${src}:${sport} > ${A}:5000` : `wan ${OUTSIDE} > ${src} icmp 3/3`;
    assertEquals(trace(g.send("wan", answer(5000, src, sport))), [expected]);
  }
  // And back the same way. A port without mapping stays closed.
  if (rfc) assertEquals(trace(g.send("lan", query(A, 5000, T, 99))), [`wan ${OUTSIDE}:5000 > ${T}:99`]);
  assertEquals(trace(g.send("wan", answer(5001, T, 99))), [`wan ${OUTSIDE} > ${T} icmp 3/3`]);
});

ask("RFC 4787 REQ-8: filter rules still decide", (gateway, rfc) => {
  const rules = (rule: string) =>
    `${MASQUERADE}*filter\n:FORWARD DROP [0:0]\n-A FORWARD -i lan -j ACCEPT\n` +
    `-A FORWARD -m conntrack --ctstate ESTABLISHED${rule} -j ACCEPT\nCOMMIT\n`;
  for (const [rule, open] of [["", false], [",DNAT", rfc]] as const) {
    const g = gateway({ iptables: rules(rule) });
    g.pass("lan", query());
    assertEquals(g.send("wan", answer(5000, T, 99)).some((p) => p.iface === "lan"), open);
  }
});

ask(
  "RFC 4787 REQ-8: endpoint-independent mapping without open filtering is one knob away",
  (gateway, rfc) => {
    const g = gateway({ sysctl: { "weir.nat_endpoint_independent": 1 } });
    g.pass("lan", query());
    assertEquals(trace(g.send("wan", answer(5000, T, 99))), [`wan ${OUTSIDE} > ${T} icmp 3/3`]);
    assert(g.port(B, 5000, T) !== 5000, `${rfc}`);
  },
);

ask("RFC 4787 REQ-9: hairpinning, with external source address and port", (gateway, rfc) => {
  for (const [host, sport] of [[A, 5000], [A, 6000], [C, 5000]] as const) {
    const g = gateway(), iface = host === C ? "dmz" : "lan";
    const b = g.port(B, 7000, S);
    if (sport === 5000) g.port(host, sport, T);
    const there = g.send(iface, udp({ src: host, sport, dst: OUTSIDE, dport: b }));
    if (!rfc) {
      assertEquals(trace(there), [`${iface} ${OUTSIDE} > ${host} icmp 3/3`]);
      continue;
    }
    assertEquals(trace(there), [`lan ${OUTSIDE}:${sport} > ${B}:7000`]);
    assertEquals(there[0].errors, []);
    const back = g.send("lan", udp({ src: B, sport: 7000, dst: OUTSIDE, dport: sport }));
    assertEquals(trace(back), [`${iface} ${OUTSIDE}:${b} > ${host}:${sport}`]);
  }
});

ask("RFC 4787 REQ-9: rules for hairpinning work, as in Linux", (gateway) => {
  const g = gateway({
    iptables:
      "*nat\n-A PREROUTING -d 203.0.113.1 -p udp --dport 8000 -j DNAT --to-destination 10.0.0.3:7000\n" +
      "-A POSTROUTING -s 10.0.0.0/24 -d 10.0.0.3 -j SNAT --to-source 203.0.113.1\n" +
      "-A POSTROUTING -o wan -j MASQUERADE\nCOMMIT\n",
  });
  g.port(A, 5000, S);
  const there = g.send("lan", udp({ src: A, sport: 5000, dst: OUTSIDE, dport: 8000 }));
  assertEquals(trace(there), [`lan ${OUTSIDE}:5000 > ${B}:7000`]);
  const back = g.send("lan", udp({ src: B, sport: 7000, dst: OUTSIDE, dport: 5000 }));
  assertEquals(trace(back), [`lan ${OUTSIDE}:8000 > ${A}:5000`]);
});

ask("RFC 4787 REQ-10: no ALG unless the configuration lists it", (gateway) => {
  const request = udp({ src: A, sport: 5000, dst: S, dport: 69, payload: "\0\x01file\0octet\0" });
  const g = gateway();
  g.pass("lan", request);
  assertEquals(g.router.expects(), []);
  const listed = gateway({ helpers: [tftp()] });
  listed.pass("lan", request);
  assertEquals(listed.router.expects().length, 1);
});

ask("RFC 4787 REQ-11: the same behaviour under all conditions", (gateway, rfc) => {
  const mapping = (crowded: boolean) => {
    const g = gateway();
    if (crowded) g.port(A, 5000, S);
    return g.port(B, 5000, T) === g.port(B, 5000, S) ? "independent" : "dependent";
  };
  assertEquals([mapping(false), mapping(true)], ["independent", rfc ? "independent" : "dependent"]);
});

ask("RFC 4787 REQ-12: no ICMP message ends a mapping", (gateway) => {
  const g = gateway();
  const sent = g.pass("lan", query());
  const mapping = () =>
    g.flows().filter((line) => line.startsWith("udp")).map((line) => line.replace(/ \d+ src/, " src"));
  const before = mapping();
  for (let type = 3; type <= 18; type++) {
    for (let code = 0; code < 4; code++) {
      g.send("wan", icmpError({ src: S, dst: OUTSIDE, type, code, quoted: sent.bytes }));
    }
  }
  assertEquals(mapping(), before);
  assertEquals(trace(g.send("wan", answer())), [`lan ${S}:53 > ${A}:5000`]);
});

ask("RFC 4787 REQ-12a: ICMP errors pass whoever sends them", (gateway) => {
  const g = gateway();
  const sent = g.pass("lan", query());
  for (const src of [S, T, "203.0.113.9", "192.0.2.77"]) {
    const out = g.send("wan", icmpError({ src, dst: OUTSIDE, type: 11, quoted: sent.bytes }));
    assertEquals(trace(out), [`lan ${src} > ${A} icmp 11/0`]);
    assertEquals([out[0].quoted!.src, out[0].quoted!.sport, out[0].errors], [A, 5000, []]);
  }
});

ask("RFC 4787 REQ-12b: destination unreachable is supported", (gateway) => {
  const g = gateway();
  const sent = g.pass("lan", query());
  for (const code of [0, 1, 2, 3, 4, 13]) {
    const out = g.send(
      "wan",
      icmpError({ src: S, dst: OUTSIDE, type: 3, code, rest: code === 4 ? 1280 : 0, quoted: sent.bytes }),
    );
    assertEquals(trace(out), [`lan ${S} > ${A} icmp 3/${code}`]);
  }
});

const narrow = {
  interfaces: {
    lan: { addresses: ["10.0.0.1/24"] },
    wan: { addresses: ["203.0.113.1/24"], mtu: 1280 },
  },
};

ask("RFC 4787 REQ-13: a packet too large with DF is answered by fragmentation needed", (gateway) => {
  const out = gateway(narrow).send(
    "lan",
    udp({ src: A, sport: 5000, dst: S, dport: 53, payload: 1400, df: true }),
  );
  assertEquals(trace(out), [`lan 10.0.0.1 > ${A} icmp 3/4`]);
  assertEquals(out[0].rest, 1280);
});

ask("RFC 4787 REQ-13a: one without DF is cut, and the fragments leave in order", (gateway) => {
  const out = gateway(narrow).send(
    "lan",
    udp({ src: A, sport: 5000, dst: S, dport: 53, payload: 3000, df: false }),
  );
  assertEquals(out.map((p) => [p.iface, p.src, p.offset, p.mf]), [
    ["wan", OUTSIDE, 0, true],
    ["wan", OUTSIDE, 1256, true],
    ["wan", OUTSIDE, 2512, false],
  ]);
});

ask("RFC 4787 REQ-14: fragments are received in order and out of order", (gateway) => {
  for (const order of [[0, 1, 2], [2, 1, 0], [1, 2, 0]]) {
    const g = gateway();
    g.pass("lan", query());
    const pieces = fragments(
      udp({ src: S, sport: 53, dst: OUTSIDE, dport: 5000, payload: 3000, df: false }),
      1200,
      7,
    );
    const out = order.map((i) => g.send("wan", pieces[i]));
    assertEquals(out.map((o) => o.length), [0, 0, 3]);
    assertEquals(out[2].map((p) => [p.iface, p.dst, p.offset]), [["lan", A, 0], ["lan", A, 1200], [
      "lan",
      A,
      2400,
    ]]);
  }
});

ask(
  "RFC 4787 REQ-14a: a flood of fragments does not touch whole packets, but keeps fragments out",
  (gateway) => {
    const g = gateway();
    g.pass("lan", query());
    for (let i = 0; i < 6000; i++) {
      const whole = udp({
        src: `192.0.2.${i % 250}`,
        sport: 1,
        dst: OUTSIDE,
        dport: 5000,
        payload: 1400,
        df: false,
      });
      g.router.receive(2, fragments(whole, 1000, i + 1)[0]);
    }
    assertEquals(trace(g.send("wan", answer())), [`lan ${S}:53 > ${A}:5000`]);
    const pieces = fragments(
      udp({ src: S, sport: 53, dst: OUTSIDE, dport: 5000, payload: 2000, df: false }),
      1200,
      7,
    );
    const fragmented = () => pieces.flatMap((piece) => g.send("wan", piece)).length;
    // As in Linux: memory is bounded, and what waits is not thrown out for what comes.
    assertEquals(fragmented(), 0);
    g.wait(31);
    g.pass("lan", query());
    assertEquals(fragmented(), 2);
  },
);

ask("RFC 4787: packets without a flow leave untranslated, but for the rule against INVALID", (gateway) => {
  const stray = icmpError({
    src: A,
    dst: S,
    type: 3,
    code: 1,
    quoted: udp({ src: S, sport: 1, dst: A, dport: 2 }),
  });
  assertEquals(trace(gateway().send("lan", stray)), [`wan ${A} > ${S} icmp 3/1`]);
  assertEquals(gateway({ iptables: MASQUERADE + DROP_INVALID }).send("lan", stray), []);
});
