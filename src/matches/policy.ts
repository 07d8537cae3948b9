/** Whether IPsec has protected or will protect a packet (iptables -m policy). Weir has no IPsec: never. */
import { INPUT, OUTPUT, POSTROUTING, PREROUTING } from "../netfilter.ts";
import { defineMatch, type Kind, type MatchExtension, OptionError } from "../tables/extension.ts";
import { flag, hex, refuse, uint } from "../tables/kinds.ts";
import { constant } from "./constant.ts";

interface PolicyOptions {
  dir: string;
  pol: string;
  strict: true;
  reqid: number;
  spi: number;
  proto: string;
  policyMode: string;
}

function word(...words: readonly string[]): Kind<string> {
  return {
    words: 1,
    expects: `one of ${words.join(", ")}`,
    read(input) {
      return words.find((known) => known === input) ?? refuse(input, this.expects);
    },
    print: (value) => value,
  };
}

const ELEMENT = ["reqid", "spi", "proto", "policyMode"] as const;

/** `pol: "none"` fits every packet, `pol: "ipsec"` none. */
export const policy: MatchExtension = defineMatch<PolicyOptions>({
  name: "policy",
  options: {
    dir: { flag: "dir", kind: word("in", "out") },
    pol: { flag: "pol", kind: word("none", "ipsec") },
    strict: { flag: "strict", kind: flag },
    reqid: { flag: "reqid", kind: uint(0, 0xffffffff), negatable: true },
    spi: { flag: "spi", kind: uint(0, 0xffffffff, (n) => hex(n)), negatable: true },
    proto: { flag: "proto", kind: word("esp", "ah", "ipcomp"), negatable: true },
    policyMode: { flag: "mode", kind: word("transport", "tunnel"), negatable: true },
  },
  required: ["dir"],
  finish(o, c) {
    if (o.pol === undefined) throw new OptionError("policy needs pol (--pol none or --pol ipsec)");
    const without = o.dir!.value === "in" ? 1 << OUTPUT | 1 << POSTROUTING : 1 << PREROUTING | 1 << INPUT;
    if ((c.hooks & without) !== 0) {
      throw new OptionError(
        o.dir!.value === "in"
          ? "dir in is not known in OUTPUT and POSTROUTING; use dir out"
          : "dir out is not known in PREROUTING and INPUT; use dir in",
      );
    }
    if (o.pol.value === "none" && (o.strict ?? ELEMENT.find((name) => o[name] !== undefined)) !== undefined) {
      throw new OptionError("strict, reqid, spi, proto and mode go with pol ipsec");
    }
    return o;
  },
  never: (o) => o.pol!.value === "none" ? null : "Weir has no IPsec, so no packet is protected by it",
  create: (o) => constant(o.pol!.value === "none"),
});
