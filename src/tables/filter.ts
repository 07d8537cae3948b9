/** The filter table (NF_IP_PRI_FILTER, 0): what may pass; each packet meets it exactly once. */
import { FORWARD, INPUT, OUTPUT } from "../netfilter.ts";
import type { TableDefinition } from "./definition.ts";

/** INPUT for Weir's own addresses, FORWARD for what passes through, OUTPUT for what Weir sends. */
export const filter: TableDefinition = { name: "filter", hooks: [INPUT, FORWARD, OUTPUT] };
