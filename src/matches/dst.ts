/** The destination options of IPv6 (ip6tables -m dst; ip6t_hbh). */
import { DESTINATION_OPTIONS } from "../packet/ipv6.ts";
import { defineMatch, type MatchExtension } from "../tables/extension.ts";
import { uint } from "../tables/kinds.ts";
import { type Ipv6Options, ipv6Options, Ipv6OptionsMatch } from "./hbh.ts";

/** Their length, and the options that they begin with. */
export const dst: MatchExtension = defineMatch<{ dstLen: number; dstOpts: Ipv6Options }>({
  name: "dst",
  families: [6],
  options: {
    dstLen: { flag: "dst-len", kind: uint(0, 0xffffffff), negatable: true },
    dstOpts: { flag: "dst-opts", kind: ipv6Options },
  },
  create: (o) => new Ipv6OptionsMatch(DESTINATION_OPTIONS, o.dstLen, o.dstOpts),
});
