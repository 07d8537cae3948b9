/**
 * One rule written as a TypeScript object, read into the rules of one family.
 *
 * Keys are looked up in three places: the basic part that every rule has, the options of the target that `jump` names,
 * and the options of all matches. Matches are asked in the order in which the rule's keys mention them first.
 *
 * @module
 */
import { MATCHES } from "../matches/mod.ts";
import { ACCEPT, DROP, type Family, ICMP, ICMPV6, RETURN, SCTP, TCP, UDP } from "../netfilter.ts";
import type { AddressSpec, InterfaceSpec, MatchSpec, RuleSpec, TargetSpec } from "../tables/entry.ts";
import {
  type AnyOptions,
  type CheckContext,
  type Extension,
  type MatchExtension,
  OptionError,
  type OptionValue,
  type TableName,
  type TargetExtension,
} from "../tables/extension.ts";
import { familyOfText, readNetwork } from "../tables/addresses.ts";
import { protocol as protocolKind, show } from "../tables/kinds.ts";
import { PROTOCOL_NAMES, protocolNumber } from "../tables/names.ts";
import { TARGETS } from "../targets/mod.ts";
import { checkPlace, finishOptions, TYPESCRIPT } from "./finish.ts";
import { child, isObject, nearest, type Problems, suggest } from "./problems.ts";
import { unsupportedTarget } from "./unsupported.ts";

/** Names that end a walk through a table. */
export const VERDICTS = { ACCEPT, DROP, RETURN } as const;

const BASIC_KEYS = ["source", "destination", "protocol", "inInterface", "outInterface", "fragment"];
const JUMP_KEYS = ["jump", "goto"];

/** Matches and targets by the name of each option they have. */
function byOption<E extends Extension>(extensions: readonly E[]): ReadonlyMap<string, readonly E[]> {
  const map = new Map<string, E[]>();
  for (const extension of extensions) {
    for (const name of Object.keys(extension.options)) map.set(name, [...(map.get(name) ?? []), extension]);
  }
  return map;
}
const MATCHES_BY_OPTION = byOption<MatchExtension>(MATCHES),
  TARGETS_BY_OPTION = byOption<TargetExtension>(TARGETS);
const PORT_KEYS = ["sport", "dport", "sports", "dports", "ports"];
const MULTIPORT = MATCHES.find((match) => match.name === "multiport")!;

/** All keys that a rule can have. */
const RULE_KEYS: ReadonlySet<string> = new Set([
  ...BASIC_KEYS,
  ...MATCHES_BY_OPTION.keys(),
  ...JUMP_KEYS,
  ...TARGETS_BY_OPTION.keys(),
]);

/** Where a rule stands and what it may refer to. */
export interface RuleContext {
  readonly table: TableName;
  readonly family: Family;
  /** Hooks that its chain is reached from, as bits. */
  readonly hooks: number;
  /** User chains of the table. */
  readonly userChains: ReadonlySet<string>;
  /** Built-in chains of the table. */
  readonly builtinChains: readonly string[];
  readonly interfaces: readonly string[];
  readonly helpers: CheckContext["helpers"];
  readonly timeouts: CheckContext["timeouts"];
  readonly sets?: CheckContext["sets"];
}

/** A value without its negation. */
function negated(input: unknown): { value: unknown; invert: boolean } {
  if (isObject(input) && "not" in input && Object.keys(input).length === 1) {
    const inner = negated(input.not);
    return { value: inner.value, invert: !inner.invert };
  }
  if (typeof input === "string" && /^\s*!/.test(input)) {
    return { value: input.replace(/^\s*!\s*/, ""), invert: true };
  }
  return { value: input, invert: false };
}

/** A hint that a rule is for one family: what gives it. */
interface Hint {
  readonly family: Family;
  readonly key: string;
}

/**
 * The only family that a rule can be for, 0 for either. Adds a problem and returns null when it names both, or another
 * one than the section it stands in.
 */
export function familyOfRule(
  rule: Record<string, unknown>,
  section: Family | 0,
  path: string,
  problems: Problems,
): Family | 0 | null {
  let first: Hint | null = null;
  for (const hint of hints(rule)) {
    if (section !== 0 && hint.family !== section) {
      problems.add(
        child(path, hint.key),
        `speaks of IPv${hint.family}, but stands under tables.ipv${section}; move the rule to tables.ipv${hint.family}`,
      );
      return null;
    }
    if (first !== null && first.family !== hint.family) {
      problems.add(
        child(path, hint.key),
        `speaks of IPv${hint.family}, but ${first.key} of IPv${first.family}; make a rule for each family`,
      );
      return null;
    }
    first ??= hint;
  }
  return first?.family ?? 0;
}

