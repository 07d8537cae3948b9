/**
 * What matches and targets may ask of the router they work in. A rule is compiled for one router; everything that
 * belongs to that router reaches it through this, and nothing else does.
 *
 * @module
 */
import type { Arena } from "../arena.ts";
import type { Clock, Random } from "../clock.ts";
import type { Conntrack } from "../conntrack/core.ts";
import type { Nat } from "../nat/core.ts";
import type { Packet } from "../packet/packet.ts";
import type { Interfaces } from "../routing/interfaces.ts";
import type { PathMtus } from "../routing/path_mtu.ts";
import type { Sets } from "../sets/mod.ts";
import type { HashlimitTables } from "./hashlimit_table.ts";
import type { RecentLists } from "./recent_list.ts";

/** `Services.reject`: answer with a TCP reset instead of an ICMP error. */
export const REJECT_TCP_RESET = 256;

/** The router, as its rules see it. */
export interface Services {
  readonly conntrack: Conntrack;
  readonly nat: Nat;
  readonly interfaces: Interfaces;
  readonly pathMtus: PathMtus;
  readonly sets: Sets;
  readonly recent: RecentLists;
  readonly hashlimits: HashlimitTables;
  readonly clock: Clock;
  readonly random: Random;
  /** Where a match or target keeps what it remembers from packet to packet. */
  readonly arena: Arena;
  /**
   * Answers the packet's sender; the target drops the packet afterwards. `how` is the code of a destination
   * unreachable message in the packet's own family (ICMP type 3, ICMPv6 type 1), or `REJECT_TCP_RESET`.
   * No answer is made where Linux makes none: to a reset, an ICMP error, a broadcast, a later fragment.
   */
  reject(p: Packet, how: number): void;
  /** Tells the sender of an IPv6 packet that the header field at an offset is unfit; the target drops the packet. */
  parameterProblem(p: Packet, pointer: number): void;
  /** One line for the kernel log, without its line end; `level` is a syslog level, 0 (emerg) to 7 (debug). */
  log(line: string, level: number): void;
}
