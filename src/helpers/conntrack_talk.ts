/**
 * talk and ntalk (protocols/talkd.h), conntrack half: two daemons bring two terminals together over UDP, then these
 * talk over TCP. Linux has no such helper; patch-o-matic had one.
 *
 * ```
 *  caller → callee's daemon     ANNOUNCE: somebody wants to talk
 *  callee's daemon → caller     SUCCESS: the callee has been told, and will ask the caller's daemon
 *  callee → caller's daemon     LOOK_UP, RELATED; read by this helper, too
 *  caller's daemon → callee     SUCCESS, address and port of the caller's terminal
 *  callee → caller:port         RELATED
 * ```
 *
 * On port 517 stands the old talk of 4.2BSD, with its names of nine characters, on 518 ntalk of 4.3BSD and its second
 * version. A message counts only with exactly the size that its version has. The address in an answer to LOOK_UP must
 * be the daemon's own host, unless `loose`. Of one conversation with a daemon one announcement is open at a time; two
 * callers behind one address cannot both wait for the same callee's host.
 */
import type { Conntrack } from "../conntrack/core.ts";
import { EXP_HELPER, EXP_WORDS, EXPECT_OK } from "../conntrack/expect.ts";
import { CT_STATUS, FLOW_WORDS, IPS_NAT_MASK, tupleAt } from "../conntrack/flow.ts";
import type {
  ConntrackHelper,
  ExpectPolicy,
  HelperLimits,
  HelperMistake,
  OnFailure,
} from "../conntrack/helper.ts";
import { DST, PORTS, SRC } from "../conntrack/tuple.ts";
import {
  ACCEPT,
  ctinfoDir,
  ESTABLISHED_REPLY,
  ORIGINAL,
  Reason,
  REPLY,
  TCP,
  UDP,
  type Verdict,
} from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { udpPayload } from "../packet/udp.ts";
import { type HelperPolicy, limitsOf, Mistakes, onFailureOf, portsOf } from "./policy.ts";

/** The NAT half. Offsets are of addresses in the payload, as 4.3BSD wrote them: family, port, address. */
export interface NatTalk {
  /** A caller's request: its two addresses become those that the other side can reach. */
  request(conntrack: Conntrack, p: Packet, ct: number, offset: number): Verdict;
  /** Registers the expectation of the callee's question. */
  announced(conntrack: Conntrack, p: Packet, ct: number, exp: number): Verdict;
  /** Registers the expectation of the talk's connection, and rewrites the answer's address. */
  lookedUp(conntrack: Conntrack, p: Packet, ct: number, offset: number, exp: number): Verdict;
}

/** How to listen for talk. */
export interface ConntrackTalkOptions extends HelperPolicy {
  /** Daemons' ports: 517 for talk, 518 for ntalk; both by default. Another is ntalk's. */
  ports?: readonly number[];
  /** Believe an address that is not the sender's own. */
  loose?: boolean;
  /** The NAT half, without which payloads stay as they are. */
  nat?: NatTalk;
}

const TALK_PORT = 517, NTALK_PORT = 518;
/** Versions of ntalk. */
const NTALK = 1, NTALK2 = 2;
const LOOK_UP = 1, ANNOUNCE = 3, SUCCESS = 0;

/** Where things stand in a message: its size, its two addresses, one behind the other, and its type. */
const OLD_REQUEST = 76, OLD_REQUEST_ADDRESSES = 44;
const OLD_RESPONSE = 24;
const REQUEST = 84, REQUEST_ADDRESSES = 8, EXTENDED = 3;
const RESPONSE = 24, RESPONSE_2 = 36;
/** The same in all responses. */
const RESPONSE_ADDRESS = 8;
/** Within an address. */
const ADDRESS_PORT = 2, ADDRESS_HOST = 4, ADDRESS_END = 8;

const POLICIES: readonly ExpectPolicy[] = [{ name: "talk", maxExpected: 1, timeout: 240 }];

class TalkHelper implements ConntrackHelper {
  readonly name = "talk";
  readonly protocol = UDP;
  readonly families = [4] as const;
  readonly ports: readonly number[];
  readonly autoAssign: boolean;
  readonly policies = POLICIES;
  readonly limits: HelperLimits | null;
  readonly onFailure: OnFailure;
  readonly mistakes: readonly HelperMistake[];
  readonly #loose: boolean;
  readonly #nat: NatTalk | null;
  /** An announced address, as in tuples. */
  readonly #address = new Int32Array(4);

  constructor(o: ConntrackTalkOptions) {
    const mistakes = new Mistakes();
    this.mistakes = mistakes.list;
    this.ports = portsOf(mistakes, o.ports, [TALK_PORT, NTALK_PORT]);
    this.autoAssign = o.autoAssign ?? true;
    this.limits = limitsOf(mistakes, o, ["ports", "loose", "nat"]);
    this.onFailure = onFailureOf(mistakes, o);
    this.#loose = o.loose ?? false;
    this.#nat = o.nat ?? null;
  }

