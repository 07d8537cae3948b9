/** `weir import FILE`: iptables-save text as a configuration module. */

import { parseArgs } from "@std/cli/parse-args";
import { LeftOut } from "../config/left_out.ts";
import { ConfigError } from "../config/problems.ts";
import { importRules, type RuleText } from "../config/typescript.ts";
import { type Command, Refused, unknownOption, Usage } from "./command.ts";
import { counted, listed } from "./load.ts";
import { complain, print } from "./output.ts";

/** Not called `import`, which is a word of the language. */
export const importCommand: Command = {
  name: "import",
  usage: "FILE [--ipv6 FILE6] [--ipset SETS] [--leave-out] | --ipv6 FILE6 | --ipset SETS",
  summary: "makes a configuration module of iptables-save text",
  help: `
Reads what iptables-save printed from FILE (- for standard input) and prints a configuration module that says the same
in TypeScript. The interfaces are those that the rules name; rules do not say what addresses a router has there, so
fill them in: \`weir check\` points at each place. Counters are left out. A table that holds a rule which objects cannot
say stays text as a whole, with the reason above it.

Rules do not say which helpers the old machine had loaded either: a comment names those whose ports the rules
mention, and how to find out.

What Weir does not support is refused, with file, line and column, all at once. With --leave-out the module is made
without it: each rule that asks for a match, target, helper or set that Weir has not stands as a comment at its place,
with the reason and with what differs without it, and standard error lists them. The module says something else than
the text did then; most of all where such a rule dropped. What is wrong, and not only unsupported, is refused still.

  --ipv6 FILE6   rules of IPv6, as ip6tables-save printed them
  --ipset SETS   the sets that rules name, as ipset save printed them; without it their members are to be filled in
  --leave-out    leaves out what Weir does not support, instead of refusing all

Example:
  $ weir import rules.v4 --ipv6 rules.v6 > router.ts
  $ weir import rules.v4 --ipset sets.txt > router.ts
  $ iptables-save | weir import - > router.ts
  $ weir save router.ts           # the same rules, to compare`,
  async run(args) {
    const options = parseArgs(args, {
      string: ["_", "ipv6", "ipset"],
      boolean: ["leave-out"],
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
    const from = [ipv4, ipv6, sets].flatMap((source) => source === null ? [] : [source.name]).join(", ");
    const leftOut = options["leave-out"] ? new LeftOut() : undefined;
    try {
      print(importRules(ipv4, ipv6, sets, leftOut).trimEnd());
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const reasons = listed(`${from}: ${counted(error.problems.length, "mistake")}`, error.problems);
      const could = leftOut === undefined && wouldDo(ipv4, ipv6, sets);
      throw new Refused(could ? `${reasons}\n  --leave-out makes a module without them` : reasons);
    }
    if (leftOut !== undefined && !leftOut.empty) complain(`weir: ${leftOut.report(from)}`);
    return 0;
  },
};

/** Whether nothing is wrong with the texts but that Weir does not support all of it. */
function wouldDo(...texts: [ipv4: RuleText | null, ipv6: RuleText | null, sets: RuleText | null]): boolean {
  try {
    importRules(...texts, new LeftOut());
    return true;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return false;
  }
}

async function read(path: string): Promise<RuleText> {
  if (path === "-") return { name: "stdin", text: await new Response(Deno.stdin.readable).text() };
  try {
    return { name: path, text: await Deno.readTextFile(path) };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new Refused(`${path}: ${error.message.replace(/ \(os error \d+\).*/, "")}`);
  }
}
