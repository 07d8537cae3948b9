/**
 * IRC (RFC 2812) with DCC, conntrack half: reads what a client tells its server and expects whoever takes up the offer.
 *
 * ```
 *  client → server   PRIVMSG nick :\x01DCC SEND file 167772162 5000 1024\x01\r\n      anybody will dial the client
 *                                      CHAT chat …   MOVE, TSEND, SCHAT
 * ```
 *
 * A segment counts only if it begins with PRIVMSG, and only the first ` :` in it can stand before an offer, so that
 * nobody makes a client open its ports by having it repeat something (CVE-2022-2663). The address is a decimal number;
 * it must be the client's own or the one that the server sees, since otherwise the offer is forged. Who will come is
 * not known, so any source is expected: switch the helper on only for servers that are trusted with that.
 *
 * Not read: RESUME and ACCEPT, passive DCC (port 0), file names with blanks, offers split over segments, what stands
 * behind the first 4095 bytes, and IPv6, which DCC cannot write as one number.
 *
 * `strict: false` goes further than Linux: every line of a segment is read, lines that are cut are put together
 * (`partial_lines.ts`), file names may stand in quotes, a passive offer is not called forged, and where NAT has changed
 * an offer's port, RESUME and ACCEPT name the port that each side knows (`dcc.ts`).
 */
import type { Conntrack } from "../conntrack/core.ts";
import type { Expector } from "../conntrack/expector.ts";
import { EXPECT_OK } from "../conntrack/expect.ts";
import { CT_STATUS, FLOW_WORDS, IPS_NAT_MASK, tupleAt } from "../conntrack/flow.ts";
import type {
  ConntrackHelper,
  ExpectPolicy,
  HelperLimits,
  HelperMistake,
  OnFailure,
} from "../conntrack/helper.ts";
import { DST, SRC } from "../conntrack/tuple.ts";
import {
  ACCEPT,
  ESTABLISHED,
  ESTABLISHED_REPLY,
  ORIGINAL,
  Reason,
  REPLY,
  TCP,
  type Verdict,
} from "../netfilter.ts";
import { formatIpv4 } from "../packet/address.ts";
import type { Packet } from "../packet/packet.ts";
import { tcpPayload, tcpSeq } from "../packet/tcp.ts";
import { DCC_OFFER, DCC_PARTIAL, DCC_PORT, DccLine } from "./dcc.ts";
import { PartialLines } from "./partial_lines.ts";
import { type HelperPolicy, limitsOf, Mistakes, namesOf, numberOf, onFailureOf, portsOf } from "./policy.ts";

/**
 * The NAT half: may change the expectation, registers it, and rewrites `length` bytes at `offset` of the payload. A
 * change of length counts from sequence number `position` on.
 */
export type NatIrc = (
  conntrack: Conntrack,
  p: Packet,
  ct: number,
  ctinfo: number,
  offset: number,
  length: number,
  exp: number,
  position: number,
) => Verdict;

/** The NAT half of RESUME and ACCEPT: the port of an offer, as the receiver of this packet knows it. */
export type NatIrcPort = (
  conntrack: Conntrack,
  p: Packet,
  ct: number,
  ctinfo: number,
  offset: number,
  length: number,
  port: number,
  position: number,
) => Verdict;

/** How to listen for IRC. */
export interface ConntrackIrcOptions extends HelperPolicy {
  /** Server ports, 6667 by default; eight at most. */
  ports?: readonly number[];
  /** Offers of one connection that may be open at the same time, 8 by default; 1 to 255. The oldest goes first. */
  maxDccChannels?: number;
  /** Seconds that an offer stays open, 300 by default. */
  dccTimeout?: number;
  /**
   * True by default: read what Linux reads. False: also offers behind another line and split over segments, file names
   * in quotes, passive offers, RESUME and ACCEPT.
   */
  strict?: boolean;
  /** The NAT half, without which payloads stay as they are. */
  nat?: NatIrc;
  /** Its part for RESUME and ACCEPT. */
  natPort?: NatIrcPort;
}

