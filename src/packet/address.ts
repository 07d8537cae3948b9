/**
 * IP addresses as text and as four int32 words, big-endian readings of their bytes; IPv4 in word 0, the rest 0.
 *
 * Parsing is strict. IPv4 is four decimal numbers without leading zeros, since some programs read those as octal and
 * two readings of one address are a hole. IPv6 is RFC 4291, 2.2, written back as RFC 5952 asks. No zones (`%eth0`).
 */
import type { Family } from "../netfilter.ts";

/** Words of an address. */
export const ADDRESS_WORDS = 4;

/** An address read from text. */
export interface Address {
  readonly family: Family;
  readonly words: Int32Array;
}
/** An address and the mask that applies to it: a prefix, or any mask (`1.2.3.4/255.0.255.0`) as iptables allows. */
export interface Masked extends Address {
  readonly mask: Int32Array;
}
/** All addresses from `words` to `to`, both included. */
export interface AddressRange extends Address {
  readonly to: Int32Array;
}

/** Reads decimal digits from `from` to `to` as 0 … `max`, without leading zeros; −1 for anything else. */
function decimal(text: string, from: number, to: number, max: number): number {
  if (from >= to || to - from > 5 || (to - from > 1 && text.charCodeAt(from) === 0x30)) return -1;
  let n = 0;
  for (let i = from; i < to; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    n = n * 10 + digit;
  }
  return n > max ? -1 : n;
}

/** Reads a dotted quad into `words[at]`; false if it is none. */
function readQuad(text: string, words: Int32Array, at: number): boolean {
  let word = 0;
  let from = 0;
  for (let i = 0; i < 4; i++) {
    let to = from;
    while (to < text.length && text[to] !== ".") to++;
    if ((to === text.length) !== (i === 3)) return false;
    const n = decimal(text, from, to, 255);
    if (n < 0) return false;
    word = (word << 8) | n;
    from = to + 1;
  }
  words[at] = word;
  return true;
}

const HEX_GROUP = /^[0-9a-fA-F]{1,4}$/;

/** The 16-bit groups of one side of an IPv6 address, a dotted quad at its end as two; null if it is malformed. */
function groups(text: string, quadAllowed: boolean): number[] | null {
  const result: number[] = [];
  if (text === "") return result;
  const parts = text.split(":");
  for (let i = 0; i < parts.length; i++) {
    if (quadAllowed && i === parts.length - 1 && parts[i].includes(".")) {
      const quad = new Int32Array(1);
      if (!readQuad(parts[i], quad, 0)) return null;
      result.push(quad[0] >>> 16, quad[0] & 0xffff);
    } else {
      if (!HEX_GROUP.test(parts[i])) return null;
      result.push(parseInt(parts[i], 16));
    }
  }
  return result;
}

function readIpv6(text: string): Int32Array | null {
  const gap = text.indexOf("::");
  let all: number[] | null;
  if (gap < 0) all = groups(text, true);
  else {
    const head = groups(text.slice(0, gap), false);
    const tail = groups(text.slice(gap + 2), true);
    // RFC 4291, 2.2: "::" stands for one or more groups. A second one leaves an empty group, refused above.
    if (head === null || tail === null || head.length + tail.length > 7) return null;
    all = [...head, ...new Array(8 - head.length - tail.length).fill(0), ...tail];
  }
  if (all === null || all.length !== 8) return null;
  const words = new Int32Array(ADDRESS_WORDS);
  for (let i = 0; i < 4; i++) words[i] = (all[2 * i] << 16) | all[2 * i + 1];
  return words;
}

/** Reads an IPv4 or IPv6 address; null if it is neither. */
export function parseAddress(text: string): Address | null {
  if (text.includes(":")) {
    const words = readIpv6(text);
    return words === null ? null : { family: 6, words };
  }
  const words = new Int32Array(ADDRESS_WORDS);
  return readQuad(text, words, 0) ? { family: 4, words } : null;
}

/** The address at `words[at]` as text: dotted quad, or the canonical form of RFC 5952. */
export function formatAddress(family: Family, words: Int32Array, at = 0): string {
  return family === 4 ? formatIpv4(words[at]) : formatIpv6(words, at);
}

