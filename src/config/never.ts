/**
 * Rules that no packet can ever fit, because they ask for what TUN devices do not have. Linux takes them on such devices
 * without a word; whoever brings the rules of another machine should know.
 *
 * @module
 */
import type { RuleSet } from "../tables/entry.ts";
import { TABLE_NAMES } from "../tables/extension.ts";
import type { Problems } from "./problems.ts";

/** Adds a warning for each of them. */
export function warnOfNever(set: RuleSet, warnings: Problems): void {
  for (const table of TABLE_NAMES) {
    for (const { matches, path } of (set[table]?.chains ?? []).flatMap((chain) => chain.rules)) {
      for (const { extension, options } of matches) {
        const why = extension.never?.(options) ?? null;
        if (why !== null) warnings.add(path, `never fits: ${why}`);
      }
    }
  }
}
