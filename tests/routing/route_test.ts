import { assertEquals } from "@std/assert";
import { Xoshiro } from "../../src/clock.ts";
import { REASONS } from "../../src/netfilter.ts";
import { parseAddress } from "../../src/packet/address.ts";
import { verifyTransport } from "../../src/packet/checksum.ts";
import { Packet } from "../../src/packet/packet.ts";
import { parse } from "../../src/packet/parse.ts";
import { ROUTE_DROP, ROUTE_ERROR, ROUTE_FORWARD, ROUTE_LOCAL } from "../../src/routing/route.ts";
import { CASES as IPV4 } from "./kernel/ipv4_local.ts";
import { CASES as OPTIONS } from "./kernel/ipv4_options.ts";
import { CASES as IPV6 } from "./kernel/ipv6_local.ts";
import { fromHex, INTERFACES, ROUTES, TestRouter } from "./setup.ts";

const router = new TestRouter(INTERFACES, ROUTES);

/** An IPv4 or IPv6 header from here to there, as UDP. */
function between(from: string, to: string, iface: string | number): Packet {
  const source = parseAddress(from)!;
  const destination = parseAddress(to)!;
  const p = router.load(iface, fromHex("45000028{40}"));
  const at = source.family === 4 ? 12 : 8;
  if (source.family === 4) p.bytes.set(fromHex("4500002800000000401100000000000000000000"));
  else p.bytes.set(fromHex("6000000000001140"));
  for (let i = 0; i < (source.family === 4 ? 1 : 4); i++) {
    p.view.setInt32(at + 4 * i, source.words[i]);
    p.view.setInt32(at + (source.family === 4 ? 4 : 16) + 4 * i, destination.words[i]);
  }
  p.family = source.family;
  return p;
}

Deno.test("Routing.input says why a packet ends", () => {
  const cases: [from: string, to: string, iface: string, route: number, reason: string][] = [
    ["192.0.2.2", "198.51.100.2", "lan", ROUTE_FORWARD, "none"],
    ["192.0.2.2", "192.0.2.1", "lan", ROUTE_LOCAL, "none"],
    ["192.0.2.2", "198.51.100.9", "lan", ROUTE_LOCAL, "none"],
    ["192.0.2.2", "192.0.2.255", "lan", ROUTE_LOCAL, "none"],
    ["0.0.0.0", "255.255.255.255", "lan", ROUTE_LOCAL, "none"],
    ["192.0.2.2", "224.0.0.1", "lan", ROUTE_LOCAL, "none"],
    ["192.0.2.2", "239.1.1.1", "lan", ROUTE_DROP, "not-forwardable"],
    ["127.0.0.1", "198.51.100.2", "lan", ROUTE_DROP, "martian-source"],
    ["192.0.2.1", "198.51.100.2", "lan", ROUTE_DROP, "martian-source"],
    ["192.0.2.1", "192.0.2.1", "lan", ROUTE_DROP, "martian-source"],
    ["192.0.2.2", "127.0.0.1", "lan", ROUTE_DROP, "martian-destination"],
    ["192.0.2.2", "0.0.0.0", "lan", ROUTE_DROP, "martian-destination"],
    ["192.0.2.2", "172.16.0.1", "lan", ROUTE_ERROR, "no-route"],
    ["192.0.2.2", "100.64.1.1", "lan", ROUTE_DROP, "no-route"],
    ["192.0.2.2", "100.64.2.1", "lan", ROUTE_ERROR, "address-unreachable"],
    ["2001:db8:1::2", "2001:db8:2::2", "lan", ROUTE_FORWARD, "none"],
    ["2001:db8:1::2", "2001:db8:2::1", "lan", ROUTE_LOCAL, "none"],
    ["2001:db8:1::2", "2001:db8:2::", "lan", ROUTE_LOCAL, "none"],
    ["2001:db8:1::2", "ff02::1", "lan", ROUTE_LOCAL, "none"],
    ["2001:db8:1::2", "ff02::5", "lan", ROUTE_DROP, "not-forwardable"],
    ["2001:db8:1::2", "2001:db8:77::1", "lan", ROUTE_ERROR, "no-route"],
    ["2001:db8:1::2", "fe80::7", "lan", ROUTE_ERROR, "no-route"],
  ];
  for (const [from, to, iface, route, reason] of cases) {
    const p = between(from, to, iface);
    assertEquals(router.routing.input(p), route, `${from} to ${to}`);
    assertEquals(REASONS[p.reason], reason, `${from} to ${to}`);
    assertEquals(p.outInterface !== 0, route === ROUTE_FORWARD, `${from} to ${to}`);
  }
});

