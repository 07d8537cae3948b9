/**
 * TCP header (RFC 9293, 3.1). Accessors read at `p.l4` and need `tcpHeaderOk`, which conntrack asks once; what skips
 * conntrack asks itself.
 */
import type { Packet } from "./packet.ts";

/** Length of a header without options. */
export const TCP_HEADER = 20;
/** Offsets of the fields within the header. */
export const TCP_SEQ = 4,
  TCP_ACK_SEQ = 8,
  TCP_OFFSET = 12,
  TCP_FLAGS = 13,
  TCP_WINDOW = 14,
  TCP_CHECKSUM = 16;
const TCP_DESTINATION = 2;
/** Flag bits, as in the header's byte 13. */
export const FIN = 0x01, SYN = 0x02, RST = 0x04, PSH = 0x08, ACK = 0x10, URG = 0x20, ECE = 0x40, CWR = 0x80;
/** Option kinds. */
export const TCPOPT_EOL = 0, TCPOPT_NOP = 1, TCPOPT_MSS = 2, TCPOPT_WINDOW = 3, TCPOPT_SACK_PERM = 4;
export const TCPOPT_SACK = 5;

/** True if the header with its options is whole (RFC 9293, data offset; nf_conntrack's tcp_error). */
export function tcpHeaderOk(p: Packet): boolean {
  const rest = p.length - p.l4;
  if (p.fragmentOffset !== 0 || rest < TCP_HEADER) return false;
  const length = tcpHeaderLength(p);
  return length >= TCP_HEADER && length <= rest;
}
/** Length of the header with its options. */
export function tcpHeaderLength(p: Packet): number {
  return (p.view.getUint8(p.l4 + TCP_OFFSET) & 0xf0) >> 2;
}
/** Offset of the payload in the packet. */
export function tcpPayload(p: Packet): number {
  return p.l4 + tcpHeaderLength(p);
}
export function tcpSource(p: Packet): number {
  return p.view.getUint16(p.l4);
}
export function tcpDestination(p: Packet): number {
  return p.view.getUint16(p.l4 + TCP_DESTINATION);
}
export function tcpSeq(p: Packet): number {
  return p.view.getInt32(p.l4 + TCP_SEQ);
}
export function tcpAckSeq(p: Packet): number {
  return p.view.getInt32(p.l4 + TCP_ACK_SEQ);
}
export function tcpFlags(p: Packet): number {
  return p.view.getUint8(p.l4 + TCP_FLAGS);
}
/** The window as the header has it, unscaled. */
export function tcpWindow(p: Packet): number {
  return p.view.getUint16(p.l4 + TCP_WINDOW);
}

/**
 * True for the combinations of SYN, FIN, RST, ACK and URG that an honest stack sends (nf_conntrack's tcp_valid_flags).
 * PSH, ECE and CWR do not matter.
 */
export function tcpFlagsOk(flags: number): boolean {
  switch (flags & (FIN | SYN | RST | ACK | URG)) {
    case SYN:
    case SYN | URG:
    case SYN | ACK:
    case RST:
    case RST | ACK:
    case FIN | ACK:
    case FIN | ACK | URG:
    case ACK:
    case ACK | URG:
      return true;
    default:
      return false;
  }
}

/**
 * Where the option behind the one at `at` begins, as Linux's extensions go through the options of a header that ends at
 * `end`: END is a byte like NOP, a length of 0 is one byte, and a length may lead past the end.
 */
export function nextTcpOption(view: DataView, at: number, end: number): number {
  if (view.getUint8(at) <= TCPOPT_NOP || at + 1 >= end) return at + 1;
  return at + (view.getUint8(at + 1) || 1);
}

/** Length of the MSS option: kind, length, value. */
export const TCPOLEN_MSS = 4;

/** Offset in the packet of the first MSS option, or −1. The header must be whole. */
export function mssOption(p: Packet): number {
  const view = p.view, end = tcpPayload(p);
  for (let at = p.l4 + TCP_HEADER; at <= end - TCPOLEN_MSS; at = nextTcpOption(view, at, end)) {
    if (view.getUint8(at) === TCPOPT_MSS && view.getUint8(at + 1) === TCPOLEN_MSS) return at;
  }
  return -1;
}
