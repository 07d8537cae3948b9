/** At most so many packets or bytes in a time for each address or port (iptables -m hashlimit; xt_hashlimit). */
import { AH, ESP, SCTP, TCP, UDP, UDPLITE } from "../netfilter.ts";
import { prefixMask, readAddress } from "../packet/address.ts";
import { IPV4_DESTINATION, IPV4_SOURCE } from "../packet/ipv4.ts";
import { IPV6_DESTINATION, IPV6_SOURCE } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import {
  bytePeriod,
  byteRate,
  BYTES_MAX,
  FASTEST,
  printByteRate,
  printBytes,
  RATE_MAX,
  readBytes,
  SLOWEST,
} from "../tables/byte_rate.ts";
import {
  defineMatch,
  type Kind,
  type Match,
  type MatchExtension,
  OptionError,
  type Options,
  type OptionValue,
  printOptions,
} from "../tables/extension.ts";
import type { HashlimitConfig, HashlimitTable } from "../tables/hashlimit_table.ts";
import { bits, refuse, uint, wholeNumber } from "../tables/kinds.ts";
import { rateKind, rateSeconds, writtenSeconds } from "./limit.ts";

interface HashlimitOptions {
  hashlimitUpto: Rate;
  hashlimitAbove: Rate;
  hashlimitBurst: Burst;
  hashlimitMode: number;
  hashlimitName: string;
  hashlimitHtableSize: number;
  hashlimitHtableMax: number;
  hashlimitHtableGcinterval: number;
  hashlimitHtableExpire: number;
  hashlimitSrcmask: number;
  hashlimitDstmask: number;
}

/** Periods are counted in microseconds (XT_HASHLIMIT_SCALE_v2). */
const SCALE = 1_000_000;
const DEFAULT_BURST = 5, DEFAULT_GC = 1000;
/** Linux's for a machine with more than a GiB; so many buckets for each head. */
const DEFAULT_SIZE = 8192, MAX_PER_SIZE = 8;
const DCCP = 33;

const SOURCE = 2, SOURCE_PORT = 8, DESTINATION = 1, DESTINATION_PORT = 4;

const modes = bits(
  [["srcip", SOURCE], ["srcport", SOURCE_PORT], ["dstip", DESTINATION], ["dstport", DESTINATION_PORT]],
  true,
);

const packets = rateKind(SCALE);

/**
 * The period, and how long Linux remembers a bucket if the rule says nothing else: of packets, the unit that the rate was
 * written in. Of bytes the period is what a chunk of 16 takes, in parts of 2³² (bytes_to_cost).
 */
interface Rate {
  readonly period: number;
  readonly seconds: number;
  readonly bytes: boolean;
}

/** Seconds after which a bucket of bytes is forgotten; with a burst. */
const BYTES_EXPIRE = 15, BURST_EXPIRE = 60;

const rate: Kind<Rate> = {
  words: 1,
  expects: `${packets.expects}, or of bytes "512kb/s"`,
  read(input, c) {
    const text = String(input), bytes = /^\s*\d+[a-z]*b\b|b\/s/i.test(text);
    if (!bytes) return { period: packets.read(input, c), seconds: writtenSeconds(text), bytes: false };
    // iptables takes 1gb for one byte, 1KB for one packet, and 1kb a minute for one packet a minute.
    const found = readBytes(/^(.*)\/s(?:ec(?:ond)?)?$/.exec(text)?.[1] ?? "", RATE_MAX);
    if (found === null) return refuse(input, 'a number of bytes a second such as "512kb/s" or "10mb/s"');
    const period = bytePeriod(found);
    if (period === FASTEST) throw new OptionError("is too fast: 32767mb/s is the most that can be limited");
    if (period === SLOWEST) throw new OptionError("is too slow: 16b/s is the least that can be limited");
    return { period, seconds: BYTES_EXPIRE, bytes: true };
  },
  print: ({ period, bytes }, c) => bytes ? `${printByteRate(period)}/s` : packets.print(period, c),
};

/** A burst is a number of packets, or bytes. */
interface Burst {
  readonly value: number;
  readonly bytes: boolean;
}

const burst: Kind<Burst> = {
  words: 1,
  expects: 'a number of packets, or bytes such as "1mb"',
  read(input) {
    const bytes = typeof input === "string" ? readBytes(input, BYTES_MAX) : null;
    if (bytes !== null) return { value: bytes, bytes: true };
    return { value: wholeNumber(input, 1, BYTES_MAX) ?? refuse(input, this.expects), bytes: false };
  },
  print: ({ value, bytes }) => bytes ? printBytes(value) : String(value),
};

