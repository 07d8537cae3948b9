/**
 * The sorts of values that options take, each read from TypeScript or iptables text and printed as iptables-save
 * prints it. What one extension alone understands (ICMP types, NAT ranges) stands in that extension's file.
 *
 * @module
 */
import { type Kind, OptionError, type ReadContext } from "./extension.ts";
import { parseNumber, portNumber, protocolName, protocolNumber } from "./names.ts";

/** A value as a message shows it. */
export function show(input: unknown): string {
  if (typeof input === "string") return JSON.stringify(input);
  if (typeof input === "function") return "a function";
  let text: string;
  try {
    text = JSON.stringify(input) ?? String(input);
  } catch {
    text = String(input); // A bigint, or an object that contains itself.
  }
  return text.length > 60 ? text.slice(0, 57) + "…" : text;
}

/** Ends reading: `70000 is not …`. */
export function refuse(input: unknown, expects: string): never {
  throw new OptionError(`${show(input)} is not ${expects}`);
}

/** A whole number given as a number or as text, between bounds; null when it is none. */
export function wholeNumber(input: unknown, min: number, max: number): number | null {
  const n = typeof input === "string" ? parseNumber(input) : input;
  return typeof n === "number" && Number.isInteger(n) && n >= min && n <= max ? n : null;
}

/** Text joined by commas, or an array of such. */
export function listOf(input: unknown, expects: string): string[] {
  if (typeof input === "number") return [String(input)];
  if (typeof input === "string") return input.split(",");
  if (Array.isArray(input) && input.length > 0) {
    // Two commas one behind the other leave a hole, which `map` passes over.
    return Array.from(
      input,
      (item) => typeof item === "string" || typeof item === "number" ? String(item) : refuse(item, expects),
    );
  }
  return refuse(input, expects);
}

/** An option without a value: `true`. */
export const flag: Kind<true> = {
  words: 0,
  expects: "true (leave the option out otherwise)",
  read(input) {
    return input === true || input === "" ? true : refuse(input, this.expects);
  },
  print: () => "",
};

/** Free text; iptables cuts what is longer than its field, Weir refuses it. */
export function text(min: number, max: number): Kind<string> {
  return {
    words: 1,
    expects: min > 0 ? `text of ${min} to ${max} bytes` : `text of at most ${max} bytes`,
    read(input, c) {
      if (typeof input !== "string") refuse(input, this.expects);
      const bytes = new TextEncoder().encode(input), length = bytes.length;
      if (c.cut && length > max) {
        return new TextDecoder().decode(bytes.subarray(0, max)).replace(/\ufffd$/, "");
      }
      if (length < min || length > max) throw new OptionError(`is ${length} bytes long, not ${this.expects}`);
      if (/[\n\0]/.test(input)) {
        throw new OptionError(`${show(input)} has a line end or NUL in it; leave that out`);
      }
      return input;
    },
    print: (value) => quote(value),
  };
}

/** A word with quotes round it when iptables-save would put them (xtables_save_string). */
export function quote(value: string): string {
  if (/^[-_0-9A-Za-z]+$/.test(value)) return value;
  return `"${value.replace(/["\\']/g, "\\$&")}"`;
}

/** A whole number. */
export function uint(min: number, max: number, print: (n: number) => string = String): Kind<number> {
  return {
    words: 1,
    expects: `a whole number from ${min} to ${max}`,
    read(input) {
      return wholeNumber(input, min, max) ?? refuse(input, this.expects);
    },
    print,
  };
}

/** The largest number of 64 bits. */
export const MAX_64 = 2n ** 64n - 1n;

/** A whole number of 64 bits given as a number, a bigint or text; null when it is none. */
export function wideNumber(input: unknown): bigint | null {
  if (typeof input === "number" && Number.isSafeInteger(input) || typeof input === "bigint") {
    const number = BigInt(input);
    return number >= 0n && number <= MAX_64 ? number : null;
  }
  if (typeof input !== "string" || parseNumber(input) === null) return null;
  return wideNumber(BigInt(input.replace("+", "").replace(/^0(?=\d)/, "0o")));
}

/** 32 bits, kept as int32. */
export const word32: Kind<number> = {
  words: 1,
  expects: 'a 32-bit number such as 1 or "0xff00"',
  read(input) {
    return (wholeNumber(input, 0, 0xffffffff) ?? refuse(input, this.expects)) | 0;
  },
  print: (value) => hex(value),
};

/** `0x` and the digits of a 32-bit number. */
export function hex(value: number, digits = 1): string {
  return "0x" + (value >>> 0).toString(16).padStart(digits, "0");
}

/** A value under a mask, both int32. */
export interface Masked {
  readonly value: number;
  readonly mask: number;
}