const IRC_PORT = 6667;
/** Linux reads no further. */
const MAX_SEARCH = 4095;
/** The shortest `PRIVMSG x `, the shortest ` :\x01DCC SEND t AAAAAAAA P\x01\n`, and the shortest `AAAAAAAA P\x01\n`. */
const MIN_COMMAND = 10, MIN_OFFER = 26, MIN_NUMBERS = 12;

const LF = 0x0a, CR = 0x0d, SPACE = 0x20, COLON = 0x3a;

const encoder = new TextEncoder();
const PRIVMSG = encoder.encode("PRIVMSG ");
const DCC = encoder.encode("\x01DCC ");
const VERBS: readonly Uint8Array[] = ["SEND ", "CHAT ", "MOVE ", "TSEND ", "SCHAT "].map((verb) =>
  encoder.encode(verb)
);

class IrcHelper implements ConntrackHelper {
  readonly name: string;
  readonly names: readonly string[];
  readonly protocol = TCP;
  readonly families = [4] as const;
  readonly ports: readonly number[];
  readonly autoAssign: boolean;
  readonly limits: HelperLimits | null;
  readonly onFailure: OnFailure;
  readonly mistakes: readonly HelperMistake[];
  readonly policies: readonly ExpectPolicy[];
  readonly #nat: NatIrc | null;
  readonly #natPort: NatIrcPort | null;
  /** By router; null: strict. */
  readonly #partials: WeakMap<Expector, PartialLines> | null;
  readonly #line = new DccLine();
  /** What an offer says, and where its numbers are in the payload; valid after `#find`. */
  #address = 0;
  #port = 0;
  #offset = 0;
  #length = 0;
  /** Where a change of it counts from: the segment's sequence number, or if not strict the line's. */
  #position = 0;

  constructor(o: ConntrackIrcOptions) {
    const mistakes = new Mistakes();
    this.mistakes = mistakes.list;
    const ports = portsOf(mistakes, o.ports, [IRC_PORT]);
    const maxExpected = numberOf(mistakes, "maxDccChannels", o.maxDccChannels, 1, 255, 8);
    // Clocks here count milliseconds in 32 bits.
    const timeout = numberOf(mistakes, "dccTimeout", o.dccTimeout, 1, 2_000_000, 300);
    this.ports = ports;
    this.names = namesOf("irc", ports, IRC_PORT, "place");
    this.name = this.names.find((name) => name === "irc") ?? this.names[0];
    this.autoAssign = o.autoAssign ?? true;
    this.limits = limitsOf(mistakes, o, [
      "ports",
      "maxDccChannels",
      "dccTimeout",
      "strict",
      "nat",
      "natPort",
    ]);
    this.onFailure = onFailureOf(mistakes, o);
    this.policies = [{ name: "irc", maxExpected, timeout }];
    this.#nat = o.nat ?? null;
    this.#natPort = o.natPort ?? null;
    this.#partials = o.strict ?? true ? null : new WeakMap();
  }

  attach(conntrack: Expector): void {
    this.#partials?.set(conntrack, new PartialLines(conntrack.arena));
  }