const name: Kind<string> = {
  words: 1,
  expects: "a name of 1 to 254 letters without a slash",
  read(input) {
    const right = typeof input === "string" && /^[\x21-\x2e\x30-\x7e]{1,254}$/.test(input) &&
      !/^\.\.?$/.test(input);
    return right ? input : refuse(input, this.expects);
  },
  print: (value) => value,
};

const prefix: Kind<number> = uint(0, 128);

/** Milliseconds after which a bucket is forgotten when such a rule is read as iptables-save prints it. */
export function hashlimitExpire({ period, bytes }: Rate, burst: boolean): number {
  return (bytes ? burst ? BURST_EXPIRE : BYTES_EXPIRE : rateSeconds(period, SCALE)) * 1000;
}

class HashlimitMatch implements Match {
  readonly #table: HashlimitTable;
  readonly #above: boolean;
  readonly #mode: number;
  readonly #sourceMask: Int32Array;
  readonly #destinationMask: Int32Array;

  constructor(table: HashlimitTable, family: 4 | 6, above: boolean) {
    const { mode, sourceLength, destinationLength } = table.config;
    this.#table = table;
    this.#above = above;
    this.#mode = mode;
    this.#sourceMask = prefixMask(family, sourceLength);
    this.#destinationMask = prefixMask(family, destinationLength);
  }

  match(p: Packet): boolean {
    const { key } = this.#table, mode = this.#mode, v4 = p.family === 4;
    key.fill(0);
    if ((mode & SOURCE) !== 0) {
      readAddress(p.view, p.family, v4 ? IPV4_SOURCE : IPV6_SOURCE, key, 0);
      for (let i = 0; i < 4; i++) key[i] &= this.#sourceMask[i];
    }
    if ((mode & DESTINATION) !== 0) {
      readAddress(p.view, p.family, v4 ? IPV4_DESTINATION : IPV6_DESTINATION, key, 4);
      for (let i = 0; i < 4; i++) key[4 + i] &= this.#destinationMask[i];
    }
    if ((mode & (SOURCE_PORT | DESTINATION_PORT)) !== 0) {
      const offset = portsOffset(p.protocol);
      if (offset >= 0) {
        if (p.l4 + offset + 4 > p.length) return unfit(p);
        const ports = p.view.getInt32(p.l4 + offset);
        if ((mode & SOURCE_PORT) !== 0) key[8] |= ports & 0xffff0000;
        if ((mode & DESTINATION_PORT) !== 0) key[8] |= ports & 0xffff;
      }
    }
    const taken = this.#table.take(p.length);
    return taken < 0 ? unfit(p) : (taken === 1) !== this.#above;
  }
}

/** Where what stands for ports is in the transport header (proto_ports_offset). */
function portsOffset(protocol: number): number {
  switch (protocol) {
    case TCP:
    case UDP:
    case UDPLITE:
    case SCTP:
    case DCCP:
    case ESP:
      return 0;
    case AH:
      return 4;
    default:
      return -1;
  }
}

function unfit(p: Packet): false {
  p.hotdrop = true;
  return false;
}