function* hints(rule: Record<string, unknown>): Iterable<Hint> {
  const jump = typeof rule.jump === "string" ? rule.jump : "";
  const target = TARGETS.find((t) => t.name === jump);
  if (target?.families?.length === 1) yield { family: target.families[0], key: "jump" };
  for (const [key, input] of Object.entries(rule)) {
    if (input === undefined) continue;
    const { value, invert } = negated(input);
    if (key === "source" || key === "destination") {
      for (const text of Array.isArray(value) ? value : [value]) {
        const family = familyOfText(text);
        if (family !== 0) yield { family, key };
      }
    } else if (key === "protocol") {
      const number = typeof value === "string" || typeof value === "number"
        ? protocolNumber(String(value))
        : null;
      if (!invert && number === ICMP) yield { family: 4, key };
      if (!invert && number === ICMPV6) yield { family: 6, key };
    } else if (key === "fragment") {
      yield { family: 4, key };
    } else {
      const owners: readonly Extension[] = target?.options[key] ? [target] : MATCHES_BY_OPTION.get(key) ?? [];
      for (const owner of owners) {
        const family = owner.families?.length === 1
          ? owner.families[0]
          : owner.options[key].kind.family?.(value) ?? 0;
        if (family !== 0) yield { family, key };
      }
    }
  }
}

/** Reads one rule for one family: one or several rules, since several addresses make a rule each. */
export function readRule(
  rule: Record<string, unknown>,
  path: string,
  c: RuleContext,
  problems: Problems,
): RuleSpec[] {
  return new RuleReader(rule, path, c, problems).read();
}

class RuleReader {
  readonly #rule: Record<string, unknown>;
  readonly #path: string;
  readonly #c: RuleContext;
  readonly #problems: Problems;
  #protocol = 0;
  #protocolInvert = false;
  /** Whether anything was wrong that makes further complaints about the same thing idle. */
  #protocolFine = true;

  constructor(rule: Record<string, unknown>, path: string, c: RuleContext, problems: Problems) {
    this.#rule = rule;
    this.#path = path;
    this.#c = c;
    this.#problems = problems;
  }

  read(): RuleSpec[] {
    const { family } = this.#c, rule = this.#rule;
    this.#readProtocol();
    const target = this.#readTarget();
    const matches = this.#readOptions(target);
    const sources = this.#addresses("source"), destinations = this.#addresses("destination");
    const inInterface = this.#interface("inInterface", 0b11000),
      outInterface = this.#interface("outInterface", 0b00011);
    const fragment = this.#fragment();
    const made: RuleSpec[] = [];
    for (const source of sources) {
      for (const destination of destinations) {
        made.push({
          source,
          destination,
          inInterface,
          outInterface,
          protocol: this.#protocol,
          protocolInvert: this.#protocolInvert,
          fragment: fragment !== null && family === 4,
          fragmentInvert: fragment === false,
          matches,
          target: target?.spec ?? null,
          packets: 0,
          bytes: 0,
          path: this.#path,
        });
      }
    }
    for (const key of Object.keys(rule)) {
      if (RULE_KEYS.has(key)) continue;
      this.#problem(key, `is not an option of a rule; ${nearestKey(key)}`);
    }
    return made;
  }

