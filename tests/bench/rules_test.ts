/** The rules under the benchmark are what they claim to be. */
import { assertEquals } from "@std/assert";
import { defineRouter } from "../../src/config/define.ts";
import { validate } from "../../src/config/validate.ts";
import { ftp } from "../../src/helpers/mod.ts";
import { udp } from "../kit/mod.ts";
import { VirtualRouter } from "../../src/replay/virtual.ts";
import { FAR, RAW, WAN_GATE } from "./addresses.ts";
import { rules } from "./rules.ts";

Deno.test("rules lets all flows of the generators pass, whatever stands before the last rules", () => {
  const config = validate(defineRouter({
    interfaces: { lan: { addresses: ["192.0.2.1/24"] }, wan: { addresses: [`${WAN_GATE}/24`] } },
    routes: [{ destination: "203.0.113.0/24", interface: "wan", via: "198.51.100.2" }],
    iptables: rules(10_000),
    helpers: [ftp({ autoAssign: false })],
  }));
  let out = 0;
  const router = new VirtualRouter(config, { emit: () => out++ });
  const ports = [1024, 1100, 4099, 5000, 30000, 61023];
  for (const sport of ports) {
    router.receive(1, udp({ src: RAW, sport, dst: FAR, dport: 5000 }));
    router.receive(2, udp({ src: FAR, sport: 5000, dst: WAN_GATE, dport: sport }));
  }
  assertEquals(out, 2 * ports.length);
});
