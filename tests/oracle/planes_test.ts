/** Several data planes of one router answer as one: every case, and scenarios drawn by chance. */
import { assertEquals, assertGreater, assertLess } from "@std/assert";
import { CASES } from "./cases/mod.ts";
import { udp } from "../kit/mod.ts";
import { C, C2, LAN, NET } from "./cases/case.ts";
import { RANDOM_KINDS, randomScenario } from "./random.ts";
import { packet, type Scenario, wait } from "./scenario.ts";
import { askWeir } from "./weir.ts";

const SEEDS = 12;

function agree(scenario: Scenario, name: string): void {
  const heard = { ...scenario, listeners: [[], ["expect"]] };
  const alone = askWeir(heard), together = askWeir(heard, 3);
  assertEquals(together, alone, name);
}

Deno.test("three data planes answer every case as one", () => {
  for (const { id, scenario } of CASES) agree(scenario, id);
});

for (const kind of Object.keys(RANDOM_KINDS)) {
  Deno.test(`three data planes answer random ${kind} as one`, () => {
    for (let seed = 1; seed <= SEEDS; seed++) agree(randomScenario(kind, seed), `seed ${seed}`);
  });
}

Deno.test("three data planes keep to one limit on ICMP errors", () => {
  const steps = Array.from({ length: 60 }, (_, i) => [
    packet("lan", udp({ src: i % 3 === 0 ? C : C2, dst: LAN, sport: 1000 + i, dport: 9 })),
    wait(i % 10 === 0 ? 300 : 5),
  ]).flat();
  const sysctl = {
    "net.ipv4.icmp_ratelimit": 1000,
    "net.ipv4.icmp_ratemask": 6168,
    "net.ipv4.icmp_msgs_per_sec": 40,
    "net.ipv4.icmp_msgs_burst": 10,
  };
  const alone = askWeir({ ...NET, sysctl, steps });
  assertGreater(alone.emitted.length, 5);
  assertLess(alone.emitted.length, 40);
  agree({ ...NET, sysctl, steps }, "limits");
});
