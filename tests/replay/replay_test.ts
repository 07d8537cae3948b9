/** `replay` as a function: a capture in, a capture out, the clock of the capture, the same bytes for the same seed. */

import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { defineRouter } from "../../src/config/define.ts";
import { validate } from "../../src/config/validate.ts";
import { PcapngError, PcapngWriter, readPcapng } from "../../src/replay/pcapng.ts";
import { replay, ReplayError } from "../../src/replay/replay.ts";
import { fragments, icmpEcho, show, tcp, udp } from "../kit/mod.ts";

const SECOND = 1_000_000_000n, START = 1_790_000_000n * SECOND;

const GATEWAY = validate(defineRouter({
  interfaces: { lan: { addresses: ["192.0.2.1/24"] }, wan: { addresses: ["198.51.100.1/24"] } },
  tables: { nat: { POSTROUTING: [{ outInterface: "wan", jump: "MASQUERADE" }] } },
}));

type Captured = readonly [iface: string, seconds: number, bytes: Uint8Array];

function capture(packets: readonly Captured[], names = ["lan", "wan"]): Uint8Array<ArrayBuffer> {
  const writer = new PcapngWriter();
  const numbers = new Map(names.map((name) => [name, writer.interface({ name })]));
  for (const [iface, seconds, bytes] of packets) {
    writer.packet(numbers.get(iface)!, START + BigInt(Math.round(seconds * 1e9)), bytes);
  }
  return writer.bytes();
}

/** What left: interface, seconds after the start, and text. */
function left(output: Uint8Array): (readonly [string, number, string])[] {
  const { interfaces, packets } = readPcapng(output);
  return packets.map((p) =>
    [interfaces[p.interface].name, Number(p.time - START) / 1e9, show(p.bytes)] as const
  );
}

const query = udp({ src: "192.0.2.2", sport: 4000, dst: "198.51.100.7", dport: 53, payload: "query" });
const answer = udp({ src: "198.51.100.7", sport: 53, dst: "198.51.100.1", dport: 4000, payload: "answer" });

Deno.test("replay sends what the router sends, at the time of its cause", () => {
  const result = replay(GATEWAY, capture([["lan", 0, query], ["wan", 0.25, answer]]));
  const out = left(result.output);
  assertEquals(out.map(([iface, time]) => [iface, time]), [["wan", 0], ["lan", 0.25]]);
  assert(out[0][2].includes("198.51.100.1"), out[0][2]);
  assert(out[1][2].includes("192.0.2.2"), out[1][2]);
  assertEquals([result.received, result.emitted], [2, 2]);
});

Deno.test("replay's clock is the capture's: a flow times out between packets and not before", () => {
  const at = (seconds: number) =>
    replay(GATEWAY, capture([["lan", 0, query], ["wan", seconds, answer]])).output;
  assertEquals(left(at(29.9)).map(([iface]) => iface), ["wan", "lan"]);
  // The answer to nobody is for Weir itself, which says so.
  assertEquals(left(at(30.1)).map(([iface]) => iface), ["wan", "wan"]);
});

Deno.test("replay's timers act between packets, at their own time", () => {
  const [first] = fragments(icmpEcho({ src: "192.0.2.2", dst: "192.0.2.1", payload: 2000, df: false }), 1000);
  const out = left(replay(GATEWAY, capture([["lan", 1, first], ["lan", 100, query]])).output);
  assertEquals(out.map(([iface, time]) => [iface, time]), [["lan", 31], ["wan", 100]]);
});

Deno.test("replay's dumps show the moment of the last packet", () => {
  const { dumps } = replay(GATEWAY, capture([["lan", 0, query], ["lan", 12, query]]));
  assertEquals(
    dumps.conntrack,
    "udp      17 30 src=192.0.2.2 dst=198.51.100.7 sport=4000 dport=53 [UNREPLIED] " +
      "src=198.51.100.7 dst=198.51.100.1 sport=53 dport=4000 mark=0 use=1\n",
  );
  assertEquals(dumps.expect, "");
  assert(dumps.iptables.includes(`[1:${query.length}] -A POSTROUTING -o wan -j MASQUERADE`), dumps.iptables);
  assert(dumps.ip6tables.includes("[0:0] -A POSTROUTING -o wan -j MASQUERADE"), dumps.ip6tables);
});

Deno.test("replay gives the same bytes for the same seed, and other ports for another", () => {
  const clash = ["192.0.2.2", "192.0.2.3"].map((src, i): Captured => [
    "lan",
    i,
    tcp({ src, sport: 5000, dst: "198.51.100.7", dport: 80, flags: "S" }),
  ]);
  const run = (seed: number) => replay(GATEWAY, capture(clash), { seed });
  const once = run(7);
  for (let i = 0; i < 100; i++) {
    const again = run(7);
    assertEquals(again.output, once.output);
    assertEquals(again.dumps, once.dumps);
  }
  assertNotEquals(run(8).output, once.output);
});

Deno.test("replay keeps the capture's interface blocks and adds those it lacks", () => {
  const { output } = replay(GATEWAY, capture([["lan", 0, query]], ["lan"]));
  assertEquals(readPcapng(output).interfaces.map((i) => i.name), ["lan", "wan"]);
  assertEquals(left(output).map(([iface]) => iface), ["wan"]);
});

Deno.test("replay survives time that runs backwards", () => {
  const out = left(
    replay(GATEWAY, capture([["lan", 5, query], ["wan", 2, answer], ["lan", 6, query]])).output,
  );
  assertEquals(out.map(([iface, time]) => [iface, time]), [["wan", 5], ["lan", 5], ["wan", 6]]);
});

Deno.test("replay refuses what it cannot replay, and says why", () => {
  const unknown = "the capture has an interface dmz, the configuration has lan, wan";
  assertThrows(() => replay(GATEWAY, capture([], ["dmz"])), ReplayError, unknown);
  const good = capture([["lan", 0, query]]);
  for (let end = 1; end < good.length; end++) {
    try {
      replay(GATEWAY, good.subarray(0, end));
    } catch (error) {
      assert(error instanceof PcapngError, String(error));
    }
  }
  const ethernet = good.slice();
  const at = ethernet.findIndex((_, i) =>
    ethernet[i] === 101 && ethernet[i + 1] === 0 && ethernet[i - 8] === 1
  );
  ethernet[at] = 1;
  assertThrows(() => replay(GATEWAY, ethernet), PcapngError, "link type 1; only 101 (raw IP)");
});
