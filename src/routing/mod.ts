/**
 * Routing: where packets go, what they meet on the way, and what Weir says itself.
 *
 * ```
 *              PREROUTING
 *                  │
 *            Routing.input ──── ROUTE_ERROR ──▶ IcmpErrors.makeNoRoute ─┐
 *                  │                                                    │
 *           Ipv4Options.receive ── "bad-option" ──▶ IcmpErrors.make ────┤
 *              │        │                                               │
 *       ROUTE_LOCAL   ROUTE_FORWARD                                     ▼
 *          INPUT      Forwarder.forward ── FORWARD_ERROR ──▶ make ──▶ OUTPUT ──▶ POSTROUTING ──▶ device
 *              │        FORWARD                                         ▲             ▲
 *     LocalStack.answer   │  Reject (from rules) ───────────────────────┤             │
 *              └──────────┼─────────────────────────────────────────────┘             │
 *                  Ipv4Options.forward ──▶ POSTROUTING ──▶ Forwarder.finish ──▶ device
 * ```
 *
 * Between INPUT and `LocalStack`, `HeaderWalk` judges the extension headers of IPv6.
 * How long a packet may be is `PathMtus`' to say; it learns from errors for Weir's own addresses, which `LocalStack`
 * hands to `TooBig`.
 *
 * @module
 */
export { Fib, type RouteSpec } from "./fib.ts";
export * from "./forward.ts";
export { IcmpErrors } from "./icmp_error.ts";
export { Interfaces, type InterfaceSpec } from "./interfaces.ts";
export { Ipv4Options } from "./ipv4_options.ts";
export { LocalStack } from "./local.ts";
export { PathMtus } from "./path_mtu.ts";
export { Redirects } from "./redirect.ts";
export { Reject } from "./reject.ts";
export * from "./route.ts";
export { TcpResets } from "./tcp_reset.ts";
export { TooBig } from "./too_big.ts";
