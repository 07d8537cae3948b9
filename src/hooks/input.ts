/** INPUT: packets for Weir's own addresses, after routing, before they are answered or handed to the host device. */
import { ACCEPT, INPUT, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { type State, tablesOf } from "./state.ts";

/**
 * ```
 *  −150 mangle → 0 filter → 100 nat (source) → last: helper, sequence adjustment, confirm
 * ```
 */
export function input(s: State, p: Packet): Verdict {
  const t = tablesOf(s, p);
  let verdict: Verdict;
  p.hook = INPUT;
  if (t.mangle !== null && (verdict = t.mangle.run(INPUT, p)) !== ACCEPT) return verdict; // NF_IP_PRI_MANGLE
  if (t.filter !== null && (verdict = t.filter.run(INPUT, p)) !== ACCEPT) return verdict; // NF_IP_PRI_FILTER
  if (t.translating && (verdict = s.nat.manip(p)) !== ACCEPT) return verdict; // NF_IP_PRI_NAT_SRC
  return t.tracking ? s.conntrack.confirm(p) : ACCEPT; // NF_IP_PRI_CONNTRACK_CONFIRM
}
