/** RFC 5508, NAT behavioural requirements for ICMP: what Weir does as Linux does, and under `profile: "rfc"`. */
import { assertEquals } from "@std/assert";
import { concat, fixIpChecksum, icmp, icmpEcho, icmpError, tcp, udp } from "../kit/packets.ts";
import { A, ask, B, DROP_INVALID, type Gateway, MASQUERADE, OUTSIDE, S, T, trace } from "./gateway.ts";

const ping = (src = A, echoId = 7, dst = S) => icmpEcho({ src, dst, echoId });
const pong = (echoId = 7, src = S) => icmpEcho({ src, dst: OUTSIDE, echoId, reply: true });
const query = udp({ src: A, sport: 5000, dst: S, dport: 53, payload: 40 });
/** An error from outside about what left. */
const unreachable = (quoted: Uint8Array, o: { badChecksum?: boolean } = {}) =>
  icmpError({ src: T, dst: OUTSIDE, type: 3, code: 1, quoted, ...o });

ask("RFC 5508 REQ-1: queries begun inside are permitted, and their answers", (gateway) => {
  const g = gateway();
  assertEquals(trace(g.send("lan", ping())), [`wan ${OUTSIDE} > ${S} echo 7`]);
  assertEquals(trace(g.send("wan", pong())), [`lan ${S} > ${A} echo 7`]);
  for (const type of [13, 15, 17]) {
    const rest = 9 << 16;
    const out = g.send("lan", icmp({ src: A, dst: S, type, rest, payload: 12 }));
    assertEquals(out.map((p) => [p.iface, p.src]), [["wan", OUTSIDE]]);
    const back = g.send("wan", icmp({ src: S, dst: OUTSIDE, type: type + 1, rest, payload: 12 }));
    assertEquals(back.map((p) => [p.iface, p.dst]), [["lan", A]]);
  }
});

ask("RFC 5508 REQ-1a: the mapping of an identifier does not depend on who is asked", (gateway, rfc) => {
  const g = gateway();
  g.id(A, 7, S);
  const ids = [g.id(B, 7, T), g.id(B, 7, S), g.id(B, 7, "198.51.100.9")];
  assertEquals(new Set(ids).size === 1, rfc, `${ids}`);
  assertEquals(trace(g.send("wan", pong(ids[1]))), [`lan ${S} > ${B} echo 7`]);
});

ask("RFC 5508 REQ-2: a query is remembered for sixty seconds", (gateway, rfc) => {
  for (const [seconds, alive] of [[29, true], [31, rfc], [59, rfc], [61, false]] as const) {
    const g = gateway();
    g.pass("lan", ping());
    g.wait(seconds);
    assertEquals(g.send("wan", pong()).length === 1, alive, `after ${seconds} s`);
  }
});

ask("RFC 5508 REQ-2a: the timer can be set, and what is set wins over the profile", (gateway) => {
  const g = gateway({ sysctl: { "net.netfilter.nf_conntrack_icmp_timeout": 90 } });
  g.pass("lan", ping());
  g.wait(89);
  assertEquals(g.send("wan", pong()).length, 1);
});

ask("RFC 5508 REQ-3: an error with a wrong checksum is dropped", (gateway) => {
  const g = gateway();
  const sent = g.pass("lan", query);
  assertEquals(g.send("wan", unreachable(sent.bytes, { badChecksum: true })), []);
  assertEquals(g.send("wan", unreachable(sent.bytes)).length, 1);
});

ask("RFC 5508 REQ-3a: the header checksum of the quoted packet is not looked at", (gateway) => {
  const g = gateway();
  const quoted = g.pass("lan", query).bytes.slice();
  quoted[10] ^= 0x55;
  // Not as the RFC would have it (SHOULD drop), in Linux neither: routers on the way do change that header.
  assertEquals(g.send("wan", unreachable(quoted)).length, 1);
});

ask("RFC 5508 REQ-3b: options of the quoted packet are stepped over", (gateway) => {
  const g = gateway();
  const quoted =
    g.pass("lan", udp({ src: A, sport: 5000, dst: S, dport: 53, ipOptions: [1, 1, 1, 1, 1, 1, 1, 0] })).bytes;
  const [out] = g.send("wan", unreachable(quoted));
  assertEquals([out.dst, out.quoted!.src, out.quoted!.sport, out.quoted!.ipOptions.length], [A, A, 5000, 8]);
});

ask("RFC 5508 REQ-3c: the transport checksum of the quoted packet is not validated", (gateway) => {
  const g = gateway();
  const quoted = g.pass("lan", query).bytes.slice();
  quoted[26] ^= 0x55;
  assertEquals(g.send("wan", unreachable(quoted)).map((p) => [p.dst, p.quoted!.src]), [[A, A]]);
});

ask("RFC 5508 REQ-3d: extensions behind the quoted packet pass as they are", (gateway) => {
  const g = gateway();
  const sent = g.pass("lan", query).bytes;
  const extension = [0x20, 0, 0xdf, 0xff, 0, 8, 1, 1, 0, 0x10, 0x01, 0x40];
  const quoted = concat(sent, new Uint8Array(128 - sent.length), extension);
  const [out] = g.send("wan", icmpError({ src: T, dst: OUTSIDE, type: 11, rest: 32 << 16, quoted }));
  assertEquals([out.dst, out.quoted!.src, out.rest], [A, A, 32 << 16]);
  assertEquals([...out.bytes.slice(-extension.length)], extension);
  assertEquals(out.errors, []);
});

