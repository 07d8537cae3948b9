/** Who is compared, in the order of their columns. */
import type { Contender } from "../contender.ts";
import { floor } from "./floor.ts";
import { kernel } from "./kernel.ts";
import { ovs } from "./ovs.ts";
import { slirp1500, slirp65520 } from "./slirp.ts";
import { weir } from "./weir.ts";

export const CONTENDERS: readonly Contender[] = [weir, floor, kernel, ovs, slirp65520, slirp1500];
