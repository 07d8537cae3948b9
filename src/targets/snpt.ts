/** Another prefix for the source, without state (ip6tables -t mangle -j SNPT; RFC 6296). */
import { INPUT, POSTROUTING } from "../netfilter.ts";
import { IPV6_SOURCE } from "../packet/ipv6.ts";
import type { TargetExtension } from "../tables/extension.ts";
import { npt } from "./npt.ts";

/** The source's prefix becomes another; in an ICMPv6 error so does the destination of the packet that it quotes. */
export const SNPT: TargetExtension = npt("SNPT", (1 << INPUT) | (1 << POSTROUTING), IPV6_SOURCE);
