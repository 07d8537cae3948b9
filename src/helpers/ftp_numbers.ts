/**
 * The numbers that FTP commands carry, read byte by byte from the packet. All functions return where they stopped, on
 * the byte that ended what they read or behind it, and -1 when it is not what they look for. They accept exactly what
 * Linux's own readers accept, oddities included, since what one of them takes and the other does not is a hole.
 */

export const LF = 0x0a, CR = 0x0d, COMMA = 0x2c, DOT = 0x2e;
const COLON = 0x3a;

/** An announced address and port. */
export class FtpAddress {
  /** As in tuples: IPv4 in word 0, the rest zero. */
  readonly words = new Int32Array(4);
  port = 0;
  /** Scratch for the numbers of one command, modulo 2³². */
  readonly numbers = new Int32Array(6);

  /** Takes an address over. */
  set(words: Int32Array, at: number): void {
    for (let i = 0; i < 4; i++) this.words[i] = words[at + i];
  }

  /** True for the same address. */
  equals(words: Int32Array, at: number): boolean {
    const own = this.words;
    return own[0] === words[at] && own[1] === words[at + 1] && own[2] === words[at + 2] &&
      own[3] === words[at + 3];
  }
}

/**
 * Decimal numbers with `separator` between them, up to `terminator` (0 for any byte that is neither). The numbers may
 * be empty or large, only their count matters (try_number). Returns the terminator's place.
 */
export function parseNumbers(
  bytes: Uint8Array,
  from: number,
  end: number,
  numbers: Int32Array,
  count: number,
  separator: number,
  terminator: number,
): number {
  let i = 0;
  numbers.fill(0);
  for (let at = from; at < end && i < count; at++) {
    const byte = bytes[at];
    if (byte >= 0x30 && byte <= 0x39) {
      numbers[i] = Math.imul(numbers[i], 10) + byte - 0x30;
    } else if (byte === separator) {
      i++;
    } else {
      return (terminator === 0 || byte === terminator) && i === count - 1 ? at : -1;
    }
  }
  return -1;
}

/** A port up to `delimiter`, modulo 65536 and not 0 (get_port). Returns the place behind the delimiter. */
export function parsePort(
  bytes: Uint8Array,
  from: number,
  end: number,
  delimiter: number,
  out: FtpAddress,
): number {
  let port = 0;
  for (let at = from; at < end; at++) {
    const byte = bytes[at];
    if (byte === delimiter) {
      if (port === 0) return -1;
      out.port = port;
      return at + 1;
    }
    if (byte < 0x30 || byte > 0x39) return -1;
    port = (port * 10 + byte - 0x30) & 0xffff;
  }
  return -1;
}

const groups = new Uint16Array(8);

/**
 * IPv6 text (RFC 4291, 2.2) up to `delimiter`, a zero byte or the end, whichever comes first (in6_pton). Leading zeros
 * of a group do not count as digits. Returns the place of what ended it.
 */
export function parseIpv6(
  bytes: Uint8Array,
  from: number,
  end: number,
  out: Int32Array,
  delimiter: number,
): number {
  // "::" stands for at least one group of zeros, which belongs to what precedes it.
  let at = from, count = 0, gap = -1;
  if (charAt(bytes, at, end, delimiter) === COLON) {
    if (charAt(bytes, at + 1, end, delimiter) !== COLON) return -1;
    groups[0] = 0;
    gap = count = 1;
    at += 2;
  }
  for (;;) {
    const start = at;
    let value = 0, byte = charAt(bytes, at, end, delimiter);
    if (byte === 0 && gap === count) break; // it ends in "::"
    if (count === 8) return -1;
    for (let digit = hexDigit(byte); digit >= 0; digit = hexDigit(byte)) {
      if (value > 0xfff) return -1;
      value = value << 4 | digit;
      byte = charAt(bytes, ++at, end, delimiter);
    }
    if (at === start) return -1;
    if (byte === DOT) {
      if (count !== 6 && (gap < 0 || count > 6)) return -1;
      at = parseQuad(bytes, start, end, delimiter, count);
      if (at < 0) return -1;
      count += 2;
      break;
    }
    groups[count++] = value;
    if (byte === 0) {
      if (gap < 0 && count < 8) return -1;
      break;
    }
    if (byte !== COLON || count === 8) return -1;
    at++;
    if (gap < 0 && charAt(bytes, at, end, delimiter) === COLON) {
      groups[count++] = 0;
      gap = count;
      at++;
    }
  }
  const head = gap < 0 ? count : gap, tail = count - head;
  groups.copyWithin(8 - tail, head, count);
  groups.fill(0, head, 8 - tail);
  for (let i = 0; i < 4; i++) out[i] = groups[i * 2] << 16 | groups[i * 2 + 1];
  return at;
}

/** A dotted quad into `groups[at]` and the one behind it. It may also end at a colon. Returns where it ends. */
function parseQuad(bytes: Uint8Array, from: number, end: number, delimiter: number, into: number): number {
  let at = from;
  for (let octet = 0; octet < 4; octet++) {
    const start = at;
    let value = 0, byte = charAt(bytes, at, end, delimiter);
    while (byte >= 0x30 && byte <= 0x39) {
      value = value * 10 + byte - 0x30;
      if (value > 255) return -1;
      byte = charAt(bytes, ++at, end, delimiter);
    }
    if (at === start) return -1;
    const group = into + (octet >> 1);
    groups[group] = octet & 1 ? groups[group] | value : value << 8;
    if (octet === 3) return byte === 0 || byte === COLON ? at : -1;
    if (byte !== DOT) return -1;
    at++;
  }
  return -1;
}

/** The byte at a place; 0 for the delimiter and the end. */
function charAt(bytes: Uint8Array, at: number, end: number, delimiter: number): number {
  return at >= end || bytes[at] === delimiter ? 0 : bytes[at];
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
