/** POSTROUTING: every packet about to leave by an interface. */
import { ACCEPT, POSTROUTING, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { type State, tablesOf } from "./state.ts";

/**
 * ```
 *  −150 mangle → 100 nat (source) → last: helper, sequence adjustment, confirm
 * ```
 */
export function postrouting(s: State, p: Packet): Verdict {
  const t = tablesOf(s, p);
  let verdict: Verdict;
  p.hook = POSTROUTING;
  if (t.mangle !== null && (verdict = t.mangle.run(POSTROUTING, p)) !== ACCEPT) return verdict; // NF_IP_PRI_MANGLE
  if (t.translating && (verdict = s.nat.manip(p)) !== ACCEPT) return verdict; // NF_IP_PRI_NAT_SRC
  return t.tracking ? s.conntrack.confirm(p) : ACCEPT; // NF_IP_PRI_CONNTRACK_CONFIRM
}
