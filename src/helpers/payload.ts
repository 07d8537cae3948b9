/**
 * What a helper made by `defineHelper` sees of a packet: the payload, byte by byte or by small questions that leave
 * nothing behind, a few numbers that are kept with the flow, and the door through which it announces.
 *
 * Positions count from the payload's first byte. Bytes beyond it are −1, so a reader that runs on meets nothing that
 * looks like text. One that runs on for ever is stopped: a payload answers so many questions and no more, and takes so
 * many announcements, which throws in whoever asks, and `conntrack/helping.ts` contains that.
 */
import type { Conntrack } from "../conntrack/core.ts";
import { CT_HELP } from "../conntrack/flow.ts";
import { HELP_WORDS } from "../conntrack/helping.ts";
import { ctinfoDir, type Family, ORIGINAL } from "../netfilter.ts";
import { formatAddress } from "../packet/address.ts";
import type { Packet } from "../packet/packet.ts";

/** Bytes that may be looked at in one packet: thousands of times those of most packets, 64 times those of the longest. */
const MOST_LOOKS = 1 << 22;
/** Announcements of one packet; those that open something are fewer (`conntrack/helping.ts`). */
const MOST_ANNOUNCED = 255;

/** A flow that the payload announces: somebody will come to a port of the packet's sender. */
export interface Announcement {
  /** The port that is announced; 0 and what is not a port announce nothing. */
  readonly port: number;
  /** How many ports in a row, 1 by default. RTP and RTCP take 2; NAT then keeps even ports even. */
  readonly ports?: number;
  /** The announced flow's protocol; the helper's own by default. */
  readonly protocol?: "tcp" | "udp";
  /** Who may come: the other end of the conversation (default), or anybody. */
  readonly from?: "peer" | "anybody";
  /** The address that the payload names, if it names one. Another than the sender's own opens nothing. */
  readonly address?: string;
  /** The bytes `start` … `end`−1 that announce it: what the NAT half writes anew. */
  readonly start: number;
  readonly end: number;
}

/** The payload of the packet in hand. It is reused: keep nothing of it. */
export class Payload {
  /** True for what the side sends that opened the flow. */
  fromClient = false;
  /** Bytes. */
  length = 0;
  /** Where the last `number` ended. */
  behind = 0;
  /** Why the packet is to be dropped, or "". */
  dropped = "";
  /** What has been announced so far. */
  readonly announced: Announcement[] = [];

  #bytes: Uint8Array = new Uint8Array(0);
  #from = 0;
  #conntrack: Conntrack | null = null;
  #help = 0;
  /** Bytes that may still be looked at. */
  #looks = 0;

  /** Takes the next packet in hand; `from` is where its payload begins. */
  bind(conntrack: Conntrack, p: Packet, ct: number, ctinfo: number, from: number): void {
    this.#conntrack = conntrack;
    this.#bytes = p.bytes;
    this.#from = from;
    this.#help = conntrack.flows.side(ct) + CT_HELP;
    this.length = p.length - from;
    this.fromClient = ctinfoDir(ctinfo) === ORIGINAL;
    this.behind = 0;
    this.dropped = "";
    this.announced.length = 0;
    this.#looks = MOST_LOOKS;
  }

  /** The byte at a place, −1 outside. */
  at(place: number): number {
    this.#look(1);
    return place >= 0 && place < this.length ? this.#bytes[this.#from + place] : -1;
  }

  /** Two bytes as a number, the first the higher; −1 outside. */
  uint16(place: number): number {
    this.#look(1);
    return place >= 0 && place + 2 <= this.length ? this.at(place) << 8 | this.at(place + 1) : -1;
  }

  /** Four bytes as a number, the first the highest; −1 outside. */
  uint32(place: number): number {
    this.#look(1);
    if (place < 0 || place + 4 > this.length) return -1;
    return this.uint16(place) * 0x10000 + this.uint16(place + 2);
  }

  /** True if ASCII text stands at a place. With `anyCase`, letters may be of either case. */
  startsWith(text: string, place = 0, anyCase = false): boolean {
    this.#look(1);
    return this.#stands(text, place, anyCase);
  }

  #stands(text: string, place: number, anyCase: boolean): boolean {
    if (place < 0 || place + text.length > this.length) return false;
    for (let i = 0; i < text.length; i++) {
      const is = this.#bytes[this.#from + place + i], want = text.charCodeAt(i);
      if (is !== want && !(anyCase && isLetter(is) && (is ^ want) === 0x20)) return false;
    }
    return true;
  }

  /** The first place from `from` on where ASCII text stands whole before `to`, or −1. */
  find(text: string, from = 0, to = this.length, anyCase = false): number {
    const first = Math.max(0, from), last = Math.min(to, this.length) - text.length;
    this.#look(1);
    for (let place = first; place <= last; place++) {
      if (!this.#stands(text, place, anyCase)) continue;
      this.#look(place - first);
      return place;
    }
    this.#look(Math.max(0, last - first));
    return -1;
  }

  /** The decimal number at a place, −1 where there is none or it has 2³² or more; `behind` is where it ended. */
  number(place: number): number {
    let value = 0, at = place;
    for (let byte = this.at(at); byte >= 0x30 && byte <= 0x39; byte = this.at(++at)) {
      if (value <= 0xffffffff) value = value * 10 + byte - 0x30;
    }
    this.behind = at;
    return at === place || value > 0xffffffff ? -1 : value;
  }

  /** Bytes as text, one character each. Makes a string: for what is rare. */
  text(from = 0, to = this.length): string {
    this.#look(1);
    let text = "";
    for (let place = Math.max(0, from); place < Math.min(to, this.length); place++) {
      text += String.fromCharCode(this.at(place));
    }
    return text;
  }

  /** An address of 4 or 16 bytes as text, "" where they are not all there. Makes a string. */
  address(place: number, family: Family): string {
    const length = family === 4 ? 4 : 16;
    this.#look(length);
    if (place < 0 || place + length > this.length) return "";
    const words = new Int32Array(4);
    for (let i = 0; i < length; i++) words[i >> 2] = words[i >> 2] << 8 | this.#bytes[this.#from + place + i];
    return formatAddress(family, words);
  }

  /** One of the flow's six numbers, 0 at first. They survive a restart of the router. */
  recall(which: number): number {
    this.#look(1);
    return this.#conntrack!.flows.words[this.#word(which)];
  }

  /** Keeps a number of 32 bits with the flow. */
  remember(which: number, value: number): void {
    this.#conntrack!.flows.words[this.#word(which)] = value | 0;
  }

  /** Counts what is asked: a reader that does not come to an end asks too much. */
  #look(bytes: number): void {
    this.#looks -= bytes;
    if (this.#looks < 0) {
      throw new RangeError(`it looked at more than ${MOST_LOOKS} bytes of one packet: a loop without end?`);
    }
  }

  #word(which: number): number {
    if (!Number.isInteger(which) || which < 0 || which >= HELP_WORDS) {
      throw new RangeError(`a flow has the numbers 0 to ${HELP_WORDS - 1}, not ${which}`);
    }
    return this.#help + which;
  }

  /** A flow is announced. */
  announce(a: Announcement): void {
    if (this.announced.length === MOST_ANNOUNCED) {
      throw new RangeError(`it announced more than ${MOST_ANNOUNCED} flows in one packet`);
    }
    this.announced.push(a);
  }

  /** The packet shall be dropped, for example because it must come again in one piece. */
  drop(why: string): void {
    if (this.dropped === "") this.dropped = why;
  }
}

function isLetter(byte: number): boolean {
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x7a;
}
