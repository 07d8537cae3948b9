/** OUTPUT: packets that Weir makes itself, or that a program behind the host device sends. */
import { ACCEPT, OUTPUT, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { isFragment } from "../packet/parse.ts";
import { type State, tablesOf } from "./state.ts";

/**
 * ```
 *  −400 defrag → −300 raw → −200 conntrack → −150 mangle → −100 nat (destination) → 0 filter
 * ```
 * The packet is routed before; the router routes it again when NAT gave it another destination.
 */
export function output(s: State, p: Packet): Verdict {
  const t = tablesOf(s, p);
  let verdict: Verdict;
  p.hook = OUTPUT;
  if (t.tracking && isFragment(p)) { // NF_IP_PRI_CONNTRACK_DEFRAG
    if ((verdict = s.defrag.gather(p)) !== ACCEPT) return verdict;
  }
  if (t.raw !== null && (verdict = t.raw.run(OUTPUT, p)) !== ACCEPT) return verdict; // NF_IP_PRI_RAW
  if (t.tracking && (verdict = s.conntrack.in(p)) !== ACCEPT) return verdict; // NF_IP_PRI_CONNTRACK
  if (t.mangle !== null && (verdict = t.mangle.run(OUTPUT, p)) !== ACCEPT) return verdict; // NF_IP_PRI_MANGLE
  if (t.translating && (verdict = s.nat.manip(p)) !== ACCEPT) return verdict; // NF_IP_PRI_NAT_DST
  return t.filter !== null ? t.filter.run(OUTPUT, p) : ACCEPT; // NF_IP_PRI_FILTER
}
