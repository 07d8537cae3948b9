/**
 * Unit tests of rules: the gateway beside this file, asked about packets without a device or a network.
 * Run them with `deno test -A examples/rules_test.ts`; a test that fails prints the packet's whole way.
 *
 * ```
 *   "tcp 192.0.2.2:1000 > …"        ┌─────────────────┐        out[0] "IPv4 198.51.100.1:1000 > …"
 *  ────────────────────────▶ lan ───┤   gateway.ts    ├─── wan ────────────────────────▶
 *                                   │ in memory, with │
 *                                   │ a virtual clock │        verdict, reason, explanation
 *                                   └─────────────────┘
 * ```
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { testRouter } from "weir/testing";
import gateway from "./gateway.ts";

const CLIENT = "192.0.2.2", SERVER = "198.51.100.2", OUTER = "198.51.100.1";

Deno.test("who is inside reaches the outside, and is seen as the router", () => {
  const { verdict, out, explanation } = testRouter(gateway).send(
    "lan",
    `tcp ${CLIENT}:1000 > ${SERVER}:8080 syn`,
  );
  assertEquals(verdict, "ACCEPT", explanation);
  assertEquals(out.map(({ interface: name, packet }) => [name, packet]), [
    ["wan", `IPv4 ${OUTER}:1000 > ${SERVER}:8080 TCP SYN seq 1 win 64240 len 0`],
  ]);
});

/** What comes from outside, and what becomes of it. */
const FROM_OUTSIDE = [
  [`tcp ${SERVER}:1000 > ${CLIENT}:80 syn`, "ACCEPT"],
  [`tcp ${SERVER}:1000 > ${CLIENT}:22 syn`, "DROP"],
  [`udp ${SERVER}:1000 > ${CLIENT}:53`, "DROP"],
  [`icmp ${SERVER} > ${CLIENT} echo-request`, "ACCEPT"],
  [`icmp ${SERVER} > ${CLIENT} timestamp-request`, "DROP"],
  ["icmp 2001:db8:2::2 > 2001:db8:1::2 echo-request", "ACCEPT"],
] as const;

for (const [packet, expected] of FROM_OUTSIDE) {
  Deno.test(`from outside, ${packet}: ${expected}`, () => {
    const { verdict, explanation } = testRouter(gateway).send("wan", packet);
    assertEquals(verdict, expected, explanation);
  });
}

Deno.test("an answer comes in as long as its flow lives, and not a moment longer", () => {
  const router = testRouter(gateway);
  const answer = `udp ${SERVER}:53 > ${OUTER}:1000`;
  router.send("lan", `udp ${CLIENT}:1000 > ${SERVER}:53`);
  router.wait(29);
  assertEquals(router.send("wan", answer).out[0].interface, "lan");
  router.wait(31); // nf_conntrack_udp_timeout is 30 s
  assertEquals(router.send("wan", answer).out.map(({ answer }) => answer), [true]); // the router's own: port unreachable
});

Deno.test("active FTP: the server may come where the client has said, and nowhere else", () => {
  const router = testRouter(gateway);
  const client = `tcp ${CLIENT}:4000 > ${SERVER}:21`;
  router.send("lan", `${client} syn seq 1`);
  router.send("wan", `tcp ${SERVER}:21 > ${OUTER}:4000 syn,ack seq 1 ack 2`);
  router.send("lan", `${client} ack seq 2 ack 2`);
  router.send("lan", `${client} psh,ack seq 2 ack 2 "USER x\\r\\n"`);
  const port = router.send("lan", `${client} psh,ack seq 10 ack 2 "PORT 192,0,2,2,78,32\\r\\n"`);
  assertMatch(new TextDecoder().decode(port.out[0].bytes), /PORT 198,51,100,1,78,32\r\n$/);

  const data = router.send("wan", `tcp ${SERVER}:20 > ${OUTER}:20000 syn`);
  assertEquals([data.verdict, data.out[0]?.interface], ["ACCEPT", "lan"], data.explanation);
  assertMatch(
    data.explanation,
    /RELATED, helper ftp of tcp 192\.0\.2\.2:4000 → 198\.51\.100\.2:21 has announced it/,
  );
  const other = router.send("wan", `tcp ${SERVER}:20 > ${OUTER}:20001 syn`);
  assertEquals(other.out.map(({ answer }) => answer), [true], other.explanation);
});

Deno.test("every IPv4 rule of the gateway is needed by one of these packets", () => {
  const router = testRouter(gateway);
  router.send("wan", `tcp ${SERVER}:1000 > ${CLIENT}:80 syn`);
  router.send("lan", `tcp ${CLIENT}:80 > ${SERVER}:1000 syn,ack ack 2`);
  router.send("lan", `udp ${CLIENT}:1000 > ${SERVER}:53`);
  router.send("wan", `udp ${SERVER}:53 > ${OUTER}:1000`);
  router.send("wan", `icmp ${SERVER} > ${CLIENT} echo-request`);
  assertEquals(router.unused.filter((rule) => !rule.includes("ipv6")), []);
});
