/** `weir set`: the sets of a running router, listed and changed through its socket. */

import { parseArgs } from "@std/cli/parse-args";
import { ask, CommandError, type Result, socketPath } from "../control/socket.ts";
import { statePath } from "../control/state_file.ts";
import { type Command, Refused, unknownOption, Usage } from "./command.ts";
import { print } from "./output.ts";
import { openRunning } from "./running.ts";

const VERBS = ["list", "test", "add", "del", "flush"] as const;
type Verb = typeof VERBS[number];

export const set: Command = {
  name: "set",
  usage: "list|flush SET | test|add|del SET MEMBER… [--exist] [--name NAME] [--json]",
  summary: "lists, tests and changes the sets of a running router",
  help: `
Does to a set of a running router what ipset does to one of the kernel. Members, and what stands behind them, are
written as there: "192.0.2.7", "192.0.2.0/24,tcp:443 timeout 60", or as words of their own. What is added or removed
counts from the next packet on, for all workers, and is gone when the router ends or is killed: what is to stay belongs
into the configuration. A list's sets are changed one by one, and one text may stand for 65,536 members.

  list SET           prints it as ipset save does, members in the order of their coming
  test SET MEMBER    ends with 1 when the member is not in the set
  add SET MEMBER     adds; del SET MEMBER removes
  flush SET          removes all members
  --exist            what is there already, or not there, is no mistake
  --name NAME        of the router of this name, where several run
  --json             prints an object

Example:
  $ weir set add blocked 198.51.100.7 timeout 3600
  1 member added to blocked`,
  async run(args) {
    const options = parseArgs(args, {
      boolean: ["json", "exist"],
      string: ["_", "name"],
      unknown: unknownOption,
    });
    const [verb, name, ...words] = options._.map(String);
    if (!VERBS.includes(verb as Verb)) throw new Usage(`one of ${VERBS.join(", ")} comes first`);
    if (name === undefined) throw new Usage("the set's name is missing");
    const alone = verb === "list" || verb === "flush";
    if (alone && words.length > 0) throw new Usage(`too many arguments: ${words.join(" ")}`);
    if (!alone && words.length === 0) throw new Usage("the member is missing");
    const asker = askerOf(options.name);
    const entry = words.map((word: string) => /\s/.test(word) && words.length > 1 ? `"${word}"` : word).join(
      " ",
    );
    if (verb === "list") return await list(asker, name, options.json);
    const result = await asker({ verb, set: name, entry: alone ? undefined : entry, exist: options.exist });
    if (options.json) print(JSON.stringify({ set: name, ...result }));
    else print(described(verb as Verb, name, entry, result));
    return result.holds === false ? 1 : 0;
  },
};

type Asker = (request: Record<string, unknown>) => Promise<Result>;

/** Asks the router that is meant. */
function askerOf(wanted: string | undefined): Asker {
  const running = openRunning(wanted);
  running.view.close();
  const path = socketPath(statePath(running.name));
  return async (request) => {
    try {
      return await ask(path, { command: "set", ...request });
    } catch (error) {
      if (error instanceof CommandError) throw new Refused(error.message);
      throw error;
    }
  };
}

async function list(asker: Asker, name: string, json: boolean): Promise<number> {
  const all: string[] = [];
  let from: unknown = 0, create: unknown;
  while (from !== null) {
    const answer = await asker({ verb: "list", set: name, from }), entries = answer.entries as string[];
    if (json) all.push(...entries);
    else {
      if (create === undefined) print(String(answer.create));
      if (entries.length > 0) print(entries.map((entry) => `add ${name} ${entry}`).join("\n"));
    }
    create = answer.create;
    from = answer.next;
  }
  if (json) print(JSON.stringify({ set: name, create, entries: all }));
  return 0;
}

function described(verb: Verb, name: string, entry: string, { members, holds }: Result): string {
  if (verb === "test") return `${entry} is ${holds === true ? "" : "not "}in ${name}`;
  const what = `${members} ${members === 1 ? "member" : "members"}`;
  return verb === "add" ? `${what} added to ${name}` : `${what} removed from ${name}`;
}
