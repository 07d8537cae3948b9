/**
 * FTP (RFC 959, RFC 2428), conntrack half: reads the control connection and expects the data connection.
 *
 * ```
 *  client → server   PORT h1,h2,h3,h4,p1,p2\r        EPRT |1|192.0.2.1|6275|        the server will dial the client
 *  server → client   227 … h1,h2,h3,h4,p1,p2         229 … (|||6446|)               the client will dial the server
 * ```
 *
 * A command counts only at the start of a segment that begins right behind a line end. Two such positions are
 * remembered per direction, in the sender's own sequence numbers; the first data of a direction is therefore never
 * read. A command that is there but not whole ends its packet: it comes again, together with the rest.
 *
 * The announced address must be the sender's own, unless `loose`: otherwise a server could open a hole to a third
 * host. Not read: LPRT and LPSV, commands behind another in one segment, commands split over segments.
 *
 * `strict: false` goes further than Linux. All lines of a segment are read from the first known beginning of a line in
 * it up to the first announcement, whose beginning stays known while the conversation goes on; a line that is cut is put
 * together (`partial_lines.ts`) where Linux drops it or does not see it; and a command with wrong numbers passes where
 * Linux drops it for ever. AUTH TLS (RFC 4217) is noticed: once the server has agreed, nothing of the conversation can
 * be read, and that is said.
 */
import type { Conntrack } from "../conntrack/core.ts";
import type { Expector } from "../conntrack/expector.ts";
import { EXPECT_OK } from "../conntrack/expect.ts";
import { CT_HELP, CT_STATUS, FLOW_WORDS, IPS_NAT_MASK, tupleAt } from "../conntrack/flow.ts";
import type {
  ConntrackHelper,
  ExpectPolicy,
  HelperLimits,
  HelperMistake,
  OnFailure,
} from "../conntrack/helper.ts";
import { HELPER_BLIND } from "../conntrack/helping.ts";
import { tupleText } from "../conntrack/pinholes.ts";
import { DST, SRC, tupleFamily } from "../conntrack/tuple.ts";
import {
  ACCEPT,
  ctinfoDir,
  ESTABLISHED,
  ESTABLISHED_REPLY,
  type Family,
  ORIGINAL,
  Reason,
  TCP,
  type Verdict,
} from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { tcpPayload, tcpSeq } from "../packet/tcp.ts";
import { PartialLines } from "./partial_lines.ts";
import { type HelperPolicy, limitsOf, Mistakes, namesOf, onFailureOf, portsOf } from "./policy.ts";
import { COMMA, CR, DOT, FtpAddress, LF, parseIpv6, parseNumbers, parsePort } from "./ftp_numbers.ts";

/** What announced a data connection (enum nf_ct_ftp_type). */
export type FtpType = 0 | 1 | 2 | 3;
/** Client: PORT. */
const FTP_PORT = 0;
/** Server: 227, the answer to PASV. */
const FTP_PASV = 1;
/** Client: EPRT. */
const FTP_EPRT = 2;
/** Server: 229, the answer to EPSV. */
const FTP_EPSV = 3;

/**
 * The NAT half: may change the expectation, registers it, and rewrites `length` bytes at `offset` of the payload. A
 * change of length counts from sequence number `position` on.
 */
export type NatFtp = (
  conntrack: Conntrack,
  p: Packet,
  ct: number,
  ctinfo: number,
  type: FtpType,
  offset: number,
  length: number,
  exp: number,
  position: number,
) => Verdict;

/** How to listen for FTP. */
export interface ConntrackFtpOptions extends HelperPolicy {
  /** Server ports, 21 by default; eight at most. */
  ports?: readonly number[];
  /** Believe an announced address that is not the sender's own. */
  loose?: boolean;
  /**
   * True by default: read what Linux reads. False: also announcements behind another line of the same segment and
   * those split over segments, and notice AUTH TLS.
   */
  strict?: boolean;
  /** The NAT half, without which payloads stay as they are. */
  nat?: NatFtp;
}

/** One command or answer to look for (struct ftp_search). */
interface Search {
  readonly pattern: Uint8Array;
  /** Bytes up to and including this one are passed over; 0 for none. */
  readonly skip: number;
  readonly type: FtpType;
  /** Said to people when it is not whole. */
  readonly partial: string;
}

