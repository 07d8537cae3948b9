/**
 * A rule as the object that a user would have written for it.
 *
 * Values are what the kinds of options print, since the kinds read that as well; beside that a few things are said as
 * people say them: lists as arrays, names for numbers, and nothing where the default is meant.
 *
 * @module
 */
import type { Family } from "../netfilter.ts";
import type { AddressSpec, InterfaceSpec, RuleSpec } from "../tables/entry.ts";
import type { AnyOptions, Extension, Kind, OptionValue, ReadContext } from "../tables/extension.ts";
import type { Masked, Range } from "../tables/kinds.ts";
import { protocolName } from "../tables/names.ts";
import { formatMasked } from "../packet/address.ts";
import { hashlimitExpire } from "../matches/hashlimit.ts";
import type { Value } from "./source_text.ts";

/** Options that take several values. */
const LISTS = [
  "sports",
  "dports",
  "ports",
  "state",
  "ctstate",
  "ctstatus",
  "hashlimitMode",
  "monthdays",
  "weekdays",
  "ipv6Header",
  "srcType",
  "dstType",
  "ctevents",
  "expevents",
];

/** Names that read better than numbers; one is taken where it prints what is to be said. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  icmpType: [
    "echo-request",
    "echo-reply",
    "destination-unreachable",
    "fragmentation-needed",
    "network-unreachable",
    "host-unreachable",
    "port-unreachable",
    "source-quench",
    "redirect",
    "time-exceeded",
    "parameter-problem",
    "timestamp-request",
    "timestamp-reply",
    "router-advertisement",
    "router-solicitation",
  ],
  icmpv6Type: [
    "echo-request",
    "echo-reply",
    "destination-unreachable",
    "packet-too-big",
    "time-exceeded",
    "parameter-problem",
    "router-solicitation",
    "router-advertisement",
    "neighbour-solicitation",
    "neighbour-advertisement",
    "redirect",
  ],
  logLevel: ["emerg", "alert", "crit", "error", "notice", "info", "debug"],
  tos: ["Minimize-Delay", "Maximize-Throughput", "Maximize-Reliability", "Minimize-Cost"],
  setTos: ["Minimize-Delay", "Maximize-Throughput", "Maximize-Reliability", "Minimize-Cost"],
};

/** The object, or null when two of its options would have the same key. */
export function sayRule(rule: RuleSpec, family: Family): ReadonlyMap<string, Value> | null {
  const c: ReadContext = { family, protocol: rule.protocolInvert ? 0 : rule.protocol };
  const entries: [string, Value][] = [
    ...sayInterface("inInterface", rule.inInterface),
    ...sayInterface("outInterface", rule.outInterface),
    ...sayAddress("source", rule.source, family),
    ...sayAddress("destination", rule.destination, family),
  ];
  if (rule.protocol !== 0) {
    const name = protocolName(rule.protocol), value = name === String(rule.protocol) ? rule.protocol : name;
    entries.push(["protocol", negate(value, rule.protocolInvert)]);
  }
  if (rule.fragment) entries.push(["fragment", !rule.fragmentInvert]);
  for (const { extension, options } of rule.matches) entries.push(...sayOptions(extension, options, c));
  const target = rule.target;
  if (target?.kind === "verdict") entries.push(["jump", target.name]);
  else if (target?.kind === "target") {
    entries.push(["jump", target.extension.name], ...sayOptions(target.extension, target.options, c));
  } else if (target !== null) entries.push([target.kind, target.chain]);
  const said = new Map(entries);
  return said.size === entries.length ? said : null;
}

function negate(value: Value, invert: boolean): Value {
  if (!invert) return value;
  return typeof value === "string" ? `! ${value}` : new Map([["not", value]]);
}

function sayInterface(key: string, spec: InterfaceSpec | null): [string, Value][] {
  return spec === null || spec.name === "+" && !spec.invert ? [] : [[key, negate(spec.name, spec.invert)]];
}

function sayAddress(key: string, spec: AddressSpec | null, family: Family): [string, Value][] {
  if (spec === null || !spec.invert && spec.mask.every((word) => word === 0)) return [];
  const text = formatMasked(family, spec.words, spec.mask).replace(family === 4 ? /\/32$/ : /\/128$/, "");
  return [[key, negate(text, spec.invert)]];
}

function sayOptions(extension: Extension, options: AnyOptions, c: ReadContext): [string, Value][] {
  const entries: [string, Value][] = [];
  for (const [key, { value, invert }] of Object.entries(simplified(extension.name, options, c))) {
    const { kind } = extension.options[key];
    entries.push(
      spelled(key, kind.words === 0 ? !invert : sayValue(key, value, kind, c), kind.words > 0 && invert),
    );
  }
  return entries;
}

/** Ports as a list have a name that is shorter, where it means the same. */
function spelled(key: string, value: Value, invert: boolean): [string, Value] {
  const short = (key === "sports" || key === "dports") && Array.isArray(value);
  return [short ? key.slice(0, -1) : key, negate(value, invert)];
}

function sayValue(key: string, value: unknown, kind: Kind<unknown>, c: ReadContext): Value {
  if (typeof value === "string") return value;
  // Quotes that are iptables' are not in the value.
  if (key === "string") return new TextDecoder().decode(value as Uint8Array);
  const text = key === "hexString" || key === "u32"
    ? kind.print(value, c).slice(1, -1)
    : kind.print(value, c);
  if (typeof value === "number" && text === `"${value}"`) return value;
  if (LISTS.includes(key)) {
    const list = text.split(",").map(numberIfPlain);
    return list.length > 1 ? list : list[0];
  }
  if (key === "probability") return Number(text);
  if (/^(limit|hashlimitUpto|hashlimitAbove)$/.test(key)) {
    return text.replace(/\/sec$/, "/second").replace(/\/min$/, "/minute");
  }
  const name = NAMES[key]?.find((candidate) => kind.print(kind.read(candidate, c), c) === text);
  return name ?? numberIfPlain(text);
}

