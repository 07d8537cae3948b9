/** Some of the packets: every nth, or by chance (iptables -m statistic; xt_statistic). */
import type { Arena } from "../arena.ts";
import type { Random } from "../clock.ts";
import type { Packet } from "../packet/packet.ts";
import {
  defineMatch,
  type Kind,
  type Match,
  type MatchExtension,
  OptionError,
  printOptions,
} from "../tables/extension.ts";
import { refuse, uint } from "../tables/kinds.ts";

type Mode = "random" | "nth";

interface StatisticOptions {
  mode: Mode;
  probability: number;
  every: number;
  packet: number;
}

const mode: Kind<Mode> = {
  words: 1,
  expects: '"random" or "nth"',
  read(input) {
    return input === "random" || input === "nth" ? input : refuse(input, this.expects);
  },
  print: (value) => value,
};

/** Of 2³¹, as the kernel keeps it. */
const WHOLE = 0x80000000;

const probability: Kind<number> = {
  words: 1,
  expects: "a number from 0 to 1",
  read(input) {
    const number = typeof input === "string" && input.trim() !== "" ? Number(input) : input;
    if (typeof number !== "number" || !(number >= 0 && number <= 1)) return refuse(input, this.expects);
    return Math.round(number * WHOLE);
  },
  print: (value) => (value / WHOLE).toFixed(11),
};

class NthMatch implements Match {
  readonly #last: number;
  readonly #invert: boolean;
  /** One number. */
  readonly #count: Float64Array;

  constructor(arena: Arena, every: number, packet: number, invert: boolean) {
    this.#last = every - 1;
    this.#invert = invert;
    this.#count = arena.float64(1);
    if (arena.fresh) this.#count[0] = every - 1 - packet;
  }

  match(_p: Packet): boolean {
    const count = this.#count[0] === this.#last ? 0 : this.#count[0] + 1;
    this.#count[0] = count;
    return (count === 0) !== this.#invert;
  }
}

class RandomMatch implements Match {
  readonly #random: Random;
  readonly #probability: number;
  readonly #invert: boolean;

  constructor(random: Random, probability: number, invert: boolean) {
    this.#random = random;
    this.#probability = probability;
    this.#invert = invert;
  }

  match(_p: Packet): boolean {
    return ((this.#random.next() & 0x7fffffff) < this.#probability) !== this.#invert;
  }
}

/** Every nth packet that comes as far as this match, beginning with `packet`; or each with a probability. */
export const statistic: MatchExtension = defineMatch<StatisticOptions>({
  name: "statistic",
  options: {
    mode: { flag: "mode", kind: mode },
    probability: { flag: "probability", kind: probability, negatable: true },
    every: { flag: "every", kind: uint(1, 0xffffffff), negatable: true },
    packet: { flag: "packet", kind: uint(0, 0xffffffff) },
  },
  required: ["mode"],
  finish(o) {
    const random = o.mode!.value === "random";
    if (random ? o.probability === undefined : o.every === undefined || o.packet === undefined) {
      throw new OptionError(random ? "mode random needs probability" : "mode nth needs every and packet");
    }
    if (random ? o.every !== undefined || o.packet !== undefined : o.probability !== undefined) {
      throw new OptionError("every and packet go with mode nth, probability with mode random");
    }
    if (!random && o.packet!.value >= o.every!.value) {
      throw new OptionError(`packet ${o.packet!.value} is never reached: it counts from 0 to every - 1`);
    }
    return o;
  },
  save: (o, c) => printOptions(statistic, o, c),
  create: (o, c) =>
    o.mode!.value === "random"
      ? new RandomMatch(c.services.random, o.probability!.value, o.probability!.invert)
      : new NthMatch(c.services.arena, o.every!.value, o.packet!.value, o.every!.invert),
});
