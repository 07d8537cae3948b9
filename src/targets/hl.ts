/** Changes the IPv6 hop limit (ip6tables -j HL). */
import { CONTINUE, type Verdict } from "../netfilter.ts";
import { hopLimit, setHopLimit } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import { defineTarget, type Target, type TargetExtension } from "../tables/extension.ts";
import { uint } from "../tables/kinds.ts";

class HlTarget implements Target {
  /** Set to this, or -1; change by that. */
  readonly #set: number;
  readonly #change: number;

  constructor(set: number, change: number) {
    this.#set = set;
    this.#change = change;
  }

  target(p: Packet): Verdict {
    setHopLimit(p, this.#set >= 0 ? this.#set : Math.min(255, Math.max(0, hopLimit(p) + this.#change)));
    return CONTINUE;
  }
}

/** Sets the hop limit, or moves it within 0 … 255. */
export const HL: TargetExtension = defineTarget<{ hlSet: number; hlDec: number; hlInc: number }>({
  name: "HL",
  families: [6],
  tables: ["mangle"],
  options: {
    hlSet: { flag: "hl-set", kind: uint(0, 255) },
    hlDec: { flag: "hl-dec", kind: uint(1, 255) },
    hlInc: { flag: "hl-inc", kind: uint(1, 255) },
  },
  exclusive: ["hlSet", "hlDec", "hlInc"],
  required: ["hlSet", "hlDec", "hlInc"],
  create: (o) => new HlTarget(o.hlSet?.value ?? -1, (o.hlInc?.value ?? 0) - (o.hlDec?.value ?? 0)),
});
