/**
 * Seeded choices: the same seed makes the same decisions.
 *
 * @module
 */
import { Xoshiro } from "../../src/clock.ts";

/** A source of decisions. */
export class Chance {
  readonly #random: Xoshiro;

  /** `long`: what is said may be longer than any link takes, as where devices offload. */
  constructor(seed: number, readonly long: boolean = false) {
    this.#random = new Xoshiro(seed | 0);
  }

  /** Any 32-bit number, unsigned. */
  word(): number {
    return this.#random.next() >>> 0;
  }

  /** 0 … n−1. */
  below(n: number): number {
    return Math.floor(this.word() / 4294967296 * n);
  }

  /** From `a` to `b`, both included. */
  between(a: number, b: number): number {
    return a + this.below(b - a + 1);
  }

  /** True with this probability. */
  is(probability: number): boolean {
    return this.word() < probability * 4294967296;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  /** One of the values, by weight. */
  weighted<T>(choices: readonly (readonly [weight: number, value: T])[]): T {
    let left = this.word() / 4294967296 * choices.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, value] of choices) if ((left -= weight) < 0) return value;
    return choices[choices.length - 1][1];
  }

  /** `n` different ones of a list, in its order. */
  some<T>(list: readonly T[], n: number): T[] {
    const left = [...list.keys()], chosen: number[] = [];
    while (chosen.length < n && left.length > 0) chosen.push(...left.splice(this.below(left.length), 1));
    return chosen.sort((a, b) => a - b).map((i) => list[i]);
  }

  /** Another source, whose decisions do not shift when this one is asked more or less often afterwards. */
  fork(long: boolean = this.long): Chance {
    return new Chance(this.word(), long);
  }
}
