/**
 * A helper of your own: a protocol that Weir has never heard of announces connections, and they pass, through NAT.
 * Here: a parcel service, whose clients tell the server on TCP port 7000 where to deliver: `DELIVER 10.0.0.2 5000`.
 *
 * ```
 *   namespace lan                      Weir                         namespace wan
 *  ┌─────────────┐     lan ┌──────────────────────────┐ wan      ┌────────────────┐
 *  │ 192.0.2.2   ├─────────┤ DELIVER 192.0.2.2 5000   ├──────────┤ 198.51.100.2   │
 *  └─────────────┘         │ DELIVER 198.51.100.1 5000 ──▶ :7000 │                │
 *         ▲                └──────────────────────────┘          └───────┬────────┘
 *         └───────────────── RELATED, to port 5000 ──────────────────────┘
 * ```
 *
 * @module
 */

import { defineHelper, defineRouter, type NatHalf, type Payload } from "weir";

/** Conntrack half: `DELIVER address port`, at the start of what a client says. */
function find(payload: Payload): void {
  if (!payload.startsWith("DELIVER ")) return;
  const start = "DELIVER ".length, blank = payload.find(" ", start);
  if (blank < 0) return;
  const port = payload.number(blank + 1);
  payload.announce({ port, address: payload.text(start, blank), start, end: payload.behind });
}

/** NAT half: the address under which the server knows the client, and a port that is free there. */
const nat: NatHalf = (out, { address, port }) => {
  out.text(address).text(" ").number(port);
};

/** The parcel service. */
export const parcel = defineHelper({
  name: "parcel",
  protocol: "tcp",
  ports: [7000],
  reads: "client",
  minPort: 1024,
  find,
  nat,
});

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
    nat: { POSTROUTING: [{ outInterface: "wan", jump: "MASQUERADE" }] },
    filter: {
      FORWARD: {
        policy: "DROP",
        rules: [
          { state: "ESTABLISHED", jump: "ACCEPT" },
          { state: "RELATED", helper: "parcel", jump: "ACCEPT" },
          { inInterface: "lan", protocol: "tcp", dport: 7000, state: "NEW", jump: "ACCEPT" },
        ],
      },
    },
  },
  helpers: [parcel],
});
