import { assertEquals } from "@std/assert";
import { icmp, icmpEcho } from "../../kit/mod.ts";
import { Rig } from "../rig.ts";

const C = "192.0.2.2", S = "198.51.100.7", C6 = "2001:db8:1::2", S6 = "2001:db8:2::7";

Deno.test("I01 icmp: a request is NEW, its answer and the duplicate are ESTABLISHED, 30 s", () => {
  const rig = new Rig();
  assertEquals([rig.send(icmpEcho({ src: C, dst: S })), rig.brief()], ["NEW", "icmp 30 [UNREPLIED]"]);
  for (let i = 0; i < 2; i++) {
    assertEquals(rig.send(icmpEcho({ src: S, dst: C, reply: true })), "ESTABLISHED");
  }
  assertEquals(rig.brief(), "icmp 30");
  assertEquals(
    rig.flow(),
    "icmp     1 30 src=192.0.2.2 dst=198.51.100.7 type=8 code=0 id=1 " +
      "src=198.51.100.7 dst=192.0.2.2 type=0 code=0 id=1 mark=0 use=1",
  );
});

Deno.test("I02 icmp: an answer without a request is INVALID", () => {
  assertEquals(new Rig().send(icmpEcho({ src: S, dst: C, reply: true })), "INVALID");
});

for (const type of [8, 13, 15, 17, 0, 14, 16, 18, 9, 10, 19, 42]) {
  const state = [8, 13, 15, 17].includes(type) ? "NEW" : "INVALID";
  Deno.test(`I03 icmp: type ${type} as the first is ${state}`, () => {
    assertEquals(new Rig().send(icmp({ src: C, dst: S, type, rest: 0x00070001, payload: 12 })), state);
  });
}

Deno.test("I04 icmp: a wrong checksum and four bytes are INVALID", () => {
  const rig = new Rig();
  assertEquals(rig.send(icmpEcho({ src: C, dst: S, badChecksum: true })), "INVALID");
  assertEquals(rig.send(icmp({ src: C, dst: S, type: 8, cut: 4 })), "INVALID");
});

Deno.test("I07 icmp: after 30 s the answer has no flow", () => {
  const rig = new Rig();
  rig.send(icmpEcho({ src: C, dst: S }));
  rig.clock.advance(29_000);
  assertEquals(rig.send(icmpEcho({ src: S, dst: C, reply: true })), "ESTABLISHED");
  rig.clock.advance(30_000);
  assertEquals(rig.send(icmpEcho({ src: S, dst: C, reply: true })), "INVALID");
});

Deno.test("I08 icmpv6: echo is tracked", () => {
  const rig = new Rig();
  assertEquals(rig.send(icmpEcho({ src: C6, dst: S6 })), "NEW");
  assertEquals(rig.send(icmpEcho({ src: S6, dst: C6, reply: true })), "ESTABLISHED");
  assertEquals(
    rig.flow(),
    "icmpv6   58 30 src=2001:db8:1::2 dst=2001:db8:2::7 type=128 code=0 id=1 " +
      "src=2001:db8:2::7 dst=2001:db8:1::2 type=129 code=0 id=1 mark=0 use=1",
  );
});

for (const type of [130, 131, 132, 133, 134, 135, 136, 143, 151, 152]) {
  Deno.test(`I08 icmpv6: type ${type} is never tracked`, () => {
    const rig = new Rig();
    assertEquals(rig.send(icmp({ src: C6, dst: S6, type, payload: 16, ttl: 255 })), "UNTRACKED");
    assertEquals(rig.flows(), []);
  });
}

for (const type of [129, 137, 140, 141, 200]) {
  Deno.test(`I08 icmpv6: type ${type} as the first is INVALID`, () => {
    assertEquals(new Rig().send(icmp({ src: C6, dst: S6, type, payload: 16 })), "INVALID");
  });
}
