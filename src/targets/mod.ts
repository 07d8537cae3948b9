/**
 * All targets, by their names after `-j`. ACCEPT, DROP and RETURN are verdicts of the table itself.
 *
 * @module
 */
import type { TargetExtension } from "../tables/extension.ts";
import { CHECKSUM } from "./checksum.ts";
import { CLASSIFY } from "./classify.ts";
import { CONNMARK } from "./connmark.ts";
import { CT } from "./ct.ts";
import { DNAT } from "./dnat.ts";
import { DNPT } from "./dnpt.ts";
import { DSCP } from "./dscp.ts";
import { ECN } from "./ecn.ts";
import { HL } from "./hl.ts";
import { LOG } from "./log.ts";
import { MARK } from "./mark.ts";
import { MASQUERADE } from "./masquerade.ts";
import { NETMAP } from "./netmap.ts";
import { NFLOG } from "./nflog.ts";
import { NOTRACK } from "./notrack.ts";
import { REDIRECT } from "./redirect.ts";
import { REJECT } from "./reject.ts";
import { SET } from "./set.ts";
import { SNAT } from "./snat.ts";
import { SNPT } from "./snpt.ts";
import { TCPMSS } from "./tcpmss.ts";
import { TOS } from "./tos.ts";
import { TTL } from "./ttl.ts";

/** Every target that Weir knows. */
export const TARGETS: readonly TargetExtension[] = [
  CHECKSUM,
  CLASSIFY,
  CONNMARK,
  CT,
  DNAT,
  DNPT,
  DSCP,
  ECN,
  HL,
  LOG,
  MARK,
  MASQUERADE,
  NETMAP,
  NFLOG,
  NOTRACK,
  REDIRECT,
  REJECT,
  SET,
  SNAT,
  SNPT,
  TCPMSS,
  TOS,
  TTL,
];
