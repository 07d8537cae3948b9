/**
 * The router under the benchmark: every table in use, tracking and MASQUERADE on, both families.
 * Namespace names come from the environment, so that runs do not meet.
 */
import { defineRouter, ftp } from "weir";

const lan = Deno.env.get("WEIR_BENCH_LAN") ?? "bench-lan";
const wan = Deno.env.get("WEIR_BENCH_WAN") ?? "bench-wan";

export default defineRouter({
  interfaces: {
    lan: {
      addresses: ["192.0.2.1/24"],
      peer: { netns: lan, addresses: ["192.0.2.2/24"], routes: ["default"] },
    },
    wan: {
      addresses: ["198.51.100.1/24"],
      peer: { netns: wan, addresses: ["198.51.100.2/24"], routes: ["default"] },
    },
  },
  tables: {
    raw: { PREROUTING: [{ protocol: "udp", dport: 9, jump: "NOTRACK" }] },
    mangle: { FORWARD: [{ protocol: "tcp", dport: 22, jump: "MARK", setMark: 1 }] },
    filter: {
      FORWARD: {
        policy: "DROP",
        rules: [
          { state: ["ESTABLISHED", "RELATED"], jump: "ACCEPT" },
          { state: "INVALID", jump: "DROP" },
          { inInterface: "lan", outInterface: "wan", jump: "ACCEPT" },
        ],
      },
    },
    ipv4: { nat: { POSTROUTING: [{ outInterface: "wan", jump: "MASQUERADE" }] } },
  },
  helpers: [ftp()],
});
