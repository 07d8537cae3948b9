/**
 * The nat table (−100 for destinations, +100 for sources): asked for the first packet of each flow and each half only.
 * Later packets follow what it said; NAT itself calls it, not the hooks.
 */
import { INPUT, OUTPUT, POSTROUTING, PREROUTING } from "../netfilter.ts";
import type { TableDefinition } from "./definition.ts";

/** Destinations in PREROUTING and OUTPUT, sources in POSTROUTING and INPUT. Nothing is to be dropped here. */
export const nat: TableDefinition = { name: "nat", hooks: [PREROUTING, INPUT, OUTPUT, POSTROUTING] };
