/**
 * A gateway: a LAN behind one address, with FTP that works in both modes, for IPv4 and IPv6.
 * A web server in the LAN is reached from outside without tracking, so its flows take no room in the flow table.
 *
 * ```
 *   namespace lan                         Weir                         namespace wan
 *  ┌──────────────┐      lan ┌───────────────────────────┐ wan      ┌────────────────┐
 *  │ 192.0.2.2    ├──────────┤ 192.0.2.1    198.51.100.1 ├──────────┤ 198.51.100.2   │
 *  │ 2001:db8:1::2│          │      MASQUERADE ──▶       │          │ 2001:db8:2::2  │
 *  │ web server   │          │      ◀── port 80, NOTRACK │          │ the world      │
 *  └──────────────┘          └───────────────────────────┘          └────────────────┘
 * ```
 *
 * @module
 */

import { defineRouter, ftp } from "weir";

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
  tables: {
    // What NOTRACK exempts, it exempts in both directions: a rule for the questions and one for the answers.
    raw: {
      PREROUTING: [
        { inInterface: "wan", protocol: "tcp", dport: 80, jump: "NOTRACK" },
        { inInterface: "lan", protocol: "tcp", sport: 80, jump: "NOTRACK" },
      ],
    },
    nat: {
      POSTROUTING: [{ outInterface: "wan", jump: "MASQUERADE" }],
    },
    filter: {
      FORWARD: {
        policy: "DROP",
        rules: [
          { state: ["ESTABLISHED", "RELATED"], jump: "ACCEPT" },
          { inInterface: "lan", outInterface: "wan", jump: "ACCEPT" },
          { inInterface: "wan", outInterface: "lan", protocol: "tcp", dport: 80, jump: "ACCEPT" },
          { protocol: "icmp", icmpType: "echo-request", jump: "ACCEPT" },
          { protocol: "icmpv6", icmpv6Type: "echo-request", jump: "ACCEPT" },
        ],
      },
    },
  },
  helpers: [ftp()],
});