function search(pattern: string, skip: number, type: FtpType): Search {
  return {
    pattern: new TextEncoder().encode(pattern),
    skip,
    type,
    partial: `nf_ct_ftp: dropping packet: partial matching of \`${pattern}'`,
  };
}

const SPACE = 0x20, PARENTHESIS = 0x28;
/** By direction, in the order of trying. */
const SEARCHES: readonly (readonly [Search, Search])[] = [
  [search("PORT", SPACE, FTP_PORT), search("EPRT", SPACE, FTP_EPRT)],
  [search("227 ", 0, FTP_PASV), search("229 ", PARENTHESIS, FTP_EPSV)],
];

/** What `find` says. */
const NO_MATCH = 0, MATCH = 1, PARTIAL = -1;

// Words of CT_HELP: how many positions are remembered, a byte by direction; then two positions for each direction.
const HELP_COUNTS = CT_HELP;
const HELP_POSITIONS = CT_HELP + 1;
// If not strict, bits above these bytes: how far the two have come with TLS; that there has been an announcement, and its
// direction. The last word then says where its line begins.
const TLS_ASKED = 1 << 16, TLS_BEGUN = 2 << 16, TLS = TLS_ASKED | TLS_BEGUN;
const ANNOUNCED = 1 << 18, ANNOUNCED_REPLY = 1 << 19;
const HELP_ANNOUNCED = CT_HELP + 5;

const encoder = new TextEncoder();
/** The client's request and the server's consent (RFC 4217, 4; RFC 2228, 3). */
const AUTH_TLS: readonly Uint8Array[] = ["AUTH TLS", "AUTH SSL"].map((text) => encoder.encode(text));
const AUTH_AGREED = encoder.encode("234");

const POLICIES: readonly ExpectPolicy[] = [{ name: "ftp", maxExpected: 1, timeout: 300 }];

class FtpHelper implements ConntrackHelper {
  readonly name: string;
  readonly names: readonly string[];
  readonly protocol = TCP;
  readonly families = [4, 6] as const;
  readonly ports: readonly number[];
  readonly autoAssign: boolean;
  readonly policies = POLICIES;
  readonly limits: HelperLimits | null;
  readonly onFailure: OnFailure;
  readonly mistakes: readonly HelperMistake[];
  readonly #loose: boolean;
  readonly #nat: NatFtp | null;
  /** By router; null: strict. */
  readonly #partials: WeakMap<Expector, PartialLines> | null;
  readonly #announced = new FtpAddress();
  /** Where the numbers begin in the bytes that were read, and how long they are; valid after MATCH. */
  #offset = 0;
  #length = 0;
  /** Where a change of them counts from: the segment's sequence number, or if not strict the line's. */
  #position = 0;

  constructor(o: ConntrackFtpOptions) {
    const mistakes = new Mistakes();
    this.mistakes = mistakes.list;
    this.ports = portsOf(mistakes, o.ports, [21]);
    this.names = namesOf("ftp", this.ports, 21, "port");
    this.name = this.names.find((name) => name === "ftp") ?? this.names[0];
    this.autoAssign = o.autoAssign ?? true;
    this.limits = limitsOf(mistakes, o, ["ports", "loose", "strict", "nat"]);
    this.onFailure = onFailureOf(mistakes, o);
    this.#partials = o.strict ?? true ? null : new WeakMap();
    this.#loose = o.loose ?? false;
    this.#nat = o.nat ?? null;
  }

  attach(conntrack: Expector): void {
    this.#partials?.set(conntrack, new PartialLines(conntrack.arena));
  }

  help(conntrack: Conntrack, p: Packet, ct: number, ctinfo: number): Verdict {
    if (ctinfo !== ESTABLISHED && ctinfo !== ESTABLISHED_REPLY) return ACCEPT;
    p.fragCount = 0; // Linux makes one piece of it, and cuts it anew when it leaves
    const from = tcpPayload(p);
    if (from >= p.length) return ACCEPT;
    const w = conntrack.flows.words, at = conntrack.flows.side(ct), dir = ctinfoDir(ctinfo);
    // Before the NAT half changes the payload: positions count as the sender does.
    const seq = tcpSeq(p), behind = (seq + p.length - from) | 0, endsLine = p.bytes[p.length - 1] === LF;
    let verdict: Verdict = ACCEPT;
    const partial = this.#partials?.get(conntrack);
    this.#position = seq;
    if (partial !== undefined) {
      verdict = this.#lines(partial, conntrack, p, ct, ctinfo, from, seq);
    } else if (beginsLine(w, at, dir, seq)) {
      const own = tupleAt(ct, dir), family = tupleFamily(w, own);
      this.#announced.set(w, own + SRC);
      let s = SEARCHES[dir][0];
      let found = this.#find(p.bytes, from, p.length, s, family);
      if (found === NO_MATCH) {
        s = SEARCHES[dir][1];
        found = this.#find(p.bytes, from, p.length, s, family);
      }
      if (found === PARTIAL) {
        conntrack.log(s.partial);
        return p.drop(Reason["helper-partial"]);
      }
      if (found === MATCH) verdict = this.#expect(conntrack, p, ct, ctinfo, family, s.type, from);
    }
    if (endsLine) rememberLine(w, at, dir, behind);
    return verdict;
  }

