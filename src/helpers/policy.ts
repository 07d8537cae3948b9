/**
 * The options that all helpers share: whom they serve, what they may open, and what happens when one fails. Beside
 * `autoAssign` they are beyond Linux, which opens whatever is announced and trusts its own code.
 */
import type { HelperLimits, OnFailure } from "../conntrack/helper.ts";

/** Options of every helper. */
export interface HelperPolicy extends HelperLimits {
  /** Serve its ports without a rule. True by default. */
  readonly autoAssign?: boolean;
  /** What becomes of a packet in which the helper fails; `"accept"` by default. The flow loses the helper either way. */
  readonly onFailure?: OnFailure;
}

/** Names of the above. */
const SHARED: readonly string[] = [
  "autoAssign",
  "minPort",
  "samePeer",
  "expectationsPerMinute",
  "refuseBrowsers",
  "record",
  "onFailure",
] satisfies (keyof HelperPolicy)[];
/** Options of any helper that are true or false. */
const FLAGS = ["autoAssign", "samePeer", "refuseBrowsers", "record", "strict", "loose", "portsOnly"];
/** What joins the halves: an option for those who join them. */
const HALVES = ["nat", "natPort"];

/**
 * The limits among a helper's options, or null when there are none. An option that is neither shared nor one of its
 * `own` is refused: a misspelt limit would be none.
 */
export function limitsOf(name: string, o: HelperPolicy, own: readonly string[]): HelperLimits | null {
  for (const [option, value] of Object.entries(o)) {
    if (!SHARED.includes(option) && !own.includes(option)) {
      const known = [...own.filter((other) => !HALVES.includes(other)), ...SHARED].join(", ");
      throw new TypeError(`${name}: there is no option ${JSON.stringify(option)}; there are ${known}`);
    }
    if (FLAGS.includes(option)) flag(name, option, value);
  }
  const { minPort, expectationsPerMinute, samePeer, refuseBrowsers, record } = o;
  wholeNumber(name, "minPort", minPort, 0, 65535);
  wholeNumber(name, "expectationsPerMinute", expectationsPerMinute, 1, 1_000_000);
  const unlimited = minPort === undefined && expectationsPerMinute === undefined;
  if (unlimited && !samePeer && !refuseBrowsers && !record) return null;
  return Object.freeze({ minPort, expectationsPerMinute, samePeer, refuseBrowsers, record });
}

/** What becomes of a packet in which the helper fails. */
export function onFailureOf(name: string, o: HelperPolicy): OnFailure {
  const { onFailure = "accept" } = o;
  if (onFailure !== "accept" && onFailure !== "drop") {
    throw new TypeError(`${name}: onFailure ${String(onFailure)} is not "accept" or "drop"`);
  }
  return onFailure;
}

/** Options come from a configuration, which may not have been checked for types. */
function wholeNumber(name: string, what: string, value: unknown, from: number, to: number): void {
  if (value === undefined) return;
  if (typeof value !== "number") throw new TypeError(`${name}: ${what} ${String(value)} is not a number`);
  if (!Number.isInteger(value) || value < from || value > to) {
    throw new RangeError(`${name}: ${what} ${value} is not from ${from} to ${to}`);
  }
}

function flag(name: string, what: string, value: unknown): void {
  if (value !== undefined && typeof value !== "boolean") {
    throw new TypeError(`${name}: ${what} ${String(value)} is not true or false`);
  }
}

/** The server ports of a helper: one to eight, each once. */
export function portsOf(
  name: string,
  ports: readonly number[] | undefined,
  usual: number,
): readonly number[] {
  const list: unknown = ports ?? [usual];
  if (!Array.isArray(list)) throw new TypeError(`${name}: ports must be a list of port numbers`);
  if (list.length < 1 || list.length > 8) throw new RangeError(`${name}: one to eight ports`);
  list.forEach((port, i) => {
    if (typeof port !== "number") throw new TypeError(`${name}: port ${String(port)} is not a number`);
    if (!Number.isInteger(port) || port < 1 || port > 65535) {
      throw new RangeError(`${name}: port ${port} is not from 1 to 65535`);
    }
    if (list.indexOf(port) !== i) throw new RangeError(`${name}: port ${port} is listed twice`);
  });
  return Object.freeze([...list]);
}

/** What Linux calls a helper on each port: by its plain name on the usual one, else with the port or its place behind. */
export function namesOf(
  name: string,
  ports: readonly number[],
  usual: number,
  behind: "port" | "place",
): readonly string[] {
  return Object.freeze(
    ports.map((port, i) => port === usual ? name : `${name}-${behind === "port" ? port : i}`),
  );
}
