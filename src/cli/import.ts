/** `weir import FILE`: iptables-save text as a configuration module. */

import { parseArgs } from "@std/cli/parse-args";
import { ConfigError } from "../config/problems.ts";
import { importRules, type RuleText } from "../config/typescript.ts";
import { type Command, Refused, unknownOption, Usage } from "./command.ts";
import { counted, listed } from "./load.ts";
import { print } from "./output.ts";

/** Not called `import`, which is a word of the language. */
export const importCommand: Command = {
  name: "import",
  usage: "FILE [--ipv6 FILE6] [--ipset SETS] | --ipv6 FILE6 | --ipset SETS",
  summary: "makes a configuration module of iptables-save text",
  help: `
Reads what iptables-save printed from FILE (- for standard input) and prints a configuration module that says the same
in TypeScript. The interfaces are those that the rules name; rules do not say what addresses a router has there, so
fill them in: \`weir check\` points at each place. Counters are left out. A table that holds a rule which objects cannot
say stays text as a whole, with the reason above it.

Rules do not say which helpers the old machine had loaded either: a comment names those whose ports the rules
mention, and how to find out.

What Weir does not support is refused, with file, line and column, all at once.

  --ipv6 FILE6   rules of IPv6, as ip6tables-save printed them
  --ipset SETS   the sets that rules name, as ipset save printed them; without it their members are to be filled in

Example:
  $ weir import rules.v4 --ipv6 rules.v6 > router.ts
  $ weir import rules.v4 --ipset sets.txt > router.ts
  $ iptables-save | weir import - > router.ts
  $ weir save router.ts           # the same rules, to compare`,
  async run(args) {
    const options = parseArgs(args, {
      string: ["_", "ipv6", "ipset"],
      unknown: (arg: string, key?: string) => arg === "-" || unknownOption(arg, key),
    });
    const files = options._.map(String);
    if (files.length > 1) {
      throw new Usage(`one FILE only, but there are ${files.length}: ${files.join(" ")}`);
    }
    const [file] = files, file6 = options.ipv6, fileSets = options.ipset;
    if (file6 === "") throw new Usage("--ipv6 needs the name of a file");
    if (fileSets === "") throw new Usage("--ipset needs the name of a file");
    const all = [file, file6, fileSets].filter((path) => path !== undefined);
    if (all.length === 0) throw new Usage("FILE is missing");
    if (all.filter((path) => path === "-").length > 1) {
      throw new Usage("only one of the files can be standard input");
    }
    const ipv4 = file === undefined ? null : await read(file);
    const ipv6 = file6 === undefined ? null : await read(file6);
    const sets = fileSets === undefined ? null : await read(fileSets);
    try {
      print(importRules(ipv4, ipv6, sets).trimEnd());
      return 0;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const names = [ipv4, ipv6, sets].flatMap((source) => source === null ? [] : [source.name]);
      throw new Refused(
        listed(`${names.join(", ")}: ${counted(error.problems.length, "mistake")}`, error.problems),
      );
    }
  },
};

async function read(path: string): Promise<RuleText> {
  if (path === "-") return { name: "stdin", text: await new Response(Deno.stdin.readable).text() };
  try {
    return { name: path, text: await Deno.readTextFile(path) };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new Refused(`${path}: ${error.message.replace(/ \(os error \d+\).*/, "")}`);
  }
}
