/**
 * A set as rules name it: its name, and which of the packet's addresses, ports and interfaces are meant.
 *
 * @module
 */
import { hasFamily, type SetSpec } from "../sets/spec.ts";
import { type CheckContext, type Kind, OptionError, UnsupportedError } from "./extension.ts";
import { refuse } from "./kinds.ts";

/** The kernel's structure has room for so many. */
const MOST_FLAGS = 6;

/** `blocked src,dst` in parts. */
export interface SetFlags {
  readonly name: string;
  /** `src` or `dst` for each part of a member; those that it has not are of no use. */
  readonly flags: readonly string[];
}

/** `NAME src[,dst…]`. */
export const setFlags: Kind<SetFlags> = {
  words: 2,
  expects: 'the name of a set and "src" or "dst" for each part of its members, such as "blocked src"',
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

/** The set of a rule; throws `OptionError` when there is none, or none of the rule's family. */
export function findSet(
  { name }: SetFlags,
  c: Pick<CheckContext, "sets" | "setsLeftOut" | "family">,
): SetSpec {
  const leftOut = c.setsLeftOut?.get(name);
  if (leftOut !== undefined) throw new UnsupportedError(`set ${name} is left out: ${leftOut.reason}`);
  const found = c.sets?.get(name);
  if (found === undefined) {
    const known = [...c.sets?.keys() ?? []];
    throw new OptionError(
      `there is no set ${JSON.stringify(name)}; ${
        known.length === 0 ? "list it in `sets` or `ipset`" : `there are ${known.join(", ")}`
      }`,
    );
  }
  if (!hasFamily(found, c.family)) {
    throw new OptionError(
      `set ${JSON.stringify(name)} is of IPv${c.family === 4 ? 6 : 4}, and the rule of IPv${c.family}; ` +
        `move the rule to tables.ipv${c.family === 4 ? 6 : 4}`,
    );
  }
  return found;
}
