/** Adds the packet to a set, takes it out, or takes its mark from one (iptables -j SET; xt_SET). */
import { CONTINUE, FORWARD, OUTPUT, POSTROUTING, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import type { NamedSet } from "../sets/mod.ts";
import { Question } from "../sets/question.ts";
import type { RuleSet } from "../tables/entry.ts";
import {
  defineTarget,
  OptionError,
  TABLE_NAMES,
  type Target,
  type TargetExtension,
} from "../tables/extension.ts";
import { flag, uint } from "../tables/kinds.ts";
import { findSet, type SetFlags, setFlags } from "../tables/set_flags.ts";
import { TIMEOUT_MAX } from "../sets/header.ts";

interface SetTargetOptions {
  addSet: SetFlags;
  exist: true;
  timeout: number;
  delSet: SetFlags;
  mapSet: SetFlags;
  mapMark: true;
  mapPrio: true;
  mapQueue: true;
}

/** As long as the set says. */
const AS_SET = -1;
/** Most that iptables takes; what the clock cannot count is cut to what it can. */
const SECONDS_MAX = 4294967294;

/** One of the sets of a rule. */
interface Wanted {
  readonly set: NamedSet;
  readonly question: Question;
}

class SetTarget implements Target {
  readonly #add: Wanted | null;
  readonly #del: Wanted | null;
  readonly #map: Wanted | null;
  readonly #exist: boolean;
  readonly #seconds: number;
  readonly #mark: boolean;

  constructor(
    add: Wanted | null,
    del: Wanted | null,
    map: Wanted | null,
    o: { exist: boolean; seconds: number; mark: boolean },
  ) {
    this.#add = add;
    this.#del = del;
    this.#map = map;
    this.#exist = o.exist;
    this.#seconds = o.seconds;
    this.#mark = o.mark;
  }

  target(p: Packet): Verdict {
    const add = this.#add, del = this.#del, map = this.#map;
    if (add !== null) add.set.add(p, add.question, this.#exist, this.#seconds);
    if (del !== null) del.set.delete(p, del.question);
    if (map !== null) {
      const { question } = map, { sub } = question;
      question.mark =
        question.mask =
        sub.mark =
        sub.mask =
          0;
      if (map.set.ask(p, question) && this.#mark) p.mark = (p.mark & ~question.mask) ^ question.mark;
    }
    return CONTINUE;
  }
}

/** Of a set that nothing changes and nothing counts: the same mark for all packets of a flow. */
class FixedMap extends SetTarget {
  readonly constant = true;
}

/** Changes sets, or asks one for the packet's mark. */
export const SET: TargetExtension = defineTarget<SetTargetOptions>({
  name: "SET",
  options: {
    addSet: { flag: "add-set", kind: setFlags },
    exist: { flag: "exist", kind: flag },
    timeout: { flag: "timeout", kind: uint(0, SECONDS_MAX) },
    delSet: { flag: "del-set", kind: setFlags },
    mapSet: { flag: "map-set", kind: setFlags },
    mapMark: { flag: "map-mark", kind: flag },
    mapPrio: { flag: "map-prio", kind: flag },
    mapQueue: { flag: "map-queue", kind: flag },
  },
  required: ["addSet", "delSet", "mapSet"],
  finish(o, c) {
    for (const named of [o.addSet, o.delSet, o.mapSet]) if (named !== undefined) findSet(named.value, c);
    if (o.addSet === undefined && (o.exist !== undefined || o.timeout !== undefined)) {
      throw new OptionError("exist and timeout go with addSet (--add-set)");
    }
    const maps = o.mapMark ?? o.mapPrio ?? o.mapQueue;
    if (o.mapSet === undefined) {
      if (maps !== undefined) {
        throw new OptionError("mapMark, mapPrio and mapQueue go with mapSet (--map-set)");
      }
      return o;
    }
    if (maps === undefined) throw new OptionError("mapSet needs mapMark, mapPrio or mapQueue (--map-mark …)");
    if (c.table !== "mangle") throw new OptionError("mapSet (--map-set) is allowed in table mangle only");
    const behind = 1 << FORWARD | 1 << OUTPUT | 1 << POSTROUTING;
    if ((o.mapPrio ?? o.mapQueue) !== undefined && (c.hooks & ~behind) !== 0) {
      throw new OptionError(
        "mapPrio and mapQueue (--map-prio, --map-queue) are allowed in FORWARD, OUTPUT and POSTROUTING only",
      );
    }
    return o;
  },
  create(o, { services }) {
    const wanted = (named?: { readonly value: SetFlags }): Wanted | null =>
      named === undefined ? null : {
        set: services.sets.get(named.value.name),
        question: new Question(named.value.flags),
      };
    const map = wanted(o.mapSet), mark = o.mapMark !== undefined;
    const seconds = o.timeout === undefined ? AS_SET : Math.min(o.timeout.value, TIMEOUT_MAX);
    const fixed = o.addSet === undefined && o.delSet === undefined && map!.set.fixed && !map!.set.counts;
    const made = fixed ? FixedMap : SetTarget;
    return new made(wanted(o.addSet), wanted(o.delSet), map, { exist: o.exist !== undefined, seconds, mark });
  },
});

/** Names of the sets that rules add to or take from. */
export function changedSets(rules: readonly RuleSet[]): Set<string> {
  const names = new Set<string>();
  for (const set of rules) {
    for (const table of TABLE_NAMES) {
      for (const { target } of (set[table]?.chains ?? []).flatMap((chain) => chain.rules)) {
        if (target?.kind !== "target" || target.extension !== SET) continue;
        for (const option of [target.options.addSet, target.options.delSet]) {
          if (option !== undefined) names.add((option.value as SetFlags).name);
        }
      }
    }
  }
  return names;
}
