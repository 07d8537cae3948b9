/**
 * Rules as a TypeScript module: what `weir import` makes of iptables-save text.
 *
 * Overview: a rule becomes an object whose keys are its options, in the order in which the rule asks them. Each object
 * is read back by the door that will read the module, and has to print the same line of text again. A table with a
 * rule that objects cannot say (the same match twice, say) stays text as a whole, since a table has one origin.
 *
 * What Weir cannot have is refused, or where that is wanted left out: a comment stands in its place.
 *
 * Limits: counters are state, not configuration, and are left out. Addresses of interfaces are nowhere in rules: what
 * stands in their place is refused by `weir check` until someone has filled it in; so is what stands for the members
 * of a set that only rules name.
 *
 * @module
 */
import type { ConntrackHelper } from "../conntrack/helper.ts";
import { amanda, ftp, irc, sane, talk, tftp } from "../helpers/mod.ts";
import { DROP, type Family, TCP, UDP } from "../netfilter.ts";
import type { ChainSpec, RuleSet, TableSpec } from "../tables/entry.ts";
import { TABLE_NAMES } from "../tables/extension.ts";
import type { Range } from "../tables/kinds.ts";
import { protocolName } from "../tables/names.ts";
import { restoreRules } from "./iptables_restore.ts";
import { saveRule, saveRules, saveTable } from "./iptables_save.ts";
import { ConfigError, Problems } from "./problems.ts";
import { reach } from "./reach.ts";
import { familyOfRule, readRule, type RuleContext } from "./rule.ts";
import { sayRule } from "./rule_object.ts";
import { importedSets } from "./set_object.ts";
import { emptySet, readSets } from "./sets.ts";
import type { SetSpec } from "../sets/spec.ts";
import { builtinChains } from "./rules.ts";
import { trackerName, trackerOf } from "../tables/timeouts.ts";
import { LeftOut, type LeftOutRule, ruleComment } from "./left_out.ts";
import { Comment, commentText, printProperty, templateText, UNFINISHED, type Value } from "./source_text.ts";

export { UNFINISHED } from "./source_text.ts";

/** A text and what messages call it. */
export interface RuleText {
  readonly name: string;
  readonly text: string;
}

const FACTORIES: Readonly<Record<string, (o: { autoAssign: boolean }) => ConntrackHelper>> = {
  ftp,
  irc,
  tftp,
  amanda,
  sane,
  talk,
};

/** One family's rules, and where they came from. */
interface Source extends RuleText {
  readonly family: Family;
  readonly set: RuleSet;
  /** Its rules that Weir cannot have. */
  readonly away: readonly LeftOutRule[];
}

/**
 * The text of a module that says the same; throws `ConfigError` with all that cannot be read. `leftOut` takes what is
 * right and Weir cannot have; without it that cannot be read.
 */
