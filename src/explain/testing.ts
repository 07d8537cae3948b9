/**
 * Unit tests of rules: a router of your configuration in memory, packets in, and what became of them. No devices, no
 * privilege, no waiting: its clock moves when the test says so.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { defineRouter } from "weir";
 * import { testRouter } from "weir/testing";
 *
 * const router = testRouter(defineRouter({
 *   interfaces: { lan: { addresses: ["192.0.2.1/24"] }, wan: { addresses: ["198.51.100.1/24"] } },
 *   tables: { filter: { FORWARD: { policy: "DROP", rules: [{ inInterface: "lan", jump: "ACCEPT" }] } } },
 * }));
 * assertEquals(router.send("lan", "tcp 192.0.2.2:1000 > 198.51.100.2:80 syn").verdict, "ACCEPT");
 *
 * const refused = router.send("wan", "tcp 198.51.100.2:1000 > 192.0.2.2:22 syn");
 * assertEquals([refused.verdict, refused.reason], ["DROP", "policy-drop"], refused.explanation);
 * ```
 *
 * @module
 */
import { type ListedRule, listRules } from "../config/rule_listing.ts";
import type { RouterConfig } from "../config/types.ts";
import { validate } from "../config/validate.ts";
import { Explainer } from "./explainer.ts";
import type { Explanation, Sent, Way } from "./explanation.ts";
import { parsePacket } from "./packet_text.ts";
import { printExplanation } from "./print.ts";

/** How to make one. */
export interface TestRouterOptions {
  /** Where chance begins: the ports that NAT chooses with `random`, say. Default 1. */
  readonly seed?: number;
  /** The moment it begins at, for rules that ask for the time; 1 January 1970 otherwise. */
  readonly at?: Date;
}

/** What became of a packet. */
export interface Tested extends Explanation {
  /**
   * `ACCEPT`: it left, or was for the router itself. `DROP`: it ended without a word. `REJECT`: a rule has answered its
   * sender. `STOLEN`: it is a fragment, which waits for the others.
   */
  readonly verdict: "ACCEPT" | "DROP" | "REJECT" | "STOLEN";
  /** All that left because of it, answers of the router included: `out[0].interface`, `out[0].packet`, `out[0].bytes`. */
  readonly out: readonly Sent[];
  /** How it went, as `weir explain` prints it: the message for an assertion. */
  readonly explanation: string;
}

/** A router to test. */
export class TestRouter {
  /** Lines that it has logged, those of LOG among them. */
  readonly log: string[] = [];
  readonly #explainer: Explainer;
  readonly #rules: readonly { readonly where: string; readonly rule: ListedRule }[];

  /** Throws `ConfigError` with all mistakes of the configuration. */
  constructor(config: RouterConfig, o: TestRouterOptions = {}) {
    const valid = validate(config);
    this.#explainer = new Explainer(valid, {
      seed: o.seed,
      begins: o.at === undefined ? undefined : o.at.getTime() / 1000,
      log: (line) => this.log.push(line),
    });
    this.#rules = listRules(valid.rules).flatMap(({ name, chains }) =>
      chains.flatMap((chain) => chain.rules.map((rule) => ({ where: `${name} ${chain.name}`, rule })))
    );
  }

  /**
   * A packet comes in by an interface: as text such as `tcp 192.0.2.2:1000 > 203.0.113.9:80 syn` (`weir explain --help`
   * has the rest), or as the bytes of an IP packet. Throws `RangeError` for an interface that is not there and
   * `PacketTextError` for text that is no packet.
   */
  send(iface: string, packet: string | Uint8Array): Tested {
    const { bytes, mark } = typeof packet === "string" ? parsePacket(packet) : { bytes: packet, mark: 0 };
    const explanation = this.#explainer.send(iface, bytes, mark);
    return {
      ...explanation,
      verdict: verdictOf(explanation),
      out: explanation.sent,
      explanation: printExplanation(explanation),
    };
  }

  /** Lets seconds pass; timeouts and limits take their course. What leaves meanwhile, for a timer, is returned. */
  wait(seconds: number): readonly Sent[] {
    return this.#explainer.advance(seconds * 1000);
  }

  /** The flow table, as `conntrack -L` prints it. */
  get flows(): readonly string[] {
    return this.#explainer.virtual.flows();
  }

  /** What helpers expect, as `conntrack -L expect` prints it. */
  get expectations(): readonly string[] {
    return this.#explainer.virtual.expects();
  }

  /** Packets that a rule has matched, by its place: `tables.filter.FORWARD.rules[1]`, `iptables:12:1`. */
  packets(place: string): number {
    const rules = this.#rules.filter(({ rule }) => rule.place === place);
    if (rules.length === 0) throw new RangeError(`there is no rule at ${place}`);
    return rules.reduce((sum, { rule }) => sum + this.#counted(rule), 0);
  }

  /** Rules that no packet has matched yet, each with its place and text: what a test suite leaves out. */
  get unused(): readonly string[] {
    const used = new Set(this.#rules.flatMap(({ rule }) => this.#counted(rule) > 0 ? [rule.place] : []));
    const unused = this.#rules.filter(({ rule }) => !used.has(rule.place));
    return [
      ...new Map(unused.map(({ where, rule }) => [rule.place, `${where}: ${rule.place} ${rule.text}`]))
        .values(),
    ];
  }

  #counted({ slot }: ListedRule): number {
    return this.#explainer.virtual.memory.generation.rules[2 * slot];
  }
}

/** A router of this configuration, for tests. */
export function testRouter(config: RouterConfig, o?: TestRouterOptions): TestRouter {
  return new TestRouter(config, o);
}

function verdictOf({ outcome, reason }: Way): Tested["verdict"] {
  if (outcome === "waits") return "STOLEN";
  if (outcome !== "dropped") return "ACCEPT";
  return reason === "rule-reject" ? "REJECT" : "DROP";
}
