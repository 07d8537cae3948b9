/**
 * Rules that give helpers to flows, by number: a flow's record has room for a small number, and people want to read the
 * rule. A number means the same for as long as a flow has it, also when the rules are others by then.
 *
 * @module
 */
import { MOST_RULE_BYTES } from "./pinholes.ts";

/** The greatest number that a flow's record can hold. */
export const MOST_RULES = 0xfff;

/** A slot: whether rules of now have it, bytes, then the text. */
const SLOT = 256, USED = 0, LENGTH = 1, TEXT = 2;
const FREE = 0, KEPT = 1, GIVEN = 2;
const UNKNOWN = new TextEncoder().encode("a rule");

/** Texts by number, from 1. Number 0 stands for a rule of which nothing more is known. */
export class RuleTexts {
  readonly #most: number;
  #bytes: Uint8Array<ArrayBuffer> | null;
  #numbers: Map<string, number> | null = null;

  /** Bytes that texts with numbers up to `most` take. */
  static bytes(most: number): number {
    return most * SLOT;
  }

  /** Rules beyond number `most` are just "a rule". In memory of its own when none is given. */
  constructor(most: number, buffer?: ArrayBuffer, byteOffset = 0) {
    this.#most = most;
    this.#bytes = buffer === undefined ? null : new Uint8Array(buffer, byteOffset, RuleTexts.bytes(most));
  }

  /** The number of a rule; the same text has the same one. */
  number(text: string): number {
    const all = this.#bytes ??= new Uint8Array(RuleTexts.bytes(this.#most)), numbers = this.#known(all);
    const bytes = encode(text), key = new TextDecoder().decode(bytes), known = numbers.get(key);
    if (known !== undefined) {
      all[(known - 1) * SLOT + USED] = GIVEN;
      return known;
    }
    for (let number = 1; number <= this.#most; number++) {
      const at = (number - 1) * SLOT;
      if (all[at + USED] !== FREE) continue;
      all.set(bytes, at + TEXT);
      all[at + LENGTH] = bytes.length;
      all[at + USED] = GIVEN;
      numbers.set(key, number);
      return number;
    }
    return 0;
  }

  /** The text as it stands in a pinhole's record. */
  bytes(number: number): Uint8Array {
    const all = this.#bytes, at = (number - 1) * SLOT;
    if (all === null || number < 1 || number > this.#most || all[at + USED] === FREE) return UNKNOWN;
    return all.subarray(at + TEXT, at + TEXT + all[at + LENGTH]);
  }

  /** Numbers that a predecessor has given, and those of flows, go on meaning the same. */
  adopt(before: RuleTexts, used: ReadonlySet<number>): void {
    const from = before.#bytes;
    if (from === null) return;
    const all = this.#bytes ??= new Uint8Array(RuleTexts.bytes(this.#most));
    for (let number = 1; number <= Math.min(this.#most, before.#most); number++) {
      const at = (number - 1) * SLOT;
      if (from[at + USED] === FREE || from[at + USED] !== GIVEN && !used.has(number)) continue;
      all.set(from.subarray(at, at + SLOT), at);
      all[at + USED] = KEPT;
    }
    this.#numbers = null;
  }

  #known(all: Uint8Array): Map<string, number> {
    if (this.#numbers !== null) return this.#numbers;
    const numbers = this.#numbers = new Map<string, number>();
    for (let number = 1; number <= this.#most; number++) {
      const at = (number - 1) * SLOT;
      if (all[at + USED] === FREE) continue;
      numbers.set(new TextDecoder().decode(all.slice(at + TEXT, at + TEXT + all[at + LENGTH])), number);
    }
    return numbers;
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
