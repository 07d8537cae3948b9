/** Which headers an IPv6 packet has (ip6tables -m ipv6header; ip6t_ipv6header). */
import { ESP } from "../netfilter.ts";
import {
  AUTHENTICATION,
  DESTINATION_OPTIONS,
  extensionLength,
  FRAGMENT,
  HOP_BY_HOP,
  IPV6_HEADER,
  IPV6_NEXT_HEADER,
  NO_NEXT,
  ROUTING,
} from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import { defineMatch, type Kind, type Match, type MatchExtension, OptionError } from "../tables/extension.ts";
import { flag, listOf, show } from "../tables/kinds.ts";

const ESP_BIT = 4, NONE_BIT = 2, PROTOCOL_BIT = 1;
/** By long name, short name and number. */
const HEADERS = [
  ["hop-by-hop", "hop", HOP_BY_HOP, 128],
  ["ipv6-opts", "dst", DESTINATION_OPTIONS, 64],
  ["ipv6-route", "route", ROUTING, 32],
  ["ipv6-frag", "frag", FRAGMENT, 16],
  ["ah", "auth", AUTHENTICATION, 8],
  ["esp", "esp", ESP, ESP_BIT],
  ["ipv6-nonxt", "none", NO_NEXT, NONE_BIT],
  ["protocol", "prot", 255, PROTOCOL_BIT],
] as const;

const headers: Kind<number> = {
  words: 1,
  expects: `one or several of ${HEADERS.map(([, short]) => short).join(", ")}`,
  read(input) {
    let bits = 0;
    for (const word of listOf(input, this.expects)) {
      const found = HEADERS.find(([long, short, number]) =>
        word === long || word === short || word === String(number)
      );
      if (found === undefined) throw new OptionError(`${show(word)} is not ${this.expects}`);
      bits |= found[3];
    }
    return bits;
  },
  print: (bits) => HEADERS.filter(([, , , bit]) => (bits & bit) !== 0).map(([name]) => name).join(","),
};

/** The bit of an extension header that is walked over, 0 of any other. */
function bitOf(next: number): number {
  switch (next) {
    case HOP_BY_HOP:
      return 128;
    case DESTINATION_OPTIONS:
      return 64;
    case ROUTING:
      return 32;
    case FRAGMENT:
      return 16;
    case AUTHENTICATION:
      return 8;
    default:
      return 0;
  }
}

/** The bits of all headers; -1 where they end before they should. */
export function headersOf({ view, length }: Packet): number {
  let next = view.getUint8(IPV6_NEXT_HEADER), at = IPV6_HEADER, bits = 0;
  while (next !== NO_NEXT) {
    const bit = bitOf(next);
    if (bit === 0 && next !== ESP) return bits | PROTOCOL_BIT;
    if (at + 2 > length) return -1;
    if (next === ESP) return bits | ESP_BIT;
    bits |= bit;
    const step = extensionLength(view, at, next);
    next = view.getUint8(at);
    at += step;
    // Linux goes no further, and what would come next counts as the protocol.
    if (at > length) return next === NO_NEXT || next === ESP ? bits : bits | PROTOCOL_BIT;
  }
  return bits | NONE_BIT;
}

class Ipv6headerMatch implements Match {
  readonly #bits: number;
  readonly #invert: boolean;
  readonly #soft: boolean;

  constructor(bits: number, invert: boolean, soft: boolean) {
    this.#bits = bits;
    this.#invert = invert;
    this.#soft = soft;
  }

  match(p: Packet): boolean {
    const found = headersOf(p), bits = this.#bits;
    if (found < 0) return false;
    if (!this.#soft) return (found === bits) !== this.#invert;
    // All of them; negated, none of them.
    return (found & bits) === (this.#invert ? 0 : bits);
  }
}

/** Exactly these headers, or with `ipv6HeaderSoft` these and perhaps others. */
export const ipv6header: MatchExtension = defineMatch<{ ipv6Header: number; ipv6HeaderSoft: true }>({
  name: "ipv6header",
  families: [6],
  options: {
    ipv6Header: { flag: "header", kind: headers, negatable: true },
    ipv6HeaderSoft: { flag: "soft", kind: flag },
  },
  required: ["ipv6Header"],
  create: ({ ipv6Header, ipv6HeaderSoft }) =>
    new Ipv6headerMatch(ipv6Header!.value, ipv6Header!.invert, ipv6HeaderSoft !== undefined),
});