function numberIfPlain(text: string): string | number {
  return /^(0|[1-9]\d{0,9})$/.test(text) ? Number(text) : text;
}

type Given = Record<string, OptionValue<unknown>>;

/** The options without what is meant anyway, and by the names that say most. */
function simplified(name: string, options: AnyOptions, c: ReadContext): Given {
  const given: Given = {};
  for (const [key, value] of Object.entries(options)) if (value !== undefined) given[key] = value;
  switch (name) {
    case "tcp":
    case "udp":
    case "sctp":
      return ports(given);
    case "limit":
      if (given.limitBurst.value === 5) delete given.limitBurst;
      return given;
    case "string":
      if (given.algo.value === "bm") delete given.algo;
      return given;
    case "hashlimit":
      return hashlimitBuckets(given);
    case "recent":
      return recentList(given);
    case "ah":
    case "esp":
    case "frag":
      return Object.keys(given).length > 0 ? given : anyNumber(name);
    case "connlimit":
      return connections(given, c);
    case "LOG":
      if (given.logLevel?.value === 4) delete given.logLevel;
      return given;
    case "REJECT":
      // Port unreachable, by its code in either family.
      if (given.rejectWith.value === (c.family === 4 ? 3 : 4)) delete given.rejectWith;
      return given;
    case "MARK":
      return markOperation(given);
    case "CONNMARK":
      return given.setXmark === undefined ? copiedMark(given) : markOperation(given);
    default:
      return given;
  }
}

/** Ports that every port is among say nothing; a match that says nothing else still asks for a whole header. */
function ports(given: Given): Given {
  const { tcpFlags, ...rest } = given;
  for (const key of ["sport", "dport"]) {
    const range = rest[key]?.value as Range | undefined;
    if (range !== undefined && !rest[key].invert && range.min === 0 && range.max === 0xffff) delete rest[key];
  }
  const flags = tcpFlags?.value as { mask: number; set: number } | undefined;
  if (flags?.mask === 0x17 && flags.set === 0x02) rest.syn = { value: true, invert: tcpFlags.invert };
  else if (flags !== undefined && (flags.mask !== 0 || tcpFlags.invert)) rest.tcpFlags = tcpFlags;
  if (Object.keys(rest).length === 0) rest.dport = { value: { min: 0, max: 0xffff }, invert: false };
  return rest;
}

/** Without the burst that is meant anyway, and the time after which a bucket of this rate is forgotten. */
function hashlimitBuckets(given: Given): Given {
  const rate = (given.hashlimitUpto ?? given.hashlimitAbove).value as Parameters<typeof hashlimitExpire>[0];
  if (given.hashlimitHtableExpire.value === hashlimitExpire(rate, given.hashlimitBurst !== undefined)) {
    delete given.hashlimitHtableExpire;
  }
  const burst = given.hashlimitBurst?.value as { value: number; bytes: boolean } | undefined;
  if (burst?.value === 5 && !burst.bytes) delete given.hashlimitBurst;
  return given;
}

/** The header alone, whatever number it has. */
function anyNumber(name: "ah" | "esp" | "frag"): Given {
  const any = { value: { min: 0, max: 0xffffffff }, invert: false };
  return name === "frag" ? { fragId: any } : name === "ah" ? { ahSpi: any } : { espSpi: any };
}

/** Without the mask of a whole address and the source, which are meant anyway. */
function connections({ connlimitSaddr: _, ...given }: Given, c: ReadContext): Given {
  if (given.connlimitMask.value === (c.family === 4 ? 32 : 128)) delete given.connlimitMask;
  return given;
}

/** The list that is meant anyway, all bits of the address, and the source. */
function recentList({ rsource: _, ...given }: Given): Given {
  if (given.recentName.value === "DEFAULT") delete given.recentName;
  if ((given.recentMask.value as Int32Array).every((word) => word === -1)) delete given.recentMask;
  return given;
}

/** `--set-xmark`, which every operation on a mark is printed as, by the name of the operation. */
function markOperation({ setXmark, ...rest }: Given): Given {
  const { value, mask } = setXmark.value as Masked;
  if (mask === -1) return { setMark: setXmark, ...rest };
  if (value === 0 && mask !== 0) return { andMark: { value: ~mask, invert: false }, ...rest };
  if (value === mask) return { orMark: { value, invert: false }, ...rest };
  return mask === 0 ? { xorMark: { value, invert: false }, ...rest } : { setXmark, ...rest };
}

/** `--save-mark` and `--restore-mark`: a mask of all bits is no mask. */
function copiedMark({ nfmask, ctmask, ...rest }: Given): Given {
  const { saveMark, restoreMark, ...shifts } = rest;
  const masks: Given = {};
  if (nfmask.value === ctmask.value) {
    if (nfmask.value !== -1) masks.mask = nfmask;
  } else {
    if (nfmask.value !== -1) masks.nfmask = nfmask;
    if (ctmask.value !== -1) masks.ctmask = ctmask;
  }
  return { ...(saveMark ? { saveMark } : { restoreMark }), ...masks, ...shifts };
}
