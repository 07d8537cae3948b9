/** What is measured, in the order of the table. */
import type { Scenario } from "../scenario.ts";
import { bulk } from "./bulk.ts";
import { ftp } from "./ftp.ts";
import { heap } from "./heap.ts";
import { liveFlows } from "./live_flows.ts";
import { lookup } from "./lookup.ts";
import { memory } from "./memory.ts";
import { newFlows } from "./new_flows.ts";
import { notrack } from "./notrack.ts";
import { packets } from "./packets.ts";
import { roundTrip } from "./round_trip.ts";
import { rules } from "./rules.ts";
import { start } from "./start.ts";
import { uso } from "./uso.ts";

export const SCENARIOS: readonly Scenario[] = [
  bulk,
  packets,
  uso,
  newFlows,
  liveFlows,
  lookup,
  rules,
  notrack,
  ftp,
  roundTrip,
  start,
  memory,
  heap,
];
