/**
 * The `weir` command: finds the subcommand, and turns what it throws into a reason and an exit code.
 *
 * @module
 */

import { nearest } from "../config/problems.ts";
import { check } from "./check.ts";
import { type Command, Refused, Usage } from "./command.ts";
import { conntrack } from "./conntrack.ts";
import { explain } from "./explain.ts";
import { helpOf, overview } from "./help.ts";
import { helpers } from "./helpers.ts";
import { importCommand } from "./import.ts";
import { metrics } from "./metrics.ts";
import { complain, print } from "./output.ts";
import { pinholes } from "./pinholes.ts";
import { reload } from "./reload.ts";
import { replay } from "./replay.ts";
import { rules } from "./rules.ts";
import { run } from "./run.ts";
import { save } from "./save.ts";
import { set } from "./set.ts";

/** All subcommands, in the order in which a user meets them. */
export const COMMANDS: readonly Command[] = [
  check,
  run,
  reload,
  conntrack,
  helpers,
  set,
  pinholes,
  metrics,
  rules,
  save,
  importCommand,
  explain,
  replay,
];

/** Runs the command line; resolves to the exit code: 0 done, 1 refused, 2 wrong usage. */
export async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined) {
    complain(overview(COMMANDS));
    return 2;
  }
  if (name === "help" || name === "--help" || name === "-h") return help(rest[0]);
  const command = COMMANDS.find((c) => c.name === name);
  if (command === undefined) return unknown(name);
  const end = rest.indexOf("--");
  if ((end < 0 ? rest : rest.slice(0, end)).some((arg) => arg === "--help" || arg === "-h")) {
    return help(name);
  }
  try {
    return await command.run(rest);
  } catch (error) {
    if (error instanceof Usage) {
      complain(`weir ${name}: ${error.message}\nusage: weir ${name} ${command.usage}`);
      return 2;
    }
    if (error instanceof Refused) {
      complain(`weir: ${error.message}`);
      return 1;
    }
    throw error;
  }
}

function help(name: string | undefined): number {
  if (name === undefined || name.startsWith("-")) {
    print(overview(COMMANDS));
    return 0;
  }
  const command = COMMANDS.find((c) => c.name === name);
  if (command === undefined) return unknown(name);
  print(helpOf(command));
  return 0;
}

function unknown(name: string): number {
  const meant = nearest(name, COMMANDS.map((c) => c.name));
  complain(
    `weir: there is no command ${name}${meant ? `; did you mean ${meant}?` : ""}\n\n${overview(COMMANDS)}`,
  );
  return 2;
}
