/**
 * Members of sets as ipset writes them: `192.0.2.7`, `192.0.2.0/24,tcp:80`, `2001:db8::/32,lan`, `192.0.2.1,0x10`. One
 * text can stand for many members: ranges of addresses and ports, networks where only addresses can be members.
 *
 * @module
 */
import type { Family } from "../netfilter.ts";
import { ADDRESS_WORDS, formatAddress, parseAddress, prefixMask } from "../packet/address.ts";
import type { SetHeader } from "../sets/header.ts";
import type { Elements } from "../sets/elements.ts";
import {
  addressWords,
  type Dimension,
  type KeyLayout,
  keyLayout,
  nameText,
  nameWords,
  PHYSDEV,
} from "../sets/type.ts";
import { OptionError } from "../tables/extension.ts";
import { hex, wholeNumber } from "../tables/kinds.ts";
import { printPort, readBarePorts, readPorts } from "./set_ports.ts";

const PHYSDEV_PREFIX = "physdev:";

/** Takes a key; false to be given no more. */
export type KeySink = (key: Int32Array) => boolean;

/** Reads members of one set into keys. */
export class MemberReader {
  readonly #header: SetHeader;
  readonly #layout: KeyLayout;
  readonly #width: number;
  readonly #bits: number;
  readonly #key: Int32Array;
  #parts: string[] = [];
  #sink: KeySink = () => false;

  constructor(header: SetHeader) {
    this.#header = header;
    this.#layout = keyLayout(header.type, header.family);
    this.#width = addressWords(header.family);
    this.#bits = 32 * this.#width;
    this.#key = new Int32Array(this.#layout.words);
  }

