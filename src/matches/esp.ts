/** The security parameters index of ESP (iptables -m esp; xt_esp). */
import { ESP } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { defineMatch, type Match, type MatchExtension, printOptions } from "../tables/extension.ts";
import { type Range, range } from "../tables/kinds.ts";

const WORD_MAX = 0xffffffff;
/** Index and sequence number (RFC 4303, 2). */
const ESP_HEADER = 8;

/** An index, or several. */
export const spiRange = range(WORD_MAX);

/** All of them is what is meant anyway. */
export function allSpis(given?: { value: Range; invert: boolean }): boolean {
  return given !== undefined && !given.invert && given.value.min === 0 && given.value.max === WORD_MAX;
}

class EspMatch implements Match {
  readonly #min: number;
  readonly #max: number;
  readonly #invert: boolean;

  constructor({ min, max }: Range, invert: boolean) {
    this.#min = min;
    this.#max = max;
    this.#invert = invert;
  }

  match(p: Packet): boolean {
    if (p.fragmentOffset !== 0) return false;
    if (p.l4 + ESP_HEADER > p.length) {
      p.hotdrop = true;
      return false;
    }
    const spi = p.view.getUint32(p.l4);
    return (spi >= this.#min && spi <= this.#max) !== this.#invert;
  }
}

/** Which association of IPsec an encrypted packet belongs to. */
export const esp: MatchExtension = defineMatch<{ espSpi: Range }>({
  name: "esp",
  protocols: [ESP],
  options: { espSpi: { flag: "espspi", kind: spiRange, negatable: true } },
  save: (o, c) => printOptions(esp, allSpis(o.espSpi) ? {} : o, c),
  create: ({ espSpi: given }) =>
    new EspMatch(given?.value ?? { min: 0, max: WORD_MAX }, given?.invert ?? false),
});
