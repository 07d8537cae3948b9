/**
 * For tests of what users of Weir write: `testRouter` for rules, `HelperLab` for helpers. It stands beside `weir`, not
 * in it, so that a router that runs does not load it.
 *
 * @module
 */
export { PacketTextError } from "./explain/mod.ts";
export { type Tested, TestRouter, testRouter, type TestRouterOptions } from "./explain/mod.ts";
export type * from "./explain/explanation.ts";
export * from "./helpers/testing.ts";
