/** SCTP ports (iptables -m sctp; xt_sctp). Chunk types are not asked for. */
import { SCTP } from "../netfilter.ts";
import { SCTP_HEADER } from "../packet/sctp.ts";
import { defineMatch, type MatchExtension, printOptions } from "../tables/extension.ts";
import { withoutFullRanges } from "./tcp.ts";
import { type PortOptions, portOptions, PortsMatch } from "./udp.ts";

/** SCTP ports. */
export const sctp: MatchExtension = defineMatch<PortOptions>({
  name: "sctp",
  protocols: [SCTP],
  options: portOptions,
  save: (o, c) => printOptions(sctp, withoutFullRanges(o), c),
  create: (o) => new PortsMatch(o, SCTP_HEADER),
});
