import { assert, assertEquals } from "@std/assert";
import { Fib } from "../../src/routing/fib.ts";
import { Interfaces, OWN, STRANGE, SUBNET_ANYCAST, SUBNET_BROADCAST } from "../../src/routing/interfaces.ts";
import { RouteCache } from "../../src/routing/route_cache.ts";
import { parseAddress } from "../../src/packet/address.ts";

function setup() {
  const interfaces = new Interfaces([
    { name: "lan", mtu: 1500, addresses: ["192.0.2.1/24", "2001:db8:1::1/64", "fe80::1/64"] },
    { name: "wan", mtu: 1500, addresses: ["198.51.100.1/24", "2001:db8:2::1/64", "fe80::2/64"] },
  ]);
  const fib = new Fib(interfaces, [{ destination: "default", interface: "wan" }]);
  return { interfaces, fib, cache: new RouteCache(interfaces, fib) };
}

Deno.test("RouteCache says of every IPv4 address what interfaces and routes say, met once or often", () => {
  const { interfaces, fib, cache } = setup();
  const words = new Int32Array(4);
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 3000; i++) {
      // Two subnets, their ends, and strangers, more than there are places.
      const network = i % 3 === 0 ? 0xc0000200 : i % 3 === 1 ? 0xc6336400 : 0xcb007100;
      words[0] = network + (i % 700);
      const entry = cache.find4(words[0]);
      assertEquals(cache.kind(entry), interfaces.kind4(words[0]));
      assertEquals(cache.route(entry), fib.lookup(4, words, 0));
    }
  }
});

Deno.test("RouteCache tells Weir's addresses, broadcast and anycast from strangers", () => {
  const { cache } = setup();
  const kind4 = (text: string) => cache.kind(cache.find4(parseAddress(text)!.words[0]));
  assertEquals(kind4("192.0.2.1"), OWN);
  assertEquals(kind4("192.0.2.255"), SUBNET_BROADCAST);
  assertEquals(kind4("192.0.2.2"), STRANGE);
  assertEquals(kind4("0.0.0.0"), STRANGE);
  const kind6 = (text: string, iface = 1) => cache.kind(cache.find6(parseAddress(text)!.words, iface));
  assertEquals(kind6("2001:db8:2::1"), OWN);
  assertEquals(kind6("2001:db8:1::"), SUBNET_ANYCAST);
  assertEquals(kind6("2001:db8:1::2"), STRANGE);
  assertEquals(kind6("::"), STRANGE);
});

Deno.test("RouteCache keeps no link-local address: it is another one on each interface", () => {
  const { cache, fib } = setup();
  const { words } = parseAddress("fe80::1")!;
  for (let round = 0; round < 2; round++) {
    assertEquals(cache.kind(cache.find6(words, 1)), OWN);
    assertEquals(cache.kind(cache.find6(words, 2)), STRANGE);
    assertEquals(fib.interfaceOf(cache.route(cache.find6(words, 2))), 2);
  }
});

Deno.test("RouteCache forgets everything when an interface goes down or up", () => {
  const { interfaces, fib, cache } = setup();
  const far = parseAddress("203.0.113.1")!.words[0], far6 = parseAddress("2001:db8:9::1")!.words;
  assert(cache.route(cache.find4(far)) >= 0 && cache.route(cache.find6(far6, 1)) >= 0);
  interfaces.setUp(2, false);
  assertEquals(cache.route(cache.find4(far)), -1);
  assertEquals(cache.route(cache.find6(far6, 1)), -1);
  interfaces.setUp(2, true);
  assertEquals(fib.interfaceOf(cache.route(cache.find4(far))), 2);
});
