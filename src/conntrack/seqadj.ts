/**
 * Sequence adjustment for TCP flows whose payload a helper has lengthened or shortened (nf_conntrack_seqadj).
 *
 * Per direction one position is remembered, with the offset that holds before and behind it. One position is enough
 * as long as a correction is acknowledged before the next is made, as in command protocols. What it cannot do: a
 * retransmission from before the first of two corrections gets the second one's "before".
 */
import { ctinfoDir, TCP } from "../netfilter.ts";
import { replaceInTransport } from "../packet/checksum.ts";
import type { Packet } from "../packet/packet.ts";
import {
  ACK,
  TCP_ACK_SEQ,
  TCP_CHECKSUM,
  TCP_HEADER,
  TCP_SEQ,
  tcpFlags,
  tcpHeaderLength,
  TCPOPT_EOL,
  TCPOPT_NOP,
  TCPOPT_SACK,
} from "../packet/tcp.ts";
import { CT_SEQADJ, CT_STATUS, FLOW_WORDS, IPS_SEQ_ADJUST } from "./flow.ts";
import type { FlowTable } from "./table.ts";

/** Words of one direction in CT_SEQADJ. */
export const SEQADJ_WORDS = 3;
/** Word offsets within a direction: where the last correction was made, the offset before it and behind it. */
const POSITION = 0, BEFORE = 1, AFTER = 2;

/**
 * The payload that begins at sequence number `seq` (as the sender counts) grew by `offset` bytes
 * (nf_ct_seqadj_set). A retransmission of the same segment is not counted twice.
 */
export function seqadjSet(flows: FlowTable, ct: number, ctinfo: number, seq: number, offset: number): void {
  if (offset === 0) return;
  const w = flows.words, at = ct * FLOW_WORDS, way = at + CT_SEQADJ + ctinfoDir(ctinfo) * SEQADJ_WORDS;
  w[at + CT_STATUS] |= IPS_SEQ_ADJUST;
  if (w[way + BEFORE] !== w[way + AFTER] && ((w[way + POSITION] - seq) | 0) >= 0) return;
  w[way + POSITION] = seq;
  w[way + BEFORE] = w[way + AFTER];
  w[way + AFTER] = (w[way + AFTER] + offset) | 0;
}

/** The offset that holds at `seq` of a direction's record: behind the position, or up to it. */
function offsetAt(w: Int32Array, way: number, seq: number): number {
  return ((w[way + POSITION] - seq) | 0) < 0 ? w[way + AFTER] : w[way + BEFORE];
}

/**
 * Offset of a direction's sequence number, 0 where nothing is adjusted (nf_ct_seq_offset). `at` is where the flow's
 * record begins in `words`.
 */
export function seqOffset(words: Int32Array, at: number, dir: number, seq: number): number {
  return offsetAt(words, at + CT_SEQADJ + dir * SEQADJ_WORDS, seq);
}

/** Writes a 32-bit field and lets the checksum follow. */
function rewrite(p: Packet, at: number, value: number): void {
  const old = p.view.getInt32(at);
  if (old === value) return;
  replaceInTransport(p, p.l4 + TCP_CHECKSUM, old, value, false);
  p.view.setInt32(at, value);
}

/** What a number that the other side counts is to its own sender. */
function undo(w: Int32Array, way: number, seq: number): number {
  return (seq - offsetAt(w, way, (seq - w[way + BEFORE]) | 0)) | 0;
}

/**
 * Adjusts sequence, acknowledgement and SACK numbers of a TCP packet (nf_ct_seq_adjust). False when its options
 * cannot be read.
 */
export function seqAdjust(flows: FlowTable, p: Packet, ct: number, ctinfo: number): boolean {
  // ICMP errors carry the flow too, but no sequence numbers of their own.
  if (p.protocol !== TCP) return true;
  if (p.length - p.l4 < TCP_HEADER) return false;
  const w = flows.words, dir = ctinfoDir(ctinfo), l4 = p.l4;
  const own = ct * FLOW_WORDS + CT_SEQADJ + dir * SEQADJ_WORDS;
  const other = ct * FLOW_WORDS + CT_SEQADJ + (1 - dir) * SEQADJ_WORDS;
  const seq = p.view.getInt32(l4 + TCP_SEQ);
  rewrite(p, l4 + TCP_SEQ, (seq + offsetAt(w, own, seq)) | 0);
  if ((tcpFlags(p) & ACK) === 0) return true;
  rewrite(p, l4 + TCP_ACK_SEQ, undo(w, other, p.view.getInt32(l4 + TCP_ACK_SEQ)));
  return adjustSack(w, other, p);
}

/** SACK blocks speak of the other direction's numbers, as the acknowledgement does (RFC 2018, 3). */
function adjustSack(w: Int32Array, other: number, p: Packet): boolean {
  const view = p.view, end = p.l4 + tcpHeaderLength(p);
  if (end > p.length) return false;
  let at = p.l4 + TCP_HEADER;
  while (at < end) {
    const kind = view.getUint8(at);
    if (kind === TCPOPT_EOL) return true;
    if (kind === TCPOPT_NOP) {
      at++;
      continue;
    }
    if (at + 1 === end) return false;
    const length = view.getUint8(at + 1);
    if (length < 2 || at + length > end) return false;
    if (kind === TCPOPT_SACK && length >= 10 && (length - 2) % 8 === 0) {
      for (let edge = at + 2; edge < at + length; edge += 4) {
        const value = undo(w, other, view.getInt32(edge));
        const old = view.getInt32(edge);
        if (value !== old) replaceEdge(p, edge, old, value);
      }
    }
    at += length;
  }
  return true;
}

/**
 * A SACK edge need not lie on an even offset, and then its bytes count crosswise in the checksum. (The kernel does not
 * look, and sends a wrong checksum then.)
 */
function replaceEdge(p: Packet, at: number, old: number, value: number): void {
  if (((at - p.l4) & 1) === 0) {
    replaceInTransport(p, p.l4 + TCP_CHECKSUM, old, value, false);
  } else {
    replaceInTransport(p, p.l4 + TCP_CHECKSUM, rotate8(old), rotate8(value), false);
  }
  p.view.setInt32(at, value);
}

function rotate8(n: number): number {
  return (n << 8) | (n >>> 24);
}
