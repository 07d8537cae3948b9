/**
 * What a rule asks of a set, beside the packet: which of its addresses and ports, whether counters move and what they
 * must be (the kernel's ip_set_adt_opt). And what the answer brings: the skbinfo of the member that was found.
 *
 * @module
 */

/** How a counter is compared. */
export type Comparison = "eq" | "ne" | "lt" | "gt";

/** A condition for one of a member's counters. */
export interface CounterCondition {
  readonly compare: Comparison;
  readonly value: number;
}

/** One rule's question. */
export class Question {
  /** Bit i: the i-th part is the packet's source. */
  readonly sources: number;
  /** Parts that the rule names. */
  readonly dimensions: number;
  readonly returnNomatch: boolean;
  /** Members' counters move; those of the sets of a list, too. */
  readonly updates: boolean;
  readonly packets: CounterCondition | null;
  readonly bytes: CounterCondition | null;
  /** The same question for the sets of a list, whose counters are not compared. */
  readonly sub: Question;
  /** Mark and mask of the member that was found. */
  mark = 0;
  mask = 0;

  constructor(
    flags: readonly string[],
    o: {
      returnNomatch?: boolean;
      updates?: boolean;
      subUpdates?: boolean;
      packets?: CounterCondition | null;
      bytes?: CounterCondition | null;
    } = {},
    asSub = false,
  ) {
    const { returnNomatch = false, updates = true, subUpdates = true, packets = null, bytes = null } = o;
    this.sources = flags.reduce((bits, flag, i) => bits | (flag === "src" ? 1 << i : 0), 0);
    this.dimensions = flags.length;
    this.returnNomatch = returnNomatch;
    this.updates = updates;
    this.packets = packets;
    this.bytes = bytes;
    this.sub = asSub ? this : new Question(flags, { returnNomatch, updates: updates && subUpdates }, true);
  }

  /** True when the answer depends on what has been counted. */
  get compares(): boolean {
    return this.packets !== null || this.bytes !== null;
  }
}

/** True when a counter is as wanted. */
export function holds(condition: CounterCondition | null, counter: number): boolean {
  if (condition === null) return true;
  switch (condition.compare) {
    case "eq":
      return counter === condition.value;
    case "ne":
      return counter !== condition.value;
    case "lt":
      return counter < condition.value;
    default:
      return counter > condition.value;
  }
}
