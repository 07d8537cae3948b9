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
    return p.ct !== NO_CT && this.holds(this.#conntrack.flows.words[p.ct * FLOW_WORDS + CT_MARK]);
  }

  holds(mark: number): boolean {
    return ((mark & this.#mask) === this.#value) !== this.#invert;
  }
}

/** In raw the template of a rule `-j CT` is the flow for the rules behind it. Its mark is that of all its packets. */
class RawConnmarkMatch implements Match {
  readonly pure = true;
  readonly #flow: ConnmarkMatch;

  constructor(flow: ConnmarkMatch) {
    this.#flow = flow;
  }

  match(p: Packet): boolean {
    return p.template !== null ? this.#flow.holds(p.template.mark[0]) : this.#flow.match(p);
  }
}

/** The flow's mark, under a mask. */
export const connmark: MatchExtension = defineMatch<{ connmark: Masked }>({
  name: "connmark",
  tracks: true,
  options: { connmark: { flag: "mark", kind: masked, negatable: true } },
  required: ["connmark"],
  create(o, c) {
    const match = new ConnmarkMatch(c.services.conntrack, o.connmark!.value, o.connmark!.invert);
    return c.table === "raw" ? new RawConnmarkMatch(match) : match;
  },
});
