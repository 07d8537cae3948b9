/** A running router as another process sees it: its state file, found by name. */

import { Xoshiro } from "../clock.ts";
import { Conntrack } from "../conntrack/core.ts";
import { ExpectTable } from "../conntrack/expect.ts";
import type { ConntrackHelper } from "../conntrack/helper.ts";
import type { HelperEntry } from "../conntrack/roster.ts";
import { FlowTable } from "../conntrack/table.ts";
import { stateDirectory, type StateView, viewState } from "../control/state_file.ts";
import { BatchClock } from "../dataplane/clock.ts";
import type { Memory } from "../memory.ts";
import { ACCEPT } from "../netfilter.ts";
import { Sysctl } from "../sysctl.ts";
import { Refused } from "./command.ts";

/** A router that runs, and a look at its state. */
export interface Running {
  readonly name: string;
  readonly view: StateView;
}

/** The state of the router called `name`, or of the only one that runs. `Refused` when there is none, or several. */
export function openRunning(name: string | undefined, directory = stateDirectory()): Running {
  const found = names(directory).filter((other) => name === undefined || other === name);
  const views = found.flatMap((other) => {
    const view = viewIfRuns(other, directory);
    return view === null ? [] : [{ name: other, view }];
  });
  if (views.length === 1) return views[0];
  for (const { view } of views) view.close();
  if (views.length > 1) {
    throw new Refused(`several routers run: ${views.map((v) => v.name).join(", ")}; name one by --name`);
  }
  throw new Refused(nobody(name, directory));
}

/** Why there is none, and who is. */
function nobody(name: string | undefined, directory: string): string {
  const others = name === undefined ? [] : names(directory).filter((other) => {
    try {
      const view = viewIfRuns(other, directory);
      view?.close();
      return view !== null;
    } catch {
      return false; // One that this Weir cannot read is not who is meant.
    }
  });
  const none = name === undefined ? "no router is running" : `no router is running that is called ${name}`;
  if (others.length > 0) return `${none}; there ${others.length === 1 ? "is" : "are"} ${others.join(", ")}`;
  return Deno.uid() === 0 ? none : `${none} for this user (no state in ${directory}); root's are for root`;
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
export function tablesOf(memory: Memory): Conntrack {
  const { buffer, flowsOffset, expectsOffset, geometry } = memory;
  const random = new Xoshiro(1);
  const expects = new ExpectTable(buffer, expectsOffset, geometry.expects, random);
  expects.lookAtAll();
  return new Conntrack({
    flows: new FlowTable(buffer, flowsOffset, geometry.flows, random),
    expects,
    clock: new BatchClock(),
    random,
    sysctl: new Sysctl({ "net.netfilter.nf_conntrack_acct": memory.generation.accounting ? 1 : 0 }),
    helpers: memory.generation.roster.entries.map(known),
    log: () => {},
    stats: memory.stats,
    roster: memory.generation.roster,
    pinholes: memory.pinholes,
  });
}

/** A helper of which only what the roster says is known. */
function known(entry: HelperEntry): ConntrackHelper {
  return { ...entry, policies: [], help: () => ACCEPT };
}
