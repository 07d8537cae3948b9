/**
 * TCP (RFC 9293), as nf_conntrack_proto_tcp tracks it: which state a segment leads to.
 *
 * Overview: a segment is one of six events. Table `NEXT` says for its direction and the state what it leads to: a
 * state, INVALID, or IGNORE, which lets it pass without believing it, since either end may be ahead of what was seen
 * here. Segments that lead to a state must also fit the window (`tcp_window.ts`).
 *
 * ```
 *  SYN ▶ SYN_SENT ◀ SYN/ACK SYN_RECV ▶ ACK ESTABLISHED ▶ FIN FIN_WAIT ◀ ACK CLOSE_WAIT ◀ FIN LAST_ACK ▶ ACK TIME_WAIT
 *                                                          RST, from anywhere, CLOSE
 * ```
 *
 * Limits: after the end of a connection a SYN deletes the flow and begins a new one, when the end was seen to be
 * closed properly or reset; an ignored SYN is remembered, so that the answer to it brings the flow back in step.
 */
import { ctinfoDir } from "../../netfilter.ts";
import * as netfilterModule from "../../netfilter.ts";
import { verifyTransport } from "../../packet/checksum.ts";
import type { Packet } from "../../packet/packet.ts";
import { tcpFlags, tcpFlagsOk, tcpHeaderLength, tcpHeaderOk } from "../../packet/tcp.ts";
import * as tcpModule from "../../packet/tcp.ts";
import type { Sysctl } from "../../sysctl.ts";
import * as flowModule from "../flow.ts";
import * as tellerModule from "../teller.ts";
import type { Tracker } from "../tracker.ts";
import * as trackerModule from "../tracker.ts";
import { inWindow, lastOf, readOptions } from "./tcp_window.ts";
import * as tcpWindowModule from "./tcp_window.ts";

// Constants of this module, not imports: each packet reads them (CONTRIBUTING.md).
const { PREROUTING } = netfilterModule;
const { ACK, FIN, RST, SYN, TCP_ACK_SEQ, TCP_SEQ, TCP_WINDOW } = tcpModule;
const { CT_EXPIRES, CT_STATUS, FLOW_WORDS, IPS_ASSURED, IPS_CONFIRMED, IPS_FIXED_TIMEOUT, IPS_SEEN_REPLY } =
  flowModule;
const { IPCT_ASSURED, IPCT_PROTOINFO } = tellerModule;
const { INVALID, REPEAT, TRACKED } = trackerModule;
const {
  ACK_SET,
  BE_LIBERAL,
  CLOSE_INIT,
  END,
  EXP_CHALLENGE_ACK,
  FIN_SET,
  FLAGS,
  LAST,
  LAST_ACK_SEQ,
  LAST_DIR_SHIFT,
  LAST_END,
  LAST_EVENT,
  LAST_FLAGS,
  LAST_SEQ,
  LAST_WIN,
  MAXACK,
  MAXACK_SET,
  MAXEND,
  MAXWIN,
  NONE_SET,
  RETRANS_SHIFT,
  RST_SET,
  SACK_PERM,
  SEEN_WORDS,
  SIMULTANEOUS_OPEN,
  STATE,
  SYN_SET,
  SYNACK_SET,
  TCP_CLOSE,
  TCP_CLOSE_WAIT,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT,
  TCP_LAST_ACK,
  TCP_NONE,
  TCP_SEEN,
  TCP_SYN_RECV,
  TCP_SYN_SENT,
  TCP_SYN_SENT2,
  TCP_TIME_WAIT,
  UNACKNOWLEDGED,
  WINDOW_IGNORE,
  WINDOW_INVALID,
  WINDOW_MASK,
} = tcpWindowModule;
export { printTuple, tuple } from "./ports.ts";

/** Names of the states, by number. */
export const TCP_STATES = [
  "NONE",
  "SYN_SENT",
  "SYN_RECV",
  "ESTABLISHED",
  "FIN_WAIT",
  "CLOSE_WAIT",
  "LAST_ACK",
  "TIME_WAIT",
  "CLOSE",
  "SYN_SENT2",
] as const;
/** In `NEXT`: invalid; let it pass and keep the state. */
const IV = 10, IG = 11;
const SS = TCP_SYN_SENT, SR = TCP_SYN_RECV, ES = TCP_ESTABLISHED, FW = TCP_FIN_WAIT, CW = TCP_CLOSE_WAIT;
const LA = TCP_LAST_ACK, TW = TCP_TIME_WAIT, CL = TCP_CLOSE, S2 = TCP_SYN_SENT2;

