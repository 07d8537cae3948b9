/** Interfaces as parts of members (hash:net,iface): a name, or with `wildcard` a name's beginning. */
import { type Elements, WILDCARD } from "./elements.ts";
import { NAME_WORDS } from "./type.ts";

/** True if an element's interface, at word `at` of its key, is the one of `key`, or its name begins like it. */
export function interfaceHolds(elements: Elements, e: number, at: number, key: Int32Array): boolean {
  const wildcard = (elements.flags(e) & WILDCARD) !== 0;
  for (let w = 0; w < NAME_WORDS; w++) {
    const own = elements.key(e, at + w), other = key[at + w];
    if (own === other) continue;
    if (!wildcard) return false;
    // Zeros behind the name: what stands in front of them has to be equal, and what comes next is nothing.
    const free = own === 0 ? 32 : 31 - Math.clz32(own & -own) & ~7;
    if (free !== 32 && (own ^ other) >>> free !== 0) return false;
  }
  return true;
}

/** The element that a key is, −1 when there is none; `at` is the word of the interface, −1 where members have none. */
export function findMember(elements: Elements, at: number, key: Int32Array): number {
  if (at < 0) return elements.find(key);
  let e = elements.first(key);
  while (e >= 0 && !interfaceHolds(elements, e, at, key)) e = elements.next(e, key);
  return e;
}

/** The word of the interface in a type's keys, −1 where members have none. */
export function interfaceWord(dimensions: readonly string[], at: readonly number[]): number {
  const i = dimensions.indexOf("iface");
  return i < 0 ? -1 : at[i];
}
