/** The ports of a bridge that a packet came and goes by (iptables -m physdev). Weir has no bridges. */
import { OUTPUT } from "../netfilter.ts";
import {
  defineMatch,
  type Kind,
  type MatchExtension,
  OptionError,
  type Options,
} from "../tables/extension.ts";
import { flag, refuse } from "../tables/kinds.ts";
import { constant } from "./constant.ts";

interface PhysdevOptions {
  physdevIsIn: true;
  physdevIn: string;
  physdevIsOut: true;
  physdevOut: string;
  physdevIsBridged: true;
}

const device: Kind<string> = {
  words: 1,
  expects: "the name of a bridge's port, of at most 15 characters",
  read(input) {
    return typeof input === "string" && /^[^\s/]{1,15}$/.test(input) ? input : refuse(input, this.expects);
  },
  print: (value) => value,
};

/** What is not on a bridge fits a condition exactly when it is negated. */
function fits(o: Options<PhysdevOptions>): boolean {
  return Object.values(o).every((given) => given === undefined || given.invert);
}

/** Fits packets that crossed a bridge: here none, and the negations all. */
export const physdev: MatchExtension = defineMatch<PhysdevOptions>({
  name: "physdev",
  options: {
    physdevIsIn: { flag: "physdev-is-in", kind: flag, negatable: true },
    physdevIn: { flag: "physdev-in", kind: device, negatable: true },
    physdevIsOut: { flag: "physdev-is-out", kind: flag, negatable: true },
    physdevOut: { flag: "physdev-out", kind: device, negatable: true },
    physdevIsBridged: { flag: "physdev-is-bridged", kind: flag, negatable: true },
  },
  required: ["physdevIsIn", "physdevIn", "physdevIsOut", "physdevOut", "physdevIsBridged"],
  finish(o, c) {
    const out = o.physdevIsOut ?? o.physdevOut, bridged = o.physdevIsBridged;
    if (out !== undefined && (bridged === undefined || bridged.invert) && (c.hooks & 1 << OUTPUT) !== 0) {
      throw new OptionError(
        "physdevOut and physdevIsOut (--physdev-out, --physdev-is-out) are not known in OUTPUT",
      );
    }
    return o;
  },
  never: (o) => fits(o) ? null : "Weir has no bridges, so no packet has crossed one",
  create: (o) => constant(fits(o)),
});
