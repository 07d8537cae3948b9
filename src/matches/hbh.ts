/** The hop-by-hop options of IPv6 (ip6tables -m hbh; ip6t_hbh). */
import { CUT_HEADER, extensionLength, findHeader, HOP_BY_HOP, NO_HEADER } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import {
  defineMatch,
  type Kind,
  type Match,
  type MatchExtension,
  OptionError,
  type OptionValue,
} from "../tables/extension.ts";
import { listOf, refuse, uint, wholeNumber } from "../tables/kinds.ts";

/** Pairs of type and length; `ANY` is any length, which an option of that length can therefore not be asked for. */
export type Ipv6Options = readonly number[];

const ANY = 255, MOST = 16, PAD1 = 0;

/** Options by their numbers, one behind the other. */
export const ipv6Options: Kind<Ipv6Options> = {
  words: 1,
  expects: 'a list of option types from 0 to 255, with lengths or without, such as "5:2,1"',
  read(input) {
    const list = listOf(input, this.expects);
    if (list.length > MOST) throw new OptionError(`are more than ${MOST} options`);
    return list.flatMap((text) => {
      const parts = text.split(":"), type = wholeNumber(parts[0], 0, 255);
      const length = parts.length < 2 ? ANY : wholeNumber(parts[1], 0, 255);
      if (type === null || length === null || parts.length > 2) return refuse(text, this.expects);
      return [type, length];
    });
  },
  print(pairs) {
    const texts: string[] = [];
    for (let i = 0; i < pairs.length; i += 2) {
      texts.push(pairs[i + 1] === ANY ? `${pairs[i]}` : `${pairs[i]}:${pairs[i + 1]}`);
    }
    return texts.join(",");
  },
};

/** Judges the header of options that has this number. */
export class Ipv6OptionsMatch implements Match {
  readonly #header: number;
  readonly #length?: OptionValue<number>;
  readonly #options: Ipv6Options;

  constructor(header: number, length?: OptionValue<number>, options?: OptionValue<Ipv6Options>) {
    this.#header = header;
    this.#length = length;
    this.#options = options?.value ?? [];
  }

  match(p: Packet): boolean {
    const at = findHeader(p, this.#header), given = this.#length;
    if (at === NO_HEADER) return false;
    if (at === CUT_HEADER || at + 2 > p.length) return cut(p);
    const length = extensionLength(p.view, at, this.#header);
    if (at + length > p.length) return cut(p);
    if (given !== undefined && (given.value === length) === given.invert) return false;
    return this.#options.length === 0 || this.#has(p, at + 2, at + length);
  }

  /** The header begins with the options, in this order. */
  #has({ view }: Packet, at: number, end: number): boolean {
    const options = this.#options;
    for (let i = 0; i < options.length; i += 2) {
      if (at >= end || view.getUint8(at) !== options[i]) return false;
      let length = 1;
      if (options[i] !== PAD1) {
        if (at + 1 >= end) return false;
        const found = view.getUint8(at + 1);
        if (options[i + 1] !== ANY && options[i + 1] !== found) return false;
        length = found + 2;
      }
      // The last one may be longer than the header.
      if (at + length > end && i + 2 < options.length) return false;
      at += length;
    }
    return true;
  }
}

/** Not fit to be judged. */
function cut(p: Packet): false {
  p.hotdrop = true;
  return false;
}

/** Its length, and the options that it begins with. */
export const hbh: MatchExtension = defineMatch<{ hbhLen: number; hbhOpts: Ipv6Options }>({
  name: "hbh",
  families: [6],
  options: {
    hbhLen: { flag: "hbh-len", kind: uint(0, 0xffffffff), negatable: true },
    hbhOpts: { flag: "hbh-opts", kind: ipv6Options },
  },
  create: (o) => new Ipv6OptionsMatch(HOP_BY_HOP, o.hbhLen, o.hbhOpts),
});