  /** All members that a text stands for, one key after the other in the same words. Throws `OptionError`. */
  read(text: string, sink: KeySink): void {
    const { dimensions, name } = this.#header.type;
    const parts = this.#parts = dimensions.length === 1 ? [text] : text.split(",");
    if (parts.length !== dimensions.length) {
      throw new OptionError(
        `${JSON.stringify(text)} has ${parts.length === 1 ? "1 part" : `${parts.length} parts`}, ` +
          `a member of ${name} has ${dimensions.length}: ${dimensions.map(said).join(",")}`,
      );
    }
    this.#sink = sink;
    if (this.#layout.cidr >= 0) this.#key[this.#layout.cidr] = 0;
    this.#part(0);
  }

  /** Every value of the i-th part, with every value of those behind it. False when enough is enough. */
  #part(i: number): boolean {
    const { dimensions } = this.#header.type;
    if (i === dimensions.length) return this.#finish();
    const text = this.#parts[i], at = this.#layout.at[i], key = this.#key;
    switch (dimensions[i]) {
      case "ip":
        return this.#addresses(i, text.trim(), at);
      case "net":
        return this.#networks(i, text.trim(), at);
      case "port": {
        const { protocol, min, max } = readPorts(text, this.#header.family);
        for (let port = min; port <= max; port++) {
          key[at] = protocol << 16 | port;
          if (!this.#part(i + 1)) return false;
        }
        return true;
      }
      case "bareport": {
        const { min, max } = readBarePorts(text);
        for (let port = min; port <= max; port++) {
          key[at] = port;
          if (!this.#part(i + 1)) return false;
        }
        return true;
      }
      case "mark": {
        const mark = wholeNumber(text, 0, 0xffffffff);
        if (mark === null) throw new OptionError(`${JSON.stringify(text)} is not a mark of 32 bits`);
        key[at] = mark & this.#header.markmask;
        return this.#part(i + 1);
      }
      default: {
        const physical = text.startsWith(PHYSDEV_PREFIX);
        const name = physical ? text.slice(PHYSDEV_PREFIX.length) : text;
        if (name === "" || new TextEncoder().encode(name).length > 15) {
          throw new OptionError(`${JSON.stringify(name)} is not an interface's name of 1 to 15 characters`);
        }
        nameWords(name, key, at);
        if (physical) key[this.#layout.cidr] |= PHYSDEV;
        return this.#part(i + 1);
      }
    }
  }

  #finish(): boolean {
    const { type, range } = this.#header, key = this.#key;
    if (type.name === "hash:ip" && key.every((word) => word === 0)) {
      throw new OptionError("the address of all zeros cannot be a member");
    }
    if (range !== null && (key[0] >>> 0 < range.min || key[0] >>> 0 > range.max)) {
      throw new OptionError(
        `${JSON.stringify(this.#parts[0])} is out of the set's range ${printRange(this.#header)}`,
      );
    }
    return this.#sink(key);
  }

  // ── addresses ─────────────────────────────────────────────────────────────────────────────────────────────────

  #addresses(i: number, text: string, at: number): boolean {
    const { mask, type } = this.#header, key = this.#key, plain = this.#plain(text);
    if (plain !== null) {
      for (let w = 0; w < this.#width; w++) key[at + w] = plain[w] & (mask === null ? -1 : mask.words[w]);
      return this.#part(i + 1);
    }
    const second = type.dimensions.indexOf("ip") !== i;
    if (second || this.#width > 1) {
      throw new OptionError(
        this.#notAddress(text, second ? "" : `; networks of IPv6 go into ${type.name.replace("ip", "net")}`),
      );
    }
    const { from, to } = this.#range(text);
    // As many steps as there are networks of the set's mask.
    const step = mask?.length === null || mask === null ? 1 : 2 ** (32 - mask.length);
    for (let address = from - from % step; address <= to; address += step) {
      key[at] = address & (mask === null ? -1 : mask.words[0]);
      if (!this.#part(i + 1)) return false;
    }
    return true;
  }

  #networks(i: number, text: string, at: number): boolean {
    const nth = this.#header.type.dimensions.slice(0, i).filter((dimension) => dimension === "net").length;
    const slash = text.indexOf("/");
    if (slash < 0 && text.includes("-") && this.#width === 1) {
      let { from, to } = this.#range(text);
      while (from <= to) {
        // The largest network that begins here and does not go too far.
        let size = from === 0 ? 2 ** 31 : from & -from;
        size = size < 0 ? 2 ** 31 : size;
        while (from + size - 1 > to) size /= 2;
        if (!this.#network(i, nth, at, Int32Array.of(from), 32 - Math.log2(size))) return false;
        from += size;
      }
      return true;
    }
    const words = this.#plain(slash < 0 ? text : text.slice(0, slash));
    if (words === null) throw new OptionError(this.#notAddress(text, ""));
    const length = slash < 0 ? this.#bits : wholeNumber(text.slice(slash + 1), 0, this.#bits);
    const { name } = this.#header.type;
    const zero = name === "hash:net,iface" || name === "hash:net,net" || name === "hash:net,port,net";
    if (length === null) throw new OptionError(this.#notAddress(text, ""));
    if (length === 0 && !zero) {
      throw new OptionError(
        `${name} has no prefix length 0; write ${
          this.#width === 1 ? "0.0.0.0/1 and 128.0.0.0/1" : "::/1 and 8000::/1"
        }`,
      );
    }
    return this.#network(i, nth, at, words, length);
  }

  #network(i: number, nth: number, at: number, words: Int32Array, length: number): boolean {
    const key = this.#key, { mask } = this.#header, own = MASKS[this.#header.family];
    for (let w = 0; w < this.#width; w++) {
      key[at + w] = words[w] & own[length * ADDRESS_WORDS + w] & (mask === null ? -1 : mask.words[w]);
    }
    if (this.#layout.cidr >= 0) {
      key[this.#layout.cidr] = key[this.#layout.cidr] & ~(0xff << 8 * nth) | length << 8 * nth;
    }
    return this.#part(i + 1);
  }

  /** The words of an address of the set's family, null when it is something else. */
  #plain(text: string): Int32Array | null {
    const bare = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text;
    const address = parseAddress(bare);
    if (address === null) return null;
    const { family } = this.#header;
    if (address.family !== family) {
      throw new OptionError(
        `${bare} is an address of IPv${address.family}, and the set is of IPv${family}; ` +
          `make another with family inet${family === 4 ? "6" : ""}`,
      );
    }
    return address.words;
  }

  /** First and last address of `a/len` or `a-b`, IPv4 alone. */
  #range(text: string): { from: number; to: number } {
    const dash = text.indexOf("-"), slash = text.indexOf("/");
    if (dash >= 0) {
      const a = this.#plain(text.slice(0, dash)), b = this.#plain(text.slice(dash + 1));
      if (a !== null && b !== null) {
        const from = a[0] >>> 0, to = b[0] >>> 0;
        return { from: Math.min(from, to), to: Math.max(from, to) };
      }
    } else if (slash >= 0) {
      const a = this.#plain(text.slice(0, slash)), length = wholeNumber(text.slice(slash + 1), 1, 32);
      if (a !== null && length !== null) {
        const from = (a[0] & prefixMask(4, length)[0]) >>> 0;
        return { from, to: from + 2 ** (32 - length) - 1 };
      }
    }
    throw new OptionError(this.#notAddress(text, ""));
  }

  #notAddress(text: string, hint: string): string {
    const example = this.#width === 1 ? '"192.0.2.7"' : '"2001:db8::7"';
    const network = this.#width === 1 ? '"192.0.2.0/24"' : '"2001:db8::/32"';
    return `${JSON.stringify(text)} is not an address or a network such as ${example} or ${network}${hint}`;
  }
}

/** Masks by prefix length. */
const MASKS = { 4: masksOf(4), 6: masksOf(6) };

function masksOf(family: Family): Int32Array {
  const bits = family === 4 ? 32 : 128, masks = new Int32Array((bits + 1) * ADDRESS_WORDS);
  for (let length = 0; length <= bits; length++) {
    masks.set(prefixMask(family, length), length * ADDRESS_WORDS);
  }
  return masks;
}

function said(dimension: Dimension): string {
  const names = {
    ip: "address",
    net: "network",
    port: "protocol:port",
    bareport: "port",
    iface: "interface",
    mark: "mark",
  };
  return names[dimension];
}

/** A member as `ipset save` prints it. */
export function printMember(header: SetHeader, elements: Elements, e: number): string {
  const { type, family } = header, layout = keyLayout(type, family), width = addressWords(family);
  const cidrs = layout.cidr < 0 ? 0 : elements.key(e, layout.cidr), full = 32 * width;
  const words = new Int32Array(ADDRESS_WORDS);
  let nth = 0;
  return type.dimensions.map((dimension, i) => {
    const at = layout.at[i], word = elements.key(e, at);
    switch (dimension) {
      case "ip":
      case "net": {
        for (let w = 0; w < width; w++) words[w] = elements.key(e, at + w);
        const address = formatAddress(family, words);
        if (dimension === "ip") return address;
        const length = cidrs >>> 8 * nth++ & 0xff;
        return length === full ? address : `${address}/${length}`;
      }
      case "port":
        return printPort(word >>> 16, word & 0xffff, family);
      case "bareport":
        return String(word);
      case "mark":
        return hex(word, 8);
      default: {
        const name = Int32Array.from({ length: 4 }, (_, w) => elements.key(e, at + w));
        return `${(cidrs & PHYSDEV) !== 0 ? PHYSDEV_PREFIX : ""}${nameText(name, 0)}`;
      }
    }
  }).join(",");
}

/** `from-to` as a bitmap's header has it. */
export function printRange({ type, range }: SetHeader): string {
  const { min, max } = range!;
  if (type.dimensions[0] === "bareport") return `${min}-${max}`;
  return `${formatAddress(4, Int32Array.of(min))}-${formatAddress(4, Int32Array.of(max))}`;
}
