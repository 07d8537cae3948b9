/**
 * A walk that tells: the rows of a table, one after the other, as `Table.run` walks them, for a packet that is really on
 * its way. Everything happens, and happens once; beside that each rule that was asked is noted, with what it did or with
 * the first condition that said no.
 *
 * No index looks rows up here: an index leaves out what is sure to say no, and that is what is to be told. As it leaves
 * out nothing else, the answer is the same.
 */
import type { Conntrack } from "../conntrack/core.ts";
import {
  ACCEPT,
  CONTINUE,
  DROP,
  type Hook,
  HOOK_NAMES,
  Reason,
  RETURN,
  STOLEN,
  type Verdict,
} from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import type { Interfaces } from "../routing/interfaces.ts";
import type { ChainSpec, MatchSpec, RuleSpec, TableSpec } from "../tables/entry.ts";
import { hex } from "../tables/kinds.ts";
import * as T from "../tables/table.ts";
import * as R from "../tables/row.ts";
import { Conditions } from "./conditions.ts";
import type { AskedRule, TableStep } from "./explanation.ts";
import { ruleText } from "../config/rule_listing.ts";

const RULE_DROP = Reason["rule-drop"], POLICY_DROP = Reason["policy-drop"];
const HOTDROP = Reason["match-hotdrop"], LOOP = Reason.loop;

/** A row's place: its chain, and its rule unless it is the chain's end. */
interface Row {
  readonly chain: ChainSpec;
  readonly number: number;
  readonly rule: RuleSpec | null;
  /** What the rule asks beyond its basic part, without what always holds. */
  readonly matches: readonly MatchSpec[];
}

/** Walks one table, and says how. */
export class TellingWalk implements T.WalkRecorder {
  readonly active = true;
  readonly #spec: TableSpec;
  readonly #rows: readonly Row[];
  readonly #conditions: Conditions;
  readonly #texts = new Map<RuleSpec, string>();
  readonly #tell: (p: Packet, step: TableStep) => void;

