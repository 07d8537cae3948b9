/** What a set is created with, from words of ipset or keys of an object; and the line that `ipset save` prints. */
import type { Family } from "../netfilter.ts";
import { formatAddress, parseAddress, prefixMask } from "../packet/address.ts";
import {
  BITMAP_MOST,
  LIST_SIZE_DEFAULT,
  LIST_SIZE_LEAST,
  MAXELEM_DEFAULT,
  NAME_MAX,
  type SetHeader,
  TIMEOUT_MAX,
} from "../sets/header.ts";
import { OLD_NAMES, REFUSED_TYPES, SET_TYPES, type SetType } from "../sets/type.ts";
import { OptionError, UnsupportedError } from "../tables/extension.ts";
import { hex, show, wholeNumber } from "../tables/kinds.ts";
import { suggest } from "./problems.ts";
import { printRange } from "./set_member.ts";
import { readBarePorts } from "./set_ports.ts";

const FAMILIES: Readonly<Record<string, Family>> = { inet: 4, ipv4: 4, inet6: 6, ipv6: 6 };

/** Options without a value. */
export const SET_FLAGS: readonly string[] = ["counters", "comment", "skbinfo", "forceadd"];
/** Options that every type has. */
const COMMON = ["timeout", "counters", "comment", "skbinfo"];
/** Options of old versions of ipset, which mean nothing any more, and their values nothing either. */
export const IDLE_OPTIONS: readonly string[] = ["probes", "resize", "gc"];

/** An option that is wrong: its name, and why. */
export class HeaderError extends OptionError {
  constructor(readonly option: string, message: string) {
    super(message);
  }
}

