/**
 * Rules as data for people: each with its place, its words, the columns of `iptables -L -v -n` and the slot of its
 * counters. A running router leaves this beside its state file, so that another process can say what its counters mean.
 *
 * @module
 */
import { DROP, type Family } from "../netfilter.ts";
import { formatMasked } from "../packet/address.ts";
import type { AddressSpec, ChainSpec, InterfaceSpec, RuleSet, RuleSpec, TableSpec } from "../tables/entry.ts";
import { TABLE_NAMES, type TableName } from "../tables/extension.ts";
import { protocolName } from "../tables/names.ts";
import { saveRule } from "./iptables_save.ts";
import { sayRule } from "./rule_object.ts";
import { printLine } from "./source_text.ts";

/** One rule. */
export interface ListedRule {
  /** From 1, as `iptables -L --line-numbers` counts. */
  readonly number: number;
  /** Two numbers, packets and bytes, from `2 * slot` on in the router's counters. */
  readonly slot: number;
  /** Where it was written, and how. */
  readonly place: string;
  readonly text: string;
  /** What follows `-A CHAIN` in iptables-save, a blank in front. */
  readonly save: string;
  /** `ACCEPT`, a chain, or "" for a rule that only counts. */
  readonly target: string;
  readonly protocol: string;
  readonly fragment: "--" | "-f" | "!f";
  readonly in: string;
  readonly out: string;
  readonly source: string;
  readonly destination: string;
  /** Its matches, and what its target is told, as iptables-save has them. */
  readonly rest: string;
}

/** One chain. */
export interface ListedChain {
  readonly name: string;
  /** Null for a user chain. */
  readonly policy: "ACCEPT" | "DROP" | null;
  /** Rules that lead to it. */
  readonly references: number;
  readonly slot: number;
  readonly rules: readonly ListedRule[];
}

/** One table of one family. */
export interface ListedTable {
  readonly family: Family;
  readonly name: TableName;
  readonly chains: readonly ListedChain[];
}

/** All tables that anybody mentions, those of IPv4 first. */
export function listRules(rules: { readonly ipv4: RuleSet; readonly ipv6: RuleSet }): ListedTable[] {
  return [rules.ipv4, rules.ipv6].flatMap((set) =>
    TABLE_NAMES.flatMap((name) => set[name] === null ? [] : [listTable(set[name])])
  );
}

function listTable(table: TableSpec): ListedTable {
  let slot = table.counters;
  const chains = table.chains.map((chain) => {
    const first = slot;
    slot += chain.rules.length + 1;
    return {
      name: chain.name,
      policy: chain.hook === null ? null : chain.policy === DROP ? "DROP" as const : "ACCEPT" as const,
      references: referencesTo(table, chain),
      slot: slot - 1,
      rules: chain.rules.map((rule, i) => listRule(rule, table.family, i + 1, first + i)),
    };
  });
  return { family: table.family, name: table.name, chains };
}

function referencesTo(table: TableSpec, { name }: ChainSpec): number {
  return table.chains.flatMap(({ rules }) => rules)
    .filter(({ target }) => target !== null && "chain" in target && target.chain === name).length;
}

function listRule(rule: RuleSpec, family: Family, number: number, slot: number): ListedRule {
  const { target } = rule;
  return {
    number,
    slot,
    place: rule.path,
    text: ruleText(rule, family),
    save: saveRule(rule, family),
    target: target === null
      ? ""
      : target.kind === "verdict"
      ? target.name
      : target.kind === "target"
      ? target.extension.name
      : target.chain,
    protocol: `${rule.protocolInvert ? "!" : ""}${rule.protocol === 0 ? "all" : protocolName(rule.protocol)}`,
    fragment: !rule.fragment ? "--" : rule.fragmentInvert ? "!f" : "-f",
    in: interfaceText(rule.inInterface),
    out: interfaceText(rule.outInterface),
    source: addressText(rule.source, family),
    destination: addressText(rule.destination, family),
    rest: restText(rule, family),
  };
}

/** What the columns leave out: matches, and what the target is told. */
function restText(rule: RuleSpec, family: Family): string {
  const bare = {
    ...rule,
    source: null,
    destination: null,
    inInterface: null,
    outInterface: null,
    fragment: false,
  };
  // How options are printed may depend on the protocol, which then stands in front.
  const protocol = rule.protocolInvert ? 0 : rule.protocol;
  const matches = saveRule({ ...bare, protocol, target: null }, family).replace(/^ -p \S+/, "");
  const target = saveRule({ ...bare, protocol, matches: [] }, family).replace(
    /^(?: -p \S+)?(?: -[jg] \S+)?/,
    "",
  );
  return `${matches}${target}${rule.target?.kind === "goto" ? " [goto]" : ""}`.trim();
}

/** As it was written, on one line: its text, the object that says the same, or iptables' words where none does. */
export function ruleText(rule: RuleSpec, family: Family): string {
  if (rule.line !== undefined) return rule.line;
  const said = sayRule(rule, family);
  if (said === null) return saveRule(rule, family).trim();
  const text = printLine(said),
    hasFunction = rule.matches.some(({ extension }) => extension.name === "function");
  return hasFunction ? text.replace(/\bmatch: "([\w$]+)"/, "match: $1") : text; // it is a name, not a text
}

function interfaceText(spec: InterfaceSpec | null): string {
  return spec === null ? "*" : `${spec.invert ? "!" : ""}${spec.name}`;
}

function addressText(spec: AddressSpec | null, family: Family): string {
  if (spec === null) return family === 4 ? "0.0.0.0/0" : "::/0";
  const text = formatMasked(family, spec.words, spec.mask).replace(family === 4 ? /\/32$/ : /\/128$/, "");
  return `${spec.invert ? "!" : ""}${text}`;
}