/** At most so many, or more than so many, for each value of what `hashlimitMode` names; without it for all together. */
export const hashlimit: MatchExtension = defineMatch<HashlimitOptions>({
  name: "hashlimit",
  options: {
    hashlimitUpto: { flag: "hashlimit-upto", aliases: ["hashlimit"], kind: rate, negatable: true },
    hashlimitAbove: { flag: "hashlimit-above", kind: rate, negatable: true },
    hashlimitBurst: { flag: "hashlimit-burst", kind: burst },
    hashlimitMode: { flag: "hashlimit-mode", kind: modes },
    hashlimitName: { flag: "hashlimit-name", kind: name },
    hashlimitHtableSize: { flag: "hashlimit-htable-size", kind: uint(1, 1 << 20) },
    hashlimitHtableMax: { flag: "hashlimit-htable-max", kind: uint(1, 1 << 20) },
    hashlimitHtableGcinterval: { flag: "hashlimit-htable-gcinterval", kind: uint(1, 0xffffffff) },
    hashlimitHtableExpire: { flag: "hashlimit-htable-expire", kind: uint(1, 0x7fffffff) },
    hashlimitSrcmask: { flag: "hashlimit-srcmask", kind: prefix },
    hashlimitDstmask: { flag: "hashlimit-dstmask", kind: prefix },
  },
  exclusive: ["hashlimitUpto", "hashlimitAbove"],
  required: ["hashlimitUpto", "hashlimitAbove"],
  finish(o, c) {
    if (o.hashlimitName === undefined) {
      throw new OptionError("hashlimit needs hashlimitName (--hashlimit-name)");
    }
    const given = (o.hashlimitUpto ?? o.hashlimitAbove)!, longest = c.family === 4 ? 32 : 128;
    for (const mask of [o.hashlimitSrcmask, o.hashlimitDstmask]) {
      if (mask !== undefined && mask.value > longest) {
        throw new OptionError(`a prefix length of ${mask.value} is more than IPv${c.family} has`);
      }
    }
    const above = (o.hashlimitAbove !== undefined) !== given.invert,
      plain = { value: given.value, invert: false };
    const set = <T>(value: T): OptionValue<T> => ({ value, invert: false });
    const { hashlimitUpto: _, hashlimitAbove: __, ...rest } = o, { bytes } = given.value;
    const most = bytes
      ? bytesAtOnce(given.value, o.hashlimitBurst?.value)
      : packetsAtOnce(o.hashlimitBurst?.value);
    return {
      ...(above ? { hashlimitAbove: plain } : { hashlimitUpto: plain }),
      ...rest,
      ...(most === null ? {} : { hashlimitBurst: set(most) }),
      hashlimitHtableExpire: o.hashlimitHtableExpire ??
        set((bytes && most !== null ? BURST_EXPIRE : given.value.seconds) * 1000),
    };
  },
  save(o, c) {
    const shown: Record<string, OptionValue<unknown> | undefined> = { ...o };
    const given = (o.hashlimitUpto ?? o.hashlimitAbove)!.value, whole = c.family === 4 ? 32 : 128;
    const expire = hashlimitExpire(given, o.hashlimitBurst !== undefined);
    if (o.hashlimitMode?.value === 0) delete shown.hashlimitMode;
    if (o.hashlimitHtableGcinterval?.value === DEFAULT_GC) delete shown.hashlimitHtableGcinterval;
    if (o.hashlimitHtableExpire!.value === expire) delete shown.hashlimitHtableExpire;
    if (o.hashlimitSrcmask?.value === whole) delete shown.hashlimitSrcmask;
    if (o.hashlimitDstmask?.value === whole) delete shown.hashlimitDstmask;
    return printOptions(hashlimit, shown, c);
  },
  create(o, { family, services }) {
    const table = services.hashlimits.get(o.hashlimitName!.value, family, configOf(o, family));
    return new HashlimitMatch(table, family, o.hashlimitAbove !== undefined);
  },
});

/** What a burst of packets is; five if nobody says. */
function packetsAtOnce(given: Burst = { value: DEFAULT_BURST, bytes: false }): Burst {
  if (given.bytes) throw new OptionError("hashlimitBurst is in bytes, but the rate in packets");
  if (given.value > SCALE) throw new OptionError(`hashlimitBurst ${given.value} is more than ${SCALE}`);
  return given;
}

/** A burst of bytes is so many times what a second brings, rounded up; without one there is none. */
function bytesAtOnce({ period }: Rate, given?: Burst): Burst | null {
  if (given === undefined) return null;
  const second = byteRate(period);
  if (given.value < second) throw new OptionError(`hashlimitBurst must be ${printBytes(second)} at least`);
  return { value: Math.ceil(given.value / second) * second, bytes: true };
}

function configOf(o: Options<HashlimitOptions>, family: 4 | 6): HashlimitConfig {
  const size = o.hashlimitHtableSize?.value ?? DEFAULT_SIZE, whole = family === 4 ? 32 : 128;
  const { period, bytes } = (o.hashlimitUpto ?? o.hashlimitAbove)!.value,
    most = o.hashlimitBurst?.value.value ?? 0;
  return {
    period,
    burst: bytes ? most / byteRate(period) : most,
    bytes,
    expire: o.hashlimitHtableExpire!.value,
    size,
    max: Math.max(o.hashlimitHtableMax?.value ?? size * MAX_PER_SIZE, size),
    mode: o.hashlimitMode?.value ?? 0,
    sourceLength: o.hashlimitSrcmask?.value ?? whole,
    destinationLength: o.hashlimitDstmask?.value ?? whole,
  };
}
