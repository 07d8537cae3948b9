/**
 * A web server on Weir's own address: port 80 is not tracked, everything else is stateful.
 * A flood of web clients cannot fill the flow table, and the rules for all other services stay as safe as they were.
 *
 * ```
 *                    Weir                               namespace wan
 *   weir0 ┌─────────────────────────┐ wan             ┌────────────────┐
 *  ┌──────┤ 198.51.100.1            ├─────────────────┤ 198.51.100.2   │
 *  │      │ port 80: NOTRACK        │                 │ web clients    │
 *  │      │ all else: NEW, ESTABLISHED, RELATED       │                │
 *  │      └─────────────────────────┘                 └────────────────┘
 *  └ web server, and other programs of this machine
 * ```
 *
 * @module
 */

import { defineRouter } from "weir";

export default defineRouter({
  interfaces: {
    wan: {
      addresses: ["198.51.100.1/24", "2001:db8:2::1/64"],
      peer: { netns: "wan", addresses: ["198.51.100.2/24", "2001:db8:2::2/64"], routes: ["default"] },
    },
  },
  host: { device: "weir0" },
  tables: {
    raw: {
      PREROUTING: [{ protocol: "tcp", dport: 80, jump: "NOTRACK" }],
      OUTPUT: [{ protocol: "tcp", sport: 80, jump: "NOTRACK" }],
    },
    filter: {
      INPUT: {
        policy: "DROP",
        rules: [
          { state: ["ESTABLISHED", "RELATED"], jump: "ACCEPT" },
          { protocol: "tcp", dport: 80, jump: "ACCEPT" },
          { protocol: "tcp", dport: 22, state: "NEW", jump: "ACCEPT" },
          { protocol: "icmp", icmpType: "echo-request", jump: "ACCEPT" },
          { protocol: "icmpv6", icmpv6Type: "echo-request", jump: "ACCEPT" },
        ],
      },
      OUTPUT: {
        policy: "DROP",
        rules: [
          { state: ["NEW", "ESTABLISHED", "RELATED"], jump: "ACCEPT" },
          { protocol: "tcp", sport: 80, jump: "ACCEPT" },
        ],
      },
    },
  },
});
