import { assertEquals, assertThrows } from "@std/assert";
import { formatAddress, parseAddress } from "../../src/packet/address.ts";
import { Interfaces } from "../../src/routing/interfaces.ts";

const interfaces = new Interfaces([
  {
    name: "lan",
    mtu: 1500,
    addresses: [
      "192.0.2.1/24",
      "192.0.2.9/24",
      "192.0.2.129/25",
      "10.0.0.1/8",
      "2001:db8:1::1/64",
      "fe80::1/64",
    ],
  },
  { name: "wan", mtu: 1280, addresses: ["198.51.100.1/31", "fe80::1/64", "fe80::2/64", "fd00::1/64"] },
  { name: "bare", mtu: 9000, addresses: [], up: false },
]);

function words(text: string): Int32Array {
  return parseAddress(text)!.words;
}

Deno.test("Interfaces numbers interfaces from 1 and finds them by name", () => {
  assertEquals(interfaces.count, 3);
  assertEquals(["lan", "wan", "bare", "none"].map((name) => interfaces.byName(name)), [1, 2, 3, 0]);
  assertEquals([1, 2, 3].map((i) => interfaces.mtu(i)), [1500, 1280, 9000]);
  assertEquals([1, 2, 3].map((i) => interfaces.isUp(i)), [true, true, false]);
  assertEquals(interfaces.name(2), "wan");
});

Deno.test("Interfaces knows its own addresses", () => {
  for (const own of ["192.0.2.1", "192.0.2.9", "10.0.0.1", "198.51.100.1"]) {
    assertEquals(interfaces.isLocal(words(own), 0, 4), true, own);
  }
  for (const other of ["192.0.2.2", "0.0.0.0", "255.255.255.255"]) {
    assertEquals(interfaces.isLocal(words(other), 0, 4), false, other);
  }
  assertEquals(interfaces.isLocal(words("2001:db8:1::1"), 0, 6, 2), true);
  assertEquals(interfaces.isLocal(words("2001:db8:1::2"), 0, 6), false);
  // An IPv4 address is not the IPv6 address of the same words.
  assertEquals(interfaces.isLocal(words("192.0.2.1"), 0, 6), false);
});

Deno.test("Interfaces keeps link-local addresses to their interface", () => {
  assertEquals(interfaces.isLocal(words("fe80::2"), 0, 6, 2), true);
  assertEquals(interfaces.isLocal(words("fe80::2"), 0, 6, 1), false);
  assertEquals(interfaces.isLocal(words("fe80::2"), 0, 6), true);
  assertEquals(interfaces.isLocal(words("fe80::1"), 0, 6, 1), true);
  assertEquals(interfaces.isLocal(words("fe80::1"), 0, 6, 2), true);
});

Deno.test("Interfaces says whose an address is", () => {
  const two = new Interfaces([
    { name: "lan", mtu: 1500, addresses: ["192.0.2.1/24"] },
    { name: "wan", mtu: 1500, addresses: ["198.51.100.1/24", "fe80::2/64"] },
  ]);
  const cases: [of: Interfaces, address: string, iface: number][] = [
    [two, "fe80::2", 2],
    [two, "fe80::1", 0],
    [interfaces, "fe80::1", 1], // the first that has it
    [interfaces, "fe80::2", 2],
    [interfaces, "fd00::1", 2],
    [interfaces, "fd00::2", 0],
    [interfaces, "10.0.0.1", 1],
    [interfaces, "198.51.100.1", 2],
    [interfaces, "192.0.2.255", 0],
    [interfaces, "203.0.113.1", 0],
  ];
  for (const [of, address, iface] of cases) {
    assertEquals(of.interfaceOf(words(address), 0, address.includes(":") ? 6 : 4), iface, address);
  }
});

Deno.test("Interfaces knows broadcast and anycast addresses", () => {
  const broadcast = (text: string) => interfaces.isBroadcast(words(text)[0]);
  assertEquals(broadcast("192.0.2.255"), true);
  assertEquals(broadcast("10.255.255.255"), true);
  assertEquals(broadcast("255.255.255.255"), true);
  assertEquals(broadcast("192.0.2.0"), false);
  assertEquals(broadcast("198.51.100.1"), false);
  assertEquals(interfaces.isAnycast(words("2001:db8:1::"), 0, 2), true);
  assertEquals(interfaces.isAnycast(words("2001:db8:1::1"), 0, 1), false);
  assertEquals(interfaces.isAnycast(words("fe80::"), 0, 1), true);
  assertEquals(interfaces.isAnycast(words("fe80::"), 0, 3), false);
});

Deno.test("Interfaces chooses a source towards a destination", () => {
  const cases: [iface: string, toward: string, source: string][] = [
    ["lan", "192.0.2.77", "192.0.2.1"],
    ["lan", "192.0.2.200", "192.0.2.1"], // the first that matches, not the longest
    ["lan", "10.1.2.3", "10.0.0.1"],
    ["lan", "203.0.113.1", "192.0.2.1"],
    ["wan", "203.0.113.1", "198.51.100.1"],
    ["bare", "203.0.113.1", "192.0.2.1"],
    ["lan", "2001:db8:1::5", "2001:db8:1::1"],
    ["lan", "2001:db8:9::5", "2001:db8:1::1"],
    ["wan", "2001:db8:9::5", "fd00::1"], // rule 5 before rule 6
    ["wan", "fd00::9", "fd00::1"],
    ["wan", "fe80::9", "fe80::2"],
    ["lan", "fe80::9", "fe80::1"],
    ["lan", "ff02::9", "fe80::1"],
  ];
  for (const [iface, toward, source] of cases) {
    const address = parseAddress(toward)!;
    const out = new Int32Array(4);
    const found = interfaces.selectSource(address.family, interfaces.byName(iface), address.words, 0, out, 0);
    assertEquals(found ? formatAddress(address.family, out) : null, source, `${iface} to ${toward}`);
  }
});

Deno.test("Interfaces says when there is no source", () => {
  const out = new Int32Array(4);
  assertEquals(interfaces.selectSource(6, 3, words("fe80::9"), 0, out, 0), false);
  const none = new Interfaces([{ name: "a", mtu: 1500, addresses: [] }]);
  assertEquals(none.selectSource(4, 1, words("192.0.2.1"), 0, out, 0), false);
  assertEquals(none.selectSource(6, 1, words("2001:db8::1"), 0, out, 0), false);
});

Deno.test("Interfaces refuses what is no address, and a name twice", () => {
  assertThrows(() => new Interfaces([{ name: "a", mtu: 1500, addresses: ["192.0.2.1"] }]), RangeError);
  const twice = { name: "a", mtu: 1500, addresses: [] };
  assertThrows(() => new Interfaces([twice, twice]), RangeError);
});