/** An IPv4 address as text. */
export function formatIpv4(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 0xff}.${(word >>> 8) & 0xff}.${word & 0xff}`;
}

/** The i-th 16-bit group of the address at `at`. */
function group(words: Int32Array, at: number, i: number): number {
  const word = words[at + (i >> 1)];
  return (i & 1) === 0 ? word >>> 16 : word & 0xffff;
}

/**
 * RFC 5952: lower case, no leading zeros, "::" for the longest run of at least two zero groups, the first of equals
 * (4.2). IPv4-mapped addresses end as a dotted quad (5), and so do IPv4-compatible ones, as inet_ntop writes them.
 */
function formatIpv6(words: Int32Array, at: number): string {
  const mapped = words[at] === 0 && words[at + 1] === 0 && words[at + 2] === 0xffff;
  const compatible = words[at] === 0 && words[at + 1] === 0 && words[at + 2] === 0 &&
    words[at + 3] >>> 16 !== 0;
  if (mapped) return `::ffff:${formatIpv4(words[at + 3])}`;
  if (compatible) return `::${formatIpv4(words[at + 3])}`;
  let best = -1;
  let bestLength = 1;
  for (let i = 0; i < 8;) {
    let end = i;
    while (end < 8 && group(words, at, end) === 0) end++;
    if (end - i > bestLength) {
      best = i;
      bestLength = end - i;
    }
    i = end + 1;
  }
  let text = "";
  for (let i = 0; i < 8; i++) {
    if (i === best) {
      text += "::";
      i += bestLength - 1;
      continue;
    }
    if (text !== "" && !text.endsWith("::")) text += ":";
    text += group(words, at, i).toString(16);
  }
  return text;
}

/** IPv6 text without compression, eight groups of four digits, as the kernel's %pI6 and nat_ftp write it. */
export function formatIpv6Full(words: Int32Array, at = 0): string {
  let text = "";
  for (let i = 0; i < 8; i++) {
    text += (i === 0 ? "" : ":") + group(words, at, i).toString(16).padStart(4, "0");
  }
  return text;
}

/** Writes the mask of a prefix length into four words. */
export function setPrefixMask(family: Family, length: number, words: Int32Array, at = 0): void {
  const count = family === 4 ? 1 : 4;
  for (let i = 0; i < ADDRESS_WORDS; i++) {
    const bits = i < count ? Math.min(Math.max(length - 32 * i, 0), 32) : 0;
    words[at + i] = bits === 0 ? 0 : -1 << (32 - bits);
  }
}

/** The mask of a prefix length. */
export function prefixMask(family: Family, length: number): Int32Array {
  const mask = new Int32Array(ADDRESS_WORDS);
  setPrefixMask(family, length, mask);
  return mask;
}

/** The prefix length that the mask stands for, or −1 if its ones are not all in front. */
export function maskLength(family: Family, mask: Int32Array, at = 0): number {
  const count = family === 4 ? 1 : 4;
  let length = 0;
  for (let i = 0; i < count; i++) {
    const ones = Math.clz32(~mask[at + i]);
    if (mask[at + i] !== (ones === 0 ? 0 : -1 << (32 - ones))) return -1;
    if (ones !== 0 && length !== 32 * i) return -1;
    length += ones;
  }
  return length;
}

/**
 * Reads `address`, `address/length` or `address/mask`, as iptables does; without a mask all bits count. Host bits stay
 * as written: `networkOf` clears them.
 */
export function parseMasked(text: string): Masked | null {
  const slash = text.indexOf("/");
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (address === null) return null;
  const width = address.family === 4 ? 32 : 128;
  if (slash < 0) return { ...address, mask: prefixMask(address.family, width) };
  const length = decimal(text, slash + 1, text.length, width);
  if (length >= 0) return { ...address, mask: prefixMask(address.family, length) };
  const mask = parseAddress(text.slice(slash + 1));
  return mask === null || mask.family !== address.family ? null : { ...address, mask: mask.words };
}

/** Reads `address/length`, where the length must be given, as interface addresses and routes need it. */
export function parsePrefix(text: string): (Address & { readonly length: number }) | null {
  const slash = text.indexOf("/");
  if (slash < 0) return null;
  const address = parseAddress(text.slice(0, slash));
  if (address === null) return null;
  const length = decimal(text, slash + 1, text.length, address.family === 4 ? 32 : 128);
  return length < 0 ? null : { ...address, length };
}

/** The address with all bits outside the mask cleared. */
export function networkOf(words: Int32Array, mask: Int32Array): Int32Array {
  return words.map((word, i) => word & mask[i]);
}

/** `address/length`, or `address/mask` when the mask is no prefix, as iptables-save writes it. */
export function formatMasked(family: Family, words: Int32Array, mask: Int32Array): string {
  const length = maskLength(family, mask);
  return `${formatAddress(family, words)}/${length < 0 ? formatAddress(family, mask) : length}`;
}

/** Reads `a-b` or a single address; null if malformed, of two families, or upside down. */
export function parseRange(text: string): AddressRange | null {
  const dash = text.indexOf("-");
  const from = parseAddress(dash < 0 ? text : text.slice(0, dash));
  if (from === null) return null;
  if (dash < 0) return { ...from, to: from.words.slice() };
  const to = parseAddress(text.slice(dash + 1));
  if (to === null || to.family !== from.family || compareAddresses(from.words, 0, to.words, 0) > 0) {
    return null;
  }
  return { ...from, to: to.words };
}

/** `a-b`, or `a` when both ends are the same. */
export function formatRange(family: Family, from: Int32Array, to: Int32Array): string {
  const first = formatAddress(family, from);
  return compareAddresses(from, 0, to, 0) === 0 ? first : `${first}-${formatAddress(family, to)}`;
}

/** Order of two addresses as numbers: negative, 0 or positive. */
export function compareAddresses(a: Int32Array, atA: number, b: Int32Array, atB: number): number {
  for (let i = 0; i < ADDRESS_WORDS; i++) {
    const x = a[atA + i] >>> 0;
    const y = b[atB + i] >>> 0;
    if (x !== y) return x < y ? -1 : 1;
  }
  return 0;
}

/** Reads the address at `at` of a packet into `words[to …]`. */
export function readAddress(view: DataView, family: Family, at: number, words: Int32Array, to = 0): void {
  words[to] = view.getInt32(at);
  if (family === 4) {
    words[to + 1] = words[to + 2] = words[to + 3] = 0;
    return;
  }
  words[to + 1] = view.getInt32(at + 4);
  words[to + 2] = view.getInt32(at + 8);
  words[to + 3] = view.getInt32(at + 12);
}

/** Writes the address at `words[from …]` to `at` of a packet; checksums are the caller's. */
export function writeAddress(view: DataView, family: Family, at: number, words: Int32Array, from = 0): void {
  view.setInt32(at, words[from]);
  if (family === 4) return;
  view.setInt32(at + 4, words[from + 1]);
  view.setInt32(at + 8, words[from + 2]);
  view.setInt32(at + 12, words[from + 3]);
}
