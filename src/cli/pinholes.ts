/** `weir pinholes`: what helpers have opened, read from a running router's state file. */

import { parseArgs } from "@std/cli/parse-args";
import type { Pinhole } from "../conntrack/pinholes.ts";
import { stateDirectory } from "../control/state_file.ts";
import { type Command, unknownOption, Usage } from "./command.ts";
import { print } from "./output.ts";
import { openRunning } from "./running.ts";

export const pinholes: Command = {
  name: "pinholes",
  usage: "[--name NAME] [--json]",
  summary: "lists what the helpers of a running router have opened",
  help: `
Lists the newest 256 expectations that helpers of a running router have made, oldest first: when, which helper, who may
come where, for which flow (id as in \`conntrack -L -o id\`), which rule had given that flow the helper, and the bytes
that announced it. The bytes are kept for helpers with \`record: true\` only; of the others the listing says so.

  --name NAME   of the router of this name, where several run
  --json        prints an array of objects; "announced" is null where no bytes were kept

Example:
  $ weir pinholes
  2026-01-31T12:00:05Z ftp: tcp 198.51.100.2 → 192.0.2.2:5000
    for tcp 192.0.2.2:40000 → 198.51.100.2:21 (id 7), by tables.raw.PREROUTING[0]
    announced by "192,0,2,2,19,136"`,
  run(args) {
    const options = parseArgs(args, { boolean: ["json"], string: ["_", "name"], unknown: unknownOption });
    if (options._.length > 0) throw new Usage(`too many arguments: ${options._.join(" ")}`);
    const list = listPinholes(options.name);
    if (options.json) print(JSON.stringify(list));
    else if (list.length > 0) print(list.map(text).join("\n"));
    return Promise.resolve(0);
  },
};

/** The newest pinholes of a running router: of `name`, or of the only one. */
export function listPinholes(name?: string, directory = stateDirectory()): Pinhole[] {
  const { view } = openRunning(name, directory);
  try {
    return view.memory.pinholes.list(view.memory.generation.roster.entries.map((entry) => entry.name));
  } finally {
    view.close();
  }
}

function text({ time, helper, expected, flow, id, rule, announced }: Pinhole): string {
  const when = new Date(time * 1000).toISOString().replace(".000Z", "Z");
  const bytes = announced === null
    ? `announcing bytes not recorded: ${helper} is listed without record: true`
    : `announced by "${announced}"`;
  return `${when} ${helper}: ${expected}\n  for ${flow} (id ${id}), by ${rule}\n  ${bytes}`;
}
