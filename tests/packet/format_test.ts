import { assertEquals } from "@std/assert";
import { Reason } from "../../src/netfilter.ts";
import { describe } from "../../src/packet/format.ts";
import { Packet } from "../../src/packet/packet.ts";
import { parse } from "../../src/packet/parse.ts";
import * as kit from "../kit/mod.ts";

const v4 = { src: "192.0.2.2", dst: "198.51.100.7", sport: 40000, dport: 80 };
const v6 = { src: "2001:db8:1::2", dst: "2001:db8:2::7", sport: 40000, dport: 80 };

Deno.test("describe tells in one line what a packet is", () => {
  const fragments = kit.fragments(kit.udp({ ...v4, payload: 100, df: false }), 64, 9);
  const cases: readonly (readonly [Uint8Array, string])[] = [
    [
      kit.tcp({ ...v4, flags: "S", seq: 1, win: 64240 }),
      "IPv4 192.0.2.2:40000 > 198.51.100.7:80 TCP SYN seq 1 win 64240 len 0",
    ],
    [
      kit.tcp({ ...v6, flags: "PA", seq: 0xffffffff, ack: 7, win: 5, payload: "abc" }),
      "IPv6 [2001:db8:1::2]:40000 > [2001:db8:2::7]:80 TCP PSH,ACK seq 4294967295 ack 7 win 5 len 3",
    ],
    [kit.udp({ ...v4, payload: 9 }), "IPv4 192.0.2.2:40000 > 198.51.100.7:80 UDP len 9"],
    [
      kit.icmpEcho({ ...v4, echoId: 5, echoSeq: 6, payload: 8 }),
      "IPv4 192.0.2.2 > 198.51.100.7 ICMP echo request id 5 seq 6 len 8",
    ],
    [
      kit.icmpEcho({ ...v6, echoId: 5, echoSeq: 6, payload: 8 }),
      "IPv6 2001:db8:1::2 > 2001:db8:2::7 ICMPv6 echo request id 5 seq 6 len 8",
    ],
    [fragments[0], "IPv4 192.0.2.2:40000 > 198.51.100.7:80 UDP len 56 frag 9:0+"],
    [fragments[1], "IPv4 192.0.2.2 > 198.51.100.7 UDP len 44 frag 9:64"],
    [kit.ip({ ...v4, protocol: 253, payload: "x" }), "IPv4 192.0.2.2 > 198.51.100.7 proto 253 len 1"],
    [kit.ip({ ...v4, protocol: 6, payload: [1, 2] }), "IPv4 192.0.2.2 > 198.51.100.7 TCP (cut) len 2"],
  ];
  const p = new Packet();
  for (const [bytes, text] of cases) {
    assertEquals(parse(kit.load(p, bytes)), 0);
    assertEquals(describe(p), text);
  }
  p.drop(Reason["no-route"]);
  assertEquals(describe(p).endsWith("(no-route)"), true);
});