  /** Reads every line of a segment that begins one, or goes on with one whose beginning is remembered. */
  #lines(
    partial: PartialLines,
    conntrack: Conntrack,
    p: Packet,
    ct: number,
    ctinfo: number,
    from: number,
    seq: number,
  ): Verdict {
    const w = conntrack.flows.words, record = ct * FLOW_WORDS, side = conntrack.flows.side(ct);
    const dir = ctinfoDir(ctinfo);
    const translated = this.#nat !== null && (w[record + CT_STATUS] & IPS_NAT_MASK) !== 0;
    let bytes: Uint8Array = p.bytes, at = from, first = seq;
    let end = p.length;
    const line = partial.endingAt(conntrack, ct, dir, seq);
    if (line >= 0) {
      first = partial.start(line);
      if (partial.isHeld(line)) {
        if (!partial.prepend(line, p, from)) return ACCEPT;
        end = p.length;
      } else {
        if (translated) return ACCEPT; // its beginning has left as it was
        partial.join(line, bytes, from, end);
        bytes = partial.joined;
        at = 0;
        end = partial.joinedLength;
      }
    } else {
      const before = bytesBeforeLine(w, side, dir, seq, end - from);
      if (before < 0) {
        // Of the first data of all only this is believed, as it opens nothing: clients begin with AUTH TLS.
        if (knownLines(w, side, dir) === 0) this.#noticeTls(conntrack, ct, dir, bytes, from, end);
        return ACCEPT;
      }
      at = from + before;
      first = (seq + before) | 0;
    }

    const own = tupleAt(ct, dir), family = tupleFamily(w, own), start = at;
    this.#announced.set(w, own + SRC);
    while (at < end) {
      let behind = at;
      while (behind < end && bytes[behind] !== LF) behind++;
      const whole = behind < end;
      if (whole) behind++;
      if ((w[side + HELP_COUNTS] & TLS_BEGUN) === 0) this.#noticeTls(conntrack, ct, dir, bytes, at, behind);
      let s = SEARCHES[dir][0];
      let found = this.#find(bytes, at, behind, s, family);
      if (found === NO_MATCH) {
        s = SEARCHES[dir][1];
        found = this.#find(bytes, at, behind, s, family);
      }
      const lineSeq = (first + at - start) | 0;
      if (found === MATCH) {
        this.#position = lineSeq;
        rememberAnnouncement(w, side, dir, lineSeq);
        partial.whole(conntrack, ct, dir);
        // Numbers that were put together stand in no one packet; the record shows the packet that completed them.
        if (bytes !== p.bytes) this.#offset = from;
        return this.#expect(conntrack, p, ct, ctinfo, family, s.type, from);
      }
      if (found === PARTIAL && !whole) {
        rememberLine(w, side, dir, lineSeq);
        if (!translated) partial.remember(conntrack, ct, dir, lineSeq, bytes, at, end);
        else if (partial.hold(conntrack, p, ct, dir, lineSeq, at, from)) {
          return p.drop(Reason["helper-partial"]);
        }
        return ACCEPT;
      }
      at = behind;
    }
    return ACCEPT;
  }

  /** The client asks for TLS and the server agrees: from there on the helper is blind. */
  #noticeTls(
    conntrack: Conntrack,
    ct: number,
    dir: number,
    bytes: Uint8Array,
    from: number,
    end: number,
  ): void {
    const w = conntrack.flows.words, at = conntrack.flows.side(ct) + HELP_COUNTS;
    if (dir === ORIGINAL) {
      if (!begins(bytes, from, end, AUTH_TLS[0]) && !begins(bytes, from, end, AUTH_TLS[1])) return;
      w[at] = (w[at] & ~TLS) | TLS_ASKED;
    } else if ((w[at] & TLS) === TLS_ASKED && end - from >= 3) {
      w[at] &= ~TLS;
      if (!begins(bytes, from, end, AUTH_AGREED)) return;
      w[at] |= TLS_BEGUN;
      conntrack.countHelper(ct, HELPER_BLIND);
      conntrack.log(
        `nf_ct_ftp: helper blind from here: flow ${tupleText(w, tupleAt(ct, ORIGINAL), false)} ` +
          "goes on in TLS (AUTH TLS)",
      );
    }
  }

  /** Looks for one command at the start of a line (find_pattern). */
  #find(bytes: Uint8Array, from: number, end: number, s: Search, family: Family): number {
    const pattern = s.pattern;
    const common = Math.min(end - from, pattern.length);
    for (let i = 0; i < common; i++) {
      if (upper(bytes[from + i]) !== pattern[i]) return NO_MATCH;
    }
    let at = from + pattern.length;
    if (at >= end) return PARTIAL;
    if (s.skip !== 0) {
      while (at < end && bytes[at] !== s.skip) at++;
      at++;
    }
    if (s.type === FTP_PASV) {
      while (at < end && !isDigit(bytes[at])) at++; // RFC 1123, 4.1.2.6: parentheses are not to be relied upon
    }
    if (at >= end) return PARTIAL;
    const behind = this.#numbers(bytes, at, end, s.type, family);
    if (behind < 0) return PARTIAL;
    this.#offset = at;
    this.#length = behind - at;
    return MATCH;
  }

  /** Reads what a command announces. Returns where it ends, -1 when it is not whole. */
  #numbers(bytes: Uint8Array, at: number, end: number, type: FtpType, family: Family): number {
    const announced = this.#announced, array = announced.numbers;
    if (type === FTP_PORT || type === FTP_PASV) {
      const behind = parseNumbers(bytes, at, end, array, 6, COMMA, type === FTP_PORT ? CR : 0);
      if (behind < 0) return -1;
      announced.words[0] = array[0] << 24 | array[1] << 16 | array[2] << 8 | array[3];
      announced.port = (array[4] << 8 | array[5]) & 0xffff;
      return behind;
    }
    if (end - at <= 3) return -1;
    const delimiter = bytes[at];
    if (isDigit(delimiter) || delimiter < 33 || delimiter > 126 || bytes[at + 2] !== delimiter) return -1;
    if (type === FTP_EPSV) {
      return bytes[at + 1] === delimiter ? parsePort(bytes, at + 3, end, delimiter, announced) : -1;
    }
    if (bytes[at + 1] !== (family === 4 ? 0x31 : 0x32)) return -1; // "1" or "2" (RFC 2428, 2)
    let behind: number;
    if (family === 4) {
      behind = parseNumbers(bytes, at + 3, end, array, 4, DOT, delimiter);
      if (behind >= 0) announced.words[0] = array[0] << 24 | array[1] << 16 | array[2] << 8 | array[3];
    } else {
      behind = parseIpv6(bytes, at + 3, end, announced.words, delimiter);
    }
    return behind < 0 ? -1 : parsePort(bytes, behind + 1, end, delimiter, announced);
  }

  /** Expects what was announced, by way of the NAT half where there is one and the flow is translated. */
  #expect(
    conntrack: Conntrack,
    p: Packet,
    ct: number,
    ctinfo: number,
    family: Family,
    type: FtpType,
    payload: number,
  ): Verdict {
    const w = conntrack.flows.words, dir = ctinfoDir(ctinfo), announced = this.#announced;
    const own = tupleAt(ct, dir), other = tupleAt(ct, 1 - dir);
    const exp = conntrack.expectAlloc(ct);
    if (exp < 0) {
      conntrack.log("nf_ct_ftp: dropping packet: cannot alloc expectation");
      return p.drop(Reason["helper-expect-refused"]);
    }
    // The peer dials what it sees: the other direction's destination, which NAT may have changed.
    let destination = w, destinationAt = other + DST;
    if (!announced.equals(w, own + SRC)) {
      if (!this.#loose) {
        conntrack.expectPut(exp);
        return ACCEPT;
      }
      destination = announced.words;
      destinationAt = 0;
    }
    conntrack.expectInit(
      exp,
      0,
      family,
      w,
      other + SRC,
      destination,
      destinationAt,
      TCP,
      -1,
      announced.port,
    );
    if (!conntrack.expectAllowed(exp, this.#offset, this.#offset + this.#length)) {
      conntrack.expectPut(exp);
      return ACCEPT;
    }
    let verdict: Verdict = ACCEPT;
    if (this.#nat !== null && (w[ct * FLOW_WORDS + CT_STATUS] & IPS_NAT_MASK) !== 0) {
      verdict = this.#nat(
        conntrack,
        p,
        ct,
        ctinfo,
        type,
        this.#offset - payload,
        this.#length,
        exp,
        this.#position,
      );
    } else if (conntrack.expectRelated(exp) !== EXPECT_OK) {
      conntrack.log("nf_ct_ftp: dropping packet: cannot add expectation");
      verdict = p.drop(Reason["helper-expect-refused"]);
    }
    conntrack.expectPut(exp);
    return verdict;
  }
}

