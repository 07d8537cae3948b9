/** Exempts the packet from connection tracking (iptables -t raw -j NOTRACK). */
import { CONTINUE, ESTABLISHED, NO_CT, UNTRACKED, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { defineTarget, type Target, type TargetExtension } from "../tables/extension.ts";

/** Leaves a packet alone that already has a flow or a template, as the kernel does. */
export class NotrackTarget implements Target {
  readonly constant = true;
  target(p: Packet): Verdict {
    if (p.ct === NO_CT && p.ctinfo === ESTABLISHED) p.ctinfo = UNTRACKED;
    return CONTINUE;
  }
}

/** No flow, no NAT, no helper for this packet. Its answers need a rule of their own. */
export const NOTRACK: TargetExtension = defineTarget<Record<never, never>>({
  name: "NOTRACK",
  tables: ["raw"],
  options: {},
  create: () => new NotrackTarget(),
});