ask(
  "RFC 5508 REQ-4: an error from outside goes to whom it concerns, as he sent it; others are dropped",
  (gateway) => {
    const g = gateway();
    const cases = [
      query,
      tcp({ src: A, sport: 5001, dst: S, dport: 80, flags: "S" }),
      ping(),
    ];
    for (const bytes of cases) {
      const sent = g.pass("lan", bytes);
      const [out] = g.send("wan", unreachable(sent.bytes));
      assertEquals(trace([out]), [`lan ${T} > ${A} icmp 3/1`]);
      assertEquals(out.errors, []);
      const { src, dst, sport, echoId } = out.quoted!;
      assertEquals([src, dst, sport, echoId], [A, S, sent.sport, sent.echoId]);
    }
    const strange = udp({ src: OUTSIDE, sport: 4444, dst: S, dport: 53 });
    assertEquals(g.send("wan", unreachable(strange)), []);
  },
);

ask("RFC 5508 REQ-5: an error from inside comes from the outside address", (gateway) => {
  const g = gateway();
  g.pass("lan", query);
  const arrived = g.pass("wan", udp({ src: S, sport: 53, dst: OUTSIDE, dport: 5000 })).bytes;
  for (const src of [A, "10.0.0.77"]) { // the host itself, and a router in front of it
    const [out] = g.send("lan", icmpError({ src, dst: S, type: 3, code: 3, quoted: arrived }));
    assertEquals(trace([out]), [`wan ${OUTSIDE} > ${S} icmp 3/3`]);
    assertEquals([out.quoted!.src, out.quoted!.dst, out.quoted!.dport, out.errors], [S, OUTSIDE, 5000, []]);
  }
});

ask("RFC 5508 REQ-5: one about nothing known is dropped by the rule against INVALID", (gateway) => {
  const strange = icmpError({
    src: A,
    dst: S,
    type: 3,
    code: 3,
    quoted: udp({ src: S, sport: 1, dst: A, dport: 2 }),
  });
  assertEquals(trace(gateway().send("lan", strange)), [`wan ${A} > ${S} icmp 3/3`]);
  assertEquals(gateway({ iptables: MASQUERADE + DROP_INVALID }).send("lan", strange), []);
});

ask("RFC 5508 REQ-6: an error neither renews nor ends the query that it is about", (gateway, rfc) => {
  const g = gateway(), life = rfc ? 60 : 30;
  const sent = g.pass("lan", ping());
  g.wait(life / 2);
  assertEquals(g.send("wan", unreachable(sent.bytes)).length, 1);
  assertEquals(g.send("wan", pong()).length, 1); // not ended; this one renews it
  g.wait(life / 2);
  assertEquals(g.send("wan", unreachable(sent.bytes)).length, 1);
  g.wait(life / 2 + 1);
  assertEquals(g.send("wan", pong()), []); // not renewed
});

const BASIC_NAT = "*nat\n-A PREROUTING -d 203.0.113.64/28 -j NETMAP --to 10.0.0.0/28\n" +
  "-A POSTROUTING -s 10.0.0.0/28 -j NETMAP --to 203.0.113.64/28\nCOMMIT\n";

ask("RFC 5508 REQ-7: hairpinned queries pass where addresses alone are translated", (gateway) => {
  const g = gateway({ iptables: BASIC_NAT });
  assertEquals(trace(g.send("lan", ping(A, 7, "203.0.113.67"))), [`lan 203.0.113.66 > ${B} echo 7`]);
  const back = icmpEcho({ src: B, dst: "203.0.113.66", echoId: 7, reply: true });
  assertEquals(trace(g.send("lan", back)), [`lan 203.0.113.67 > ${A} echo 7`]);
});

ask("RFC 5508 REQ-7: hairpinned errors pass", (gateway, rfc) => {
  const error = (g: Gateway, arrived: Uint8Array, dst: string) =>
    g.send("lan", icmpError({ src: B, dst, type: 3, code: 3, quoted: arrived }));
  const basic = gateway({ iptables: BASIC_NAT });
  const [first] = basic.send("lan", udp({ src: A, sport: 5000, dst: "203.0.113.67", dport: 9 }));
  let [out] = error(basic, first.bytes, "203.0.113.66");
  assertEquals(trace([out]), [`lan 203.0.113.67 > ${A} icmp 3/3`]);
  assertEquals([out.quoted!.src, out.quoted!.dst, out.errors], [A, "203.0.113.67", []]);
  if (!rfc) return; // no hairpinning with ports, so no errors about it
  const g = gateway();
  const port = g.port(B, 7000, S);
  const [there] = g.send("lan", udp({ src: A, sport: 5000, dst: OUTSIDE, dport: port }));
  [out] = error(g, there.bytes, OUTSIDE);
  assertEquals(trace([out]), [`lan ${OUTSIDE} > ${A} icmp 3/3`]);
  assertEquals([out.quoted!.src, out.quoted!.sport, out.quoted!.dst, out.quoted!.dport], [
    A,
    5000,
    OUTSIDE,
    port,
  ]);
  assertEquals(out.errors, []);
});

