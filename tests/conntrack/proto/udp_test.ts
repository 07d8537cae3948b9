import { assertEquals } from "@std/assert";
import { udp, udplite, type UdpOptions } from "../../kit/mod.ts";
import { Rig } from "../rig.ts";

const C = "192.0.2.2", S = "198.51.100.7";
const query = (o: Partial<UdpOptions> = {}) =>
  udp({ src: C, sport: 4000, dst: S, dport: 53, payload: 20, ...o });
const answer = (o: Partial<UdpOptions> = {}) =>
  udp({ src: S, sport: 53, dst: C, dport: 4000, payload: 60, ...o });

Deno.test("U01 udp: a flow is a stream after 2 s of traffic both ways, not before", () => {
  const rig = new Rig();
  rig.wait(5000);
  assertEquals([rig.send(query()), rig.brief()], ["NEW", "udp 30 [UNREPLIED]"]);
  assertEquals([rig.send(answer()), rig.brief()], ["ESTABLISHED", "udp 30"]);
  rig.clock.advance(2000);
  assertEquals([rig.send(query()), rig.brief()], ["ESTABLISHED", "udp 30"]);
  rig.clock.advance(1);
  assertEquals([rig.send(query()), rig.brief()], ["ESTABLISHED", "udp 120 [ASSURED]"]);
});

Deno.test("U02 udp: one way only stays NEW", () => {
  const rig = new Rig();
  for (let i = 0; i < 3; i++) {
    rig.wait(2200);
    assertEquals([rig.send(query()), rig.brief()], ["NEW", "udp 30 [UNREPLIED]"]);
  }
});

const STATES: [string, string, Partial<UdpOptions>, string][] = [
  ["U03", "a checksum of 0 is none", { checksum: 0 }, "NEW"],
  ["U04", "a wrong checksum", { badChecksum: true }, "INVALID"],
  ["U05", "a length beyond the packet", { udpLength: 200 }, "INVALID"],
  ["U05", "a length of 4", { udpLength: 4 }, "INVALID"],
  ["U05", "a header of 4 bytes", { cut: 4 }, "INVALID"],
  ["U05", "a header of 3 bytes", { cut: 3 }, "INVALID"],
  ["U09", "source port 0", { sport: 0 }, "NEW"],
];
for (const [id, says, o, state] of STATES) {
  Deno.test(`${id} udp: ${says} is ${state}`, () => {
    const rig = new Rig();
    assertEquals(rig.send(query(o)), state);
    assertEquals(rig.flows().length, state === "NEW" ? 1 : 0);
  });
}

Deno.test("U08 udp: answers from another port or host are not the flow's", () => {
  const rig = new Rig();
  rig.send(query());
  assertEquals(rig.send(answer({ sport: 54 })), "NEW");
  assertEquals(rig.send(answer({ src: "198.51.100.8" })), "NEW");
  assertEquals(rig.send(answer()), "ESTABLISHED");
});

Deno.test("U10 udp: after its time the flow is new", () => {
  const rig = new Rig({ sysctl: { udp_timeout: 2 } });
  rig.send(query());
  rig.clock.advance(1999);
  assertEquals(rig.brief(), "udp 0 [UNREPLIED]");
  rig.clock.advance(1);
  assertEquals(rig.flows(), [], "an expired flow is not listed");
  assertEquals(rig.send(query()), "NEW");
  assertEquals(rig.conntrack.flows.count, 1, "the lookup has collected the old one");
});

// Linux verifies UDP-Lite with UDP's number in the pseudo header, so that no right packet passes; hence checksum=0.
Deno.test("S09 udplite: ports count, and the first answer makes it ASSURED", () => {
  const rig = new Rig({ sysctl: { checksum: 0 } });
  const o = { src: C, sport: 4000, dst: S, dport: 53, payload: 20 };
  assertEquals([rig.send(udplite(o)), rig.brief()], ["NEW", "udplite 30 [UNREPLIED]"]);
  assertEquals(rig.send(udplite({ ...o, dport: 54 })), "NEW");
  rig.send(udplite({ src: S, sport: 53, dst: C, dport: 4000, payload: 20, coverage: 8 }));
  rig.send(udplite(o));
  assertEquals(rig.flows().filter((l) => l.includes("[ASSURED]")).length, 1);
  for (const bad of [{ checksum: 0 }, { coverage: 4 }, { coverage: 100 }]) {
    assertEquals(rig.send(udplite({ ...o, ...bad })), "INVALID", JSON.stringify(bad));
  }
});
