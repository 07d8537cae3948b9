/** `weir save CONFIG`: the rules of a configuration as iptables-save prints them. */

import { parseArgs } from "@std/cli/parse-args";
import { type DefinedRouter, defineRouter } from "../config/define.ts";
import { saveSets, unsaidSets } from "../config/ipset_save.ts";
import { saveRules, unsaid } from "../config/iptables_save.ts";
import type { Problem } from "../config/problems.ts";
import { UNFINISHED } from "../config/source_text.ts";
import type { ValidConfig } from "../config/valid.ts";
import { type Command, onlyArgument, Refused, unknownOption, Usage } from "./command.ts";
import { counted, judge, listed, load, validated } from "./load.ts";
import { complain, print } from "./output.ts";

export const save: Command = {
  name: "save",
  usage: "CONFIG [--ipv6] [--counters] | CONFIG --ipset",
  summary: "prints the rules as iptables-save does, or the sets as ipset save does",
  help: `
Prints the rules of the configuration module CONFIG as iptables-save would after loading them, however they are
written there: tables in the order in which a packet meets them, without comment lines. Rules that iptables has no
words for (a TypeScript function as a match, timeouts by state) are refused, each with its place.

  --ipv6       the rules of IPv6, as ip6tables-save prints them
  --counters   with packets and bytes, as iptables-save -c: those that an iptables text of the configuration begins with
  --ipset      instead of rules the sets, as ipset save prints them, members in the order of the configuration

A configuration that only lacks the addresses of its interfaces, as \`weir import\` makes it, is printed all the same,
and what it lacks is said on standard error.

Example:
  $ weir save examples/gateway.ts | iptables-restore --test
  $ weir save router.ts --ipset | ipset restore`,
  async run(args) {
    const options = parseArgs(args, {
      boolean: ["ipv6", "counters", "ipset"],
      string: ["_"],
      unknown: unknownOption,
    });
    const path = onlyArgument(options._, "CONFIG");
    const { config } = await load(path);
    const valid = withoutAddresses(path, config) ?? validated(path, config);
    if (options.ipset) {
      if (options.ipv6 || options.counters) {
        throw new Usage("--ipset stands alone: it prints sets, not rules");
      }
      return saveAllSets(path, valid);
    }
    const set = options.ipv6 ? valid.rules.ipv6 : valid.rules.ipv4;
    const problems = unsaid(set, valid);
    if (problems.length > 0) {
      const what = counted(problems.length, "thing");
      throw new Refused(listed(`${path}: ${what} that iptables cannot say`, problems));
    }
    const text = saveRules(set, { initial: options.counters });
    if (text !== "") print(text.trimEnd());
    return 0;
  },
};

function saveAllSets(path: string, { sets }: ValidConfig): number {
  const problems = unsaidSets(sets.values());
  if (problems.length > 0) {
    throw new Refused(listed(`${path}: ${counted(problems.length, "set")} that ipset cannot say`, problems));
  }
  const text = saveSets(sets.values());
  if (text !== "") print(text.trimEnd());
  return 0;
}

/** The configuration judged without addresses, when they are all that is wrong with it; null otherwise. */
function withoutAddresses(path: string, config: DefinedRouter): ValidConfig | null {
  const result = judge(config);
  if ("valid" in result) return result.valid;
  if (!result.problems.every(isAddress)) return null;
  const interfaces = Object.fromEntries(
    Object.entries(config.interfaces).map(([name, value]) => [name, { ...value, addresses: [] }]),
  );
  const sets = config.sets && Object.fromEntries(
    Object.entries(config.sets).map(([name, value]) => {
      return [name, { ...value, entries: value.entries.filter((entry) => entry !== UNFINISHED) }];
    }),
  );
  const again = judge(defineRouter({ ...config, interfaces, sets }));
  if ("problems" in again) return null;
  complain(`weir: ${listed(`${path} is not finished:`, result.problems)}`);
  return again.valid;
}

function isAddress({ path }: Problem): boolean {
  return /^(interfaces|sets)(\.[\w$]+|\["[^"]*"\])\.(addresses|entries)\[\d+\]$/.test(path);
}
