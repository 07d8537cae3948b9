/**
 * The record of one flow (struct nf_conn), its words named here and nowhere else.
 *
 * A flow is its handle, a small integer; its record begins at word `handle * FLOW_WORDS`. Hot code reads
 * `const w = flows.words, at = ct * FLOW_WORDS` once and then `w[at + CT_STATUS]`.
 *
 * ```
 *  line 0   what every packet reads, the opener's tuple     line 1   the answers' tuple, NAT, tracker's word, mark, id
 * ```
 *
 * That is all of a UDP, ICMP, GRE or unknown flow. What only some flows have stands in columns of its own, each with a
 * place for every handle: memory that nobody touches is none.
 *
 * ```
 *  proto     16 words   the tracker's further words, one line               TCP, SCTP      `FlowTable.proto`
 *  counters   8 words   packets and bytes                                   IPS_COUNTED    `FlowTable.counters`
 *  aside     24 words   sequence adjustment, master, helper, labels, …      IPS_SIDE       `FlowTable.side`
 * ```
 *
 * Flows with further words are given handles from the other end of the table, so that their lines share pages.
 *
 * A flow that is not in the cache costs a packet as many waits for memory as it touches lines, or pairs of lines, which
 * many processors fetch together: hence 32 words and this order.
 *
 * Life-cycle: `CT_STATE` goes FREE → UNCONFIRMED (belongs to the packet that made it) → CONFIRMED (in the index,
 * written last, so that a reader of the mapped file never believes half a record) → FREE. Conntrack does not know
 * NAT: NAT's words ride here without conntrack reading them.
 */
import { SCTP, TCP } from "../netfilter.ts";

/** Words per record: 128 bytes. */
export const FLOW_WORDS = 32;

// ── word offsets: line 0 ────────────────────────────────────────────────────────────────────────────────────────
/** FLOW_*: published last. */
export const CT_STATE = 0;
/** IPS_* bits. */
export const CT_STATUS = 1;
/** Ten words of the tuple as the opener's packets carry it when they arrive. */
export const CT_ORIGINAL = 2;
/** When it dies: clock milliseconds, wrapping. Before confirm: the timeout in milliseconds, as in the kernel. */
export const CT_EXPIRES = 12;
/** When the wheel will look at it, clock milliseconds; the wheel's own (`wheel.ts`). */
export const CT_TIMER = 13;
/** Index + 1 into `Conntrack.helpers`, 0 for none. */
export const CT_HELPER = 14;
/** Per-flow timeout policy: index + 1 into `Conntrack.timeoutPolicies`, 0 for none. */
export const CT_TIMEOUT_POLICY = 15;
// ── line 1 ──────────────────────────────────────────────────────────────────────────────────────────────────────
/** Ten words of the tuple as the answers carry it when they arrive (after NAT: to the translated address). */
export const CT_REPLY = 16;
/** Interface of MASQUERADE (0 none). */
export const CT_NAT_INTERFACE = 26;
/** Links of NAT's by-source list: handle + 1 of the next and the previous flow. */
export const CT_BYSOURCE_NEXT = 27;
export const CT_BYSOURCE_PREV = 28;
/** The protocol tracker's own word, usually its state; each protocol file says what it is. */
export const CT_PROTO = 29;
/** Connection mark. */
export const CT_MARK = 30;
/** Id shown to people, never 0 and not reused soon. */
export const CT_ID = 31;

/** The tracker's further words, from `FlowTable.proto`: 64 bytes. */
export const PROTO_WORDS = 16;
/** Packets and bytes, two float64 per direction, from `FlowTable.counters`: 32 bytes, for flows with IPS_COUNTED. */
export const COUNTERS = 4;

