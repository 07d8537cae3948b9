/** Differentiated services code point (iptables -m dscp). */
import type { Packet } from "../packet/packet.ts";
import { dscpClassValue, dscpValue, dsField } from "../tables/dsfield.ts";
import { defineMatch, type Match, type MatchExtension } from "../tables/extension.ts";

class DscpMatch implements Match {
  readonly pure = true;
  readonly judges = "packet";
  readonly #value: number;
  readonly #invert: boolean;

  constructor(value: number, invert: boolean) {
    this.#value = value;
    this.#invert = invert;
  }

  match(p: Packet): boolean {
    return ((dsField(p) >> 2) === this.#value) !== this.#invert;
  }
}

/** The code point, by number or class. */
export const dscp: MatchExtension = defineMatch<{ dscp: number; dscpClass: number }>({
  name: "dscp",
  options: {
    dscp: { flag: "dscp", kind: dscpValue, negatable: true },
    dscpClass: { flag: "dscp-class", kind: dscpClassValue, negatable: true },
  },
  exclusive: ["dscp", "dscpClass"],
  required: ["dscp", "dscpClass"],
  finish: (o) => ({ dscp: o.dscp ?? o.dscpClass }),
  create: (o) => new DscpMatch(o.dscp!.value, o.dscp!.invert),
});
