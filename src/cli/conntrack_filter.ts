/** The options by which `weir conntrack` chooses flows, under conntrack's names. */
import type { FlowFilter } from "../conntrack/flow_filter.ts";
import type { Family } from "../netfilter.ts";
import { type Masked, parseMasked } from "../packet/address.ts";
import { parseNumber, portNumber, protocolNumber } from "../tables/names.ts";
import { Usage } from "./command.ts";

/** Their names. */
export const FILTER_OPTIONS = [
  "family",
  "proto",
  "src",
  "dst",
  "reply-src",
  "reply-dst",
  "sport",
  "dport",
  "reply-port-src",
  "reply-port-dst",
  "mark",
  "zone",
];

/** Other names of the same. */
export const FILTER_ALIASES = {
  family: "f",
  proto: "p",
  src: ["s", "orig-src"],
  dst: ["d", "orig-dst"],
  "reply-src": "r",
  "reply-dst": "q",
  sport: "orig-port-src",
  dport: "orig-port-dst",
  mark: "m",
  zone: "w",
};

type Given = Readonly<Record<string, unknown>>;

/** What the options ask for; null when none is given. Throws `Usage` for a value that makes no sense. */
export function filterOf(given: Given): FlowFilter | null {
  const filter: FlowFilter = {
    family: read(given, "family", "ipv4 or ipv6", familyOf),
    protocol: read(given, "proto", "a protocol: tcp, udp, icmp … or its number", protocolNumber),
    source: read(given, "src", "an address or a prefix", parseMasked),
    destination: read(given, "dst", "an address or a prefix", parseMasked),
    replySource: read(given, "reply-src", "an address or a prefix", parseMasked),
    replyDestination: read(given, "reply-dst", "an address or a prefix", parseMasked),
    sport: read(given, "sport", "a port", portNumber),
    dport: read(given, "dport", "a port", portNumber),
    replySport: read(given, "reply-port-src", "a port", portNumber),
    replyDport: read(given, "reply-port-dst", "a port", portNumber),
    mark: read(given, "mark", "a mark, or mark/mask", markOf),
    zone: read(given, "zone", "a zone, 0 to 65535", (text) => below(text, 65536)),
  };
  return Object.values(filter).every((value) => value === undefined) ? null : filter;
}

function read<T extends number | Masked | FlowFilter["mark"]>(
  given: Given,
  option: string,
  expects: string,
  parse: (text: string) => T | null,
): T | undefined {
  const text = given[option];
  if (text === undefined) return undefined;
  const value = parse(String(text));
  if (value === null) throw new Usage(`--${option} ${text}: it takes ${expects}`);
  return value;
}

function familyOf(text: string): Family | null {
  return text === "ipv4" || text === "4" ? 4 : text === "ipv6" || text === "6" ? 6 : null;
}

function below(text: string, end: number): number | null {
  const n = parseNumber(text);
  return n === null || n >= end ? null : n;
}

function markOf(text: string): { value: number; mask: number } | null {
  const [value, mask = "0xffffffff", ...more] = text.split("/");
  const v = below(value, 2 ** 32), m = below(mask, 2 ** 32);
  return v === null || m === null || more.length > 0 ? null : { value: v | 0, mask: m | 0 };
}
