/** Random conversations through random rules: three data planes of one router, packet by packet beside one alone. */
import { assertEquals, assertGreater } from "@std/assert";
import { ConfigError } from "../../src/config/validate.ts";
import { Chance } from "./chance.ts";
import { handed, scenarioOf } from "./lockstep.ts";
import { makePlan } from "./plan.ts";
import { Hosts } from "./steps.ts";
import { WeirSide } from "./weir.ts";

const SCENARIOS = 30, PACKETS = 600;
/** Milliseconds between packets, and now and then. */
const PACE = 3, PAUSE = 40_000;

Deno.test("fuzz: three data planes and one alone end alike", () => {
  let packets = 0;
  for (let seed = 1; seed <= SCENARIOS; seed++) {
    const plan = makePlan({ seed, packets: PACKETS, valid: seed % 2 === 0 }), chance = new Chance(seed);
    // Now and then everything is said three times, so that each plane meets flows that it has met before.
    const steps = seed % 3 === 0 ? plan.steps.flatMap((step) => [step, step, step]) : plan.steps;
    const scenario = scenarioOf(plan);
    let alone: WeirSide, together: WeirSide;
    try {
      alone = new WeirSide(scenario, seed);
      together = new WeirSide(scenario, seed, 3);
    } catch (error) {
      if (error instanceof ConfigError) continue; // rules that Weir does not have
      throw error;
    }
    const hosts = new Hosts();
    let now = 1_700_000_000_000;
    for (const [i, step] of steps.entries()) {
      const { iface, bytes } = hosts.send(step);
      if (bytes.length === 0) continue;
      now += chance.is(0.01) ? PAUSE : PACE;
      const packet = handed(plan, step, bytes);
      const sent = alone.packet(iface, packet.bytes, now, packet.vnet);
      assertEquals(together.packet(iface, packet.bytes, now, packet.vnet), sent, `seed ${seed}, step ${i}`);
      for (const s of sent) hosts.receive(step, bytes, s.iface, s.bytes);
      packets++;
    }
    assertEquals(together.dump(), alone.dump(), `seed ${seed}`);
  }
  assertGreater(packets, SCENARIOS * PACKETS / 2);
});
