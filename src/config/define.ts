/**
 * The door between a configuration module and the commands that load it.
 *
 * @module
 */
import type { RouterConfig } from "./types.ts";

/** Marks what `defineRouter` has made, across copies of this module (`run` and the user's file may load two). */
const BRAND: unique symbol = Symbol.for("weir.router");

/** A configuration that `defineRouter` has made. */
export type DefinedRouter<C extends RouterConfig = RouterConfig> = C & { readonly [BRAND]: true };

/**
 * Types a configuration and marks it as one; nothing is checked yet (that is `validate`'s part).
 *
 * ```ts ignore
 * import { defineRouter, ftp } from "weir";
 *
 * export default defineRouter({
 *   interfaces: {
 *     lan: { addresses: ["192.0.2.1/24"] },
 *     wan: { addresses: ["198.51.100.1/24"] },
 *   },
 *   tables: { nat: { POSTROUTING: [{ outInterface: "wan", jump: "MASQUERADE" }] } },
 *   helpers: [ftp()],
 * });
 * ```
 */
export function defineRouter<const C extends RouterConfig>(config: C): DefinedRouter<C> {
  return Object.defineProperty({ ...config }, BRAND, { value: true }) as DefinedRouter<C>;
}

/** True for what `defineRouter` returned: tells a configuration from any other default export. */
export function isDefinedRouter(value: unknown): value is DefinedRouter {
  return typeof value === "object" && value !== null && (value as Record<symbol, unknown>)[BRAND] === true;
}
