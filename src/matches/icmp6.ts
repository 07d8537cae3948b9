/** ICMPv6 type and code (ip6tables -m icmp6). */
import { ICMPV6 } from "../netfilter.ts";
import { defineMatch, type MatchExtension } from "../tables/extension.ts";
import { icmpKind, IcmpMatch, type IcmpNames, type IcmpType } from "./icmp.ts";

const NAMES: IcmpNames = [
  ["destination-unreachable", 1],
  ["no-route", 1, 0],
  ["communication-prohibited", 1, 1],
  ["beyond-scope", 1, 2],
  ["address-unreachable", 1, 3],
  ["port-unreachable", 1, 4],
  ["failed-policy", 1, 5],
  ["reject-route", 1, 6],
  ["packet-too-big", 2],
  ["time-exceeded", 3],
  ["ttl-exceeded", 3],
  ["ttl-zero-during-transit", 3, 0],
  ["ttl-zero-during-reassembly", 3, 1],
  ["parameter-problem", 4],
  ["bad-header", 4, 0],
  ["unknown-header-type", 4, 1],
  ["unknown-option", 4, 2],
  ["echo-request", 128],
  ["ping", 128],
  ["echo-reply", 129],
  ["pong", 129],
  ["mld-listener-query", 130],
  ["mld-listener-report", 131],
  ["mld-listener-done", 132],
  ["mld-listener-reduction", 132],
  ["router-solicitation", 133],
  ["router-advertisement", 134],
  ["neighbour-solicitation", 135],
  ["neighbor-solicitation", 135],
  ["neighbour-advertisement", 136],
  ["neighbor-advertisement", 136],
  ["redirect", 137],
];

/** ICMPv6 type and code. */
export const icmp6: MatchExtension = defineMatch<{ icmpv6Type: IcmpType }>({
  name: "icmp6",
  families: [6],
  protocols: [ICMPV6],
  options: { icmpv6Type: { flag: "icmpv6-type", kind: icmpKind("ICMPv6", NAMES), negatable: true } },
  required: ["icmpv6Type"],
  create: (o) => new IcmpMatch(o.icmpv6Type!.value, o.icmpv6Type!.invert, false),
});
