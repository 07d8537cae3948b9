/**
 * A specification per match and target, in the manner of iptables' own: the rule, how it is listed or why it is refused,
 * and the packets that it fits and does not fit.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { saveRule } from "../../src/config/iptables_save.ts";
import type { RouterConfig, RuleConfig } from "../../src/config/types.ts";
import { ConfigError } from "../../src/config/validate.ts";
import { type Family, FORWARD, HOOK_NAMES } from "../../src/netfilter.ts";
import { show } from "../kit/mod.ts";
import { Rig, type Stand } from "./rig.ts";

/** A packet, and how it stands. */
export type Sent = Uint8Array | readonly [bytes: Uint8Array, stand: Stand];

/** One rule and what is to be said of it. */
export interface Spec {
  rule: RuleConfig;
  table?: "raw" | "mangle" | "nat" | "filter";
  chain?: typeof HOOK_NAMES[number];
  /** As iptables-save lists it, without `-A CHAIN`. */
  save?: string;
  /** The same of the IPv6 rule. */
  save6?: string;
  /** It is refused: the end of the place, and a part of the message. */
  refused?: readonly [path: string, message: string];
  fits?: readonly Sent[];
  not?: readonly Sent[];
  /** Packets too short to judge: dropped. */
  hotdrop?: readonly Sent[];
}

/** Makes a test of each specification. */
export function specify(name: string, specs: readonly Spec[], more: Partial<RouterConfig> = {}): void {
  for (const spec of specs) {
    const title = JSON.stringify(spec.rule);
    Deno.test(`${name} ${spec.refused ? "refuses" : "takes"} ${title}`, () => check(spec, more));
  }
}

function check(spec: Spec, more: Partial<RouterConfig>): void {
  const table = spec.table ?? "filter", chain = spec.chain ?? "FORWARD";
  const tables = { [table]: { [chain]: [spec.rule] } };
  if (spec.refused !== undefined) {
    try {
      new Rig(tables, more);
    } catch (error) {
      assert(error instanceof ConfigError, String(error));
      assertEquals(error.problems.length, 1, error.message);
      const [{ path, message }] = error.problems;
      assert(path.endsWith(spec.refused[0]), `${path} does not end in ${spec.refused[0]}`);
      assert(message.includes(spec.refused[1]), `"${message}" does not say "${spec.refused[1]}"`);
      return;
    }
    throw new Error("it was taken");
  }
  const rig = new Rig(tables, more);
  const listed = (family: Family) => {
    const found = rig.config.rules[family === 4 ? "ipv4" : "ipv6"][table]?.chains.find((c) =>
      c.name === chain
    )?.rules;
    return found?.map((rule) => saveRule(rule, family).trimStart()).join("\n") || undefined;
  };
  if (spec.save !== undefined) assertEquals(listed(4), spec.save);
  if (spec.save6 !== undefined) assertEquals(listed(6), spec.save6);
  const hook = HOOK_NAMES.indexOf(chain);
  const walk = (sent: Sent) => {
    const [bytes, stand] = sent instanceof Uint8Array ? [sent, {}] : sent;
    const family = bytes[0] >> 4 === 6 ? 6 : 4;
    const rules = () => rig.count(table, chain, family).slice(0, -1).reduce((n, [packets]) => n + packets, 0);
    const before = rules();
    const says = rig.says(table, bytes, { hook: hook as Stand["hook"] ?? FORWARD, ...stand });
    return { fitted: rules() > before, says, text: show(bytes) };
  };
  for (const sent of spec.fits ?? []) {
    const { fitted, text } = walk(sent);
    assert(fitted, `does not fit ${text}`);
  }
  for (const sent of spec.not ?? []) {
    const { fitted, text, says } = walk(sent);
    assert(!fitted && says !== "match-hotdrop", `should not fit ${text} (${says})`);
  }
  for (const sent of spec.hotdrop ?? []) {
    const { says, text } = walk(sent);
    assertEquals(says, "match-hotdrop", text);
  }
}
