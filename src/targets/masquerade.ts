/** Source translation to the outgoing interface's own address (iptables -j MASQUERADE; xt_MASQUERADE). */
import type { Nat } from "../nat/core.ts";
import { type NatRange, RANGE_PROTO_RANDOM, RANGE_PROTO_RANDOM_FULLY } from "../nat/range.ts";
import { POSTROUTING, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { defineTarget, type Target, type TargetExtension } from "../tables/extension.ts";
import { flag } from "../tables/kinds.ts";
import { natPorts, withFlags } from "./nat_range.ts";

class MasqueradeTarget implements Target {
  readonly #nat: Nat;
  readonly #range: NatRange;

  constructor(nat: Nat, range: NatRange) {
    this.#nat = nat;
    this.#range = range;
  }

  target(p: Packet): Verdict {
    return this.#nat.masquerade(p, this.#range);
  }
}

/** The flow's source becomes the address of the interface it leaves by, and the flow ends with that address. */
export const MASQUERADE: TargetExtension = defineTarget<
  { toPorts: NatRange; random: true; randomFully: true }
>({
  name: "MASQUERADE",
  tables: ["nat"],
  hooks: 1 << POSTROUTING,
  tracks: true,
  options: {
    toPorts: { flag: "to-ports", kind: natPorts },
    random: { flag: "random", kind: flag },
    randomFully: { flag: "random-fully", kind: flag },
  },
  create: (o, c) =>
    new MasqueradeTarget(
      c.services.nat,
      withFlags(
        o.toPorts?.value,
        (o.random ? RANGE_PROTO_RANDOM : 0) | (o.randomFully ? RANGE_PROTO_RANDOM_FULLY : 0),
      ),
    ),
});
