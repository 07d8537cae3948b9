/** What is wrong with a helper's options, for tests. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { ConntrackHelper } from "../../src/conntrack/helper.ts";

/** Fails unless exactly one option is wrong, in words that include `says`. */
export function assertMistake(helper: ConntrackHelper, option: string, says = ""): void {
  const mistakes = helper.mistakes ?? [];
  assert(mistakes.length > 0, `nothing is wrong with ${option}`);
  assertEquals(new Set(mistakes.map((mistake) => mistake.option)), new Set([option]));
  assertStringIncludes(mistakes[0].message, says);
}
