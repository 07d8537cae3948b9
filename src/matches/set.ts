/** A packet in a set of the configuration (iptables -m set; xt_set). */
import type { Packet } from "../packet/packet.ts";
import type { NamedSet } from "../sets/mod.ts";
import { type Comparison, type CounterCondition, Question } from "../sets/question.ts";
import { defineMatch, type Kind, type Match, type MatchExtension, OptionError } from "../tables/extension.ts";
import { flag, refuse, wholeNumber } from "../tables/kinds.ts";
import { findSet, type SetFlags, setFlags } from "../tables/set_flags.ts";

interface SetOptions {
  matchSet: SetFlags;
  returnNomatch: true;
  updateCounters: true;
  updateSubcounters: true;
  packetsEq: number;
  packetsLt: number;
  packetsGt: number;
  bytesEq: number;
  bytesLt: number;
  bytesGt: number;
}

const count: Kind<number> = {
  words: 1,
  expects: "a whole number",
  read(input) {
    return wholeNumber(input, 0, Number.MAX_SAFE_INTEGER) ?? refuse(input, this.expects);
  },
  print: String,
};

class SetMatch implements Match {
  readonly pure?: true;
  readonly judges?: "flow";
  readonly #set: NamedSet;
  readonly #question: Question;
  readonly #invert: boolean;

  constructor(set: NamedSet, question: Question, invert: boolean) {
    this.#set = set;
    this.#question = question;
    this.#invert = invert;
    const counting = set.counts && (question.updates || question.sub.updates);
    if (!counting) this.pure = true;
    if (set.fixed && !counting && !question.compares) this.judges = "flow";
  }

  match(p: Packet): boolean {
    return this.#set.ask(p, this.#question) !== this.#invert;
  }
}

/** The packet's addresses, ports, interfaces or mark in a set. */
export const set: MatchExtension = defineMatch<SetOptions>({
  name: "set",
  options: {
    matchSet: { flag: "match-set", kind: setFlags, negatable: true },
    returnNomatch: { flag: "return-nomatch", kind: flag },
    updateCounters: { flag: "update-counters", kind: flag, negatable: true },
    updateSubcounters: { flag: "update-subcounters", kind: flag, negatable: true },
    packetsEq: { flag: "packets-eq", kind: count, negatable: true },
    packetsLt: { flag: "packets-lt", kind: count },
    packetsGt: { flag: "packets-gt", kind: count },
    bytesEq: { flag: "bytes-eq", kind: count, negatable: true },
    bytesLt: { flag: "bytes-lt", kind: count },
    bytesGt: { flag: "bytes-gt", kind: count },
  },
  required: ["matchSet"],
  finish(o, c) {
    findSet(o.matchSet!.value, c);
    for (
      const names of [["packetsEq", "packetsLt", "packetsGt"], ["bytesEq", "bytesLt", "bytesGt"]] as const
    ) {
      const given = names.filter((name) => o[name] !== undefined);
      if (given.length > 1) {
        throw new OptionError(`${given.join(" and ")} exclude each other; keep one of them`);
      }
    }
    // What is so anyway is not printed.
    const { updateCounters, updateSubcounters, ...rest } = o;
    return {
      ...rest,
      ...(updateCounters?.invert ? { updateCounters } : {}),
      ...(updateSubcounters?.invert ? { updateSubcounters } : {}),
    };
  },
  create(o, { services }) {
    const { value, invert } = o.matchSet!;
    const condition = (what: "packets" | "bytes"): CounterCondition | null => {
      const eq = o[`${what}Eq`], lt = o[`${what}Lt`], gt = o[`${what}Gt`];
      const given = eq ?? lt ?? gt;
      if (given === undefined) return null;
      const compare: Comparison = eq !== undefined ? eq.invert ? "ne" : "eq" : lt !== undefined ? "lt" : "gt";
      return { compare, value: given.value };
    };
    const question = new Question(value.flags, {
      returnNomatch: o.returnNomatch !== undefined,
      updates: o.updateCounters === undefined,
      subUpdates: o.updateSubcounters === undefined,
      packets: condition("packets"),
      bytes: condition("bytes"),
    });
    return new SetMatch(services.sets.get(value.name), question, invert);
  },
});
