/**
 * What the rule counters of a running router mean: its rules, in a file beside its state file (`NAME.rules`), so that
 * another process reads them without asking anyone, as it reads the counters.
 *
 * Who makes or replaces the rules of the router writes it, whole or not at all; who ends the router removes it.
 */
import type { ListedTable } from "../config/rule_listing.ts";
import { removeIfThere } from "./remove.ts";

/** Grows with every change of the form. */
const VERSION = 2;

/** The file. */
export interface RulesFile {
  /** The generation of the state whose rules they are, by its place: that in force, or this is about others. */
  readonly generation: number;
  /** Its counter slots. */
  readonly slots: number;
  readonly tables: readonly ListedTable[];
}

/** The path of the rules beside a state file. */
function rulesPath(statePath: string): string {
  return statePath.replace(/\.state$/, ".rules");
}

/** Writes it, for its owner to read. */
export function writeRules(statePath: string, rules: RulesFile): void {
  const path = rulesPath(statePath), beside = `${path}.part`;
  try {
    Deno.writeTextFileSync(beside, JSON.stringify({ version: VERSION, ...rules }), { mode: 0o600 });
    Deno.renameSync(beside, path);
  } catch (error) {
    removeIfThere(beside); // The file system is full, say; half of it is in nobody's way then.
    throw error;
  }
}

/** Reads it; null where there is none, or one of another Weir. */
export function readRules(statePath: string): RulesFile | null {
  let text: string;
  try {
    text = Deno.readTextFileSync(rulesPath(statePath));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
  const file = JSON.parse(text) as RulesFile & { version: number };
  return file.version === VERSION ? file : null;
}

/** Removes it, if it is there. */
export function removeRules(statePath: string): void {
  removeIfThere(rulesPath(statePath));
}
