/**
 * Sets as a TypeScript module has them: what `weir import` makes of the text of `ipset save`. A set of many members stays
 * text, which is read faster.
 *
 * @module
 */
import { MAXELEM_DEFAULT, type SetHeader } from "../sets/header.ts";
import type { SetSpec } from "../sets/spec.ts";
import { hex } from "../tables/kinds.ts";
import { formatAddress } from "../packet/address.ts";
import { halfOf, saveSets, sayEntries } from "./ipset_save.ts";
import { printRange } from "./set_member.ts";
import { type LeftOut, setComment } from "./left_out.ts";
import { Comment, printProperty, templateText, UNFINISHED, type Value } from "./source_text.ts";

/** Most members that are written one by one. */
const MOST_ENTRIES = 200;

/** Lines of a module for sets that are known, for those of which only the names are, and for those left out. */
export function importedSets(
  given: ReadonlyMap<string, SetSpec>,
  unknown: readonly string[],
  leftOut: LeftOut,
): string[] {
  const said: [string, Value][] = [], kept: SetSpec[] = [];
  const away = [...leftOut.sets.values(), ...leftOut.members];
  const note = (before: number) =>
    away.forEach((set, i) => {
      if (set.before === before) said.push([`// ${i}`, new Comment(setComment(set))]);
    });
  let before = 0;
  for (const [name, spec] of given) {
    note(before++);
    const { header, elements } = spec.list ?? halfOf(spec);
    if (elements.count > MOST_ENTRIES) kept.push(spec);
    else said.push([name, sayHeader(header, sayEntries(spec.list ?? halfOf(spec)))]);
  }
  note(before);
  for (const name of unknown) {
    said.push([name, new Map<string, Value>([["type", "hash:net"], ["entries", [UNFINISHED]]])]);
  }
  return [
    ...said.length === 0 ? [] : [`  ${printProperty("sets", new Map(said), 2)},`],
    ...kept.length === 0 ? [] : [
      `  // Text, because ${kept.length === 1 ? "it has" : "they have"} more than ${MOST_ENTRIES} members.`,
      `  ipset: ${templateText(saveSets(kept))},`,
    ],
  ];
}

/** What a set is created with, where it is not what it would be anyway, and its members. */
function sayHeader(h: SetHeader, entries: readonly string[]): Value {
  const { type, mask } = h, said: [string, Value][] = [["type", type.name]];
  if (type.family) said.push(["family", h.family === 4 ? "inet" : "inet6"]);
  if (h.range !== null) said.push(["range", printRange(h)]);
  if (mask !== null) {
    said.push(
      mask.length === null ? ["bitmask", formatAddress(h.family, mask.words)] : ["netmask", mask.length],
    );
  }
  if (type.name === "hash:ip,mark" && h.markmask !== -1) said.push(["markmask", hex(h.markmask)]);
  if (h.timeout !== null) said.push(["timeout", h.timeout]);
  for (const flag of ["counters", "comment", "skbinfo", "forceadd"] as const) {
    if (h[flag]) said.push([flag, true]);
  }
  if (type.family) {
    if (h.maxelem !== MAXELEM_DEFAULT) said.push(["maxelem", h.maxelem]);
    if (h.hashsize !== 1024) said.push(["hashsize", h.hashsize]);
    if (h.bucketsize !== 12) said.push(["bucketsize", h.bucketsize]);
    if (h.initval !== null) said.push(["initval", h.initval]);
  }
  if (type.dimensions.length === 0 && h.size !== 8) said.push(["size", h.size]);
  return new Map([...said, ["entries", entries]]);
}
