/**
 * Stand-in for `@std/cli`: `parseArgs`, with the same behaviour. See `src/_std/assert/mod.ts` for why.
 *
 * @module
 */
export * from "./parse_args.ts";
