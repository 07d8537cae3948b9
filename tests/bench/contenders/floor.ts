/** The bare C forwarder (tools/floor.c): what a router on TUN devices can reach. No rules, no flows. */
import { LAN, WAN } from "../addresses.ts";
import { type Contender, processRouter } from "../contender.ts";

export const floor: Contender = {
  name: "floor",
  title: "C floor",
  needs: [],
  mostFlows: Infinity,
  warms: false,
  async start(stage) {
    const process = stage.spawnRouter("", [stage.tool("floor"), "lan", "lan", "wan", "wan"]);
    await process.waitFor(/^ready/m);
    for (const [netns, own] of [["lan", LAN], ["wan", WAN]]) {
      const commands =
        `addr add ${own}/24 dev ${netns}\nlink set ${netns} up\nroute add default dev ${netns}\n`;
      await stage.ip(netns, commands);
    }
    return processRouter(process);
  },
};
