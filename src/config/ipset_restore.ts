/**
 * Sets as `ipset restore` reads them: `create`, `add`, and what else such a file may do to what it has made. A file that
 * `ipset save` wrote is one.
 *
 * @module
 */
import type { SetSpec } from "../sets/spec.ts";
import { OptionError, UnsupportedError } from "../tables/extension.ts";
import type { LeftOut, LeftOutSet } from "./left_out.ts";
import { type Problems, suggest } from "./problems.ts";
import { SetBuilder } from "./set_builder.ts";
import { HeaderError, IDLE_OPTIONS, readHeader, readType, SET_FLAGS, setNameProblem } from "./set_header.ts";

const COMMANDS: Readonly<Record<string, string>> = {
  create: "create",
  "-N": "create",
  "--create": "create",
  add: "add",
  "-A": "add",
  "--add": "add",
  del: "del",
  "-D": "del",
  "--del": "del",
  flush: "flush",
  "-F": "flush",
  "--flush": "flush",
  destroy: "destroy",
  "-X": "destroy",
  "--destroy": "destroy",
};
const EXIST = ["-exist", "--exist", "-!"];

/** Mistakes after which a text is not read on. */
const MISTAKES_MOST = 20;

/** A mistake, and the column where it stands; or what is right where ipset is, and Weir cannot have. */
class LineError extends Error {
  constructor(readonly column: number, message: string, readonly unsupported = false) {
    super(message);
  }
}

/** What has been read so far, and which sets Weir cannot have. */
interface Read {
  readonly sets: Map<string, SetBuilder>;
  readonly leftOut: LeftOut | null;
}

/**
 * Reads a text. `label` is what messages call it: `ipset:12:5` is a place. `leftOut` takes sets that Weir cannot have;
 * without it they are problems.
 */
export function restoreSets(
  text: string,
  label: string,
  problems: Problems,
  leftOut: LeftOut | null = null,
): Map<string, SetBuilder> {
  const sets = new Map<string, SetBuilder>(), before = problems.list.length;
  let from = 0, line = 0;
  // Files can have millions of lines.
  while (from < text.length) {
    let to = text.indexOf("\n", from);
    if (to < 0) to = text.length;
    line++;
    const content = text.slice(from, text.charCodeAt(to - 1) === 13 ? to - 1 : to);
    from = to + 1;
    try {
      readLine(content, `${label}:${line}`, { sets, leftOut });
    } catch (error) {
      if (!(error instanceof LineError)) throw error;
      problems.add(`${label}:${line}:${error.column}`, error.message);
      if (problems.list.length - before === MISTAKES_MOST) {
        problems.add(`${label}:${line + 1}:1`, "is not read any more, after so many mistakes");
        break;
      }
    }
  }
  return sets;
}

