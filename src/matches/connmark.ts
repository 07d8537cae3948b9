/** The mark of the packet's flow (iptables -m connmark). */
import type { Conntrack } from "../conntrack/core.ts";
import { CT_MARK, FLOW_WORDS } from "../conntrack/flow.ts";
import { NO_CT } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { defineMatch, type Match, type MatchExtension } from "../tables/extension.ts";
import { type Masked, masked } from "../tables/kinds.ts";

class ConnmarkMatch implements Match {
  readonly pure = true;
  readonly judges = "flow";
  readonly #conntrack: Conntrack;
  readonly #value: number;
  readonly #mask: number;
  readonly #invert: boolean;

  constructor(conntrack: Conntrack, { value, mask }: Masked, invert: boolean) {
    this.#conntrack = conntrack;
    this.#value = value;
    this.#mask = mask;
    this.#invert = invert;
  }

  /** False without a flow, negated or not. */
  match(p: Packet): boolean {
    if (p.ct === NO_CT) return false;
    const mark = this.#conntrack.flows.words[p.ct * FLOW_WORDS + CT_MARK];
    return ((mark & this.#mask) === this.#value) !== this.#invert;
  }
}

/** The flow's mark, under a mask. */
export const connmark: MatchExtension = defineMatch<{ connmark: Masked }>({
  name: "connmark",
  tracks: true,
  options: { connmark: { flag: "mark", kind: masked, negatable: true } },
  required: ["connmark"],
  create: (o, c) => new ConnmarkMatch(c.services.conntrack, o.connmark!.value, o.connmark!.invert),
});