  #problem(key: string, message: string): void {
    this.#problems.add(key === "" ? this.#path : child(this.#path, key), message);
  }

  /** Runs something that may find an option wrong. */
  #attempt<T>(key: string, read: () => T): T | null {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof OptionError)) throw error;
      this.#problem(key, error.message);
      return null;
    }
  }

  #readProtocol(): void {
    const given = this.#rule.protocol;
    if (given === undefined) return;
    const { value, invert } = negated(given);
    const number = this.#attempt("protocol", () => {
      try {
        return protocolKind.read(value, { family: this.#c.family, protocol: 0 });
      } catch (error) {
        const near = typeof value === "string" ? nearest(value, PROTOCOL_NAMES) : null;
        if (near !== null && error instanceof OptionError) error.message += `; did you mean ${near}?`;
        throw error;
      }
    });
    this.#protocolFine = number !== null;
    if (number === 0 && invert) {
      this.#problem(
        "protocol",
        "is no protocol at all, so the rule would never match; leave the negation out",
      );
    }
    this.#protocol = number ?? 0;
    this.#protocolInvert = invert;
  }

  #addresses(key: "source" | "destination"): (AddressSpec | null)[] {
    const given = this.#rule[key];
    if (given === undefined) return [null];
    const { value, invert } = negated(given);
    const list = typeof value === "string" ? value.split(",").map((text) => text.trim()) : value;
    if (!Array.isArray(list) || list.length === 0) {
      this.#problem(key, `${show(value)} is not an address, a network, or an array of such`);
      return [null];
    }
    if (list.length > 1 && (invert || list.some((text) => negated(text).invert))) {
      this.#problem(
        key,
        "negates several addresses, which would match always; make a chain with a rule for each",
      );
      return [null];
    }
    const read = list.map((text): AddressSpec | null =>
      this.#attempt(key, () => {
        const inner = negated(text);
        return { ...readNetwork(inner.value, this.#c.family), invert: invert !== inner.invert };
      })
    );
    return read;
  }

  #interface(key: "inInterface" | "outInterface", without: number): InterfaceSpec | null {
    const given = this.#rule[key];
    if (given === undefined) return null;
    const { value: name, invert } = negated(given);
    if (typeof name !== "string" || name === "" || name.length > 15 || /[\s/]/.test(name)) {
      this.#problem(key, `${show(name)} is not an interface's name`);
      return null;
    }
    if (!knownInterface(name, this.#c.interfaces)) {
      this.#problem(key, `interface ${show(name)} is not configured; ${suggest(name, this.#c.interfaces)}`);
    }
    // A user chain that other hooks reach, too, may ask: where there is no such interface the rule does not fit.
    if (this.#c.hooks !== 0 && (this.#c.hooks & ~without) === 0) {
      const [chain, other] = key === "inInterface"
        ? ["OUTPUT and POSTROUTING", "outInterface"]
        : ["PREROUTING and INPUT", "inInterface"];
      this.#problem(key, `is not known in ${chain}; use ${other}, or another chain`);
    }
    return { name, invert };
  }

  /** True for `-f`, false for its negation, null for neither. */
  #fragment(): boolean | null {
    const given = this.#rule.fragment;
    if (given === undefined) return null;
    const { value, invert } = negated(given);
    if (typeof value === "boolean") return value !== invert;
    this.#problem("fragment", `${show(value)} is not true or false`);
    return null;
  }

  /** The rule's `jump` or `goto`; its options come with `#readOptions`. */
  #readTarget(): { spec: TargetSpec; extension: TargetExtension | null } | null {
    const { jump, goto } = this.#rule;
    if (jump !== undefined && goto !== undefined) {
      this.#problem("goto", "cannot stand beside jump; keep one of them");
      return null;
    }
    const key = jump !== undefined ? "jump" : "goto", name = jump ?? goto;
    if (name === undefined) return null;
    if (typeof name !== "string" || name === "") {
      this.#problem(key, `${show(name)} is not the name of a target or chain`);
      return null;
    }
    const { userChains, builtinChains, table } = this.#c;
    if (userChains.has(name)) {
      return { spec: { kind: key, chain: name }, extension: null };
    }
    if (builtinChains.includes(name)) {
      this.#problem(key, `${name} is a built-in chain; only user chains can be jumped to`);
      return null;
    }
    if (key === "goto") {
      this.#problem(
        key,
        `${show(name)} is not a user chain of table ${table}; ${among(name, [...userChains])}`,
      );
      return null;
    }
    if (Object.hasOwn(VERDICTS, name)) {
      if (name === "DROP" && table === "nat") {
        this.#problem(key, "DROP is not allowed in table nat, which sees first packets only; drop in filter");
      }
      const verdict = name as keyof typeof VERDICTS;
      return { spec: { kind: "verdict", name: verdict, verdict: VERDICTS[verdict] }, extension: null };
    }
    const extension = TARGETS.find((target) => target.name === name);
    if (extension === undefined) {
      const missing = unsupportedTarget(name)?.reason ?? null;
      if (missing !== null) {
        this.#problem(key, missing);
        return null;
      }
      const known = [...Object.keys(VERDICTS), ...TARGETS.map((target) => target.name), ...userChains];
      this.#problem(
        key,
        `${show(name)} is neither a target nor a user chain of table ${table}; ${suggest(name, known)}`,
      );
      return null;
    }
    return { spec: { kind: "target", extension, options: {} }, extension };
  }

  /** Reads every key that is an option of the target or of a match; completes the target in place. */
  #readOptions(target: { spec: TargetSpec; extension: TargetExtension | null } | null): MatchSpec[] {
    const groups: {
      extension: MatchExtension;
      options: Record<string, OptionValue<unknown>>;
      key: string;
      fine: boolean;
    }[] = [];
    const targetOptions: Record<string, OptionValue<unknown>> = {};
    let targetFine = true;
    for (const [key, input] of Object.entries(this.#rule)) {
      if (input === undefined || BASIC_KEYS.includes(key) || JUMP_KEYS.includes(key)) continue;
      if (target?.extension?.options[key]) {
        const value = this.#value(target.extension, key, key, input);
        if (value === null) targetFine = false;
        else if (value !== "absent") targetOptions[key] = value;
        continue;
      }
      const owner = this.#ownerOf(key, input);
      if (owner === null) continue;
      let group = groups.find((g) => g.extension === owner.extension);
      // Source and destination lists are a match each.
      if (group === undefined || owner.extension === MULTIPORT) {
        groups.push(group = { extension: owner.extension, options: {}, key, fine: true });
      }
      const value = this.#value(owner.extension, owner.option, key, input);
      if (value === null) group.fine = false;
      else if (value !== "absent") group.options[owner.option] = value;
    }
    const made: MatchSpec[] = [];
    for (const { extension, options, key, fine } of groups) {
      if (fine && Object.keys(options).length === 0) continue;
      const finished = this.#finish(extension, options, fine, key, made);
      if (finished !== null) made.push({ extension, options: finished });
    }
    if (target?.extension) {
      const finished = this.#finish(target.extension, targetOptions, targetFine, "jump", made);
      if (finished !== null) target.spec = { kind: "target", extension: target.extension, options: finished };
    }
    return made;
  }

  /** The match that a key belongs to, and the option's name there. */
  #ownerOf(key: string, input: unknown): { extension: MatchExtension; option: string } | null {
    if (key === "sport" || key === "dport") {
      const { value } = negated(input);
      const simple = !Array.isArray(value) && !(typeof value === "string" && value.includes(",")) &&
        (this.#protocol === TCP || this.#protocol === UDP || this.#protocol === SCTP || this.#protocol === 0);
      if (!simple) return { extension: MULTIPORT, option: `${key}s` };
      const wanted = this.#protocol === UDP ? "udp" : this.#protocol === SCTP ? "sctp" : "tcp";
      return { extension: MATCHES.find((match) => match.name === wanted)!, option: key };
    }
    const owners = MATCHES_BY_OPTION.get(key);
    if (owners !== undefined) {
      return {
        extension: owners.find((o) => o.families?.includes(this.#c.family)) ?? owners[0],
        option: key,
      };
    }
    const others = TARGETS_BY_OPTION.get(key);
    if (others !== undefined) {
      const names = others.map((t) => t.name).join(", ");
      const jump = typeof this.#rule.jump === "string" ? `, not of ${this.#rule.jump}` : "";
      this.#problem(key, `is an option of ${names}${jump}; set jump to match, or leave it out`);
    }
    return null;
  }

  /** An option's value; null when it is wrong, "absent" for `false` where only `true` says anything. */
  #value(
    extension: Extension,
    option: string,
    key: string,
    input: unknown,
  ): OptionValue<unknown> | "absent" | null {
    const { kind, negatable } = extension.options[option];
    let value = input, invert = false;
    if (negatable || isObject(input)) ({ value, invert } = negated(input));
    if (invert && !negatable) {
      this.#problem(key, "cannot be negated");
      return null;
    }
    if (kind.words === 0 && value === false) {
      if (!negatable) return "absent";
      value = true;
      invert = !invert;
    }
    const context = { family: this.#c.family, protocol: this.#protocolInvert ? 0 : this.#protocol };
    return this.#attempt(key, () => ({ value: kind.read(value, context), invert }));
  }

  #finish(
    extension: Extension,
    options: AnyOptions,
    fine: boolean,
    key: string,
    matches: readonly MatchSpec[],
  ): AnyOptions | null {
    const protocol = this.#protocolInvert ? 0 : this.#protocol;
    const place = { table: this.#c.table, family: this.#c.family, hooks: this.#c.hooks, protocol };
    const placed = this.#attempt(key, () => {
      // A protocol that could not be read has been complained about already.
      if (!this.#protocolFine && extension.protocols !== undefined) return true;
      if (PORT_KEYS.includes(key) && !MULTIPORT.protocols!.includes(protocol)) {
        throw new OptionError(
          'needs protocol: "tcp", "udp", "udplite", "sctp" or "dccp" in the same rule, not negated',
        );
      }
      checkPlace(extension, place, TYPESCRIPT);
      return true;
    });
    if (placed === null || !fine) return null;
    const { helpers, timeouts, sets } = this.#c;
    return this.#attempt(
      key,
      () => finishOptions(extension, options, { ...place, matches, helpers, timeouts, sets }, TYPESCRIPT),
    );
  }
}

/** True for a configured interface, a pattern that fits one, and `lo`, which Weir has no packets of. */
export function knownInterface(name: string, interfaces: readonly string[]): boolean {
  if (name === "lo" || name === "+") return true;
  if (name.endsWith("+")) return interfaces.some((known) => known.startsWith(name.slice(0, -1)));
  return interfaces.includes(name);
}

function nearestKey(key: string): string {
  const near = nearest(key, [...RULE_KEYS]);
  return near === null ? "see the options of a rule in the documentation" : `did you mean ${near}?`;
}

function among(name: string, chains: readonly string[]): string {
  return chains.length === 0 ? "it has none" : suggest(name, chains);
}
