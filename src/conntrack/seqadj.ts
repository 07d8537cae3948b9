/**
 * Sequence adjustment for TCP flows whose payload a helper has lengthened or shortened (nf_conntrack_seqadj).
 *
 * Per direction the newest position is remembered in the flow's record, with the offset that holds before and behind
 * it. That is all that Linux has, and all that most flows need: in command protocols a correction is acknowledged
 * before the next is made. Where it is not, the earlier positions are kept too (`corrections.ts`), so that what is sent
 * again from before them gets the offset that it had the first time, however it is cut into segments now.
 *
 * A correction is forgotten when so much behind it has been acknowledged that a late copy of what came before it could
 * do no harm, whatever its offset.
 *
 * `weir.seqadj_exact = 0` is Linux's way to the bit: one position; SACK edges at odd places spoil the checksum; and an
 * ICMP error in the original direction is taken for a TCP segment, which damages the packet it quotes.
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
import type { Corrections } from "./corrections.ts";
import { CT_SEQADJ, CT_STATUS, FLOW_WORDS, IPS_SEQ_ADJUST } from "./flow.ts";
import type { FlowTable } from "./table.ts";

/** Words of one direction in CT_SEQADJ. */
const SEQADJ_WORDS = 3;
/** Word offsets within a direction: where the last correction was made, the offset before it and behind it. */
const POSITION = 0, BEFORE = 1, AFTER = 2;
/** Sequence numbers wrap: a position that lies farther back than this is soon taken for one ahead. */
const FAR = 1 << 29;

/**
 * The payload that begins at sequence number `seq` (as the sender counts) grew by `offset` bytes
 * (nf_ct_seqadj_set). A retransmission of the same segment is not counted twice.
 */
export function seqadjSet(flows: FlowTable, ct: number, ctinfo: number, seq: number, offset: number): void {
  if (offset === 0) return;
  const w = flows.words, side = flows.side(ct);
  const way = side + CT_SEQADJ + ctinfoDir(ctinfo) * SEQADJ_WORDS;
  w[ct * FLOW_WORDS + CT_STATUS] |= IPS_SEQ_ADJUST;
  if (w[way + BEFORE] !== w[way + AFTER]) {
    if (((w[way + POSITION] - seq) | 0) >= 0) return;
    const c = flows.corrections;
    if (c.exact) {
      const link = c.linkOf(w, side) || c.take(w, side, ct);
      if (link !== 0) c.push(link, ctinfoDir(ctinfo), w[way + POSITION], w[way + BEFORE]);
    }
  }
  // In this order every state between says the same of what lies before the new position.
  w[way + BEFORE] = w[way + AFTER];
  w[way + POSITION] = seq;
  w[way + AFTER] = (w[way + AFTER] + offset) | 0;
}

/** The offset at `seq`, as the sender counts: behind the newest position, between two, or up to the oldest. */
function offsetAt(
  w: Int32Array,
  way: number,
  seq: number,
  c: Corrections,
  link: number,
  dir: number,
): number {
  if (((w[way + POSITION] - seq) | 0) < 0) return w[way + AFTER];
  return link === 0 ? w[way + BEFORE] : c.offsetAt(link, dir, seq, w[way + BEFORE]);
}

/** What is to be taken off a number that the other side counts, to have it as its sender counts. */
function offsetBehind(
  w: Int32Array,
  way: number,
  seq: number,
  c: Corrections,
  link: number,
  dir: number,
): number {
  if (((w[way + POSITION] - (seq - w[way + BEFORE])) | 0) < 0) return w[way + AFTER];
  return link === 0 ? w[way + BEFORE] : c.offsetBehind(link, dir, seq, w[way + BEFORE]);
}

/**
 * What an acknowledgement, not yet adjusted, is off by from what `dir`'s sender has sent. With one correction Linux's
 * answer, which compares what the receiver counts with a position that the sender counts, and is off itself by at
 * most one correction close to it.
 */