ask("RFC 5508 REQ-8: a flow for which there is no room is refused by an error", (gateway, rfc) => {
  const g = gateway({
    iptables: "*nat\n-A POSTROUTING -p udp -j SNAT --to-source 203.0.113.1:2000\nCOMMIT\n",
  });
  assertEquals(g.port(A, 5000, S), 2000);
  const out = g.send("lan", udp({ src: B, sport: 5000, dst: S, dport: 53 }));
  assertEquals(trace(out), rfc ? [`lan 10.0.0.1 > ${B} icmp 3/13`] : []);
  if (rfc) assertEquals([out[0].quoted!.src, out[0].quoted!.dst, out[0].quoted!.sport], [B, S, 5000]);
  assertEquals(g.flows().length, 1);
  // The table is full.
  const full = gateway({ sysctl: { "net.netfilter.nf_conntrack_max": 1 } });
  full.pass("lan", tcp({ src: A, sport: 1, dst: S, dport: 80, flags: "S", seq: 1 }));
  full.pass("wan", tcp({ src: S, sport: 80, dst: OUTSIDE, dport: 1, flags: "SA", seq: 9, ack: 2 }));
  full.pass("lan", tcp({ src: A, sport: 1, dst: S, dport: 80, flags: "A", seq: 2, ack: 10 }));
  assertEquals(trace(full.send("lan", query)), rfc ? [`lan 10.0.0.1 > ${A} icmp 3/13`] : []);
});

ask("RFC 5508 REQ-9: a rule can keep ICMP messages from an interface", (gateway) => {
  const rules =
    `${MASQUERADE}*filter\n-A OUTPUT -o lan -p icmp -m icmp --icmp-type time-exceeded -j DROP\nCOMMIT\n`;
  const short = udp({ src: A, sport: 5000, dst: S, dport: 53, ttl: 1 });
  assertEquals(trace(gateway().send("lan", short)), [`lan 10.0.0.1 > ${A} icmp 11/0`]);
  assertEquals(gateway({ iptables: rules }).send("lan", short), []);
});

ask("RFC 5508 REQ-10a: destination unreachable, time exceeded and echo are supported", (gateway) => {
  const g = gateway({ routes: [{ destination: "198.51.100.0/24", interface: "wan" }] });
  assertEquals(trace(g.send("lan", udp({ src: A, sport: 5000, dst: "192.0.2.1", dport: 53 }))), [
    `lan 10.0.0.1 > ${A} icmp 3/0`,
  ]);
  assertEquals(trace(g.send("lan", udp({ src: A, sport: 5000, dst: "10.0.0.1", dport: 53 }))), [
    `lan 10.0.0.1 > ${A} icmp 3/3`,
  ]);
  assertEquals(trace(g.send("lan", udp({ src: A, sport: 5000, dst: S, dport: 53, ttl: 1 }))), [
    `lan 10.0.0.1 > ${A} icmp 11/0`,
  ]);
  assertEquals(trace(g.send("lan", icmpEcho({ src: A, dst: "10.0.0.1", echoId: 3 }))), [
    `lan 10.0.0.1 > ${A} echo 3`,
  ]);
  assertEquals(trace(g.send("wan", icmpEcho({ src: S, dst: OUTSIDE, echoId: 3 }))), [
    `wan ${OUTSIDE} > ${S} echo 3`,
  ]);
  const sent = g.pass("lan", query);
  for (const [type, code] of [[3, 0], [3, 13], [11, 0], [11, 1], [12, 0]]) {
    const out = g.send("wan", icmpError({ src: T, dst: OUTSIDE, type, code, quoted: sent.bytes }));
    assertEquals(trace(out), [`lan ${T} > ${A} icmp ${type}/${code}`]);
  }
});

ask("RFC 5508 REQ-10c: Weir never sends source quench or information replies of its own", (gateway) => {
  const g = gateway();
  for (const type of [15, 17, 10]) {
    assertEquals(
      g.send("wan", icmp({ src: S, dst: OUTSIDE, type, payload: 8 })).filter((p) =>
        [4, 16].includes(p.type!)
      ),
      [],
    );
  }
});

ask(
  "RFC 5508 REQ-11: other ICMP messages are INVALID, a redirect of a translated flow is dropped",
  (gateway) => {
    const g = gateway({ iptables: MASQUERADE + DROP_INVALID });
    const sent = g.pass("lan", query);
    const redirect = icmpError({
      src: "203.0.113.9",
      dst: OUTSIDE,
      type: 5,
      code: 1,
      rest: 0x0a000009,
      quoted: sent.bytes,
    });
    assertEquals(g.send("wan", redirect), []);
    for (const type of [9, 10, 19, 42]) {
      assertEquals(g.send("lan", fixIpChecksum(icmp({ src: A, dst: S, type, payload: 8 }))), []);
    }
  },
);