export function importRules(
  ipv4: RuleText | null,
  ipv6: RuleText | null,
  ipset: RuleText | null = null,
  leftOut?: LeftOut,
): string {
  const problems = new Problems();
  const helpers = Object.values(FACTORIES).map((make) => make({ autoAssign: false }));
  // What is in a set is nowhere in rules, unless the sets are given as well.
  const given = ipset === null ? new Map() : readSets(undefined, ipset.text, problems, ipset.name, leftOut);
  const sets = new Map<string, SetSpec>(given);
  for (const name of setsNamed(`${ipv4?.text}\n${ipv6?.text}`)) {
    if (!sets.has(name) && !leftOut?.sets.has(name)) sets.set(name, emptySet(name));
  }
  const sources: Source[] = [];
  for (const [family, source] of [[4, ipv4], [6, ipv6]] as const) {
    if (source === null) continue;
    const known = { interfaces: [], helpers, timeouts: null, sets, setsLeftOut: leftOut?.sets };
    const own = leftOut === undefined ? undefined : new LeftOut();
    const context = { family, ...known, leftOut: own, problems, warnings: new Problems() };
    const set = restoreRules(source.text, source.name, context);
    const away = own?.rules ?? [];
    leftOut?.rules.push(...away);
    sources.push({ ...source, family, set, away });
  }
  if (problems.list.length > 0) throw new ConfigError(problems.list);

  const interfaces = guessInterfaces(sources.map(({ set }) => set));
  const families: [string, Value][] = [];
  const texts: string[] = [];
  for (const source of sources) {
    const said: [string, Value][] = [], kept: string[] = [], reasons: string[] = [];
    for (const name of TABLE_NAMES) {
      const table = source.set[name];
      if (table === null) continue;
      const comments = commentsOf(source.away.filter((rule) => rule.table === name));
      const known = { interfaces: [...interfaces.keys()], helpers, timeouts: null, sets };
      const result = sayTable(table, comments, known);
      if ("reason" in result) {
        kept.push(saveTable(table, { notes: (chain, rule) => comments(chain, rule) }));
        reasons.push(`table ${name}, for ${result.reason}`);
      } else said.push([name, result.chains]);
    }
    for (const { line, reason } of source.away.filter(({ table }) => table === "security")) {
      texts.push(...[`Left out: ${reason}`, line].map((text) => `  // ${commentText(text)}`));
    }
    if (said.length > 0) families.push([`ipv${source.family}`, new Map(said)]);
    if (kept.length > 0) {
      const key = source.family === 4 ? "iptables" : "ip6tables";
      texts.push(
        "  // Text, because rule objects cannot say it:",
        ...reasons.map((reason) => `  // ${reason}`),
        `  ${key}: ${templateText(kept.join(""))},`,
      );
    }
  }
  const unknown = [...sets.keys()].filter((name) => !given.has(name));
  const named = unknown.length === 0 ? null : setsNamed(sources.map(({ set }) => saveRules(set)).join(""));
  const used = usedHelpers(sources.map(({ set }) => set));
  return [
    ...head([...sources, ...ipset === null ? [] : [ipset]], ["defineRouter", ...used].sort(), leftOut),
    "export default defineRouter({",
    ...printInterfaces(interfaces),
    ...(families.length === 0 ? [] : [`  ${printProperty("tables", new Map(families), 2)},`]),
    ...texts,
    ...importedSets(given, unknown.filter((name) => named!.has(name)), leftOut ?? new LeftOut()),
    ...printHelpers(used, spokenOf(sources.map(({ set }) => set))),
    ...printTimeouts(usedTimeouts(sources.map(({ set }) => set))),
    "});",
    "",
  ].join("\n");
}

/** Sets that rules name. */
function setsNamed(text: string): Set<string> {
  return new Set([...text.matchAll(/--(?:match|add|del|map)-set\s+"?([^\s"]+)/g)].map(([, name]) => name));
}

function head(sources: readonly RuleText[], names: readonly string[], leftOut?: LeftOut): string[] {
  const from = sources.map(({ name }) => fileName(name).replaceAll("*/", "* /")).join(" and ");
  return [
    "/**",
    ` * Rules imported from ${from}.`,
    " *",
    " * Rules do not say which addresses a router has. Fill them in below, beside each",
    " * interface; until then `weir check` points at what is missing.",
    ...(leftOut === undefined || leftOut.empty ? [] : [
      " *",
      ` * Weir does not support all of it: ${leftOut.counted} left out,`,
      ' * so it does not say what they said. Look for "Left out".',
    ]),
    " *",
    " * @module",
    " */",
    "",
    `import { ${names.join(", ")} } from "weir";`,
    "",
  ];
}

/** Without the folders, which are somebody's machine. */
function fileName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

// ── interfaces and helpers ──────────────────────────────────────────────────────────────────────────────────────────

/** Interfaces by name, with the pattern that one was guessed from. */
type Guesses = ReadonlyMap<string, string | null>;

/** The interfaces that rules name. A pattern that fits none of them gets one of its own. */
function guessInterfaces(sets: readonly RuleSet[]): Guesses {
  const names = new Set<string>(), patterns = new Set<string>();
  for (const { rules } of sets.flatMap(chainsOf)) {
    for (const { inInterface, outInterface } of rules) {
      for (const spec of [inInterface, outInterface]) {
        if (spec !== null) (spec.name.endsWith("+") ? patterns : names).add(spec.name);
      }
    }
  }
  const guesses = new Map<string, string | null>();
  for (const name of names) if (usable(name)) guesses.set(name, null);
  for (const pattern of patterns) {
    const beginning = pattern.slice(0, -1), name = `${beginning}0`;
    const fits = [...guesses.keys()].some((known) => known.startsWith(beginning));
    if (!fits && beginning !== "" && usable(name)) guesses.set(name, pattern);
  }
  return guesses;
}

/** Whether an interface of the router can have this name; a rule may ask for any. */
function usable(name: string): boolean {
  return /^[^\s/:]{1,15}$/.test(name) && ![".", "..", "lo", "all", "default", "__proto__"].includes(name);
}

