/** Flows that a helper's control connection has opened (iptables -m helper; xt_helper). */
import type { Conntrack } from "../conntrack/core.ts";
import { CT_HELPER, CT_ID, CT_MASTER, CT_MASTER_ID, FLOW_WORDS } from "../conntrack/flow.ts";
import { NO_CT } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { defineMatch, type Match, type MatchExtension } from "../tables/extension.ts";
import { text } from "../tables/kinds.ts";

class HelperMatch implements Match {
  readonly #conntrack: Conntrack;
  /** For each helper (index + 1) whether its name fits. */
  readonly #fits: Uint8Array;
  readonly #invert: boolean;

  constructor(conntrack: Conntrack, name: string, invert: boolean) {
    this.#conntrack = conntrack;
    // The kernel compares as far as the helper's own name goes, so "ftp-2121" fits the helper "ftp", too.
    this.#fits = Uint8Array.from([
      0,
      ...conntrack.helpers.map((helper) => name === "" || name.startsWith(helper.name) ? 1 : 0),
    ]);
    this.#invert = invert;
  }

  match(p: Packet): boolean {
    if (p.ct === NO_CT) return this.#invert;
    const words = this.#conntrack.flows.words, at = p.ct * FLOW_WORDS;
    const master = words[at + CT_MASTER] - 1;
    if (master < 0) return this.#invert;
    const masterAt = master * FLOW_WORDS;
    if (words[masterAt + CT_ID] !== words[at + CT_MASTER_ID]) return this.#invert;
    return (this.#fits[words[masterAt + CT_HELPER]] === 1) !== this.#invert;
  }
}

/** The helper of the flow's master, by name; an empty name fits any. */
export const helper: MatchExtension = defineMatch<{ helper: string }>({
  name: "helper",
  tracks: true,
  options: { helper: { flag: "helper", kind: text(0, 29), negatable: true } },
  required: ["helper"],
  create: (o, c) => new HelperMatch(c.services.conntrack, o.helper!.value, o.helper!.invert),
});
