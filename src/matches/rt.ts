/** The routing header of IPv6 (ip6tables -m rt; ip6t_rt). Type 0 is deprecated for what it can do (RFC 5095). */
import { CUT_HEADER, extensionLength, findHeader, NO_HEADER, ROUTING } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import { defineMatch, type Match, type MatchExtension, type Options } from "../tables/extension.ts";
import { type Range, range, uint } from "../tables/kinds.ts";

interface RtOptions {
  rtType: number;
  rtSegsleft: Range;
  rtLen: number;
}

/** Not fit to be judged. */
function cut(p: Packet): false {
  p.hotdrop = true;
  return false;
}

class RtMatch implements Match {
  readonly #o: Options<RtOptions>;

  constructor(o: Options<RtOptions>) {
    this.#o = o;
  }

  match(p: Packet): boolean {
    const { view } = p, { rtType, rtSegsleft, rtLen } = this.#o;
    const at = findHeader(p, ROUTING);
    if (at === NO_HEADER) return false;
    if (at === CUT_HEADER || at + 8 > p.length) return cut(p);
    const length = extensionLength(view, at, ROUTING);
    if (at + length > p.length) return cut(p);
    const left = view.getUint8(at + 3);
    if (
      rtSegsleft !== undefined &&
      (left >= rtSegsleft.value.min && left <= rtSegsleft.value.max) === rtSegsleft.invert
    ) return false;
    if (rtLen !== undefined && (rtLen.value === length) === rtLen.invert) return false;
    return rtType === undefined || (rtType.value === view.getUint8(at + 2)) !== rtType.invert;
  }
}

/** A routing header, of a type, with so many segments left, of a length. */
export const rt: MatchExtension = defineMatch<RtOptions>({
  name: "rt",
  families: [6],
  options: {
    rtType: { flag: "rt-type", kind: uint(0, 0xffffffff), negatable: true },
    rtSegsleft: { flag: "rt-segsleft", kind: range(0xffffffff), negatable: true },
    rtLen: { flag: "rt-len", kind: uint(0, 0xffffffff), negatable: true },
  },
  create: (o) => new RtMatch(o),
});
