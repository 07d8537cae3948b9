/** The mangle table (NF_IP_PRI_MANGLE, −150): changes to packets, in every hook, after tracking and before NAT. */
import { FORWARD, INPUT, OUTPUT, POSTROUTING, PREROUTING } from "../netfilter.ts";
import type { TableDefinition } from "./definition.ts";

/** All five hooks. A packet that OUTPUT has changed is routed once more by the router. */
export const mangle: TableDefinition = {
  name: "mangle",
  hooks: [PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING],
};
