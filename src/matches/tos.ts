/** Type of service, respectively traffic class (iptables -m tos). */
import type { Packet } from "../packet/packet.ts";
import { dsField, tosMask } from "../tables/dsfield.ts";
import { defineMatch, type Match, type MatchExtension } from "../tables/extension.ts";
import type { Masked } from "../tables/kinds.ts";

class TosMatch implements Match {
  readonly pure = true;
  readonly judges = "packet";
  readonly #value: number;
  readonly #mask: number;
  readonly #invert: boolean;

  constructor({ value, mask }: Masked, invert: boolean) {
    this.#value = value;
    this.#mask = mask;
    this.#invert = invert;
  }

  match(p: Packet): boolean {
    return ((dsField(p) & this.#mask) === this.#value) !== this.#invert;
  }
}

/** The TOS byte under a mask. */
export const tos: MatchExtension = defineMatch<{ tos: Masked }>({
  name: "tos",
  options: { tos: { flag: "tos", kind: tosMask, negatable: true } },
  required: ["tos"],
  create: (o) => new TosMatch(o.tos!.value, o.tos!.invert),
});