  help(conntrack: Conntrack, p: Packet, ct: number, ctinfo: number): Verdict {
    const from = udpPayload(p), length = p.length - from, w = conntrack.flows.words;
    const isOld = w[tupleAt(ct, REPLY) + PORTS] >>> 16 === TALK_PORT;
    const translated = this.#nat !== null && (w[ct * FLOW_WORDS + CT_STATUS] & IPS_NAT_MASK) !== 0;
    if (ctinfoDir(ctinfo) === ORIGINAL) {
      const addresses = translated ? requestAddresses(p.bytes, from, length, isOld) : -1;
      return addresses < 0 ? ACCEPT : this.#nat!.request(conntrack, p, ct, addresses);
    }
    if (ctinfo !== ESTABLISHED_REPLY || !isResponse(p.bytes, from, length, isOld)) return ACCEPT;
    const type = p.bytes[from + (isOld ? 0 : 1)], answer = p.bytes[from + (isOld ? 1 : 2)];
    if (answer !== SUCCESS) return ACCEPT;
    if (type === ANNOUNCE) return this.#announced(conntrack, p, ct, from, translated);
    return type === LOOK_UP ? this.#lookedUp(conntrack, p, ct, from, translated) : ACCEPT;
  }

  /** The callee has been told: it will ask the caller's daemon, at the same port as the caller asked its own. */
  #announced(conntrack: Conntrack, p: Packet, ct: number, from: number, translated: boolean): Verdict {
    const exp = conntrack.expectAlloc(ct);
    if (exp < 0) return noMemory(conntrack, p);
    const w = conntrack.flows.words, reply = tupleAt(ct, REPLY), port = w[reply + PORTS] >>> 16;
    conntrack.expectInit(exp, 0, 4, w, reply + SRC, w, reply + DST, UDP, -1, port);
    conntrack.expects.words[exp * EXP_WORDS + EXP_HELPER] = conntrack.helpers.indexOf(this) + 1;
    let verdict: Verdict = ACCEPT;
    if (conntrack.expectAllowed(exp, from, p.length)) {
      verdict = translated ? this.#nat!.announced(conntrack, p, ct, exp) : register(conntrack, p, exp);
    }
    conntrack.expectPut(exp);
    return verdict;
  }

  /** The caller's terminal waits at an address: who has asked will dial it. */
  #lookedUp(conntrack: Conntrack, p: Packet, ct: number, from: number, translated: boolean): Verdict {
    const at = from + RESPONSE_ADDRESS, port = p.view.getUint16(at + ADDRESS_PORT);
    const w = conntrack.flows.words, reply = tupleAt(ct, REPLY), original = tupleAt(ct, ORIGINAL);
    const host = this.#address[0] = p.view.getInt32(at + ADDRESS_HOST), own = host === w[reply + SRC];
    if (port === 0 || host === 0 || (!own && !this.#loose)) return ACCEPT;
    const exp = conntrack.expectAlloc(ct);
    if (exp < 0) return noMemory(conntrack, p);
    // Who asked dials what it sees: the original direction's destination, which NAT may have changed.
    const destination = own ? w : this.#address, destinationAt = own ? original + DST : 0;
    conntrack.expectInit(exp, 0, 4, w, original + SRC, destination, destinationAt, TCP, -1, port);
    let verdict: Verdict = ACCEPT;
    if (conntrack.expectAllowed(exp, at, at + ADDRESS_END)) {
      verdict = translated && own
        ? this.#nat!.lookedUp(conntrack, p, ct, RESPONSE_ADDRESS, exp)
        : register(conntrack, p, exp);
    }
    conntrack.expectPut(exp);
    return verdict;
  }
}

/** Where the two addresses stand in the payload of a request, or -1 when it is none. */
function requestAddresses(bytes: Uint8Array, from: number, length: number, isOld: boolean): number {
  if (isOld) return length === OLD_REQUEST ? OLD_REQUEST_ADDRESSES : -1;
  const version = length >= REQUEST ? bytes[from] : 0;
  if (version === NTALK) return length === REQUEST ? REQUEST_ADDRESSES : -1;
  return version === NTALK2 && length === REQUEST + bytes[from + EXTENDED] ? REQUEST_ADDRESSES : -1;
}

function isResponse(bytes: Uint8Array, from: number, length: number, isOld: boolean): boolean {
  if (isOld) return length === OLD_RESPONSE;
  return (length === RESPONSE && bytes[from] === NTALK) || (length === RESPONSE_2 && bytes[from] === NTALK2);
}

function noMemory(conntrack: Conntrack, p: Packet): Verdict {
  conntrack.log("nf_ct_talk: dropping packet: cannot alloc expectation");
  return p.drop(Reason["helper-expect-refused"]);
}

function register(conntrack: Conntrack, p: Packet, exp: number): Verdict {
  if (conntrack.expectRelated(exp) === EXPECT_OK) return ACCEPT;
  conntrack.log("nf_ct_talk: dropping packet: cannot add expectation");
  return p.drop(Reason["helper-expect-refused"]);
}

/**
 * The conntrack half of the talk helper: makes talks RELATED. With `nat` it also gets them through NAT.
 *
 * ```ts
 * conntrackTalk({ ports: [517, 518], loose: false })
 * ```
 */
export function conntrackTalk(o: ConntrackTalkOptions = {}): ConntrackHelper {
  return new TalkHelper(o);
}
