/**
 * The newest pinholes: who opened which, for whom, and why. A ring of records in the state file, so that another process
 * reads it without asking the router, and a router that was killed leaves it behind.
 *
 * ```
 *  memory   [ how many there ever were ][ record 0 ] … [ record 255 ]      512 bytes each
 *  record   number, helper, time, flow's id, port | rule, flow, expectation, bytes that announce it, the rule's text
 * ```
 *
 * A record's number is cleared first and written last, so that a reader never believes a half-written one. It holds
 * bytes and words; text is made of them by whoever reads.
 *
 * Limits: 128 bytes of an announcement, and those of helpers with `record` only; 250 bytes of a rule's text.
 */
import { type Family, TCP, UDP } from "../netfilter.ts";
import { formatAddress } from "../packet/address.ts";
import { EXP_MASK, EXP_TUPLE } from "./expect.ts";
import { DST, PORTS, PROTO, SRC, TUPLE_WORDS, tupleFamily } from "./tuple.ts";

/** Records in the ring. */
export const PINHOLES = 256;

const HEAD_WORDS = 16, HEAD_COUNT = 0;
const RECORD_WORDS = 128, RECORD_BYTES = RECORD_WORDS * 4;
const NUMBER = 0, HELPER = 1, TIME = 2, FLOW_ID = 4;
/** BY_RULE, or the server's port for which the helper took the flow by itself; 0 for a flow that was expected. */
const ASSIGNED = 5, BY_RULE = -1;
const FLOW = 6, EXPECTED = FLOW + TUPLE_WORDS, MASK = EXPECTED + TUPLE_WORDS, MASK_WORDS = 5;
/** Length of the announcement, which may be more than what is kept of it; NOT_RECORDED without `record`. */
const ANNOUNCED = MASK + MASK_WORDS, NOT_RECORDED = -1;
const ANNOUNCED_BYTES = 32 * 4, SHOWN_BYTES = 128;
const RULE_LENGTH = 64, RULE_BYTES = 65 * 4;
/** Bytes of a rule's text that fit. */
export const MOST_RULE_BYTES = 250;

/** One hole that a helper has opened. */
export interface Pinhole {
  /** Counted from 1 since the state file was made. */
  readonly number: number;
  /** Seconds since 1970. */
  readonly time: number;
  /** The helper's name, and whether a rule or the server's port gave it the flow. */
  readonly helper: string;
  readonly assigned: "rule" | "port";
  /**
   * That rule: `tables.raw.PREROUTING[2]`, or `iptables:5:1 -A PREROUTING …`; `autoAssign tcp 21` where the helper took
   * the flow for its port, `autoAssign` where it took the flow's master so.
   */
  readonly rule: string;
  /** Id of the announcing flow, as in `conntrack -L -o id`, and its original direction. */
  readonly id: number;
  readonly flow: string;
  /** Who may come, and where to: `tcp 198.51.100.7 → 203.0.113.1:5000`. */
  readonly expected: string;
  /** The bytes that announced it, as they came, unprintable ones as `\xNN`; null when the helper does not `record`. */
  readonly announced: string | null;
}

/** The ring. */
export class Pinholes {
  static readonly BYTES = HEAD_WORDS * 4 + PINHOLES * RECORD_BYTES;

  readonly #head: Int32Array<ArrayBuffer>;
  readonly #words: Int32Array<ArrayBuffer>;
  readonly #floats: Float64Array<ArrayBuffer>;
  readonly #bytes: Uint8Array<ArrayBuffer>;

  /** `byteOffset` is a multiple of 8. */
  constructor(buffer: ArrayBuffer, readonly byteOffset: number) {
    const first = byteOffset + HEAD_WORDS * 4;
    this.#head = new Int32Array(buffer, byteOffset, HEAD_WORDS);
    this.#words = new Int32Array(buffer, first, PINHOLES * RECORD_WORDS);
    this.#floats = new Float64Array(buffer, first, PINHOLES * RECORD_WORDS / 2);
    this.#bytes = new Uint8Array(buffer, first, PINHOLES * RECORD_BYTES);
  }

