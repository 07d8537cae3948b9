/**
 * Reads packets for people and assertions: every length and checksum is verified, nothing of `src/packet` is used.
 *
 * @module
 */
import { checksum, concat, crc32c, pseudoHeader, TCP_FLAG_LETTERS } from "./packets.ts";

/** What a packet says, as far as it can be read. Fields of other protocols are undefined. */
export interface Shown {
  family: 4 | 6;
  src: string;
  dst: string;
  ttl: number;
  tos: number;
  /** IPv4 identification or that of the IPv6 fragment header. */
  id: number;
  df: boolean;
  mf: boolean;
  /** Fragment offset in bytes. */
  offset: number;
  ipOptions: Uint8Array;
  /** Numbers of the IPv6 extension headers passed. */
  extensions: number[];
  protocol: number;
  l4: number;
  length: number;
  sport?: number;
  dport?: number;
  flags?: string;
  seq?: number;
  ack?: number;
  win?: number;
  tcpOptions?: Uint8Array;
  udpLength?: number;
  vtag?: number;
  /** Chunk types of an SCTP packet. */
  chunks?: number[];
  type?: number;
  code?: number;
  /** The 32 bits behind an ICMP checksum. */
  rest?: number;
  /** Identifier of an ICMP query. */
  echoId?: number;
  checksum?: number;
  /** Payload behind the transport header; of a later fragment all of it. */
  payload: Uint8Array;
  /** The packet that an ICMP error quotes. */
  quoted?: Shown;
  /** What is wrong with it: checksums, lengths. */
  errors: string[];
}

/** IPv4 dotted or IPv6 compressed text of 4 or 16 bytes (RFC 5952). */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const words = Array.from({ length: 8 }, (_, i) => (bytes[2 * i] << 8) | bytes[2 * i + 1]);
  let best = -1, bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let n = 0;
    while (i + n < 8 && words[i + n] === 0) n++;
    if (n > bestLength) [best, bestLength] = [i, n];
  }
  const hex = (from: number, to: number) => words.slice(from, to).map((w) => w.toString(16)).join(":");
  return best < 0 ? hex(0, 8) : `${hex(0, best)}::${hex(best + bestLength, 8)}`;
}

const u16 = (b: Uint8Array, at: number) => (b[at] << 8) | b[at + 1];
const u32 = (b: Uint8Array, at: number) =>
  ((b[at] << 24) | (b[at + 1] << 16) | (b[at + 2] << 8) | b[at + 3]) >>> 0;

/** Reads a packet. `quoted` packets may be cut off: their lengths and transport checksums are not judged. */
export function parse(bytes: Uint8Array, quoted = false): Shown {
  const errors: string[] = [];
  const version = bytes.length ? bytes[0] >> 4 : 0;
  const s: Shown = {
    family: version === 6 ? 6 : 4,
    src: "?",
    dst: "?",
    ttl: 0,
    tos: 0,
    id: 0,
    df: false,
    mf: false,
    offset: 0,
    ipOptions: new Uint8Array(),
    extensions: [],
    protocol: -1,
    l4: 0,
    length: bytes.length,
    payload: new Uint8Array(),
    errors,
  };
  let src: Uint8Array, dst: Uint8Array;
  if (version === 4 && bytes.length >= 20) {
    const headerLength = (bytes[0] & 15) * 4;
    s.tos = bytes[1];
    s.length = u16(bytes, 2);
    s.id = u16(bytes, 4);
    s.df = (bytes[6] & 0x40) !== 0;
    s.mf = (bytes[6] & 0x20) !== 0;
    s.offset = (u16(bytes, 6) & 0x1fff) * 8;
    s.ttl = bytes[8];
    s.protocol = bytes[9];
    src = bytes.subarray(12, 16);
    dst = bytes.subarray(16, 20);
    s.ipOptions = bytes.slice(20, headerLength);
    s.l4 = headerLength;
    if (headerLength < 20) errors.push(`header length ${headerLength}`);
    else if (checksum(bytes.subarray(0, headerLength)) !== 0) errors.push("IP checksum");
  } else if (version === 6 && bytes.length >= 40) {
    s.tos = ((bytes[0] & 15) << 4) | (bytes[1] >> 4);
    s.length = 40 + u16(bytes, 4);
    s.ttl = bytes[7];
    src = bytes.subarray(8, 24);
    dst = bytes.subarray(24, 40);
    s.protocol = bytes[6];
    s.l4 = 40;
    while ([0, 43, 44, 60].includes(s.protocol) && s.l4 + 8 <= bytes.length && s.offset === 0) {
      const next = bytes[s.l4];
      s.extensions.push(s.protocol);
      if (s.protocol === 44) {
        s.offset = u16(bytes, s.l4 + 2) & ~7;
        s.mf = (bytes[s.l4 + 3] & 1) !== 0;
        s.id = u32(bytes, s.l4 + 4);
        s.l4 += 8;
      } else {
        s.l4 += (bytes[s.l4 + 1] + 1) * 8;
      }
      s.protocol = next;
    }
  } else {
    errors.push(`not an IP packet (version ${version}, ${bytes.length} bytes)`);
    return s;
  }
  s.src = addressText(src);
  s.dst = addressText(dst);
  if (!quoted && s.length !== bytes.length) errors.push(`length field ${s.length}, ${bytes.length} bytes`);
  const l4 = bytes.subarray(s.l4, Math.min(bytes.length, s.length));
  if (s.offset) {
    s.payload = l4.slice();
    return s;
  }
  const whole = !quoted && !s.mf;
  transport(s, l4, src, dst, whole, quoted);
  return s;
}

