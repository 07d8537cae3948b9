/** The raw table (NF_IP_PRI_RAW, −300): before connection tracking, so its rules can exempt packets from it. */
import { OUTPUT, PREROUTING } from "../netfilter.ts";
import type { TableDefinition } from "./definition.ts";

/** PREROUTING and OUTPUT. Fragments have been gathered before, when packets are tracked at all. */
export const raw: TableDefinition = { name: "raw", hooks: [PREROUTING, OUTPUT] };
