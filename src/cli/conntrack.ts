/** `weir conntrack`: the flow table of a running router, read from its state file; deleted from by its control socket. */

import { parseArgs } from "@std/cli/parse-args";
import { CT_ID, FLOW_WORDS } from "../conntrack/flow.ts";
import { type FlowFilter, isMeant } from "../conntrack/flow_filter.ts";
import { listExpects, listFlows } from "../conntrack/format.ts";
import { STATS } from "../conntrack/tracker.ts";
import { ask, CommandError, type Request, type Result, socketPath } from "../control/socket.ts";
import { stateDirectory, statePath } from "../control/state_file.ts";
import { CONTROL_EXPECTS, CONTROL_FLOWS } from "../memory.ts";
import { type Command, Refused, unknownOption, Usage } from "./command.ts";
import { FILTER_ALIASES, FILTER_OPTIONS, filterOf } from "./conntrack_filter.ts";
import { complain, print } from "./output.ts";
import { openRunning, tablesOf } from "./running.ts";

/** A table, as `conntrack` names them. */
type Table = "conntrack" | "expect";

export const conntrack: Command = {
  name: "conntrack",
  usage: "-L|-C|-S|-D|-F [expect] [FILTER…] [--name NAME] [--json]",
  summary: "lists, counts or deletes the flows of a running router; lists or counts its expectations",
  help: `
Lists the flow table of a running router in the format of \`conntrack -L\`, or with \`expect\` its expectations. It
reads the router's state file and disturbs nobody; to delete, it asks the router by its control socket.

  -L, --list     lists
  -C, --count    prints how many there are
  -S, --stats    prints what tracking has counted: found, invalid, insert, …; of expectations new, create, delete
  -D, --delete   deletes the flows that fit the filter, and prints them; ends with 1 when there are none
  -F, --flush    deletes all flows
  --name NAME    of the router of this name, where several run
  --json         prints JSON: an array of objects with -L and -D, an object otherwise

Filter, for -L and -D:
  -f ipv4|ipv6   -p PROTOCOL   -m MARK[/MASK]   -w ZONE
  -s, -d         source and destination of the opener's packets: an address or a prefix; --sport, --dport
  -r, -q         source and destination of the answers; --reply-port-src, --reply-port-dst

A connection whose flow is deleted goes on where its next packet may begin a flow; what NAT had chosen for it is lost.

Examples:
  $ weir conntrack -L
  udp      17 29 src=192.0.2.2 dst=198.51.100.2 sport=4242 dport=53 src=198.51.100.2 dst=198.51.100.1 sport=53 dport=4242 mark=0 use=1
  $ weir conntrack -D -s 192.0.2.0/24 -p tcp`,
  async run(args) {
    const options = parseArgs(args, {
      boolean: ["list", "count", "stats", "delete", "flush", "json"],
      string: ["_", "name", ...FILTER_OPTIONS],
      alias: { L: "list", C: "count", S: "stats", D: "delete", F: "flush", ...FILTER_ALIASES },
      unknown: unknownOption,
    });
    const asked = [options.list, options.count, options.stats, options.delete, options.flush].filter(Boolean);
    if (asked.length !== 1) throw new Usage("one of -L, -C, -S, -D and -F says what to do");
    const [what = "conntrack", ...more] = options._.map(String);
    if (what !== "conntrack" && what !== "expect") throw new Usage(`no table ${what}: conntrack or expect`);
    if (more.length > 0) throw new Usage(`too many arguments: ${more.join(" ")}`);
    const filter = filterOf(options), { name, json } = options;
    if (filter !== null && !(what === "conntrack" && (options.list || options.delete))) {
      throw new Usage("a filter goes with -L and -D of flows");
    }
    if (what === "expect" && (options.delete || options.flush)) {
      throw new Usage("expectations end with their flow: delete that, or unload the helper");
    }
    if (options.count) {
      const counted = count(what, name);
      print(json ? JSON.stringify({ count: counted }) : String(counted));
    } else if (options.stats) {
      const found = stats(what, name);
      print(json ? JSON.stringify(found) : statsLine(found));
    } else if (options.flush) {
      const { deleted } = await flush(name);
      print(json ? JSON.stringify({ deleted }) : entries(deleted));
    } else if (options.delete) {
      const { lines, deleted } = await remove(filter ?? {}, name);
      printLines(lines, json);
      complain(entries(deleted));
      return deleted > 0 ? 0 : 1;
    } else printLines(list(what, name, undefined, filter), json);
    return 0;
  },
};

function printLines(lines: readonly string[], json: boolean): void {
  if (json) print(JSON.stringify(lines.map(fields)));
  else if (lines.length > 0) print(lines.join("\n"));
}

/** As conntrack says it. */
function entries(deleted: number): string {
  return `${deleted} flow ${deleted === 1 ? "entry has" : "entries have"} been deleted.`;
}

/** Lines of the listing of a running router: of `name`, or of the only one. */
export function list(
  what: Table,
  name?: string,
  directory = stateDirectory(),
  filter: FlowFilter | null = null,
): string[] {
  const { view } = openRunning(name, directory);
  try {
    const tables = tablesOf(view.memory);
    if (what === "expect") return listExpects(tables);
    return filter === null ? listFlows(tables) : listFlows(tables, {}, (ct) => isMeant(filter, tables, ct));
  } finally {
    view.close();
  }
}

/** Flows in one request: a line of it stays well below the socket's limit. */
const TOGETHER = 1000;

/** Deletes the flows that fit: their lines, and how many were still there when the router got to them. */
export async function remove(
  filter: FlowFilter,
  name?: string,
  directory = stateDirectory(),
): Promise<{ lines: string[]; deleted: number }> {
  const { name: running, view } = openRunning(name, directory), flows: number[] = [];
  let lines: string[];
  try {
    const tables = tablesOf(view.memory), w = tables.flows.words;
    lines = listFlows(tables, {}, (ct) => {
      if (!isMeant(filter, tables, ct)) return false;
      flows.push(ct, w[ct * FLOW_WORDS + CT_ID]);
      return true;
    });
  } finally {
    view.close();
  }
  let deleted = 0;
  for (let at = 0; at < flows.length; at += 2 * TOGETHER) {
    const some = flows.slice(at, at + 2 * TOGETHER);
    deleted += Number((await asked(running, directory, { command: "delete-flows", flows: some })).deleted);
  }
  return { lines, deleted };
}

/** Deletes all flows. */
export async function flush(name?: string, directory = stateDirectory()): Promise<{ deleted: number }> {
  const { name: running, view } = openRunning(name, directory);
  view.close();
  return { deleted: Number((await asked(running, directory, { command: "flush-flows" })).deleted) };
}

async function asked(running: string, directory: string, request: Request): Promise<Result> {
  try {
    return await ask(socketPath(statePath(running, directory)), request);
  } catch (error) {
    if (error instanceof CommandError) throw new Refused(error.message);
    throw error;
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
