/**
 * Who explains only looks on: random conversations through random rules, and the oracle's cases, through a router and
 * beside it through one that explains. All that comes out, and all that they know and have counted at the end, is alike;
 * the rules that are told to have matched are those that have counted the packet.
 */
import { assertEquals, assertGreater } from "@std/assert";
import { saveRules } from "../../src/config/iptables_save.ts";
import { listRules } from "../../src/config/rule_listing.ts";
import { ConfigError, validate, type ValidConfig } from "../../src/config/validate.ts";
import { Explainer, type Explanation, printExplanation, type Step } from "../../src/explain/mod.ts";
import { REASONS } from "../../src/netfilter.ts";
import { VirtualRouter } from "../../src/replay/virtual.ts";
import { Chance } from "../fuzz/chance.ts";
import { scenarioOf } from "../fuzz/lockstep.ts";
import { makePlan } from "../fuzz/plan.ts";
import { Hosts } from "../fuzz/steps.ts";
import { configure } from "../fuzz/weir.ts";
import { show } from "../kit/mod.ts";
import { CASES } from "../oracle/cases/mod.ts";
import { scenario as aboutSets, TYPES } from "../sets/random_sets.ts";

const SCENARIOS = 30, PACKETS = 400;
const BEGIN = 1_700_000_000_000;

interface Out {
  interface: string;
  bytes: Uint8Array;
}

/** A router and one that explains. */
class Pair {
  readonly plain: VirtualRouter;
  readonly explainer: Explainer;
  /** Counters of the rules that stand at a place: two, where it is a rule for both families. */
  readonly #slots = new Map<string, number[]>();
  #out: Out[] = [];
  packets = 0;

  constructor(config: ValidConfig) {
    this.plain = new VirtualRouter(config, {
      seed: 1,
      emit: (iface, bytes) => this.#out.push({ interface: this.plain.router.interfaces.name(iface), bytes }),
    });
    this.explainer = new Explainer(config, { seed: 1 });
    for (const { place, slot } of listRules(config.rules).flatMap((t) => t.chains.flatMap((c) => c.rules))) {
      this.#slots.set(place, [...this.#slots.get(place) ?? [], slot]);
    }
    this.wait(BEGIN, "beginning");
  }

