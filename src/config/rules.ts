/**
 * The tables that a user writes as TypeScript objects, read into the rules of both families.
 *
 * @module
 */
import { ACCEPT, DROP, type Family, type Hook, HOOK_NAMES } from "../netfilter.ts";
import {
  type ChainSpec,
  counterSlots,
  type RuleSet,
  type RuleSpec,
  type TableSpec,
} from "../tables/entry.ts";
import { type CheckContext, TABLE_NAMES, type TableName } from "../tables/extension.ts";
import { show } from "../tables/kinds.ts";
import { TABLES } from "../tables/mod.ts";
import { TARGETS } from "../targets/mod.ts";
import { tracks } from "./finish.ts";
import { child, isObject, nearest, Problems } from "./problems.ts";
import { reach } from "./reach.ts";
import { familyOfRule, readRule, VERDICTS } from "./rule.ts";
import { expandMap, RuleMap } from "./rule_map.ts";

/** What rules may refer to beside each other. */
export interface RulesContext {
  readonly interfaces: readonly string[];
  readonly helpers: CheckContext["helpers"];
  readonly timeouts: CheckContext["timeouts"];
  readonly sets?: CheckContext["sets"];
  readonly setsLeftOut?: CheckContext["setsLeftOut"];
  readonly problems: Problems;
  readonly warnings: Problems;
}

/** One rule as written, and for which families it is. */
interface Written {
  readonly rule: Record<string, unknown>;
  readonly path: string;
  readonly families: readonly Family[];
}

/** A chain as written, its rules from the common part and then from each family's. */
interface WrittenChain {
  readonly path: string;
  readonly rules: Written[];
  /** Policy by family; the family's own counts before the common one. */
  readonly policy: Map<Family, number>;
  /** Families in which the chain exists. */
  readonly families: Set<Family>;
}

type WrittenTable = Map<string, WrittenChain>;

const FAMILIES: readonly Family[] = [4, 6];
/** Longest name that the kernel's structures hold. */
const CHAIN_NAME = 28;

/** Names of a table's built-in chains. */
export function builtinChains(table: TableName): string[] {
  return TABLES[table].hooks.map((hook) => HOOK_NAMES[hook]);
}

/** What is wrong with a user chain's name, or null. */
export function chainNameProblem(name: string): string | null {
  if (name.length > CHAIN_NAME) {
    return `is ${name.length} characters long; a chain's name has ${CHAIN_NAME} at most`;
  }
  if (name === "" || /\s/.test(name)) {
    return "has a blank in it, or is empty; choose another name for the chain";
  }
  if (/^[-!]/.test(name)) return "begins with - or !; choose another name for the chain";
  if (Object.hasOwn(VERDICTS, name) || TARGETS.some((target) => target.name === name)) {
    return "is the name of a target; choose another name for the chain";
  }
  return null;
}

/** Reads `tables`. Counter slots are not given yet. */
export function readTables(input: unknown, path: string, c: RulesContext): Record<4 | 6, RuleSet> {
  const written = new Map<TableName, WrittenTable>(TABLE_NAMES.map((name) => [name, new Map()]));
  if (input !== undefined) {
    if (!isObject(input)) c.problems.add(path, "is not an object with tables; write { filter: { … } }");
    else collectAll(input, path, c, written);
  }
  const sets = FAMILIES.map((family) => {
    const tables = TABLE_NAMES.map((name) => [name, buildTable(name, family, written.get(name)!, c)]);
    return { family, ...Object.fromEntries(tables) } as RuleSet;
  });
  return { 4: sets[0], 6: sets[1] };
}

