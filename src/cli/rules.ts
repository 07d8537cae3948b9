/** `weir rules`: the rules of a running router with what they have counted, or those of a configuration. */

import { parseArgs } from "@std/cli/parse-args";
import { type ListedChain, type ListedRule, type ListedTable, listRules } from "../config/rule_listing.ts";
import { writeInitialCounters } from "../tables/entry.ts";
import { TABLE_NAMES } from "../tables/extension.ts";
import { readRules } from "../control/rules_file.ts";
import { ask, CommandError, socketPath } from "../control/socket.ts";
import { stateDirectory, statePath } from "../control/state_file.ts";
import { type Command, Refused, unknownOption, Usage } from "./command.ts";
import { load, validated } from "./load.ts";
import { columns, print } from "./output.ts";
import { openRunning } from "./running.ts";

export const rules: Command = {
  name: "rules",
  usage: "[NAME | CONFIG] [--ipv6] [--table TABLE] [--save | --unused | --json] [--zero]",
  summary: "lists the rules of a running router with what they have counted",
  help: `
Lists the rules of the running router NAME, or of the only one, in the columns of \`iptables -L -v -n -x --line-numbers\`;
what a rule asks beside those columns, and what its target is told, stands behind them as iptables-save has it. It reads
the router's state file and the rules beside it, and disturbs nobody.

With CONFIG, a file, it lists the rules of that configuration and the counters that they begin with; nothing needs to run.

  --ipv6         the rules of IPv6; those of IPv4 otherwise
  --table TABLE  one of ${TABLE_NAMES.join(", ")}; all of them otherwise
  --save         prints what iptables-save -c would
  --unused       only the rules that no packet has matched, of both families unless --ipv6, each with its place
  --json         prints an array of tables, or of rules with --unused
  --zero         sets all counters of the router to zero, policies included, after it has listed them

Example:
  $ weir rules --table filter
  Chain FORWARD (policy DROP 1 packets, 40 bytes)
  num  pkts  bytes  target  prot  opt  in   out  source     destination
  1       8   1224  ACCEPT  all   --   *    *    0.0.0.0/0  0.0.0.0/0    -m state --state RELATED,ESTABLISHED
  2       2     80  ACCEPT  all   --   lan  wan  0.0.0.0/0  0.0.0.0/0`,
  async run(args) {
    const options = parseArgs(args, {
      boolean: ["ipv6", "save", "unused", "json", "zero"],
      string: ["_", "table", "name"],
      unknown: unknownOption,
    });
    const words = options._.map(String);
    if (words.length > 1) throw new Usage(`too many arguments: ${words.join(" ")}`);
    if ([options.save, options.unused, options.json && options.save].filter(Boolean).length > 1) {
      throw new Usage(
        "--save, --unused and --json are different listings; only --unused and --json go together",
      );
    }
    const table = TABLE_NAMES.find((name) => name === options.table);
    if (options.table !== undefined && table === undefined) {
      throw new Usage(`--table ${options.table}: one of ${TABLE_NAMES.join(", ")}`);
    }
    const [word] = words,
      // What can only be a file is told to be missing by who looks for it.
      isConfig = word !== undefined && (isFile(word) || /\.[mc]?[jt]s$|\//.test(word)),
      name = isConfig ? undefined : word ?? options.name;
    if (options.zero && isConfig) throw new Usage("--zero is for a running router");
    const counted = isConfig ? await ofConfig(word) : ofRunning(name);
    const asked = counted.tables.filter((t) =>
      (table === undefined || t.name === table) &&
      (t.family === (options.ipv6 ? 6 : 4) || options.unused && !options.ipv6)
    );
    const text = options.unused
      ? unused(asked, counted.counters, options.json)
      : options.json
      ? JSON.stringify(asked.map((t) => data(t, counted.counters)))
      : options.save
      ? asked.map((t) => saved(t, counted.counters)).join("\n")
      : asked.map((t) => listing(t, counted.counters, asked.length > 1)).join("\n\n");
    if (text !== "") print(text);
    if (options.zero) await zero(counted.name);
    return 0;
  },
};

/** Rules and what they have counted: packets and bytes for each slot. */
export interface Counted {
  /** The router's name, "" for a configuration. */
  readonly name: string;
  readonly tables: readonly ListedTable[];
  readonly counters: Float64Array;
}

/** Of the running router of a name, or of the only one. */
export function ofRunning(name?: string, directory = stateDirectory()): Counted {
  const { name: found, view } = openRunning(name, directory);
  try {
    const { memory } = view, file = readRules(statePath(found, directory));
    if (file === null) throw new Refused(`router ${found} has left no rules beside its state file`);
    if (file.generation !== memory.generation.at || file.slots !== memory.geometry.rules) {
      throw new Refused(`the rules of router ${found} are being replaced; ask once more`);
    }
    return { name: found, tables: file.tables, counters: memory.generation.rules.slice() };
  } finally {
    view.close();
  }
}

async function ofConfig(path: string): Promise<Counted> {
  const valid = validated(path, (await load(path)).config), counters = new Float64Array(2 * valid.counters);
  writeInitialCounters(valid.rules.ipv4, counters);
  writeInitialCounters(valid.rules.ipv6, counters);
  return { name: "", tables: listRules(valid.rules), counters };
}

function isFile(path: string): boolean {
  for (const folder of ["", `${Deno.env.get("INIT_CWD") ?? "."}/`]) {
    try {
      if (Deno.statSync(path.startsWith("/") ? path : folder + path).isFile) return true;
    } catch {
      // Not there.
    }
  }
  return false;
}

/** Sets the counters of a running router to zero. */
export async function zero(name: string, directory = stateDirectory()): Promise<void> {
  try {
    await ask(socketPath(statePath(name, directory)), { command: "zero-rules" });
  } catch (error) {
    if (error instanceof CommandError) throw new Refused(error.message);
    throw error;
  }
}

// ── listings ──────────────────────────────────────────────────────────────────────────────────────────────────────

const HEAD = ["num", "pkts", "bytes", "target", "prot", "opt", "in", "out", "source", "destination", ""];

/** As iptables -L lists a table; its name in front of each chain where there are several. */
function listing(table: ListedTable, counters: Float64Array, several: boolean): string {
  return table.chains.map((chain) => {
    const head = `Chain ${chain.name} (${policyText(chain, counters)})`;
    const rows = chain.rules.map((rule) => [
      rule.number,
      ...countersOf(rule, counters),
      rule.target,
      rule.protocol,
      rule.fragment,
      rule.in,
      rule.out,
      rule.source,
      rule.destination,
      rule.rest,
    ]);
    const lines = rows.length === 0 ? [] : columns(HEAD, rows).split("\n").map((line) => line.trimEnd());
    return [several ? `${table.name}: ${head}` : head, ...lines].join("\n");
  }).join("\n\n");
}

function policyText(chain: ListedChain, counters: Float64Array): string {
  if (chain.policy === null) return `${chain.references} reference${chain.references === 1 ? "" : "s"}`;
  const [packets, bytes] = countersOf(chain, counters);
  return `policy ${chain.policy} ${packets} packets, ${bytes} bytes`;
}

/** As iptables-save -c prints a table. */
export function saved(table: ListedTable, counters: Float64Array): string {
  const pair = (of: { slot: number }) => `[${countersOf(of, counters).join(":")}]`;
  return [
    `*${table.name}`,
    ...table.chains.map((c) => `:${c.name} ${c.policy ?? "-"} ${c.policy === null ? "[0:0]" : pair(c)}`),
    ...table.chains.flatMap((chain) =>
      chain.rules.map((rule) => `${pair(rule)} -A ${chain.name}${rule.save}`)
    ),
    "COMMIT",
  ].join("\n");
}

/** Rules without a match; of a rule that is in both families only if it has none in either. */
function unused(tables: readonly ListedTable[], counters: Float64Array, json: boolean): string {
  const used = new Set<string>(),
    found = new Map<string, { table: string; chain: string; rule: ListedRule }>();
  for (const { name, chains } of tables) {
    for (const chain of chains) {
      for (const rule of chain.rules) {
        const key = `${name} ${chain.name} ${rule.place}`;
        if (countersOf(rule, counters)[0] > 0) used.add(key);
        else if (!found.has(key)) found.set(key, { table: name, chain: chain.name, rule });
      }
    }
  }
  const rest = [...found].filter(([key]) => !used.has(key)).map(([, entry]) => entry);
  if (json) {
    return JSON.stringify(
      rest.map(({ table, chain, rule: { number, place, text } }) => ({ table, chain, number, place, text })),
    );
  }
  return rest.map(({ table, chain, rule }) => `${table} ${chain} ${rule.number}: ${rule.place} ${rule.text}`)
    .join("\n");
}

function data({ family, name, chains }: ListedTable, counters: Float64Array) {
  return {
    family,
    table: name,
    chains: chains.map((chain) => ({
      chain: chain.name,
      policy: chain.policy,
      references: chain.references,
      ...chain.policy === null ? {} : counts(chain, counters),
      rules: chain.rules.map(({ slot, ...rule }) => ({ ...rule, ...counts({ slot }, counters) })),
    })),
  };
}

function counts(of: { readonly slot: number }, counters: Float64Array) {
  const [packets, bytes] = countersOf(of, counters);
  return { packets, bytes };
}

function countersOf({ slot }: { readonly slot: number }, counters: Float64Array): [number, number] {
  return [counters[2 * slot], counters[2 * slot + 1]];
}
