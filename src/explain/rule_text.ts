/** A rule as it was written, on one line. */
import { saveRule } from "../config/iptables_save.ts";
import { sayRule } from "../config/rule_object.ts";
import { printLine } from "../config/source_text.ts";
import type { Family } from "../netfilter.ts";
import type { RuleSpec } from "../tables/entry.ts";

/** Its line where it was text; the object that says the same where it was one; iptables' words where none does. */
export function ruleText(rule: RuleSpec, family: Family): string {
  if (rule.line !== undefined) return rule.line;
  const said = sayRule(rule, family);
  if (said === null) return saveRule(rule, family).trim();
  const text = printLine(said),
    hasFunction = rule.matches.some(({ extension }) => extension.name === "function");
  return hasFunction ? text.replace(/\bmatch: "([\w$]+)"/, "match: $1") : text; // it is a name, not a text
}
