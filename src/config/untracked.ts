/**
 * Rule sets that exempt from tracking what a helper is asked to read. Linux takes them without a word: an UNTRACKED
 * packet has no flow, so the helper sees nothing, and what the protocol announces is refused. And helpers that wait for
 * rules to be asked at all.
 *
 * Only what is plain is said: a NOTRACK rule that names a port of the helper, or one without any condition but the
 * protocol. A rule before it that accepts the port, or gives it to a helper, makes it harmless.
 *
 * @module
 */
import type { ConntrackHelper } from "../conntrack/helper.ts";
import { TCP } from "../netfilter.ts";
import type { RuleSet, RuleSpec } from "../tables/entry.ts";
import type { OptionValue } from "../tables/extension.ts";
import type { Problems } from "./problems.ts";

interface PortRange {
  readonly min: number;
  readonly max: number;
}

/** Matches that say something of ports, and their options. */
const PORT_OPTIONS: Readonly<Record<string, readonly string[]>> = {
  tcp: ["sport", "dport"],
  udp: ["sport", "dport"],
  multiport: ["sports", "dports", "ports"],
};

/** Adds a warning for each rule that takes flows away from a helper. */
export function warnOfUntracked(set: RuleSet, helpers: readonly ConntrackHelper[], warnings: Problems): void {
  const chains = set.raw?.chains ?? [];
  for (const helper of helpers) {
    if (!helper.families.includes(set.family)) continue;
    const given = chains.flatMap((chain) => chain.rules).filter((rule) => gives(rule, helper.name));
    if (!helper.autoAssign && given.length === 0) continue;
    const ports = new Set([...helper.ports, ...given.flatMap(singlePorts)]);
    for (const { rules } of chains) {
      const settled = new Set<number>();
      for (const rule of rules) {
        if (!concerns(rule, helper.protocol)) continue;
        const taken = [...ports].filter((port) => !settled.has(port) && covers(rule, port));
        if (untracks(rule)) {
          if (taken.length > 0) warnings.add(rule.path, message(helper, taken));
        } else if (settles(rule)) {
          for (const port of taken) settled.add(port);
        }
      }
    }
  }
}

/** Helpers as one entry of the configuration lists them: where, and under which names. */
export interface ListedHelpers {
  readonly path: string;
  readonly autoAssign: boolean;
  readonly names: readonly string[];
}

/** Adds a warning for each entry that waits for rules which are not there: nothing is served. */
export function warnOfUngiven(
  sets: readonly RuleSet[],
  listed: readonly ListedHelpers[],
  warnings: Problems,
): void {
  const rules = sets.flatMap((set) => set.raw?.chains ?? []).flatMap((chain) => chain.rules);
  for (const { path, autoAssign, names } of listed) {
    if (autoAssign || names.some((name) => rules.some((rule) => gives(rule, name)))) continue;
    warnings.add(
      path,
      `serves no flow: with autoAssign: false it is for rules in raw, jump: "CT", helper: "${
        names[0]
      }", and none says so`,
    );
  }
}

function message(helper: ConntrackHelper, ports: readonly number[]): string {
  const protocol = helper.protocol === TCP ? "tcp" : "udp";
  return `makes UNTRACKED what helper "${helper.name}" is to read (${protocol} port ${ports.join(", ")}): ` +
    "it gets no flow, and what is announced is not RELATED";
}

/** `-j CT --helper NAME`. */
function gives(rule: RuleSpec, name: string): boolean {
  const { target } = rule;
  return target?.kind === "target" && target.extension.name === "CT" && target.options.helper?.value === name;
}

/** NOTRACK, under either of its names. */
function untracks({ target }: RuleSpec): boolean {
  return target?.kind === "target" &&
    (target.extension.name === "NOTRACK" ||
      target.extension.name === "CT" && target.options.notrack !== undefined);
}

/** No rule behind it can make the packet UNTRACKED. */
function settles({ target }: RuleSpec): boolean {
  return target?.kind === "verdict" || (target?.kind === "target" && target.extension.name === "CT");
}

function concerns({ protocol, protocolInvert }: RuleSpec, of: number): boolean {
  return protocol === 0 || (protocol === of) !== protocolInvert;
}

/** The port conditions of a rule. */
function portConditions(rule: RuleSpec): { ranges: readonly PortRange[]; invert: boolean }[] {
  return rule.matches.flatMap(({ extension, options }) =>
    (PORT_OPTIONS[extension.name] ?? []).flatMap((name) => {
      const option = options[name] as OptionValue<PortRange | readonly PortRange[]> | undefined;
      if (option === undefined) return [];
      const { value, invert } = option;
      return [{ ranges: Array.isArray(value) ? value : [value as PortRange], invert }];
    })
  );
}

/** A port that the rule names, in either direction; or the rule says nothing of ports, addresses or anything else. */
function covers(rule: RuleSpec, port: number): boolean {
  const conditions = portConditions(rule);
  if (conditions.length > 0) {
    return conditions.some(({ ranges, invert }) =>
      ranges.some(({ min, max }) => port >= min && port <= max) !== invert
    );
  }
  return rule.source === null && rule.destination === null && rule.inInterface === null &&
    rule.outInterface === null && !rule.fragment && !rule.fragmentInvert && rule.matches.length === 0;
}

/** Ports that a rule names one by one. */
function singlePorts(rule: RuleSpec): number[] {
  return portConditions(rule).flatMap(({ ranges, invert }) =>
    invert ? [] : ranges.filter(({ min, max }) => min === max).map(({ min }) => min)
  );
}
