/** Bytes anywhere in the packet (iptables -m string; xt_string). */
import type { Packet } from "../packet/packet.ts";
import { defineMatch, type Kind, type Match, type MatchExtension, OptionError } from "../tables/extension.ts";
import { flag, refuse, uint } from "../tables/kinds.ts";

interface StringOptions {
  string: Uint8Array;
  hexString: Uint8Array;
  algo: "bm" | "kmp";
  stringFrom: number;
  stringTo: number;
  icase: true;
}

/** XT_STRING_MAX_PATTERN_SIZE. */
const LONGEST = 128;

function checked(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 1 || bytes.length > LONGEST) {
    throw new OptionError(`is ${bytes.length} bytes long, not 1 to ${LONGEST}`);
  }
  return bytes;
}

const plain: Kind<Uint8Array> = {
  words: 1,
  expects: `text of 1 to ${LONGEST} bytes`,
  read(input) {
    return typeof input === "string" ? checked(new TextEncoder().encode(input)) : refuse(input, this.expects);
  },
  print(bytes) {
    return `"${String.fromCharCode(...bytes).replace(/["\\]/g, "\\$&")}"`;
  },
};

const hexadecimal: Kind<Uint8Array> = {
  words: 1,
  expects: 'text with bytes between bars, such as "GET|20 2f|"',
  read(input) {
    if (typeof input !== "string") return refuse(input, this.expects);
    const bytes: number[] = [];
    input.replace(/\\\|/g, "\\x7c").split("|").forEach((part, i, parts) => {
      if (i % 2 === 0) {
        bytes.push(...new TextEncoder().encode(part.replace(/\\x7c/g, "|")));
        return;
      }
      const digits = part.replace(/\s+/g, "");
      if (i === parts.length - 1 || !/^([0-9a-f]{2})*$/i.test(digits)) refuse(input, this.expects);
      for (let at = 0; at < digits.length; at += 2) bytes.push(parseInt(digits.slice(at, at + 2), 16));
    });
    return checked(Uint8Array.from(bytes));
  },
  print: (bytes) => `"|${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}|"`,
};

const algorithm: Kind<"bm" | "kmp"> = {
  words: 1,
  expects: '"bm" or "kmp"',
  read(input) {
    return input === "bm" || input === "kmp" ? input : refuse(input, this.expects);
  },
  print: (value) => value,
};

function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
}

class StringMatch implements Match {
  readonly #pattern: Uint8Array;
  readonly #from: number;
  readonly #to: number;
  readonly #icase: boolean;
  readonly #invert: boolean;

  constructor(pattern: Uint8Array, from: number, to: number, icase: boolean, invert: boolean) {
    this.#pattern = icase ? pattern.map(lower) : pattern;
    this.#from = from;
    this.#to = to;
    this.#icase = icase;
    this.#invert = invert;
  }

  match(p: Packet): boolean {
    return (this.#icase ? this.#findAnyCase(p) : this.#find(p)) !== this.#invert;
  }

  #find(p: Packet): boolean {
    const { bytes } = p, pattern = this.#pattern, { length } = pattern;
    const last = Math.min(p.length, this.#to) - length;
    for (let at = this.#from; at <= last; at++) {
      at = bytes.indexOf(pattern[0], at);
      if (at < 0 || at > last) return false;
      let i = 1;
      while (i < length && bytes[at + i] === pattern[i]) i++;
      if (i === length) return true;
    }
    return false;
  }

  #findAnyCase(p: Packet): boolean {
    const { bytes } = p, pattern = this.#pattern, { length } = pattern;
    const last = Math.min(p.length, this.#to) - length;
    for (let at = this.#from; at <= last; at++) {
      let i = 0;
      while (i < length && lower(bytes[at + i]) === pattern[i]) i++;
      if (i === length) return true;
    }
    return false;
  }
}

/** Text or bytes, between two offsets from the IP header's first byte. The algorithm makes no difference here. */
export const string: MatchExtension = defineMatch<StringOptions>({
  name: "string",
  options: {
    string: { flag: "string", kind: plain, negatable: true },
    hexString: { flag: "hex-string", kind: hexadecimal, negatable: true },
    algo: { flag: "algo", kind: algorithm },
    stringFrom: { flag: "from", kind: uint(0, 0xffff) },
    stringTo: { flag: "to", kind: uint(0, 0xffff) },
    icase: { flag: "icase", kind: flag },
  },
  exclusive: ["string", "hexString"],
  required: ["string", "hexString"],
  finish(o, c) {
    if (o.algo === undefined && c.cut) throw new OptionError("string needs --algo bm or --algo kmp");
    const from = o.stringFrom?.value ?? 0, to = o.stringTo?.value ?? 0xffff;
    if (from > to) throw new OptionError(`begins to look at ${from}, behind its end at ${to}`);
    // The kernel knows bytes only; iptables prints them as text where it can.
    const { string: text, hexString, algo, stringFrom: _, stringTo: __, ...rest } = o;
    const pattern = (text ?? hexString)!;
    const printable = pattern.value.every((byte) => byte >= 0x20 && byte < 0x7f) &&
      pattern.value.at(-1) !== 0x5c;
    return {
      ...(printable ? { string: pattern } : { hexString: pattern }),
      algo: algo ?? { value: "bm", invert: false },
      ...(from === 0 ? {} : { stringFrom: o.stringFrom }),
      ...(to === 0xffff ? {} : { stringTo: o.stringTo }),
      ...rest,
    };
  },
  create(o) {
    const { value, invert } = (o.string ?? o.hexString)!;
    return new StringMatch(
      value,
      o.stringFrom?.value ?? 0,
      o.stringTo?.value ?? 0xffff,
      o.icase !== undefined,
      invert,
    );
  },
});