// deno-fmt-ignore
/** The next state: by direction, by event, by state. */
const NEXT = Uint8Array.of(
  // NONE SS  SR  ES  FW  CW  LA  TW  CL  S2      from the opener
  SS, SS, IG, IG, IG, IG, IG, SS, SS, S2, //      SYN
  IV, IV, SR, IV, IV, IV, IV, IV, IV, SR, //      SYN/ACK
  IV, IV, FW, FW, LA, LA, LA, TW, CL, IV, //      FIN
  ES, IV, ES, ES, CW, CW, TW, TW, CL, IV, //      ACK
  IV, CL, CL, CL, CL, CL, CL, CL, CL, CL, //      RST
  IV, IV, IV, IV, IV, IV, IV, IV, IV, IV, //      none of these
  // NONE SS  SR  ES  FW  CW  LA  TW  CL  S2      from the answerer
  IV, S2, IV, IV, IV, IV, IV, SS, IV, S2, //      SYN
  IV, SR, IG, IG, IG, IG, IG, IG, IG, SR, //      SYN/ACK
  IV, IV, FW, FW, LA, LA, LA, TW, CL, IV, //      FIN
  IV, IG, SR, ES, CW, CW, TW, TW, CL, IG, //      ACK
  IV, CL, CL, CL, CL, CL, CL, CL, CL, CL, //      RST
  IV, IV, IV, IV, IV, IV, IV, IV, IV, IV, //      none of these
);

/** The state that an event leads to; 10 is invalid, 11 ignored. */
export function nextState(dir: number, event: number, state: number): number {
  return NEXT[dir * 60 + event * 10 + state];
}

/** Indices of the timeouts that are not a state's, also in a policy. */
const TCP_TIMEOUT_RETRANS = 12, TCP_TIMEOUT_UNACK = 13;

/** Timeouts in milliseconds, by state. */
export function timeouts(sysctl: Sysctl): Int32Array {
  const get = (name: string) => sysctl.get(`net.netfilter.nf_conntrack_tcp_timeout_${name}`) * 1000;
  const out = new Int32Array(14);
  out[TCP_NONE] = out[TCP_SYN_SENT] = out[TCP_SYN_SENT2] = get("syn_sent");
  out[TCP_SYN_RECV] = get("syn_recv");
  out[TCP_ESTABLISHED] = get("established");
  out[TCP_FIN_WAIT] = get("fin_wait");
  out[TCP_CLOSE_WAIT] = get("close_wait");
  out[TCP_LAST_ACK] = get("last_ack");
  out[TCP_TIME_WAIT] = get("time_wait");
  out[TCP_CLOSE] = get("close");
  out[TCP_TIMEOUT_RETRANS] = get("max_retrans");
  out[TCP_TIMEOUT_UNACK] = get("unacknowledged");
  return out;
}

/** The event that a segment is. */
function eventOf(flags: number): number {
  if ((flags & RST) !== 0) return RST_SET;
  if ((flags & SYN) !== 0) return (flags & ACK) !== 0 ? SYNACK_SET : SYN_SET;
  if ((flags & FIN) !== 0) return FIN_SET;
  return (flags & ACK) !== 0 ? ACK_SET : NONE_SET;
}

/** Sequence number behind the segment's last byte; SYN and FIN count as bytes (RFC 9293, 3.4). */
function endOf(p: Packet, flags: number, seq: number): number {
  const payload = p.length - p.l4 - tcpHeaderLength(p);
  return (seq + payload + ((flags & SYN) !== 0 ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0)) | 0;
}

/** A flow begins: with a SYN, or in its middle if `tcp_loose` allows it. False if it cannot begin so. */
function begin(t: Tracker, p: Packet, w: Int32Array, tcp: number, flags: number, event: number): boolean {
  const state = NEXT[event * 10 + TCP_NONE];
  if (state >= IV) {
    t.invalid(p, "invalid new");
    return false;
  }
  if (state !== TCP_SYN_SENT && !t.tcpLoose) return false;
  const seq = p.view.getInt32(p.l4 + TCP_SEQ), end = endOf(p, flags, seq);
  const window = p.view.getUint16(p.l4 + TCP_WINDOW) || 1;
  const seen = tcp + TCP_SEEN;
  w[seen + END] = end;
  w[seen + MAXWIN] = window;
  if (state === TCP_SYN_SENT) {
    w[seen + MAXEND] = end;
    readOptions(p, w, seen);
  } else {
    // The window scale is not known, so the window cannot be judged; SACK is taken to be on.
    w[seen + MAXEND] = (end + window) | 0;
    w[seen + FLAGS] = w[seen + SEEN_WORDS + FLAGS] = SACK_PERM | BE_LIBERAL;
  }
  return true;
}

