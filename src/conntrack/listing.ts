/** What stands in the tables now, counted by helper. */
import type { Conntrack } from "./core.ts";
import { EXP_EXPIRES, EXP_LINKED, EXP_MASTER, EXP_STATE, EXP_WORDS } from "./expect.ts";
import { CT_HELPER, CT_STATE, FLOW_CONFIRMED, FLOW_WORDS } from "./flow.ts";

/** Numbers by the helper's index. */
export interface ByHelper {
  readonly flows: readonly number[];
  readonly expectations: readonly number[];
}

/** Flows that have each helper, and expectations that it waits for. */
export function flowsByHelper(conntrack: Conntrack): ByHelper {
  const { flows: table, helpers } = conntrack, count = helpers.length, w = table.words;
  const e = conntrack.expects.words;
  const flows = Array<number>(count).fill(0), expectations = Array<number>(count).fill(0);
  for (let ct = table.next(-1); ct >= 0; ct = table.next(ct)) {
    const at = ct * FLOW_WORDS, helper = w[at + CT_HELPER] - 1;
    if (helper < 0 || helper >= count || w[at + CT_STATE] !== FLOW_CONFIRMED) continue;
    if (!conntrack.expired(ct)) flows[helper]++;
  }
  for (let exp = 0, high = conntrack.expects.high; exp < high; exp++) {
    const at = exp * EXP_WORDS;
    if ((e[at + EXP_STATE] & EXP_LINKED) === 0) continue;
    const helper = w[(e[at + EXP_MASTER] - 1) * FLOW_WORDS + CT_HELPER] - 1;
    if (helper < 0 || helper >= count || ((e[at + EXP_EXPIRES] - conntrack.clock.now) | 0) <= 0) continue;
    expectations[helper]++;
  }
  return { flows, expectations };
}
