/**
 * SCTP (RFC 9260), as nf_conntrack_proto_sctp tracks it: states by chunk types, and verification tags.
 *
 * Each side's tag is what the other must write into its packets' headers; it is learnt from INIT and INIT ACK, or from
 * the HEARTBEAT that opens a second path of an association. A packet with the wrong tag is INVALID, which is all the
 * protection that a blind attacker meets.
 */
import { ctinfoDir, PREROUTING } from "../../netfilter.ts";
import { verifyTransport } from "../../packet/checksum.ts";
import type { Packet } from "../../packet/packet.ts";
import { SCTP_HEADER } from "../../packet/sctp.ts";
import type { Sysctl } from "../../sysctl.ts";
import { CT_PROTO, CT_STATUS, FLOW_WORDS, IPS_CONFIRMED } from "../flow.ts";
import { IPCT_PROTOINFO } from "../teller.ts";
import { assure, INVALID, TRACKED, type Tracker } from "../tracker.ts";
export { printTuple, tuple } from "./ports.ts";

/** Names of the states, by number. */
const SCTP_STATES = [
  "NONE",
  "CLOSED",
  "COOKIE_WAIT",
  "COOKIE_ECHOED",
  "ESTABLISHED",
  "SHUTDOWN_SENT",
  "SHUTDOWN_RECD",
  "SHUTDOWN_ACK_SENT",
  "HEARTBEAT_SENT",
] as const;
const NO = 0, CL = 1, CW = 2, CE = 3, ES = 4, SS = 5, SR = 6, SA = 7, HS = 8, IV = 9;

// deno-fmt-ignore
/** The next state: by direction, by chunk type 1…14 in the order of `ROW`, by state. */
const NEXT = Uint8Array.of(
  // NO CL  CW  CE  ES  SS  SR  SA  HS      from the opener
  CL, CL, CW, CE, ES, CL, CL, SA, CW, //    INIT
  CL, CL, CW, CE, ES, SS, SR, SA, CL, //    INIT ACK
  CL, CL, CL, CL, CL, CL, CL, CL, CL, //    ABORT
  CL, CL, CW, CE, SS, SS, SR, SA, CL, //    SHUTDOWN
  SA, CL, CW, CE, ES, SA, SA, SA, SA, //    SHUTDOWN ACK
  CL, CL, CW, CE, ES, SS, SR, SA, CL, //    ERROR
  CL, CL, CE, CE, ES, SS, SR, SA, CL, //    COOKIE ECHO
  CL, CL, CW, ES, ES, SS, SR, SA, CL, //    COOKIE ACK
  CL, CL, CW, CE, ES, SS, SR, CL, CL, //    SHUTDOWN COMPLETE
  HS, CL, CW, CE, ES, SS, SR, SA, HS, //    HEARTBEAT
  CL, CL, CW, CE, ES, SS, SR, SA, HS, //    HEARTBEAT ACK
  // NO CL  CW  CE  ES  SS  SR  SA  HS      from the answerer
  IV, CL, CW, CE, ES, SS, SR, SA, IV, //    INIT
  IV, CW, CW, CE, ES, SS, SR, SA, IV, //    INIT ACK
  IV, CL, CL, CL, CL, CL, CL, CL, IV, //    ABORT
  IV, CL, CW, CE, SR, SS, SR, SA, IV, //    SHUTDOWN
  IV, CL, CW, CE, ES, SA, SA, SA, IV, //    SHUTDOWN ACK
  IV, CL, CW, CL, ES, SS, SR, SA, IV, //    ERROR
  IV, CL, CE, CE, ES, SS, SR, SA, IV, //    COOKIE ECHO
  IV, CL, CW, ES, ES, SS, SR, SA, IV, //    COOKIE ACK
  IV, CL, CW, CE, ES, SS, SR, CL, IV, //    SHUTDOWN COMPLETE
  IV, CL, CW, CE, ES, SS, SR, SA, HS, //    HEARTBEAT
  IV, CL, CW, CE, ES, SS, SR, SA, ES, //    HEARTBEAT ACK
);
/** Chunk types (RFC 9260, 3.2). */
const DATA = 0, INIT = 1, INIT_ACK = 2, HEARTBEAT = 4, HEARTBEAT_ACK = 5, ABORT = 6, SHUTDOWN_ACK = 8;
const COOKIE_ECHO = 10, COOKIE_ACK = 11, SHUTDOWN_COMPLETE = 14;
/** Row of `NEXT` for a chunk type; −1 for those that change nothing, as DATA and SACK. */
const ROW = Int8Array.of(-1, 0, 1, -1, 9, 10, 2, 3, 4, 5, 6, 7, -1, -1, 8);
/** Chunk types as bits; those that carry a tag rule of their own, or none. */
const OWN_RULE = 1 << INIT | 1 << SHUTDOWN_COMPLETE | 1 << COOKIE_ECHO | 1 << ABORT | 1 << SHUTDOWN_ACK |
  1 << HEARTBEAT | 1 << HEARTBEAT_ACK;
