/** Linux itself: veth pairs, and the same iptables-save text. Its work is done on the core where the packet was sent. */
import { FAR_NET, LAN_GATE, MAC, RAW, WAN, WAN_GATE } from "../addresses.ts";
import type { Contender } from "../contender.ts";
import { cable } from "./cable.ts";

/** Flows that the machine allows; a namespace cannot change it, and the machine's own setting is not ours to touch. */
function mostFlows(): number {
  try {
    return Number(Deno.readTextFileSync("/proc/sys/net/netfilter/nf_conntrack_max"));
  } catch {
    return 0;
  }
}

export const kernel: Contender = {
  name: "kernel",
  title: "Linux",
  needs: ["iptables-legacy-restore"],
  mostFlows: mostFlows(),
  warms: false,
  async start(stage, { rules }) {
    await cable(stage);
    await stage.ip(
      "",
      `addr add ${LAN_GATE}/24 dev lan\naddr add ${WAN_GATE}/24 dev wan\nlink set lan up\nlink set wan up\n` +
        `neigh replace ${RAW} lladdr ${MAC.lan} dev lan nud permanent\n` +
        `route add ${FAR_NET} via ${WAN}\n`,
    );
    const knobs = ["ipv4/ip_forward=1", "netfilter/nf_conntrack_udp_timeout=300"];
    knobs.push("netfilter/nf_conntrack_udp_timeout_stream=300", "ipv4/conf/all/rp_filter=0");
    knobs.push("ipv4/conf/lan/rp_filter=0", "ipv4/conf/wan/rp_filter=0");
    for (const knob of knobs) {
      const [name, value] = knob.split("=");
      await stage.lab.ok("", "sh", "-c", `echo ${value} > /proc/sys/net/${name}`);
    }
    await stage.lab.ok("", "iptables-legacy-restore", stage.lab.write("rules.v4", rules));
    return { process: null, mac: MAC.lanGate, memory: slabBytes };
  },
};

/** Bytes of the kernel's flow records: that is its memory for flows, but for the table of buckets. */
function slabBytes(): number | null {
  const text = Deno.readTextFileSync("/proc/meminfo");
  return Number(/^Slab:\s+(\d+)/m.exec(text)![1]) * 1024;
}
