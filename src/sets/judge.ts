/** Whether a member that was found counts (ip_set_match_extensions): time, counters, and what it hands to the rule. */
import type { Elements } from "./elements.ts";
import { holds, type Question } from "./question.ts";

/** Counts the packet for the member, as the kernel does before it compares. */
export function judge(
  elements: Elements,
  e: number,
  bytes: number,
  question: Question,
  now: number,
): boolean {
  if (elements.expired(e, now)) return false;
  const { counters, skbinfo } = elements.extensions;
  if (counters) {
    const values = elements.counters;
    if (question.updates) {
      values[2 * e]++;
      values[2 * e + 1] += bytes;
    }
    if (!holds(question.packets, values[2 * e]) || !holds(question.bytes, values[2 * e + 1])) return false;
  }
  if (skbinfo) {
    question.mark = elements.skbinfo(e, 0);
    question.mask = elements.skbinfo(e, 1);
  }
  return true;
}
