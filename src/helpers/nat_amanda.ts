/**
 * Amanda, NAT half: names a port that is free where the backup server dials, and has the connection follow the
 * request's translation. Only digits change; a reply without UDP checksum stays without.
 */
import type { Conntrack } from "../conntrack/core.ts";
import { EXP_DIR, EXP_FN, EXP_SAVED_PORT, EXP_TUPLE, EXP_WORDS } from "../conntrack/expect.ts";
import { PORTS } from "../conntrack/tuple.ts";
import { ACCEPT, ORIGINAL, Reason, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { EXPECT_FOLLOW_MASTER, findExpectPort, mangleUdpPacket } from "../nat/helper.ts";
import type { NatAmanda } from "./conntrack_amanda.ts";

/** `65535`. */
const text = new Uint8Array(5);

/** Rewrites one port of a reply, and expects the connection there. */
export const natAmanda: NatAmanda = (
  conntrack: Conntrack,
  p: Packet,
  offset: number,
  length: number,
  exp: number,
): Verdict => {
  const e = conntrack.expects.words, at = exp * EXP_WORDS;
  e[at + EXP_SAVED_PORT] = e[at + EXP_TUPLE + PORTS] & 0xffff;
  e[at + EXP_DIR] = ORIGINAL; // who asked will dial
  e[at + EXP_FN] = EXPECT_FOLLOW_MASTER;
  const port = findExpectPort(conntrack, exp, e[at + EXP_SAVED_PORT]);
  if (port === 0) {
    conntrack.log("nf_ct_amanda: dropping packet: all ports in use");
    return p.drop(Reason["helper-no-port"]);
  }
  const size = port >= 10000 ? 5 : port >= 1000 ? 4 : port >= 100 ? 3 : port >= 10 ? 2 : 1;
  for (let i = size - 1, rest = port; i >= 0; i--) {
    text[i] = 0x30 + rest % 10;
    rest = rest / 10 | 0;
  }
  if (mangleUdpPacket(p, offset, length, text, size)) return ACCEPT;
  conntrack.log("nf_ct_amanda: dropping packet: cannot mangle packet");
  conntrack.unexpectRelated(exp);
  return p.drop(Reason["helper-mangle-failed"]);
};