/** Never the first of a flow (RFC 9260, 8.4). */
const OUT_OF_THE_BLUE = 1 << ABORT | 1 << SHUTDOWN_COMPLETE | 1 << COOKIE_ACK;
/** The bit in ABORT and SHUTDOWN COMPLETE that says that the sender had no association (RFC 9260, 8.5.1). */
const T_BIT = 1;

/** The state, in the flow's record. */
const SCTP_STATE = CT_PROTO;
/** Word offsets from `FlowTable.proto`: tag per direction, what a failed HEARTBEAT leaves behind. */
const SCTP_VTAG = 0, SCTP_FLAGS = 2, SCTP_LAST_DIR = 3;
/** Per direction: an INIT with a tag of its own was seen, and no COOKIE ACK since. */
const SCTP_INIT = 4;
const HEARTBEAT_VTAG_FAILED = 1;

/** Timeouts in milliseconds, by state. */
export function timeouts(sysctl: Sysctl): Int32Array {
  const get = (name: string) => sysctl.get(`net.netfilter.nf_conntrack_sctp_timeout_${name}`) * 1000;
  return Int32Array.of(
    get("closed"),
    get("closed"),
    get("cookie_wait"),
    get("cookie_echoed"),
    get("established"),
    get("shutdown_sent"),
    get("shutdown_recd"),
    get("shutdown_ack_sent"),
    get("heartbeat_sent"),
  );
}

function nextState(dir: number, state: number, type: number): number {
  const row = type < ROW.length ? ROW[type] : -1;
  return row < 0 ? state : NEXT[dir * 99 + row * 9 + state];
}

/** Offset of the chunk behind the one at `at`, which has a length. */
function nextChunk(view: DataView, at: number): number {
  return at + ((view.getUint16(at + 2) + 3) & ~3);
}

/**
 * The types of a packet's chunks as bits, or −1 if they may not stand together: INIT, INIT ACK and SHUTDOWN COMPLETE
 * come alone, COOKIE ECHO and COOKIE ACK come first (RFC 9260, 6.10).
 */
function chunkTypes(p: Packet): number {
  const view = p.view;
  let types = 0, count = 0, alone = false;
  for (let at = p.l4 + SCTP_HEADER; at + 4 <= p.length; at = nextChunk(view, at)) {
    const type = view.getUint8(at);
    if (type === INIT || type === INIT_ACK || type === SHUTDOWN_COMPLETE) alone = true;
    if ((alone || type === COOKIE_ACK || type === COOKIE_ECHO) && count !== 0) return -1;
    if (view.getUint16(at + 2) === 0) return -1;
    if (type < 32) types |= 1 << type;
    count++;
  }
  return count === 0 ? -1 : types & 0x7fffffff;
}

/** A flow begins. The tag that this side carries is learnt, or that the answers must carry; INIT's is, as ever. */
function begin(p: Packet, w: Int32Array, sctp: number, vtag: number): boolean {
  const view = p.view;
  for (let chunk = p.l4 + SCTP_HEADER; chunk + 4 <= p.length; chunk = nextChunk(view, chunk)) {
    const type = view.getUint8(chunk);
    const state = nextState(0, NO, type);
    if (state === NO || state === IV) return false;
    if (type === HEARTBEAT) {
      w[sctp + SCTP_VTAG] = vtag;
    } else if (type === SHUTDOWN_ACK) {
      w[sctp + SCTP_VTAG + 1] = vtag;
    }
  }
  return true;
}

/** INIT says which tag the answers will carry. One that says nothing new is stale, or sent again. */
function noteInit(w: Int32Array, sctp: number, dir: number, tag: number, state: number): void {
  const own = sctp + SCTP_INIT + dir, peer = sctp + SCTP_INIT + 1 - dir;
  if (state === NO || w[sctp + SCTP_VTAG + 1 - dir] !== tag) {
    if (w[own] !== 0) w[peer] = 0;
    w[own] = 1;
  }
  w[sctp + SCTP_VTAG + 1 - dir] = tag;
}

/**
 * INIT ACK says it too. Both sides may have sent INIT at the same time (RFC 9260, 5.2.1), so one that comes late may
 * speak of an association that has been given up: false.
 */
function noteInitAck(w: Int32Array, sctp: number, dir: number, tag: number): boolean {
  const known = w[sctp + SCTP_VTAG + 1 - dir];
  const own = w[sctp + SCTP_INIT + dir] !== 0, peer = w[sctp + SCTP_INIT + 1 - dir] !== 0;
  if (known !== tag && ((!peer && known !== 0) || (own && peer))) return false;
  w[sctp + SCTP_VTAG + 1 - dir] = tag;
  return true;
}

