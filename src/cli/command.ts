/** What a subcommand is, and how it says no. */

/** One subcommand of `weir`. */
export interface Command {
  readonly name: string;
  /** What follows the name: `CONFIG`. */
  readonly usage: string;
  /** One line for the overview. */
  readonly summary: string;
  /** What `--help` prints below the usage line; ends with an example. */
  readonly help: string;
  /** Does it, and resolves to the exit code. Throws `Usage` and `Refused`. */
  run(args: readonly string[]): Promise<number>;
}

/** The command was not written as it must be: exit code 2. */
export class Usage extends Error {
  override name = "Usage";
}

/** It cannot be done, and the message says why in words for the user: exit code 1. */
export class Refused extends Error {
  override name = "Refused";
}

/** For `parseArgs`: an option that the command does not have is wrong usage, a positional argument is not. */
export function unknownOption(arg: string, key?: string): boolean {
  if (key !== undefined) throw new Usage(`unknown option ${arg}`);
  return true;
}

/** Exactly one positional argument. */
export function onlyArgument(args: readonly (string | number)[], name: string): string {
  if (args.length === 0) throw new Usage(`${name} is missing`);
  if (args.length > 1) throw new Usage(`one ${name} only, but there are ${args.length}: ${args.join(" ")}`);
  return String(args[0]);
}