function transport(
  s: Shown,
  b: Uint8Array,
  src: Uint8Array,
  dst: Uint8Array,
  whole: boolean,
  quoted: boolean,
): void {
  const need = (n: number): boolean => {
    if (b.length >= n) return true;
    if (!quoted && !s.mf) s.errors.push(`transport header cut to ${b.length}`);
    return false;
  };
  const pseudoSum = (length: number) => checksum(concat(pseudoHeader(src, dst, s.protocol, length), b));
  s.payload = b.slice();
  switch (s.protocol) {
    case 6: {
      if (b.length >= 4) [s.sport, s.dport] = [u16(b, 0), u16(b, 2)];
      if (b.length >= 8) s.seq = u32(b, 4);
      if (!need(20)) return;
      s.ack = u32(b, 8);
      s.flags = [...TCP_FLAG_LETTERS].filter((_, i) => b[13] & (1 << i)).join("");
      s.win = u16(b, 14);
      s.checksum = u16(b, 16);
      const header = (b[12] >> 4) * 4;
      s.tcpOptions = b.slice(20, Math.max(20, header));
      s.payload = b.slice(header);
      if (header < 20 || header > b.length) s.errors.push(`data offset ${header / 4}`);
      if (whole && pseudoSum(b.length) !== 0) s.errors.push("TCP checksum");
      return;
    }
    case 17:
    case 136: {
      if (b.length >= 4) [s.sport, s.dport] = [u16(b, 0), u16(b, 2)];
      if (!need(8)) return;
      s.udpLength = u16(b, 4);
      s.checksum = u16(b, 6);
      s.payload = b.slice(8);
      if (!whole) return;
      if (s.protocol === 136) {
        const covered = b.subarray(0, s.udpLength || b.length);
        if (checksum(concat(pseudoHeader(src, dst, 136, b.length), covered)) !== 0) {
          s.errors.push("UDP-Lite checksum");
        }
      } else {
        if (s.udpLength !== b.length) s.errors.push(`UDP length ${s.udpLength}, ${b.length} bytes`);
        if (s.checksum !== 0 && pseudoSum(b.length) !== 0) s.errors.push("UDP checksum");
        if (s.checksum === 0 && s.family === 6) s.errors.push("UDP checksum 0 over IPv6");
      }
      return;
    }
    case 1:
    case 58: {
      if (!need(8)) return;
      s.type = b[0];
      s.code = b[1];
      s.checksum = u16(b, 2);
      s.rest = u32(b, 4);
      s.payload = b.slice(8);
      if (whole && (s.protocol === 1 ? checksum(b) : pseudoSum(b.length)) !== 0) {
        s.errors.push("ICMP checksum");
      }
      const error = s.protocol === 1 ? [3, 4, 5, 11, 12].includes(s.type) : s.type < 128;
      if (error) s.quoted = parse(s.payload, true);
      else s.echoId = s.rest >>> 16;
      return;
    }
    case 132: {
      if (b.length >= 4) [s.sport, s.dport] = [u16(b, 0), u16(b, 2)];
      if (!need(12)) return;
      s.vtag = u32(b, 4);
      s.checksum = u32(b, 8);
      s.chunks = [];
      for (let at = 12; at + 4 <= b.length; at += Math.max(4, (u16(b, at + 2) + 3) & ~3)) {
        s.chunks.push(b[at]);
      }
      if (whole) {
        const zeroed = b.slice();
        zeroed.fill(0, 8, 12);
        const crc = crc32c(zeroed);
        if (crc !== (b[8] | (b[9] << 8) | (b[10] << 16) | (b[11] << 24)) >>> 0) {
          s.errors.push("SCTP checksum");
        }
      }
    }
  }
}

