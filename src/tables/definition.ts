/** What a table is, apart from its rules. */
import type { Hook } from "../netfilter.ts";
import type { TableName } from "./extension.ts";

/** A table's name and the hooks that consult it, in the order in which iptables-save lists their chains. */
export interface TableDefinition {
  readonly name: TableName;
  readonly hooks: readonly Hook[];
}
