/** IPv6 hop limit (ip6tables -m hl). */
import { IPV6_HOP_LIMIT } from "../packet/ipv6.ts";
import { defineMatch, type MatchExtension } from "../tables/extension.ts";
import { uint } from "../tables/kinds.ts";
import { HeaderByteMatch } from "./ttl.ts";

/** Hop limit equal to, below or above a value. */
export const hl: MatchExtension = defineMatch<{ hlEq: number; hlLt: number; hlGt: number }>({
  name: "hl",
  families: [6],
  options: {
    hlEq: { flag: "hl-eq", aliases: ["hl"], kind: uint(0, 255), negatable: true },
    hlLt: { flag: "hl-lt", kind: uint(0, 255) },
    hlGt: { flag: "hl-gt", kind: uint(0, 255) },
  },
  exclusive: ["hlEq", "hlLt", "hlGt"],
  required: ["hlEq", "hlLt", "hlGt"],
  create(o) {
    if (o.hlEq) return new HeaderByteMatch(IPV6_HOP_LIMIT, o.hlEq.value, o.hlEq.value, o.hlEq.invert);
    if (o.hlLt) return new HeaderByteMatch(IPV6_HOP_LIMIT, 0, o.hlLt.value - 1, false);
    return new HeaderByteMatch(IPV6_HOP_LIMIT, o.hlGt!.value + 1, 255, false);
  },
});
