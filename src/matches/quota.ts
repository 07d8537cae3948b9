/** So many bytes, and no more (iptables -m quota; xt_quota). */
import type { Arena } from "../arena.ts";
import type { Packet } from "../packet/packet.ts";
import { defineMatch, type Kind, type Match, type MatchExtension } from "../tables/extension.ts";
import { refuse, wideNumber } from "../tables/kinds.ts";

const bytes: Kind<bigint> = {
  words: 1,
  expects: "a whole number of bytes, of 64 bits at most",
  read(input) {
    return wideNumber(input) ?? refuse(input, this.expects);
  },
  print: String,
};

/** 64 bits are more than a number has, so there are two: those above, and those below. */
const HIGH = 0, LOW = 1;
const WRAP = 2 ** 32;

class QuotaMatch implements Match {
  readonly #left: Float64Array;
  readonly #invert: boolean;

  constructor(arena: Arena, quota: bigint, invert: boolean) {
    this.#invert = invert;
    this.#left = arena.float64(2);
    if (!arena.fresh) return;
    this.#left[HIGH] = Number(quota >> 32n);
    this.#left[LOW] = Number(quota & 0xffffffffn);
  }

  match(p: Packet): boolean {
    const left = this.#left, low = left[LOW] - p.length;
    if (low >= 0) left[LOW] = low;
    else if (left[HIGH] > 0) {
      left[HIGH]--;
      left[LOW] = low + WRAP;
    } else {
      // From now on not even for a small one.
      left[LOW] = 0;
      return this.#invert;
    }
    return !this.#invert;
  }
}

/** Packets of the rule until their lengths together come to more than so many bytes; then none any more. */
export const quota: MatchExtension = defineMatch<{ quota: bigint }>({
  name: "quota",
  options: { quota: { flag: "quota", kind: bytes, negatable: true } },
  required: ["quota"],
  create: (o, { services }) => new QuotaMatch(services.arena, o.quota!.value, o.quota!.invert),
});
