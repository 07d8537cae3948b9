import type { ValidConfig } from "./config/valid.ts";
import { HELD_EXPECTS } from "./conntrack/expect.ts";
import type { Geometry } from "./memory.ts";

/** The room that a configuration needs in memory. */
export function geometryOf(config: ValidConfig): Geometry {
  return {
    interfaces: config.interfaces.length,
    rules: config.counters,
    flows: config.sysctl.get("net.netfilter.nf_conntrack_max"),
    expects: config.sysctl.get("net.netfilter.nf_conntrack_expect_max") + HELD_EXPECTS,
  };
}