/** Closing states, whose flows go first when the table is full. */
export function canEarlyDrop(w: Int32Array, at: number): boolean {
  const state = w[at + STATE];
  return state >= TCP_FIN_WAIT && state <= TCP_CLOSE;
}

/** A segment of a flow. */
export function packet(t: Tracker, p: Packet, ct: number, ctinfo: number, defaults: Int32Array): number {
  if (!tcpHeaderOk(p)) return t.invalid(p, p.length - p.l4 < 20 ? "short packet" : "truncated packet");
  if (t.checksum && p.hook === PREROUTING && !verifyTransport(p)) return t.invalid(p, "bad checksum");
  const flags = tcpFlags(p);
  if (!tcpFlagsOk(flags)) return t.invalid(p, "invalid tcp flag combination");

  const w = t.flows.words, at = ct * FLOW_WORDS, tcp = t.flows.proto(ct);
  const event = eventOf(flags), dir = ctinfoDir(ctinfo);
  if ((w[at + CT_STATUS] & IPS_CONFIRMED) === 0 && !begin(t, p, w, tcp, flags, event)) return INVALID;

  const view = p.view, l4 = p.l4;
  const seq = view.getInt32(l4 + TCP_SEQ), end = endOf(p, flags, seq);
  const other = tcp + TCP_SEEN + (1 - dir) * SEEN_WORDS;
  let oldState = w[at + STATE];
  let newState = NEXT[dir * 60 + event * 10 + oldState];
  let judge = true;

  switch (newState) {
    case TCP_SYN_SENT:
      if (oldState < TCP_TIME_WAIT) break;
      // RFC 1122, 4.2.2.13: a SYN may reopen what lingers in TIME-WAIT. The same goes for what one side has reset.
      if (
        ((w[tcp + TCP_SEEN + FLAGS] | w[tcp + TCP_SEEN + SEEN_WORDS + FLAGS]) & CLOSE_INIT) !== 0 ||
        w[tcp + LAST] === lastOf(dir, RST_SET)
      ) {
        t.delete(ct);
        return REPEAT;
      }
      return ignore(t, p, w, tcp, event, dir, seq, end, oldState);
    case IG:
      if (
        event === SYNACK_SET && w[tcp + LAST] === lastOf(1 - dir, SYN_SET) &&
        view.getInt32(l4 + TCP_ACK_SEQ) === w[tcp + LAST_END]
      ) {
        resynchronise(w, tcp, dir);
        oldState = TCP_SYN_SENT;
        newState = TCP_SYN_RECV;
        break;
      }
      return ignore(t, p, w, tcp, event, dir, seq, end, oldState);
    case IV:
      return t.invalid(p, "packet invalid in this state");
    case TCP_TIME_WAIT:
      // RFC 5961, 4: a SYN that was let through may be answered by a challenge ACK, which does not ack the last FIN.
      if (
        oldState === TCP_LAST_ACK && event === ACK_SET && w[tcp + LAST] === lastOf(1 - dir, SYN_SET) &&
        (w[tcp + LAST_FLAGS] & EXP_CHALLENGE_ACK) !== 0
      ) {
        w[tcp + LAST_FLAGS] &= ~EXP_CHALLENGE_ACK;
        return TRACKED;
      }
      break;
    case TCP_SYN_SENT2:
      w[tcp + LAST_FLAGS] |= SIMULTANEOUS_OPEN;
      break;
    case TCP_SYN_RECV:
      if (dir === 1 && event === ACK_SET && (w[tcp + LAST_FLAGS] & SIMULTANEOUS_OPEN) !== 0) {
        newState = TCP_ESTABLISHED;
      }
      break;
    case TCP_CLOSE: {
      if (event !== RST_SET) break;
      // While closing, the tuple may have been taken into use again behind our back: what is remembered is worth nothing.
      if (oldState >= TCP_FIN_WAIT && oldState <= TCP_CLOSE) {
        judge = false;
        break;
      }
      const status = w[at + CT_STATUS], last = w[tcp + LAST];
      if ((w[other + FLAGS] & MAXACK_SET) !== 0 && (last & LAST_EVENT) !== SYN_SET) {
        const established = oldState === TCP_ESTABLISHED && (status & IPS_ASSURED) !== 0;
        // Most likely the answer to a SYN that was let through.
        if (seq === 0 && !established) break;
        if (((seq - w[other + MAXACK]) | 0) < 0 && !t.tcpIgnoreInvalidRst) return t.invalid(p, "invalid rst");
        if (!established || seq === w[other + MAXACK]) break;
        // A RST right behind the same side's data.
        if (last === lastOf(dir, ACK_SET) && seq === w[tcp + LAST_END]) break;
        // Not exactly where it should be: the receiver answers with a challenge ACK (RFC 5961, 3.2).
        newState = oldState;
      }
      if (
        (((status & IPS_SEEN_REPLY) !== 0 && last === lastOf(1 - dir, SYN_SET)) ||
          ((status & IPS_ASSURED) === 0 && (last & LAST_EVENT) === ACK_SET)) &&
        view.getInt32(l4 + TCP_ACK_SEQ) === w[tcp + LAST_END]
      ) {
        // It answers a SYN or ACK that was let through, and may ack what was not believed.
        judge = false;
        break;
      }
      // It answers a challenge ACK that was let through.
      judge = !(oldState === TCP_SYN_SENT && last === lastOf(1, ACK_SET) && seq === w[tcp + LAST_ACK_SEQ]);
      break;
    }
  }

  if (judge) {
    const verdict = inWindow(t, p, ct, tcp, dir, event, flags, seq, end);
    if (verdict === WINDOW_IGNORE) return TRACKED;
    if (verdict === WINDOW_INVALID) {
      shorten(t, tcp, ct, event, dir, defaults);
      return INVALID;
    }
  }
  return accept(t, p, tcp, ct, ctinfo, event, dir, oldState, newState, defaults);
}