/**
 * The conntrack half of the FTP helper: makes data connections RELATED. With `nat` it also gets them through NAT.
 *
 * ```ts
 * conntrackFtp({ ports: [21, 2121], loose: false })
 * ```
 */
export function conntrackFtp(o: ConntrackFtpOptions = {}): ConntrackHelper {
  return new FtpHelper(o);
}

/** How many beginnings of lines are known of a direction; none before its first line end. */
function knownLines(w: Int32Array, at: number, dir: number): number {
  return w[at + HELP_COUNTS] >> dir * 8 & 0xff;
}

/** True when `seq` is known to be the first byte of a line (find_nl_seq). */
function beginsLine(w: Int32Array, at: number, dir: number, seq: number): boolean {
  const positions = at + HELP_POSITIONS + dir * 2, count = knownLines(w, at, dir);
  return (count > 0 && w[positions] === seq) || (count > 1 && w[positions + 1] === seq);
}

/**
 * Remembers that an announcement's line begins at `seq`: what is sent again of it must be what it was, however much has
 * been said since.
 */
function rememberAnnouncement(w: Int32Array, at: number, dir: number, seq: number): void {
  w[at + HELP_COUNTS] = (w[at + HELP_COUNTS] & ~ANNOUNCED_REPLY) | ANNOUNCED |
    (dir === ORIGINAL ? 0 : ANNOUNCED_REPLY);
  w[at + HELP_ANNOUNCED] = seq;
}

