/**
 * What differs where a rule is left out: who reads it decides whether that can be borne.
 *
 * @module
 */
import type { TableName } from "../tables/extension.ts";
import type { DraftRule } from "./iptables_rule.ts";
import type { Effect } from "./left_out.ts";

type Chains = ReadonlyMap<string, { readonly rules: readonly DraftRule[] }>;

const TRANSLATIONS = ["SNAT", "DNAT", "MASQUERADE", "REDIRECT", "NETMAP", "FULLCONENAT"];
const MORE = "MORE GETS THROUGH";
const ASKED = "the rules behind it are asked";

/** What a rule of a chain did that nobody does now. */
export function effectOf(rule: DraftRule, table: TableName, chain: string, chains: Chains): Effect {
  if (stops(rule)) {
    return { text: `${rule.missing === null ? "it dropped" : "it could drop"}: ${MORE}`, more: true };
  }
  const left = rule.verdict === "RETURN" || rule.chain?.goto === true
    ? leaving(rule, table, chain, chains)
    : null;
  if (rule.chain !== null) return lostJump(rule.chain.name, left, table, chains);
  if (left !== null) return { text: `it returned: ${left.text}`, more: left.more };
  return { text: otherwise(rule, table), more: false };
}

/** Without a rule that leaves its chain the ones behind it are asked, of which some may accept. */
function leaving(rule: DraftRule, table: TableName, chain: string, chains: Chains): Effect {
  const { rules } = chains.get(chain)!, behind = rules.slice(rules.indexOf(rule) + 1);
  const more = table !== "nat" &&
    behind.flatMap((other) => [other, ...meets(other.jumpsTo, chains)]).some(accepts);
  return { text: more ? `${ASKED}, which accept: ${MORE}` : ASKED, more };
}

function lostJump(name: string, left: Effect | null, table: TableName, chains: Chains): Effect {
  const met = meets(name, chains), drops = met.some(stops);
  const text = [
    `chain ${name} is not asked`,
    ...drops ? [`it drops: ${MORE}`] : [],
    ...met.some(accepts) ? [`it accepts: ${accepted(table)}`] : [],
    ...left === null ? [] : [left.text],
  ];
  return { text: text.join("; "), more: drops || left?.more === true };
}

function otherwise(rule: DraftRule, table: TableName): string {
  if (accepts(rule)) return `it accepted: ${accepted(table)}`;
  const name = rule.missing?.name ?? rule.target?.extension.name;
  if (name === undefined) return "it only counted";
  return TRANSLATIONS.includes(name) ? "it translated: only rules behind it may" : `${name} is not done`;
}

function accepted(table: TableName): string {
  return table === "filter" ? "less gets through" : table === "nat" ? "more is translated" : ASKED;
}

function accepts(rule: DraftRule): boolean {
  return rule.verdict === "ACCEPT";
}

function stops(rule: DraftRule): boolean {
  return rule.verdict === "DROP" || rule.target?.extension.name === "REJECT" || rule.missing?.stops === true;
}

/** All rules that a packet can meet behind a jump. */
function meets(start: string | null, chains: Chains): DraftRule[] {
  const known = new Set(start === null ? [] : [start]), rules: DraftRule[] = [];
  for (const name of known) {
    for (const rule of chains.get(name)?.rules ?? []) {
      rules.push(rule);
      if (rule.jumpsTo !== null) known.add(rule.jumpsTo);
    }
  }
  return rules;
}
