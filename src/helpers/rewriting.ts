/**
 * The NAT side of helpers made by `defineHelper`: ports that are free where the other side dials, and one replacement
 * for all that a packet announces, so that its length changes once.
 */
import { below } from "../clock.ts";
import type { Conntrack } from "../conntrack/core.ts";
import {
  EXP_DIR,
  EXP_FN,
  EXP_SAVED_PORT,
  EXP_TUPLE,
  EXP_WORDS,
  EXPECT_BUSY,
  EXPECT_OK,
} from "../conntrack/expect.ts";
import { PORTS } from "../conntrack/tuple.ts";
import { EXPECT_FOLLOW_MASTER } from "../nat/helper.ts";
import type { Family } from "../netfilter.ts";
import { formatAddress, parseAddress } from "../packet/address.ts";
import type { Announcement, Payload } from "./payload.ts";

/** What the other side must be told. */
export interface Granted {
  /** The port that it can dial, the first of `ports`; the announced one unless that is taken. */
  readonly port: number;
  /** The address under which it knows the sender, as text: `203.0.113.1`. */
  readonly address: string;
  readonly family: Family;
}

/**
 * The NAT half of a helper: writes what stands between `start` and `end` of an announcement anew. Where more stands
 * there than the address and the port, it finds the rest in the payload, which is as it was.
 */
export type NatHalf = (out: Writer, granted: Granted, announced: Announcement, payload: Payload) => void;

/** Most bytes that one packet's replacement may have. */
const ROOM = 4096;
/** Tries for free ports beyond the announced ones. */
const MAX_PORT_ATTEMPTS = 128;

/** Text in the making. */
export class Writer {
  /** Room for it. */
  readonly bytes: Uint8Array = new Uint8Array(ROOM);
  length = 0;

  /** Appends a byte. */
  byte(value: number): this {
    if (this.length >= ROOM) throw new RangeError(`what is written anew has more than ${ROOM} bytes`);
    this.bytes[this.length++] = value;
    return this;
  }

  /** Appends text, one byte per character. */
  text(text: string): this {
    for (let i = 0; i < text.length; i++) this.byte(text.charCodeAt(i));
    return this;
  }

  /** Appends a decimal number. */
  number(value: number): this {
    return this.text(String(value));
  }

  /** Appends a number as two bytes, the higher first. */
  uint16(value: number): this {
    return this.byte(value >>> 8 & 0xff).byte(value & 0xff);
  }

  /** Appends an address as the 4 or 16 bytes that it has in packets. */
  address(text: string): this {
    const address = parseAddress(text);
    if (address === null) throw new TypeError(`${text} is not an address`);
    const { family, words } = address;
    for (let i = 0; i < (family === 4 ? 4 : 16); i++) this.byte(words[i >> 2] >>> (24 - (i & 3) * 8) & 0xff);
    return this;
  }

  /** Appends bytes of another place. */
  copy(bytes: Uint8Array, from: number, to: number): this {
    for (let at = from; at < to; at++) this.byte(bytes[at]);
    return this;
  }
}

/** What to say of an address. */
export function granted(family: Family, words: Int32Array, at: number, port: number): Granted {
  return { port, address: formatAddress(family, words, at), family };
}

/**
 * Registers expectations for ports in a row, at the announced ones if they are free, else at random higher ones, as
 * many further as a multiple of their number. Returns the first, or 0 when there were none.
 */
export function grantPorts(
  conntrack: Conntrack,
  exps: readonly number[],
  announced: number,
  dir: number,
): number {
  const e = conntrack.expects.words, count = exps.length;
  for (let i = 0; i < count; i++) {
    const at = exps[i] * EXP_WORDS;
    e[at + EXP_SAVED_PORT] = announced + i;
    e[at + EXP_DIR] = dir;
    e[at + EXP_FN] = EXPECT_FOLLOW_MASTER;
  }
  const steps = Math.floor((0x10000 - announced) / count);
  let port = announced;
  for (let left = Math.min(steps - 1, MAX_PORT_ATTEMPTS);; left--) {
    const result = relateAll(conntrack, exps, port);
    if (result === EXPECT_OK) return port;
    if (result !== EXPECT_BUSY || left <= 0) return 0;
    port = announced + below(conntrack.random, steps) * count;
  }
}

/** Registers all of them or none, at ports in a row. */
export function relateAll(conntrack: Conntrack, exps: readonly number[], port: number): number {
  const e = conntrack.expects.words;
  for (let i = 0; i < exps.length; i++) {
    const ports = exps[i] * EXP_WORDS + EXP_TUPLE + PORTS;
    e[ports] = (e[ports] & 0xffff0000) | (port + i);
    const result = conntrack.expectRelated(exps[i]);
    if (result === EXPECT_OK) continue;
    while (i-- > 0) conntrack.unexpectRelated(exps[i]);
    return result;
  }
  return EXPECT_OK;
}
