/** FORWARD: packets on their way from one interface to another. */
import { ACCEPT, FORWARD, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { type State, tablesOf } from "./state.ts";

/**
 * ```
 *  −150 mangle → 0 filter
 * ```
 */
export function forward(s: State, p: Packet): Verdict {
  const t = tablesOf(s, p);
  let verdict: Verdict;
  p.hook = FORWARD;
  if (t.mangle !== null && (verdict = t.mangle.run(FORWARD, p)) !== ACCEPT) return verdict; // NF_IP_PRI_MANGLE
  return t.filter !== null ? t.filter.run(FORWARD, p) : ACCEPT; // NF_IP_PRI_FILTER
}
