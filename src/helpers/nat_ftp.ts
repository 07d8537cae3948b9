/**
 * FTP, NAT half: tells the peer an address and port that it can dial, and has the data connection follow the control
 * connection's translation. Numbers are written as Linux writes them: EPRT always with bars, IPv6 without "::".
 */
import type { Conntrack } from "../conntrack/core.ts";
import { EXP_DIR, EXP_FN, EXP_SAVED_PORT, EXP_TUPLE, EXP_WORDS } from "../conntrack/expect.ts";
import { tupleAt } from "../conntrack/flow.ts";
import { DST, PORTS, tupleFamily } from "../conntrack/tuple.ts";
import { ACCEPT, ctinfoDir, type Family, Reason, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { EXPECT_FOLLOW_MASTER, findExpectPort, mangleTcpPacket } from "../nat/helper.ts";
import type { FtpType, NatFtp } from "./conntrack_ftp.ts";

// By their values, so that this half needs only the types of the other (enum nf_ct_ftp_type).
const PORT = 0, PASV = 1, EPRT = 2;

const COMMA = 0x2c, DOT = 0x2e, COLON = 0x3a, BAR = 0x7c, ZERO = 0x30;

/** `|2|`, an IPv6 address of 39 characters, `|65535|`, and some. */
const text = new Uint8Array(64);

/** Rewrites what an FTP command announces, and expects the data connection where the peer will dial. */
export const natFtp: NatFtp = (
  conntrack: Conntrack,
  p: Packet,
  ct: number,
  ctinfo: number,
  type: FtpType,
  offset: number,
  length: number,
  exp: number,
  position: number,
): Verdict => {
  const w = conntrack.flows.words, e = conntrack.expects.words, at = exp * EXP_WORDS;
  const dir = ctinfoDir(ctinfo), other = tupleAt(ct, 1 - dir);
  e[at + EXP_SAVED_PORT] = e[at + EXP_TUPLE + PORTS] & 0xffff;
  e[at + EXP_DIR] = 1 - dir; // the connection comes from where this packet goes
  e[at + EXP_FN] = EXPECT_FOLLOW_MASTER;
  const port = findExpectPort(conntrack, exp, e[at + EXP_SAVED_PORT]);
  if (port === 0) {
    conntrack.log("nf_ct_ftp: dropping packet: all ports in use");
    return p.drop(Reason["helper-no-port"]);
  }
  const size = format(type, tupleFamily(w, other), w, other + DST, port);
  if (mangleTcpPacket(conntrack, p, ct, ctinfo, offset, length, text, size, position)) return ACCEPT;
  conntrack.log("nf_ct_ftp: dropping packet: cannot mangle packet");
  conntrack.unexpectRelated(exp);
  return p.drop(Reason["helper-mangle-failed"]);
};

/** Writes address and port into `text` in the form of the command. Returns the length. */
function format(type: FtpType, family: Family, words: Int32Array, address: number, port: number): number {
  let at = 0;
  if (type === PORT || type === PASV) {
    at = quad(at, words[address], COMMA);
    text[at++] = COMMA;
    at = decimal(at, port >> 8);
    text[at++] = COMMA;
    return decimal(at, port & 0xff);
  }
  text[at++] = BAR;
  if (type === EPRT) {
    text[at++] = family === 4 ? 0x31 : 0x32;
    text[at++] = BAR;
    at = family === 4 ? quad(at, words[address], DOT) : groups(at, words, address);
  } else {
    text[at++] = BAR;
  }
  text[at++] = BAR;
  at = decimal(at, port);
  text[at++] = BAR;
  return at;
}

/** Four decimal bytes. */
function quad(at: number, word: number, separator: number): number {
  for (let shift = 24; shift >= 0; shift -= 8) {
    at = decimal(at, word >>> shift & 0xff);
    if (shift !== 0) text[at++] = separator;
  }
  return at;
}

/** Eight groups of four hexadecimal digits. */
function groups(at: number, words: Int32Array, address: number): number {
  for (let i = 0; i < 32; i++) {
    if (i !== 0 && (i & 3) === 0) text[at++] = COLON;
    const digit = words[address + (i >> 3)] >>> (28 - (i & 7) * 4) & 0xf;
    text[at++] = digit < 10 ? ZERO + digit : 0x61 - 10 + digit;
  }
  return at;
}

/** A number below 65536 without leading zeros. */
function decimal(at: number, n: number): number {
  for (let unit = n >= 10000 ? 10000 : n >= 1000 ? 1000 : n >= 100 ? 100 : n >= 10 ? 10 : 1; unit >= 1;) {
    const digit = n / unit | 0;
    text[at++] = ZERO + digit;
    n -= digit * unit;
    unit = unit / 10 | 0;
  }
  return at;
}
