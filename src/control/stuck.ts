/**
 * A data plane that does not move any more. What a helper's code does cannot be interrupted, so one that never comes back
 * ends the router. That it does not end the next one as well, by the same packet sent again, it is unloaded here: nobody
 * else writes to the memory any more.
 */
import { Xoshiro } from "../clock.ts";
import { CT_HELPER, CT_STATE, FLOW_FREE, FLOW_WORDS, tupleAt } from "../conntrack/flow.ts";
import { tupleText } from "../conntrack/pinholes.ts";
import { HELPER_COUNTS, HELPER_FAILED } from "../conntrack/roster.ts";
import { FlowTable } from "../conntrack/table.ts";
import type { Memory } from "../memory.ts";
import { ORIGINAL } from "../netfilter.ts";

/** What it was at, for people, "" when that is not known. A helper that it was in has no flows any more. */
export function whyStuck(memory: Memory): string {
  const { roster } = memory.generation, index = roster.entries.findIndex((_, i) => roster.reading(i) >= 0);
  if (index < 0) return "";
  const { name } = roster.entries[index], { flows } = memory.geometry;
  const w = new FlowTable(memory.buffer, memory.flowsOffset, flows, new Xoshiro(1)).words;
  const flow = tupleText(w, tupleAt(roster.reading(index), ORIGINAL), false);
  roster.counts[index * HELPER_COUNTS.length + HELPER_FAILED]++;
  roster.setLoaded(index, false);
  for (let ct = 0; ct < flows; ct++) {
    const at = ct * FLOW_WORDS;
    if (w[at + CT_STATE] !== FLOW_FREE && w[at + CT_HELPER] === index + 1) w[at + CT_HELPER] = 0;
  }
  return `; helper ${name} does not come to an end with a packet of flow ${flow}. ` +
    `Started again the router goes on without it, until weir helpers --load ${name}`;
}
