/** PREROUTING: every packet read from a device, before routing. */
import { ACCEPT, PREROUTING, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { isFragment } from "../packet/parse.ts";
import { type FamilyTables, type State, tablesOf } from "./state.ts";

/**
 * ```
 *  −400 defrag → −300 raw → −200 conntrack → −150 mangle → −100 nat (destination)
 * ```
 * STOLEN: a fragment that waits for the others; the packet that completes the datagram goes on as the whole of it.
 */
export function prerouting(s: State, p: Packet): Verdict {
  const t = tablesOf(s, p);
  let verdict: Verdict;
  p.hook = PREROUTING;
  if (t.tracking && isFragment(p)) { // NF_IP_PRI_CONNTRACK_DEFRAG
    if ((verdict = s.defrag.gather(p)) !== ACCEPT) return verdict;
  }
  if (t.raw !== null && (verdict = t.raw.run(PREROUTING, p)) !== ACCEPT) return verdict; // NF_IP_PRI_RAW
  if (t.tracking && (verdict = s.conntrack.in(p)) !== ACCEPT) return verdict; // NF_IP_PRI_CONNTRACK
  return tracked(s, t, p);
}

/** The same for a packet that the fast path has put to its flow's tracker, which did not take it (`answer`). */
export function preroutingRefused(s: State, p: Packet, answer: number): Verdict {
  const t = tablesOf(s, p);
  let verdict: Verdict;
  if (t.raw !== null && (verdict = t.raw.run(PREROUTING, p)) !== ACCEPT) return verdict; // NF_IP_PRI_RAW
  if ((verdict = s.conntrack.refused(p, answer)) !== ACCEPT) return verdict; // NF_IP_PRI_CONNTRACK
  return tracked(s, t, p);
}

/** The stages behind conntrack. */
function tracked(s: State, t: FamilyTables, p: Packet): Verdict {
  let verdict: Verdict;
  if (t.mangle !== null && (verdict = t.mangle.run(PREROUTING, p)) !== ACCEPT) return verdict; // NF_IP_PRI_MANGLE
  if (t.translating && (verdict = s.nat.manip(p)) !== ACCEPT) return verdict; // NF_IP_PRI_NAT_DST
  return ACCEPT;
}
