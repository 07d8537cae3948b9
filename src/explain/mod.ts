/**
 * Why packets go as they go.
 *
 * Overview: `Explainer` is a router that says how each packet went, `Explanation` is what it says, `printExplanation`
 * makes text of it, and `parsePacket` makes packets of text. `weir explain` and `testRouter` are what people see of it.
 *
 * @module
 */
export { Explainer } from "./explainer.ts";
export type * from "./explanation.ts";
export { PacketTextError, parsePacket } from "./packet_text.ts";
export { printExplanation, type PrintOptions } from "./print.ts";
export { type Tested, TestRouter, testRouter, type TestRouterOptions } from "./testing.ts";
