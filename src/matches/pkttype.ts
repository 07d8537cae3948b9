/** How a packet was addressed on its link (iptables -m pkttype). On a TUN device every packet is for this host. */
import { defineMatch, type Kind, type MatchExtension } from "../tables/extension.ts";
import { refuse } from "../tables/kinds.ts";
import { constant } from "./constant.ts";

type PacketType = "unicast" | "broadcast" | "multicast";

const pktType: Kind<PacketType> = {
  words: 1,
  expects: '"unicast", "broadcast" or "multicast"',
  read(input) {
    const word = typeof input === "string" ? input.toLowerCase() : input;
    if (word === "host") return "unicast";
    return word === "unicast" || word === "broadcast" || word === "multicast"
      ? word
      : refuse(input, this.expects);
  },
  print: (value) => value,
};

/** `unicast` fits all packets, the others none, as in Linux on a TUN device. */
export const pkttype: MatchExtension = defineMatch<{ pktType: PacketType }>({
  name: "pkttype",
  options: { pktType: { flag: "pkt-type", kind: pktType, negatable: true } },
  required: ["pktType"],
  never: (o) =>
    (o.pktType!.value === "unicast") === o.pktType!.invert
      ? "on a TUN device every packet is unicast; addrtype (dstType) judges by addresses"
      : null,
  create: (o) => constant((o.pktType!.value === "unicast") !== o.pktType!.invert),
});
