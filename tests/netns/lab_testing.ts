/** Tests that need a lab: they run where one can be made, and say why where not. */

import { unavailable } from "./lab.ts";
import { missing } from "./programs.ts";

const reason = unavailable();

/** A test that needs root, namespaces and `programs`. Left out where they are not; the test command says why. */
export function labTest(name: string, programs: readonly string[], fn: () => Promise<void>): void {
  const ignore = reason !== null || missing(programs).length > 0;
  Deno.test({ name, ignore, fn });
}
