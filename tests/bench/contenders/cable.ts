/** Ethernet between the place of the router and lan and wan: a veth pair each, named the same at both ends. */
import { LAN, LAN_GATE, MAC, WAN, WAN_GATE } from "../addresses.ts";
import type { Stage } from "../stage.ts";

/** Lan and wan get their addresses and a default route; the router's ends are left down. */
export async function cable(stage: Stage): Promise<void> {
  const ends = [
    { netns: "lan", own: LAN, gate: LAN_GATE, mac: MAC.lan, gateMac: MAC.lanGate },
    { netns: "wan", own: WAN, gate: WAN_GATE, mac: MAC.wan, gateMac: MAC.wanGate },
  ];
  for (const { netns, own, gate, mac, gateMac } of ends) {
    await stage.ip(
      "",
      `link add ${netns} address ${gateMac} type veth peer name ${netns} address ${mac} netns ${netns}\n`,
    );
    await stage.ip(
      netns,
      `addr add ${own}/24 dev ${netns}\nlink set ${netns} up\nroute add default via ${gate}\n` +
        `neigh replace ${gate} lladdr ${gateMac} dev ${netns} nud permanent\n`,
    );
  }
}