/** `value` or `value/mask`. */
export const masked: Kind<Masked> = {
  words: 1,
  expects: 'a 32-bit number, or value and mask such as "0x1/0xff"',
  read(input) {
    if (typeof input === "number") return { value: word32.read(input, NOTHING), mask: -1 };
    if (typeof input !== "string") refuse(input, this.expects);
    const parts = input.split("/");
    const value = wholeNumber(parts[0], 0, 0xffffffff);
    const mask = parts.length > 1 ? wholeNumber(parts[1], 0, 0xffffffff) : 0xffffffff;
    if (value === null || mask === null || parts.length > 2) return refuse(input, this.expects);
    return { value: value | 0, mask: mask | 0 };
  },
  print: ({ value, mask }) => mask === -1 ? hex(value) : `${hex(value)}/${hex(mask)}`,
};

const NOTHING: ReadContext = { family: 4, protocol: 0 };

/** From `min` to `max`, both included. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

function printRange({ min, max }: Range): string {
  return min === max ? String(min) : `${min}:${max}`;
}

/** A number, or `"min:max"` with either end left out. iptables takes a range upside down, which nothing is in. */
export function range(limit: number): Kind<Range> {
  return {
    words: 1,
    expects: `a whole number up to ${limit}, or a range such as "10:20"`,
    read(input, c) {
      const parts = typeof input === "string" ? input.split(":") : [input];
      const min = parts[0] === "" ? 0 : wholeNumber(parts[0], 0, limit);
      const max = parts.length < 2 ? min : parts[1] === "" ? limit : wholeNumber(parts[1], 0, limit);
      if (min === null || max === null || parts.length > 2) return refuse(input, this.expects);
      if (min > max && !c.cut) {
        throw new OptionError(`${show(input)} is a range that ends before it begins; swap its ends`);
      }
      return { min, max };
    },
    print: printRange,
  };
}

/** A port or port range. */
export const portRange: Kind<Range> = ports(true);

/** The same for those options of which iptables takes a range upside down. */
export const anyPortRange: Kind<Range> = ports(false);

function ports(upright: boolean): Kind<Range> {
  return {
    words: 1,
    expects: 'a port from 0 to 65535, a range such as "1024:65535", or a service name',
    read(input, c) {
      const parts = typeof input === "string" ? input.split(":") : [String(input)];
      if (typeof input !== "string" && typeof input !== "number") refuse(input, this.expects);
      // iptables looks these ports up as services, where 010 is ten and 0x10 nothing.
      if (!upright && c.cut) {
        if (/0x/i.test(parts.join())) return refuse(input, this.expects);
        parts.forEach((part, i) => parts[i] = part.replace(/^0+(?=\d+$)/, ""));
      }
      const min = parts[0] === "" && parts.length > 1 ? 0 : portNumber(parts[0]);
      const max = parts.length < 2 ? min : parts[1] === "" ? 65535 : portNumber(parts[1]);
      if (min === null || max === null || parts.length > 2) return refuse(input, this.expects);
      if (min > max && (upright || !c.cut)) {
        throw new OptionError(`${show(input)} is a range that ends before it begins; swap its ends`);
      }
      return { min, max };
    },
    print: printRange,
  };
}

/** A protocol by name or number. */
export const protocol: Kind<number> = {
  words: 1,
  expects: 'a protocol such as "tcp", "udp", "icmp" or a number from 0 to 255',
  read(input) {
    if (typeof input !== "string" && typeof input !== "number") refuse(input, this.expects);
    return protocolNumber(String(input)) ?? refuse(input, this.expects);
  },
  print: (value) => protocolName(value),
};

/**
 * Bits by name. As iptables, takes any case and any beginning of a name (`EST` for ESTABLISHED); the first name in
 * the list wins. `exact` asks for the whole name.
 */
export function bits(
  names: readonly (readonly [name: string, bit: number])[],
  exact = false,
  order: readonly (readonly [name: string, bit: number])[] = names,
): Kind<number> {
  const all = names.map((n) => n[0]).join(", ");
  return {
    words: 1,
    expects: `one or several of ${all}`,
    read(input) {
      let mask = 0;
      for (const word of listOf(input, this.expects)) {
        const wanted = word.toUpperCase();
        const found = names.find(([name]) =>
          exact ? name === word : wanted !== "" && name.toUpperCase().startsWith(wanted)
        );
        if (found === undefined) throw new OptionError(`${show(word)} is not one of ${all}`);
        mask |= found[1];
      }
      return mask;
    },
    print: (mask) => order.filter(([, bit]) => (mask & bit) !== 0).map(([name]) => name).join(","),
  };
}
