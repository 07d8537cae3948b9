/**
 * A router that tracks nothing it forwards, while its own services stay behind stateful rules.
 * Programs of this machine serve and use the network on Weir's addresses, through the device `weir0`.
 *
 * ```
 *   namespace lan                      Weir                       namespace wan
 *  ┌─────────────┐     lan ┌────────────────────────┐ wan      ┌────────────────┐
 *  │ 192.0.2.2   ├─────────┤ ═══ forward, NOTRACK ══├──────────┤ 198.51.100.2   │
 *  └─────────────┘         │ 192.0.2.1 198.51.100.1 │          └────────────────┘
 *                          └───────────┬────────────┘
 *                                weir0 │ INPUT, OUTPUT: tracked
 *                              programs of this machine
 * ```
 *
 * @module
 */

import { defineRouter } from "weir";

export default defineRouter({
  interfaces: {
    lan: {
      addresses: ["192.0.2.1/24", "2001:db8:1::1/64"],
      peer: { netns: "lan", addresses: ["192.0.2.2/24", "2001:db8:1::2/64"], routes: ["default"] },
    },
    wan: {
      addresses: ["198.51.100.1/24", "2001:db8:2::1/64"],
      peer: { netns: "wan", addresses: ["198.51.100.2/24", "2001:db8:2::2/64"], routes: ["default"] },
    },
  },
  host: { device: "weir0" },
  tables: {
    raw: {
      // Not for one of Weir's own addresses: it will be forwarded.
      PREROUTING: [{ dstType: "! LOCAL", jump: "NOTRACK" }],
    },
    filter: {
      INPUT: {
        policy: "DROP",
        rules: [
          { state: ["ESTABLISHED", "RELATED"], jump: "ACCEPT" },
          { protocol: "icmp", icmpType: "echo-request", jump: "ACCEPT" },
          { protocol: "icmpv6", icmpv6Type: "echo-request", jump: "ACCEPT" },
          { inInterface: "lan", protocol: "tcp", dport: [22, 8080], state: "NEW", jump: "ACCEPT" },
        ],
      },
    },
  },
});
