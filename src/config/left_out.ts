/**
 * What an import leaves out, because Weir cannot have it: noted while texts are read, told in comments of the module
 * and by the command.
 *
 * @module
 */
import type { TableName } from "../tables/extension.ts";
import { commentText } from "./source_text.ts";

/** What is not as it was without a rule. */
export interface Effect {
  readonly text: string;
  /** Packets get through that did not. */
  readonly more: boolean;
}

/** A rule. */
export interface LeftOutRule {
  /** `rules.v4:12:14`. */
  readonly path: string;
  readonly table: TableName | "security";
  readonly chain: string;
  /** So many rules of its chain that are kept stand before it. */
  readonly before: number;
  readonly line: string;
  readonly reason: string;
  readonly effect: Effect;
}

/** A set, with its members; or a set as a member of a list. */
export interface LeftOutSet {
  readonly path: string;
  /** So many sets that are kept stand before it. */
  readonly before: number;
  readonly line: string;
  readonly reason: string;
  /** Lines of its members. */
  members: number;
}

/** Everything that is left out. */
export class LeftOut {
  readonly rules: LeftOutRule[] = [];
  /** By their names. */
  readonly sets = new Map<string, LeftOutSet>();
  /** Members of lists. */
  readonly members: LeftOutSet[] = [];

  /** Nothing is. */
  get empty(): boolean {
    return this.rules.length === 0 && this.sets.size === 0 && this.members.length === 0;
  }

  /** How many of what: "3 rules and 1 set". */
  get counted(): string {
    const count = (number: number, one: string, several: string) =>
      number === 0 ? [] : [`${number} ${number === 1 ? one : several}`];
    const counts = [
      ...count(this.rules.length, "rule", "rules"),
      ...count(this.sets.size, "set", "sets"),
      ...count(this.members.length, "member of a list", "members of lists"),
    ];
    return [counts.slice(0, -1).join(", "), counts.at(-1)].filter((text) => text !== "").join(" and ");
  }

  /** One line for each, with its place and what differs without it, below one for all. */
  report(from: string): string {
    const more = this.rules.filter(({ effect }) => effect.more).length;
    const one = this.rules.length + this.sets.size + this.members.length === 1;
    const loud = more === 0
      ? ""
      : `; MORE GETS THROUGH without ${more === 1 && one ? "it" : `${more} of them`}`;
    return [
      `${this.counted} ${one ? "is" : "are"} left out, so the module does not say what ${from} said${loud}`,
      ...this.rules.map(({ path, table, chain, reason, effect }) =>
        `  ${path}: ${table} ${chain} (${effect.text}): ${reason}`
      ),
      ...[...this.sets.values(), ...this.members].map(({ path, reason }) => `  ${path}: ${reason}`),
    ].join("\n");
  }
}

/** What a comment says in place of a rule. */
export function ruleComment({ line, reason, effect }: LeftOutRule): string[] {
  return [`Left out (${effect.text}): ${reason}`, line].map(commentText);
}

/** What a comment says in place of a set. */
export function setComment({ line, reason, members }: LeftOutSet): string[] {
  const behind = members === 0 ? "" : ` (and ${members} ${members === 1 ? "member" : "members"})`;
  return [`Left out: ${reason}`, `${line}${behind}`].map(commentText);
}
