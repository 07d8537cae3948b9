/**
 * Port forwarding: who asks the router's outer address for port 8080 reaches a web server inside.
 * The server sees the client's own address; the client sees the router's alone.
 *
 * ```
 *   namespace lan                     Weir                       namespace wan
 *  ┌───────────────┐    lan ┌───────────────────────┐ wan      ┌────────────────┐
 *  │ 192.0.2.2:80  │◀───────┤ ◀── 198.51.100.1:8080 ├◀─────────┤ 198.51.100.2   │
 *  │ web server    │        │         DNAT          │          │ client         │
 *  └───────────────┘        └───────────────────────┘          └────────────────┘
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
      peer: { netns: "wan", addresses: ["198.51.100.2/24", "2001:db8:2::2/64"] },
    },
  },
  tables: {
    nat: {
      PREROUTING: [
        {
          inInterface: "wan",
          destination: "198.51.100.1",
          protocol: "tcp",
          dport: 8080,
          jump: "DNAT",
          toDestination: "192.0.2.2:80",
        },
        {
          inInterface: "wan",
          destination: "2001:db8:2::1",
          protocol: "tcp",
          dport: 8080,
          jump: "DNAT",
          toDestination: "[2001:db8:1::2]:80",
        },
      ],
    },
    filter: {
      FORWARD: {
        policy: "DROP",
        rules: [
          { state: ["ESTABLISHED", "RELATED"], jump: "ACCEPT" },
          { inInterface: "wan", ctstate: "DNAT", jump: "ACCEPT" },
        ],
      },
    },
  },
});
