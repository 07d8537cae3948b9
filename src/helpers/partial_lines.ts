/**
 * Lines of TCP conversations that are cut over segments, for helpers that are asked to read them all the same
 * (`strict: false`). Linux has nothing like it: it reads segment by segment.
 *
 * ```
 *  not translated    PORT 10,0,0     passes, is remembered
 *                    ,2,15,160\r\n   passes; read together with what is remembered
 *
 *  translated        PORT 10,0,0     held back: it is remembered and the segment dropped, or cut off before it
 *                    ,2,15,160\r\n   leaves as PORT 203,0,113,1,15,160\r\n, at the sequence number of the first
 * ```
 *
 * What is held back has not been acknowledged by anybody, so its sender keeps it until the whole has arrived; a sender
 * that waits for the acknowledgement sends it again, and then usually in one piece.
 *
 * Limits: so many lines of so many bytes in all; the oldest gives way. A part is held back three times, then it passes
 * as it is. The memory is the arena's, not in the state file, which keeps no payload.
 */
import type { Arena } from "../arena.ts";
import type { Conntrack } from "../conntrack/core.ts";
import { CT_ID, FLOW_WORDS } from "../conntrack/flow.ts";
import { writeTransportChecksum } from "../packet/checksum.ts";
import { setTotalLength, writeHeaderChecksum } from "../packet/ipv4.ts";
import { IPV6_HEADER, setPayloadLength } from "../packet/ipv6.ts";
import { MAX_PACKET, type Packet } from "../packet/packet.ts";
import { FIN, TCP_CHECKSUM, TCP_SEQ, tcpFlags } from "../packet/tcp.ts";

/** Lines remembered at a time, and bytes of each: an IRC line has 512 (RFC 2812, 2.3). */
const LINES = 64, LINE_BYTES = 512;
/** How often a part is held back. */
const MOST_HOLDS = 3;

// Words of a line's entry.
const CT = 0, ID = 1, DIR = 2, START = 3, LENGTH = 4, HELD = 5, HOLDS = 6, WORDS = 7;

/** The beginnings of lines, of all flows of one helper in one router. */
export class PartialLines {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  /** One number: the line that is taken next. */
  readonly #next: Int32Array;
  /** A remembered beginning with a segment's payload behind it; valid after `join`. */
  readonly joined: Uint8Array = new Uint8Array(LINE_BYTES + MAX_PACKET);
  joinedLength = 0;

  constructor(arena: Arena) {
    this.#words = arena.int32(LINES * WORDS);
    this.#bytes = arena.uint8(LINES * LINE_BYTES);
    this.#next = arena.int32(1);
  }

  /** The beginning that a segment at `seq` goes on with, or -1. */
  endingAt(conntrack: Conntrack, ct: number, dir: number, seq: number): number {
    const line = this.#find(conntrack, ct, dir), at = line * WORDS, w = this.#words;
    return line >= 0 && ((w[at + START] + w[at + LENGTH]) | 0) === seq ? line : -1;
  }

  /** True if that beginning never left, so that the segment must bring it along. */
  isHeld(line: number): boolean {
    return this.#words[line * WORDS + HELD] !== 0;
  }

  /** Sequence number of its first byte. */
  start(line: number): number {
    return this.#words[line * WORDS + START];
  }

  /** Puts the beginning and bytes `from` … `end`−1 together in `joined`. */
  join(line: number, bytes: Uint8Array, from: number, end: number): void {
    const length = this.#copy(line, this.joined, 0);
    for (let i = from; i < end; i++) this.joined[length + i - from] = bytes[i];
    this.joinedLength = length + end - from;
  }

  /** Puts the beginning back before the payload at `from`, in the packet. False if it has no room for it. */
  prepend(line: number, p: Packet, from: number): boolean {
    const length = this.#words[line * WORDS + LENGTH];
    if (p.length + length > MAX_PACKET) return false;
    p.bytes.copyWithin(from + length, from, p.length);
    this.#copy(line, p.bytes, from);
    p.view.setInt32(p.l4 + TCP_SEQ, this.start(line));
    setLength(p, p.length + length);
    return true;
  }

