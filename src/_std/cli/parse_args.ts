/**
 * Stand-in for `@std/cli/parse-args`: minimist's conventions, as the real one keeps them.
 *
 * @module
 */

/** How to read the arguments; the generics carry the option names into the result's type. */
export interface ParseOptions<
  B extends string = string,
  S extends string = string,
  C extends string = string,
> {
  /** Put everything after `--` into the result's `"--"` instead of `_`. */
  "--"?: boolean;
  /** Other names of an option. */
  alias?: Record<string, string | readonly string[]>;
  /** Options that take no value; they are `false` when absent. `true` makes all `--options` such. */
  boolean?: boolean | B | readonly B[];
  /** Values of absent options. */
  default?: Record<string, unknown>;
  /** Take everything after the first positional argument as positional. */
  stopEarly?: boolean;
  /** Options whose value stays text, even where it looks like a number. `_` for positional arguments. */
  string?: S | readonly S[];
  /** Options that may be repeated: their value is an array. */
  collect?: C | readonly C[];
  /** Options that `--no-NAME` turns to `false`. */
  negatable?: string | readonly string[];
  /** Called for what no other setting names; `false` leaves it out of the result. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** What was found: positional arguments in `_`, options by name. */
export type Args<B extends string = string, S extends string = string, C extends string = never> =
  & { _: (string | number)[]; "--"?: string[]; [name: string]: unknown }
  & { [K in Exclude<B, C>]: boolean }
  & { [K in B & C]: boolean[] }
  & { [K in Exclude<S, C | "_">]?: string }
  & { [K in S & C]: string[] };

const FLAG = /^-(?:(?<doubleDash>-)(?<negated>no-)?)?(?<key>.+?)(?:=(?<value>.+?))?$/s;
const LETTER = /[A-Za-z]/;
const NUMBER = /-?\d+(\.\d*)?(e-?\d+)?$/;
const HYPHEN = /^(-|--)[^-]/;
const VALUE = /=(?<value>.+)/;
const FLAG_NAME = /^--[^=]+$/;
const SPECIAL = /\W/;
const NON_WHITESPACE = /\S/;

/** Reads command-line arguments. */
export function parseArgs<B extends string = never, S extends string = never, C extends string = never>(
  args: readonly string[],
  options: ParseOptions<B, S, C> = {},
): Args<B, S, C> {
  const {
    "--": doubleDash = false,
    alias = {},
    boolean = false,
    default: defaults = {},
    stopEarly = false,
    string = [],
    collect = [],
    negatable = [],
    unknown = (arg: string): unknown => arg,
  } = options;

  const aliases = new Map<string, Set<string>>();
  for (const [key, value] of Object.entries(alias)) {
    const names = list(value);
    aliases.set(key, new Set(names));
    for (const name of names) aliases.set(name, new Set([key, ...names.filter((other) => other !== name)]));
  }
  const named = (names: readonly string[]): Set<string> =>
    new Set(names.flatMap((name) => [name, ...(aliases.get(name) ?? [])]));
  const allBooleans = boolean === true;
  const booleans = named(typeof boolean === "boolean" ? [] : list(boolean));
  const strings = named(list(string));
  const collected = named(list(collect));
  const negatables = named(list(negatable));

  const result: Record<string, unknown> & { _: (string | number)[] } = { _: [] };

  function set(key: string, value: unknown, arg: string, mayCollect: boolean): void {
    const known = booleans.has(key) || strings.has(key) || aliases.has(key) || collected.has(key) ||
      (allBooleans && FLAG_NAME.test(arg));
    if (!known && unknown(arg, key, value) === false) return;
    if (typeof value === "string" && !strings.has(key) && isNumber(value)) value = Number(value);
    const collecting = mayCollect && collected.has(key);
    setNested(result, key.split("."), value, collecting);
    for (const other of aliases.get(key) ?? []) setNested(result, other.split("."), value, collecting);
  }

  let rest: readonly string[] = [];
  const end = args.indexOf("--");
  if (end !== -1) {
    rest = args.slice(end + 1);
    args = args.slice(0, end);
  }

  next: for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    const groups = FLAG.exec(arg)?.groups;
    if (!groups) {
      if (unknown(arg) !== false) {
        result._.push(strings.has("_") || !isNumber(arg) ? arg : Number(arg));
      }
      if (stopEarly) {
        result._.push(...args.slice(i + 1));
        break;
      }
      continue;
    }
    let key = groups.key;
    const following = args[i + 1];

    if (groups.doubleDash) {
      if (groups.value) {
        set(key, booleans.has(key) ? groups.value === "true" : groups.value, arg, true);
        continue;
      }
      if (groups.negated) {
        if (negatables.has(key)) {
          set(key, false, arg, false);
          continue;
        }
        key = `no-${key}`;
      }
      if (following) {
        if (!booleans.has(key) && !allBooleans && !following.startsWith("-")) {
          set(key, following, arg, true);
          i++;
          continue;
        }
        if (isBoolean(following)) {
          set(key, following === "true", arg, true);
          i++;
          continue;
        }
      }
      set(key, strings.has(key) ? "" : true, arg, true);
      continue;
    }

    // One dash: each letter is an option, the last may have a value; "-n5", "-n=5" and "-a-" have theirs glued on.
    const letters = arg.slice(1, -1).split("");
    for (const [j, letter] of letters.entries()) {
      const glued = arg.slice(j + 2);
      if (glued === "-") {
        set(letter, glued, arg, true);
        continue;
      }
      if (LETTER.test(letter)) {
        const value = VALUE.exec(glued)?.groups?.value;
        if (value !== undefined) {
          set(letter, value, arg, true);
          continue next;
        }
        if (NUMBER.test(glued)) {
          set(letter, glued, arg, true);
          continue next;
        }
      }
      if (letters[j + 1]?.match(SPECIAL)) {
        set(letter, glued, arg, true);
        continue next;
      }
      set(letter, strings.has(letter) ? "" : true, arg, true);
    }
    key = arg.slice(-1);
    if (key === "-") continue;
    if (following) {
      if (!HYPHEN.test(following) && !booleans.has(key)) {
        set(key, following, arg, true);
        i++;
        continue;
      }
      if (isBoolean(following)) {
        set(key, following === "true", arg, true);
        i++;
        continue;
      }
    }
    set(key, strings.has(key) ? "" : true, arg, true);
  }

  for (const [key, value] of Object.entries(defaults)) {
    if (hasNested(result, key.split("."))) continue;
    setNested(result, key.split("."), value);
    for (const other of aliases.get(key) ?? []) setNested(result, other.split("."), value);
  }
  for (const key of booleans) {
    if (!hasNested(result, key.split("."))) {
      setNested(result, key.split("."), collected.has(key) ? [] : false);
    }
  }
  for (const key of strings) {
    if (collected.has(key) && !hasNested(result, key.split("."))) setNested(result, key.split("."), []);
  }
  if (doubleDash) result["--"] = [...rest];
  else result._.push(...rest);
  return result as Args<B, S, C>;
}

function list<T extends string>(value: T | readonly T[]): readonly T[] {
  return typeof value === "string" ? [value] : value;
}

function isNumber(text: string): boolean {
  return NON_WHITESPACE.test(text) && Number.isFinite(Number(text));
}

function isBoolean(text: string): boolean {
  return text === "true" || text === "false";
}

function setNested(
  target: Record<string, unknown>,
  keys: string[],
  value: unknown,
  collecting = false,
): void {
  let at = target;
  for (const key of keys.slice(0, -1)) at = (at[key] ??= {}) as Record<string, unknown>;
  const key = keys[keys.length - 1];
  if (!collecting) at[key] = value;
  else if (Array.isArray(at[key])) at[key].push(value);
  else at[key] = [value];
}

function hasNested(target: Record<string, unknown>, keys: string[]): boolean {
  let at: unknown = target;
  for (const key of keys) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, key)) return false;
    at = (at as Record<string, unknown>)[key];
  }
  return true;
}
