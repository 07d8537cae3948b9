/** `weir conntrack`: the flow table of a running router, read from its state file without asking anyone. */

import { parseArgs } from "@std/cli/parse-args";
import { listExpects, listFlows } from "../conntrack/format.ts";
import { STATS } from "../conntrack/tracker.ts";
import { stateDirectory } from "../control/state_file.ts";
import { CONTROL_EXPECTS, CONTROL_FLOWS } from "../memory.ts";
import { type Command, unknownOption, Usage } from "./command.ts";
import { print } from "./output.ts";
import { openRunning, tablesOf } from "./running.ts";

/** A table, as `conntrack` names them. */
type Table = "conntrack" | "expect";

export const conntrack: Command = {
  name: "conntrack",
  usage: "-L|-C|-S [expect] [--name NAME] [--json]",
  summary: "lists or counts the flows, or the expectations, of a running router",
  help: `
Lists the flow table of a running router in the format of \`conntrack -L\`, or with \`expect\` its expectations. It
reads the router's state file and disturbs nobody.

  -L, --list     lists
  -C, --count    prints how many there are
  -S, --stats    prints what tracking has counted: found, invalid, insert, …; of expectations new, create, delete
  --name NAME    of the router of this name, where several run
  --json         prints JSON: an array of objects with -L, an object otherwise

Example:
  $ weir conntrack -L
  udp      17 29 src=192.0.2.2 dst=198.51.100.2 sport=4242 dport=53 src=198.51.100.2 dst=198.51.100.1 sport=53 dport=4242 mark=0 use=1`,
  run(args) {
    const options = parseArgs(args, {
      boolean: ["list", "count", "stats", "json"],
      string: ["_", "name"],
      alias: { L: "list", C: "count", S: "stats" },
      unknown: unknownOption,
    });
    const asked = [options.list, options.count, options.stats].filter(Boolean).length;
    if (asked !== 1) throw new Usage("one of -L, -C and -S says what to do");
    const [what = "conntrack", ...more] = options._.map(String);
    if (what !== "conntrack" && what !== "expect") throw new Usage(`no table ${what}: conntrack or expect`);
    if (more.length > 0) throw new Usage(`too many arguments: ${more.join(" ")}`);
    if (options.count) {
      const counted = count(what, options.name);
      print(options.json ? JSON.stringify({ count: counted }) : String(counted));
    } else if (options.stats) {
      const found = stats(what, options.name);
      print(options.json ? JSON.stringify(found) : statsLine(found));
    } else {
      const lines = list(what, options.name);
      if (options.json) print(JSON.stringify(lines.map(fields)));
      else if (lines.length > 0) print(lines.join("\n"));
    }
    return Promise.resolve(0);
  },
};

/** Lines of the listing of a running router: of `name`, or of the only one. */
export function list(what: Table, name?: string, directory = stateDirectory()): string[] {
  const { view } = openRunning(name, directory);
  try {
    const tables = tablesOf(view.memory);
    return what === "expect" ? listExpects(tables) : listFlows(tables);
  } finally {
    view.close();
  }
}

/** How many there are. */
export function count(what: Table, name?: string, directory = stateDirectory()): number {
  const { view } = openRunning(name, directory);
  try {
    return Atomics.load(view.memory.control, what === "expect" ? CONTROL_EXPECTS : CONTROL_FLOWS);
  } finally {
    view.close();
  }
}

/** What tracking has counted, by `conntrack -S`'s names. */
export function stats(what: Table, name?: string, directory = stateDirectory()): Record<string, number> {
  const { view } = openRunning(name, directory);
  try {
    const values = view.memory.stats;
    return Object.fromEntries(
      STATS.flatMap((name, i) =>
        name.startsWith("expect_") === (what === "expect") ? [[name, values[i]]] : []
      ),
    );
  } finally {
    view.close();
  }
}

/** As `conntrack -S` prints it of one processor. */
export function statsLine(stats: Readonly<Record<string, number>>): string {
  return `cpu=0   \t${Object.entries(stats).map(([name, value]) => `${name}=${value} `).join("")}`;
}

/** What a line says, as data: what stands twice, once for each direction, is in `original` and `reply`. */
function fields(line: string): Record<string, unknown> {
  const flow: Record<string, unknown> = {};
  const sides: Record<string, string>[] = [];
  const plain: string[] = [];
  for (const word of line.split(/ +/)) {
    const [, key, value] = /^([\w-]+)=(.*)$/.exec(word) ?? [];
    if (key === undefined) {
      plain.push(word);
    } else if (key === "src") {
      sides.push({ src: value });
    } else if (SIDES.has(key) && sides.length > 0) {
      sides[sides.length - 1][key] = value;
    } else {
      flow[key] = /^\d+$/.test(value) ? Number(value) : value;
    }
  }
  const flags = plain.filter((word) => word.startsWith("[")).map((word) => word.slice(1, -1));
  const rest = plain.filter((word) => !word.startsWith("["));
  const [original, reply] = sides;
  if (reply === undefined) return { timeout: Number(rest[0]), ...original, ...flow };
  const [protocol, number, timeout, state] = rest;
  return {
    protocol,
    number: Number(number),
    timeout: Number(timeout),
    ...(state === undefined ? {} : { state }),
    original,
    reply,
    flags,
    ...flow,
  };
}

/** Fields that each direction of a flow has for itself. */
const SIDES = new Set([
  "dst",
  "sport",
  "dport",
  "type",
  "code",
  "id",
  "srckey",
  "dstkey",
  "packets",
  "bytes",
]);
