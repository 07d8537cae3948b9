/** What a running router does when it is asked through its control socket. */
import {
  CHANGE_SET,
  DELETE_FLOWS,
  DELETED_TOGETHER,
  FLUSH_FLOWS,
  LOAD_HELPER,
  type Memory,
  UNLOAD_HELPER,
  ZERO_RULES,
} from "../memory.ts";
import { Listeners } from "./listeners.ts";
import type { Reloaded, ReloadOptions } from "./reload.ts";
import { StateError } from "./state_file.ts";
import { CommandError, type Handlers, type Request, type Result } from "./socket.ts";

/** The router, as commands see it. */
export interface Commanded {
  /** In the generation that is in force. */
  readonly memory: Memory;
  /** Has the data plane carry out a command of the ring: the words of its answer. Throws `CommandError`. */
  command(command: number, args: readonly number[]): Promise<Int32Array>;
  /** The same with texts: what it answers. Throws `CommandError` for what it refuses, too. */
  exchange(command: number, text: string): Promise<string>;
  /** Makes sure of a part of the state's memory that nobody has used. Throws a `StateError` when there is no space. */
  reserve(part: readonly [from: number, to: number], what: string): void;
  /** Another configuration. Throws `CommandError`, and then nothing has changed. */
  reload(options: ReloadOptions): Promise<Reloaded>;
}

/** All commands, by name. */
export function commandsOf(plane: Commanded): Handlers {
  const listeners = new Listeners();
  return {
    "load-helper": (request) => helper(plane, request, LOAD_HELPER),
    "unload-helper": (request) => helper(plane, request, UNLOAD_HELPER),
    "zero-rules": async () => {
      await plane.command(ZERO_RULES, []);
      return {};
    },
    "listen": (request, gone) => listen(plane, listeners, request, gone),
    "delete-flows": (request) => deleteFlows(plane, request),
    "flush-flows": (request) => flushFlows(plane, request),
    // The request is the data plane's own: see dataplane/set_commands.ts.
    "set": async (request) => JSON.parse(await plane.exchange(CHANGE_SET, JSON.stringify(request))),
    "reload": (request) => reload(plane, request),
  };
}

async function reload(plane: Commanded, { config, check, zero }: Request): Promise<Result> {
  if (config !== undefined && !(typeof config === "string" && URL.canParse(config))) {
    throw new CommandError(`${JSON.stringify(config)} is not the address of a configuration`);
  }
  return { ...await plane.reload({ config, check: check === true, zero: zero === true }) };
}

/** Tells of events from now on. */
async function listen(
  plane: Commanded,
  listeners: Listeners,
  request: Request,
  gone: AbortSignal,
): Promise<Result> {
  const { events } = plane.memory;
  try {
    plane.reserve(events.part, "telling of events");
  } catch (error) {
    if (error instanceof StateError) throw new CommandError(error.message);
    throw error;
  }
  return await listeners.listen(events, request, gone);
}

/** Loads or unloads all helpers of a name: one, unless it reads several protocols. */
async function helper(plane: Commanded, request: Request, command: number): Promise<Result> {
  const entries = plane.memory.generation.roster.entries, name = request.helper;
  const named = name === ""
    ? []
    : entries.flatMap((entry, index) => entry.name === name ? [{ ...entry, index }] : []);
  if (named.length === 0) {
    const known = [...new Set(entries.map((entry) => entry.name))].filter((name) => name !== "").join(", ");
    throw new CommandError(
      `there is no helper ${JSON.stringify(name)}; ${known === "" ? "none is listed" : `there are ${known}`}`,
    );
  }
  let flows = 0, expectations = 0, changed = false;
  for (const { index, loaded } of named) {
    const answer = await plane.command(command, [index]);
    changed ||= loaded !== (command === LOAD_HELPER);
    flows += answer[1];
    expectations += answer[2];
  }
  return { changed, flows, expectations };
}

/** The process that asks, as it says: who listens is told. */
function askerOf({ process }: Request): number {
  return Number.isInteger(process) ? Number(process) | 0 : 0;
}

/** Deletes flows by handle and id, which the asker has read from the state file. */
async function deleteFlows(plane: Commanded, request: Request): Promise<Result> {
  const { flows } = request;
  if (!Array.isArray(flows) || flows.length % 2 !== 0 || !flows.every((n) => Number.isInteger(n))) {
    throw new CommandError("flows is a list of handles and ids");
  }
  let deleted = 0;
  for (let at = 0; at < flows.length; at += 2 * DELETED_TOGETHER) {
    const some = flows.slice(at, at + 2 * DELETED_TOGETHER);
    while (some.length < 2 * DELETED_TOGETHER) some.push(0);
    deleted += (await plane.command(DELETE_FLOWS, [...some, askerOf(request)]))[1];
  }
  return { deleted };
}

/** Deletes all flows, a slice at a time, so that packets go on. */
async function flushFlows(plane: Commanded, request: Request): Promise<Result> {
  let deleted = 0, next = 0;
  do {
    const answer = await plane.command(FLUSH_FLOWS, [next, askerOf(request)]);
    deleted += answer[1];
    next = answer[2];
  } while (next !== 0);
  return { deleted };
}
