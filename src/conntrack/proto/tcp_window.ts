/**
 * TCP's window: is a segment one that its sender may send now, given what both sides have said?
 * After Guido van Rooij, "Real Stateful TCP Packet Filtering in IP Filter" (2000), with nf_conntrack's bounds.
 *
 * Per direction, of what this side has sent:
 *
 * ```
 *  END     highest sequence number behind a segment        MAXEND  highest that the other side has allowed
 *  MAXWIN  largest window it has offered                   MAXACK  highest it has acknowledged
 * ```
 *
 * A segment fits if
 *
 * ```
 *  I    seq ≤ MAXEND of the sender                          else INVALID, or ignored when just a little over
 *  II   end ≥ END of the sender − MAXWIN of the receiver    else ignored: old data again
 *  III  ack ≤ END of the receiver                           else INVALID
 *  IV   ack ≥ END of the receiver − max(MAXWIN of the sender, 66000)   else ignored: a late ACK
 * ```
 *
 * where ack is the highest edge of a SACK block if there is one. A sender marked BE_LIBERAL passes always. Offloaded
 * segments of 64 KiB are segments like others.
 */
import type { Packet } from "../../packet/packet.ts";
import { tcpHeaderLength } from "../../packet/tcp.ts";
import * as tcpModule from "../../packet/tcp.ts";
import * as flowModule from "../flow.ts";
import { acknowledgedOffset } from "../seqadj.ts";
import type { Tracker } from "../tracker.ts";

// Constants of this module, not imports: each packet reads them (CONTRIBUTING.md).
const {
  ACK,
  RST,
  SYN,
  TCP_ACK_SEQ,
  TCP_HEADER,
  TCP_WINDOW,
  TCPOPT_EOL,
  TCPOPT_NOP,
  TCPOPT_SACK,
  TCPOPT_SACK_PERM,
  TCPOPT_WINDOW,
} = tcpModule;
const { CT_PROTO, CT_STATUS, FLOW_WORDS, IPS_SEQ_ADJUST } = flowModule;

/** States of a flow (enum tcp_conntrack). */
export const TCP_NONE = 0, TCP_SYN_SENT = 1, TCP_SYN_RECV = 2, TCP_ESTABLISHED = 3, TCP_FIN_WAIT = 4;
export const TCP_CLOSE_WAIT = 5, TCP_LAST_ACK = 6, TCP_TIME_WAIT = 7, TCP_CLOSE = 8, TCP_SYN_SENT2 = 9;
/** Events (enum tcp_bit_set). */
export const SYN_SET = 0, SYNACK_SET = 1, FIN_SET = 2, ACK_SET = 3, RST_SET = 4, NONE_SET = 5;

/** The state, in the flow's record. */
export const STATE = CT_PROTO;
// Word offsets from `FlowTable.proto`: ten words of what was seen, six of the last segment.
/** Two directions of SEEN_WORDS each. */
export const TCP_SEEN = 0, SEEN_WORDS = 5;
/** Within a direction. FLAGS holds the window scale above SCALE_SHIFT. */
export const END = 0, MAXEND = 1, MAXWIN = 2, MAXACK = 3, FLAGS = 4;
/** LAST is direction and event as `lastOf` joins them; LAST_WIN has the count of retransmissions above RETRANS_SHIFT. */
export const LAST = 10, LAST_SEQ = 11, LAST_ACK_SEQ = 12, LAST_END = 13, LAST_WIN = 14, LAST_FLAGS = 15;
export const RETRANS_SHIFT = 16, WINDOW_MASK = 0xffff;
const RETRANS_MOST = 0xff;

/** Bits of FLAGS and LAST_FLAGS (IP_CT_TCP_FLAG_*). */
export const WINDOW_SCALE = 0x01, SACK_PERM = 0x02, CLOSE_INIT = 0x04, BE_LIBERAL = 0x08;
export const UNACKNOWLEDGED = 0x10, MAXACK_SET = 0x20, EXP_CHALLENGE_ACK = 0x40, SIMULTANEOUS_OPEN = 0x80;
/** The window scale stands above the flags, in both words. */
const SCALE_SHIFT = 8;
const FLAG_BITS = (1 << SCALE_SHIFT) - 1;

/** An event of a direction, as LAST keeps it. */
export function lastOf(dir: number, event: number): number {
  return dir << LAST_DIR_SHIFT | event;
}
/** Its two parts. */
export const LAST_DIR_SHIFT = 3, LAST_EVENT = 7;

/** What `inWindow` says. */
export const WINDOW_OK = 1, WINDOW_IGNORE = 0, WINDOW_INVALID = -1;

/** RFC 7323, 2.3. */
const MAX_WSCALE = 14;
/** An ACK may lag this far behind, whatever window was offered. */
const MAX_ACK_WINDOW = 66000;

/**
 * SACK permission and window scale of a SYN, into the FLAGS word of the record at `seen`. Without any options it is
 * left as it is, as the kernel does.
 */
