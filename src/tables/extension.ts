/**
 * What a match or a target is, as a definition and at work.
 *
 * A definition is data: what the thing is called, where it may stand, which options it has. Rules written as
 * TypeScript objects and rules written as iptables-save text are read by the same definitions and come out as the
 * same values, so a rule of either origin can be judged, compiled and printed by the same code:
 *
 * ```
 *  { dport: "22:25" } ──┐                                       ┌──▶ create() ─▶ Match.match(p), once per packet
 *                       ├─▶ kind.read ─▶ { dport: {22,25} } ────┤
 *  --dport 22:25  ──────┘                                       └──▶ kind.print ─▶ "--dport 22:25"
 * ```
 *
 * Reading throws `OptionError`, which the validator collects with the rule's place. Nothing is judged again while
 * packets flow: `create` gets values that have been checked, and returns an object whose one method allocates nothing.
 *
 * @module
 */
import type { Family, Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import type { SetSpec } from "../sets/spec.ts";
import type { Services } from "./services.ts";
import type { TimeoutPolicy } from "./timeouts.ts";

/** The four tables, in the order in which a packet meets them. */
export const TABLE_NAMES = ["raw", "mangle", "nat", "filter"] as const;
/** A table's name. */
export type TableName = typeof TABLE_NAMES[number];

/** A condition at work. */
export interface Match {
  /** True when the packet meets the condition. A header too short to judge sets `p.hotdrop` and is false. */
  match(p: Packet): boolean;
  /** The whole condition as data, where it is about ports alone: a row of the table can hold it. */
  readonly ports?: PortCondition;
  /** Likewise about the relation to the flow alone: the accepted ones as bits `1 << ctinfo`, and NO_FLOW. */
  readonly relations?: number;
  /** It holds for every packet: nobody has to ask. */
  readonly always?: true;
  /** Asking changes nothing where the transport header is whole: so one may know the answer, and not ask. */
  readonly pure?: true;
  /** What else a packet must be, as far as a rule can be looked up by it: where it is not, asking changes nothing. */
  readonly needs?: Needs;
  /** Asking may change the packet. */
  readonly changes?: true;
  /**
   * What the answer depends on, for those who remember it: `flow` is what the packets of a flow in one direction have
   * in common (addresses, ports, interfaces, relation, marks); `packet` is beside that what neither forwarding nor NAT
   * changes, so that it can be asked on arrival. Either way asking has no effect. Absent: on anything.
   */
  readonly judges?: "flow" | "packet";
  /** The same condition as several, which all must hold, when they judge different things. */
  readonly parts?: readonly Match[];
}

/** Values that a packet must have; each list stands for any of its ranges. */
export interface Needs {
  readonly source?: { readonly words: Int32Array; readonly mask: Int32Array };
  readonly destination?: { readonly words: Int32Array; readonly mask: Int32Array };
  readonly sports?: readonly PortSpan[];
  readonly dports?: readonly PortSpan[];
  /** As in `Match.relations`. */
  readonly relations?: number;
  readonly mark?: { readonly value: number; readonly mask: number };
}

/** Ports from `min` to `max`. */
export interface PortSpan {
  readonly min: number;
  readonly max: number;
}

/** Ports, in a rule that asks for the protocol. */
export interface PortCondition {
  /** Bytes that the transport header must have. */
  readonly header: number;
  readonly sport: PortRange;
  readonly dport: PortRange;
}

/** Ports from `min` to `max`, or all others. */
export interface PortRange extends PortSpan {
  readonly invert: boolean;
}

/** The range that an option gives; without the option, all ports. */
export function portCondition(given?: OptionValue<{ min: number; max: number }>): PortRange {
  return given === undefined
    ? { min: 0, max: 0xffff, invert: false }
    : { ...given.value, invert: given.invert };
}

/** The bit in `Match.relations` of a packet that has no flow and is not exempt: INVALID. */
export const NO_FLOW = 1 << 8;

/** An action at work. */
export interface Target {
  /** What becomes of the packet: CONTINUE to go on with the next rule, or a verdict that ends the table. */
  target(p: Packet): Verdict;
  /**
   * It does the same to all packets of a flow in one direction, and nothing but to set the packet's mark or template,
   * to exempt it, or to set its flow's mark.
   */
  readonly constant?: true;
}

/** A value that does not fit its option. The message follows the option's name: `dport: 70000 is not …`. */
export class OptionError extends Error {
  override name = "OptionError";
}

/** A value that would be right where Linux is, and asks for what Weir has not. */
export class UnsupportedError extends OptionError {
  override name = "UnsupportedError";
}

/** What the reading and printing of a value may depend on. */
export interface ReadContext {
  readonly family: Family;
  /** Protocol number that the rule asks for, 0 for any or when it is negated. */
  readonly protocol: number;
  /** The rule is iptables text: text that is too long for its field is cut off, as iptables does. */
  readonly cut?: boolean;
}

/** How values of one sort are written. */
export interface Kind<T> {
  /** Arguments in iptables text: 0 for a flag. */
  readonly words: 0 | 1 | 2;
  /** What may stand there, for messages and help: `a port or a range "1000:2000"`. */
  readonly expects: string;
  /** From a TypeScript value, or from iptables text (always a string, two words joined by a blank). */
  read(input: unknown, c: ReadContext): T;
  /** As iptables-save prints it. */
  print(value: T, c: ReadContext): string;
  /** The only family in which this input has a meaning, 0 when it says nothing about it. */
  family?(input: unknown): Family | 0;
}

/** One option of a match or target. */
export interface Option<T> {
  /** Long option in iptables text, without the dashes. */
  readonly flag: string;
  /** Other spellings that iptables reads. */
  readonly aliases?: readonly string[];
  readonly kind: Kind<T>;
  /** May be preceded by `!`. */
  readonly negatable?: boolean;
}

/** An option's value after reading. */
export interface OptionValue<T> {
  readonly value: T;
  readonly invert: boolean;
}

/** All options given in one rule to one match or target, by their TypeScript names. */
export type Options<O> = { readonly [K in keyof O]?: OptionValue<O[K]> };
/** The same, when the definition is not known. */
export type AnyOptions = Readonly<Record<string, OptionValue<unknown> | undefined>>;

/** What `finish` may look at beyond the options themselves. */
export interface CheckContext extends ReadContext {
  readonly table: TableName;
  /** Hooks that the rule's chain is reached from, as bits `1 << hook`. */
  readonly hooks: number;
  /** The rule's conditions: for a target all of them, for a match those before it. */
  readonly matches: readonly { readonly extension: Extension; readonly options: AnyOptions }[];
  /** Names of the conntrack helpers that are listed, with what they serve. */
  readonly helpers: readonly {
    readonly name: string;
    readonly protocol: number;
    readonly families: readonly Family[];
  }[];
  /** Timeout policies that rules may name; null while they are not known, as for `weir import`. */
  readonly timeouts: readonly TimeoutPolicy[] | null;
  /** The configuration's sets. */
  readonly sets?: ReadonlyMap<string, SetSpec>;
  /** Sets that a text has and Weir cannot have, each with the reason, where they are left out. */
  readonly setsLeftOut?: ReadonlyMap<string, { readonly reason: string }>;
}

/** What `create` builds on. */
export interface CreateContext extends ReadContext {
  readonly table: TableName;
  readonly services: Services;
  /** The rule, as people find it: its place, and its line where it was text. */
  readonly rule: string;
}

/** What matches and targets have in common. */
export interface Extension<O = Record<string, unknown>> {
  /** As after `-m`, `-j`. */
  readonly name: string;
  /** Families it exists in; both when absent. */
  readonly families?: readonly Family[];
  /** The rule must ask for one of these protocols, not negated. */
  readonly protocols?: readonly number[];
  /** Tables it may stand in; all when absent. */
  readonly tables?: readonly TableName[];
  /** Hooks it may be reached from, as bits `1 << hook`; all when absent. */
  readonly hooks?: number;
  /** Options by their TypeScript names, in the order in which iptables-save prints them. */
  readonly options: { readonly [K in keyof O]-?: Option<O[K]> };
  /** Options of which only one may be given. */
  readonly exclusive?: readonly (keyof O & string)[];
  /** At least one of these must be given. */
  readonly required?: readonly (keyof O & string)[];
  /** Its use switches connection tracking on for the family; always, or with these options. */
  readonly tracks?: boolean | ((o: Options<O>) => boolean);
  /** Its use has packets and bytes of flows counted (nf_conntrack_acct). */
  readonly counts?: true;
  /** What the options mean together: throws `OptionError`, or returns them in the form that is kept and printed. */
  finish?(o: Options<O>, c: CheckContext): Options<O>;
  /** Why it cannot judge what programs send, where that is so: it is refused beside a host device. */
  readonly programs?: string;
  /** Why no packet of a TUN device can ever fit, where that is so; null where some can. */
  never?(o: Options<O>, helpers: readonly string[]): string | null;
  /** The options as iptables-save prints them, a blank before each; when absent each is printed by its kind. */
  save?(o: Options<O>, c: ReadContext): string;
}

/** A condition by its definition. */
export interface MatchExtension<O = Record<string, unknown>> extends Extension<O> {
  create(o: Options<O>, c: CreateContext): Match;
}

/** An action by its definition. */
export interface TargetExtension<O = Record<string, unknown>> extends Extension<O> {
  create(o: Options<O>, c: CreateContext): Target;
}

/** A match's definition, its option types known inside and forgotten outside. */
export function defineMatch<O>(definition: MatchExtension<O>): MatchExtension {
  return definition as unknown as MatchExtension;
}

/** A target's definition, its option types known inside and forgotten outside. */
export function defineTarget<O>(definition: TargetExtension<O>): TargetExtension {
  return definition as unknown as TargetExtension;
}

/** Options as iptables-save prints them, each by its kind, in the definition's order. */
export function printOptions(extension: Extension, o: AnyOptions, c: ReadContext): string {
  let text = "";
  for (const [name, option] of Object.entries(extension.options)) {
    const given = o[name];
    if (given === undefined) continue;
    text += `${given.invert ? " !" : ""} --${option.flag}`;
    if (option.kind.words > 0) text += ` ${option.kind.print(given.value, c)}`;
  }
  return text;
}
