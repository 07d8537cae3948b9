/**
 * Weir: a router that is a TypeScript program.
 *
 * A configuration is a module whose default export is made by `defineRouter`; `deno run -A mod.ts run CONFIG` runs it.
 * As the main module this file is the `weir` command.
 *
 * ```ts
 * import { defineRouter, ftp } from "weir";
 *
 * export default defineRouter({
 *   interfaces: {
 *     lan: { addresses: ["192.0.2.1/24", "2001:db8:1::1/64"] },
 *     wan: { addresses: ["198.51.100.1/24", "2001:db8:2::1/64"] },
 *   },
 *   tables: {
 *     nat: { POSTROUTING: [{ outInterface: "wan", jump: "MASQUERADE" }] },
 *     filter: {
 *       FORWARD: {
 *         policy: "DROP",
 *         rules: [
 *           { state: ["ESTABLISHED", "RELATED"], jump: "ACCEPT" },
 *           { inInterface: "lan", outInterface: "wan", jump: "ACCEPT" },
 *         ],
 *       },
 *     },
 *   },
 *   helpers: [ftp()],
 * });
 * ```
 *
 * @module
 */

export { type DefinedRouter, defineRouter } from "./src/config/define.ts";
export {
  type MapEntries,
  type MapKey,
  type MapVerdict,
  type RuleMap,
  valueMap,
  verdictMap,
} from "./src/config/rule_map.ts";
export type * from "./src/config/types.ts";
export { ConfigError, type Problem, validate, type ValidConfig } from "./src/config/validate.ts";
export * from "./src/helpers/mod.ts";
export type { ConntrackHelper, HelperLimits, OnFailure } from "./src/conntrack/helper.ts";
export type { Packet } from "./src/packet/packet.ts";

if (import.meta.main) {
  // Not awaited: the configuration imports this module, and would wait for it to be done. Not a literal: what one names
  // is read wherever this module is, in data planes too.
  const commands: Promise<typeof import("./src/cli/mod.ts")> = import(
    import.meta.resolve("./src/cli/mod.ts")
  );
  commands.then(({ main }) => main(Deno.args)).then((code) => Deno.exit(code));
}
