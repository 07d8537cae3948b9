/** Changes the IPv4 time to live (iptables -j TTL). */
import { CONTINUE, type Verdict } from "../netfilter.ts";
import { setTtl, ttl } from "../packet/ipv4.ts";
import type { Packet } from "../packet/packet.ts";
import { defineTarget, type Target, type TargetExtension } from "../tables/extension.ts";
import { uint } from "../tables/kinds.ts";

class TtlTarget implements Target {
  /** Set to this, or -1; change by that. */
  readonly #set: number;
  readonly #change: number;

  constructor(set: number, change: number) {
    this.#set = set;
    this.#change = change;
  }

  target(p: Packet): Verdict {
    const old = ttl(p);
    const value = this.#set >= 0 ? this.#set : Math.min(255, Math.max(0, old + this.#change));
    if (value !== old) setTtl(p, value);
    return CONTINUE;
  }
}

/** Sets the TTL, or moves it within 0 … 255. */
export const TTL: TargetExtension = defineTarget<{ ttlSet: number; ttlDec: number; ttlInc: number }>({
  name: "TTL",
  families: [4],
  tables: ["mangle"],
  options: {
    ttlSet: { flag: "ttl-set", kind: uint(0, 255) },
    ttlDec: { flag: "ttl-dec", kind: uint(1, 255) },
    ttlInc: { flag: "ttl-inc", kind: uint(1, 255) },
  },
  exclusive: ["ttlSet", "ttlDec", "ttlInc"],
  required: ["ttlSet", "ttlDec", "ttlInc"],
  create: (o) => new TtlTarget(o.ttlSet?.value ?? -1, (o.ttlInc?.value ?? 0) - (o.ttlDec?.value ?? 0)),
});
