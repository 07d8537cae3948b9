/** Writes the checksum that was left to a device (iptables -j CHECKSUM; xt_CHECKSUM), for readers that look at it. */
import { CONTINUE, type Verdict } from "../netfilter.ts";
import { GSO_NONE, type Packet } from "../packet/packet.ts";
import { completeChecksum } from "../packet/segment.ts";
import { defineTarget, type Target, type TargetExtension } from "../tables/extension.ts";
import { flag } from "../tables/kinds.ts";

const FILL: Target = {
  target(p: Packet): Verdict {
    if (p.partialChecksum && p.gsoType === GSO_NONE) completeChecksum(p);
    return CONTINUE;
  },
};

/** DHCP clients that read raw packets need it: what was offloaded has a checksum that is not yet one. */
export const CHECKSUM: TargetExtension = defineTarget<{ checksumFill: true }>({
  name: "CHECKSUM",
  tables: ["mangle"],
  options: { checksumFill: { flag: "checksum-fill", kind: flag } },
  required: ["checksumFill"],
  create: () => FILL,
});
