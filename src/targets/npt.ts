/**
 * What SNPT and DNPT have in common: one IPv6 prefix becomes another, address by address, without any state
 * (RFC 6296; ip6t_NPT).
 *
 * The translation is neutral to checksums: what the new prefix adds to the sum over the packet is taken off a word of
 * the address that the prefixes leave alone, the subnet's where they are no longer than 48 bits, otherwise one of the
 * interface identifier. So no upper layer needs to be known, and an ICMPv6 error's checksum holds although the packet
 * that it quotes is turned back, too.
 */
import { CONTINUE, DROP, ICMPV6, type Verdict } from "../netfilter.ts";
import { formatAddress, maskLength, parseAddress } from "../packet/address.ts";
import { fold } from "../packet/checksum.ts";
import { ICMPV6_DEST_UNREACH, ICMPV6_PARAMPROB } from "../packet/icmp.ts";
import { IPV6_DESTINATION, IPV6_HEADER, IPV6_NEXT_HEADER, IPV6_SOURCE } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import { type Network, readNetwork } from "../tables/addresses.ts";
import {
  defineTarget,
  type Kind,
  OptionError,
  type Target,
  type TargetExtension,
} from "../tables/extension.ts";
import { refuse, show } from "../tables/kinds.ts";
import type { Services } from "../tables/services.ts";

/** Longest prefix: the interface identifier has to be left to carry the sum. */
const LONGEST = 64;
/** Up to this length the subnet's word is free for it. */
const SITE = 48;
const ICMPV6_HEADER = 8;

/** A prefix of at most 64 bits, and nothing behind it. */
const prefix: Kind<Network> = {
  words: 1,
  expects: 'an IPv6 prefix of at most 64 bits such as "2001:db8:1::/48"',
  read(input, c) {
    const written = typeof input === "string" ? parseAddress(input.split("/")[0]) : null;
    if (written === null || written.family !== 6) refuse(input, this.expects);
    const network = readNetwork(input, c.family), length = maskLength(6, network.mask);
    if (length < 0 || length > LONGEST) throw new OptionError(`${show(input)} is longer than 64 bits`);
    if (network.words.some((word, i) => word !== written.words[i])) {
      const better = `${formatAddress(6, network.words)}/${length}`;
      throw new OptionError(`${show(input)} has bits behind its prefix; write ${show(better)}`);
    }
    return network;
  },
  print: ({ words, mask }) => `${formatAddress(6, words)}/${maskLength(6, mask)}`,
  family: () => 6,
};

class NptTarget implements Target {
  readonly #services: Services;
  /** Where the address stands that is translated, and the one that is turned back in a quoted packet. */
  readonly #at: number;
  readonly #quotedAt: number;
  readonly #from: Network;
  readonly #to: Int32Array;
  /** What stays of each word of an address. */
  readonly #keep: Int32Array;
  /** The first word, and that behind the last, that may carry the sum. */
  readonly #firstWord: number;
  readonly #lastWord: number;
  readonly #adjustment: number;

  constructor(services: Services, at: number, from: Network, to: Network) {
    this.#services = services;
    this.#at = at;
    this.#quotedAt = at === IPV6_SOURCE ? IPV6_DESTINATION : IPV6_SOURCE;
    this.#from = from;
    this.#to = to.words;
    this.#keep = from.mask.map((mask, i) => ~(mask | to.mask[i]));
    const site = Math.max(maskLength(6, from.mask), maskLength(6, to.mask)) <= SITE;
    this.#firstWord = site ? 3 : 4;
    this.#lastWord = site ? 4 : 8;
    this.#adjustment = fold(sumOf(from.words) + (~sumOf(to.words) & 0xffff));
  }

  target(p: Packet): Verdict {
    if (!this.#map(p, this.#at)) {
      this.#services.parameterProblem(p, this.#at);
      return DROP;
    }
    const inner = IPV6_HEADER + ICMPV6_HEADER, view = p.view;
    if (view.getUint8(IPV6_NEXT_HEADER) !== ICMPV6 || p.length < inner + IPV6_HEADER) return CONTINUE;
    const type = view.getUint8(IPV6_HEADER);
    if (type >= ICMPV6_DEST_UNREACH && type <= ICMPV6_PARAMPROB && this.#covers(p, inner + this.#quotedAt)) {
      this.#map(p, inner + this.#quotedAt);
    }
    return CONTINUE;
  }

  /** True when an address has the prefix that is translated. */
  #covers(p: Packet, at: number): boolean {
    const { words, mask } = this.#from;
    return (p.view.getInt32(at) & mask[0]) === words[0] && (p.view.getInt32(at + 4) & mask[1]) === words[1];
  }

  /** Translates the address at an offset. False when no word of it can carry the sum. */
  #map(p: Packet, at: number): boolean {
    const view = p.view, keep = this.#keep, to = this.#to;
    view.setInt32(at, (view.getInt32(at) & keep[0]) | to[0]);
    view.setInt32(at + 4, (view.getInt32(at + 4) & keep[1]) | to[1]);
    let word = this.#firstWord;
    // 0xffff is 0 to a sum: it would not be known, on the way back, which of both it was. The subnet's is taken as it is.
    if (word === 4) { while (word < this.#lastWord && view.getUint16(at + word * 2) === 0xffff) word++; }
    if (word === this.#lastWord) return false;
    const sum = fold(view.getUint16(at + word * 2) + this.#adjustment);
    view.setUint16(at + word * 2, sum === 0xffff ? 0 : sum);
    return true;
  }
}

function sumOf(words: Int32Array): number {
  return fold(words.reduce((sum, word) => sum + (word >>> 16) + (word & 0xffff), 0));
}

/** SNPT or DNPT, which differ in the address and in where they stand. */
export function npt(name: string, hooks: number, at: number): TargetExtension {
  return defineTarget<{ srcPfx: Network; dstPfx: Network }>({
    name,
    families: [6],
    tables: ["mangle"],
    hooks,
    options: {
      srcPfx: { flag: "src-pfx", kind: prefix },
      dstPfx: { flag: "dst-pfx", kind: prefix },
    },
    required: ["srcPfx", "dstPfx"],
    finish(o) {
      if (o.srcPfx === undefined) throw new OptionError(`${name} needs srcPfx`);
      if (o.dstPfx === undefined) throw new OptionError(`${name} needs dstPfx`);
      return o;
    },
    // iptables-save leaves out a prefix of length 0.
    save: (o, c) =>
      [["src-pfx", o.srcPfx!] as const, ["dst-pfx", o.dstPfx!] as const]
        .filter(([, { value }]) => maskLength(6, value.mask) > 0)
        .map(([flag, { value }]) => ` --${flag} ${prefix.print(value, c)}`).join(""),
    create: (o, c) => new NptTarget(c.services, at, o.srcPfx!.value, o.dstPfx!.value),
  });
}
