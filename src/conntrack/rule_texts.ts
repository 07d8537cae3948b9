/**
 * Rules that give helpers to flows, by number: a flow's record has room for a small number, and people want to read the
 * rule. Whoever compiles the same rules in the same order gives them the same numbers.
 *
 * @module
 */
import { MOST_RULE_BYTES } from "./pinholes.ts";

/** Texts by number, from 1. Number 0 stands for a rule of which nothing more is known. */
export class RuleTexts {
  readonly #most: number;
  readonly #numbers = new Map<string, number>();
  readonly #bytes: Uint8Array[] = [encode("a rule")];

  /** `most` is the greatest number that a flow's record can hold; rules beyond it are just "a rule". */
  constructor(most: number) {
    this.#most = most;
  }

  /** The number of a rule; the same text has the same one. */
  number(text: string): number {
    const known = this.#numbers.get(text);
    if (known !== undefined) return known;
    if (this.#bytes.length > this.#most) return 0;
    this.#numbers.set(text, this.#bytes.length);
    return this.#bytes.push(encode(text)) - 1;
  }

  /** The text as it stands in a pinhole's record. */
  bytes(number: number): Uint8Array {
    return this.#bytes[number] ?? this.#bytes[0];
  }

  /** Differs, but for chance, when texts or these numbers differ in anything, their order included (FNV-1a). */
  fingerprint(also: readonly Int32Array[]): number {
    let hash = 0x811c9dc5 | 0;
    const add = (value: number) => hash = Math.imul(hash ^ value, 0x01000193);
    for (const bytes of this.#bytes) {
      bytes.forEach(add);
      add(-1);
    }
    for (const words of also) {
      words.forEach(add);
      add(-1);
    }
    return hash;
  }
}

/** As UTF-8, cut where it is too long for a record. */
function encode(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= MOST_RULE_BYTES) return bytes;
  const cut = new Uint8Array(MOST_RULE_BYTES),
    { written } = new TextEncoder().encodeInto(
      text,
      cut.subarray(0, MOST_RULE_BYTES - 3),
    );
  return cut.subarray(0, written + new TextEncoder().encodeInto("…", cut.subarray(written)).written);
}
