import { assert, assertEquals } from "@std/assert";
import { MappedArena } from "../../src/arena.ts";
import { Xoshiro } from "../../src/clock.ts";
import type { Family } from "../../src/netfilter.ts";
import { parseAddress } from "../../src/packet/address.ts";
import { Fib, Interfaces, PathMtus } from "../../src/routing/mod.ts";
import { Sysctl } from "../../src/sysctl.ts";
import { INTERFACES, ROUTES } from "./setup.ts";

const WAN = 2, NARROW = 3, MINUTES = 60_000;

/** The path MTUs of a router, asked in words. */
class Asked {
  readonly clock = { now: 0, wall: 0 };
  readonly pathMtus: PathMtus;

  constructor(values: Record<string, number> = {}, arena = new MappedArena(new ArrayBuffer(1 << 20), true)) {
    const interfaces = new Interfaces(INTERFACES), random = new Xoshiro(1);
    new Fib(interfaces, ROUTES);
    this.pathMtus = new PathMtus({
      interfaces,
      sysctl: new Sysctl(values),
      clock: this.clock,
      random,
      arena,
    });
  }

  learn(address: string, mtu: number, iface = WAN): void {
    const { family, words } = parseAddress(address)!;
    this.pathMtus.learn(family, words, 0, iface, mtu);
  }

  to(address: string): number {
    const { family, words } = parseAddress(address)!;
    return this.pathMtus.to(family, words, 0);
  }

  heeds(family: Family): boolean {
    return this.pathMtus.heeded[family] === (family === 4 ? 552 : 1280);
  }

  forwarded(address: string, iface = WAN): number {
    const { family, words } = parseAddress(address)!;
    return this.pathMtus.forwardedTo(family, words, 0, iface);
  }
}

const HOST = "203.0.113.7", HOST6 = "2001:db8:3::7";

Deno.test("PathMtus believes only less, in IPv4 no less than min_pmtu, in IPv6 not below 1280", () => {
  const cases: [host: string, said: number[], known: number][] = [
    [HOST, [1600], 1500],
    [HOST, [1400, 1450], 1400],
    [HOST, [1400, 700, 1000], 700],
    [HOST, [0], 552],
    [HOST, [500, 400, 600], 552],
    [HOST6, [1500], 1500],
    [HOST6, [1400, 1300, 1350], 1300],
    [HOST6, [1279], 1500],
    [HOST6, [1280, 0], 1280],
  ];
  for (const [host, said, known] of cases) {
    const asked = new Asked();
    for (const mtu of said) asked.learn(host, mtu);
    assertEquals(asked.to(host), known, `${host} ${said}`);
  }
});

Deno.test("PathMtus knows an exception by address, family and interface", () => {
  const asked = new Asked();
  asked.learn(HOST, 1000);
  asked.learn(HOST6, 1300);
  asked.learn("203.0.113.9", 900, NARROW);
  assertEquals(
    [HOST, "203.0.113.8", "203.0.113.9", HOST6, "2001:db8:3::8"].map((host) => asked.to(host)),
    [1000, 1500, 1500, 1300, 1500],
  );
  // The link itself may be narrower.
  asked.learn("198.18.0.7", 1400, NARROW);
  assertEquals([asked.to("198.18.0.7"), asked.to("192.0.2.1"), asked.to("100.64.9.9")], [1280, 65536, 65536]);
});

Deno.test("PathMtus lets forwarded IPv4 packets be long unless the exception is locked", () => {
  const asked = new Asked(), using = new Asked({ "net.ipv4.ip_forward_use_pmtu": 1 });
  assertEquals([asked.heeds(4), asked.heeds(6)], [false, false]);
  for (const one of [asked, using]) one.learn(HOST, 1000);
  assertEquals([asked.heeds(4), using.heeds(4)], [false, true]);
  assertEquals([asked.forwarded(HOST), using.forwarded(HOST)], [1500, 1000]);
  for (const one of [asked, using]) one.learn(HOST, 400);
  assertEquals([asked.forwarded(HOST), using.forwarded(HOST)], [552, 552]);
  assertEquals([asked.forwarded("203.0.113.8"), asked.heeds(6)], [1500, false]);
  asked.learn(HOST6, 1300);
  assertEquals([asked.forwarded(HOST6), asked.heeds(6)], [1300, true]);
});

Deno.test("PathMtus forgets after ten minutes; IPv4 is prolonged when half of them have passed, IPv6 never", () => {
  const asked = new Asked(), known = () => [asked.to(HOST), asked.to(HOST6)];
  asked.clock.now = 0x7fffffff - 3 * MINUTES; // the clock comes round on the way
  const pass = (milliseconds: number) => asked.clock.now = (asked.clock.now + milliseconds) | 0;
  const said = () => (asked.learn(HOST, 1000), asked.learn(HOST6, 1300));
  said();
  pass(4 * MINUTES);
  said();
  pass(6 * MINUTES - 1);
  assertEquals(known(), [1000, 1300]);
  said();
  pass(1);
  assertEquals(known(), [1000, 1500]);
  pass(10 * MINUTES - 2);
  assertEquals(known(), [1000, 1500]);
  pass(1);
  assertEquals(known(), [1500, 1500]);
  assertEquals(asked.heeds(6), false);
  said();
  assertEquals(known(), [1000, 1300]);
});

Deno.test("PathMtus does not find what has ended again when the clock has come round", () => {
  const asked = new Asked();
  asked.learn(HOST6, 1300);
  for (let day = 1; day <= 60; day++) {
    asked.clock.now = (asked.clock.now + 24 * 60 * MINUTES) | 0;
    asked.learn("2001:db8:3::8", 1400); // there is always one
    assertEquals([asked.to(HOST6), asked.to("2001:db8:3::8")], [1500, 1400], `day ${day}`);
  }
});

Deno.test("PathMtus remembers thousands, in memory that does not grow, and whoever comes last", () => {
  const asked = new Asked(), hosts: string[] = [];
  for (let i = 0; i < 20_000; i++) {
    const host = i % 2 === 0 ? `203.0.113.${i >> 1 & 255}` : `2001:db8:3::${i.toString(16)}`;
    hosts.push(host);
    asked.clock.now = i;
    asked.learn(host, 1300);
    assertEquals(asked.to(host), 1300, host);
  }
  const kept = new Set(hosts.filter((host) => asked.to(host) === 1300)).size;
  assert(kept > 3000 && kept <= 4096, `${kept}`);
});

Deno.test("PathMtus of several data planes are one", () => {
  const memory = new ArrayBuffer(1 << 20);
  const one = new Asked({}, new MappedArena(memory, true)),
    other = new Asked({}, new MappedArena(memory, false));
  one.learn(HOST6, 1300);
  other.learn(HOST, 1000);
  assertEquals([other.to(HOST6), one.to(HOST)], [1300, 1000]);
  assert(other.heeds(6));
});
