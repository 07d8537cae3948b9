/** All cases, by group. */
import type { Case } from "./case.ts";
import { FLOW_CASES } from "./flow.ts";
import { FRAGMENT_CASES } from "./fragment.ts";
import { FTP_CASES } from "./ftp.ts";
import { AMANDA_CASES, IRC_CASES, TFTP_CASES } from "./helpers.ts";
import { ICMP_ERROR_CASES } from "./icmp_error.ts";
import { NAT_CASES } from "./nat.ts";
import { RAW_CASES } from "./raw.ts";
import { SCTP_CASES } from "./sctp.ts";
import { SEQADJ_CASES } from "./seqadj.ts";
import { SECURITY_CASES } from "./security.ts";
import { TCP_CASES } from "./tcp.ts";
import { ICMP_CASES, UDP_CASES } from "./udp_icmp.ts";

export type { Case } from "./case.ts";

export const CASES: readonly Case[] = [
  ...TCP_CASES,
  ...FLOW_CASES,
  ...UDP_CASES,
  ...ICMP_CASES,
  ...SCTP_CASES,
  ...NAT_CASES,
  ...RAW_CASES,
  ...FTP_CASES,
  ...SEQADJ_CASES,
  ...IRC_CASES,
  ...TFTP_CASES,
  ...AMANDA_CASES,
  ...FRAGMENT_CASES,
  ...ICMP_ERROR_CASES,
  ...SECURITY_CASES,
];
