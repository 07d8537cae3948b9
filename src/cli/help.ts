/** What `weir`, `weir help` and `--help` print. */

import type { Command } from "./command.ts";

/** One line about all commands for whom none is named. */
export function overview(commands: readonly Command[]): string {
  const width = Math.max(...commands.map((c) => c.name.length));
  return [
    "Weir, a router that is a TypeScript program.",
    "",
    "Usage: weir COMMAND …        (deno run -A mod.ts COMMAND …)",
    "",
    ...commands.map((c) => `  ${c.name.padEnd(width)}  ${c.summary}`),
    "",
    "weir COMMAND --help says more, with an example. Exit codes: 0 done, 1 refused, 2 wrong usage.",
  ].join("\n");
}

/** What `weir COMMAND --help` prints. */
export function helpOf(command: Command): string {
  return `Usage: weir ${command.name} ${command.usage}\n\n${command.help.trim()}`;
}