  /** Pinholes ever opened. */
  get count(): number {
    return Atomics.load(this.#head, HEAD_COUNT) >>> 0;
  }

  /**
   * Notes a pinhole: the helper's index, the flow by its id and its tuple at `flowAt` of `flows`, the expectation whose
   * record begins at `exp` of `expects`. `rule` is the text of the rule that gave the flow its helper, null where the
   * server's `port` did. Bytes `from` … `to` − 1 of `bytes` announce it, none of them when it is null; `to` is −1 without
   * `record`. Returns its number.
   */
  note(
    helper: number,
    time: number,
    id: number,
    flows: Int32Array,
    flowAt: number,
    expects: Int32Array,
    exp: number,
    rule: Uint8Array | null,
    port: number,
    announced: Uint8Array | null,
    from: number,
    to: number,
  ): number {
    const number = (Atomics.add(this.#head, HEAD_COUNT, 1) + 1) | 0;
    const w = this.#words, at = ((number - 1) & (PINHOLES - 1)) * RECORD_WORDS, bytes = at * 4;
    Atomics.store(w, at + NUMBER, 0);
    w[at + HELPER] = helper;
    this.#floats[(at + TIME) >> 1] = time;
    w[at + FLOW_ID] = id;
    w[at + ASSIGNED] = rule === null ? port : BY_RULE;
    for (let i = 0; i < TUPLE_WORDS; i++) {
      w[at + FLOW + i] = flows[flowAt + i];
      w[at + EXPECTED + i] = expects[exp + EXP_TUPLE + i];
    }
    for (let i = 0; i < MASK_WORDS; i++) w[at + MASK + i] = expects[exp + EXP_MASK + i];
    w[at + ANNOUNCED] = to < 0 ? NOT_RECORDED : to - from;
    for (let i = 0; announced !== null && i < Math.min(to - from, SHOWN_BYTES); i++) {
      this.#bytes[bytes + ANNOUNCED_BYTES + i] = announced[from + i];
    }
    const length = rule === null ? 0 : Math.min(rule.length, MOST_RULE_BYTES);
    w[at + RULE_LENGTH] = length;
    for (let i = 0; i < length; i++) this.#bytes[bytes + RULE_BYTES + i] = rule![i];
    Atomics.store(w, at + NUMBER, number);
    return number;
  }

  /** Those in the ring, oldest first; `helpers` are the names by index. */
  list(helpers: readonly string[]): Pinhole[] {
    const newest = this.count, found: Pinhole[] = [];
    for (let n = Math.max(1, newest - PINHOLES + 1); n <= newest; n++) {
      const pinhole = this.get(n, helpers);
      if (pinhole !== null) found.push(pinhole);
    }
    return found;
  }

  /** One by its number; null when it is not in the ring, or just being written. */
  get(number: number, helpers: readonly string[]): Pinhole | null {
    const at = ((number - 1) & (PINHOLES - 1)) * RECORD_WORDS;
    if (Atomics.load(this.#words, at + NUMBER) !== (number | 0)) return null;
    const w = this.#words.slice(at, at + RECORD_WORDS);
    if (Atomics.load(this.#words, at + NUMBER) !== (number | 0)) return null;
    const bytes = new Uint8Array(w.buffer), byRule = w[ASSIGNED] === BY_RULE;
    const name = protocolName(w[FLOW + PROTO] & 0xff);
    return {
      number,
      time: new Float64Array(w.buffer, TIME * 4, 1)[0],
      helper: helpers[w[HELPER]] ?? `helper ${w[HELPER]}`,
      assigned: byRule ? "rule" : "port",
      rule: byRule
        ? new TextDecoder().decode(bytes.subarray(RULE_BYTES, RULE_BYTES + w[RULE_LENGTH]))
        : w[ASSIGNED] === 0
        ? "autoAssign"
        : `autoAssign ${name} ${w[ASSIGNED]}`,
      id: w[FLOW_ID] >>> 0,
      flow: tupleText(w, FLOW, false),
      expected: tupleText(w, EXPECTED, w[MASK] === 0),
      announced: w[ANNOUNCED] === NOT_RECORDED
        ? null
        : shown(bytes.subarray(ANNOUNCED_BYTES, ANNOUNCED_BYTES + SHOWN_BYTES), w[ANNOUNCED]),
    };
  }
}

/** The name of a protocol, where helpers read it. */
function protocolName(protocol: number): string {
  return protocol === TCP ? "tcp" : protocol === UDP ? "udp" : `protocol ${protocol}`;
}

/** `tcp 10.0.0.2:40000 → 198.51.100.7:21`; a source port of 0 is any. */
export function tupleText(w: Int32Array, at: number, anybody: boolean): string {
  const family: Family = tupleFamily(w, at);
  const end = (address: number, port: number) => {
    const text = formatAddress(family, w, address);
    return port === 0 ? text : family === 4 ? `${text}:${port}` : `[${text}]:${port}`;
  };
  const source = anybody ? "anybody" : end(at + SRC, w[at + PORTS] >>> 16);
  return `${protocolName(w[at + PROTO] & 0xff)} ${source} → ${end(at + DST, w[at + PORTS] & 0xffff)}`;
}

/** Bytes for people; `length` is how many there were. */
function shown(bytes: Uint8Array, length: number): string {
  let text = "";
  for (let i = 0; i < Math.min(length, bytes.length); i++) {
    const byte = bytes[i];
    text += byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c
      ? String.fromCharCode(byte)
      : `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return length > bytes.length ? `${text}…` : text;
}
