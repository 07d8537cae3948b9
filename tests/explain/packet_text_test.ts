import { assertEquals, assertThrows } from "@std/assert";
import { PacketTextError, parsePacket } from "../../src/explain/packet_text.ts";
import { describe } from "../../src/packet/format.ts";
import { icmp } from "../../src/matches/icmp.ts";
import { icmp6 } from "../../src/matches/icmp6.ts";
import { Packet } from "../../src/packet/packet.ts";
import { parse } from "../../src/packet/parse.ts";
import * as kit from "../kit/mod.ts";

function described(bytes: Uint8Array): string {
  const p = kit.load(new Packet(), bytes);
  assertEquals(parse(p), 0);
  return describe(p);
}

/** What is written, and the packet as `describe` prints it. */
const CASES: readonly (readonly [string, string])[] = [
  [
    "tcp 192.0.2.2:1000 > 203.0.113.9:80 syn",
    "IPv4 192.0.2.2:1000 > 203.0.113.9:80 TCP SYN seq 1 win 64240 len 0",
  ],
  [
    "tcp 192.0.2.2:1000 > 203.0.113.9:80",
    "IPv4 192.0.2.2:1000 > 203.0.113.9:80 TCP SYN seq 1 win 64240 len 0",
  ],
  [
    'tcp [2001:db8:1::2]:1000 > [2001:db8:9::9]:21 psh,ack seq 5 ack 9 win 7 "USER ftp\\r\\n"',
    "IPv6 [2001:db8:1::2]:1000 > [2001:db8:9::9]:21 TCP PSH,ACK seq 5 ack 9 win 7 len 10",
  ],
  [
    "tcp 192.0.2.2:1 > 192.0.2.3:2 seq 4294967295 ack 4294967294",
    "IPv4 192.0.2.2:1 > 192.0.2.3:2 TCP ACK seq 4294967295 ack 4294967294 win 64240 len 0",
  ],
  [
    "TCP 192.0.2.2:1 > 192.0.2.3:2 fin ack",
    "IPv4 192.0.2.2:1 > 192.0.2.3:2 TCP FIN,ACK seq 1 ack 0 win 64240 len 0",
  ],
  ["udp 192.0.2.2:1 > 192.0.2.3:2 hex:00ff payload hex:0102", "IPv4 192.0.2.2:1 > 192.0.2.3:2 UDP len 2"],
  ["udp 192.0.2.2:1 > 192.0.2.3:2 len 100", "IPv4 192.0.2.2:1 > 192.0.2.3:2 UDP len 100"],
  [
    "icmp 192.0.2.2 > 203.0.113.9 echo-request id 5",
    "IPv4 192.0.2.2 > 203.0.113.9 ICMP echo request id 5 seq 1 len 0",
  ],
  ["icmp 192.0.2.2 > 203.0.113.9", "IPv4 192.0.2.2 > 203.0.113.9 ICMP echo request id 1 seq 1 len 0"],
  [
    "icmp 2001:db8::1 > 2001:db8::2 echo-reply",
    "IPv6 2001:db8::1 > 2001:db8::2 ICMPv6 echo reply id 1 seq 1 len 0",
  ],
  [
    "icmp 192.0.2.3 > 192.0.2.2 unreachable code 3 about (udp 192.0.2.2:1 > 192.0.2.3:2)",
    "IPv4 192.0.2.3 > 192.0.2.2 ICMP unreachable code 3 len 28",
  ],
  ["icmp 192.0.2.3 > 192.0.2.2 type 30 code 1", "IPv4 192.0.2.3 > 192.0.2.2 ICMP type 30 code 1 len 0"],
  ["esp 192.0.2.3 > 192.0.2.2 len 8", "IPv4 192.0.2.3 > 192.0.2.2 ESP len 8"],
  ["192.0.2.3 > 192.0.2.2 proto 99", "IPv4 192.0.2.3 > 192.0.2.2 proto 99 len 0"],
  ["sctp 192.0.2.3:1 > 192.0.2.2:2", "IPv4 192.0.2.3:1 > 192.0.2.2:2 SCTP len 32"],
];

for (const [text, expected] of CASES) {
  Deno.test(`parsePacket reads ${text}`, () => {
    const { bytes } = parsePacket(text), shown = kit.parse(bytes);
    assertEquals(described(bytes), expected);
    assertEquals(shown.errors, []);
    assertEquals(shown.ttl, 64);
  });
}

