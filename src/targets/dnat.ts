/** Destination address translation (iptables -j DNAT; xt_nat). */
import type { Nat } from "../nat/core.ts";
import { type NatRange, RANGE_PERSISTENT, RANGE_PROTO_RANDOM } from "../nat/range.ts";
import { OUTPUT, PREROUTING, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { defineTarget, type Target, type TargetExtension } from "../tables/extension.ts";
import { flag } from "../tables/kinds.ts";
import { natRange, withFlags } from "./nat_range.ts";

class DnatTarget implements Target {
  readonly #nat: Nat;
  readonly #range: NatRange;

  constructor(nat: Nat, range: NatRange) {
    this.#nat = nat;
    this.#range = range;
  }

  target(p: Packet): Verdict {
    return this.#nat.dnat(p, this.#range);
  }
}

/** The flow's destination becomes something in a range. */
export const DNAT: TargetExtension = defineTarget<
  { toDestination: NatRange; random: true; persistent: true }
>({
  name: "DNAT",
  tables: ["nat"],
  hooks: (1 << PREROUTING) | (1 << OUTPUT),
  tracks: true,
  options: {
    toDestination: { flag: "to-destination", kind: natRange },
    random: { flag: "random", kind: flag },
    persistent: { flag: "persistent", kind: flag },
  },
  required: ["toDestination"],
  create: (o, c) =>
    new DnatTarget(
      c.services.nat,
      withFlags(
        o.toDestination!.value,
        (o.random ? RANGE_PROTO_RANDOM : 0) | (o.persistent ? RANGE_PERSISTENT : 0),
      ),
    ),
});
