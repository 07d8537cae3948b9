/**
 * What the NAT halves of protocol helpers have in common (nf_nat_helper): payload that changes its length, ports for
 * announced flows, and the binding of an announced flow once it begins.
 */
import type { Conntrack } from "../conntrack/core.ts";
import {
  EXP_DIR,
  EXP_SAVED_PORT,
  EXP_TUPLE,
  EXP_WORDS,
  EXPECT_BUSY,
  EXPECT_OK,
} from "../conntrack/expect.ts";
import { CT_ORIGINAL, CT_REPLY, FLOW_WORDS } from "../conntrack/flow.ts";
import { seqadjSet } from "../conntrack/seqadj.ts";
import { DST, PORTS, SRC } from "../conntrack/tuple.ts";
import { below } from "../clock.ts";
import { ORIGINAL, type Verdict } from "../netfilter.ts";
import { writeTransportChecksum } from "../packet/checksum.ts";
import { setTotalLength, writeHeaderChecksum } from "../packet/ipv4.ts";
import { IPV6_HEADER, setPayloadLength } from "../packet/ipv6.ts";
import { MAX_PACKET, type Packet } from "../packet/packet.ts";
import { TCP_CHECKSUM, tcpPayload, tcpSeq } from "../packet/tcp.ts";
import { UDP_LENGTH, udpPayload } from "../packet/udp.ts";
import { type Manip, MANIP_DST, MANIP_SRC } from "./maniptype.ts";
import { NatRange, RANGE_MAP_IPS, RANGE_PROTO_SPECIFIED } from "./range.ts";

/**
 * Value of EXP_FN that makes a flow follow its master. Stored with expectations, so it must stay the same over
 * restarts: NAT is the first to register a function with conntrack.
 */
export const EXPECT_FOLLOW_MASTER = 1;

/** Tries for a free port beyond the announced one. */
const MAX_PORT_ATTEMPTS = 128;

/**
 * Replaces `matchLength` bytes of a TCP segment's payload, `matchOffset` bytes into it, by the first `length` bytes of
 * `replacement`. Lengths and checksums follow; a change of length is registered for sequence adjustment. False when
 * the packet would become too long, and nothing is changed then.
 *
 * The change counts from `position` on, a sequence number of the sender's: where the segment begins, as in Linux, or
 * where the changed line does, so that lines count once however they are cut into segments, and several in one.
 */
export function mangleTcpPacket(
  conntrack: Conntrack,
  p: Packet,
  ct: number,
  ctinfo: number,
  matchOffset: number,
  matchLength: number,
  replacement: Uint8Array,
  length: number,
  position: number = tcpSeq(p),
): boolean {
  if (!mangleContents(p, tcpPayload(p) + matchOffset, matchLength, replacement, length)) return false;
  writeTransportChecksum(p);
  // Linux leaves it to the device or its stand-in, which never writes 0 (skb_checksum_help).
  const field = p.l4 + TCP_CHECKSUM;
  if (!p.partialChecksum && p.view.getUint16(field) === 0) p.view.setUint16(field, 0xffff);
  if (length !== matchLength) seqadjSet(conntrack.flows, ct, ctinfo, position, length - matchLength);
  return true;
}

/** The same for a UDP datagram's payload. A datagram without checksum stays without. */
export function mangleUdpPacket(
  p: Packet,
  matchOffset: number,
  matchLength: number,
  replacement: Uint8Array,
  length: number,
): boolean {
  if (!mangleContents(p, udpPayload(p) + matchOffset, matchLength, replacement, length)) return false;
  p.view.setUint16(p.l4 + UDP_LENGTH, p.length - p.l4);
  writeTransportChecksum(p);
  return true;
}

function mangleContents(
  p: Packet,
  from: number,
  matchLength: number,
  replacement: Uint8Array,
  length: number,
): boolean {
  const change = length - matchLength;
  if (from + matchLength > p.length || p.length + change > MAX_PACKET) return false;
  if (change !== 0) {
    p.bytes.copyWithin(from + length, from + matchLength, p.length);
    p.length += change;
    if (change > 0) p.grown = true;
  }
  for (let i = 0; i < length; i++) p.bytes[from + i] = replacement[i];
  p.fragCount = 0;
  if (p.family === 4) {
    setTotalLength(p, p.length);
    writeHeaderChecksum(p);
  } else {
    setPayloadLength(p, p.length - IPV6_HEADER);
  }
  return true;
}

/**
 * Registers an expectation, at the announced port if nobody else waits there, otherwise at a random higher one
 * (nf_nat_exp_find_port). Returns the port, or 0 when none was free or the expectation was refused.
 */
export function findExpectPort(conntrack: Conntrack, exp: number, announced: number): number {
  const w = conntrack.expects.words, ports = exp * EXP_WORDS + EXP_TUPLE + PORTS;
  const above = 0xffff - announced;
  let port = announced;
  for (let left = Math.min(above, MAX_PORT_ATTEMPTS);; left--) {
    w[ports] = (w[ports] & 0xffff0000) | port;
    const result = conntrack.expectRelated(exp);
    if (result === EXPECT_OK) return port;
    if (result !== EXPECT_BUSY || left === 0) return 0;
    port = announced + below(conntrack.random, above);
  }
}

const range = new NatRange();

/** What binding a flow takes of `Nat`, which imports this file. */
interface Binder {
  readonly conntrack: Conntrack;
  natSetupInfo(ct: number, range: NatRange, manip: Manip): Verdict;
}

/**
 * Binds a flow that fulfils an expectation as its master is bound: its source looks like the address that the master's
 * other side talks to, its destination is where the announcer really is (nf_nat_follow_master).
 */
export function natFollowMaster(nat: Binder, ct: number, exp: number): void {
  const conntrack = nat.conntrack, e = conntrack.expects.words, at = exp * EXP_WORDS;
  const master = conntrack.master(ct);
  if (master < 0) return;
  const words = conntrack.flows.words;
  const other = master * FLOW_WORDS + (e[at + EXP_DIR] === ORIGINAL ? CT_REPLY : CT_ORIGINAL);
  range.flags = RANGE_MAP_IPS;
  range.setAddress(words, other + DST);
  nat.natSetupInfo(ct, range, MANIP_SRC);
  range.flags = RANGE_MAP_IPS | RANGE_PROTO_SPECIFIED;
  range.setAddress(words, other + SRC);
  range.minPort = range.maxPort = e[at + EXP_SAVED_PORT];
  nat.natSetupInfo(ct, range, MANIP_DST);
}
