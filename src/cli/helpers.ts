/** `weir helpers`: the helpers of a running router, read from its state file; loaded and unloaded through its socket. */

import { parseArgs } from "@std/cli/parse-args";
import { protocolName } from "../conntrack/format.ts";
import { flowsByHelper } from "../conntrack/listing.ts";
import { HELPER_COUNTS, type HelperEntry } from "../conntrack/roster.ts";
import { ask, CommandError, socketPath } from "../control/socket.ts";
import { stateDirectory, statePath } from "../control/state_file.ts";
import { type Command, Refused, unknownOption, Usage } from "./command.ts";
import { columns, print, screen } from "./output.ts";
import { openRunning, tablesOf } from "./running.ts";

export const helpers: Command = {
  name: "helpers",
  usage: "[--load HELPER | --unload HELPER] [--name NAME] [--json]",
  summary: "lists, loads and unloads the helpers of a running router",
  help: `
Lists the helpers of a running router: what each serves, whether it takes flows on its ports by itself ("autoAssign")
or gets them from rules only, whether it is loaded, the flows that have it and the expectations that wait, and what it
has done: expectations opened, those that its limits refused, failures contained, flows it can no longer read.

  --unload HELPER   takes one out, as rmmod did: its expectations go, and its flows live on without it
  --load HELPER     lets it serve again; flows that begin from now on get it
  --name NAME       of the router of this name, where several run
  --json            prints an array of objects, or what loading and unloading have done

An unloaded helper stays so when the router is killed and started again, not when it ends in peace.

Example:
  $ weir helpers --unload ftp
  ftp is unloaded: 3 flows go on without it, 1 expectation is gone`,
  async run(args) {
    const options = parseArgs(args, {
      boolean: ["json"],
      string: ["_", "load", "unload", "name"],
      unknown: unknownOption,
    });
    if (options._.length > 0) throw new Usage(`too many arguments: ${options._.join(" ")}`);
    if (options.load !== undefined && options.unload !== undefined) {
      throw new Usage("--load and --unload exclude each other");
    }
    const helper = options.load ?? options.unload;
    if (helper === "") throw new Usage("the helper's name is missing");
    if (helper !== undefined) {
      const result = await change(helper, options.load !== undefined, options.name);
      print(options.json ? JSON.stringify(result) : described(result));
      return 0;
    }
    const list = listHelpers(options.name);
    print(options.json ? JSON.stringify(list) : table(list));
    return 0;
  },
};

/** A helper and what it has now. */
export interface ListedHelper extends Omit<HelperEntry, "protocol" | "counts"> {
  readonly protocol: string;
  readonly flows: number;
  readonly expectations: number;
  readonly opened: number;
  readonly refused: number;
  readonly failed: number;
  readonly blind: number;
}

/** The helpers of a running router: of `name`, or of the only one. */
export function listHelpers(name?: string, directory = stateDirectory()): ListedHelper[] {
  const { view } = openRunning(name, directory);
  try {
    const entries = view.memory.generation.roster.entries, now = flowsByHelper(tablesOf(view.memory));
    const listed = entries.map(({ counts, protocol, ...entry }, i) => ({
      ...entry,
      protocol: protocolName(protocol),
      flows: now.flows[i],
      expectations: now.expectations[i],
      ...Object.fromEntries(HELPER_COUNTS.map((what, at) => [what, counts[at]])) as Record<
        typeof HELPER_COUNTS[number],
        number
      >,
    }));
    return listed.filter(({ name }) => name !== "");
  } finally {
    view.close();
  }
}

function table(list: readonly ListedHelper[]): string {
  if (list.length === 0) return "no helper is listed";
  const head = ["HELPER", "SERVES", "GIVEN BY", "LOADED", "FLOWS", "EXPECTED", ...HELPER_COUNTS];
  return columns(
    head.map((title) => title.toUpperCase()),
    list.map((h) => [
      h.name,
      `${h.protocol} ${h.ports.join(",")}`,
      h.autoAssign ? "autoAssign" : "rules",
      h.loaded ? "yes" : "no",
      h.flows,
      h.expectations,
      ...HELPER_COUNTS.map((what) => h[what]),
    ]),
    screen().width,
  );
}

/** What loading or unloading has done. */
export interface Changed {
  readonly helper: string;
  readonly loaded: boolean;
  /** False when it was so already. */
  readonly changed: boolean;
  /** Flows that go on without it, and expectations that are gone. */
  readonly flows: number;
  readonly expectations: number;
}

/** Loads or unloads a helper of a running router. */
export async function change(
  helper: string,
  load: boolean,
  name?: string,
  directory = stateDirectory(),
): Promise<Changed> {
  const running = openRunning(name, directory);
  running.view.close();
  const command = load ? "load-helper" : "unload-helper";
  try {
    const result = await ask(socketPath(statePath(running.name, directory)), { command, helper });
    return {
      helper,
      loaded: load,
      changed: result.changed === true,
      flows: Number(result.flows),
      expectations: Number(result.expectations),
    };
  } catch (error) {
    if (error instanceof CommandError) throw new Refused(error.message);
    throw error;
  }
}

function described({ helper, loaded, changed, flows, expectations }: Changed): string {
  const state = loaded ? "loaded" : "unloaded";
  if (!changed) return `${helper} is ${state} already`;
  if (loaded) return `${helper} is loaded: flows that begin from now on get it`;
  return `${helper} is unloaded: ${flows} ${flows === 1 ? "flow goes" : "flows go"} on without it, ` +
    `${expectations} ${expectations === 1 ? "expectation is" : "expectations are"} gone`;
}