function readLine(line: string, place: string, { sets, leftOut }: Read): void {
  // What nearly all lines are.
  if (line.startsWith("add ")) {
    const blank = line.indexOf(" ", 4), set = blank < 0 ? undefined : sets.get(line.slice(4, blank));
    if (set !== undefined && (leftOut === null || !isList(set))) {
      const rest = line.slice(blank + 1);
      if (!rest.startsWith(" ")) return attempt(blank + 2, () => set.add(rest.trimEnd(), false));
    }
  }
  const exact = line.trim();
  if (exact === "" || exact.startsWith("#") || exact === "COMMIT" || exact === "quit") return;
  const words = [...line.matchAll(/"[^"]*"|\S+/g)].map(({ 0: word, index }) => ({ word, column: index + 1 }));
  let exist = false;
  while (words.length > 0 && EXIST.includes(words[0].word)) {
    exist = true;
    words.shift();
  }
  if (words.length === 0) throw new LineError(1, "-exist stands in front of a command, and none is here");
  const [first, second, ...rest] = words;
  const command = COMMANDS[first.word];
  if (command === undefined) {
    throw new LineError(
      first.column,
      `${JSON.stringify(first.word)} has no place here; ${
        suggest(first.word, ["create", "add", "del", "flush"])
      }`,
    );
  }
  if (second === undefined) throw new LineError(first.column, `${first.word} needs the name of a set`);
  const name = second.word;
  if (command === "create") {
    if (leftOut?.sets.has(name)) {
      if (exist) return;
      throw new LineError(second.column, alreadyThere(name));
    }
    try {
      return create(name, second.column, rest, exist, sets);
    } catch (error) {
      if (!(error instanceof LineError && error.unsupported) || leftOut === null) throw error;
      leftOut.sets.set(name, missing(`${place}:${error.column}`, exact, error.message, sets.size));
      return;
    }
  }
  const away = leftOut?.sets.get(name);
  if (away !== undefined) {
    if (command === "add" && rest.length > 0) away.members++;
    else if (command === "destroy") leftOut!.sets.delete(name);
    return;
  }
  const set = sets.get(name);
  if (set === undefined) {
    const hint = sets.size === 0 ? "none has been created" : suggest(name, [...sets.keys()]);
    throw new LineError(second.column, `set ${JSON.stringify(name)} is not there; ${hint}`);
  }
  if (command === "flush") return set.flush();
  if (command === "destroy") {
    sets.delete(name);
    return;
  }
  if (rest.length === 0) throw new LineError(second.column, `${first.word} needs a member`);
  const member = line.slice(rest[0].column - 1).trim();
  const lost = isList(set) ? leftOut?.sets.get(rest[0].word) : undefined;
  if (lost !== undefined) {
    if (command === "add") {
      const reason = `list ${name} lacks set ${rest[0].word}, which is left out: ${lost.reason}`;
      leftOut!.members.push(missing(`${place}:${rest[0].column}`, exact, reason, sets.size));
    }
    return;
  }
  attempt(rest[0].column, () => command === "add" ? set.add(member, exist) : set.delete(member, exist));
}

function missing(path: string, line: string, reason: string, before: number): LeftOutSet {
  return { path, line, reason, before, members: 0 };
}

function alreadyThere(name: string): string {
  return `set ${JSON.stringify(name)} is there already; give it another name`;
}

function isList(set: SetBuilder): boolean {
  return set.header.type.dimensions.length === 0;
}

function attempt(column: number, act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    throw new LineError(column, error.message, error instanceof UnsupportedError);
  }
}

function create(
  name: string,
  column: number,
  words: readonly { word: string; column: number }[],
  exist: boolean,
  sets: Map<string, SetBuilder>,
): void {
  const wrong = setNameProblem(name);
  if (wrong !== null) throw new LineError(column, `${JSON.stringify(name)} ${wrong}`);
  const [typeName, ...rest] = words;
  if (typeName === undefined) throw new LineError(column, "create needs a name and a type");
  attempt(typeName.column, () => readType(typeName.word));
  const type = readType(typeName.word),
    options = new Map<string, string>(),
    columns = new Map<string, number>();
  for (let i = 0; i < rest.length; i++) {
    const { word, column: at } = rest[i];
    if (EXIST.includes(word)) {
      exist = true;
      continue;
    }
    const option = word === "-4" || word === "-6" ? "family" : word.replace(/^--?/, "");
    columns.set(option, at);
    if (SET_FLAGS.includes(option)) options.set(option, "");
    else if (option !== word && option === "family" && word.length === 2) {
      options.set(option, word === "-4" ? "inet" : "inet6");
    } else {
      const value = rest[++i];
      if (IDLE_OPTIONS.includes(option)) continue;
      if (value === undefined) throw new LineError(at, `${word} needs a value, or is not known here`);
      options.set(option, value.word);
    }
  }
  if (sets.has(name)) {
    if (exist) return;
    throw new LineError(column, alreadyThere(name));
  }
  try {
    sets.set(name, new SetBuilder(readHeader(name, type, options)));
  } catch (error) {
    if (!(error instanceof HeaderError)) throw error;
    throw new LineError(columns.get(error.option) ?? typeName.column, `${error.option} ${error.message}`);
  }
}

/** The sets of builders that are full. */
export function specOf(name: string, builder: SetBuilder): SetSpec {
  const { header, members } = builder, elements = builder.finish();
  if (header.type.dimensions.length === 0) {
    return { name, ipv4: null, ipv6: null, list: { header, elements, members } };
  }
  const hash = { header, elements };
  // Ports have no family.
  const both = header.type.name === "bitmap:port";
  return {
    name,
    ipv4: header.family === 4 ? hash : null,
    ipv6: header.family === 6 || both ? hash : null,
    list: null,
  };
}