function printInterfaces(guesses: Guesses): string[] {
  const lines = ["  interfaces: {"];
  const values = guesses.size > 0 ? guesses : new Map([["wan", null]]);
  if (guesses.size === 0) lines.push("    // No rule names an interface.");
  for (const [name, pattern] of values) {
    if (pattern !== null) lines.push(`    // The rules speak of ${pattern}.`);
    lines.push(`    ${printProperty(name, new Map([["addresses", [UNFINISHED]]]), 4)},`);
  }
  return [...lines, "  },"];
}

function chainsOf(set: RuleSet): readonly ChainSpec[] {
  return TABLE_NAMES.flatMap((name) => set[name]?.chains ?? []);
}

/** Helpers that a rule gives to flows (CT --helper), by their factories' names. */
function usedHelpers(sets: readonly RuleSet[]): string[] {
  const used = new Set<string>();
  for (const { rules } of sets.flatMap(chainsOf)) {
    for (const { target } of rules) {
      if (
        target?.kind === "target" && target.extension.name === "CT" && target.options.helper !== undefined
      ) {
        used.add(String(target.options.helper.value));
      }
    }
  }
  return [...used];
}

/** Conversations that need a helper where Linux's helpers are, and the factory that Weir has for each, if any. */
const CONVERSATIONS:
  readonly (readonly [name: string, protocol: number, port: number, factory: string | null])[] = [
    ["ftp", TCP, 21, "ftp"],
    ["irc", TCP, 6667, "irc"],
    ["sane", TCP, 6566, "sane"],
    ["tftp", UDP, 69, "tftp"],
    ["amanda", UDP, 10080, "amanda"],
    ["pptp", TCP, 1723, null],
    ["h323", TCP, 1720, null],
    ["sip", TCP, 5060, null],
    ["sip", UDP, 5060, null],
    ["netbios-ns", UDP, 137, null],
    ["snmp", UDP, 161, null],
  ];
/** A longer range of ports is about something else. */
const FEW_PORTS = 16;

/** Those whose server port a rule names. */
function spokenOf(sets: readonly RuleSet[]): (typeof CONVERSATIONS)[number][] {
  const rules = sets.flatMap(chainsOf).flatMap((chain) => chain.rules);
  return CONVERSATIONS.filter(([, protocol, port]) =>
    rules.some((rule) =>
      rule.protocol === protocol && !rule.protocolInvert &&
      rule.matches.some(({ options }) =>
        [options.dport, options.dports, options.ports].some((given) =>
          given !== undefined && !given.invert &&
          [given.value as Range | readonly Range[]].flat().some(({ min, max }) =>
            min <= port && port <= max && max - min < FEW_PORTS
          )
        )
      )
    )
  );
}

/** What is to be known of helpers, since rules hardly say it. */
function helperNotes(spoken: readonly (typeof CONVERSATIONS)[number][]): string[] {
  const say = ([name, protocol, port]: typeof CONVERSATIONS[number]) =>
    `${name} (${protocolName(protocol)} ${port})`;
  const there = spoken.filter(([, , , factory]) => factory !== null);
  const missing = spoken.filter(([, , , factory]) => factory === null);
  return [
    "  // Rules do not say which helpers the old machine had. There, `lsmod | grep nf_conntrack_`",
    "  // lists them, and `sysctl net.netfilter.nf_conntrack_helper` says 1 if they served their ports",
    "  // without a CT rule; so do those listed here as ftp().",
    ...(spoken.length === 0 ? ["  // No rule names the port of a conversation that needs one."] : []),
    ...(there.length === 0 ? [] : [`  // Rules name the ports of ${there.map(say).join(", ")}.`]),
    ...(missing.length === 0 ? [] : [
      `  // Rules name the ports of ${missing.map(say).join(", ")}: Weir has no such helper;`,
      "  // `defineHelper` makes one for what announces TCP or UDP ports (pptp's data is GRE).",
    ]),
  ];
}

function printHelpers(used: readonly string[], spoken: readonly (typeof CONVERSATIONS)[number][]): string[] {
  const notes = helperNotes(spoken);
  const more = [...new Set(spoken.flatMap(([, , , factory]) => factory === null ? [] : [factory]))]
    .filter((name) => !used.includes(name));
  if (used.length === 0) {
    return more.length === 0
      ? notes
      : [...notes, `  // helpers: [${more.map((name) => `${name}()`).join(", ")}],`];
  }
  const calls = used.map((name) => `${name}({ autoAssign: false })`);
  const line = `  helpers: [${calls.join(", ")}],`;
  const comment = "  // They serve only the flows that a CT rule gives them.";
  if (line.length <= 80) return [...notes, comment, line];
  return [...notes, comment, "  helpers: [", ...calls.map((call) => `    ${call},`), "  ],"];
}

