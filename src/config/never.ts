/**
 * Rules that no packet can ever fit, because they ask for what TUN devices do not have, or for flows of a helper that is
 * not there. Linux takes them without a word; whoever brings the rules of another machine should know. And rules that some
 * packets would fit, but Weir cannot know which.
 *
 * @module
 */
import type { ConntrackHelper } from "../conntrack/helper.ts";
import type { RuleSet } from "../tables/entry.ts";
import { TABLE_NAMES } from "../tables/extension.ts";
import type { Problems } from "./problems.ts";

/** Adds a problem for each rule that asks about programs what Weir does not know of them. */
export function refuseOfPrograms(set: RuleSet, problems: Problems): void {
  for (const table of TABLE_NAMES) {
    for (const { matches, path } of (set[table]?.chains ?? []).flatMap((chain) => chain.rules)) {
      for (const { extension: { name, programs } } of matches) {
        if (programs !== undefined) {
          problems.add(path, `match ${name} cannot stand beside \`host\`: ${programs}`);
        }
      }
    }
  }
}

/** Adds a warning for each of them. */
export function warnOfNever(set: RuleSet, helpers: readonly ConntrackHelper[], warnings: Problems): void {
  const names = helpers.map((helper) => helper.name);
  for (const table of TABLE_NAMES) {
    for (const { matches, path } of (set[table]?.chains ?? []).flatMap((chain) => chain.rules)) {
      for (const { extension, options } of matches) {
        const why = extension.never?.(options, names) ?? null;
        if (why !== null) warnings.add(path, `never fits: ${why}`);
      }
    }
  }
}
