import { assertEquals } from "@std/assert";
import { gre, ip } from "../../kit/mod.ts";
import { Rig } from "../rig.ts";

const C = "192.0.2.2", S = "198.51.100.7";

for (
  const [protocol, line] of [[50, "unknown  50 600"], [51, "unknown  51 600"], [
    253,
    "unknown  253 600",
  ]] as const
) {
  Deno.test(`S07 generic: protocol ${protocol} is a flow of its addresses`, () => {
    const rig = new Rig();
    assertEquals(rig.send(ip({ src: C, dst: S, protocol, payload: 30 })), "NEW");
    assertEquals(
      rig.flow(),
      `${line} src=192.0.2.2 dst=198.51.100.7 [UNREPLIED] src=198.51.100.7 dst=192.0.2.2 mark=0 use=1`,
    );
    assertEquals(rig.send(ip({ src: S, dst: C, protocol, payload: 3 })), "ESTABLISHED");
  });
}

Deno.test("S07 gre: version 0 goes by addresses, 30 s, then 180 s and ASSURED", () => {
  const rig = new Rig();
  assertEquals([rig.send(gre({ src: C, dst: S, key: 5 })), rig.brief()], ["NEW", "gre 30 [UNREPLIED]"]);
  assertEquals(rig.send(gre({ src: S, dst: C, key: 6 })), "ESTABLISHED");
  assertEquals([rig.send(gre({ src: C, dst: S })), rig.brief()], ["ESTABLISHED", "gre 180 [ASSURED]"]);
});

Deno.test("S07 gre: version 1 goes by its call id", () => {
  const rig = new Rig();
  rig.send(gre({ src: C, dst: S, pptp: { callId: 0x1a2b } }));
  assertEquals(
    rig.flow(),
    "gre      47 30 src=192.0.2.2 dst=198.51.100.7 srckey=0x0 dstkey=0x1a2b [UNREPLIED] " +
      "src=198.51.100.7 dst=192.0.2.2 srckey=0x1a2b dstkey=0x0 mark=0 use=1",
  );
});

Deno.test("generic: an IPv6 packet that ends in no next header is INVALID", () => {
  assertEquals(new Rig().send(ip({ src: "2001:db8:1::2", dst: "2001:db8:2::7", protocol: 59 })), "INVALID");
});