/** What is wrong with a set's name, or null. */
export function setNameProblem(name: string): string | null {
  if (name !== "" && new TextEncoder().encode(name).length <= NAME_MAX && !/[\s"\\]/.test(name)) return null;
  return `is not a set's name: 1 to ${NAME_MAX} characters, no blanks and no quotes`;
}

/** The type of a name; throws `OptionError`. */
export function readType(name: unknown): SetType {
  const text = String(name), found = SET_TYPES.find((type) => type.name === (OLD_NAMES[text] ?? text));
  if (found !== undefined) return found;
  if (Object.hasOwn(REFUSED_TYPES, text)) throw new UnsupportedError(`${text} ${REFUSED_TYPES[text]}`);
  throw new OptionError(
    `${show(name)} is not a type of set; ${suggest(text, SET_TYPES.map((type) => type.name))}`,
  );
}

/** Options that a set of a type can be created with. */
export function optionsOf(type: SetType): string[] {
  return [...type.options, ...COMMON];
}

/** Reads a header. Without `maxelem` a set can have `most` members. Throws `HeaderError`. */
export function readHeader(
  name: string,
  type: SetType,
  options: ReadonlyMap<string, string>,
  most = MAXELEM_DEFAULT,
): SetHeader {
  const known = optionsOf(type);
  for (const option of options.keys()) {
    if (!known.includes(option)) {
      throw new HeaderError(option, `is not an option of ${type.name}; ${suggest(option, known)}`);
    }
  }
  const number = (option: string, otherwise: number, max: number, min = 0) => {
    const text = options.get(option);
    if (text === undefined) return otherwise;
    const value = wholeNumber(text, min, max);
    if (value === null) {
      throw new HeaderError(option, `${JSON.stringify(text)} is not a whole number from ${min} to ${max}`);
    }
    return value;
  };
  const familyText = options.get("family") ?? "inet", family = FAMILIES[familyText];
  if (family === undefined) {
    throw new HeaderError("family", `${JSON.stringify(familyText)} is not inet or inet6`);
  }
  const bucketsize = Math.min(Math.max(number("bucketsize", 12, 255), 2), 12);
  const mask = readMask(options, family), range = readRange(type, options, mask);
  return {
    name,
    type,
    family,
    timeout: options.has("timeout") ? number("timeout", 0, TIMEOUT_MAX) : null,
    counters: options.has("counters"),
    comment: options.has("comment"),
    skbinfo: options.has("skbinfo"),
    maxelem: range !== null
      ? membersOf(range, mask)
      : type.dimensions.length === 0
      ? most
      : number("maxelem", most, 0xffffffff),
    hashsize: 2 ** Math.max(6, Math.ceil(Math.log2(Math.max(1, number("hashsize", 1024, 2 ** 31))))),
    bucketsize: bucketsize + bucketsize % 2,
    initval: options.has("initval") ? hex(number("initval", 0, 0xffffffff), 8) : null,
    size: Math.max(LIST_SIZE_LEAST, number("size", LIST_SIZE_DEFAULT, 0xffffffff)),
    forceadd: options.has("forceadd"),
    mask,
    markmask: number("markmask", 0xffffffff, 0xffffffff, 1) | 0,
    range,
  };
}

function readMask(options: ReadonlyMap<string, string>, family: Family): SetHeader["mask"] {
  const netmask = options.get("netmask"), bitmask = options.get("bitmask");
  if (netmask !== undefined && bitmask !== undefined) {
    throw new HeaderError("bitmask", "cannot stand beside netmask; keep one of them");
  }
  if (bitmask !== undefined) {
    const mask = parseAddress(bitmask);
    if (mask === null || mask.family !== family || mask.words.every((word) => word === 0)) {
      throw new HeaderError("bitmask", `${JSON.stringify(bitmask)} is not a mask such as "255.255.0.0"`);
    }
    return { words: mask.words, length: null };
  }
  if (netmask === undefined) return null;
  const bits = family === 4 ? 32 : 128, length = wholeNumber(netmask, 1, bits);
  if (length === null) {
    throw new HeaderError("netmask", `${JSON.stringify(netmask)} is not a prefix length from 1 to ${bits}`);
  }
  return length === bits ? null : { words: prefixMask(family, length), length };
}

function readRange(
  type: SetType,
  options: ReadonlyMap<string, string>,
  mask: SetHeader["mask"],
): SetHeader["range"] {
  if (!type.bitmap) return null;
  const text = options.get("range");
  const example = type.name === "bitmap:port" ? "0-1024" : "192.0.2.0/24 or 192.0.2.1-192.0.2.99";
  if (text === undefined) {
    throw new HeaderError("range", `is missing; a ${type.name} needs one such as ${example}`);
  }
  let range: { min: number; max: number } | null = null;
  if (type.name === "bitmap:port") {
    try {
      range = readBarePorts(text);
    } catch {
      range = null;
    }
  } else {
    const slash = text.indexOf("/"), dash = text.indexOf("-");
    const a = parseAddress(text.slice(0, Math.max(slash, dash, 0)));
    if (a?.family === 4 && slash >= 0) {
      const length = wholeNumber(text.slice(slash + 1), 1, 32);
      if (length !== null) {
        const min = (a.words[0] & prefixMask(4, length)[0]) >>> 0;
        range = { min, max: min + 2 ** (32 - length) - 1 };
      }
    } else if (a?.family === 4 && dash >= 0) {
      const b = parseAddress(text.slice(dash + 1));
      if (b?.family === 4) {
        const [min, max] = [a.words[0] >>> 0, b.words[0] >>> 0].sort((x, y) => x - y);
        range = { min, max };
      }
    }
  }
  if (range === null) {
    throw new HeaderError("range", `${JSON.stringify(text)} is not a range such as ${example}`);
  }
  if (membersOf(range, mask) > BITMAP_MOST) {
    throw new HeaderError(
      "range",
      `${JSON.stringify(text)} is of more than ${BITMAP_MOST} members; make it smaller, or use hash:ip`,
    );
  }
  return range;
}

/** Members that a bitmap can have. */
function membersOf({ min, max }: { min: number; max: number }, mask: SetHeader["mask"]): number {
  return Math.ceil((max - min + 1) / (mask === null || mask.length === null ? 1 : 2 ** (32 - mask.length)));
}

/** The line that creates the set, as `ipset save` prints it. */
export function printHeader(h: SetHeader): string {
  const words = ["create", h.name, h.type.name];
  const option = (name: string, value: string | number | null) => {
    if (value !== null) words.push(name, String(value));
  };
  const { mask, type } = h, netmask = mask?.length ?? null;
  const bitmask = mask !== null && mask.length === null ? formatAddress(h.family, mask.words) : null;
  const late = type.name === "hash:ip,port" || type.name === "hash:net,net";
  const hash = !type.bitmap && type.dimensions.length > 0;
  if (hash) {
    option("family", h.family === 4 ? "inet" : "inet6");
    if (type.name === "hash:ip,mark" && h.markmask !== -1) option("markmask", hex(h.markmask, 8));
    option("hashsize", h.hashsize);
    option("maxelem", h.maxelem);
  } else option(type.bitmap ? "range" : "size", type.bitmap ? printRange(h) : h.size);
  if (!late) {
    option("netmask", netmask);
    option("bitmask", bitmask);
  }
  option("timeout", h.timeout);
  for (const name of ["counters", "comment", "skbinfo"] as const) if (h[name]) words.push(name);
  if (hash) {
    option("bucketsize", h.bucketsize);
    option("initval", h.initval);
  }
  if (late) {
    option("netmask", netmask);
    option("bitmask", bitmask);
  }
  return words.join(" ");
}
