/** Addresses from one to another (iptables -m iprange; xt_iprange). */
import {
  type AddressRange,
  formatAddress,
  networkOf,
  parseRange,
  prefixMask,
  readAddress,
} from "../packet/address.ts";
import { IPV4_DESTINATION, IPV4_SOURCE } from "../packet/ipv4.ts";
import { IPV6_DESTINATION, IPV6_SOURCE } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import type { Family } from "../netfilter.ts";
import { addressWords, familyOfText } from "../tables/addresses.ts";
import {
  defineMatch,
  type Kind,
  type Match,
  type MatchExtension,
  type Needs,
  OptionError,
  type OptionValue,
} from "../tables/extension.ts";
import { refuse, show } from "../tables/kinds.ts";

const addressRange: Kind<AddressRange> = {
  words: 1,
  expects: 'a range of addresses such as "192.0.2.10-192.0.2.20"',
  read(input, c) {
    const range = typeof input !== "string" ? null : c.cut ? asText(input, c.family) : parseRange(input);
    if (range === null) return refuse(input, this.expects);
    if (range.family !== c.family) {
      throw new OptionError(`${show(input)} is not IPv${c.family}, which the rule is for`);
    }
    return range;
  },
  // A single address is printed as a range, too.
  print: ({ family, words, to }) => `${formatAddress(family, words)}-${formatAddress(family, to)}`,
  family: familyOfText,
};

/** As iptables reads it: addresses may be cut short, and a range upside down is one that nothing is in. */
function asText(text: string, family: Family): AddressRange | null {
  const dash = text.indexOf("-");
  const from = addressWords(dash < 0 ? text : text.slice(0, dash), family);
  const to = dash < 0 ? from : addressWords(text.slice(dash + 1), family);
  return from === null || to === null ? null : { family, words: from, to };
}

const words = new Int32Array(4);

/** Whether the address in `words` lies within a range. */
function within({ words: from, to }: AddressRange): boolean {
  let atFrom = true, atTo = true;
  for (let i = 0; i < 4 && (atFrom || atTo); i++) {
    const word = words[i] >>> 0;
    if (atFrom && word !== from[i] >>> 0) {
      if (word < from[i] >>> 0) return false;
      atFrom = false;
    }
    if (atTo && word !== to[i] >>> 0) {
      if (word > to[i] >>> 0) return false;
      atTo = false;
    }
  }
  return true;
}

/** The smallest network that all of a range is in. */
function networkAround({ family, words, to }: AddressRange): { words: Int32Array; mask: Int32Array } {
  let length = 0;
  for (let i = 0; i < 4; i++) {
    const same = Math.clz32(words[i] ^ to[i]);
    length += same;
    if (same < 32) break;
  }
  const mask = prefixMask(family, Math.min(length, family === 4 ? 32 : 128));
  return { words: networkOf(words, mask), mask };
}

class IprangeMatch implements Match {
  readonly pure = true;
  readonly needs: Needs;
  readonly judges = "flow";
  readonly #source: OptionValue<AddressRange> | undefined;
  readonly #destination: OptionValue<AddressRange> | undefined;

  constructor(
    source: OptionValue<AddressRange> | undefined,
    destination: OptionValue<AddressRange> | undefined,
  ) {
    this.#source = source;
    this.#destination = destination;
    this.needs = {
      source: source?.invert === false ? networkAround(source.value) : undefined,
      destination: destination?.invert === false ? networkAround(destination.value) : undefined,
    };
  }

  match(p: Packet): boolean {
    const v4 = p.family === 4, source = this.#source, destination = this.#destination;
    if (source !== undefined) {
      readAddress(p.view, p.family, v4 ? IPV4_SOURCE : IPV6_SOURCE, words);
      if (within(source.value) === source.invert) return false;
    }
    if (destination !== undefined) {
      readAddress(p.view, p.family, v4 ? IPV4_DESTINATION : IPV6_DESTINATION, words);
      if (within(destination.value) === destination.invert) return false;
    }
    return true;
  }
}

/** Source and destination within ranges. */
export const iprange: MatchExtension = defineMatch<{ srcRange: AddressRange; dstRange: AddressRange }>({
  name: "iprange",
  options: {
    srcRange: { flag: "src-range", kind: addressRange, negatable: true },
    dstRange: { flag: "dst-range", kind: addressRange, negatable: true },
  },
  required: ["srcRange", "dstRange"],
  create: (o) => new IprangeMatch(o.srcRange, o.dstRange),
});
