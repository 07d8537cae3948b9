/**
 * The fragment header of IPv6 (ip6tables -m frag; ip6t_frag). Where packets are tracked they have been gathered before any
 * rule sees them.
 */
import { CUT_HEADER, findHeader, FRAGMENT, FRAGMENT_HEADER, IPV6_MF, NO_HEADER } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import {
  defineMatch,
  type Match,
  type MatchExtension,
  type Options,
  printOptions,
} from "../tables/extension.ts";
import { flag, type Range, uint } from "../tables/kinds.ts";
import { allSpis, spiRange } from "./esp.ts";

interface FragOptions {
  fragId: Range;
  fragLen: number;
  fragRes: true;
  fragFirst: true;
  fragMore: true;
  fragLast: true;
}

const RESERVED = 1, OFFSET = 2, ID = 4;
/** In the offset's word: what is reserved, and all but that and the flag. */
const RESERVED_BITS = 0x6, NOT_FLAGS = 0xfff8;

class FragMatch implements Match {
  readonly #o: Options<FragOptions>;

  constructor(o: Options<FragOptions>) {
    this.#o = o;
  }

  match(p: Packet): boolean {
    const { view } = p, { fragId, fragRes, fragFirst, fragMore, fragLast } = this.#o;
    const at = findHeader(p, FRAGMENT);
    if (at === NO_HEADER) return false;
    if (at === CUT_HEADER || at + FRAGMENT_HEADER > p.length) {
      p.hotdrop = true;
      return false;
    }
    const id = view.getUint32(at + ID), word = view.getUint16(at + OFFSET);
    if (fragId !== undefined && (id >= fragId.value.min && id <= fragId.value.max) === fragId.invert) {
      return false;
    }
    if (fragRes !== undefined && (view.getUint8(at + RESERVED) !== 0 || (word & RESERVED_BITS) !== 0)) {
      return false;
    }
    if (fragFirst !== undefined && (word & NOT_FLAGS) !== 0) return false;
    if (fragMore !== undefined && (word & IPV6_MF) === 0) return false;
    return fragLast === undefined || (word & IPV6_MF) === 0;
  }
}

/** A fragment: of which packet, the first one, one with more behind it, the last one. */
export const frag: MatchExtension = defineMatch<FragOptions>({
  name: "frag",
  families: [6],
  options: {
    fragId: { flag: "fragid", kind: spiRange, negatable: true },
    fragLen: { flag: "fraglen", kind: uint(0, 0xffffffff), negatable: true },
    fragRes: { flag: "fragres", kind: flag },
    fragFirst: { flag: "fragfirst", kind: flag },
    fragMore: { flag: "fragmore", kind: flag },
    fragLast: { flag: "fraglast", kind: flag },
  },
  exclusive: ["fragMore", "fragLast"],
  save({ fragId, ...rest }, c) {
    return printOptions(frag, allSpis(fragId) ? rest : { fragId, ...rest }, c);
  },
  create: (o) => new FragMatch(o),
});