  wait(milliseconds: number, what: string): void {
    this.#out = [];
    this.plain.moveTo(this.plain.clock.wall * 1000 + milliseconds);
    assertEquals(this.explainer.advance(milliseconds).map(out), this.#out.map(out), what);
  }

  /** Sends a packet through both: what came out. */
  send(iface: string, bytes: Uint8Array, what: string): Out[] {
    this.#out = [];
    this.packets++;
    const drops = this.plain.memory.drops.slice();
    this.plain.receive(this.plain.router.interfaces.byName(iface), bytes);
    const { rules } = this.explainer.virtual.memory.generation, before = rules.slice();
    const e = this.explainer.send(iface, bytes), matched = matches(e);
    for (const [place, slots] of this.#slots) {
      const counted = slots.reduce((sum, slot) => sum + rules[2 * slot] - before[2 * slot], 0);
      assertEquals(matched.filter((told) => told === place).length, counted, `${what}: ${place}`);
    }
    assertEquals(e.sent.map(out), this.#out.map(out), `${what}: ${show(bytes)}`);
    const died = REASONS.flatMap((name, i) =>
      Array(this.plain.memory.drops[2 * i] - drops[2 * i]).fill(name)
    );
    // The order in which a packet and its answer die is not that of their names.
    assertEquals(deaths(e).sort(), died.sort(), `${what}: ${show(bytes)}\n${printExplanation(e)}`);
    assertEquals(e.outcome === "forwarded", e.left.length > 0, what);
    return this.#out;
  }

  /** The same flows, expectations, counters. */
  alike(what: string): void {
    const { plain, explainer: { virtual } } = this, { ipv4, ipv6 } = plain.config.rules;
    assertEquals(virtual.flows(), plain.flows(), what);
    assertEquals(virtual.expects(), plain.expects(), what);
    for (const rules of [ipv4, ipv6]) {
      const saved = (of: VirtualRouter) => saveRules(rules, { counters: of.memory.generation.rules });
      assertEquals(saved(virtual), saved(plain), what);
    }
    assertEquals(virtual.memory.generation.rules, plain.memory.generation.rules, what);
    assertEquals(virtual.memory.stats, plain.memory.stats, what);
    assertEquals(virtual.drops(), plain.drops(), what);
  }
}

function out({ interface: name, bytes }: Out): string {
  return `${name} ${bytes.toHex()}`;
}

/** Places of the rules that have matched the packet and the answers to it, as the explanation tells it. */
function matches(way: Pick<Explanation, "steps">): string[] {
  return way.steps.flatMap((step) => {
    if (step.stage === "answer") return matches(step.way);
    return step.stage === "table" ? step.rules.flatMap((r) => r.matched ? [r.place] : []) : [];
  });
}

/** Why the packet and the answers to it died, as the explanation tells it. */
function deaths(e: Explanation): string[] {
  const answers = e.steps.flatMap((step: Step) => step.stage === "answer" ? [step.way] : []);
  return [e, ...answers].flatMap(({ outcome, reason }) => outcome === "dropped" ? [reason!] : []);
}

Deno.test("Explainer says of random packets what the router does with them", () => {
  let packets = 0;
  for (let seed = 1; seed <= SCENARIOS; seed++) {
    const plan = makePlan({ seed, packets: PACKETS, valid: seed % 2 === 0 }), chance = new Chance(seed);
    let pair: Pair;
    try {
      pair = new Pair(configure(scenarioOf(plan)));
    } catch (error) {
      if (error instanceof ConfigError) continue; // rules that Weir does not have
      throw error;
    }
    const hosts = new Hosts();
    for (const [i, step] of plan.steps.entries()) {
      const { iface, bytes } = hosts.send(step);
      if (bytes.length === 0) continue;
      const what = `seed ${seed}, step ${i}`;
      pair.wait(chance.is(0.01) ? 40_000 : 3, what);
      for (const o of pair.send(iface, bytes, what)) {
        hosts.receive(step, bytes, o.interface, o.bytes as Uint8Array<ArrayBuffer>);
      }
    }
    pair.alike(`seed ${seed}`);
    packets += pair.packets;
  }
  assertGreater(packets, SCENARIOS * PACKETS / 2);
});

Deno.test("Explainer says of the oracle's packets what the router does with them", () => {
  let packets = 0;
  for (const { id, scenario } of CASES) {
    // What a running router is told meanwhile is another matter.
    if (scenario.steps.some((step) => ["rules", "delete", "sysctl"].includes(step.do))) continue;
    const pair = new Pair(configure(scenario));
    const seen: { iface: string; bytes: Uint8Array; step: number }[] = [];
    for (const [i, step] of scenario.steps.entries()) {
      const what = `${id}, step ${i}`;
      if (step.do === "wait") pair.wait(step.milliseconds, what);
      if (step.do !== "packet") continue;
      const bytes = typeof step.bytes === "function" ? step.bytes(seen) : step.bytes;
      for (const o of pair.send(step.iface, bytes, what)) {
        seen.push({ iface: o.interface, bytes: o.bytes, step: i });
      }
    }
    pair.alike(id);
    packets += pair.packets;
  }
  assertGreater(packets, 1000);
});

Deno.test("Explainer says of packets that meet sets, and change them, what the router does with them", () => {
  for (const [i, type] of TYPES.entries()) {
    for (const family of type.startsWith("bitmap:") ? [4] as const : [4, 6] as const) {
      const { interfaces, ipset, iptables = "", ip6tables = "", steps } = aboutSets(
        new Chance(i),
        type,
        family,
      );
      const pair = new Pair(validate({ interfaces, ipset, iptables, ip6tables }));
      for (const [n, step] of steps.entries()) {
        if (step.do !== "packet" || typeof step.bytes === "function") continue;
        pair.wait(3, type);
        pair.send(step.iface, step.bytes, `${type}, IPv${family}, step ${n}`);
      }
      assertGreater(pair.packets, 50);
      pair.alike(`${type}, IPv${family}`);
    }
  }
});
