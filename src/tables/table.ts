/**
 * A table at work: rules laid out flat, walked without allocating.
 *
 * Overview: chains stand one behind the other in one array of rows, as in the kernel's ipt_replace. A row is a rule:
 * first its basic part (addresses, interfaces, protocol, fragment), compared from words of one Int32Array; only when
 * that holds are the rule's match objects asked. Each chain ends with a row of its own: in a built-in chain the
 * policy, in a user chain a RETURN. So walking needs no end test, and a policy counts like a rule.
 *
 * Jumps push the next row on a stack of int32; RETURN pops it, or goes to the policy of the built-in chain when the
 * stack is empty. `goto` does not push. The stack has room for every user chain at once, since a chain that is
 * already on it would be a loop, which the validator refuses; several times over, because a target that makes a
 * packet (REJECT) sends it through tables while this walk waits.
 *
 * A rule's counters go up when all its conditions hold, before its target runs. Bytes are the packet's IP length, of an
 * offloaded packet as a whole, as the kernel counts skb->len. Counters live in memory given from outside.
 *
 * Limits: a table never judges what `parse` has refused, so header fields can be read without asking again.
 *
 * @module
 */
import { ACCEPT, CONTINUE, DROP, type Hook, Reason, RETURN, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import type { Match, TableName, Target } from "./extension.ts";

// ── words of a row ──────────────────────────────────────────────────────────────────────────────────────────────
/** ROW_* bits. */
export const FLAGS = 0;
/** Source address and mask, four words each. */
export const SRC = 1, SRC_MASK = 5;
/** Destination address and mask. */
export const DST = 9, DST_MASK = 13;
/** Protocol number. */
export const PROTOCOL = 17;
/** Where in `interfaceSets` the accepted incoming interfaces begin; outgoing ones. */
export const IN = 18, OUT = 19;
/** The rule's match objects: from, and the first that is not its own. */
export const MATCHES = 20, MATCHES_END = 21;
/** What to do, and its argument: a verdict, a row, or a target's number. */
export const ACTION = 22, ARGUMENT = 23;
/** Words of a row. */
export const ROW_WORDS = 24;

// ── FLAGS ───────────────────────────────────────────────────────────────────────────────────────────────────────
/** The source is asked for; in more than its first word; and negated. */
export const ROW_SRC = 1 << 0, ROW_SRC_WIDE = 1 << 1, ROW_SRC_INVERT = 1 << 2;
/** The destination likewise. */
export const ROW_DST = 1 << 3, ROW_DST_WIDE = 1 << 4, ROW_DST_INVERT = 1 << 5;
/** The protocol is asked for, and negated. */
export const ROW_PROTOCOL = 1 << 6, ROW_PROTOCOL_INVERT = 1 << 7;
/** Interfaces are asked for; negation is in the sets. */
export const ROW_IN = 1 << 8, ROW_OUT = 1 << 9;
/** Only later fragments; all but later fragments. */
export const ROW_FRAGMENT = 1 << 10, ROW_FRAGMENT_INVERT = 1 << 11;
/** The basic part asks for nothing. */
export const ROW_ANY = 0;

// ── ACTION ──────────────────────────────────────────────────────────────────────────────────────────────────────
/** End the table with the verdict, or for RETURN the chain. */
export const ACTION_VERDICT = 0;
/** Go on with the next row: a rule that only counts. */
export const ACTION_CONTINUE = 1;
/** Walk a user chain and come back. */
export const ACTION_JUMP = 2;
/** Walk a user chain and return to where this one was called from. */
export const ACTION_GOTO = 3;
/** Ask a target object. */
export const ACTION_TARGET = 4;
/** The end of a built-in chain. */
export const ACTION_POLICY = 5;

const RULE_DROP = Reason["rule-drop"], POLICY_DROP = Reason["policy-drop"];
/** Stands for the protocol when the extension headers end before it: a rule that asks for one drops the packet. */
const CUT = -1;
const HOTDROP = Reason["match-hotdrop"], LOOP = Reason.loop;

/** A table's rows and what they point to; made by `compileTable`. */
export interface Program {
  readonly name: TableName;
  /** `ROW_WORDS` words per row. */
  readonly rows: Int32Array;
  /** For each set one byte per interface index, 1 where it is accepted. */
  readonly interfaceSets: Uint8Array;
  readonly matches: readonly Match[];
  readonly targets: readonly Target[];
  /** First row of the built-in chain of each hook, -1 where the table has none. */
  readonly entries: Int32Array;
  /** Policy row of the built-in chain of each hook. */
  readonly underflows: Int32Array;
  /** User chains. */
  readonly chains: number;
}

/** How many walks of one table may wait for each other: packets made by targets of packets made by targets. */
const NESTING = 4;

/** One table of one family. */
export class Table {
  readonly name: TableName;
  /** Packets and bytes of each row: `counters[2 * row]`, `counters[2 * row + 1]`. */
  readonly counters: Float64Array;
  readonly #rows: Int32Array;
  readonly #sets: Uint8Array;
  readonly #matches: readonly Match[];
  readonly #targets: readonly Target[];
  readonly #entries: Int32Array;
  readonly #underflows: Int32Array;
  readonly #stack: Int32Array;
  /** First free place of the stack: not 0 while a walk waits for a nested one. */
  #top = 0;

  constructor(program: Program, counters: Float64Array) {
    if (counters.length < 2 * (program.rows.length / ROW_WORDS)) {
      throw new RangeError("counters are fewer than the table's rows");
    }
    this.name = program.name;
    this.counters = counters;
    this.#rows = program.rows;
    this.#sets = program.interfaceSets;
    this.#matches = program.matches;
    this.#targets = program.targets;
    this.#entries = program.entries;
    this.#underflows = program.underflows;
    this.#stack = new Int32Array((program.chains + 1) * NESTING);
  }

  /** Walks the built-in chain of a hook. ACCEPT when the table has none there. */
  run(hook: Hook, p: Packet): Verdict {
    let row = this.#entries[hook];
    if (row < 0) return ACCEPT;
    const rows = this.#rows, counters = this.counters, matches = this.#matches, stack = this.#stack;
    const bottom = this.#top;
    let top = bottom;

    const view = p.view;
    let s0, d0, s1 = 0, s2 = 0, s3 = 0, d1 = 0, d2 = 0, d3 = 0;
    if (p.family === 4) {
      s0 = view.getInt32(12);
      d0 = view.getInt32(16);
    } else {
      s0 = view.getInt32(8);
      s1 = view.getInt32(12);
      s2 = view.getInt32(16);
      s3 = view.getInt32(20);
      d0 = view.getInt32(24);
      d1 = view.getInt32(28);
      d2 = view.getInt32(32);
      d3 = view.getInt32(36);
    }
    const protocol = p.headerChainCut ? CUT : p.protocol;
    p.hotdrop = false;

    for (;;) {
      const at = row * ROW_WORDS;
      const flags = rows[at + FLAGS];
      if (flags !== ROW_ANY) {
        if ((flags & ROW_PROTOCOL) !== 0) {
          if (
            (protocol === rows[at + PROTOCOL]) === ((flags & ROW_PROTOCOL_INVERT) !== 0) && protocol !== CUT
          ) {
            row++;
            continue;
          }
        }
        if ((flags & ROW_SRC) !== 0) {
          let equal = (s0 & rows[at + SRC_MASK]) === rows[at + SRC];
          if (equal && (flags & ROW_SRC_WIDE) !== 0) {
            equal = (s1 & rows[at + SRC_MASK + 1]) === rows[at + SRC + 1] &&
              (s2 & rows[at + SRC_MASK + 2]) === rows[at + SRC + 2] &&
              (s3 & rows[at + SRC_MASK + 3]) === rows[at + SRC + 3];
          }
          if (equal === ((flags & ROW_SRC_INVERT) !== 0)) {
            row++;
            continue;
          }
        }
        if ((flags & ROW_DST) !== 0) {
          let equal = (d0 & rows[at + DST_MASK]) === rows[at + DST];
          if (equal && (flags & ROW_DST_WIDE) !== 0) {
            equal = (d1 & rows[at + DST_MASK + 1]) === rows[at + DST + 1] &&
              (d2 & rows[at + DST_MASK + 2]) === rows[at + DST + 2] &&
              (d3 & rows[at + DST_MASK + 3]) === rows[at + DST + 3];
          }
          if (equal === ((flags & ROW_DST_INVERT) !== 0)) {
            row++;
            continue;
          }
        }
        if (
          (flags & ROW_IN) !== 0 && this.#sets[rows[at + IN] + p.inInterface] === 0 ||
          (flags & ROW_OUT) !== 0 && this.#sets[rows[at + OUT] + p.outInterface] === 0 ||
          (flags & ROW_FRAGMENT) !== 0 && (p.fragmentOffset !== 0) === ((flags & ROW_FRAGMENT_INVERT) !== 0)
        ) {
          row++;
          continue;
        }
        if (protocol === CUT && (flags & ROW_PROTOCOL) !== 0) return p.drop(HOTDROP);
      }

      const end = rows[at + MATCHES_END];
      let m = rows[at + MATCHES];
      while (m < end && matches[m].match(p)) m++;
      if (m < end) {
        if (p.hotdrop) return p.drop(HOTDROP);
        row++;
        continue;
      }

      counters[2 * row]++;
      counters[2 * row + 1] += p.length;

      const argument = rows[at + ARGUMENT];
      switch (rows[at + ACTION]) {
        case ACTION_CONTINUE:
          row++;
          continue;
        case ACTION_VERDICT:
          if (argument === RETURN) break;
          return argument === DROP ? p.drop(RULE_DROP) : argument as Verdict;
        case ACTION_POLICY:
          return argument === DROP ? p.drop(POLICY_DROP) : argument as Verdict;
        case ACTION_JUMP:
          if (top === stack.length) return p.drop(LOOP);
          stack[top++] = row + 1;
          row = argument;
          continue;
        case ACTION_GOTO:
          row = argument;
          continue;
        default: {
          // A target that makes a packet may bring it back here: what is on the stack must stay.
          this.#top = top;
          const verdict = this.#targets[argument].target(p);
          this.#top = bottom;
          if (verdict === CONTINUE) {
            row++;
            continue;
          }
          if (verdict === RETURN) break;
          return verdict === DROP ? p.drop(RULE_DROP) : verdict;
        }
      }
      row = top === bottom ? this.#underflows[hook] : stack[--top];
    }
  }
}