function collectAll(
  input: Record<string, unknown>,
  path: string,
  c: RulesContext,
  written: Map<TableName, WrittenTable>,
) {
  c.problems.unknownKeys(path, input, [...TABLE_NAMES, "ipv4", "ipv6"]);
  const sections = [[0, input, path], [4, input.ipv4, child(path, "ipv4")], [
    6,
    input.ipv6,
    child(path, "ipv6"),
  ]] as const;
  for (const [section, tables, sectionPath] of sections) {
    if (tables === undefined) continue;
    if (!isObject(tables)) {
      c.problems.add(sectionPath, "is not an object with tables; write { filter: { … } }");
      continue;
    }
    if (section !== 0) c.problems.unknownKeys(sectionPath, tables, TABLE_NAMES);
    for (const name of TABLE_NAMES) {
      const table = tables[name], tablePath = child(sectionPath, name);
      if (table === undefined) continue;
      if (!isObject(table)) {
        c.problems.add(tablePath, "is not an object with chains; write { FORWARD: [ … ] }");
        continue;
      }
      for (const [chain, value] of Object.entries(table)) {
        if (value !== undefined) {
          collectChain(name, chain, value, child(tablePath, chain), section, c, written.get(name)!);
        }
      }
    }
  }
}

function collectChain(
  table: TableName,
  name: string,
  input: unknown,
  path: string,
  section: Family | 0,
  c: RulesContext,
  chains: WrittenTable,
): void {
  const { problems } = c;
  const builtin = builtinChains(table), isBuiltin = builtin.includes(name);
  if (!isBuiltin) {
    if ((HOOK_NAMES as readonly string[]).includes(name)) {
      problems.add(path, `table ${table} has no chain ${name}; it has ${builtin.join(", ")}`);
      return;
    }
    const wrong = chainNameProblem(name);
    if (wrong !== null) problems.add(path, wrong);
  }
  let chain = chains.get(name);
  if (chain === undefined) {
    chains.set(name, chain = { path, rules: [], policy: new Map(), families: new Set() });
  }
  const families = section === 0 ? FAMILIES : [section];
  families.forEach((family) => chain.families.add(family));

  let rules: unknown = input, rulesPath = path;
  if (isObject(input)) {
    problems.unknownKeys(path, input, ["policy", "rules"]);
    readPolicy(table, name, isBuiltin, input.policy, child(path, "policy"), problems)
      .forEach((policy) => families.forEach((family) => chain.policy.set(family, policy)));
    rules = input.rules ?? [];
    rulesPath = child(path, "rules");
  }
  if (!Array.isArray(rules)) {
    problems.add(rulesPath, "is not an array of rules, nor { policy, rules }");
    return;
  }
  rules.forEach((rule, i) => {
    const rulePath = child(rulesPath, i);
    const add = (rule: Record<string, unknown>, rulePath: string) => {
      const family = familyOfRule(rule, section, rulePath, problems);
      if (family === null) return;
      chain.rules.push({ rule, path: rulePath, families: family === 0 ? families : [family] });
    };
    if (rule instanceof RuleMap) {
      expandMap(rule, rulePath, problems).forEach((entry) => add(entry.rule, entry.path));
      return;
    }
    if (!isObject(rule)) {
      problems.add(rulePath, 'is not a rule; write an object such as { protocol: "tcp", jump: "ACCEPT" }');
      return;
    }
    add(rule, rulePath);
  });
}

/** The policy as a list of one, or of none. */
function readPolicy(
  table: TableName,
  chain: string,
  builtin: boolean,
  policy: unknown,
  path: string,
  problems: Problems,
): number[] {
  if (policy === undefined) return [];
  if (!builtin) {
    const near = nearest(chain, builtinChains(table));
    problems.add(
      path,
      `only built-in chains have a policy${
        near === null ? "; end the chain with a rule that jumps to it" : `; did you mean the chain ${near}?`
      }`,
    );
    return [];
  }
  if (policy !== "ACCEPT" && policy !== "DROP") {
    problems.add(path, `${show(policy)} is not a policy; write "ACCEPT" or "DROP"`);
    return [];
  }
  if (policy === "DROP" && table === "nat") {
    problems.add(path, "DROP is not allowed in table nat, which sees first packets only; drop in filter");
    return [];
  }
  return [policy === "DROP" ? DROP : ACCEPT];
}

/** Jumps of a rule, as far as they can be seen before it is read. */
function jumpsOf({ rule, path }: Written): { to: string; path: string }[] {
  const to = rule.jump ?? rule.goto;
  return typeof to === "string" ? [{ to, path }] : [];
}

