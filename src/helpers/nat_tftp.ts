/**
 * TFTP, NAT half: the payload says nothing about addresses, so the transfer only has to follow its request's
 * translation, to the port from which the client really asked.
 */
import type { Conntrack } from "../conntrack/core.ts";
import { EXP_DIR, EXP_FN, EXP_SAVED_PORT, EXP_WORDS, EXPECT_OK } from "../conntrack/expect.ts";
import { tupleAt } from "../conntrack/flow.ts";
import { PORTS } from "../conntrack/tuple.ts";
import { ACCEPT, ORIGINAL, Reason, REPLY, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { EXPECT_FOLLOW_MASTER } from "../nat/helper.ts";
import type { NatTftp } from "./conntrack_tftp.ts";

/** Expects the transfer at the client's public port, and sends it on to its own. */
export const natTftp: NatTftp = (conntrack: Conntrack, p: Packet, ct: number, exp: number): Verdict => {
  const e = conntrack.expects.words, at = exp * EXP_WORDS;
  e[at + EXP_SAVED_PORT] = conntrack.flows.words[tupleAt(ct, ORIGINAL) + PORTS] >>> 16;
  e[at + EXP_DIR] = REPLY; // the server begins
  e[at + EXP_FN] = EXPECT_FOLLOW_MASTER;
  if (conntrack.expectRelated(exp) === EXPECT_OK) return ACCEPT;
  conntrack.log("nf_ct_tftp: dropping packet: cannot add expectation");
  return p.drop(Reason["helper-expect-refused"]);
};
