/**
 * A row of a compiled table: one rule in 32 words, named here; `Table` walks them, the compiler writes them.
 */

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
/** Relations to the flow that are accepted, as `Match.relations` has them. */
export const RELATIONS = 24;
/** Bytes that the transport header must have where ports are asked for, and the ranges. */
export const HEADER = 25, SPORT_MIN = 26, SPORT_MAX = 27, DPORT_MIN = 28, DPORT_MAX = 29;
/** Number of the index that finds the next row when this one does not hold. */
export const INDEX = 30;
/** Words of a row: two cache lines. */
export const ROW_WORDS = 32;

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
/** The relation to the flow is asked for. */
export const ROW_RELATION = 1 << 12;
/** Ports are asked for, and the range of the source port or of the destination port is negated. */
export const ROW_PORTS = 1 << 13, ROW_SPORT_INVERT = 1 << 14, ROW_DPORT_INVERT = 1 << 15;
/** A match of the row may change the packet. */
export const ROW_CHANGES = 1 << 16;
/** An index knows the next row that can hold; without it the next row is the next. */
export const ROW_INDEXED = 1 << 17;

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