export function acknowledgedOffset(flows: FlowTable, ct: number, dir: number, ack: number): number {
  const w = flows.words, c = flows.corrections, side = flows.side(ct), link = c.linkOf(w, side);
  const way = side + CT_SEQADJ + dir * SEQADJ_WORDS;
  return link === 0 ? offsetAt(w, way, (ack - 1) | 0, c, 0, dir) : offsetBehind(w, way, ack, c, link, dir);
}

/** Corrections of `dir` that no copy of old data needs any more: its sender's data before `ack` has arrived. */
function settle(
  w: Int32Array,
  side: number,
  way: number,
  dir: number,
  ack: number,
  c: Corrections,
  link: number,
): void {
  const past = (ack - w[way + POSITION]) | 0;
  if (link !== 0 && past > c.spread(link, dir, w[way + BEFORE], w[way + AFTER])) c.clear(w, side, link, dir);
  if (past > FAR) w[way + BEFORE] = w[way + AFTER];
}

/** Writes a 32-bit field and lets the checksum follow. */
function rewrite(p: Packet, at: number, value: number): void {
  const old = p.view.getInt32(at);
  if (old === value) return;
  replaceInTransport(p, p.l4 + TCP_CHECKSUM, old, value, false);
  p.view.setInt32(at, value);
}

/**
 * Adjusts sequence, acknowledgement and SACK numbers of a TCP packet (nf_ct_seq_adjust). False when its options
 * cannot be read.
 */
export function seqAdjust(flows: FlowTable, p: Packet, ct: number, ctinfo: number): boolean {
  const c = flows.corrections;
  // ICMP errors carry the flow too, but no sequence numbers of their own.
  if (p.protocol !== TCP && c.exact) return true;
  if (p.length - p.l4 < TCP_HEADER) return false;
  p.drawTogether(p.l4 + TCP_HEADER);
  const w = flows.words, dir = ctinfoDir(ctinfo), l4 = p.l4, side = flows.side(ct), link = c.linkOf(w, side);
  const ways = side + CT_SEQADJ;
  const own = ways + dir * SEQADJ_WORDS, other = ways + (1 - dir) * SEQADJ_WORDS;
  const seq = p.view.getInt32(l4 + TCP_SEQ);
  rewrite(p, l4 + TCP_SEQ, (seq + offsetAt(w, own, seq, c, link, dir)) | 0);
  if ((tcpFlags(p) & ACK) === 0) return true;
  const acked = p.view.getInt32(l4 + TCP_ACK_SEQ);
  const ack = (acked - offsetBehind(w, other, acked, c, link, 1 - dir)) | 0;
  rewrite(p, l4 + TCP_ACK_SEQ, ack);
  const legible = adjustSack(w, other, p, c, link, 1 - dir);
  if (c.exact) settle(w, side, other, 1 - dir, ack, c, link);
  return legible;
}

/** SACK blocks speak of the other direction's numbers, as the acknowledgement does (RFC 2018, 3). */
function adjustSack(
  w: Int32Array,
  other: number,
  p: Packet,
  c: Corrections,
  link: number,
  dir: number,
): boolean {
  const view = p.view, end = p.l4 + tcpHeaderLength(p);
  if (end > p.length) return false;
  p.drawTogether(end);
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
        const old = view.getInt32(edge);
        const value = (old - offsetBehind(w, other, old, c, link, dir)) | 0;
        if (value !== old) replaceEdge(p, edge, old, value, c.exact);
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
function replaceEdge(p: Packet, at: number, old: number, value: number, exact: boolean): void {
  if (((at - p.l4) & 1) === 0 || !exact) {
    replaceInTransport(p, p.l4 + TCP_CHECKSUM, old, value, false);
  } else {
    replaceInTransport(p, p.l4 + TCP_CHECKSUM, rotate8(old), rotate8(value), false);
  }
  p.view.setInt32(at, value);
}

function rotate8(n: number): number {
  return (n << 8) | (n >>> 24);
}
