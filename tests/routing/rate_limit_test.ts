import { assertEquals } from "@std/assert";
import { GlobalLimit, TargetLimit } from "../../src/routing/rate_limit.ts";
import { fromHex, INTERFACES, ROUTES, TestRouter } from "./setup.ts";

/** Sends a packet `count` times, `gap` milliseconds apart; a 1 for each that was answered. */
function pattern(router: TestRouter, packet: (i: number) => string, count: number, gap: number): string {
  let answers = "";
  for (let i = 0; i < count; i++) {
    answers += router.send("lan", fromHex(packet(i))) === null ? "0" : "1";
    router.clock.now += gap;
  }
  return answers;
}

// UDP from 192.0.2.2 with TTL 1 to 198.51.100.2, and with TTL 64 to 172.16.9.9, which has no route.
const EXPIRED = () => "4500001c123400000111bb65c0000202c63364029c400009000836be";
const NO_ROUTE = () => "4500001c123400004011f181c0000202ac1009099c4000090008ab13";
const EXPIRED6 = () =>
  "60000000000811012001" + "0db8000100000000000000000002" +
  "20010db80002000000000000000000029c40000900080000";

/** The same packet from another host; the header checksum follows the last byte of the address. */
function from(packet: string, host: number): string {
  const checksum = parseInt(packet.slice(20, 24), 16) - (host - 2);
  return packet.slice(0, 20) + checksum.toString(16) + packet.slice(24, 30) +
    host.toString(16).padStart(2, "0") + packet.slice(32);
}

Deno.test("TargetLimit lets six errors to one host through, then one a second, as Linux", () => {
  const router = new TestRouter(INTERFACES, ROUTES);
  assertEquals(pattern(router, EXPIRED, 20, 0), "11111100000000000000");
  router.clock.now += 1050;
  assertEquals(pattern(router, EXPIRED, 4, 0), "1000");
});

Deno.test("TargetLimit takes double for packets without route, as Linux", () => {
  const router = new TestRouter(INTERFACES, ROUTES);
  assertEquals(pattern(router, NO_ROUTE, 20, 0), "11000000000000000000");
  router.clock.now += 1050;
  assertEquals(pattern(router, NO_ROUTE, 4, 0), "0000");
  router.clock.now += 1050;
  assertEquals(pattern(router, NO_ROUTE, 4, 0), "0000");
  router.clock.now += 2050;
  assertEquals(pattern(router, NO_ROUTE, 4, 0), "1000");
  // Whoever goes on sending every half second is never answered again.
  assertEquals(pattern(router, () => from(NO_ROUTE(), 9), 16, 500), "1110000000000000");
});

Deno.test("TargetLimit counts every host for itself", () => {
  const router = new TestRouter(INTERFACES, ROUTES);
  assertEquals(pattern(router, EXPIRED, 7, 0), "1111110");
  assertEquals(pattern(router, () => from(EXPIRED(), 3), 7, 0), "1111110");
});

Deno.test("TargetLimit has ICMPv6's own interval", () => {
  const router = new TestRouter(INTERFACES, ROUTES, { "net.ipv6.icmp.ratelimit": 100 });
  assertEquals(pattern(router, EXPIRED6, 20, 0), "11111100000000000000");
  router.clock.now += 105;
  assertEquals(pattern(router, EXPIRED6, 5, 0), "10000");
  router.clock.now += 250;
  assertEquals(pattern(router, EXPIRED6, 5, 0), "11000");
});

Deno.test("TargetLimit does not limit anything at interval 0", () => {
  const router = new TestRouter(INTERFACES, ROUTES, {
    "net.ipv4.icmp_ratelimit": 0,
    "net.ipv4.icmp_msgs_burst": 1000,
  });
  assertEquals(pattern(router, EXPIRED, 40, 0), "1".repeat(40));
});

Deno.test("TargetLimit survives a clock that wraps", () => {
  const router = new TestRouter(INTERFACES, ROUTES);
  router.clock.now = 0x7fffff00;
  assertEquals(pattern(router, EXPIRED, 7, 0), "1111110");
  router.clock.now = (0x7fffff00 + 1000) | 0;
  assertEquals(pattern(router, EXPIRED, 2, 0), "10");
});

Deno.test("TargetLimit forgets the host that was silent longest", () => {
  const clock = { now: 0, wall: 0 };
  const limit = new TargetLimit(clock);
  const words = new Int32Array(4);
  for (let i = 0; i < 20000; i++) {
    clock.now += 1;
    words[0] = i;
    assertEquals(limit.allow(words, 0, 4, 1000), true);
  }
});

Deno.test("GlobalLimit lets one burst through to however many hosts, and fills up again", () => {
  const router = new TestRouter(INTERFACES, ROUTES);
  assertEquals(
    pattern(router, (i) => from(EXPIRED(), 3 + i), 60, 0),
    "1".repeat(50) + "0".repeat(10),
  );
  router.clock.now += 30;
  assertEquals(pattern(router, (i) => from(EXPIRED(), 100 + i), 40, 0), "1".repeat(30) + "0".repeat(10));
});

Deno.test("GlobalLimit is silent at 0 messages per second", () => {
  const clock = { now: 0, wall: 0 };
  assertEquals(new GlobalLimit(clock, 0, 50).allow(), false);
});

Deno.test("limits do not touch path MTU discovery and echo", () => {
  const router = new TestRouter(INTERFACES, ROUTES);
  // 1400 bytes with DF towards the interface of MTU 1280.
  const big = () => "45000594123440004011" + "9b0e" + "c0000202c61200029c40000905800000{1400}";
  assertEquals(pattern(router, big, 40, 0), "1".repeat(40));
  const echo = () => "4500001c123400004001e4a9c0000202c00002010800f7fc00010002";
  assertEquals(pattern(router, echo, 40, 0), "1".repeat(40));
});
