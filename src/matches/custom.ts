/** A TypeScript function as a condition: what iptables has no match for. */
import type { Arena } from "../arena.ts";
import type { Packet } from "../packet/packet.ts";
import { defineMatch, type Kind, type Match, type MatchExtension, OptionError } from "../tables/extension.ts";
import { quote, refuse } from "../tables/kinds.ts";

type Predicate = (p: Packet) => boolean;

const predicate: Kind<Predicate> = {
  words: 1,
  expects: "a function (p: Packet) => boolean",
  read(input) {
    if (typeof input === "string") {
      throw new OptionError("is a function and cannot be given as text; use `tables`");
    }
    if (typeof input !== "function") return refuse(input, this.expects);
    return input as Predicate;
  },
  print: (value) => quote(value.name || "anonymous"),
};

/** Runs the user's code where nothing may throw: a packet it fails on is dropped, the failure told once. */
class CustomMatch implements Match {
  readonly changes = true;
  readonly #function: Predicate;
  readonly #log: (line: string, level: number) => void;
  /** 1 once it has been said. */
  readonly #told: Int32Array;

  constructor(predicate: Predicate, arena: Arena, log: (line: string, level: number) => void) {
    this.#told = arena.int32(1);
    this.#function = predicate;
    this.#log = log;
  }

  match(p: Packet): boolean {
    try {
      return this.#function(p) === true;
    } catch (error) {
      p.hotdrop = true;
      if (this.#told[0] === 0) {
        this.#told[0] = 1;
        this.#log(`weir: the match function ${this.#function.name || "of a rule"} threw: ${error}`, 3);
      }
      return false;
    }
  }
}

/** A function of the packet; `true` is a match. */
export const custom: MatchExtension = defineMatch<{ match: Predicate }>({
  name: "function",
  options: { match: { flag: "name", kind: predicate } },
  required: ["match"],
  create: (o, { services }) =>
    new CustomMatch(o.match!.value, services.arena, (line, level) => services.log(line, level)),
});
