/**
 * A condition of your own: a TypeScript function decides, on each packet, whether a rule applies.
 * Here: TCP connections may be opened to even ports only, which no iptables match can say.
 *
 * ```
 *   namespace lan                   Weir                    namespace wan
 *  ┌─────────────┐     lan ┌──────────────────┐ wan      ┌────────────────┐
 *  │ 192.0.2.2   ├─────────┤ evenPort(p) ? ──▶├──────────┤ 198.51.100.2   │
 *  └─────────────┘         │        └▶ REJECT │          └────────────────┘
 *                          └──────────────────┘
 * ```
 *
 * @module
 */

import { defineRouter, type Packet } from "weir";

/** Runs on the packet path: it reads, decides, and leaves nothing behind. */
function evenPort(p: Packet): boolean {
  return (p.view.getUint16(p.l4 + 2) & 1) === 0; // the destination port, RFC 9293 section 3.1
}

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
    filter: {
      FORWARD: {
        policy: "DROP",
        rules: [
          { state: ["ESTABLISHED", "RELATED"], jump: "ACCEPT" },
          { protocol: "tcp", syn: true, match: evenPort, jump: "ACCEPT" },
          { protocol: "tcp", jump: "REJECT", rejectWith: "tcp-reset" },
        ],
      },
    },
  },
});