export function readOptions(p: Packet, w: Int32Array, seen: number): void {
  let left = tcpHeaderLength(p) - TCP_HEADER;
  if (left === 0) return;
  const view = p.view;
  let at = p.l4 + TCP_HEADER;
  let flags = w[seen + FLAGS] & BE_LIBERAL, scale = 0;
  while (left > 0) {
    const kind = view.getUint8(at);
    if (kind === TCPOPT_EOL) break;
    if (kind === TCPOPT_NOP) {
      at++;
      left--;
      continue;
    }
    if (left < 2) break;
    const length = view.getUint8(at + 1);
    if (length < 2 || length > left) break;
    if (kind === TCPOPT_SACK_PERM && length === 2) {
      flags |= SACK_PERM;
    } else if (kind === TCPOPT_WINDOW && length === 3) {
      scale = Math.min(view.getUint8(at + 2), MAX_WSCALE);
      flags |= WINDOW_SCALE;
    }
    at += length;
    left -= length;
  }
  w[seen + FLAGS] = flags | (scale << SCALE_SHIFT);
}

/** The highest right edge of the segment's SACK blocks, if that is beyond its ACK (RFC 2018, 3). */
function highestSack(p: Packet, ack: number): number {
  const view = p.view;
  let left = tcpHeaderLength(p) - TCP_HEADER;
  let at = p.l4 + TCP_HEADER;
  // Timestamps alone, as nearly every segment carries them.
  if (left === 12 && view.getInt32(at) === 0x0101080a) return ack;
  while (left > 0) {
    const kind = view.getUint8(at);
    if (kind === TCPOPT_EOL) break;
    if (kind === TCPOPT_NOP) {
      at++;
      left--;
      continue;
    }
    if (left < 2) break;
    const length = view.getUint8(at + 1);
    if (length < 2 || length > left) break;
    if (kind === TCPOPT_SACK && length >= 10 && (length - 2) % 8 === 0) {
      for (let i = 0; i < length - 2; i += 8) {
        const edge = view.getInt32(at + 2 + i + 4);
        if (((ack - edge) | 0) < 0) ack = edge;
      }
      break;
    }
    at += length;
    left -= length;
  }
  return ack;
}

/** What a SYN or SYN/ACK says about its sender. Scaling is on only if both sides want it (RFC 7323, 2.2). */
function beginSender(
  p: Packet,
  w: Int32Array,
  sender: number,
  receiver: number,
  dir: number,
  end: number,
  window: number,
): void {
  w[sender + END] = w[sender + MAXEND] = end;
  w[sender + MAXWIN] = window || 1;
  readOptions(p, w, sender);
  if (dir === 1 && (w[sender + FLAGS] & w[receiver + FLAGS] & WINDOW_SCALE) === 0) {
    w[sender + FLAGS] &= FLAG_BITS;
    w[receiver + FLAGS] &= FLAG_BITS;
  }
}

