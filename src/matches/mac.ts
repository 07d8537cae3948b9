/** The sender's Ethernet address (iptables -m mac). TUN devices have none, so nothing fits, negated or not. */
import { FORWARD, INPUT, PREROUTING } from "../netfilter.ts";
import { defineMatch, type Kind, type MatchExtension } from "../tables/extension.ts";
import { refuse } from "../tables/kinds.ts";
import { constant } from "./constant.ts";

const address: Kind<string> = {
  words: 1,
  expects: 'an Ethernet address such as "00:00:5e:00:53:01"',
  read(input) {
    const right = typeof input === "string" && /^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}$/i.test(input);
    if (!right) return refuse(input, this.expects);
    return input.toLowerCase().split(":").map((byte) => byte.padStart(2, "0")).join(":");
  },
  print: (value) => value,
};

/** Kept for the sake of imported files; `match: (p) => …` can judge by the address instead. */
export const mac: MatchExtension = defineMatch<{ macSource: string }>({
  name: "mac",
  hooks: 1 << PREROUTING | 1 << INPUT | 1 << FORWARD,
  options: { macSource: { flag: "mac-source", kind: address, negatable: true } },
  required: ["macSource"],
  never: () => "packets of a TUN device have no Ethernet address; ask for the source address",
  create: () => constant(false),
});
