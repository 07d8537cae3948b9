/** The routing header of IPv6 (ip6tables -m rt; ip6t_rt). Type 0 is deprecated for what it can do (RFC 5095). */
import {
  extensionLength,
  FRAGMENT,
  IPV6_HEADER,
  IPV6_NEXT_HEADER,
  IPV6_OFFSET,
  isExtensionHeader,
  NO_NEXT,
  ROUTING,
} from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import { defineMatch, type Match, type MatchExtension, type Options } from "../tables/extension.ts";
import { type Range, range, uint } from "../tables/kinds.ts";

interface RtOptions {
  rtType: number;
  rtSegsleft: Range;
  rtLen: number;
}

/** No such header; a chain of headers that runs past the packet's end. */
const NONE = -1, CUT = -2;

/** Where the first routing header begins. */
function routingHeader(p: Packet): number {
  const { view } = p;
  let at = IPV6_HEADER, next = view.getUint8(IPV6_NEXT_HEADER);
  while (next !== ROUTING) {
    if (!isExtensionHeader(next) || next === NO_NEXT) return NONE;
    if (at + 8 > p.length) return CUT;
    if (next === FRAGMENT && (view.getUint16(at + 2) & IPV6_OFFSET) !== 0) return NONE;
    const length = extensionLength(view, at, next);
    next = view.getUint8(at);
    at += length;
  }
  return at;
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
    const at = routingHeader(p);
    if (at === NONE) return false;
    if (at === CUT || at + 8 > p.length) return cut(p);
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