/** Judges a segment, and learns from it if it fits. `tcp` is where the flow's words for TCP begin. */
export function inWindow(
  t: Tracker,
  p: Packet,
  ct: number,
  tcp: number,
  dir: number,
  event: number,
  flags: number,
  seq: number,
  end: number,
): number {
  const w = t.flows.words, at = ct * FLOW_WORDS, state = w[at + STATE];
  const sender = tcp + TCP_SEEN + dir * SEEN_WORDS, receiver = tcp + TCP_SEEN + (1 - dir) * SEEN_WORDS;
  const syn = (flags & SYN) !== 0;
  const rawWindow = p.view.getUint16(p.l4 + TCP_WINDOW);
  let window = rawWindow;
  let ack = p.view.getInt32(p.l4 + TCP_ACK_SEQ);
  let sack = (w[receiver + FLAGS] & SACK_PERM) !== 0 ? highestSack(p, ack) : ack;
  // What is stored is in the senders' own numbers; a helper may have shifted what this side sees of the other's.
  if ((w[at + CT_STATUS] & IPS_SEQ_ADJUST) !== 0) {
    const shift = acknowledgedOffset(t.flows, ct, 1 - dir, ack);
    ack = (ack - shift) | 0;
    sack = (sack - shift) | 0;
  }

  if (w[sender + MAXWIN] === 0) {
    if (syn) {
      beginSender(p, w, sender, receiver, dir, end, rawWindow);
      // Simultaneous open.
      if ((flags & ACK) === 0) return WINDOW_OK;
    } else {
      // In the middle of a connection: this is the first that is known of this side.
      const offered = rawWindow << (w[sender + FLAGS] >> SCALE_SHIFT) || 1;
      w[sender + END] = end;
      w[sender + MAXWIN] = offered;
      w[sender + MAXEND] = (end + offered) | 0;
      if (w[receiver + MAXWIN] === 0) {
        // Nothing is known of the other side either: what is acked must have been sent.
        w[receiver + END] = w[receiver + MAXEND] = sack;
      } else if (sack === ((w[receiver + END] + 1) | 0)) {
        // Likely the answer to a keepalive.
        w[receiver + END] = sack;
      }
    }
  } else if (
    syn && ((w[sender + END] - end) | 0) < 0 && (state === TCP_SYN_SENT || state === TCP_SYN_RECV)
  ) {
    // RFC 9293, 3.4.1: begun once more, with a higher sequence number and perhaps other options.
    beginSender(p, w, sender, receiver, dir, end, rawWindow);
    if (dir === 1 && (flags & ACK) === 0) return WINDOW_OK;
  }

  const receiverEnd = w[receiver + END];
  // Without an ACK nothing is said about the other side; neither by stacks that send RST/ACK with ack 0.
  if ((flags & ACK) === 0 || ((flags & RST) !== 0 && ack === 0)) ack = sack = receiverEnd;
  // RST in answer to a SYN.
  if (seq === 0 && (flags & RST) !== 0 && state === TCP_SYN_SENT) seq = end = w[sender + END];

  const receiverWindow = w[receiver + MAXWIN], maxEnd = w[sender + MAXEND];
  const senderWindow = w[sender + MAXWIN] >>> 0;
  const ackWindow = senderWindow > MAX_ACK_WINDOW ? senderWindow : MAX_ACK_WINDOW;
  const ackSeen = ((receiverEnd - sack) | 0) >= 0; // III
  const ackRecent = ((receiverEnd - ackWindow - 1 - sack) | 0) < 0; // IV
  const dataRecent = ((w[sender + END] - receiverWindow - 1 - end) | 0) < 0; // II

  if (((maxEnd - seq) | 0) < 0) { // I
    const overshot = (end - maxEnd + 1) >>> 0;
    if (receiverWindow !== 0 && dataRecent && ackRecent && ackSeen && overshot <= receiverWindow >>> 0) {
      // More than was allowed, but the receiver may take it, and then its ACK must not come as a surprise.
      w[sender + END] = end;
      w[sender + FLAGS] |= UNACKNOWLEDGED;
      return judged(t, p, w, sender, WINDOW_IGNORE, "bytes more than expected");
    }
    return judged(t, p, w, sender, WINDOW_INVALID, "SEQ is over upper bound");
  }
  if (!ackSeen) return judged(t, p, w, sender, WINDOW_INVALID, "ACK is over upper bound");
  if (receiverWindow !== 0 && !dataRecent) {
    return judged(t, p, w, sender, WINDOW_IGNORE, "SEQ is under lower bound");
  }
  if (!ackRecent) return judged(t, p, w, sender, WINDOW_IGNORE, "ignored ACK under lower bound");

  // It fits. A window in a SYN is never scaled (RFC 7323, 2.2).
  if (!syn) window <<= w[sender + FLAGS] >> SCALE_SHIFT;
  const reach = (window + ((sack - ack) | 0)) >>> 0;
  if (senderWindow < reach) w[sender + MAXWIN] = reach;
  if (((w[sender + END] - end) | 0) < 0) {
    w[sender + END] = end;
    w[sender + FLAGS] |= UNACKNOWLEDGED;
  }
  if ((flags & ACK) !== 0) {
    if ((w[sender + FLAGS] & MAXACK_SET) === 0) {
      w[sender + MAXACK] = ack;
      w[sender + FLAGS] |= MAXACK_SET;
    } else if (((w[sender + MAXACK] - ack) | 0) < 0) {
      w[sender + MAXACK] = ack;
    }
  }
  if (receiverWindow !== 0 && ((maxEnd - end) | 0) < 0) w[receiver + MAXWIN] = receiverWindow + end - maxEnd;
  if (((w[receiver + MAXEND] - 1 - sack - window) | 0) < 0) {
    w[receiver + MAXEND] = sack + window + (window === 0 ? 1 : 0);
  }
  if (ack === receiverEnd) w[receiver + FLAGS] &= ~UNACKNOWLEDGED;

  if (event === ACK_SET) {
    const last = w[tcp + LAST_WIN];
    if (
      w[tcp + LAST_SEQ] === seq && w[tcp + LAST_ACK_SEQ] === ack && w[tcp + LAST_END] === end &&
      w[tcp + LAST] >> LAST_DIR_SHIFT === dir && (last & WINDOW_MASK) === rawWindow
    ) {
      w[tcp + LAST_WIN] = rawWindow | (((last >> RETRANS_SHIFT) + 1) & RETRANS_MOST) << RETRANS_SHIFT;
    } else {
      w[tcp + LAST_SEQ] = seq;
      w[tcp + LAST_ACK_SEQ] = ack;
      w[tcp + LAST_END] = end;
      w[tcp + LAST_WIN] = rawWindow;
    }
  }
  return WINDOW_OK;
}

/** A segment that does not fit passes all the same if its sender is given liberty. */
function judged(t: Tracker, p: Packet, w: Int32Array, sender: number, verdict: number, why: string): number {
  if (t.tcpBeLiberal || (w[sender + FLAGS] & BE_LIBERAL) !== 0) return WINDOW_OK;
  t.invalid(p, why);
  return verdict;
}