  constructor(
    spec: TableSpec,
    conntrack: Conntrack,
    interfaces: Interfaces,
    tell: (p: Packet, step: TableStep) => void,
  ) {
    this.#spec = spec;
    this.#rows = spec.chains.flatMap((chain) => [
      ...chain.rules.map((rule, i): Row => ({
        chain,
        number: i + 1,
        rule,
        matches: rule.matches.filter(({ extension }) => extension.name !== "comment"),
      })),
      { chain, number: 0, rule: null, matches: [] },
    ]);
    this.#conditions = new Conditions(conntrack, interfaces, spec.name, spec.family);
    this.#tell = tell;
  }

  walk(table: T.Table, hook: Hook, p: Packet): Verdict {
    const rules: AskedRule[] = [];
    // What a target makes tells of itself before this walk ends, but the step stands where the walk began.
    const step = {
      stage: "table" as const,
      hook: HOOK_NAMES[hook],
      table: this.#spec.name,
      rules,
      verdict: "",
      policy: false,
    };
    this.#tell(p, step);
    const verdict = this.#walk(table, hook, p, rules, step);
    step.verdict = nameOf(verdict);
    return verdict;
  }

  #walk(table: T.Table, hook: Hook, p: Packet, asked: AskedRule[], step: { policy: boolean }): Verdict {
    const { program } = table, { rows, interfaceSets: sets, targets, entries, underflows } = program;
    const stack: number[] = [], cut = p.headerChainCut;
    let row = entries[hook];
    p.hotdrop = false;
    for (;;) {
      const at = row * R.ROW_WORDS, flags = rows[at + R.FLAGS], place = this.#rows[row];
      const { rule } = place;
      if (
        (flags & R.ROW_PROTOCOL) !== 0 && !cut &&
          (p.protocol === rows[at + R.PROTOCOL]) === ((flags & R.ROW_PROTOCOL_INVERT) !== 0) ||
        (flags & R.ROW_IN) !== 0 && sets[rows[at + R.IN] + p.inInterface] === 0 ||
        (flags & R.ROW_OUT) !== 0 && sets[rows[at + R.OUT] + p.outInterface] === 0 ||
        !T.networkHolds(p, rows, at, flags)
      ) {
        asked.push(this.#refused(place, this.#conditions.basic(rule!, program, at, p)));
        row++;
        continue;
      }
      if (cut && (flags & R.ROW_PROTOCOL) !== 0) {
        asked.push(this.#refused(place, "the headers end before the protocol: the packet is dropped"));
        return p.drop(HOTDROP);
      }
      const no = this.#firstNo(program, at, place, p);
      if (no !== null) {
        asked.push(
          this.#refused(
            place,
            this.#conditions.match(rule!, no, p) + (p.hotdrop ? ", so it is dropped" : ""),
          ),
        );
        if (p.hotdrop) return p.drop(HOTDROP);
        row++;
        continue;
      }

      const action = rows[at + R.ACTION], argument = rows[at + R.ARGUMENT];
      table.counters[2 * row]++;
      table.counters[2 * row + 1] += p.length;
      switch (action) {
        case R.ACTION_POLICY:
          step.policy = true;
          asked.push(this.#policy(place, argument as Verdict));
          return argument === DROP ? p.drop(POLICY_DROP) : argument as Verdict;
        case R.ACTION_CONTINUE:
          asked.push(this.#matched(place, "counts, and on"));
          row++;
          continue;
        case R.ACTION_VERDICT:
          if (rule !== null) asked.push(this.#matched(place, nameOf(argument as Verdict)));
          if (argument === RETURN) break;
          return argument === DROP ? p.drop(RULE_DROP) : argument as Verdict;
        case R.ACTION_JUMP:
          asked.push(this.#matched(place, `into ${this.#rows[argument].chain.name}`));
          if (stack.length === program.chains + 1) return p.drop(LOOP);
          stack.push(row + 1);
          row = argument;
          continue;
        case R.ACTION_GOTO:
          asked.push(this.#matched(place, `over to ${this.#rows[argument].chain.name}`));
          row = argument;
          continue;
        default: {
          const name = rule!.target!.kind === "target" ? rule!.target!.extension.name : "";
          const note = this.#matched(place, name);
          const index = asked.push(note) - 1;
          const mark = p.mark, verdict = targets[argument].target(p);
          const marks = p.mark === mark ? "" : `, mark ${hex(mark)} → ${hex(p.mark)}`;
          asked[index] = { ...note, does: doing(name + marks, verdict) };
          if (verdict === CONTINUE) {
            row++;
            continue;
          }
          if (verdict === RETURN) break;
          return verdict === DROP ? p.drop(RULE_DROP) : verdict;
        }
      }
      row = stack.length === 0 ? underflows[hook] : stack.pop()!;
    }
  }

  /** The first of a rule's matches that says no, null when none does. Each is asked once. */
  #firstNo(program: T.Program, at: number, { matches }: Row, p: Packet): MatchSpec | null {
    const { rows } = program, flags = rows[at + R.FLAGS];
    let next = 0;
    if ((flags & R.ROW_PORTS) !== 0) {
      if (!T.portsHold(p, rows, at, flags)) return matches[next];
      next++;
    }
    if ((flags & R.ROW_RELATION) !== 0) {
      if ((rows[at + R.RELATIONS] & T.relationOf(p)) === 0) return matches[next];
      next++;
    }
    for (let m = rows[at + R.MATCHES]; m < rows[at + R.MATCHES_END]; m++, next++) {
      if (!program.matches[m].match(p)) return matches[next];
    }
    return null;
  }

  #asked({ chain, number, rule }: Row): Pick<AskedRule, "chain" | "number" | "place" | "text"> {
    if (rule === null) {
      return { chain: chain.name, number, place: `${this.#spec.name} ${chain.name}`, text: "policy" };
    }
    let text = this.#texts.get(rule);
    if (text === undefined) this.#texts.set(rule, text = ruleText(rule, this.#spec.family));
    return { chain: chain.name, number, place: rule.path, text };
  }

  #refused(row: Row, no: string): AskedRule {
    return { ...this.#asked(row), matched: false, does: "", no };
  }

  #matched(row: Row, does: string): AskedRule {
    return { ...this.#asked(row), matched: true, does, no: "" };
  }

  #policy(row: Row, verdict: Verdict): AskedRule {
    return this.#matched(row, nameOf(verdict));
  }
}

function nameOf(verdict: Verdict): string {
  return verdict === ACCEPT
    ? "ACCEPT"
    : verdict === DROP
    ? "DROP"
    : verdict === STOLEN
    ? "STOLEN"
    : verdict === RETURN
    ? "RETURN"
    : "CONTINUE";
}

/** What a target did: its name, and what came of it where that is not plain. */
function doing(name: string, verdict: Verdict): string {
  if (verdict === CONTINUE) return `${name}, and on`;
  return verdict === DROP && name !== "REJECT" ? `${name} drops it` : name;
}
