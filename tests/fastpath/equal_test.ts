/**
 * The fast path gives the long way's answers: the same packets through two routers that differ in `weir.fastpath`
 * alone, and everything compared that can be seen of them.
 *
 * `deno test -A tests/fastpath/equal_test.ts -- --seeds 500` asks more.
 */
import { assert, assertEquals } from "@std/assert";
import { below, type Clock, Xoshiro } from "../../src/clock.ts";
import { saveRules } from "../../src/config/iptables_save.ts";
import { ConfigError, type ValidConfig } from "../../src/config/validate.ts";
import { listExpects, listFlows } from "../../src/conntrack/format.ts";
import { Memory } from "../../src/memory.ts";
import { geometryOf } from "../../src/geometry.ts";
import { Router } from "../../src/router.ts";
import { scenarioOf } from "../fuzz/lockstep.ts";
import { makePlan, type Plan } from "../fuzz/plan.ts";
import { Hosts } from "../fuzz/steps.ts";
import { configure } from "../fuzz/weir.ts";
import { show } from "../kit/show.ts";
import { CASES } from "../oracle/cases/mod.ts";
import { RANDOM_KINDS, randomScenario } from "../oracle/random.ts";
import type { Scenario } from "../oracle/scenario.ts";
import { askWeir } from "../oracle/weir.ts";
import { parted } from "./twins.ts";

const at = Deno.args.indexOf("--seeds"), SEEDS = at < 0 ? 12 : Number(Deno.args[at + 1]);

function withFastpath(scenario: Scenario, fastpath: number): Scenario {
  return { ...scenario, sysctl: { ...scenario.sysctl, "weir.fastpath": fastpath } };
}

Deno.test("FastPath answers every case as the long way does", () => {
  for (const { id, scenario } of CASES) {
    assertEquals(parted(askWeir(withFastpath(scenario, 1)), askWeir(withFastpath(scenario, 0))), [], id);
  }
});

for (const kind of Object.keys(RANDOM_KINDS)) {
  Deno.test(`FastPath answers random ${kind} as the long way does`, () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const scenario = randomScenario(kind, seed);
      assertEquals(
        parted(askWeir(withFastpath(scenario, 1)), askWeir(withFastpath(scenario, 0))),
        [],
        `seed ${seed}`,
      );
    }
  });
}

/** One of the two routers. */
class Side {
  readonly hosts = new Hosts();
  readonly router: Router;
  readonly clock: Clock = { now: 0, wall: 1_700_000_000 };
  out: { iface: string; bytes: Uint8Array<ArrayBuffer> }[] = [];
  readonly #config: ValidConfig;
  readonly #memory: Memory;
  readonly #names: readonly string[];

  constructor(scenario: Scenario, fastpath: number) {
    this.#config = configure(withFastpath(scenario, fastpath));
    this.#names = Object.keys(scenario.interfaces);
    const geometry = geometryOf(this.#config);
    this.#memory = Memory.create(new ArrayBuffer(Memory.bytes(geometry)), geometry);
    this.router = new Router({
      config: this.#config,
      clock: this.clock,
      random: new Xoshiro(1),
      memory: this.#memory,
      emit: (iface, p) => this.out.push({ iface: this.#names[iface - 1], bytes: p.bytes.slice(0, p.length) }),
      log: () => {},
      batches: true,
    });
  }

  packet(iface: string, bytes: Uint8Array, seconds: number): void {
    const { clock, router } = this, p = router.packet, index = this.#names.indexOf(iface) + 1;
    clock.wall += seconds;
    clock.now = Math.floor(clock.wall * 1000) | 0;
    router.sweep();
    this.out = [];
    p.bytes.set(bytes);
    p.reset(index, bytes.length);
    router.receive(p, index);
  }

  /** All that is left behind. */
  get state() {
    this.router.sweep();
    const { ipv4, ipv6 } = this.#config.rules,
      counters = this.#memory.generation.rules,
      { conntrack } = this.router;
    return {
      conntrack: listFlows(conntrack),
      expect: listExpects(conntrack),
      stats: [...conntrack.stats],
      iptables: saveRules(ipv4, { counters }),
      ip6tables: saveRules(ipv6, { counters }),
      drops: [...this.#memory.drops],
    };
  }
}

/** A plan through both; how many packets there were, and how many took the fast path. */
function compare(plan: Plan, name: string): { packets: number; taken: number } {
  const scenario = scenarioOf(plan);
  let fast: Side, long: Side;
  try {
    fast = new Side(scenario, 1);
    long = new Side(scenario, 0);
  } catch (error) {
    if (error instanceof ConfigError) return { packets: 0, taken: 0 };
    throw error;
  }
  let packets = 0;
  const chance = new Xoshiro(plan.steps.length);
  for (const [i, step] of plan.steps.entries()) {
    // Now and then it takes a while, and timers run out.
    const seconds = below(chance, 100) === 0 ? below(chance, 130) : 0.0003;
    for (const side of [fast, long]) {
      const { iface, bytes } = side.hosts.send(step);
      side.out = [];
      if (bytes.length === 0) continue;
      side.packet(iface, bytes, seconds);
      for (const s of side.out) side.hosts.receive(step, bytes, s.iface, s.bytes);
    }
    packets++;
    assertEquals(parted(fast.out, long.out), [], `${name}, step ${i}: ${show(step.bytes)}`);
  }
  assertEquals(parted(fast.state, long.state), [], name);
  assertEquals(long.router.fastpath, null);
  return { packets, taken: fast.router.fastpath!.taken[0] };
}

Deno.test("FastPath answers conversations as the long way does, and takes its share of them", () => {
  let packets = 0, taken = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const plan = makePlan({ seed, packets: 600, valid: seed % 2 === 0 });
    const once = compare(plan, `seed ${seed}`);
    // Everything said three times: retransmissions, and many packets of the same flows.
    const often = compare({ ...plan, steps: plan.steps.flatMap((s) => [s, s, s]) }, `seed ${seed}, thrice`);
    packets += once.packets + often.packets;
    taken += once.taken + often.taken;
  }
  assert(taken > packets / 20, `${taken} of ${packets} packets took the fast path`);
});
