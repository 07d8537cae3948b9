/**
 * Lines of an IRC conversation that offer a DCC connection or speak of one, read as clients write them rather than as
 * Linux reads them: file names in quotes, passive offers, RESUME and ACCEPT.
 *
 * ```
 *  [:nick!user@host ]PRIVMSG nick :\x01DCC SEND "a file" 167772162 5000 1024\x01
 *                                   \x01DCC SEND file 167772162 0 1024 7\x01        passive: port 0 and a token
 *                                   \x01DCC RESUME file 5000 512\x01                the port says which offer is meant
 * ```
 */

/** What `readDcc` says of a line: no business of ours; an offer; a word about one; its end is missing. */
export const DCC_NONE = 0, DCC_OFFER = 1, DCC_PORT = 2, DCC_PARTIAL = -1;

const LF = 0x0a, CR = 0x0d, SPACE = 0x20, COLON = 0x3a, QUOTE = 0x22, CTCP = 0x01;
const DIGITS_MOST = 10, ADDRESS_MOST = 0xffffffff, PORT_MOST = 0xffff;

const encoder = new TextEncoder();
const PRIVMSG = encoder.encode("PRIVMSG "), DCC = encoder.encode("\x01DCC ");
const OFFERS: readonly Uint8Array[] = ["SEND ", "CHAT ", "MOVE ", "TSEND ", "SCHAT "].map((verb) =>
  encoder.encode(verb)
);
const ABOUT: readonly Uint8Array[] = ["RESUME ", "ACCEPT "].map((verb) => encoder.encode(verb));

/** What a line says; valid after DCC_OFFER, the ports also after DCC_PORT. */
export class DccLine {
  /** As in tuples. */
  address = 0;
  port = 0;
  /** Port 0 with a token: the other side is to listen. */
  passive = false;
  /** Where the numbers stand: from the address on in an offer, else the port alone. */
  at = 0;
  end = 0;

  #next = 0;
  #number = 0;
  /** The line ended where more could have followed. */
  #ranOut = false;

  /** Reads one line, with its line end where it has one. Only lines from the server have a prefix. */
  read(bytes: Uint8Array, from: number, end: number, prefix: boolean): number {
    if (end > from && bytes[end - 1] === LF) return this.#read(bytes, from, end - 1, prefix);
    // Whatever comes next may complete it, unless it is something else already.
    return this.#read(bytes, from, end, prefix) === DCC_NONE && !this.#ranOut ? DCC_NONE : DCC_PARTIAL;
  }

  #read(bytes: Uint8Array, from: number, end: number, prefix: boolean): number {
    this.#ranOut = false;
    let at = from;
    while (at < end && (bytes[at] === SPACE || bytes[at] === CR)) at++;
    if (prefix && at < end && bytes[at] === COLON) {
      while (at < end && bytes[at] !== SPACE) at++;
      while (at < end && bytes[at] === SPACE) at++;
    }
    if (at >= end) return DCC_NONE;
    at = this.#word(bytes, at, end, PRIVMSG, true);
    if (at < 0) return DCC_NONE;
    while (at + 1 < end && (bytes[at] !== SPACE || bytes[at + 1] !== COLON)) at++;
    if (at + 1 >= end) return this.#short();
    at = this.#word(bytes, at + 2, end, DCC, false);
    if (at < 0) return DCC_NONE;
    let kind = DCC_NONE, cut = false;
    for (let i = 0; i < OFFERS.length + ABOUT.length && kind === DCC_NONE; i++) {
      const verb = i < OFFERS.length ? OFFERS[i] : ABOUT[i - OFFERS.length];
      const behind = this.#word(bytes, at, end, verb, false);
      cut ||= this.#ranOut;
      if (behind < 0) continue;
      kind = i < OFFERS.length ? DCC_OFFER : DCC_PORT;
      at = behind;
    }
    this.#ranOut = kind === DCC_NONE && cut;
    if (kind === DCC_NONE) return DCC_NONE;
    at = this.#file(bytes, at, end);
    if (at < 0) return DCC_NONE;
    this.at = at;
    if (kind === DCC_OFFER) {
      if (!this.#decimal(bytes, at, end, ADDRESS_MOST)) return DCC_NONE;
      this.address = this.#number | 0;
      at = this.#next;
      while (at < end && bytes[at] === SPACE) at++;
    }
    if (!this.#decimal(bytes, at, end, PORT_MOST)) return DCC_NONE;
    this.port = this.#number;
    this.end = this.#next;
    this.passive = kind === DCC_OFFER && this.port === 0 && this.#numbersFollow(bytes, end);
    return kind;
  }

  /** The line ends before it is clear what it is. */
  #short(): number {
    this.#ranOut = true;
    return DCC_NONE;
  }

  /** The place behind a word that stands at `at`, or -1. */
  #word(bytes: Uint8Array, at: number, end: number, word: Uint8Array, anyCase: boolean): number {
    this.#ranOut = false;
    for (let i = 0; i < word.length; i++) {
      if (at + i >= end) return this.#short() - 1;
      const byte = bytes[at + i];
      const letter = anyCase && byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte;
      if (letter !== word[i]) return -1;
    }
    return at + word.length;
  }

  /** The place behind a file's name and the blanks after it, or -1. */
  #file(bytes: Uint8Array, from: number, end: number): number {
    let at = from;
    if (at < end && bytes[at] === QUOTE) {
      at++;
      while (at < end && bytes[at] !== QUOTE) at++;
      at++;
    } else {
      while (at < end && bytes[at] !== SPACE) at++;
    }
    if (at >= end) return this.#short() - 1;
    if (bytes[at] !== SPACE) return -1;
    while (at < end && bytes[at] === SPACE) at++;
    return at;
  }

  /** A number with nothing but a blank or the end of the line behind it. */
  #decimal(bytes: Uint8Array, from: number, end: number, most: number): boolean {
    let at = from, value = 0;
    for (; at < end && bytes[at] >= 0x30 && bytes[at] <= 0x39; at++) value = value * 10 + bytes[at] - 0x30;
    this.#ranOut = from >= end;
    if (at === from || at - from > DIGITS_MOST || value > most) return false;
    if (at < end && bytes[at] !== SPACE && bytes[at] !== CTCP && bytes[at] !== CR) return false;
    this.#number = value;
    this.#next = at;
    return true;
  }

  /** A size and a token: two more numbers. */
  #numbersFollow(bytes: Uint8Array, end: number): boolean {
    let at = this.#next;
    for (let n = 0; n < 2; n++) {
      while (at < end && bytes[at] === SPACE) at++;
      const start = at;
      while (at < end && bytes[at] >= 0x30 && bytes[at] <= 0x39) at++;
      if (at === start) return false;
    }
    return true;
  }
}
