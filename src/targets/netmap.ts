/** Translation of a whole network, host by host (iptables -j NETMAP; xt_NETMAP). */
import type { Nat } from "../nat/core.ts";
import { NatRange, RANGE_NETMAP } from "../nat/range.ts";
import { INPUT, OUTPUT, POSTROUTING, PREROUTING, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { type Network, network } from "../tables/addresses.ts";
import { defineTarget, type Kind, type Target, type TargetExtension } from "../tables/extension.ts";

/** One host is printed with its length, too. */
const mapped: Kind<Network> = {
  ...network,
  print(value, c) {
    const text = network.print({ words: value.words, mask: value.mask }, c);
    return text.includes("/") ? text : `${text}/${c.family === 4 ? 32 : 128}`;
  },
};

class NetmapTarget implements Target {
  readonly #nat: Nat;
  readonly #range: NatRange;

  constructor(nat: Nat, range: NatRange) {
    this.#nat = nat;
    this.#range = range;
  }

  target(p: Packet): Verdict {
    return this.#nat.netmap(p, this.#range);
  }
}

/** The network part becomes another, the host part stays: of the destination before routing, of the source after. */
export const NETMAP: TargetExtension = defineTarget<{ to: Network }>({
  name: "NETMAP",
  tables: ["nat"],
  hooks: (1 << PREROUTING) | (1 << POSTROUTING) | (1 << OUTPUT) | (1 << INPUT),
  tracks: true,
  options: { to: { flag: "to", kind: mapped } },
  required: ["to"],
  create(o, c) {
    const { words, mask } = o.to!.value;
    const last = words.map((word, i) => c.family === 6 || i === 0 ? word | ~mask[i] : 0);
    const range = new NatRange().addresses(words, last);
    range.flags |= RANGE_NETMAP;
    return new NetmapTarget(c.services.nat, range);
  },
});
