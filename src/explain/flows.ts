/** Flows as explanations speak of them. */
import type { Conntrack } from "../conntrack/core.ts";
import { formatFlow } from "../conntrack/format.ts";
import { tupleAt } from "../conntrack/flow.ts";
import { tupleText } from "../conntrack/pinholes.ts";
import { ORIGINAL, REPLY } from "../netfilter.ts";

/** The original direction: `tcp 192.0.2.2:1000 → 203.0.113.9:80`. */
export function formatFlowTuple(conntrack: Conntrack, ct: number, dir = ORIGINAL): string {
  return tupleText(conntrack.flows.words, tupleAt(ct, dir), false);
}

/** Its line of `conntrack -L`, with single blanks. */
export function flowLine(conntrack: Conntrack, ct: number): string {
  return formatFlow(conntrack, ct).replace(/ +/g, " ");
}

/** How answers to it come: `answers come as 203.0.113.9:80 → 198.51.100.1:1000`. */
export function replyText(conntrack: Conntrack, ct: number): string {
  return formatFlowTuple(conntrack, ct, REPLY);
}
