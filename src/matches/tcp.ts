/** TCP ports, flags and options (iptables -m tcp; xt_tcpudp). */
import { TCP } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { nextTcpOption, TCP_FLAGS, TCP_HEADER, tcpHeaderLength } from "../packet/tcp.ts";
import {
  defineMatch,
  type Kind,
  type Match,
  type MatchExtension,
  type Needs,
  OptionError,
  type Options,
  type PortCondition,
  portCondition,
  printOptions,
} from "../tables/extension.ts";
import { flag, listOf, portRange, type Range, refuse, show, uint } from "../tables/kinds.ts";

interface Flags {
  readonly mask: number;
  readonly set: number;
}

interface TcpOptions {
  sport: Range;
  dport: Range;
  tcpOption: number;
  tcpFlags: Flags;
  syn: true;
}

const FLAG_BITS: readonly (readonly [string, number])[] = [
  ["FIN", 0x01],
  ["SYN", 0x02],
  ["RST", 0x04],
  ["PSH", 0x08],
  ["ACK", 0x10],
  ["URG", 0x20],
  ["ALL", 0x3f],
  ["NONE", 0],
];
/** `--syn`: of these, only SYN. */
const SYN_ONLY: Flags = { mask: 0x17, set: 0x02 };

function readFlagList(input: unknown): number {
  let flags = 0;
  for (const name of listOf(input, "a list of TCP flags")) {
    const found = FLAG_BITS.find((f) => f[0] === name.toUpperCase());
    if (found === undefined) {
      throw new OptionError(
        `${show(name)} is not a TCP flag; they are ${FLAG_BITS.map((f) => f[0]).join(", ")}`,
      );
    }
    flags |= found[1];
  }
  return flags;
}

function printFlagList(flags: number): string {
  return FLAG_BITS.slice(0, 6).filter((f) => (flags & f[1]) !== 0).map((f) => f[0]).join(",") || "NONE";
}

const tcpFlags: Kind<Flags> = {
  words: 2,
  expects: 'flags to look at and flags that must be set, such as "SYN,ACK SYN"',
  read(input) {
    if (typeof input === "string") {
      const words = input.trim().split(/\s+/);
      if (words.length !== 2) refuse(input, this.expects);
      return { mask: readFlagList(words[0]), set: readFlagList(words[1]) };
    }
    if (typeof input !== "object" || input === null || !("mask" in input) || !("set" in input)) {
      return refuse(input, this.expects);
    }
    return { mask: readFlagList(input.mask), set: readFlagList(input.set) };
  },
  print: ({ mask, set }) => `${printFlagList(mask)} ${printFlagList(set)}`,
};

class TcpMatch implements Match {
  readonly judges: "flow" | "packet";
  readonly ports?: PortCondition;
  readonly pure?: true;
  readonly needs: Needs;
  readonly parts?: readonly Match[];
  readonly #sportMin: number;
  readonly #sportMax: number;
  readonly #sportInvert: boolean;
  readonly #dportMin: number;
  readonly #dportMax: number;
  readonly #dportInvert: boolean;
  readonly #mask: number;
  readonly #set: number;
  readonly #flagsInvert: boolean;
  readonly #option: number;
  readonly #optionInvert: boolean;

