/**
 * Sets of addresses, as `sets` in the configuration has them.
 *
 * @module
 */
import { networkOf, parseAddress, parsePrefix, prefixMask } from "../packet/address.ts";
import { AddressSet, type Member } from "../tables/address_set.ts";
import { show } from "../tables/kinds.ts";
import { child, isObject, type Problems, suggest } from "./problems.ts";

const TYPES = ["hash:ip", "hash:net"];
/** Longest name that ipset takes. */
const NAME = 31;

/** Reads `sets`. */
export function readSets(input: unknown, problems: Problems): ReadonlyMap<string, AddressSet> {
  const sets = new Map<string, AddressSet>();
  if (input === undefined) return sets;
  if (!isObject(input)) {
    problems.add("sets", 'is not an object with sets; write { blocked: { type: "hash:ip", entries: [] } }');
    return sets;
  }
  for (const [name, set] of Object.entries(input)) {
    const path = child("sets", name);
    if (name === "" || name.length > NAME || /[\s"'\\,:]/.test(name) || name.startsWith("-")) {
      problems.add(path, `is not a set's name: 1 to ${NAME} characters, no blanks, quotes, commas or colons`);
    }
    sets.set(name, new AddressSet(name, readSet(set, path, problems)));
  }
  return sets;
}

function readSet(input: unknown, path: string, problems: Problems): Member[] {
  if (!isObject(input)) {
    problems.add(path, 'is not a set; write { type: "hash:ip", entries: ["192.0.2.7"] }');
    return [];
  }
  problems.unknownKeys(path, input, ["type", "entries"]);
  if (input.type === undefined) problems.add(child(path, "type"), `is missing; one of ${TYPES.join(", ")}`);
  else if (!TYPES.includes(input.type as string)) {
    problems.add(
      child(path, "type"),
      `${show(input.type)} is not a type of set; ${suggest(String(input.type), TYPES)}`,
    );
  }
  if (!Array.isArray(input.entries)) {
    problems.add(child(path, "entries"), "is not an array of addresses and networks");
    return [];
  }
  return input.entries.flatMap((entry, i) => {
    const member = readEntry(entry);
    if (member !== null) return [member];
    problems.add(
      child(child(path, "entries"), i),
      `${show(entry)} is not an address or a network such as "192.0.2.7" or "2001:db8::/32"`,
    );
    return [];
  });
}

function readEntry(entry: unknown): Member | null {
  if (typeof entry !== "string") return null;
  const address = parseAddress(entry);
  if (address !== null) return { ...address, length: address.family === 4 ? 32 : 128 };
  const network = parsePrefix(entry);
  if (network === null) return null;
  const { family, words, length } = network;
  return { family, words: networkOf(words, prefixMask(family, length)), length };
}
