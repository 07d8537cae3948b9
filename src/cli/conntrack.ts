/** `weir conntrack`: the flow table of a running router, read from its state file; its control socket changes it. */

import { parseArgs } from "@std/cli/parse-args";
import { CT_ID, FLOW_WORDS } from "../conntrack/flow.ts";
import { type FlowFilter, isMeant } from "../conntrack/flow_filter.ts";
import { listExpects, listFlows, type ListOptions } from "../conntrack/format.ts";
import { STATS } from "../conntrack/tracker.ts";
import { ask, CommandError, type Request, type Result, socketPath } from "../control/socket.ts";
import { stateDirectory, statePath } from "../control/state_file.ts";
import { CONTROL_EXPECTS, CONTROL_FLOWS } from "../memory.ts";
import { type Command, Refused, unknownOption, Usage } from "./command.ts";
import { fields } from "./conntrack_data.ts";
import { listen } from "./conntrack_events.ts";
import { FILTER_ALIASES, FILTER_OPTIONS, filterOf } from "./conntrack_filter.ts";
import { outputOf } from "./conntrack_output.ts";
import { complain, print } from "./output.ts";
import { openRunning, tablesOf } from "./running.ts";

/** A table, as `conntrack` names them. */
type Table = "conntrack" | "expect";

export const conntrack: Command = {
  name: "conntrack",
  usage: "-L|-E|-C|-S|-D|-F [expect] [FILTER…] [-e EVENTS] [-o OUTPUT] [--name NAME] [--json]",
  summary:
    "lists, follows, counts or deletes the flows of a running router; lists, follows or counts its expectations",
  help: `
Lists the flow table of a running router in the format of \`conntrack -L\`, or with \`expect\` its expectations. It
reads the router's state file and disturbs nobody; to follow or to delete, it asks the router by its control socket.

  -L, --list     lists
  -E, --event    prints what happens to flows, or to expectations, in the format of \`conntrack -E\`, until Ctrl-C;
                 where it falls behind, standard error says how many events are lost
  -C, --count    prints how many there are
  -S, --stats    prints what tracking has counted: found, invalid, insert, …; of expectations new, create, delete
  -D, --delete   deletes the flows that fit the filter, and prints them; ends with 1 when there are none
  -F, --flush    deletes all flows
  --name NAME    of the router of this name, where several run
  -e EVENTS      with -E: only NEW, UPDATES or DESTROY, or several of them with commas
  -o OUTPUT      with -L and -E: id, extended (the family), ktimestamp, labels; timestamp with -E; or several of them
  --json         prints JSON: an array of objects with -L and -D, an object per line with -E, an object otherwise

Which flows are told of is up to net.netfilter.nf_conntrack_events: 2, the default, those that begin while somebody
listens; 1 all; 0 those of rules -j CT --ctevents, which choose the events of their flows in any case.

Filter, for -L, -E and -D, of expectations for -E; one of the answers, and a mark, expectations do not have:
  -f ipv4|ipv6   -p PROTOCOL   -m MARK[/MASK]   -w ZONE
  -s, -d         source and destination of the opener's packets: an address or a prefix; --sport, --dport
  -r, -q         source and destination of the answers; --reply-port-src, --reply-port-dst

A connection whose flow is deleted goes on where its next packet may begin a flow; what NAT had chosen for it is lost.

Examples:
  $ weir conntrack -L
  udp      17 29 src=192.0.2.2 dst=198.51.100.2 sport=4242 dport=53 src=198.51.100.2 dst=198.51.100.1 sport=53 dport=4242 mark=0 use=1
  $ weir conntrack -E -p udp -e NEW,DESTROY -o timestamp
  [1763863267.861566]	    [NEW] udp      17 30 src=192.0.2.2 dst=198.51.100.2 sport=4242 dport=53 [UNREPLIED] src=198.51.100.2 dst=198.51.100.1 sport=53 dport=4242
  $ weir conntrack -D -s 192.0.2.0/24 -p tcp`,
  async run(args) {
    const options = parseArgs(args, {
      boolean: ["list", "event", "count", "stats", "delete", "flush", "json"],
      string: ["_", "name", "event-mask", "output", ...FILTER_OPTIONS],
      alias: {
        L: "list",
        E: "event",
        C: "count",
        S: "stats",
        D: "delete",
        F: "flush",
        e: "event-mask",
        o: "output",
        ...FILTER_ALIASES,
      },
      unknown: unknownOption,
    });
    const { list: lists, event, delete: deletes } = options;
    const asked = [lists, event, options.count, options.stats, deletes, options.flush].filter(Boolean);
    if (asked.length !== 1) throw new Usage("one of -L, -E, -C, -S, -D and -F says what to do");
    const [what = "conntrack", ...more] = options._.map(String);
    if (what !== "conntrack" && what !== "expect") throw new Usage(`no table ${what}: conntrack or expect`);
    if (more.length > 0) throw new Usage(`too many arguments: ${more.join(" ")}`);
    const filter = filterOf(options), { name, json } = options, mask = options["event-mask"];
    if (filter !== null && !(event || what === "conntrack" && (lists || deletes))) {
      throw new Usage("a filter goes with -L and -D of flows, and with -E");
    }
    if (mask !== undefined && !event) throw new Usage("-e goes with -E");
    if (options.output !== undefined && !event && !(lists && what === "conntrack")) {
      throw new Usage("-o goes with -E, and with -L of flows");
    }
    const output = outputOf(options.output, event);
    if (event) {
      const expects = what === "expect",
        { mark, replySource, replyDestination, replySport, replyDport } = filter ?? {};
      const others = [mark, replySource, replyDestination, replySport, replyDport];
      if (expects && others.some((asked) => asked !== undefined)) {
        throw new Usage("an expectation has neither a mark nor answers to choose by");
      }
      const stop = new AbortController();
      for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, () => stop.abort());
      return await listen({ expects, mask, filter, output, json, name, abort: stop.signal });
    }
    if (what === "expect" && (deletes || options.flush)) {
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
    } else if (deletes) {
      const { lines, deleted } = await remove(filter ?? {}, name);
      printLines(lines, json);
      complain(entries(deleted));
      return deleted > 0 ? 0 : 1;
    } else printLines(list(what, name, undefined, filter, output), json);
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
  output: ListOptions = {},
): string[] {
  const { view } = openRunning(name, directory);
  try {
    const tables = tablesOf(view.memory);
    if (what === "expect") return listExpects(tables);
    return filter === null
      ? listFlows(tables, output)
      : listFlows(tables, output, (ct) => isMeant(filter, tables, ct));
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
    deleted += Number(
      (await asked(running, directory, { command: "delete-flows", flows: some, process: Deno.pid })).deleted,
    );
  }
  return { lines, deleted };
}

/** Deletes all flows. */
export async function flush(name?: string, directory = stateDirectory()): Promise<{ deleted: number }> {
  const { name: running, view } = openRunning(name, directory);
  view.close();
  return {
    deleted: Number((await asked(running, directory, { command: "flush-flows", process: Deno.pid })).deleted),
  };
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
