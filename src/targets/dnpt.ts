/** Another prefix for the destination, without state (ip6tables -t mangle -j DNPT; RFC 6296). */
import { OUTPUT, PREROUTING } from "../netfilter.ts";
import { IPV6_DESTINATION } from "../packet/ipv6.ts";
import type { TargetExtension } from "../tables/extension.ts";
import { npt } from "./npt.ts";

/** The destination's prefix becomes another; in an ICMPv6 error so does the source of the packet that it quotes. */
export const DNPT: TargetExtension = npt("DNPT", (1 << PREROUTING) | (1 << OUTPUT), IPV6_DESTINATION);
