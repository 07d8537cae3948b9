/**
 * Sets as text, as `ipset save` prints them: byte for byte where the order of members can be known, in bitmaps and lists.
 * The members of a hash come in the order in which they were added; in the kernel they come as its hash has them, so a
 * text that `ipset save` wrote comes out as it was.
 *
 * @module
 */
import { type Elements, NOMATCH, USED, WILDCARD } from "../sets/elements.ts";
import type { SetHeader } from "../sets/header.ts";
import type { HashSpec, ListSpec, SetSpec } from "../sets/spec.ts";
import { hex } from "../tables/kinds.ts";
import { Problems } from "./problems.ts";
import { printHeader } from "./set_header.ts";
import { printMember } from "./set_member.ts";

/** What is printed of a set; `now` is the clock of one that is at work, absent for one of the configuration. */
export interface Printed {
  readonly header: SetHeader;
  readonly elements: Elements;
  /** Sets of a list. */
  readonly members?: readonly string[];
}

/** All sets of a configuration, lists behind the others, since they name them. */
export function saveSets(specs: Iterable<SetSpec>): string {
  const hashes: Printed[] = [], lists: ListSpec[] = [];
  for (const spec of specs) {
    if (spec.list !== null) lists.push(spec.list);
    else hashes.push(halfOf(spec));
  }
  return [...hashes, ...lists].map((printed) => saveSet(printed)).join("");
}

/** Of a set of both families the one that has members. */
export function halfOf({ ipv4, ipv6 }: SetSpec): HashSpec {
  return ipv4 === null || ipv6 !== null && ipv4.elements.count === 0 && ipv6.elements.count > 0
    ? ipv6!
    : ipv4;
}

/** Sets that no text can say: those with members of both families. */
export function unsaidSets(specs: Iterable<SetSpec>): Problems["list"] {
  const problems = new Problems();
  for (const { name, ipv4, ipv6 } of specs) {
    if (ipv4 === null || ipv6 === null || ipv4 === ipv6) continue;
    if (ipv4.elements.count > 0 && ipv6.elements.count > 0) {
      problems.add(
        `sets.${name}`,
        "has addresses of both families, and a set of ipset has one; make two of it",
      );
    }
  }
  return problems.list;
}

/** One set: how it is created, and its members. */
export function saveSet(printed: Printed, now?: number): string {
  const { header } = printed;
  const added = sayEntries(printed, now).map((entry) => `add ${header.name} ${entry}`);
  return [printHeader(header), ...added].join("\n") + "\n";
}

/** Each member as behind `add NAME`. */
export function sayEntries(printed: Printed, now?: number): string[] {
  return order(printed, now).map((e) => sayEntry(printed, e, now));
}

/** One member as behind `add NAME`. */
export function sayEntry({ header, elements, members }: Printed, e: number, now?: number): string {
  return (members === undefined ? printMember(header, elements, e) : members[e]) + beside(elements, e, now);
}

/** Members in the order in which they are printed; without the expired ones of a set at work. */
export function order({ header, elements }: Printed, now?: number): number[] {
  const list: number[] = [];
  for (let e = 0; e < elements.high; e++) {
    if ((elements.flags(e) & USED) === 0 || now !== undefined && elements.expired(e, now)) continue;
    list.push(e);
  }
  if (header.type.bitmap) list.sort((a, b) => (elements.key(a, 0) >>> 0) - (elements.key(b, 0) >>> 0));
  return list;
}

/** What stands behind a member. */
function beside(elements: Elements, e: number, now?: number): string {
  const { timeout, counters, comment, skbinfo } = elements.extensions, flags = elements.flags(e);
  let text = "";
  if (timeout) text += ` timeout ${now === undefined ? elements.seconds(e) : elements.remaining(e, now)}`;
  if ((flags & NOMATCH) !== 0) text += " nomatch";
  if ((flags & WILDCARD) !== 0) text += " wildcard";
  if (counters) text += ` packets ${elements.counters[2 * e]} bytes ${elements.counters[2 * e + 1]}`;
  const said = comment ? elements.comment(e) : "";
  if (said !== "") text += ` comment "${said}"`;
  if (!skbinfo) return text;
  const [mark, mask, prio, queue] = ([0, 1, 2, 3] as const).map((which) => elements.skbinfo(e, which));
  if (mark !== 0 || mask !== 0) text += ` skbmark ${hex(mark)}${mask === -1 ? "" : `/${hex(mask)}`}`;
  if (prio !== 0) text += ` skbprio ${(prio >>> 16).toString(16)}:${(prio & 0xffff).toString(16)}`;
  if (queue !== 0) text += ` skbqueue ${queue}`;
  return text;
}
