/** An address in a set of the configuration (iptables -m set; xt_set). */
import { IPV4_DESTINATION, IPV4_SOURCE } from "../packet/ipv4.ts";
import { IPV6_DESTINATION, IPV6_SOURCE } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import type { AddressSet } from "../tables/address_set.ts";
import { defineMatch, type Kind, type Match, type MatchExtension, OptionError } from "../tables/extension.ts";
import { refuse } from "../tables/kinds.ts";

/** The kernel's structure has room for so many. */
const MOST_FLAGS = 6;

interface MatchSet {
  readonly name: string;
  /** `src` or `dst`; of several the first is meant, since these sets have one dimension. */
  readonly flags: readonly string[];
  /** Known once the rule is read as a whole. */
  readonly set?: AddressSet;
}

const matchSet: Kind<MatchSet> = {
  words: 2,
  expects: 'the name of a set and "src" or "dst", such as "blocked src"',
  read(input) {
    if (typeof input !== "string") return refuse(input, this.expects);
    const [name, text, ...rest] = input.trim().split(/\s+/);
    const flags = (text ?? "").split(",");
    if (
      rest.length > 0 || flags.length > MOST_FLAGS || flags.some((flag) => flag !== "src" && flag !== "dst")
    ) return refuse(input, this.expects);
    return { name, flags };
  },
  print: ({ name, flags }) => `${name} ${flags.join(",")}`,
};

class SetMatch implements Match {
  readonly pure = true;
  readonly judges = "flow";
  readonly #set: AddressSet;
  readonly #source: boolean;
  readonly #invert: boolean;

  constructor(set: AddressSet, source: boolean, invert: boolean) {
    this.#set = set;
    this.#source = source;
    this.#invert = invert;
  }

  match(p: Packet): boolean {
    const from = p.family === 4
      ? this.#source ? IPV4_SOURCE : IPV4_DESTINATION
      : this.#source
      ? IPV6_SOURCE
      : IPV6_DESTINATION;
    return this.#set.has(p.family, p.view, from) !== this.#invert;
  }
}

/** Source or destination among the addresses and networks of a set. */
export const set: MatchExtension = defineMatch<{ matchSet: MatchSet }>({
  name: "set",
  options: { matchSet: { flag: "match-set", kind: matchSet, negatable: true } },
  required: ["matchSet"],
  finish(o, c) {
    const { value, invert } = o.matchSet!, found = c.sets?.get(value.name);
    if (found === undefined) {
      const known = [...c.sets?.keys() ?? []];
      throw new OptionError(
        `there is no set ${JSON.stringify(value.name)}; ${
          known.length === 0 ? "list it in `sets`" : `\`sets\` has ${known.join(", ")}`
        }`,
      );
    }
    return { matchSet: { value: { ...value, set: found }, invert } };
  },
  create: (o) =>
    new SetMatch(o.matchSet!.value.set!, o.matchSet!.value.flags[0] === "src", o.matchSet!.invert),
});
