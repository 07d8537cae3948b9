/** Weir under the benchmark. Rules and room come from the environment. */
import { defineRouter, ftp } from "weir";
import { FAR_NET, LAN, LAN_GATE, WAN, WAN_GATE } from "../addresses.ts";

export default defineRouter({
  interfaces: {
    lan: {
      addresses: [`${LAN_GATE}/24`],
      peer: { netns: "lan", addresses: [`${LAN}/24`], routes: ["default"] },
    },
    wan: {
      addresses: [`${WAN_GATE}/24`],
      peer: { netns: "wan", addresses: [`${WAN}/24`], routes: ["default"] },
    },
  },
  routes: [{ destination: FAR_NET, interface: "wan", via: WAN }],
  iptables: Deno.readTextFileSync(Deno.env.get("WEIR_BENCH_RULES")!),
  helpers: [ftp({ autoAssign: false })],
  sysctl: {
    "net.netfilter.nf_conntrack_max": Number(Deno.env.get("WEIR_BENCH_FLOWS")),
    "net.netfilter.nf_conntrack_udp_timeout": 300,
    "net.netfilter.nf_conntrack_udp_timeout_stream": 300,
  },
});
