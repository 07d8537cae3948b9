import { assertEquals } from "@std/assert";
import { validate } from "../../src/config/validate.ts";
import { geometryOf } from "../../src/geometry.ts";
import { Memory } from "../../src/memory.ts";
import { Packet } from "../../src/packet/packet.ts";
import { Router } from "../../src/router.ts";
import { load, parse, seeded, udp, VirtualClock } from "../kit/mod.ts";

Deno.test("Ipv4Options makes the header right of what a program behind the host device gets", () => {
  const config = validate({
    interfaces: { lan: { addresses: ["192.0.2.1/24"] } },
    host: { device: "weir0" },
  });
  const geometry = geometryOf(config), got: Uint8Array[] = [];
  const router = new Router({
    config,
    clock: new VirtualClock(),
    random: seeded(3),
    memory: Memory.create(new ArrayBuffer(Memory.bytes(geometry)), geometry),
    emit: () => {},
    emitHost: (p) => void got.push(p.bytes.slice(0, p.length)),
    log: () => {},
  });
  for (const ipOptions of [[7, 7, 4, 0, 0, 0, 0], [68, 8, 5, 0, 0, 0, 0, 0], []]) {
    const packet = udp({ src: "192.0.2.2", sport: 1, dst: "192.0.2.1", dport: 2, payload: 4, ipOptions });
    router.receive(load(new Packet(), packet), 1);
  }
  assertEquals(got.map((bytes) => parse(bytes).errors), [[], [], []]);
  assertEquals([...got[0].subarray(20, 28)], [7, 7, 8, 192, 0, 2, 1, 0], "the route is recorded");
});
