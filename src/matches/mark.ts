/** The packet's mark (iptables -m mark). */
import type { Packet } from "../packet/packet.ts";
import { defineMatch, type Match, type MatchExtension, type Needs } from "../tables/extension.ts";
import { type Masked, masked } from "../tables/kinds.ts";

class MarkMatch implements Match {
  readonly pure = true;
  readonly needs?: Needs;
  readonly judges = "flow";
  readonly #value: number;
  readonly #mask: number;
  readonly #invert: boolean;

  constructor({ value, mask }: Masked, invert: boolean) {
    this.#value = value;
    this.#mask = mask;
    this.#invert = invert;
    if (!invert) this.needs = { mark: { value, mask } };
  }

  match(p: Packet): boolean {
    return ((p.mark & this.#mask) === this.#value) !== this.#invert;
  }
}

/** The packet's mark, under a mask. */
export const mark: MatchExtension = defineMatch<{ mark: Masked }>({
  name: "mark",
  options: { mark: { flag: "mark", kind: masked, negatable: true } },
  required: ["mark"],
  create: (o) => new MarkMatch(o.mark!.value, o.mark!.invert),
});
