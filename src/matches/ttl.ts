/** IPv4 time to live (iptables -m ttl). */
import { IPV4_TTL } from "../packet/ipv4.ts";
import type { Packet } from "../packet/packet.ts";
import { defineMatch, type Match, type MatchExtension } from "../tables/extension.ts";
import { uint } from "../tables/kinds.ts";

/** A byte of the IP header between bounds; serves TTL and hop limit. */
export class HeaderByteMatch implements Match {
  readonly pure = true;
  readonly #at: number;
  readonly #min: number;
  readonly #max: number;
  readonly #invert: boolean;

  constructor(at: number, min: number, max: number, invert: boolean) {
    this.#at = at;
    this.#min = min;
    this.#max = max;
    this.#invert = invert;
  }

  match(p: Packet): boolean {
    const value = p.view.getUint8(this.#at);
    return (value >= this.#min && value <= this.#max) !== this.#invert;
  }
}

/** Time to live equal to, below or above a value. */
export const ttl: MatchExtension = defineMatch<{ ttlEq: number; ttlLt: number; ttlGt: number }>({
  name: "ttl",
  families: [4],
  options: {
    ttlEq: { flag: "ttl-eq", aliases: ["ttl"], kind: uint(0, 255), negatable: true },
    ttlLt: { flag: "ttl-lt", kind: uint(0, 255) },
    ttlGt: { flag: "ttl-gt", kind: uint(0, 255) },
  },
  exclusive: ["ttlEq", "ttlLt", "ttlGt"],
  required: ["ttlEq", "ttlLt", "ttlGt"],
  create(o) {
    if (o.ttlEq) return new HeaderByteMatch(IPV4_TTL, o.ttlEq.value, o.ttlEq.value, o.ttlEq.invert);
    if (o.ttlLt) return new HeaderByteMatch(IPV4_TTL, 0, o.ttlLt.value - 1, false);
    return new HeaderByteMatch(IPV4_TTL, o.ttlGt!.value + 1, 255, false);
  },
});