function buildTable(
  table: TableName,
  family: Family,
  chains: WrittenTable,
  c: RulesContext,
): TableSpec | null {
  const definition = TABLES[table];
  const written = (name: string) => {
    const chain = chains.get(name);
    return chain?.families.has(family) ? chain : undefined;
  };
  const builtin = builtinChains(table);
  const userChains = new Set(
    [...chains].filter(([name, chain]) => chain.families.has(family) && !builtin.includes(name))
      .map(([name]) => name).sort(),
  );
  const listed: { name: string; hook: Hook | null; rules: Written[] }[] = [
    ...definition.hooks.map((hook) => ({ name: HOOK_NAMES[hook] as string, hook: hook as Hook | null })),
    ...[...userChains].map((name) => ({ name, hook: null })),
  ].map(({ name, hook }) => ({
    name,
    hook,
    rules: written(name)?.rules.filter((rule) => rule.families.includes(family)) ?? [],
  }));
  const policyGiven = listed.some(({ name }) => written(name)?.policy.has(family));
  if (!policyGiven && listed.every(({ rules }) => rules.length === 0)) return null;

  const { hooks, loops } = reach(
    listed.map(({ name, hook, rules }) => ({ name, hook, jumps: rules.flatMap(jumpsOf) })),
  );
  for (const { chains: circle, path } of loops) {
    c.problems.add(path, `makes a loop: ${circle.join(" → ")}; a packet would never leave it`);
  }
  const problems = new Problems();
  const specs = listed.map(({ name, hook, rules }): ChainSpec => {
    const context = {
      table,
      family,
      hooks: hooks.get(name)!,
      userChains,
      builtinChains: builtin,
      interfaces: c.interfaces,
      helpers: c.helpers,
      timeouts: c.timeouts,
      sets: c.sets,
    };
    if (hook === null && hooks.get(name) === 0 && rules.length > 0 && loops.length === 0) {
      const near = nearest(name, builtinChains(table));
      c.warnings.add(
        written(name)!.path,
        `is never jumped to${near === null ? "" : `; did you mean the chain ${near}?`}`,
      );
    }
    return {
      name,
      hook,
      policy: (written(name)?.policy.get(family) ?? ACCEPT) as ChainSpec["policy"],
      packets: 0,
      bytes: 0,
      rules: rules.flatMap(({ rule, path }): RuleSpec[] => readRule(rule, path, context, problems)),
    };
  });
  c.problems.addNew(problems);
  return { name: table, family, chains: specs, counters: 0 };
}

/** Gives every rule and policy of both families its counter slot; returns how many there are. */
export function assignCounters(
  sets: Record<4 | 6, RuleSet>,
): { sets: Record<4 | 6, RuleSet>; slots: number } {
  let slots = 0;
  const assign = (set: RuleSet): RuleSet => {
    const tables = TABLE_NAMES.map((name) => {
      const table = set[name];
      if (table === null) return [name, null];
      const counters = slots;
      slots += counterSlots(table);
      return [name, { ...table, counters }];
    });
    return { family: set.family, ...Object.fromEntries(tables) } as RuleSet;
  };
  return { sets: { 4: assign(sets[4]), 6: assign(sets[6]) }, slots };
}

/** True when some rule asks about flows, or changes them. */
export function rulesTrack(set: RuleSet): boolean {
  return TABLE_NAMES.some((name) =>
    set[name]?.chains.some((chain) =>
      chain.rules.some((rule) =>
        rule.matches.some(({ extension, options }) => tracks(extension, options)) ||
        rule.target?.kind === "target" && tracks(rule.target.extension, rule.target.options)
      )
    )
  );
}

/** Whether some rule needs the packets and bytes of flows. */
export function rulesCount(set: RuleSet): boolean {
  return TABLE_NAMES.some((name) =>
    set[name]?.chains.some((chain) =>
      chain.rules.some((rule) => rule.matches.some(({ extension }) => extension.counts))
    )
  );
}