/** The segment is believed: the state changes and the time runs anew. */
function accept(
  t: Tracker,
  p: Packet,
  tcp: number,
  ct: number,
  ctinfo: number,
  event: number,
  dir: number,
  oldState: number,
  newState: number,
  defaults: Int32Array,
): number {
  const w = t.flows.words, at = ct * FLOW_WORDS, seen = tcp + TCP_SEEN;
  w[tcp + LAST] = lastOf(dir, event);
  w[at + STATE] = newState;
  if (newState !== oldState) t.teller.due(ct, IPCT_PROTOINFO);
  if (newState === TCP_FIN_WAIT && oldState !== TCP_FIN_WAIT) {
    w[seen + dir * SEEN_WORDS + FLAGS] |= CLOSE_INIT;
  }

  const timeouts = t.timeouts(ct, defaults);
  let timeout = timeouts[newState];
  if (w[tcp + LAST_WIN] >> RETRANS_SHIFT >= t.tcpMaxRetrans && timeout > timeouts[TCP_TIMEOUT_RETRANS]) {
    timeout = timeouts[TCP_TIMEOUT_RETRANS];
  } else if (event === RST_SET) {
    timeout = timeouts[TCP_CLOSE];
  } else if (
    ((w[seen + FLAGS] | w[seen + SEEN_WORDS + FLAGS]) & UNACKNOWLEDGED) !== 0 &&
    timeout > timeouts[TCP_TIMEOUT_UNACK]
  ) {
    timeout = timeouts[TCP_TIMEOUT_UNACK];
  } else if ((w[tcp + LAST_WIN] & WINDOW_MASK) === 0 && timeout > timeouts[TCP_TIMEOUT_RETRANS]) {
    timeout = timeouts[TCP_TIMEOUT_RETRANS];
  }

  const status = w[at + CT_STATUS];
  if ((status & IPS_SEEN_REPLY) === 0) {
    // Only a RST came back: there never was a connection.
    if (event === RST_SET) {
      t.killAcct(ct, ctinfo, p);
      return TRACKED;
    }
    // A retransmitted SYN does not renew the time, or a client that tries for ever keeps its old NAT for ever.
    if (event === SYN_SET && oldState === TCP_SYN_SENT) return TRACKED;
    // Picked up in its middle, nothing seen from the other side yet.
    if (newState === TCP_ESTABLISHED && timeout > timeouts[TCP_TIMEOUT_UNACK]) {
      timeout = timeouts[TCP_TIMEOUT_UNACK];
    }
  } else if (
    (status & IPS_ASSURED) === 0 && newState === TCP_ESTABLISHED &&
    (oldState === TCP_SYN_RECV || oldState === TCP_ESTABLISHED)
  ) {
    w[at + CT_STATUS] = status | IPS_ASSURED;
    t.teller.due(ct, IPCT_ASSURED);
  }
  t.refreshAcct(ct, ctinfo, p, timeout);
  return TRACKED;
}

