/**
 * The options that all helpers share: whom they serve, what they may open, and what happens when one fails. Beside
 * `autoAssign` they are beyond Linux, which opens whatever is announced and trusts its own code.
 */
import type { HelperLimits, HelperMistake, OnFailure } from "../conntrack/helper.ts";

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

/** What is wrong with the options of one helper: all of it, for whoever checks the configuration. */
export class Mistakes {
  readonly list: HelperMistake[] = [];

  add(option: string, message: string): void {
    this.list.push({ option, message });
  }
}

/**
 * The limits among a helper's options, or null when there are none. An option that is neither shared nor one of its
 * `own` is a mistake: a misspelt limit would be none.
 */
export function limitsOf(mistakes: Mistakes, o: HelperPolicy, own: readonly string[]): HelperLimits | null {
  for (const [option, value] of Object.entries(o)) {
    if (!SHARED.includes(option) && !own.includes(option)) {
      const known = [...own.filter((other) => !HALVES.includes(other)), ...SHARED];
      const meant = known.find((other) => plain(other) === plain(option));
      mistakes.add(
        option,
        meant === undefined
          ? `is not an option of this helper; there are ${known.join(", ")}`
          : `is not an option of this helper; did you mean ${meant}?`,
      );
    } else if (FLAGS.includes(option) && value !== undefined && typeof value !== "boolean") {
      mistakes.add(option, `${show(value)} is not true or false`);
    }
  }
  const { minPort, expectationsPerMinute, samePeer, refuseBrowsers, record } = o;
  numberOf(mistakes, "minPort", minPort, 0, 65535, 0);
  numberOf(mistakes, "expectationsPerMinute", expectationsPerMinute, 1, 1_000_000, 1);
  const unlimited = minPort === undefined && expectationsPerMinute === undefined;
  if (unlimited && !samePeer && !refuseBrowsers && !record) return null;
  return Object.freeze({ minPort, expectationsPerMinute, samePeer, refuseBrowsers, record });
}

/** A name without what people get wrong: `max_dcc_channels` as the kernel's modules have it, one port and several. */
function plain(option: string): string {
  return option.replaceAll(/[_-]/g, "").toLowerCase().replace(/s$/, "");
}

/** What becomes of a packet in which the helper fails. */
export function onFailureOf(mistakes: Mistakes, o: HelperPolicy): OnFailure {
  const { onFailure = "accept" } = o;
  if (onFailure === "accept" || onFailure === "drop") return onFailure;
  mistakes.add("onFailure", `${show(onFailure)} is not "accept" or "drop"`);
  return "accept";
}

/** A whole number between bounds, `usual` where none is given or it is wrong. Options may not have been checked for types. */
export function numberOf(
  mistakes: Mistakes,
  option: string,
  value: unknown,
  from: number,
  to: number,
  usual: number,
): number {
  if (value === undefined) return usual;
  if (typeof value === "number" && Number.isInteger(value) && value >= from && value <= to) return value;
  mistakes.add(option, `${show(value)} is not a whole number from ${from} to ${to}`);
  return usual;
}

function show(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

/** The server ports of a helper: one to eight, each once. */
export function portsOf(
  mistakes: Mistakes,
  ports: readonly number[] | undefined,
  usual: readonly number[],
): readonly number[] {
  const list: unknown = ports ?? usual, before = mistakes.list.length;
  const wrong = (message: string) => mistakes.add("ports", message);
  if (!Array.isArray(list)) {
    wrong(`${show(list)} is not a list of port numbers, such as [${usual.join(", ") || 7000}]`);
  } else {
    if (list.length < 1 || list.length > 8) wrong(`are ${list.length}; a helper has one to eight`);
    list.forEach((port, i) => {
      if (typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65535) {
        wrong(`${show(port)} is not a port from 1 to 65535`);
      } else if (list.indexOf(port) !== i) wrong(`${port} is listed twice`);
    });
  }
  return Object.freeze([...(mistakes.list.length > before ? usual : list as number[])]);
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
