/**
 * The types of sets: what a member of each consists of, and what else a set of the type can have.
 *
 * @module
 */
import type { Family } from "../netfilter.ts";

/**
 * One part of a member, as a packet has it: an address, a network, a protocol with its port, a port of TCP or UDP, an
 * interface, the packet's mark.
 */
export type Dimension = "ip" | "net" | "port" | "bareport" | "iface" | "mark";

/** A type of set. */
export interface SetType {
  readonly name: string;
  /** What a member consists of, in the order in which it is written; none where members are sets. */
  readonly dimensions: readonly Dimension[];
  /** Members stand in a range that the set is created with, and come in its order. */
  readonly bitmap: boolean;
  /** The set is for one family. */
  readonly family: boolean;
  /** Members can be exceptions. */
  readonly nomatch: boolean;
  /** Options of its own that the set can be created with, beside those that all have. */
  readonly options: readonly string[];
}

const HASH = ["family", "hashsize", "maxelem", "bucketsize", "initval", "forceadd"];

function hash(name: string, options: readonly string[] = []): SetType {
  const dimensions = name.slice(name.indexOf(":") + 1).split(",") as Dimension[];
  const nomatch = dimensions.includes("net");
  return { name, dimensions, bitmap: false, family: true, nomatch, options: [...HASH, ...options] };
}

function bitmap(name: string, dimension: Dimension, options: readonly string[]): SetType {
  return { name, dimensions: [dimension], bitmap: true, family: false, nomatch: false, options };
}

/** All types that Weir has. */
export const SET_TYPES: readonly SetType[] = [
  hash("hash:ip", ["netmask", "bitmask"]),
  hash("hash:net"),
  hash("hash:ip,port", ["netmask", "bitmask"]),
  hash("hash:net,port"),
  hash("hash:ip,port,ip"),
  hash("hash:ip,port,net"),
  hash("hash:net,net", ["netmask", "bitmask"]),
  hash("hash:net,port,net"),
  hash("hash:net,iface"),
  hash("hash:ip,mark", ["markmask"]),
  bitmap("bitmap:ip", "ip", ["range", "netmask"]),
  bitmap("bitmap:port", "bareport", ["range"]),
  { name: "list:set", dimensions: [], bitmap: false, family: false, nomatch: false, options: ["size"] },
];

/** What older versions of ipset called some of them. */
export const OLD_NAMES: Readonly<Record<string, string>> = {
  iphash: "hash:ip",
  nethash: "hash:net",
  ipporthash: "hash:ip,port",
  netporthash: "hash:net,port",
  ipportiphash: "hash:ip,port,ip",
  ipportnethash: "hash:ip,port,net",
  netifacehash: "hash:net,iface",
  ipmap: "bitmap:ip",
  portmap: "bitmap:port",
  setlist: "list:set",
};

/** Types that ipset has and Weir has not, and why. */
export const REFUSED_TYPES: Readonly<Record<string, string>> = Object.fromEntries(
  ["hash:mac", "hash:ip,mac", "bitmap:ip,mac", "macipmap"].map((name) => [
    name,
    "is of MAC addresses, and packets of a TUN device have none",
  ]),
);

/** Parts that a rule names by `src` and `dst`: so many must be given. */
export function dimensionsOf(type: SetType): number {
  return Math.max(1, type.dimensions.length);
}

/** Words of an address. */
export function addressWords(family: Family): number {
  return family === 4 ? 1 : 4;
}

/** Words of an interface's name (IFNAMSIZ bytes). */
export const NAME_WORDS = 4;

/** Where the parts of a member stand among the words of its key. */
export interface KeyLayout {
  /** Word of each dimension. */
  readonly at: readonly number[];
  /** Word with the prefix lengths of the networks, 8 bits each, the first lowest; −1 where there are none. */
  readonly cidr: number;
  /** Words altogether. */
  readonly words: number;
  /** Words that are hashed: an interface's name is not, so that all of a network are found together. */
  readonly hashed: number;
}

/** In the word of prefix lengths: the interface is a bridge's port, which no packet of Weir's comes by. */
export const PHYSDEV = 1 << 16;

/** The layout of a type's keys. */
export function keyLayout(type: SetType, family: Family): KeyLayout {
  let words = 0;
  const at: number[] = [];
  const place = (i: number, size: number) => {
    at[i] = words;
    words += size;
  };
  type.dimensions.forEach((dimension, i) => {
    if (dimension === "ip" || dimension === "net") place(i, addressWords(family));
    else if (dimension !== "iface") place(i, 1);
  });
  const nets = type.dimensions.some((dimension) => dimension === "net");
  const cidr = nets ? words++ : -1, hashed = words;
  type.dimensions.forEach((dimension, i) => {
    if (dimension === "iface") place(i, NAME_WORDS);
  });
  return { at, cidr, words, hashed };
}

/** An interface's name as words, zeros behind it. */
export function nameWords(name: string, words: Int32Array, at = 0): void {
  const bytes = new Uint8Array(NAME_WORDS * 4);
  new TextEncoder().encodeInto(name, bytes.subarray(0, NAME_WORDS * 4 - 1));
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < NAME_WORDS; i++) words[at + i] = view.getInt32(4 * i);
}

/** The name that words hold. */
export function nameText(words: Int32Array, at: number): string {
  const view = new DataView(new ArrayBuffer(NAME_WORDS * 4));
  for (let i = 0; i < NAME_WORDS; i++) view.setInt32(4 * i, words[at + i]);
  const bytes = new Uint8Array(view.buffer), end = bytes.indexOf(0);
  return new TextDecoder().decode(bytes.subarray(0, end < 0 ? bytes.length : end));
}
