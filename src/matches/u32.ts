/**
 * Words at places that other words say (iptables -m u32; xt_u32).
 *
 * ```
 *  6 & 0xff = 1 && 0 >> 22 & 0x3c @ 0 >> 24 = 0 : 3 , 8
 *  └ location ┘    │          │     │         └ values ┘
 *  a word at byte 6, counted from the IP header; `@` goes on from there by what the word has become so far
 * ```
 */
import type { Packet } from "../packet/packet.ts";
import { defineMatch, type Kind, type Match, type MatchExtension, OptionError } from "../tables/extension.ts";
import { hex, refuse, show, wholeNumber } from "../tables/kinds.ts";

const OPERATORS = ["", "&", "<<", ">>", "@"] as const;
const AND = 1, LEFT = 2, RIGHT = 3;
/** Tests of a rule, numbers of a location, values of a test (XT_U32_MAXSIZE). */
const MOST = 10;

/** One test: numbers, the operator in front of each, and pairs of values. */
interface Test {
  readonly operators: readonly number[];
  readonly numbers: Uint32Array;
  readonly values: Uint32Array;
}

const tests: Kind<readonly Test[]> = {
  words: 1,
  expects: 'tests such as "6&0xff=1 && 0>>22&0x3c@0>>24=0:3,8"',
  read(input, c) {
    if (typeof input !== "string") return refuse(input, this.expects);
    return new Reader(input, c.cut === true).read();
  },
  print: (all) => `"${all.map(printTest).join("&&")}"`,
};

function printTest({ operators, numbers, values }: Test): string {
  const location = operators.map((operator, i) => OPERATORS[operator] + hex(numbers[i])).join("");
  const ranges: string[] = [];
  for (let i = 0; i < values.length; i += 2) {
    ranges.push(hex(values[i]) + (values[i] === values[i + 1] ? "" : `:${hex(values[i + 1])}`));
  }
  return `${location}=${ranges.join(",")}`;
}

/** Reads a text from its beginning to its end. */
class Reader {
  #at = 0;

  constructor(readonly text: string, readonly cut: boolean) {}

  read(): Test[] {
    const all: Test[] = [];
    do {
      if (all.length === MOST) this.#refuse(`there are more than ${MOST} tests`);
      all.push(this.#test());
    } while (this.#takes("&&"));
    if (this.#at < this.text.length) this.#refuse('a "," or "&&" is expected');
    return all;
  }

  #test(): Test {
    const operators = [0], numbers = [this.#number()], values: number[] = [];
    while (!this.#takes("=")) {
      const operator = OPERATORS.findIndex((sign) => sign !== "" && this.#takes(sign));
      if (operator < 0) this.#refuse('an operator (&, <<, >>, @) or "=" is expected');
      if (numbers.length === MOST) this.#refuse(`there are more than ${MOST} numbers before "="`);
      const number = this.#number();
      if ((operator === LEFT || operator === RIGHT) && number > 31) this.#refuse("a shift is 31 at most");
      operators.push(operator);
      numbers.push(number);
    }
    do {
      if (values.length === 2 * MOST) this.#refuse(`there are more than ${MOST} values`);
      const min = this.#number(), max = this.#takes(":") ? this.#number() : min;
      if (min > max && !this.cut) this.#refuse("a range ends before it begins; swap its ends");
      values.push(min, max);
    } while (this.#takes(","));
    return { operators, numbers: Uint32Array.from(numbers), values: Uint32Array.from(values) };
  }

  /** Passes over blanks, and over the sign if it is there. */
  #takes(sign: string): boolean {
    while (/\s/.test(this.text.charAt(this.#at))) this.#at++;
    if (!this.text.startsWith(sign, this.#at)) return false;
    this.#at += sign.length;
    return true;
  }

  #number(): number {
    this.#takes("");
    const digits = /^\+?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)/.exec(this.text.slice(this.#at))?.[0];
    const number = digits === undefined ? null : wholeNumber(digits, 0, 0xffffffff);
    if (number === null) return this.#refuse("a number of 32 bits is expected");
    this.#at += digits!.length;
    return number;
  }

  #refuse(what: string): never {
    throw new OptionError(`${show(this.text)}, letter ${this.#at + 1}: ${what}`);
  }
}

class U32Match implements Match {
  readonly #tests: readonly Test[];
  readonly #invert: boolean;

  constructor(tests: readonly Test[], invert: boolean) {
    this.#tests = tests;
    this.#invert = invert;
  }

  match(p: Packet): boolean {
    for (let i = 0; i < this.#tests.length; i++) if (!holds(this.#tests[i], p)) return this.#invert;
    return !this.#invert;
  }
}

/** False, too, where the packet ends before the word does. */
function holds({ operators, numbers, values }: Test, p: Packet): boolean {
  let from = 0, word = 0;
  if (numbers[0] + 4 > p.length) return false;
  word = p.view.getUint32(numbers[0]);
  for (let i = 1; i < numbers.length; i++) {
    const number = numbers[i], operator = operators[i];
    if (operator === AND) word = (word & number) >>> 0;
    else if (operator === LEFT) word = (word << number) >>> 0;
    else if (operator === RIGHT) word >>>= number;
    else {
      from += word;
      if (from + number + 4 > p.length) return false;
      word = p.view.getUint32(from + number);
    }
  }
  for (let i = 0; i < values.length; i += 2) if (word >= values[i] && word <= values[i + 1]) return true;
  return false;
}

/** All tests hold: the word that is found has one of the values. */
export const u32: MatchExtension = defineMatch<{ u32: readonly Test[] }>({
  name: "u32",
  options: { u32: { flag: "u32", kind: tests, negatable: true } },
  required: ["u32"],
  create: (o) => new U32Match(o.u32!.value, o.u32!.invert),
});
