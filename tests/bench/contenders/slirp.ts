/**
 * slirp4netns: a TCP/IP stack in user space that turns what lan sends into sockets of its own. It has no rules, and
 * needs none: what it does is what MASQUERADE does, for one network, from inside to outside.
 */
import { WAN } from "../addresses.ts";
import { type Contender, processRouter } from "../contender.ts";

/** Its place in its own network is fixed: the second address is the gateway. */
const GUEST = "192.0.2.100", GATE = "192.0.2.2";

function slirp(mtu: number): Contender {
  return {
    name: `slirp${mtu}`,
    title: `slirp ${mtu}`,
    needs: ["slirp4netns"],
    mostFlows: 0,
    warms: false,
    async start(stage) {
      // Its sockets are opened in wan, and the servers there are its neighbours.
      await stage.ip("wan", `addr add ${WAN}/32 dev lo\n`);
      const process = stage.spawnRouter("wan", [
        "slirp4netns",
        "--netns-type=path",
        "--cidr=192.0.2.0/24",
        `--mtu=${mtu}`,
        "/run/netns/lan",
        "lan",
      ]);
      await process.waitFor(/received tapfd|Starting slirp/);
      await stage.ip(
        "lan",
        `addr add ${GUEST}/24 dev lan\nlink set lan mtu ${mtu} up\nroute add default via ${GATE}\n`,
      );
      return processRouter(process);
    },
  };
}

export const slirp65520 = slirp(65520);
export const slirp1500 = slirp(1500);
