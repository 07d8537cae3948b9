/** `weir conntrack -L`: the flow table of a running router, read from its state file without asking anyone. */

import { parseArgs } from "@std/cli/parse-args";
import { Xoshiro } from "../clock.ts";
import { Conntrack } from "../conntrack/core.ts";
import { ExpectTable } from "../conntrack/expect.ts";
import { listExpects, listFlows } from "../conntrack/format.ts";
import type { ConntrackHelper } from "../conntrack/helper.ts";
import { FlowTable } from "../conntrack/table.ts";
import { stateDirectory, type StateView, viewState } from "../control/state_file.ts";
import { BatchClock } from "../dataplane/clock.ts";
import type { Memory } from "../memory.ts";
import { ACCEPT } from "../netfilter.ts";
import { Sysctl } from "../sysctl.ts";
import { type Command, Refused, unknownOption, Usage } from "./command.ts";
import { print } from "./output.ts";

export const conntrack: Command = {
  name: "conntrack",
  usage: "-L [expect] [--name NAME] [--json]",
  summary: "lists the flows, or the expectations, of a running router",
  help: `
Lists the flow table of a running router in the format of \`conntrack -L\`, or with \`expect\` its expectations. It
reads the router's state file and disturbs nobody.

  -L, --list     lists
  --name NAME    of the router of this name, where several run
  --json         prints an array of objects

Example:
  $ weir conntrack -L
  udp      17 29 src=192.0.2.2 dst=198.51.100.2 sport=4242 dport=53 src=198.51.100.2 dst=198.51.100.1 sport=53 dport=4242 mark=0 use=1`,
  run(args) {
    const options = parseArgs(args, {
      boolean: ["list", "json"],
      string: ["_", "name"],
      alias: { L: "list" },
      unknown: unknownOption,
    });
    if (!options.list) throw new Usage("-L is missing; it says to list");
    const [what = "conntrack", ...more] = options._.map(String);
    if (what !== "conntrack" && what !== "expect") throw new Usage(`no table ${what}: conntrack or expect`);
    if (more.length > 0) throw new Usage(`too many arguments: ${more.join(" ")}`);
    const lines = list(what, options.name);
    if (options.json) print(JSON.stringify(lines.map(fields)));
    else if (lines.length > 0) print(lines.join("\n"));
    return Promise.resolve(0);
  },
};

/** Lines of the listing of a running router: of `name`, or of the only one. */
export function list(what: "conntrack" | "expect", name?: string, directory = stateDirectory()): string[] {
  const view = open(name, directory);
  try {
    const tables = tablesOf(view.memory);
    return what === "expect" ? listExpects(tables) : listFlows(tables);
  } finally {
    view.close();
  }
}

/** The state of the router called `name`, or of the only one that runs. */
function open(name: string | undefined, directory: string): StateView {
  const found = names(directory).filter((other) => name === undefined || other === name);
  const views = found.flatMap((other) => {
    const view = viewIfRuns(other, directory);
    return view === null ? [] : [{ name: other, view }];
  });
  if (views.length === 1) return views[0].view;
  for (const { view } of views) view.close();
  if (views.length > 1) {
    throw new Refused(`several routers run: ${views.map((v) => v.name).join(", ")}; name one by --name`);
  }
  throw new Refused(
    name === undefined ? "no router is running" : `no router is running that is called ${name}`,
  );
}

/** Routers that have a state file, running or not. */
function names(directory: string): string[] {
  try {
    return [...Deno.readDirSync(directory)]
      .flatMap(({ name }) => name.endsWith(".state") ? [name.slice(0, -".state".length)] : []).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw new Refused(`${directory}: ${error instanceof Error ? error.message : error}`);
  }
}

/** The state of a router, null if its process has ended. Throws when it runs and its state cannot be read. */
function viewIfRuns(name: string, directory: string): StateView | null {
  let view: StateView;
  try {
    view = viewState(name, directory);
  } catch (error) {
    // It has just ended, or has not yet begun; or it is the state of another Weir, or of another user.
    if (error instanceof Error && /no such file|is empty|not a Weir state/i.test(error.message)) return null;
    throw new Refused(`router ${name}: ${error instanceof Error ? error.message : error}`);
  }
  const { pid, processStarted } = view.memory.owner;
  if (startOf(pid) === processStarted) return view;
  view.close();
  return null;
}

/** When a process began, in ticks since boot; −1 when there is none. Together with the pid it names one process. */
function startOf(pid: number): number {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
  } catch {
    return -1;
  }
}

/** The tables in a state, for reading: the memory is another process's, and is not to be written to. */
function tablesOf(memory: Memory): Conntrack {
  const { buffer, flowsOffset, expectsOffset, geometry } = memory;
  const random = new Xoshiro(1);
  const expects = new ExpectTable(buffer, expectsOffset, geometry.expects, random);
  expects.high = geometry.expects;
  return new Conntrack({
    flows: new FlowTable(buffer, flowsOffset, geometry.flows, random),
    expects,
    clock: new BatchClock(),
    random,
    sysctl: new Sysctl({ "net.netfilter.nf_conntrack_acct": memory.accounting ? 1 : 0 }),
    helpers: memory.helperNames.map(named),
    log: () => {},
  });
}

/** A helper of which only the name is known. */
function named(name: string): ConntrackHelper {
  return { name, protocol: 0, families: [], ports: [], autoAssign: false, policies: [], help: () => ACCEPT };
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
