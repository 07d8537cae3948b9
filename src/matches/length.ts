/** Length of the IP packet (iptables -m length). */
import type { Packet } from "../packet/packet.ts";
import { defineMatch, type Match, type MatchExtension } from "../tables/extension.ts";
import { type Range, range } from "../tables/kinds.ts";

class LengthMatch implements Match {
  readonly pure = true;
  readonly judges = "packet";
  readonly #min: number;
  readonly #max: number;
  readonly #invert: boolean;

  constructor({ min, max }: Range, invert: boolean) {
    this.#min = min;
    this.#max = max;
    this.#invert = invert;
  }

  match(p: Packet): boolean {
    return (p.length >= this.#min && p.length <= this.#max) !== this.#invert;
  }
}

/** Bytes of the IP packet, header included; of an offloaded packet as a whole. */
export const length: MatchExtension = defineMatch<{ length: Range }>({
  name: "length",
  options: { length: { flag: "length", kind: range(0xffff), negatable: true } },
  required: ["length"],
  create: (o) => new LengthMatch(o.length!.value, o.length!.invert),
});
