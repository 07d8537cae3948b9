/**
 * The sets of a configuration: those written as objects under `sets`, and those of the text under `ipset`.
 *
 * @module
 */
import { parseAddress } from "../packet/address.ts";
import type { Family } from "../netfilter.ts";
import { MAXELEM_DEFAULT } from "../sets/header.ts";
import type { SetSpec } from "../sets/spec.ts";
import type { SetType } from "../sets/type.ts";
import { OptionError } from "../tables/extension.ts";
import { show } from "../tables/kinds.ts";
import { restoreSets, specOf } from "./ipset_restore.ts";
import type { LeftOut } from "./left_out.ts";
import { child, isObject, type Problems, suggest } from "./problems.ts";
import { SetBuilder } from "./set_builder.ts";
import { HeaderError, optionsOf, readHeader, readType, SET_FLAGS, setNameProblem } from "./set_header.ts";

const EXAMPLE = '{ type: "hash:ip", entries: ["192.0.2.7"] }';
/** Mistakes among a set's entries after which they are not read on. */
const MISTAKES_MOST = 20;

/** Reads `sets` and `ipset`; `label` is what messages call the text, `leftOut` takes what it has and Weir cannot have. */
export function readSets(
  input: unknown,
  text: unknown,
  problems: Problems,
  label = "ipset",
  leftOut: LeftOut | null = null,
): ReadonlyMap<string, SetSpec> {
  const sets = new Map<string, SetSpec>(), places = new Map<string, string>();
  if (input !== undefined && !isObject(input)) {
    problems.add("sets", `is not an object with sets; write { blocked: ${EXAMPLE} }`);
  } else {
    for (const [name, set] of Object.entries(input ?? {})) {
      const path = child("sets", name), wrong = setNameProblem(name);
      if (wrong !== null || /[,:]/.test(name) || name.startsWith("-")) {
        problems.add(path, wrong ?? "has a comma or a colon in it, or begins with -; choose another name");
      }
      sets.set(name, readSet(name, set, path, problems));
      places.set(name, path);
    }
  }
  if (text !== undefined && typeof text !== "string") {
    problems.add("ipset", "is not text; write what `ipset save` prints, beginning with create");
  } else {
    for (const [name, builder] of restoreSets(text ?? "", label, problems, leftOut)) {
      if (sets.has(name)) {
        problems.add(label, `set ${name} stands here and in \`sets\`; keep it in one of them`);
      }
      sets.set(name, specOf(name, builder));
      places.set(name, label);
    }
  }
  checkLists(sets, places, problems);
  return sets;
}

/** A set that holds nothing, for those who do not know what is in it. */
export function emptySet(name: string): SetSpec {
  const options = (family: string) => new Map([["family", family]]), type = readType("hash:net");
  const made = (family: string) => specOf(name, new SetBuilder(readHeader(name, type, options(family))));
  return { name, ipv4: made("inet").ipv4, ipv6: made("inet6").ipv6, list: null };
}

/** Lists name sets that are there and are no lists. */
function checkLists(
  sets: Map<string, SetSpec>,
  places: ReadonlyMap<string, string>,
  problems: Problems,
): void {
  for (const [name, { list }] of sets) {
    if (list === null) continue;
    const fine = list.members.every((member) => {
      const found = sets.get(member);
      if (found === undefined) {
        problems.add(
          places.get(name)!,
          `list ${name}: there is no set ${show(member)}; ${suggest(member, [...sets.keys()])}`,
        );
      } else if (found.list !== null) {
        problems.add(
          places.get(name)!,
          `list ${name}: ${member} is a list itself, and lists cannot be in lists`,
        );
      }
      return found !== undefined && found.list === null;
    });
    if (!fine) sets.set(name, emptySet(name));
  }
}

