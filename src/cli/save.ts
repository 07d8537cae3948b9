/** `weir save CONFIG`: the rules of a configuration as iptables-save prints them. */

import { parseArgs } from "@std/cli/parse-args";
import { type DefinedRouter, defineRouter } from "../config/define.ts";
import { saveRules, unsaid } from "../config/iptables_save.ts";
import type { Problem } from "../config/problems.ts";
import type { ValidConfig } from "../config/valid.ts";
import { type Command, onlyArgument, Refused, unknownOption } from "./command.ts";
import { counted, judge, listed, load, validated } from "./load.ts";
import { complain, print } from "./output.ts";

export const save: Command = {
  name: "save",
  usage: "CONFIG [--ipv6] [--counters]",
  summary: "prints the rules as iptables-save does",
  help: `
Prints the rules of the configuration module CONFIG as iptables-save would after loading them, however they are
written there: tables in the order in which a packet meets them, without comment lines. Rules that iptables has no
words for (a TypeScript function as a match, timeouts by state) are refused, each with its place.

  --ipv6       the rules of IPv6, as ip6tables-save prints them
  --counters   with packets and bytes, as iptables-save -c: those that an iptables text of the configuration begins with

A configuration that only lacks the addresses of its interfaces, as \`weir import\` makes it, is printed all the same,
and what it lacks is said on standard error.

Example:
  $ weir save examples/gateway.ts | iptables-restore --test`,
  async run(args) {
    const options = parseArgs(args, {
      boolean: ["ipv6", "counters"],
      string: ["_"],
      unknown: unknownOption,
    });
    const path = onlyArgument(options._, "CONFIG");
    const { config } = await load(path);
    const valid = withoutAddresses(path, config) ?? validated(path, config);
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

/** The configuration judged without addresses, when they are all that is wrong with it; null otherwise. */
function withoutAddresses(path: string, config: DefinedRouter): ValidConfig | null {
  const result = judge(config);
  if ("valid" in result) return result.valid;
  if (!result.problems.every(isAddress)) return null;
  const interfaces = Object.fromEntries(
    Object.entries(config.interfaces).map(([name, value]) => [name, { ...value, addresses: [] }]),
  );
  const sets = config.sets && Object.fromEntries(
    Object.entries(config.sets).map(([name, value]) => [name, { ...value, entries: [] }]),
  );
  const again = judge(defineRouter({ ...config, interfaces, sets }));
  if ("problems" in again) return null;
  complain(`weir: ${listed(`${path} is not finished:`, result.problems)}`);
  return again.valid;
}

function isAddress({ path }: Problem): boolean {
  return /^(interfaces|sets)(\.[\w$]+|\["[^"]*"\])\.(addresses|entries)\[\d+\]$/.test(path);
}