/** Bytes of a segment of `length` bytes before the first known beginning of a line in it, or -1. */
function bytesBeforeLine(w: Int32Array, at: number, dir: number, seq: number, length: number): number {
  const positions = at + HELP_POSITIONS + dir * 2, count = knownLines(w, at, dir);
  let least = -1;
  if ((w[at + HELP_COUNTS] & (ANNOUNCED | ANNOUNCED_REPLY)) === (ANNOUNCED | (dir && ANNOUNCED_REPLY))) {
    const before = (w[at + HELP_ANNOUNCED] - seq) | 0;
    if (before >= 0 && before < length) least = before;
  }
  for (let i = 0; i < count; i++) {
    const before = (w[positions + i] - seq) | 0;
    if (before >= 0 && before < length && (least < 0 || before < least)) least = before;
  }
  return least;
}

/** Remembers that a line begins at `seq`; of more than two positions the later ones stay (update_nl_seq). */
function rememberLine(w: Int32Array, at: number, dir: number, seq: number): void {
  const positions = at + HELP_POSITIONS + dir * 2, count = knownLines(w, at, dir);
  for (let i = 0; i < count; i++) {
    if (w[positions + i] === seq) return;
  }
  if (count < 2) {
    w[positions + count] = seq;
    w[at + HELP_COUNTS] += 1 << dir * 8;
    return;
  }
  const oldest = ((w[positions] - w[positions + 1]) | 0) < 0 ? positions : positions + 1;
  if (((seq - w[oldest]) | 0) > 0) w[oldest] = seq;
}

/** True if a line begins with these letters, in either case. */
function begins(bytes: Uint8Array, from: number, end: number, text: Uint8Array): boolean {
  if (end - from < text.length) return false;
  for (let i = 0; i < text.length; i++) {
    if (upper(bytes[from + i]) !== text[i]) return false;
  }
  return true;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function upper(byte: number): number {
  return byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte;
}
