/** `weir check CONFIG`: reads a configuration as `run` would, and reports every mistake. */

import { parseArgs } from "@std/cli/parse-args";
import { type Command, onlyArgument, unknownOption } from "./command.ts";
import { counted, judge, listed, load, validated } from "./load.ts";
import { print } from "./output.ts";

export const check: Command = {
  name: "check",
  usage: "CONFIG [--json]",
  summary: "reports all mistakes of a configuration; starts nothing",
  help: `
Reads the configuration module CONFIG as \`run\` would. Every mistake is reported, each with its place, and nothing
is started: it needs no privilege.

  --json   prints {"ok", "problems": [{"path", "message"}], "warnings": …}

Example:
  $ weir check examples/gateway.ts
  examples/gateway.ts: no mistakes`,
  async run(args) {
    const options = parseArgs(args, { boolean: ["json"], string: ["_"], unknown: unknownOption });
    const path = onlyArgument(options._, "CONFIG");
    const { config } = await load(path);
    if (options.json) {
      const result = judge(config);
      const ok = "valid" in result;
      const problems = ok ? [] : result.problems, warnings = ok ? result.valid.warnings : [];
      print(JSON.stringify({ ok, problems, warnings }));
      return ok ? 0 : 1;
    }
    const { warnings } = validated(path, config);
    if (warnings.length === 0) print(`${path}: no mistakes`);
    else print(listed(`${path}: no mistakes, but ${counted(warnings.length, "warning")}`, warnings));
    return 0;
  },
};
