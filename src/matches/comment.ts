/** A remark that is kept with the rule and matches always (iptables -m comment). */
import { defineMatch, type Match, type MatchExtension } from "../tables/extension.ts";
import { text } from "../tables/kinds.ts";

const ALWAYS: Match = { match: () => true, always: true, judges: "flow" };

/** Text of up to 255 bytes. */
export const comment: MatchExtension = defineMatch<{ comment: string }>({
  name: "comment",
  options: { comment: { flag: "comment", kind: text(0, 255) } },
  required: ["comment"],
  create: () => ALWAYS,
});