/** Timeout policies that rules name (CT --timeout), with their protocol as the first of these rules has it. */
function usedTimeouts(sets: readonly RuleSet[]): Map<string, string> {
  const used = new Map<string, string>();
  for (const { rules } of sets.flatMap(chainsOf)) {
    for (const { target, protocol } of rules) {
      if (target?.kind !== "target" || target.extension.name !== "CT") continue;
      const name = (target.options.timeout?.value as { name: string } | undefined)?.name;
      if (name === undefined || target.options.notrack !== undefined || used.has(name)) continue;
      used.set(name, trackerName(trackerOf(protocol)));
    }
  }
  return used;
}

function printTimeouts(used: ReadonlyMap<string, string>): string[] {
  if (used.size === 0) return [];
  return [
    "  // The rules name them; what each state lasts stands elsewhere, and here until it is filled in",
    "  // nothing differs from the sysctls.",
    "  timeouts: {",
    ...[...used].map(([name, protocol]) =>
      `    ${printProperty(name, new Map([["protocol", protocol]]), 4)},`
    ),
    "  },",
  ];
}

// ── tables ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The chains of a table as objects, or the first rule that no object can say. */
function sayTable(
  table: TableSpec,
  comments: Comments,
  c: Pick<RuleContext, "interfaces" | "helpers" | "timeouts" | "sets">,
): { chains: Value } | { reason: string } {
  const jumps = (chain: ChainSpec) =>
    chain.rules.flatMap(({ target, path }) =>
      target !== null && "chain" in target ? [{ to: target.chain, path }] : []
    );
  const { hooks } = reach(
    table.chains.map((chain) => ({ name: chain.name, hook: chain.hook, jumps: jumps(chain) })),
  );
  const builtin = builtinChains(table.name);
  const userChains = new Set(table.chains.filter(({ hook }) => hook === null).map(({ name }) => name));
  const chains: [string, Value][] = [];
  // A table of which nothing is said is not there; one policy is enough.
  const silent = table.chains.every(({ hook, policy, rules }) =>
    rules.length === 0 && (hook === null || policy !== DROP)
  );
  for (const [i, chain] of table.chains.entries()) {
    if (chain.name === "__proto__") return { reason: "the chain __proto__, which no object has" };
    const rules: Value[] = [];
    const note = (before: number) => {
      const lines = comments(chain.name, before);
      if (lines.length > 0) rules.push(new Comment(lines));
    };
    for (const [before, rule] of chain.rules.entries()) {
      note(before);
      const said = sayRule(rule, table.family);
      const context = {
        ...c,
        table: table.name,
        family: table.family,
        hooks: hooks.get(chain.name)!,
        userChains,
        builtinChains: builtin,
      };
      if (said === null || readBack(said, context) !== saveRule(rule, table.family)) {
        return { reason: `the rule at ${fileName(rule.path)}` };
      }
      rules.push(said);
    }
    note(chain.rules.length);
    const policy = chain.hook === null
      ? null
      : chain.policy === DROP
      ? "DROP"
      : silent && i === 0
      ? "ACCEPT"
      : null;
    if (policy !== null) {
      chains.push([
        chain.name,
        new Map<string, Value>([
          ["policy", policy],
          ...(rules.length > 0 ? [["rules", rules] as const] : []),
        ]),
      ]);
    } else if (rules.length > 0 || chain.hook === null) chains.push([chain.name, rules]);
  }
  return { chains: new Map(chains) };
}

/** What stands in front of a chain's rule, or behind the last one, in place of rules that are left out. */
type Comments = (chain: string, before: number) => readonly string[];

function commentsOf(away: readonly LeftOutRule[]): Comments {
  const places = Map.groupBy(away, ({ chain, before }) => `${before} ${chain}`);
  return (chain, before) => places.get(`${before} ${chain}`)?.flatMap(ruleComment) ?? [];
}

/** The line that a rule object will print, null when it will be refused. */
function readBack(said: ReadonlyMap<string, Value>, c: RuleContext): string | null {
  const problems = new Problems();
  const rule = plain(said) as Record<string, unknown>;
  if (familyOfRule(rule, c.family, "rule", problems) === null) return null;
  const read = readRule(rule, "rule", c, problems);
  return problems.list.length > 0 || read.length !== 1 ? null : saveRule(read[0], c.family);
}

/** The value that the printed text evaluates to. */
function plain(value: Value): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, inner]) => [key, plain(inner)]));
  return Array.isArray(value) ? value.map(plain) : value;
}