  help(conntrack: Conntrack, p: Packet, ct: number, ctinfo: number): Verdict {
    const partial = this.#partials?.get(conntrack);
    if (partial !== undefined) return this.#lines(partial, conntrack, p, ct, ctinfo);
    if (ctinfo !== ESTABLISHED) return ACCEPT; // what comes from the server is not believed
    const from = tcpPayload(p);
    if (from >= p.length || !this.#find(p.bytes, from, Math.min(p.length, from + MAX_SEARCH))) return ACCEPT;
    this.#position = tcpSeq(p);
    return this.#isForged(conntrack, ct) ? ACCEPT : this.#expect(conntrack, p, ct, ctinfo);
  }

  /** An offer that is not for the client's own address, or for no port. */
  #isForged(conntrack: Conntrack, ct: number): boolean {
    const w = conntrack.flows.words, own = tupleAt(ct, ORIGINAL) + SRC, seen = tupleAt(ct, REPLY) + DST;
    if ((this.#address === w[own] || this.#address === w[seen]) && this.#port !== 0) return false;
    conntrack.log(
      `nf_conntrack_irc: Forged DCC command from ${formatIpv4(w[own])}: ` +
        `${formatIpv4(this.#address)}:${this.#port}`,
    );
    return true;
  }

  /** Reads every line of a segment; of the server's, where the flow is translated, those about offers. */
  #lines(partial: PartialLines, conntrack: Conntrack, p: Packet, ct: number, ctinfo: number): Verdict {
    if (ctinfo !== ESTABLISHED && ctinfo !== ESTABLISHED_REPLY) return ACCEPT;
    const translated = this.#nat !== null &&
      (conntrack.flows.words[ct * FLOW_WORDS + CT_STATUS] & IPS_NAT_MASK) !== 0;
    const client = ctinfo === ESTABLISHED, from = tcpPayload(p);
    if (from >= p.length || (!client && !translated)) return ACCEPT;
    let bytes: Uint8Array = p.bytes, at = from, end = p.length, first = tcpSeq(p);
    const held = client ? partial.endingAt(conntrack, ct, ORIGINAL, first) : -1;
    if (held >= 0 && (partial.isHeld(held) || !translated)) {
      first = partial.start(held);
      if (partial.isHeld(held)) {
        if (!partial.prepend(held, p, from)) return ACCEPT;
        end = p.length;
      } else {
        partial.join(held, bytes, from, end);
        bytes = partial.joined;
        at = 0;
        end = partial.joinedLength;
      }
    }
    const start = at, line = this.#line;
    let changed = 0;
    end = Math.min(end, start + MAX_SEARCH);
    const all = end - start < MAX_SEARCH;
    while (at < end) {
      let behind = at;
      while (behind < end && bytes[behind] !== LF) behind++;
      if (behind < end) behind++;
      const kind = line.read(bytes, at, behind, !client);
      const seq = this.#position = (first + at - start - changed) | 0;
      if (kind === DCC_PARTIAL && client && all) {
        if (!translated) partial.remember(conntrack, ct, ORIGINAL, seq, bytes, at, end);
        else if (partial.hold(conntrack, p, ct, ORIGINAL, seq, at, from)) {
          return p.drop(Reason["helper-partial"]);
        }
        return ACCEPT;
      }
      this.#offset = bytes === p.bytes ? line.at - from : 0;
      this.#length = bytes === p.bytes ? line.end - line.at : p.length - from;
      const length = p.length;
      let verdict: Verdict = ACCEPT;
      if (kind === DCC_PORT && translated && this.#natPort !== null) {
        verdict = this.#natPort(
          conntrack,
          p,
          ct,
          ctinfo,
          this.#offset,
          this.#length,
          line.port,
          this.#position,
        );
      } else if (kind === DCC_OFFER && client && !line.passive) {
        partial.whole(conntrack, ct, ORIGINAL);
        this.#address = line.address;
        this.#port = line.port;
        if (!this.#isForged(conntrack, ct)) verdict = this.#expect(conntrack, p, ct, ctinfo);
      }
      if (verdict !== ACCEPT) return verdict;
      const change = p.length - length;
      changed += change;
      end += change;
      at = behind + change;
    }
    return ACCEPT;
  }

  /** Looks for an offer and reads its numbers. */
  #find(bytes: Uint8Array, from: number, end: number): boolean {
    let at = from;
    while (at < end - MIN_COMMAND && isBlank(bytes[at])) at++;
    if (at >= end - MIN_COMMAND) return false;
    for (let i = 0; i < PRIVMSG.length; i++) {
      if (upper(bytes[at + i]) !== PRIVMSG[i]) return false;
    }
    at += PRIVMSG.length;
    while (at < end - MIN_OFFER) {
      if (bytes[at] !== SPACE || bytes[at + 1] !== COLON) {
        at++;
        continue;
      }
      at += 2;
      if (!isAt(bytes, at, DCC)) return false;
      at += DCC.length;
      for (let i = 0; i < VERBS.length; i++) {
        if (isAt(bytes, at, VERBS[i])) return this.#numbers(bytes, from, at + VERBS[i].length, end);
      }
      // Some other verb: the next ` :` counts again.
    }
    return false;
  }