function readSet(name: string, input: unknown, path: string, problems: Problems): SetSpec {
  if (!isObject(input)) {
    problems.add(path, `is not a set; write ${EXAMPLE}`);
    return emptySet(name);
  }
  const type = readTypeOf(input, path, problems);
  const known = ["type", "entries", ...(type === null ? [] : optionsOf(type))];
  const fine = type === null || problems.unknownKeys(path, input, known);
  if (!Array.isArray(input.entries)) {
    problems.add(child(path, "entries"), "is not an array of members, each as behind `ipset add NAME`");
    return emptySet(name);
  }
  if (type === null || !fine) return emptySet(name);
  const options = readOptions(input, path, problems);
  const builders = makeBuilders(name, type, options, path, problems);
  if (builders === null) return emptySet(name);
  fill(builders, type, input.entries, child(path, "entries"), problems);
  const [one, six] = builders.map((builder) => specOf(name, sized(builder, options)));
  return six === undefined ? one : { name, ipv4: one.ipv4, ipv6: six.ipv6, list: null };
}

function readTypeOf(input: Record<string, unknown>, path: string, problems: Problems): SetType | null {
  try {
    if (input.type !== undefined) return readType(input.type);
    problems.add(child(path, "type"), 'is missing; "hash:ip" and "hash:net" are the common ones');
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    problems.add(child(path, "type"), error.message);
  }
  return null;
}

/** Options as ipset has them: text by name. */
function readOptions(input: Record<string, unknown>, path: string, problems: Problems): Map<string, string> {
  const options = new Map<string, string>();
  for (const [key, value] of Object.entries(input)) {
    if (key === "type" || key === "entries" || value === undefined) continue;
    if (SET_FLAGS.includes(key)) {
      if (value === true) options.set(key, "");
      else if (value !== false) problems.add(child(path, key), `${show(value)} is not true or false`);
    } else if (typeof value === "string" || typeof value === "number") options.set(key, String(value));
    else problems.add(child(path, key), `${show(value)} is not a number or text`);
  }
  return options;
}

/** One builder, or where a family is not said and addresses have one, one for each. */
function makeBuilders(
  name: string,
  type: SetType,
  options: ReadonlyMap<string, string>,
  path: string,
  problems: Problems,
): SetBuilder[] | null {
  // A mask is of one family.
  const both = type.family && !["family", "netmask", "bitmask"].some((option) => options.has(option));
  try {
    return (both ? ["inet", "inet6"] : [null]).map((family) => {
      const all = family === null ? options : new Map([...options, ["family", family]]);
      return new SetBuilder(readHeader(name, type, all, Infinity));
    });
  } catch (error) {
    if (!(error instanceof HeaderError)) throw error;
    problems.add(child(path, error.option), error.message);
    return null;
  }
}

function fill(
  builders: readonly SetBuilder[],
  type: SetType,
  entries: readonly unknown[],
  path: string,
  problems: Problems,
): void {
  const before = problems.list.length;
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i];
    try {
      if (typeof entry !== "string") {
        throw new OptionError(`${show(entry)} is not text, as behind \`ipset add NAME\``);
      }
      const builder = builders.length === 1 || familyOf(entry, type) === 4 ? builders[0] : builders[1];
      builder.add(entry.trim(), false);
    } catch (error) {
      if (!(error instanceof OptionError)) throw error;
      problems.add(child(path, i), error.message);
      if (problems.list.length - before === MISTAKES_MOST) return;
    }
  }
}

/** The family of an entry's first address. */
export function familyOf(entry: string, type: SetType): Family {
  const end = entry.search(/[\s,/]/), first = end < 0 ? entry : entry.slice(0, end);
  const bare = first.replace(/^\[(.*)\]$/, "$1");
  if (type.dimensions.length === 1) return bare.includes(":") ? 6 : 4;
  return parseAddress(bare)?.family ?? 4;
}

/** Without a bound of its own a set holds what it has, and as many as ipset lets it at least. */
function sized(builder: SetBuilder, options: ReadonlyMap<string, string>): SetBuilder {
  if (options.has("maxelem") || builder.header.maxelem !== Infinity) return builder;
  (builder.header as { maxelem: number }).maxelem = Math.max(MAXELEM_DEFAULT, builder.count);
  return builder;
}