  constructor(o: Options<TcpOptions>) {
    this.#sportMin = o.sport?.value.min ?? 0;
    this.#sportMax = o.sport?.value.max ?? 0xffff;
    this.#sportInvert = o.sport?.invert ?? false;
    this.#dportMin = o.dport?.value.min ?? 0;
    this.#dportMax = o.dport?.value.max ?? 0xffff;
    this.#dportInvert = o.dport?.invert ?? false;
    this.#mask = o.tcpFlags?.value.mask ?? 0;
    this.#set = o.tcpFlags?.value.set ?? 0;
    this.#flagsInvert = o.tcpFlags?.invert ?? false;
    this.#option = o.tcpOption?.value ?? 0;
    this.#optionInvert = o.tcpOption?.invert ?? false;
    this.needs = {
      sports: o.sport?.invert === false ? [o.sport.value] : undefined,
      dports: o.dport?.invert === false ? [o.dport.value] : undefined,
    };
    // Options that are cut drop the packet.
    if (o.tcpOption === undefined) this.pure = true;
    const { sport, dport, tcpFlags, tcpOption } = o;
    this.judges = tcpFlags === undefined && tcpOption === undefined ? "flow" : "packet";
    if (this.judges === "flow") {
      this.ports = { header: TCP_HEADER, sport: portCondition(sport), dport: portCondition(dport) };
    } else if (sport !== undefined || dport !== undefined) {
      this.parts = [new TcpMatch({ sport, dport }), new TcpMatch({ tcpFlags, tcpOption })];
    }
  }

  match(p: Packet): boolean {
    if (p.fragmentOffset !== 0) {
      // RFC 1858: a fragment at offset 8 could overwrite the flags of one that has been judged. (IPv4 only: ip6tables
      // counts in bytes and asks for a 1.)
      if (p.fragmentOffset === 8 && p.family === 4) p.hotdrop = true;
      return false;
    }
    const view = p.view, l4 = p.l4;
    if (p.length - l4 < TCP_HEADER) {
      p.hotdrop = true;
      return false;
    }
    const sport = view.getUint16(l4);
    if ((sport >= this.#sportMin && sport <= this.#sportMax) === this.#sportInvert) return false;
    const dport = view.getUint16(l4 + 2);
    if ((dport >= this.#dportMin && dport <= this.#dportMax) === this.#dportInvert) return false;
    if (((view.getUint8(l4 + TCP_FLAGS) & this.#mask) === this.#set) === this.#flagsInvert) return false;
    return this.#option === 0 || this.#hasOption(p);
  }

  #hasOption(p: Packet): boolean {
    const end = p.l4 + tcpHeaderLength(p);
    let at = p.l4 + TCP_HEADER;
    if (end < at || end > p.length) {
      p.hotdrop = true;
      return false;
    }
    for (; at < end; at = nextTcpOption(p.view, at, end)) {
      if (p.view.getUint8(at) === this.#option) return !this.#optionInvert;
    }
    return this.#optionInvert;
  }
}

/** A port range that every port is in is not printed. */
export function withoutFullRanges<O extends { sport: Range; dport: Range }>(o: Options<O>): Options<O> {
  const kept: Record<string, unknown> = { ...o };
  for (const name of ["sport", "dport"] as const) {
    const given = o[name];
    if (given !== undefined && !given.invert && given.value.min === 0 && given.value.max === 0xffff) {
      delete kept[name];
    }
  }
  return kept as Options<O>;
}

/** TCP ports, flags, options. */
export const tcp: MatchExtension = defineMatch<TcpOptions>({
  name: "tcp",
  protocols: [TCP],
  options: {
    sport: { flag: "sport", aliases: ["source-port"], kind: portRange, negatable: true },
    dport: { flag: "dport", aliases: ["destination-port"], kind: portRange, negatable: true },
    tcpOption: { flag: "tcp-option", kind: uint(1, 255), negatable: true },
    tcpFlags: { flag: "tcp-flags", kind: tcpFlags, negatable: true },
    syn: { flag: "syn", kind: flag, negatable: true },
  },
  exclusive: ["tcpFlags", "syn"],
  finish(o) {
    const { syn, ...rest } = o;
    return syn === undefined ? rest : { ...rest, tcpFlags: { value: SYN_ONLY, invert: syn.invert } };
  },
  save(o, c) {
    // Flags of which none are looked at.
    const { tcpFlags, ...rest } = o;
    const idle = tcpFlags !== undefined && tcpFlags.value.mask === 0 && !tcpFlags.invert;
    return printOptions(tcp, withoutFullRanges(idle ? rest : o), c);
  },
  create: (o) => new TcpMatch(o),
});