Deno.test("parsePacket and rules know ICMP types by the same names", () => {
  const names = {
    4: ["echo-reply", "destination-unreachable", "source-quench", "redirect", "echo-request", "time-exceeded"]
      .concat(["parameter-problem", "timestamp-request", "timestamp-reply"]),
    6: ["destination-unreachable", "packet-too-big", "time-exceeded", "parameter-problem", "echo-request"]
      .concat(["echo-reply", "router-solicitation", "router-advertisement", "neighbour-solicitation"])
      .concat(["neighbour-advertisement", "redirect"]),
  };
  for (const [family, ends] of [[4, "192.0.2.3 > 192.0.2.2"], [6, "2001:db8::1 > 2001:db8::2"]] as const) {
    const { kind } = Object.values((family === 4 ? icmp : icmp6).options)[0];
    for (const name of names[family]) {
      const { type } = kind.read(name, { family } as never) as { type: number };
      const { bytes } = parsePacket(`icmp ${ends} ${name} about (udp 192.0.2.2:1 > 192.0.2.3:2)`);
      assertEquals(bytes[family === 4 ? 20 : 40], type, `IPv${family} ${name}`);
    }
  }
});

Deno.test("parsePacket reads what describe prints", () => {
  for (const [, text] of CASES) {
    // What an error quotes is not in its description, and a chunk neither.
    if (/unreachable|SCTP/.test(text)) continue;
    assertEquals(described(parsePacket(text).bytes), text);
  }
});

Deno.test("parsePacket reads bytes, and what stands in the IP header", () => {
  const bytes = kit.udp({ src: "192.0.2.2", sport: 7, dst: "192.0.2.3", dport: 8, ttl: 3, tos: 4, id: 9 });
  assertEquals(parsePacket(kit.hex(bytes)).bytes, bytes);
  const { bytes: same, mark } = parsePacket("udp 192.0.2.2:7 > 192.0.2.3:8 ttl 3 tos 4 id 9 mark 0xff");
  assertEquals([same, mark], [bytes, 255]);
  assertEquals(parsePacket("udp 192.0.2.2:7 > 192.0.2.3:8 -df").bytes[6], 0);
});

/** What is no packet, and what is said of it. */
const REFUSED: readonly (readonly [string, string])[] = [
  ["", "the source's address is missing"],
  ["tcp", "the source's address is missing"],
  ["quic 192.0.2.2:1 > 192.0.2.3:2", "quic is no protocol: tcp, udp, icmp, … or proto 99"],
  ["tcp 192.0.2.2:1", '">" is missing'],
  ["tcp 192.0.2.2:1 192.0.2.3:2", 'between the two addresses stands ">"'],
  ["tcp 192.0.2:1 > 192.0.2.3:2", "192.0.2:1 is not an address, nor an address and a port"],
  ["tcp 192.0.2.2 > 192.0.2.3:2", "192.0.2.2 has no port; write 192.0.2.2:80"],
  ["tcp 192.0.2.2:1 > 192.0.2.3:65536", "192.0.2.3:65536: a port is a number up to 65535"],
  ["icmp 192.0.2.2:1 > 192.0.2.3", "192.0.2.2:1: this protocol has no ports"],
  ["tcp 192.0.2.2:1 > [2001:db8::1]:2", "its addresses are of different families"],
  ["192.0.2.2 > 192.0.2.3", "it says no protocol: tcp, udp, icmp, …"],
  ["udp 192.0.2.2:1 > 192.0.2.3:2 ttl", "ttl is followed by a number"],
  ["udp 192.0.2.2:1 > 192.0.2.3:2 ttl 256", "ttl 256 is more than 255"],
  ['udp 192.0.2.2:1 > 192.0.2.3:2 "abc', "a quote is not closed"],
  ['udp 192.0.2.2:1 > 192.0.2.3:2 len 4 "abc"', "len 4, but the payload has 3 bytes"],
  [
    "icmp 192.0.2.3 > 192.0.2.2 unreachable",
    "an ICMP error quotes the packet that it is about; write about (udp …)",
  ],
  ["450000", "450000 is not an address, nor an address and a port"],
  ["450000280", "there is half a byte at the end"],
];

for (const [text, message] of REFUSED) {
  Deno.test(`parsePacket refuses ${JSON.stringify(text)}`, () => {
    assertEquals(assertThrows(() => parsePacket(text), PacketTextError).message, message);
  });
}
