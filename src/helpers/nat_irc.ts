/**
 * IRC, NAT half: offers the address under which the server knows the client, and a port that is free there, and has
 * the DCC connection follow the IRC connection's translation.
 */
import type { Conntrack } from "../conntrack/core.ts";
import {
  EXP_DIR,
  EXP_FN,
  EXP_LINKED,
  EXP_MASTER,
  EXP_SAVED_PORT,
  EXP_STATE,
  EXP_TUPLE,
  EXP_WORDS,
} from "../conntrack/expect.ts";
import { tupleAt } from "../conntrack/flow.ts";
import { DST, PORTS } from "../conntrack/tuple.ts";
import { ACCEPT, ctinfoDir, ORIGINAL, Reason, REPLY, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { EXPECT_FOLLOW_MASTER, findExpectPort, mangleTcpPacket } from "../nat/helper.ts";
import type { NatIrc, NatIrcPort } from "./conntrack_irc.ts";

const SPACE = 0x20, ZERO = 0x30;

/** `4294967295 65535`. */
const text = new Uint8Array(16);

/** Rewrites the numbers of an offer, and expects the connection where the peer will dial. */
export const natIrc: NatIrc = (
  conntrack: Conntrack,
  p: Packet,
  ct: number,
  ctinfo: number,
  offset: number,
  length: number,
  exp: number,
  position: number,
): Verdict => {
  const e = conntrack.expects.words, at = exp * EXP_WORDS;
  e[at + EXP_SAVED_PORT] = e[at + EXP_TUPLE + PORTS] & 0xffff;
  e[at + EXP_DIR] = REPLY; // the peer comes from the server's side
  e[at + EXP_FN] = EXPECT_FOLLOW_MASTER;
  const port = findExpectPort(conntrack, exp, e[at + EXP_SAVED_PORT]);
  if (port === 0) {
    conntrack.log("nf_ct_irc: dropping packet: all ports in use");
    return p.drop(Reason["helper-no-port"]);
  }
  let size = decimal(0, conntrack.flows.words[tupleAt(ct, REPLY) + DST] >>> 0);
  text[size++] = SPACE;
  size = decimal(size, port);
  if (mangleTcpPacket(conntrack, p, ct, ctinfo, offset, length, text, size, position)) return ACCEPT;
  conntrack.log("nf_ct_irc: dropping packet: cannot mangle packet");
  conntrack.unexpectRelated(exp);
  return p.drop(Reason["helper-mangle-failed"]);
};

/**
 * Where an offer was rewritten to another port, the two sides know it by different ones: the client's word about it
 * gets the port that the others were told, theirs the port where the client listens.
 */
export const natIrcPort: NatIrcPort = (
  conntrack: Conntrack,
  p: Packet,
  ct: number,
  ctinfo: number,
  offset: number,
  length: number,
  port: number,
  position: number,
): Verdict => {
  const e = conntrack.expects.words, fromClient = ctinfoDir(ctinfo) === ORIGINAL;
  for (let exp = 0, high = conntrack.expects.high; exp < high; exp++) {
    const at = exp * EXP_WORDS;
    if ((e[at + EXP_STATE] & EXP_LINKED) === 0 || e[at + EXP_MASTER] !== ct + 1) continue;
    const own = e[at + EXP_SAVED_PORT], told = e[at + EXP_TUPLE + PORTS] & 0xffff;
    if (own === told || port !== (fromClient ? own : told)) continue;
    const size = decimal(0, fromClient ? told : own);
    if (mangleTcpPacket(conntrack, p, ct, ctinfo, offset, length, text, size, position)) return ACCEPT;
    conntrack.log("nf_ct_irc: dropping packet: cannot mangle packet");
    return p.drop(Reason["helper-mangle-failed"]);
  }
  return ACCEPT;
};

/** A number below 2³² without leading zeros. Returns the place behind it. */
function decimal(at: number, n: number): number {
  let unit = 1;
  while (n / unit >= 10) unit *= 10;
  for (let rest = n; unit >= 1; unit /= 10) {
    const digit = Math.floor(rest / unit);
    text[at++] = ZERO + digit;
    rest -= digit * unit;
  }
  return at;
}
