/**
 * The four tables.
 *
 * ```
 *               PREROUTING   INPUT   FORWARD   OUTPUT   POSTROUTING
 *  raw              ×                             ×
 *  mangle           ×          ×        ×         ×          ×
 *  nat              ×          ×                  ×          ×
 *  filter                      ×        ×         ×
 * ```
 *
 * @module
 */
import type { TableDefinition } from "./definition.ts";
import type { TableName } from "./extension.ts";
import { filter } from "./filter.ts";
import { mangle } from "./mangle.ts";
import { nat } from "./nat.ts";
import { raw } from "./raw.ts";

/** Each table by its name. */
export const TABLES: Readonly<Record<TableName, TableDefinition>> = { raw, mangle, nat, filter };
