/** Flows that a helper's control connection has opened (iptables -m helper; xt_helper). */
import type { Conntrack } from "../conntrack/core.ts";
import { CT_STATUS, FLOW_WORDS, IPS_MASTER_HELPER_MASK, IPS_MASTER_HELPER_SHIFT } from "../conntrack/flow.ts";
import { NO_CT } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { defineMatch, type Match, type MatchExtension } from "../tables/extension.ts";
import { text } from "../tables/kinds.ts";

/** The kernel compares as far as the helper's own name goes, so "ftp-2121" fits the helper "ftp", too. */
function isMeant(helper: string, name: string): boolean {
  return name === "" || name.startsWith(helper);
}

class HelperMatch implements Match {
  readonly pure = true;
  readonly judges = "flow";
  readonly #conntrack: Conntrack;
  /** For each helper (index + 1) whether its name fits. */
  readonly #fits: Uint8Array;
  readonly #invert: boolean;

  constructor(conntrack: Conntrack, name: string, invert: boolean) {
    this.#conntrack = conntrack;
    this.#fits = Uint8Array.from([
      0,
      ...conntrack.helpers.map((helper) => isMeant(helper.name, name) ? 1 : 0),
    ]);
    this.#invert = invert;
  }

  match(p: Packet): boolean {
    if (p.ct === NO_CT) return this.#invert;
    // The master itself may be gone.
    const status = this.#conntrack.flows.words[p.ct * FLOW_WORDS + CT_STATUS];
    const helper = (status >>> IPS_MASTER_HELPER_SHIFT) & IPS_MASTER_HELPER_MASK;
    return (this.#fits[helper] === 1) !== this.#invert;
  }
}

/** The helper of the flow's master, by name; an empty name fits any. */
export const helper: MatchExtension = defineMatch<{ helper: string }>({
  name: "helper",
  tracks: true,
  options: { helper: { flag: "helper", kind: text(0, 29), negatable: true } },
  required: ["helper"],
  never: (o, helpers) => {
    const { value, invert } = o.helper!;
    if (invert || helpers.some((helper) => isMeant(helper, value))) return null;
    return `no helper ${value === "" ? "" : `"${value}" `}is listed in \`helpers\`${
      helpers.length === 0 ? "" : ` (listed: ${helpers.join(", ")})`
    }`;
  },
  create: (o, c) => new HelperMatch(c.services.conntrack, o.helper!.value, o.helper!.invert),
});
