/**
 * Rules as text, byte for byte as iptables-legacy-save prints them; `iptables_restore.ts` reads the same.
 *
 * @module
 */
import { ACCEPT, DROP, type Family } from "../netfilter.ts";
import { formatMasked } from "../packet/address.ts";
import type { AddressSpec, InterfaceSpec, RuleSet, RuleSpec, TableSpec } from "../tables/entry.ts";
import {
  type AnyOptions,
  type Extension,
  printOptions,
  type ReadContext,
  TABLE_NAMES,
} from "../tables/extension.ts";
import { protocolName } from "../tables/names.ts";
import { restoreRules } from "./iptables_restore.ts";
import { type Problem, Problems } from "./problems.ts";
import type { RulesContext } from "./rules.ts";

/** How much to print. */
export interface SaveOptions {
  /** Packets and bytes of all rules (iptables-save -c): the router's counters, two numbers per slot. */
  readonly counters?: ArrayLike<number>;
  /** Without counters: those that the rules began with. */
  readonly initial?: boolean;
  /** Text of the comment lines; none by default, so that the same rules make the same text. */
  readonly generated?: string;
  readonly completed?: string;
  /** Comments to stand in front of a chain's rule, or behind the last one. */
  readonly notes?: (chain: string, rule: number) => readonly string[];
}

/** All tables of a family. */
export function saveRules(set: RuleSet, o: SaveOptions = {}): string {
  let text = "";
  for (const name of TABLE_NAMES) {
    const table = set[name];
    if (table !== null) text += saveTable(table, o);
  }
  return text;
}

/** One table, from `*name` to COMMIT. */
export function saveTable(table: TableSpec, o: SaveOptions = {}): string {
  const lines: string[] = [];
  if (o.generated !== undefined) lines.push(`# ${o.generated}`);
  lines.push(`*${table.name}`);
  let slot = table.counters;
  const first = new Map<string, number>();
  for (const chain of table.chains) {
    first.set(chain.name, slot);
    slot += chain.rules.length + 1;
    const policy = chain.hook === null
      ? "-"
      : chain.policy === DROP
      ? "DROP"
      : chain.policy === ACCEPT
      ? "ACCEPT"
      : "?";
    // A user chain has no policy, and no counters of its own.
    const counters = chain.hook === null ? "[0:0]" : pair(slot - 1, chain.packets, chain.bytes, o) ?? "[0:0]";
    lines.push(`:${chain.name} ${policy} ${counters}`);
  }
  const note = (chain: string, i: number) => {
    for (const text of o.notes?.(chain, i) ?? []) lines.push(`# ${text}`);
  };
  for (const chain of table.chains) {
    chain.rules.forEach((rule, i) => {
      note(chain.name, i);
      const counters = pair(first.get(chain.name)! + i, rule.packets, rule.bytes, o);
      lines.push(`${counters === null ? "" : `${counters} `}-A ${chain.name}${saveRule(rule, table.family)}`);
    });
    note(chain.name, chain.rules.length);
  }
  lines.push("COMMIT");
  if (o.completed !== undefined) lines.push(`# ${o.completed}`);
  return lines.join("\n") + "\n";
}

function pair(slot: number, packets: number, bytes: number, o: SaveOptions): string | null {
  if (o.counters !== undefined) return `[${o.counters[2 * slot]}:${o.counters[2 * slot + 1]}]`;
  return o.initial ? `[${packets}:${bytes}]` : null;
}

/** What follows `-A CHAIN`, a blank in front. */
export function saveRule(rule: RuleSpec, family: Family): string {
  const c: ReadContext = { family, protocol: rule.protocolInvert ? 0 : rule.protocol };
  let text = saveAddress("s", rule.source, family) + saveAddress("d", rule.destination, family);
  text += saveInterface("i", rule.inInterface) + saveInterface("o", rule.outInterface);
  if (rule.protocol !== 0) text += `${rule.protocolInvert ? " !" : ""} -p ${protocolName(rule.protocol)}`;
  if (rule.fragment) text += `${rule.fragmentInvert ? " !" : ""} -f`;
  for (const { extension, options } of rule.matches) {
    text += ` -m ${extension.name}${saveOptions(extension, options, c)}`;
  }
  const target = rule.target;
  if (target === null) return text;
  if (target.kind === "verdict") return `${text} -j ${target.name}`;
  if (target.kind !== "target") return `${text} -${target.kind === "goto" ? "g" : "j"} ${target.chain}`;
  return `${text} -j ${target.extension.name}${saveOptions(target.extension, target.options, c)}`;
}

function saveOptions(extension: Extension, options: AnyOptions, c: ReadContext): string {
  return extension.save === undefined ? printOptions(extension, options, c) : extension.save(options, c);
}

function saveAddress(letter: string, address: AddressSpec | null, family: Family): string {
  if (address === null) return "";
  const { words, mask, invert } = address;
  if (!invert && mask.every((word) => word === 0)) return "";
  return `${invert ? " !" : ""} -${letter} ${formatMasked(family, words, mask)}`;
}

function saveInterface(letter: string, spec: InterfaceSpec | null): string {
  if (spec === null || spec.name === "+" && !spec.invert) return "";
  return `${spec.invert ? " !" : ""} -${letter} ${spec.name}`;
}

/** What no text can say, each with the place of its rule: functions, timeouts without a name, odd names. */
export function unsaid(set: RuleSet, c: Pick<RulesContext, "helpers" | "timeouts" | "sets">): Problem[] {
  const problems = new Problems();
  for (const name of TABLE_NAMES) {
    for (const chain of set[name]?.chains ?? []) {
      for (const rule of chain.rules) unsaidOptions(rule, problems);
    }
  }
  if (problems.list.length > 0) return problems.list;
  // Names are printed as they are; one with a quote in it, say, is read as another.
  const found = new Problems(), text = saveRules(set);
  const { helpers, timeouts, sets } = c, warnings = new Problems(), { family } = set;
  const context = { family, interfaces: [], helpers, timeouts, sets, problems: found, warnings };
  const again = saveRules(restoreRules(text, "text", context)).split("\n");
  const places = linePlaces(set), lines = text.split("\n");
  for (const { path, message } of found.list) {
    const line = Number(/^text:(\d+)/.exec(path)?.[1] ?? 1) - 1;
    problems.add(places[line] ?? "tables", `${lines[line]} is refused: ${message}`);
  }
  if (found.list.length > 0) return problems.list;
  lines.forEach((line, i) => {
    if (line !== again[i]) problems.add(places[i] ?? "tables", `${line} is read as ${again[i]}`);
  });
  return problems.list;
}

function unsaidOptions(rule: RuleSpec, problems: Problems): void {
  for (const { extension } of rule.matches) {
    if (extension.name === "function") {
      problems.add(`${rule.path}.match`, "is a function; iptables has matches only");
    }
  }
  const timeout = rule.target?.kind === "target" ? rule.target.options.timeout?.value : undefined;
  if (timeout !== undefined && (timeout as { name: string | null }).name === null) {
    problems.add(
      `${rule.path}.timeout`,
      "gives timeouts by state; iptables has only names of timeout policies",
    );
  }
}

/** For each line of the text the place where it was written. */
function linePlaces(set: RuleSet): (string | undefined)[] {
  const places: (string | undefined)[] = [];
  for (const name of TABLE_NAMES) {
    const table = set[name];
    if (table === null) continue;
    places.push(`tables.${name}`, ...table.chains.map((chain) => `tables.${name}.${chain.name}`));
    for (const chain of table.chains) places.push(...chain.rules.map((rule) => rule.path));
    places.push(`tables.${name}`);
  }
  return places;
}