/** Shutting down: the first to go when the table is full. */
export function canEarlyDrop(w: Int32Array, at: number): boolean {
  const state = w[at + SCTP_STATE];
  return state >= SS && state <= SA;
}

/** A packet of a flow. */
export function packet(t: Tracker, p: Packet, ct: number, ctinfo: number, defaults: Int32Array): number {
  if (p.length < p.l4 + SCTP_HEADER) return t.invalid(p, "short packet");
  if (t.checksum && p.hook === PREROUTING) {
    p.drawTogether(p.l4 + SCTP_HEADER);
    if (!verifyTransport(p)) return t.invalid(p, "bad CRC");
  }
  const types = chunkTypes(p);
  if (types < 0) return t.invalid(p, "bad chunks");

  const view = p.view, w = t.flows.words, at = ct * FLOW_WORDS, sctp = t.flows.proto(ct);
  const dir = ctinfoDir(ctinfo);
  const vtag = view.getInt32(p.l4 + 4), confirmed = (w[at + CT_STATUS] & IPS_CONFIRMED) !== 0;
  if (!confirmed && ((types & OUT_OF_THE_BLUE) !== 0 || !begin(p, w, sctp, vtag))) {
    return t.invalid(p, "invalid new");
  }
  const own = sctp + SCTP_VTAG + dir, peer = sctp + SCTP_VTAG + 1 - dir;
  if ((types & OWN_RULE) === 0 && vtag !== w[own]) return t.invalid(p, "verification tag");

  let newState = NO, refresh = true;
  for (let chunk = p.l4 + SCTP_HEADER; chunk + 4 <= p.length; chunk = nextChunk(view, chunk)) {
    const type = view.getUint8(chunk);
    if (type === INIT) {
      if (vtag !== 0) return t.invalid(p, "INIT with a verification tag");
    } else if (type === ABORT || type === SHUTDOWN_COMPLETE) {
      if (vtag !== w[(view.getUint8(chunk + 1) & T_BIT) === 0 ? own : peer]) {
        return t.invalid(p, "verification tag");
      }
    } else if (type === COOKIE_ECHO) {
      if (vtag !== w[own]) return t.invalid(p, "verification tag");
    } else if (type === COOKIE_ACK) {
      w[sctp + SCTP_INIT] = w[sctp + SCTP_INIT + 1] = 0;
    } else if (type === HEARTBEAT || type === HEARTBEAT_ACK) {
      const failed = (w[sctp + SCTP_FLAGS] & HEARTBEAT_VTAG_FAILED) !== 0;
      if (w[own] === 0) {
        w[own] = vtag;
      } else if (vtag === w[own]) {
        w[sctp + SCTP_FLAGS] &= ~HEARTBEAT_VTAG_FAILED;
      } else if ((types & 1 << DATA) !== 0 || !refresh) {
        return t.invalid(p, "verification tag");
      } else if (type === HEARTBEAT) {
        // Perhaps a restarted association: believed when the other side acknowledges it.
        w[sctp + SCTP_FLAGS] |= HEARTBEAT_VTAG_FAILED;
        w[sctp + SCTP_LAST_DIR] = dir;
        refresh = false;
        continue;
      } else {
        if (!failed || w[sctp + SCTP_LAST_DIR] === dir) return t.invalid(p, "verification tag");
        w[sctp + SCTP_FLAGS] &= ~HEARTBEAT_VTAG_FAILED;
        w[own] = vtag;
        w[peer] = 0;
      }
    }

    const oldState = w[at + SCTP_STATE];
    newState = nextState(dir, oldState, type);
    if (newState === IV) return t.invalid(p, "packet invalid in this state");
    if (type === INIT) {
      if (chunk + 20 > p.length) return INVALID;
      noteInit(w, sctp, dir, view.getInt32(chunk + 4), oldState);
      // A retransmitted INIT does not renew the time, as TCP's SYN does not.
      if (newState === CL && oldState === CL && confirmed) refresh = false;
    } else if (type === INIT_ACK) {
      if (chunk + 20 > p.length || !noteInitAck(w, sctp, dir, view.getInt32(chunk + 4))) {
        return t.invalid(p, "stale INIT ACK");
      }
    }
    w[at + SCTP_STATE] = newState;
    if (newState === oldState) continue;
    t.teller.due(ct, IPCT_PROTOINFO);
    if (newState === ES) assure(t, ct, w[at + CT_STATUS]);
  }
  if (refresh) t.refreshAcct(ct, ctinfo, p, t.timeouts(ct, defaults)[newState]);
  return TRACKED;
}

/** The state's name and a blank. */
export function print(state: number): string {
  return `${SCTP_STATES[state]} `;
}
