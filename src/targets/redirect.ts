/** Destination translation to the router itself (iptables -j REDIRECT; xt_REDIRECT). */
import type { Nat } from "../nat/core.ts";
import { type NatRange, RANGE_PROTO_RANDOM } from "../nat/range.ts";
import { OUTPUT, PREROUTING, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { defineTarget, type Target, type TargetExtension } from "../tables/extension.ts";
import { flag } from "../tables/kinds.ts";
import { natPorts, withFlags } from "./nat_range.ts";

class RedirectTarget implements Target {
  readonly #nat: Nat;
  readonly #range: NatRange;

  constructor(nat: Nat, range: NatRange) {
    this.#nat = nat;
    this.#range = range;
  }

  target(p: Packet): Verdict {
    return this.#nat.redirect(p, this.#range);
  }
}

/** The flow's destination becomes the address of the interface it came in by, the port another. */
export const REDIRECT: TargetExtension = defineTarget<{ toPorts: NatRange; random: true }>({
  name: "REDIRECT",
  tables: ["nat"],
  hooks: (1 << PREROUTING) | (1 << OUTPUT),
  tracks: true,
  options: {
    toPorts: { flag: "to-ports", kind: natPorts },
    random: { flag: "random", kind: flag },
  },
  create: (o, c) =>
    new RedirectTarget(c.services.nat, withFlags(o.toPorts?.value, o.random ? RANGE_PROTO_RANDOM : 0)),
});
