/** A label of the packet's flow, one of 128 bits (iptables -m connlabel; xt_connlabel). */
import type { Conntrack } from "../conntrack/core.ts";
import { CT_LABELS } from "../conntrack/flow.ts";
import { IPCT_LABEL } from "../conntrack/teller.ts";
import { NO_CT } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { defineMatch, type Kind, type Match, type MatchExtension } from "../tables/extension.ts";
import { flag, refuse, wholeNumber } from "../tables/kinds.ts";

/** iptables quotes the number, since it may have a name in its place (connlabel.conf, which Weir does not read). */
const label: Kind<number> = {
  words: 1,
  expects: "a label's number from 0 to 127",
  read(input) {
    return wholeNumber(input, 0, 127) ?? refuse(input, this.expects);
  },
  print: (value) => `"${value}"`,
};

class ConnlabelMatch implements Match {
  readonly #conntrack: Conntrack;
  readonly #word: number;
  readonly #bit: number;
  readonly #set: boolean;
  readonly #invert: boolean;
  readonly pure?: true;

  constructor(conntrack: Conntrack, label: number, set: boolean, invert: boolean) {
    this.#conntrack = conntrack;
    this.#word = CT_LABELS + (label >> 5);
    this.#bit = 1 << (label & 31);
    this.#set = set;
    this.#invert = invert;
    if (!set) this.pure = true;
  }

  match(p: Packet): boolean {
    if (p.ct === NO_CT) return this.#invert;
    const { words } = this.#conntrack.flows, at = this.#conntrack.flows.side(p.ct) + this.#word;
    if ((words[at] & this.#bit) === 0) {
      if (!this.#set) return this.#invert;
      words[at] |= this.#bit;
      this.#conntrack.teller.due(p.ct, IPCT_LABEL);
    }
    return !this.#invert;
  }
}

/** The flow has a label; or gets it, and has it then. */
export const connlabel: MatchExtension = defineMatch<{ connlabel: number; setConnlabel: true }>({
  name: "connlabel",
  tracks: true,
  options: {
    connlabel: { flag: "label", kind: label, negatable: true },
    setConnlabel: { flag: "set", kind: flag },
  },
  required: ["connlabel"],
  create: (o, c) =>
    new ConnlabelMatch(
      c.services.conntrack,
      o.connlabel!.value,
      o.setConnlabel !== undefined,
      o.connlabel!.invert,
    ),
});
