/**
 * What the hooks work with: the parts of one router, made once and the same for every packet.
 *
 * @module
 */
import type { Conntrack } from "../conntrack/core.ts";
import type { Nat } from "../nat/core.ts";
import type { Defrag } from "../packet/defrag.ts";
import type { Packet } from "../packet/packet.ts";
import type { Table } from "../tables/table.ts";

/** The rule tables of one address family. A table without rules is null: its hook costs nothing. */
export interface FamilyTables {
  readonly raw: Table | null;
  readonly mangle: Table | null;
  readonly filter: Table | null;
  /**
   * Connection tracking is on: some rule of this family asks about flows, or a helper is listed. Off, packets pass
   * as through a Linux that has no such rule: nothing is gathered, no flow is kept.
   */
  readonly tracking: boolean;
  /** The nat table has rules, so every flow is bound, translated or not. */
  readonly translating: boolean;
}

/** The parts of one router, as the hooks see them. */
export interface State {
  readonly ipv4: FamilyTables;
  readonly ipv6: FamilyTables;
  readonly conntrack: Conntrack;
  readonly nat: Nat;
  readonly defrag: Defrag;
}

/** The tables of the packet's family. */
export function tablesOf(s: State, p: Packet): FamilyTables {
  return p.family === 4 ? s.ipv4 : s.ipv6;
}
