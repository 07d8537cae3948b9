/**
 * What a configuration says, as data: it can be sent from one thread to another, which functions cannot, and compared
 * with what another one says.
 *
 * @module
 */
import type { Family } from "../netfilter.ts";
import type { RouteSpec } from "../routing/fib.ts";
import { textOfSet } from "../sets/spec.ts";
import { SYSCTLS } from "../sysctl.ts";
import { DROP } from "../netfilter.ts";
import type { RuleSpec } from "../tables/entry.ts";
import { TABLE_NAMES } from "../tables/extension.ts";
import { saveRule } from "./iptables_save.ts";
import { helperKey } from "./order.ts";
import type { Problem } from "./problems.ts";
import { type ListedTable, listRules } from "./rule_listing.ts";
import type { ValidConfig, ValidHost, ValidInterface } from "./valid.ts";

/** A chain. */
export interface ChainSummary {
  readonly family: Family;
  readonly table: string;
  readonly chain: string;
  /** ACCEPT or DROP; "-" in a user chain. */
  readonly policy: string;
  /** As iptables-save prints them. */
  readonly rules: readonly string[];
}

/** A configuration, as data. */
export interface Summary {
  readonly interfaces: readonly ValidInterface[];
  readonly host: ValidHost | null;
  readonly routes: readonly RouteSpec[];
  readonly helpers: readonly { readonly key: string; readonly name: string; readonly text: string }[];
  readonly timeouts: readonly { readonly name: string; readonly text: string }[];
  /** Sets by name, and a text that differs when their members do. */
  readonly sets: readonly { readonly name: string; readonly text: string }[];
  readonly sysctl: Readonly<Record<string, number>>;
  readonly workers: number;
  readonly chains: readonly ChainSummary[];
  /** Differs when fragments that wait take another kind of room. */
  readonly fragments: string;
  /** Counter slots, and what they mean to people. */
  readonly counters: number;
  readonly tables: readonly ListedTable[];
  readonly warnings: readonly Problem[];
}

/** What a configuration says. */
export function summarize(config: ValidConfig): Summary {
  const { interfaces, host, routes, workers, counters, warnings, sysctl, tracking } = config;
  const high6 = tracking.ipv6
    ? "net.netfilter.nf_conntrack_frag6_high_thresh"
    : "net.ipv6.ip6frag_high_thresh";
  return {
    interfaces,
    host,
    routes,
    workers,
    counters,
    warnings,
    helpers: config.helpers.map((helper) => {
      const { name, protocol, families, ports, autoAssign, policies, limits, onFailure } = helper;
      const text = JSON.stringify([
        protocol,
        families,
        ports,
        autoAssign,
        policies,
        limits ?? null,
        onFailure,
      ]);
      return { key: helperKey({ name, protocol }), name, text };
    }),
    timeouts: config.timeouts.map(({ name, ...rest }) => ({ name, text: JSON.stringify(rest) })),
    sets: [...config.sets.values()].map((set) => ({ name: set.name, text: textOfSet(set) })),
    sysctl: Object.fromEntries(Object.keys(SYSCTLS).map((name) => [name, sysctl.get(name)])),
    chains: chainsOf(config),
    tables: listRules(config.rules),
    fragments: `${sysctl.get("net.ipv4.ipfrag_high_thresh")} ${sysctl.get(high6)}`,
  };
}

function chainsOf({ rules }: ValidConfig): ChainSummary[] {
  const chains: ChainSummary[] = [];
  for (const set of [rules.ipv4, rules.ipv6]) {
    for (const name of TABLE_NAMES) {
      for (const { name: chain, hook, policy, rules } of set[name]?.chains ?? []) {
        chains.push({
          family: set.family,
          table: name,
          chain,
          policy: hook === null ? "-" : policy === DROP ? "DROP" : "ACCEPT",
          rules: rules.map((rule) => textOf(rule, set.family)),
        });
      }
    }
  }
  return chains;
}

/**
 * What each counter slot is called: a rule by its table, chain and text, the second of equals by its number, and a
 * chain's own. Two configurations call a rule that both have the same.
 */
export function ruleNames({ rules, counters }: ValidConfig): string[] {
  const names: string[] = Array(counters).fill("");
  for (const set of [rules.ipv4, rules.ipv6]) {
    for (const table of TABLE_NAMES) {
      const spec = set[table];
      let slot = spec?.counters ?? 0;
      for (const { name: chain, rules } of spec?.chains ?? []) {
        const place = `${set.family} ${table} ${chain}`, seen = new Map<string, number>();
        for (const rule of rules) {
          const text = textOf(rule, set.family), nth = seen.get(text) ?? 0;
          seen.set(text, nth + 1);
          names[slot++] = `${place}${text}${nth === 0 ? "" : ` #${nth}`}`;
        }
        names[slot++] = place;
      }
    }
  }
  return names;
}

/** The rule as iptables-save prints it, with the source text of functions: what they close over is not seen. */
function textOf(rule: RuleSpec, family: Family): string {
  let text = saveRule(rule, family);
  for (const { options } of rule.matches) {
    for (const option of Object.values(options)) {
      if (typeof option?.value === "function") text += ` ${String(option.value)}`;
    }
  }
  return text;
}