  /** Remembers bytes `from` … `end`−1 as the beginning of a line at `seq`, which has passed. */
  remember(
    conntrack: Conntrack,
    ct: number,
    dir: number,
    seq: number,
    bytes: Uint8Array,
    from: number,
    end: number,
  ): void {
    const line = this.#take(conntrack, ct, dir, seq, bytes, from, end);
    if (line >= 0) this.#words[line * WORDS + HELD] = 0;
  }

  /**
   * Holds back what stands from `from` on in a packet whose payload begins at `payload`, the beginning of a line. True
   * if the packet must not pass; else it passes, without that part, or with it when it cannot be held back.
   */
  hold(
    conntrack: Conntrack,
    p: Packet,
    ct: number,
    dir: number,
    seq: number,
    from: number,
    payload: number,
  ): boolean {
    if ((tcpFlags(p) & FIN) !== 0) return false;
    const line = this.#take(conntrack, ct, dir, seq, p.bytes, from, p.length);
    if (line < 0) return false;
    const w = this.#words, at = line * WORDS;
    if (w[at + HOLDS] >= MOST_HOLDS) {
      w[at + HELD] = 0;
      return false;
    }
    w[at + HOLDS]++;
    w[at + HELD] = 1;
    if (from === payload) return true;
    setLength(p, from);
    return false;
  }

  /** A line has been read whole: its beginning, said again, is held back as often as if it came for the first time. */
  whole(conntrack: Conntrack, ct: number, dir: number): void {
    const line = this.#find(conntrack, ct, dir);
    if (line >= 0) this.#words[line * WORDS + HOLDS] = 0;
  }

  #find(conntrack: Conntrack, ct: number, dir: number): number {
    const w = this.#words, id = conntrack.flows.words[ct * FLOW_WORDS + CT_ID];
    for (let line = 0; line < LINES; line++) {
      const at = line * WORDS;
      // A free entry has no length, and no flow has the id 0.
      if (w[at + CT] === ct && w[at + ID] === id && w[at + DIR] === dir) return line;
    }
    return -1;
  }

  #take(
    conntrack: Conntrack,
    ct: number,
    dir: number,
    seq: number,
    bytes: Uint8Array,
    from: number,
    end: number,
  ): number {
    const length = end - from;
    if (length < 1 || length > LINE_BYTES) return -1;
    const w = this.#words;
    let line = this.#find(conntrack, ct, dir);
    if (line < 0) {
      line = this.#next[0];
      this.#next[0] = (line + 1) % LINES;
      w[line * WORDS + CT] = ct;
      w[line * WORDS + ID] = conntrack.flows.words[ct * FLOW_WORDS + CT_ID];
      w[line * WORDS + DIR] = dir;
      w[line * WORDS + HOLDS] = 0;
    }
    const at = line * WORDS;
    // A part of what is known already, sent again: what goes on with the whole of it is still to come.
    if (w[at + START] === seq && w[at + LENGTH] > length && this.#begins(line, bytes, from, length)) {
      return line;
    }
    if (w[at + START] !== seq || w[at + LENGTH] !== length) w[at + HOLDS] = 0;
    w[at + START] = seq;
    w[at + LENGTH] = length;
    for (let i = 0; i < length; i++) this.#bytes[line * LINE_BYTES + i] = bytes[from + i];
    return line;
  }

  /** True if a remembered beginning begins with these bytes. */
  #begins(line: number, bytes: Uint8Array, from: number, length: number): boolean {
    const known = this.#bytes, at = line * LINE_BYTES;
    for (let i = 0; i < length; i++) if (known[at + i] !== bytes[from + i]) return false;
    return true;
  }

  #copy(line: number, to: Uint8Array, at: number): number {
    const length = this.#words[line * WORDS + LENGTH], from = line * LINE_BYTES;
    for (let i = 0; i < length; i++) to[at + i] = this.#bytes[from + i];
    return length;
  }
}

/** A TCP packet becomes longer or shorter: its length fields and checksums. */
function setLength(p: Packet, length: number): void {
  p.length = length;
  p.fragCount = 0;
  if (p.family === 4) {
    setTotalLength(p, length);
    writeHeaderChecksum(p);
  } else {
    setPayloadLength(p, length - IPV6_HEADER);
  }
  writeTransportChecksum(p);
  const field = p.l4 + TCP_CHECKSUM;
  if (!p.partialChecksum && p.view.getUint16(field) === 0) p.view.setUint16(field, 0xffff);
}
