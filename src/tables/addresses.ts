/**
 * Addresses in rules: one address, a network by prefix length or by mask.
 *
 * @module
 */
import type { Family } from "../netfilter.ts";
import { formatAddress, maskLength, networkOf, parseAddress, prefixMask } from "../packet/address.ts";
import { type Kind, OptionError } from "./extension.ts";
import { refuse, show, wholeNumber } from "./kinds.ts";
import { parseNumber } from "./names.ts";

/** Addresses that agree with `words` where `mask` has bits; four words each, IPv4 in word 0. */
export interface Network {
  readonly words: Int32Array;
  readonly mask: Int32Array;
  /** The address with its host bits, where iptables prints it as it was written. */
  readonly written?: Int32Array;
}

/** The masks of all prefix lengths. */
const PREFIX_MASKS = {
  4: Array.from({ length: 33 }, (_, length) => prefixMask(4, length)),
  6: Array.from({ length: 129 }, (_, length) => prefixMask(6, length)),
};

/** The family that an address-like text speaks of, 0 when it is none. */
export function familyOfText(input: unknown): Family | 0 {
  if (typeof input !== "string") return 0;
  const text = input.replace(/^\s*!\s*/, "");
  if (/\[|:[^\]]*:/.test(text)) return 6;
  return /^\s*\d+\.\d+\.\d+\.\d+/.test(text) ? 4 : 0;
}

/** An IPv4 address as iptables reads it: numbers as in C, and missing bytes at the end are zero (`10` is 10.0.0.0). */
function completed(text: string): string {
  const bytes = text.split(".").map(parseNumber);
  if (bytes.length > 4 || bytes.some((byte) => byte === null || byte > 255)) return text;
  return [...bytes, 0, 0, 0].slice(0, 4).join(".");
}

/** One address of the given family, as words; null when the text is none. */
export function addressWords(text: string, family: Family): Int32Array | null {
  const parsed = parseAddress(text) ?? (family === 4 ? parseAddress(completed(text)) : null);
  return parsed !== null && parsed.family === family ? parsed.words : null;
}

/** A network of the given family. Host bits are cut off, as iptables does for `-s` and `-d`. */
export function readNetwork(input: unknown, family: Family): Network {
  const expects = family === 4
    ? 'an IPv4 address or network such as "192.0.2.0/24"'
    : 'an IPv6 address or network such as "2001:db8::/32"';
  if (typeof input !== "string") return refuse(input, expects);
  const slash = input.indexOf("/");
  const address = addressWords(slash < 0 ? input : input.slice(0, slash), family);
  if (address === null) {
    const other = familyOfText(input);
    if (other !== 0 && other !== family && parseAddress(input.split("/")[0]) !== null) {
      throw new OptionError(
        `${show(input)} is IPv${other}, but the rule is for IPv${family}; move it to tables.ipv${other}`,
      );
    }
    if (/^[a-z][-a-z0-9.]*$/i.test(input)) {
      throw new OptionError(`${show(input)} is a host name; write its address, names are not looked up`);
    }
    return refuse(input, expects);
  }
  const bits = family === 4 ? 32 : 128;
  let length: number | null = bits, mask = PREFIX_MASKS[family][bits];
  if (slash >= 0) {
    const text = input.slice(slash + 1);
    length = wholeNumber(text, 0, bits);
    const full = length === null && /:|\..*\..*\./.test(text) ? addressWords(text, family) : null;
    if (length !== null) mask = PREFIX_MASKS[family][length];
    else if (full !== null) mask = full;
    else {throw new OptionError(
        `${show(input)} has a bad mask after the slash; write a prefix length from 0 to ${bits}`,
      );}
  }
  return { words: length === bits ? address : networkOf(address, mask), mask };
}

/** `/24`, `/255.0.255.0`, or nothing for a single address. */
function printMask(family: Family, mask: Int32Array): string {
  const length = maskLength(family, mask);
  if (length === (family === 4 ? 32 : 128)) return "";
  return "/" + (length < 0 ? formatAddress(family, mask) : length);
}

/** An address or network as an option's value. */
export const network: Kind<Network> = {
  words: 1,
  expects: 'an address or a network such as "192.0.2.0/24" or "2001:db8::/32"',
  read(input, c) {
    // Here iptables has inet_aton complete an address, which puts the zeros elsewhere: 10.1 would be 10.0.0.1.
    if (c.family === 4 && !/^[^/]*\.[^/]*\.[^/]*\./.test(String(input))) refuse(input, this.expects);
    const network = readNetwork(input, c.family);
    return { ...network, written: addressWords(String(input).split("/")[0], c.family)! };
  },
  print: ({ words, mask, written }, c) =>
    formatAddress(c.family, written ?? words) + printMask(c.family, mask),
  family: familyOfText,
};