/** A segment that is let through without being believed is remembered, for what may answer it. */
function ignore(
  t: Tracker,
  p: Packet,
  w: Int32Array,
  tcp: number,
  event: number,
  dir: number,
  seq: number,
  end: number,
  state: number,
): number {
  w[tcp + LAST] = lastOf(dir, event);
  w[tcp + LAST_SEQ] = seq;
  w[tcp + LAST_END] = end;
  w[tcp + LAST_WIN] = (w[tcp + LAST_WIN] & ~WINDOW_MASK) | p.view.getUint16(p.l4 + TCP_WINDOW);
  if (event === SYN_SET && dir === 0) {
    // Its options are noted where the answer will find them; BE_LIBERAL is not among them.
    w[tcp + LAST_FLAGS] = 0;
    readOptions(p, w, tcp + LAST_FLAGS - FLAGS);
    if (state === TCP_LAST_ACK) w[tcp + LAST_FLAGS] |= EXP_CHALLENGE_ACK;
  }
  // Possibly a challenge ACK in answer to the SYN.
  if (state === TCP_SYN_SENT && event === ACK_SET && dir === 1) {
    w[tcp + LAST_ACK_SEQ] = p.view.getInt32(p.l4 + TCP_ACK_SEQ);
  }
  t.invalid(p, "packet ignored");
  return TRACKED;
}

/** A SYN/ACK answers a SYN that was ignored: both ends agree, so they are right. */
function resynchronise(w: Int32Array, tcp: number, dir: number): void {
  const opener = w[tcp + LAST] >> LAST_DIR_SHIFT;
  const seen = tcp + TCP_SEEN + opener * SEEN_WORDS, answerer = tcp + TCP_SEEN + dir * SEEN_WORDS;
  w[seen + END] = w[seen + MAXEND] = w[tcp + LAST_END];
  w[seen + MAXWIN] = (w[tcp + LAST_WIN] & WINDOW_MASK) || 1;
  w[tcp + LAST_FLAGS] &= ~EXP_CHALLENGE_ACK;
  w[seen + FLAGS] = w[tcp + LAST_FLAGS];
  w[answerer + END] =
    w[answerer + MAXEND] =
    w[answerer + MAXWIN] =
    w[answerer + MAXACK] =
      0;
  w[answerer + FLAGS] &= BE_LIBERAL;
}

/**
 * FIN or RST out of the window from one side and then from the other: what is known here is out of step, and the
 * flow should not stay for days (nf_tcp_handle_invalid).
 */
function shorten(
  t: Tracker,
  tcp: number,
  ct: number,
  event: number,
  dir: number,
  defaults: Int32Array,
): void {
  const w = t.flows.words, at = ct * FLOW_WORDS;
  if ((w[at + CT_STATUS] & (IPS_ASSURED | IPS_FIXED_TIMEOUT)) !== IPS_ASSURED) return;
  if (event !== RST_SET && event !== FIN_SET) return;
  const last = w[tcp + LAST];
  if (last !== lastOf(1 - dir, FIN_SET) && last !== lastOf(1 - dir, RST_SET)) {
    w[tcp + LAST] = lastOf(dir, event);
    return;
  }
  const left = (w[at + CT_EXPIRES] - t.clock.now) | 0;
  const timeout = t.timeouts(ct, defaults)[TCP_TIMEOUT_UNACK];
  if (left >= 120_000 && left > timeout) t.refresh(ct, timeout);
}

/** A confirmed connection was reset by the router itself (nf_conntrack_tcp_set_closing). */
export function setClosing(t: Tracker, ct: number, defaults: Int32Array): void {
  const w = t.flows.words, at = ct * FLOW_WORDS;
  if (w[at + STATE] === TCP_CLOSE) return;
  w[at + STATE] = TCP_CLOSE;
  t.teller.due(ct, IPCT_PROTOINFO);
  t.refresh(ct, t.timeouts(ct, defaults)[TCP_CLOSE]);
}

/** The state's name and a blank. */
export function print(state: number): string {
  return `${TCP_STATES[state]} `;
}
