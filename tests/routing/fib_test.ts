import { assertEquals, assertThrows } from "@std/assert";
import { below, Xoshiro } from "../../src/clock.ts";
import type { Family } from "../../src/netfilter.ts";
import { formatAddress, parseAddress, parsePrefix, prefixMask } from "../../src/packet/address.ts";
import { Fib, type RouteSpec } from "../../src/routing/fib.ts";
import { Interfaces } from "../../src/routing/interfaces.ts";

const interfaces = new Interfaces([
  { name: "a", mtu: 1500, addresses: ["192.0.2.1/24", "2001:db8:1::1/64", "fe80::1/64"] },
  { name: "b", mtu: 1500, addresses: ["198.51.100.1/24", "2001:db8:2::1/64", "fe80::2/64"] },
  { name: "c", mtu: 1500, addresses: ["203.0.113.1/32"] },
]);

/** The name of the interface that a destination is routed to, or the type of a route that leads nowhere. */
function routed(fib: Fib, destination: string, iface = 0): string {
  const { family, words } = parseAddress(destination)!;
  const route = fib.lookup(family, words, 0, iface);
  if (route < 0) return "none";
  return fib.interfaceOf(route) === 0 ? String(fib.typeOf(route)) : interfaces.name(fib.interfaceOf(route));
}

Deno.test("Fib has connected routes, and the longest prefix wins", () => {
  const fib = new Fib(interfaces, [
    { destination: "default", interface: "b", via: "198.51.100.254" },
    { destination: "192.0.2.128/25", interface: "b", via: "198.51.100.254" },
    { destination: "192.0.2.200", interface: "c" },
    { destination: "2001:db8::/32", interface: "a", via: "2001:db8:1::fe" },
    { destination: "2001:db8:2:0:8000::/65", interface: "c" },
    { destination: "100.64.0.0/10", type: "unreachable" },
  ]);
  assertEquals(routed(fib, "192.0.2.5"), "a");
  assertEquals(routed(fib, "192.0.2.129"), "b");
  assertEquals(routed(fib, "192.0.2.200"), "c");
  assertEquals(routed(fib, "8.8.8.8"), "b");
  assertEquals(routed(fib, "100.64.1.1"), "2");
  assertEquals(routed(fib, "2001:db8:1::5"), "a");
  assertEquals(routed(fib, "2001:db8:2::5"), "b");
  assertEquals(routed(fib, "2001:db8:2:0:8000::5"), "c");
  assertEquals(routed(fib, "2001:db8:9::5"), "a");
  assertEquals(routed(fib, "2001:dead::5"), "none");
});

Deno.test("Fib keeps link-local destinations on the link that is asked about", () => {
  const fib = new Fib(interfaces);
  assertEquals(routed(fib, "fe80::9", 1), "a");
  assertEquals(routed(fib, "fe80::9", 2), "b");
  assertEquals(routed(fib, "fe80::9", 3), "none");
});

Deno.test("Fib prefers the lower metric, and passes over interfaces that are down", () => {
  const fib = new Fib(interfaces, [
    { destination: "0.0.0.0/0", interface: "a", metric: 20 },
    { destination: "0.0.0.0/0", interface: "b", metric: 10 },
    { destination: "0.0.0.0/0", interface: "c", metric: 30 },
  ]);
  assertEquals(routed(fib, "8.8.8.8"), "b");
  interfaces.setUp(2, false);
  assertEquals(routed(fib, "8.8.8.8"), "a");
  assertEquals(routed(fib, "198.51.100.7"), "a");
  interfaces.setUp(1, false);
  assertEquals(routed(fib, "8.8.8.8"), "c");
  interfaces.setUp(1, true);
  interfaces.setUp(2, true);
  assertEquals(routed(fib, "8.8.8.8"), "b");
});

Deno.test("Fib finds the interface of a next hop by itself", () => {
  const fib = new Fib(interfaces, [{ destination: "10.0.0.0/8", via: "198.51.100.254" }]);
  assertEquals(routed(fib, "10.1.1.1"), "b");
});

Deno.test("Fib tells the source of packets by a route", () => {
  const fib = new Fib(interfaces, [
    { destination: "10.0.0.0/8", interface: "b", via: "198.51.100.254", source: "203.0.113.1" },
    { destination: "11.0.0.0/8", interface: "a" },
    { destination: "2001:db8:8::/48", interface: "b", via: "fe80::99" },
  ]);
  const cases: [to: string, source: string][] = [
    ["10.1.1.1", "203.0.113.1"],
    ["11.1.1.1", "192.0.2.1"],
    ["198.51.100.7", "198.51.100.1"],
    ["2001:db8:8::5", "2001:db8:2::1"],
  ];
  for (const [to, source] of cases) {
    const { family, words } = parseAddress(to)!;
    const out = new Int32Array(4);
    assertEquals(fib.source(family, fib.lookup(family, words, 0), words, 0, out, 0), true);
    assertEquals(formatAddress(family, out), source, to);
  }
});