// ── aside: word offsets from `FlowTable.side` ───────────────────────────────────────────────────────────────────
/** Sequence adjustment: for each direction the newest position, offset before, offset after. */
export const CT_SEQADJ = 0;
/** Link of earlier sequence corrections (`corrections.ts`), 0 for none. */
export const CT_CORRECTIONS = 6;
/** Handle + 1 of the flow whose expectation this one fulfilled, 0 for none; CT_MASTER_ID guards against reuse. */
export const CT_MASTER = 7;
export const CT_MASTER_ID = 8;
/** Pending expectations of this flow as master: one byte per class. */
export const CT_EXPECTING = 9;
/** Words that belong to the flow's helper (nf_ct_ftp_master and its kin), 8 words. */
export const CT_HELP = 10;
/** Connection labels, 128 bits. */
export const CT_LABELS = 18;
/** When it was confirmed, in seconds since 1970; 0 when nobody asked (nf_conntrack_timestamp). */
export const CT_START = 22;
/**
 * Events that nobody is to be told of (`-j CT --ctevents` says of which one is), in the upper half those of
 * expectations.
 */
export const CT_MUTED = 23;
/** Words aside: 96 bytes, for flows with IPS_SIDE. */
export const SIDE_WORDS = 24;

/** Values of CT_STATE. */
export const FLOW_FREE = 0, FLOW_UNCONFIRMED = 1, FLOW_CONFIRMED = 2;

// ── CT_STATUS bits, as enum ip_conntrack_status ────────────────────────────────────────────────────────────────
/** It fulfilled an expectation. */
export const IPS_EXPECTED = 1 << 0;
/** Packets went both ways. */
export const IPS_SEEN_REPLY = 1 << 1;
/** Never dropped early. */
export const IPS_ASSURED = 1 << 2;
/** In the table. */
export const IPS_CONFIRMED = 1 << 3;
/** Original source, respectively destination, is translated. */
export const IPS_SRC_NAT = 1 << 4, IPS_DST_NAT = 1 << 5;
/** Sequence numbers are adjusted. */
export const IPS_SEQ_ADJUST = 1 << 6;
/** NAT has decided about the source, respectively the destination. */
export const IPS_SRC_NAT_DONE = 1 << 7, IPS_DST_NAT_DONE = 1 << 8;
/** Taken out of the table, or about to be. */
export const IPS_DYING = 1 << 9;
/** `refresh` does not move its timeout. */
export const IPS_FIXED_TIMEOUT = 1 << 10;
/** Its helper was set by a rule, so NAT must not choose another. */
export const IPS_HELPER = 1 << 13;
/** NAT's own, unknown to Linux: its destination is what a mapping of other flows says (`nat/mapping.ts`). */
export const IPS_MAPPED = 1 << 30;
/** Not Linux's either: the helper that its master had when it was expected (index + 1), which outlives the master. */
export const IPS_MASTER_HELPER_SHIFT = 16, IPS_MASTER_HELPER_MASK = 0xff;
/** Nor this: it began while packets and bytes were counted, and is counted to its end (nf_conn_acct). */
export const IPS_COUNTED = 1 << 24;
/** Its words aside are in use: until then they are not zero, but nothing. */
export const IPS_SIDE = 1 << 25;
/**
 * Nor these: somebody is told what happens to it (`teller.ts`), and what has happened since it was last told: anything
 * that is to be told, its state, its mark, its labels.
 */
export const IPS_EVENTS = 1 << 26, IPS_DUE_ANY = 1 << 27, IPS_DUE_STATE = 1 << 28;
export const IPS_DUE_MARK = 1 << 29, IPS_DUE_LABELS = 1 << 31;
export const IPS_DUE = IPS_DUE_ANY | IPS_DUE_STATE | IPS_DUE_MARK | IPS_DUE_LABELS;
export const IPS_NAT_MASK = IPS_SRC_NAT | IPS_DST_NAT;
export const IPS_NAT_DONE_MASK = IPS_SRC_NAT_DONE | IPS_DST_NAT_DONE;

/** Protocols whose trackers have further words. */
export function hasFurtherWords(protocol: number): boolean {
  return protocol === TCP || protocol === SCTP;
}

/** Word offset of the tuple of a direction: `CT_TUPLE(dir)`. */
export function tupleAt(ct: number, dir: number): number {
  return ct * FLOW_WORDS + CT_ORIGINAL + dir * (CT_REPLY - CT_ORIGINAL);
}