Deno.test("Routing.input drops strangers' packets without a word where forwarding is off", () => {
  const host = new TestRouter(INTERFACES, ROUTES, { "net.ipv4.ip_forward": 0 });
  for (const to of ["198.51.100.2", "172.16.0.1", "100.64.2.1"]) {
    assertEquals(host.routing.input(between("192.0.2.2", to, "lan")), ROUTE_DROP);
  }
  assertEquals(host.routing.input(between("192.0.2.2", "192.0.2.1", "lan")), ROUTE_LOCAL);
});

Deno.test("Routing.output finds the way of packets made here", () => {
  const cases: [from: string, to: string, route: number, out: string, link?: string][] = [
    ["192.0.2.1", "198.51.100.2", ROUTE_FORWARD, "wan"],
    ["192.0.2.1", "198.51.100.1", ROUTE_LOCAL, ""],
    ["192.0.2.1", "192.0.2.255", ROUTE_FORWARD, "lan"],
    ["192.0.2.1", "172.16.0.1", ROUTE_DROP, ""],
    ["192.0.2.1", "100.64.2.1", ROUTE_DROP, ""],
    ["2001:db8:1::1", "2001:db8:3::1", ROUTE_FORWARD, "wan"],
    ["2001:db8:1::1", "2001:db8:2::1", ROUTE_LOCAL, ""],
    ["2001:db8:1::1", "ff02::5", ROUTE_FORWARD, "nar", "nar"],
    ["2001:db8:1::1", "fe80::7", ROUTE_DROP, "", "nar"],
  ];
  for (const [from, to, route, out, link] of cases) {
    const p = between(from, to, 0);
    const result = router.routing.output(p, link === undefined ? 0 : router.interfaces.byName(link));
    assertEquals([result, router.interfaces.name(p.outInterface)], [route, out], `${from} to ${to}`);
  }
});

Deno.test("LocalStack answers multicast echo requests only on the link that they came by, as Linux", () => {
  // From 2001:db8:1::2 and 2001:db8:2::2 to ff02::1.
  const near = "6000000000083a40" + "20010db8000100000000000000000002" + "ff020000000000000000000000000001" +
    "800052fa00010002";
  const far = "6000000000083a40" + "20010db8000200000000000000000002" + "ff020000000000000000000000000001" +
    "800052f900010002";
  assertEquals(router.send("lan", fromHex(near))?.iface, "lan");
  assertEquals(router.send("lan", fromHex(far)), null);
  assertEquals(router.send("wan", fromHex(far))?.iface, "wan");
});

Deno.test("routing never throws, and says nothing but sound packets", () => {
  const random = new Xoshiro(5);
  const seeds = [...IPV4, ...OPTIONS, ...IPV6].map(([, , packet]) => fromHex(packet));
  const made = new Packet();
  let answered = 0;
  for (let i = 0; i < 60000; i++) {
    const bytes = seeds[(random.next() >>> 0) % seeds.length].slice();
    for (let n = random.next() & 3; n > 0; n--) {
      bytes[(random.next() >>> 0) % Math.min(bytes.length, 80)] = random.next() & 0xff;
    }
    const p = router.load("lan", bytes);
    // A header checksum that fits lets the damage get further.
    if (
      bytes.length >= 20 && bytes[0] >> 4 === 4 && (bytes[0] & 15) >= 5 && bytes.length >= (bytes[0] & 15) * 4
    ) {
      p.view.setUint16(10, 0);
      let sum = 0;
      for (let at = 0; at < (bytes[0] & 15) * 4; at += 2) sum += p.view.getUint16(at);
      while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
      p.view.setUint16(10, ~sum & 0xffff);
      bytes.set(p.bytes.subarray(0, bytes.length));
    }
    router.clock.now += 20;
    const sent = router.send("lan", bytes);
    if (sent === null || !sent.made) continue;
    answered++;
    made.bytes.set(sent.bytes);
    made.reset(0, sent.bytes.length);
    assertEquals(parse(made), 0);
    assertEquals(made.length, sent.bytes.length);
    // ICMP of zeros only has checksum 0, which sums to 0.
    assertEquals(
      verifyTransport(made) || made.bytes.subarray(made.l4, made.length).every((b) => b === 0),
      true,
    );
  }
  assertEquals(answered > 5000, true, String(answered));
});
