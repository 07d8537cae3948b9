/** The sort of an address in Weir's own routing (iptables -m addrtype). */
import { type Family, INPUT, OUTPUT, POSTROUTING, PREROUTING } from "../netfilter.ts";
import { readAddress } from "../packet/address.ts";
import { IPV4_DESTINATION, IPV4_SOURCE } from "../packet/ipv4.ts";
import { IPV6_DESTINATION, IPV6_SOURCE } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import { isUnicast6 } from "../routing/address_scope.ts";
import type { Interfaces } from "../routing/interfaces.ts";
import {
  defineMatch,
  type Match,
  type MatchExtension,
  OptionError,
  type Options,
  type OptionValue,
} from "../tables/extension.ts";
import { bits, flag } from "../tables/kinds.ts";

/** Bits by route type (RTN_*). */
const UNSPEC = 1 << 0,
  UNICAST = 1 << 1,
  LOCAL = 1 << 2,
  BROADCAST = 1 << 3,
  ANYCAST = 1 << 4,
  MULTICAST = 1 << 5;

const types = bits([
  ["UNSPEC", UNSPEC],
  ["UNICAST", UNICAST],
  ["LOCAL", LOCAL],
  ["BROADCAST", BROADCAST],
  ["ANYCAST", ANYCAST],
  ["MULTICAST", MULTICAST],
  ["BLACKHOLE", 1 << 6],
  ["UNREACHABLE", 1 << 7],
  ["PROHIBIT", 1 << 8],
  ["THROW", 1 << 9],
  ["NAT", 1 << 10],
  ["XRESOLVE", 1 << 11],
]);

interface AddrtypeOptions {
  srcType: number;
  dstType: number;
  limitIfaceIn: true;
  limitIfaceOut: true;
}

/** What routing alone knows. */
const ROUTED = LOCAL | ANYCAST | 1 << 7 | 1 << 8;

const words = new Int32Array(4);

class AddrtypeMatch implements Match {
  readonly pure = true;
  readonly judges = "flow";
  readonly #interfaces: Interfaces;
  readonly #source: OptionValue<number> | undefined;
  readonly #destination: OptionValue<number> | undefined;
  readonly #limitIn: boolean;
  readonly #limitOut: boolean;

  constructor(interfaces: Interfaces, o: Options<AddrtypeOptions>) {
    this.#interfaces = interfaces;
    this.#source = o.srcType;
    this.#destination = o.dstType;
    this.#limitIn = o.limitIfaceIn !== undefined;
    this.#limitOut = o.limitIfaceOut !== undefined;
  }

  match(p: Packet): boolean {
    const iface = this.#limitIn ? p.inInterface : this.#limitOut ? p.outInterface : 0;
    const v4 = p.family === 4, source = this.#source, destination = this.#destination;
    if (source !== undefined) {
      readAddress(p.view, p.family, v4 ? IPV4_SOURCE : IPV6_SOURCE, words);
      if (this.#fits(p.family, iface, source.value) === source.invert) return false;
    }
    if (destination !== undefined) {
      readAddress(p.view, p.family, v4 ? IPV4_DESTINATION : IPV6_DESTINATION, words);
      if (this.#fits(p.family, iface, destination.value) === destination.invert) return false;
    }
    return true;
  }

  /**
   * Whether the address in `words` is of one of these types. In IPv6 UNICAST, MULTICAST and UNSPEC are properties of
   * the address itself, that all must hold; what routing says of it is asked only then (match_type6).
   */
  #fits(family: Family, iface: number, types: number): boolean {
    if (family === 4) return (this.#type(4, iface) & types) !== 0;
    if ((types & MULTICAST) !== 0 && words[0] >>> 24 !== 0xff) return false;
    if ((types & UNICAST) !== 0 && !isUnicast6(words, 0)) return false;
    if ((types & UNSPEC) !== 0 && (words[0] | words[1] | words[2] | words[3]) !== 0) return false;
    return (types & ROUTED) === 0 || (this.#type(6, iface) & types & ROUTED) !== 0;
  }

  /** The type bit of the address in `words`; with an interface, an own address of another one is UNICAST. */
  #type(family: Family, iface: number): number {
    const own = this.#interfaces;
    if (family === 4) {
      const head = words[0];
      if ((head & 0xf0000000) === (0xe0000000 | 0)) return MULTICAST;
      if (head >>> 24 === 0) return head === 0 ? BROADCAST : UNICAST;
      if (own.isBroadcast(head) && (iface === 0 || head === -1 || own.broadcastInterface(head) === iface)) {
        return BROADCAST;
      }
      if (head >>> 24 === 127) return LOCAL;
    } else {
      if (words[0] >>> 24 === 0xff) return MULTICAST;
      if (words[0] === 0 && words[1] === 0 && words[2] === 0 && words[3] === 0) return UNSPEC;
      if (own.isAnycast(words, 0, iface)) return ANYCAST;
    }
    if (!own.isLocal(words, 0, family, iface)) return UNICAST;
    return iface === 0 || own.interfaceOf(words, 0, family) === iface ? LOCAL : UNICAST;
  }
}

/** Types of the source and destination addresses. */
export const addrtype: MatchExtension = defineMatch<AddrtypeOptions>({
  name: "addrtype",
  options: {
    srcType: { flag: "src-type", kind: types, negatable: true },
    dstType: { flag: "dst-type", kind: types, negatable: true },
    limitIfaceIn: { flag: "limit-iface-in", kind: flag },
    limitIfaceOut: { flag: "limit-iface-out", kind: flag },
  },
  exclusive: ["limitIfaceIn", "limitIfaceOut"],
  required: ["srcType", "dstType"],
  finish(o, c) {
    const incoming = (1 << PREROUTING) | (1 << INPUT);
    if (o.limitIfaceOut !== undefined && (c.hooks & incoming) !== 0) {
      throw new OptionError(
        "limitIfaceOut has no interface to look at in PREROUTING and INPUT; use limitIfaceIn",
      );
    }
    if (o.limitIfaceIn !== undefined && (c.hooks & ((1 << OUTPUT) | (1 << POSTROUTING))) !== 0) {
      throw new OptionError(
        "limitIfaceIn has no interface to look at in OUTPUT and POSTROUTING; use limitIfaceOut",
      );
    }
    return o;
  },
  create: (o, c) => new AddrtypeMatch(c.services.interfaces, o),
});
