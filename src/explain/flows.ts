/** Flows as explanations speak of them. */
import type { Conntrack } from "../conntrack/core.ts";
import { formatFlow } from "../conntrack/format.ts";
import { tupleAt } from "../conntrack/flow.ts";
import { tupleText } from "../conntrack/pinholes.ts";
import { ORIGINAL } from "../netfilter.ts";

/** The original direction: `tcp 192.0.2.2:1000 → 203.0.113.9:80`. */
export function formatFlowTuple(conntrack: Conntrack, ct: number): string {
  return tupleText(conntrack.flows.words, tupleAt(ct, ORIGINAL), false);
}

/** Its line of `conntrack -L`, with single blanks. */
export function flowLine(conntrack: Conntrack, ct: number): string {
  return formatFlow(conntrack, ct).replace(/ +/g, " ");
}
