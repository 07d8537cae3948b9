/**
 * Rules after validation and before compilation: what a table says, free of how it was written.
 *
 * Everything here is checked and normalised (addresses masked, names resolved, options read), and complete enough to
 * print the table exactly as iptables-save would. The validator makes it, the compiler and the printer read it.
 *
 * @module
 */
import type { Family, Hook, Verdict } from "../netfilter.ts";
import type { AnyOptions, MatchExtension, TableName, TargetExtension } from "./extension.ts";

/** Addresses that share the masked bits: 192.0.2.0/24, or 0.0.0.1/0.0.0.255. */
export interface AddressSpec {
  /** Four words, masked; IPv4 in word 0. */
  readonly words: Int32Array;
  readonly mask: Int32Array;
  readonly invert: boolean;
}

/** An interface by name; a `+` at the end stands for any ending. */
export interface InterfaceSpec {
  readonly name: string;
  readonly invert: boolean;
}

/** One condition of a rule. */
export interface MatchSpec {
  readonly extension: MatchExtension;
  readonly options: AnyOptions;
}

/** What a rule does. */
export type TargetSpec =
  | { readonly kind: "verdict"; readonly name: "ACCEPT" | "DROP" | "RETURN"; readonly verdict: Verdict }
  | { readonly kind: "jump" | "goto"; readonly chain: string }
  | { readonly kind: "target"; readonly extension: TargetExtension; readonly options: AnyOptions };

/** One rule. */
export interface RuleSpec {
  readonly source: AddressSpec | null;
  readonly destination: AddressSpec | null;
  readonly inInterface: InterfaceSpec | null;
  readonly outInterface: InterfaceSpec | null;
  /** Protocol number, 0 for any. */
  readonly protocol: number;
  readonly protocolInvert: boolean;
  /** `-f`: only later fragments; inverted: all but them. IPv4 only. */
  readonly fragment: boolean;
  readonly fragmentInvert: boolean;
  /** In the order in which they are asked. */
  readonly matches: readonly MatchSpec[];
  /** Null: the rule only counts. */
  readonly target: TargetSpec | null;
  /** Counters to begin with, from iptables-save -c text. */
  readonly packets: number;
  readonly bytes: number;
  /** Where it was written: `tables.filter.FORWARD.rules[3]`, or `iptables:12` for a line of text. */
  readonly path: string;
  /** That line, without counters. */
  readonly line?: string;
}

/** The rule, as people find it: `tables.raw.PREROUTING[2]`, or `iptables:12:1 -A PREROUTING …`. */
export function describeRule({ path, line }: RuleSpec): string {
  return line === undefined ? path : `${path} ${line}`;
}

/** A chain: built-in ones have a hook and a policy. */
export interface ChainSpec {
  readonly name: string;
  readonly hook: Hook | null;
  /** ACCEPT or DROP; meaningless in a user chain. */
  readonly policy: Verdict;
  readonly packets: number;
  readonly bytes: number;
  readonly rules: readonly RuleSpec[];
}

/** A table of one family. */
export interface TableSpec {
  readonly name: TableName;
  readonly family: Family;
  /** Built-in chains in hook order, then user chains by name, as iptables-save lists them. */
  readonly chains: readonly ChainSpec[];
  /**
   * First counter slot in the state memory. Slots follow the chains: one for each rule, then one more per chain,
   * which is the policy's in a built-in chain.
   */
  readonly counters: number;
}

/** Counter slots of a table. */
export function counterSlots(table: TableSpec): number {
  let n = 0;
  for (const chain of table.chains) n += chain.rules.length + 1;
  return n;
}

/** The rules of one family. A table that nobody mentions is null. */
export interface RuleSet {
  readonly family: Family;
  readonly raw: TableSpec | null;
  readonly mangle: TableSpec | null;
  readonly nat: TableSpec | null;
  readonly filter: TableSpec | null;
}

/** Writes the counters that rules and policies begin with into fresh memory: two numbers per slot. */
export function writeInitialCounters(set: RuleSet, counters: Float64Array): void {
  for (const table of [set.raw, set.mangle, set.nat, set.filter]) {
    if (table === null) continue;
    let at = 2 * table.counters;
    for (const chain of table.chains) {
      for (const { packets, bytes } of [...chain.rules, chain]) {
        counters[at++] = packets;
        counters[at++] = bytes;
      }
    }
  }
}
