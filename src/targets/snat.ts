/** Source address translation (iptables -j SNAT; xt_nat). */
import type { Nat } from "../nat/core.ts";
import {
  type NatRange,
  RANGE_PERSISTENT,
  RANGE_PROTO_RANDOM,
  RANGE_PROTO_RANDOM_FULLY,
} from "../nat/range.ts";
import { INPUT, POSTROUTING, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { defineTarget, type Target, type TargetExtension } from "../tables/extension.ts";
import { flag } from "../tables/kinds.ts";
import { natRange, withFlags } from "./nat_range.ts";

class SnatTarget implements Target {
  readonly #nat: Nat;
  readonly #range: NatRange;

  constructor(nat: Nat, range: NatRange) {
    this.#nat = nat;
    this.#range = range;
  }

  target(p: Packet): Verdict {
    return this.#nat.snat(p, this.#range);
  }
}

/** The flow's source becomes something in a range. */
export const SNAT: TargetExtension = defineTarget<
  { toSource: NatRange; random: true; randomFully: true; persistent: true }
>({
  name: "SNAT",
  tables: ["nat"],
  hooks: (1 << POSTROUTING) | (1 << INPUT),
  tracks: true,
  options: {
    toSource: { flag: "to-source", kind: natRange },
    random: { flag: "random", kind: flag },
    randomFully: { flag: "random-fully", kind: flag },
    persistent: { flag: "persistent", kind: flag },
  },
  required: ["toSource"],
  create: (o, c) =>
    new SnatTarget(
      c.services.nat,
      withFlags(
        o.toSource!.value,
        (o.random ? RANGE_PROTO_RANDOM : 0) | (o.randomFully ? RANGE_PROTO_RANDOM_FULLY : 0) |
          (o.persistent ? RANGE_PERSISTENT : 0),
      ),
    ),
});
