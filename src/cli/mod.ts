/**
 * The `weir` command: finds the subcommand, and turns what it throws into a reason and an exit code.
 *
 * @module
 */

import { nearest } from "../config/problems.ts";
import { type Command, Refused, Usage } from "./command.ts";
import { helpOf, overview } from "./help.ts";
import { complain, helpWidth, print } from "./output.ts";

/** All subcommands by their names, in the order in which a user meets them. One is loaded when it is asked for. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  check: async () => (await import("./check.ts")).check,
  run: async () => (await import("./run.ts")).run,
  reload: async () => (await import("./reload.ts")).reload,
  conntrack: async () => (await import("./conntrack.ts")).conntrack,
  helpers: async () => (await import("./helpers.ts")).helpers,
  set: async () => (await import("./set.ts")).set,
  pinholes: async () => (await import("./pinholes.ts")).pinholes,
  metrics: async () => (await import("./metrics.ts")).metrics,
  rules: async () => (await import("./rules.ts")).rules,
  save: async () => (await import("./save.ts")).save,
  import: async () => (await import("./import.ts")).importCommand,
  explain: async () => (await import("./explain.ts")).explain,
  replay: async () => (await import("./replay.ts")).replay,
};

/** All subcommands. */
export function allCommands(): Promise<Command[]> {
  return Promise.all(Object.values(COMMANDS).map((load) => load()));
}

/** The command of a name, null if there is none. */
async function commandOf(name: string): Promise<Command | null> {
  return Object.hasOwn(COMMANDS, name) ? await COMMANDS[name]() : null;
}

/** Runs the command line; resolves to the exit code: 0 done, 1 refused, 2 wrong usage. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    return await obey(args);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    complain(`weir: ${error.message}`);
    return 1;
  }
}

async function obey(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined) {
    complain(overview(await allCommands(), helpWidth(Deno.stderr)));
    return 2;
  }
  if (name === "help" || name === "--help" || name === "-h") return help(rest[0]);
  if (name === "--version" || name === "-V") {
    const { version } = JSON.parse(await Deno.readTextFile(new URL("../../deno.json", import.meta.url)));
    print(`weir ${version} (deno ${Deno.version.deno})`);
    return 0;
  }
  const command = await commandOf(name);
  if (command === null) return unknown(name);
  const end = rest.indexOf("--");
  if ((end < 0 ? rest : rest.slice(0, end)).some((arg) => arg === "--help" || arg === "-h")) {
    return help(name);
  }
  try {
    return await command.run(rest);
  } catch (error) {
    if (!(error instanceof Usage)) throw error;
    complain(`weir ${name}: ${error.message}\nusage: weir ${name} ${command.usage}`);
    return 2;
  }
}

async function help(name: string | undefined): Promise<number> {
  if (name === undefined || name.startsWith("-")) {
    print(overview(await allCommands(), helpWidth(Deno.stdout)));
    return 0;
  }
  const command = await commandOf(name);
  if (command === null) return unknown(name);
  print(helpOf(command, helpWidth(Deno.stdout)));
  return 0;
}

async function unknown(name: string): Promise<number> {
  const meant = nearest(name, Object.keys(COMMANDS)), commands = await allCommands();
  complain(
    `weir: there is no command ${name}${meant ? `; did you mean ${meant}?` : ""}\n\n${
      overview(commands, helpWidth(Deno.stderr))
    }`,
  );
  return 2;
}