const PROTOCOL_NAMES: Record<number, string> = { 1: "ICMP", 6: "TCP", 17: "UDP", 47: "GRE", 50: "ESP" };
Object.assign(PROTOCOL_NAMES, { 58: "ICMPv6", 132: "SCTP", 136: "UDPLITE" });

/** Up to 40 bytes of a payload as text, other bytes as dots. */
export function printable(bytes: Uint8Array, most = 40): string {
  let text = "";
  for (const byte of bytes.subarray(0, most)) {
    text += byte >= 32 && byte < 127 ? String.fromCharCode(byte) : ".";
  }
  return text + (bytes.length > most ? "…" : "");
}

function describe(s: Shown, inner: boolean): string {
  const port = (n?: number) => n === undefined ? "" : s.family === 6 ? `.${n}` : `:${n}`;
  const parts = [
    `${PROTOCOL_NAMES[s.protocol] ?? `proto ${s.protocol}`} ${s.src}${port(s.sport)} > ${s.dst}${
      port(s.dport)
    }`,
  ];
  if (s.flags !== undefined) {
    parts.push(`[${s.flags}] seq ${s.seq}${s.flags.includes("A") ? ` ack ${s.ack}` : ""} win ${s.win}`);
  } else if (s.seq !== undefined) parts.push(`seq ${s.seq}`);
  if (s.tcpOptions?.length) parts.push(`opt ${hex(s.tcpOptions)}`);
  if (s.type !== undefined) {
    parts.push(`type ${s.type} code ${s.code}`, s.echoId === undefined ? `rest ${s.rest}` : `id ${s.echoId}`);
  }
  if (s.vtag !== undefined) parts.push(`vtag ${s.vtag} chunks ${s.chunks?.join(",")}`);
  if (s.mf || s.offset || s.extensions.includes(44)) parts.push(`frag ${s.offset}${s.mf ? "+" : ""}`);
  const others = s.extensions.filter((n) => n !== 44);
  if (others.length) parts.push(`ext ${others.join(",")}`);
  if (s.ipOptions.length) parts.push(`ipopt ${hex(s.ipOptions)}`);
  parts.push(`ttl ${s.ttl}`);
  if (s.tos) parts.push(`tos 0x${s.tos.toString(16)}`);
  if (s.family === 4 || s.id) parts.push(`id ${s.id}`);
  if (s.df) parts.push("DF");
  if (s.checksum === 0 && (s.protocol === 17)) parts.push("nosum");
  parts.push(`len ${s.length}`);
  if (s.quoted) parts.push(`{${describe(s.quoted, true)}}`);
  else if (s.payload.length && !inner) parts.push(`"${printable(s.payload)}"`);
  if (s.errors.length) parts.push(`!! ${s.errors.join(", ")}`);
  return parts.join(" ");
}

/** Hexadecimal text of some bytes. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

/** Bytes of hexadecimal text; blanks and line ends do not matter. */
export function unhex(text: string): Uint8Array<ArrayBuffer> {
  const digits = text.replace(/\s+/g, "");
  return Uint8Array.from(
    { length: digits.length / 2 },
    (_, i) => parseInt(digits.slice(2 * i, 2 * i + 2), 16),
  );
}

/** One line about a packet, with `!!` before everything that is wrong with it. */
export function show(bytes: Uint8Array): string {
  return describe(parse(bytes), false);
}