  /** Reads address and port behind one word, the file's name (parse_dcc). False when they are not whole. */
  #numbers(bytes: Uint8Array, from: number, start: number, end: number): boolean {
    let at = start;
    while (bytes[at++] !== SPACE) {
      if (at > end - MIN_NUMBERS) return false;
    }
    let lineEnd = at;
    while (lineEnd < end && bytes[lineEnd] !== LF) lineEnd++;
    if (lineEnd === end) return false;
    // No number goes beyond the line end. They are counted modulo 2³² and 2¹⁶; none at all is 0.
    const first = at;
    let address = 0, port = 0;
    for (; isDigit(bytes[at]); at++) address = (Math.imul(address, 10) + bytes[at] - 0x30) | 0;
    while (bytes[at] === SPACE) at++;
    for (; isDigit(bytes[at]); at++) port = (port * 10 + bytes[at] - 0x30) & 0xffff;
    this.#address = address;
    this.#port = port;
    this.#offset = first - from;
    this.#length = at - first;
    return true;
  }

  /** Expects what was offered, by way of the NAT half where there is one and the flow is translated. */
  #expect(conntrack: Conntrack, p: Packet, ct: number, ctinfo: number): Verdict {
    const w = conntrack.flows.words, reply = tupleAt(ct, REPLY);
    const exp = conntrack.expectAlloc(ct);
    if (exp < 0) {
      conntrack.log("nf_ct_irc: dropping packet: cannot alloc expectation");
      return p.drop(Reason["helper-expect-refused"]);
    }
    conntrack.expectInit(exp, 0, 4, null, 0, w, reply + DST, TCP, -1, this.#port);
    const payload = tcpPayload(p);
    if (!conntrack.expectAllowed(exp, payload + this.#offset, payload + this.#offset + this.#length)) {
      conntrack.expectPut(exp);
      return ACCEPT;
    }
    let verdict: Verdict = ACCEPT;
    if (this.#nat !== null && (w[ct * FLOW_WORDS + CT_STATUS] & IPS_NAT_MASK) !== 0) {
      verdict = this.#nat(conntrack, p, ct, ctinfo, this.#offset, this.#length, exp, this.#position);
    } else if (conntrack.expectRelated(exp) !== EXPECT_OK) {
      conntrack.log("nf_ct_irc: dropping packet: cannot add expectation");
      verdict = p.drop(Reason["helper-expect-refused"]);
    }
    conntrack.expectPut(exp);
    return verdict;
  }
}

/**
 * The conntrack half of the IRC helper: makes DCC connections RELATED. With `nat` it also gets them through NAT.
 *
 * ```ts
 * conntrackIrc({ ports: [6667], maxDccChannels: 8, dccTimeout: 300 })
 * ```
 */
export function conntrackIrc(o: ConntrackIrcOptions = {}): ConntrackHelper {
  return new IrcHelper(o);
}

/** True when a pattern stands at a place that has room for it. */
function isAt(bytes: Uint8Array, at: number, pattern: Uint8Array): boolean {
  for (let i = 0; i < pattern.length; i++) {
    if (bytes[at + i] !== pattern[i]) return false;
  }
  return true;
}

function isBlank(byte: number): boolean {
  return byte === SPACE || byte === CR || byte === LF;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function upper(byte: number): number {
  return byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte;
}