Deno.test("Interfaces.selectSource follows the next hop in IPv4 and the destination in IPv6", () => {
  const two = new Interfaces([
    {
      name: "wan",
      mtu: 1500,
      addresses: ["198.51.100.1/24", "10.9.0.1/16", "2001:db8:2::1/64", "2001:db8:2:1::1/64"],
    },
  ]);
  new Fib(two, [
    { destination: "default", interface: "wan", via: "198.51.100.254" },
    { destination: "10.20.0.0/16", interface: "wan", via: "10.9.0.254" },
    { destination: "2001:db8:4::/48", interface: "wan", via: "2001:db8:2:1::fe" },
  ]);
  const cases: [to: string, source: string][] = [
    ["198.51.100.7", "198.51.100.1"],
    ["203.0.113.7", "198.51.100.1"],
    ["10.20.0.7", "10.9.0.1"],
    ["10.9.0.7", "10.9.0.1"],
    ["0.0.0.0", "198.51.100.1"],
    ["2001:db8:2::7", "2001:db8:2::1"],
    ["2001:db8:2:1::7", "2001:db8:2:1::1"],
    ["2001:db8:4::7", "2001:db8:2:1::1"], // a tie, which goes to the latest address
  ];
  for (const [to, source] of cases) {
    const { family, words } = parseAddress(to)!;
    const out = new Int32Array(4);
    assertEquals(two.selectSource(family, 1, words, 0, out, 0), true);
    assertEquals(formatAddress(family, out), source, to);
  }
});

Deno.test("Interfaces.selectSource gives the only primary address, whatever the next hop", () => {
  const one = new Interfaces([
    { name: "lan", mtu: 1500, addresses: ["10.9.0.1/16"] },
    { name: "wan", mtu: 1500, addresses: ["2001:db8:2::1/64", "198.51.100.1/24", "198.51.100.2/24"] },
    { name: "bare", mtu: 1500, addresses: ["2001:db8:3::1/64"] },
  ]);
  new Fib(one, [
    { destination: "default", interface: "wan", via: "198.51.100.254" },
    { destination: "10.20.0.0/16", interface: "lan", via: "10.9.0.254" },
  ]);
  for (const to of ["198.51.100.7", "203.0.113.7", "10.20.0.7", "10.9.0.7", "0.0.0.0"]) {
    const { words } = parseAddress(to)!, out = new Int32Array(4).fill(7);
    assertEquals(one.selectSource(4, 2, words, 0, out, 0), true);
    assertEquals(formatAddress(4, out), "198.51.100.1", to);
    assertEquals([...out.subarray(1)], [0, 0, 0]);
    // An interface without one borrows another's.
    assertEquals(one.selectSource(4, 3, words, 0, out, 0), true);
    assertEquals(formatAddress(4, out), "10.9.0.1", to);
  }
});

Deno.test("Fib refuses routes that cannot be", () => {
  const bad: RouteSpec[] = [
    { destination: "10.0.0.0/8" },
    { destination: "10.0.0.0/33", interface: "a" },
    { destination: "10.0.0.0/8", interface: "x" },
    { destination: "10.0.0.0/8", interface: "a", via: "fe80::1" },
    { destination: "10.0.0.0/8", interface: "a", via: "here" },
    { destination: "10.0.0.0/8", via: "8.8.8.8" },
  ];
  for (const route of bad) assertThrows(() => new Fib(interfaces, [route]), RangeError);
});

/** Longest prefix match as one would do it by hand. */
function naive(routes: readonly RouteSpec[], family: Family, words: Int32Array): string {
  let best = -1;
  let iface = "none";
  for (const route of routes) {
    const prefix = parsePrefix(route.destination)!;
    if (prefix.family !== family || prefix.length <= best) continue;
    const mask = prefixMask(family, prefix.length);
    if (mask.every((m, i) => ((prefix.words[i] ^ words[i]) & m) === 0)) {
      best = prefix.length;
      iface = route.interface!;
    }
  }
  return iface;
}

for (const family of [4, 6] as const) {
  Deno.test(`Fib agrees with a search through all routes, IPv${family}`, () => {
    const random = new Xoshiro(family);
    const names = ["a", "b", "c"];
    const bits = family === 4 ? 32 : 128;
    const address = (): Int32Array => {
      const words = new Int32Array(4);
      // Few values in front, so that prefixes nest.
      for (let i = 0; i < bits / 32; i++) words[i] = random.next() & (i === 0 ? 0x03ff03ff : 0x00ff0003);
      return words;
    };
    const bare = new Interfaces(names.map((name) => ({ name, mtu: 1500, addresses: [] })));
    const routes: RouteSpec[] = [];
    const seen = new Set<string>();
    for (let i = 0; i < 300; i++) {
      const length = below(random, bits + 1);
      const mask = prefixMask(family, length);
      const destination = `${formatAddress(family, address().map((w, j) => w & mask[j]))}/${length}`;
      if (seen.has(destination)) continue;
      seen.add(destination);
      routes.push({ destination, interface: names[below(random, 3)] });
    }
    const fib = new Fib(bare, routes);
    for (let i = 0; i < 500; i++) {
      const words = address();
      const route = fib.lookup(family, words, 0);
      const got = route < 0 ? "none" : bare.name(fib.interfaceOf(route));
      assertEquals(got, naive(routes, family, words), formatAddress(family, words));
    }
  });
}

Deno.test("Fib finds its way among 10,000 routes", () => {
  const routes: RouteSpec[] = [];
  for (let i = 0; i < 10000; i++) {
    routes.push({ destination: `10.${i >> 8}.${i & 255}.0/24`, interface: i % 2 === 0 ? "a" : "b" });
  }
  const fib = new Fib(interfaces, routes);
  assertEquals(fib.count, 10007);
  for (let i = 0; i < 10000; i += 37) {
    assertEquals(routed(fib, `10.${i >> 8}.${i & 255}.9`), i % 2 === 0 ? "a" : "b");
  }
  assertEquals(routed(fib, "10.200.0.1"), "none");
});
