/** At most so many connections at once for each address or network (iptables -m connlimit; xt_connlimit). */
import { prefixMask, readAddress } from "../packet/address.ts";
import { IPV4_DESTINATION, IPV4_SOURCE } from "../packet/ipv4.ts";
import { IPV6_DESTINATION, IPV6_SOURCE } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import { Conncount } from "../tables/conncount.ts";
import {
  defineMatch,
  type Match,
  type MatchExtension,
  OptionError,
  type OptionValue,
} from "../tables/extension.ts";
import { flag, uint } from "../tables/kinds.ts";

interface ConnlimitOptions {
  connlimitUpto: number;
  connlimitAbove: number;
  connlimitMask: number;
  connlimitSaddr: true;
  connlimitDaddr: true;
}

const address = new Int32Array(4);

class ConnlimitMatch implements Match {
  readonly #connections: Conncount;
  readonly #limit: number;
  readonly #above: boolean;
  readonly #mask: Int32Array;
  readonly #destination: boolean;

  constructor(connections: Conncount, limit: number, above: boolean, mask: Int32Array, destination: boolean) {
    this.#connections = connections;
    this.#limit = limit;
    this.#above = above;
    this.#mask = mask;
    this.#destination = destination;
  }

  match(p: Packet): boolean {
    const v4 = p.family === 4, mask = this.#mask;
    const at = this.#destination ? v4 ? IPV4_DESTINATION : IPV6_DESTINATION : v4 ? IPV4_SOURCE : IPV6_SOURCE;
    readAddress(p.view, p.family, at, address);
    for (let i = 0; i < 4; i++) address[i] &= mask[i];
    const count = this.#connections.count(p, address);
    if (count === 0) {
      p.hotdrop = true;
      return false;
    }
    return count > this.#limit === this.#above;
  }
}

/** Counts connections, the packet's own one among them. */
export const connlimit: MatchExtension = defineMatch<ConnlimitOptions>({
  name: "connlimit",
  tracks: true,
  options: {
    connlimitUpto: { flag: "connlimit-upto", kind: uint(0, 0xffffffff), negatable: true },
    connlimitAbove: { flag: "connlimit-above", kind: uint(0, 0xffffffff), negatable: true },
    connlimitMask: { flag: "connlimit-mask", kind: uint(0, 128) },
    connlimitSaddr: { flag: "connlimit-saddr", kind: flag },
    connlimitDaddr: { flag: "connlimit-daddr", kind: flag },
  },
  exclusive: ["connlimitUpto", "connlimitAbove"],
  required: ["connlimitUpto", "connlimitAbove"],
  finish(o, c) {
    const given = (o.connlimitUpto ?? o.connlimitAbove)!, longest = c.family === 4 ? 32 : 128;
    const set = <T>(value: T): OptionValue<T> => ({ value, invert: false });
    if (o.connlimitMask !== undefined && o.connlimitMask.value > longest) {
      throw new OptionError(`a prefix length of ${o.connlimitMask.value} is more than IPv${c.family} has`);
    }
    if (o.connlimitSaddr !== undefined && o.connlimitDaddr !== undefined) {
      throw new OptionError("connlimitSaddr and connlimitDaddr exclude each other; keep one of them");
    }
    const above = (o.connlimitAbove !== undefined) !== given.invert, limit = set(given.value);
    return {
      ...(above ? { connlimitAbove: limit } : { connlimitUpto: limit }),
      connlimitMask: o.connlimitMask ?? set(longest),
      ...(o.connlimitDaddr ? { connlimitDaddr: o.connlimitDaddr } : { connlimitSaddr: set(true as const) }),
    };
  },
  create(o, { family, services }) {
    const connections = new Conncount(services.conntrack, services.arena);
    const above = o.connlimitAbove !== undefined, limit = (o.connlimitAbove ?? o.connlimitUpto)!.value;
    const mask = prefixMask(family, o.connlimitMask!.value);
    return new ConnlimitMatch(connections, limit, above, mask, o.connlimitDaddr !== undefined);
  },
});
