/** The authentication header: in IPv4 behind `-p ah`, in IPv6 among the extension headers (ipt_ah, ip6t_ah). */
import { AH } from "../netfilter.ts";
import { AUTHENTICATION, CUT_HEADER, extensionLength, findHeader, NO_HEADER } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import {
  defineMatch,
  type Match,
  type MatchExtension,
  OptionError,
  type Options,
  printOptions,
} from "../tables/extension.ts";
import { flag, type Range, uint } from "../tables/kinds.ts";
import { allSpis, spiRange } from "./esp.ts";

interface AhOptions {
  ahSpi: Range;
  ahLen: number;
  ahRes: true;
}

/** Without the integrity check value (RFC 4302, 2). */
const AH_HEADER = 12, AH_RESERVED = 2, AH_SPI = 4;

class AhMatch implements Match {
  readonly #o: Options<AhOptions>;

  constructor(o: Options<AhOptions>) {
    this.#o = o;
  }

  match(p: Packet): boolean {
    const { view } = p, { ahSpi, ahLen, ahRes } = this.#o;
    if (p.family === 4 && p.fragmentOffset !== 0) return false;
    const at = p.family === 4 ? p.l4 : findHeader(p, AUTHENTICATION);
    if (at === NO_HEADER) return false;
    if (at === CUT_HEADER || at + AH_HEADER > p.length) {
      p.hotdrop = true;
      return false;
    }
    const spi = view.getUint32(at + AH_SPI);
    if (ahSpi !== undefined && (spi >= ahSpi.value.min && spi <= ahSpi.value.max) === ahSpi.invert) {
      return false;
    }
    // To Linux a length of 0 is none that is asked for.
    if (
      ahLen !== undefined && ahLen.value !== 0 &&
      (extensionLength(view, at, AUTHENTICATION) === ahLen.value) === ahLen.invert
    ) return false;
    return ahRes === undefined || view.getUint16(at + AH_RESERVED) === 0;
  }
}

/** Its index, in IPv6 its length as well, and whether what is reserved is zero. */
export const ah: MatchExtension = defineMatch<AhOptions>({
  name: "ah",
  options: {
    ahSpi: { flag: "ahspi", kind: spiRange, negatable: true },
    ahLen: { flag: "ahlen", kind: uint(0, 0xffffffff), negatable: true },
    ahRes: { flag: "ahres", kind: flag },
  },
  finish(o, c) {
    if (c.family === 4 && c.protocol !== AH) throw new OptionError("ah needs the protocol ah in IPv4");
    if (c.family === 4 && (o.ahLen ?? o.ahRes) !== undefined) {
      throw new OptionError("length and reserved bits of ah can be asked for in IPv6 only");
    }
    return o;
  },
  save(o, c) {
    const { ahSpi, ahLen, ...rest } = o;
    const shown: Options<AhOptions> = {
      ...(allSpis(ahSpi) ? {} : { ahSpi }),
      ...(ahLen?.value === 0 && !ahLen.invert ? {} : { ahLen }),
      ...rest,
    };
    return printOptions(ah, shown, c);
  },
  create: (o) => new AhMatch(o),
});
