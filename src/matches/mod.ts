/**
 * All matches, by their names after `-m`.
 *
 * @module
 */
import type { MatchExtension } from "../tables/extension.ts";
import { addrtype } from "./addrtype.ts";
import { ah } from "./ah.ts";
import { comment } from "./comment.ts";
import { connbytes } from "./connbytes.ts";
import { connlabel } from "./connlabel.ts";
import { connlimit } from "./connlimit.ts";
import { connmark } from "./connmark.ts";
import { conntrack } from "./conntrack.ts";
import { custom } from "./custom.ts";
import { dscp } from "./dscp.ts";
import { dst } from "./dst.ts";
import { ecn } from "./ecn.ts";
import { esp } from "./esp.ts";
import { frag } from "./frag.ts";
import { hashlimit } from "./hashlimit.ts";
import { hbh } from "./hbh.ts";
import { helper } from "./helper.ts";
import { hl } from "./hl.ts";
import { icmp } from "./icmp.ts";
import { icmp6 } from "./icmp6.ts";
import { iprange } from "./iprange.ts";
import { ipv6header } from "./ipv6header.ts";
import { length } from "./length.ts";
import { limit } from "./limit.ts";
import { mac } from "./mac.ts";
import { mark } from "./mark.ts";
import { multiport } from "./multiport.ts";
import { owner } from "./owner.ts";
import { physdev } from "./physdev.ts";
import { pkttype } from "./pkttype.ts";
import { policy } from "./policy.ts";
import { quota } from "./quota.ts";
import { recent } from "./recent.ts";
import { rpfilter } from "./rpfilter.ts";
import { rt } from "./rt.ts";
import { sctp } from "./sctp.ts";
import { set } from "./set.ts";
import { state } from "./state.ts";
import { statistic } from "./statistic.ts";
import { string } from "./string.ts";
import { tcp } from "./tcp.ts";
import { tcpmss } from "./tcpmss.ts";
import { time } from "./time.ts";
import { tos } from "./tos.ts";
import { ttl } from "./ttl.ts";
import { u32 } from "./u32.ts";
import { udp } from "./udp.ts";

/** Every match that Weir knows. */
export const MATCHES: readonly MatchExtension[] = [
  addrtype,
  ah,
  comment,
  connbytes,
  connlabel,
  connlimit,
  connmark,
  conntrack,
  custom,
  dscp,
  dst,
  ecn,
  esp,
  frag,
  hashlimit,
  hbh,
  helper,
  hl,
  icmp,
  icmp6,
  iprange,
  ipv6header,
  length,
  limit,
  mac,
  mark,
  multiport,
  owner,
  physdev,
  pkttype,
  policy,
  quota,
  recent,
  rpfilter,
  rt,
  sctp,
  set,
  state,
  statistic,
  string,
  tcp,
  tcpmss,
  time,
  tos,
  ttl,
  u32,
  udp,
];
