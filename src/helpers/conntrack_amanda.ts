/**
 * Amanda with `auth bsd` or `bsdudp`, conntrack half: the reply to a request over UDP names the TCP ports that the
 * requester, which is the backup server, will dial.
 *
 * ```
 *  backup server → client:10080     a request
 *  client:10080  → backup server    … CONNECT DATA 50001 MESG 50002 INDEX 50003 STATE 50004 \n …
 *  backup server → client:50001     RELATED
 * ```
 *
 * Only the first CONNECT of a reply counts, only with a line end behind it, and of each word the first in that line.
 * Of a number at most five digits are read. Every reply, whatever it says, keeps the flow alive for `masterTimeout`:
 * clients take their time.
 *
 * Where the line ends is settled before the NAT half changes anything. A number that changes its length moves what is
 * behind it, but not that end: the last digit may then not be read, or bytes of the next line may. Linux does so too.
 */
import type { Conntrack } from "../conntrack/core.ts";
import { EXPECT_OK } from "../conntrack/expect.ts";
import { CT_STATUS, FLOW_WORDS, IPS_NAT_MASK, tupleAt } from "../conntrack/flow.ts";
import type {
  ConntrackHelper,
  ExpectPolicy,
  HelperLimits,
  HelperMistake,
  OnFailure,
} from "../conntrack/helper.ts";
import { DST, SRC, tupleFamily } from "../conntrack/tuple.ts";
import { ACCEPT, ctinfoDir, ORIGINAL, Reason, TCP, UDP, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { udpPayload } from "../packet/udp.ts";
import { type HelperPolicy, limitsOf, Mistakes, numberOf, onFailureOf } from "./policy.ts";

/**
 * The NAT half: may change the expectation, registers it, and rewrites `length` bytes at `offset` of the payload.
 */
export type NatAmanda = (
  conntrack: Conntrack,
  p: Packet,
  offset: number,
  length: number,
  exp: number,
) => Verdict;

/** How to listen for Amanda. */
export interface ConntrackAmandaOptions extends HelperPolicy {
  /** Seconds that a flow lives after a reply, 300 by default. */
  masterTimeout?: number;
  /**
   * Leave alone what is not a port. With `auth bsdudp` the numbers of a reply can be channels of six digits, of which
   * Linux reads five, takes them for ports, and behind NAT changes them. False by default, as Linux.
   */
  portsOnly?: boolean;
  /** The NAT half, without which payloads stay as they are. */
  nat?: NatAmanda;
}

const encoder = new TextEncoder();
const CONNECT = encoder.encode("CONNECT "), LINE_END = encoder.encode("\n");
/** In the order of looking for them. */
const WORDS: readonly Uint8Array[] = ["DATA ", "MESG ", "INDEX ", "STATE "].map((word) =>
  encoder.encode(word)
);
/** Most digits of a port. */
const DIGITS = 5;

const PORTS: readonly number[] = Object.freeze([10080]);
const POLICIES: readonly ExpectPolicy[] = [{ name: "amanda", maxExpected: 4, timeout: 180 }];

class AmandaHelper implements ConntrackHelper {
  readonly name = "amanda";
  readonly protocol = UDP;
  readonly families = [4, 6] as const;
  readonly ports = PORTS;
  readonly autoAssign: boolean;
  readonly limits: HelperLimits | null;
  readonly onFailure: OnFailure;
  readonly mistakes: readonly HelperMistake[];
  readonly policies = POLICIES;
  readonly #masterTimeout: number;
  readonly #portsOnly: boolean;
  readonly #nat: NatAmanda | null;

  constructor(o: ConntrackAmandaOptions) {
    const mistakes = new Mistakes();
    this.mistakes = mistakes.list;
    // Clocks here count milliseconds in 32 bits.
    const timeout = numberOf(mistakes, "masterTimeout", o.masterTimeout, 1, 2_000_000, 300);
    this.#masterTimeout = timeout * 1000;
    this.autoAssign = o.autoAssign ?? true;
    this.limits = limitsOf(mistakes, o, ["masterTimeout", "portsOnly", "nat"]);
    this.onFailure = onFailureOf(mistakes, o);
    this.#portsOnly = o.portsOnly ?? false;
    this.#nat = o.nat ?? null;
  }

  help(conntrack: Conntrack, p: Packet, ct: number, ctinfo: number): Verdict {
    if (ctinfoDir(ctinfo) === ORIGINAL) return ACCEPT; // only the backup client names ports
    conntrack.refresh(ct, this.#masterTimeout);
    const from = udpPayload(p);
    if (from >= p.length) {
      conntrack.log(`amanda_help: skblen = ${p.length}`);
      return ACCEPT;
    }
    let start = find(p.bytes, from, p.length, CONNECT);
    if (start < 0) return ACCEPT;
    start += CONNECT.length;
    const stop = find(p.bytes, start, p.length, LINE_END);
    return stop < 0 ? ACCEPT : this.#line(conntrack, p, ct, from, start, stop);
  }

  /** Expects what each word of the line names. */
  #line(conntrack: Conntrack, p: Packet, ct: number, from: number, start: number, stop: number): Verdict {
    let verdict: Verdict = ACCEPT;
    for (let i = 0; i < WORDS.length; i++) {
      let at = find(p.bytes, start, Math.min(stop, p.length), WORDS[i]);
      if (at < 0) continue;
      at += WORDS[i].length;
      const end = Math.min(at + DIGITS, stop);
      if (end > p.length) break; // the line has shrunk to less than it was
      let behind = at, port = 0;
      for (; behind < end && isDigit(p.bytes[behind]); behind++) port = port * 10 + p.bytes[behind] - 0x30;
      if (this.#portsOnly && (port > 0xffff || (behind < p.length && isDigit(p.bytes[behind])))) continue;
      port &= 0xffff;
      if (port === 0) break;
      const exp = conntrack.expectAlloc(ct);
      if (exp < 0) {
        conntrack.log("nf_ct_amanda: dropping packet: cannot alloc expectation");
        return p.drop(Reason["helper-expect-refused"]);
      }
      const w = conntrack.flows.words, original = tupleAt(ct, ORIGINAL);
      const family = tupleFamily(w, original);
      conntrack.expectInit(exp, 0, family, w, original + SRC, w, original + DST, TCP, -1, port);
      if (!conntrack.expectAllowed(exp, at, behind)) {
        conntrack.expectPut(exp);
        continue;
      }
      if (this.#nat !== null && (w[ct * FLOW_WORDS + CT_STATUS] & IPS_NAT_MASK) !== 0) {
        // The last word's answer is the packet's, so a refusal before it is forgotten.
        p.reason = 0;
        verdict = this.#nat(conntrack, p, at - from, behind - at, exp);
      } else if (conntrack.expectRelated(exp) !== EXPECT_OK) {
        conntrack.log("nf_ct_amanda: dropping packet: cannot add expectation");
        verdict = p.drop(Reason["helper-expect-refused"]);
      }
      conntrack.expectPut(exp);
    }
    return verdict;
  }
}

/**
 * The conntrack half of the Amanda helper: makes backup connections RELATED. With `nat` it also gets them through NAT.
 *
 * ```ts
 * conntrackAmanda({ masterTimeout: 300 })
 * ```
 */
export function conntrackAmanda(o: ConntrackAmandaOptions = {}): ConntrackHelper {
  return new AmandaHelper(o);
}

/** The first place of a pattern that lies whole between two places, or -1. */
function find(bytes: Uint8Array, from: number, end: number, pattern: Uint8Array): number {
  const last = end - pattern.length;
  for (let at = from; at <= last; at++) {
    let i = 0;
    while (i < pattern.length && bytes[at + i] === pattern[i]) i++;
    if (i === pattern.length) return at;
  }
  return -1;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}
