/**
 * Builds packets from nothing but RFCs. Shares no code with `src/packet`, so that an error in one does not hide in
 * the other.
 *
 * Every function returns the whole IP packet with right lengths and checksums, unless it is asked for wrong ones.
 * The family follows from the addresses.
 *
 * ```ts
 * tcp({ src: "192.0.2.2", sport: 1000, dst: "198.51.100.7", dport: 80, flags: "S", seq: 1 })
 * udp({ src: "2001:db8:1::2", sport: 53, dst: "2001:db8:2::7", dport: 53, payload: "query" })
 * ```
 *
 * @module
 */

/** Bytes to carry: text (one byte per character), bytes, or a number of bytes of a running pattern. */
export type Payload = string | number | readonly number[] | Uint8Array;

/** What every packet can be told. */
export interface IpOptions {
  src: string;
  dst: string;
  ttl?: number;
  /** TOS byte or IPv6 traffic class. */
  tos?: number;
  /** IPv4 identification; follows from the packet's content when not given, so the same call gives the same bytes. */
  id?: number;
  /** Don't fragment; true unless said otherwise, as Linux sends. */
  df?: boolean;
  /** More fragments. */
  mf?: boolean;
  /** The reserved bit of the IPv4 flags (RFC 3514's evil bit). */
  evil?: boolean;
  /** Fragment offset in bytes. IPv6: gives the packet a fragment header. */
  offset?: number;
  /** IPv4 options, padded with zeros to a multiple of four. */
  ipOptions?: readonly number[] | Uint8Array;
  /** IPv6 extension headers, in order, between the IPv6 header and the payload. */
  extensions?: readonly Extension[];
  flowLabel?: number;
  badIpChecksum?: boolean;
  /** The total length (IPv4) or payload length (IPv6) field, when it should lie. */
  totalLength?: number;
  /** The IPv4 header length field in words, when it should lie. */
  ihl?: number;
  version?: number;
  /** Bytes behind the IP packet, as Ethernet pads. */
  trailer?: number;
}

/** Wrong or particular transport checksum. */
export interface ChecksumOptions {
  badChecksum?: boolean;
  /** Exactly this value in the checksum field. */
  checksum?: number;
  payload?: Payload;
}

/** One IPv6 extension header: its number and its bytes from the third on (the first two are filled in). */
export interface Extension {
  header: "hop" | "destination" | "routing" | "fragment";
  /** Bytes behind next header and length; padded to a multiple of eight. For `fragment` see the other fields. */
  body?: readonly number[];
  offset?: number;
  mf?: boolean;
  id?: number;
}

const EXTENSION_NUMBER = { hop: 0, destination: 60, routing: 43, fragment: 44 } as const;

/** The IP version of an address. */
export function familyOf(address: string): 4 | 6 {
  return address.includes(":") ? 6 : 4;
}

/** Address text to its 4 or 16 bytes. */
export function addressBytes(text: string): Uint8Array {
  if (familyOf(text) === 4) {
    const parts = text.split(".").map(Number);
    if (parts.length !== 4 || parts.some((n) => !(n >= 0 && n <= 255))) {
      throw new TypeError(`address ${text}`);
    }
    return Uint8Array.from(parts);
  }
  let t = text;
  const dotted = t.match(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/);
  if (dotted) {
    const [a, b, c, d] = dotted.slice(1).map(Number);
    t = t.slice(0, dotted.index) + ((a << 8) | b).toString(16) + ":" + ((c << 8) | d).toString(16);
  }
  const halves = t.split("::");
  const words = (s: string) => s === "" ? [] : s.split(":").map((w) => parseInt(w, 16));
  const head = words(halves[0]);
  const tail = halves.length > 1 ? words(halves[1]) : [];
  const fill = halves.length > 1 ? 8 - head.length - tail.length : 0;
  const all = [...head, ...new Array(Math.max(0, fill)).fill(0), ...tail];
  if (all.length !== 8 || all.some((n) => !(n >= 0 && n <= 0xffff))) throw new TypeError(`address ${text}`);
  return Uint8Array.from(all.flatMap((w) => [w >> 8, w & 255]));
}

/** The bytes of a payload. */
export function payloadBytes(payload: Payload = ""): Uint8Array {
  if (typeof payload === "string") return Uint8Array.from(payload, (c) => c.charCodeAt(0) & 255);
  if (typeof payload === "number") return Uint8Array.from({ length: payload }, (_, i) => i & 255);
  return Uint8Array.from(payload);
}

/** Joins byte runs. */
export function concat(...parts: (Uint8Array | readonly number[])[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Big-endian bytes of a number. */
export function be(value: number, bytes: 2 | 4): number[] {
  return bytes === 2
    ? [(value >>> 8) & 255, value & 255]
    : [(value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
}

/** The Internet checksum (RFC 1071) of some bytes, complemented. */
export function checksum(bytes: Uint8Array | readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += (bytes[i] << 8) + (i + 1 < bytes.length ? bytes[i + 1] : 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

/** The pseudo header of RFC 9293 3.1 or RFC 8200 8.1. */
export function pseudoHeader(src: Uint8Array, dst: Uint8Array, protocol: number, length: number): Uint8Array {
  return src.length === 4
    ? concat(src, dst, [0, protocol], be(length, 2))
    : concat(src, dst, be(length, 4), [0, 0, 0, protocol]);
}

/** CRC32c (RFC 9260 appendix A), as it stands in an SCTP header read as a little-endian number. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

/** A number from 1 to 65535 that packets with other content rarely share. */
function contentId(src: Uint8Array, dst: Uint8Array, protocol: number, payload: Uint8Array): number {
  return crc32c(concat(src, dst, [protocol], payload)) % 65535 + 1;
}

function extensionBytes(e: Extension, next: number): Uint8Array {
  if (e.header === "fragment") {
    return concat([next, 0], be(((e.offset ?? 0) & ~7) | (e.mf ? 1 : 0), 2), be(e.id ?? 1, 4));
  }
  const body = e.body ?? [1, 4, 0, 0, 0, 0]; // PadN
  const length = Math.ceil((body.length + 2) / 8) * 8;
  const bytes = new Uint8Array(length);
  bytes[0] = next;
  bytes[1] = length / 8 - 1;
  bytes.set(body, 2);
  return bytes;
}

/** A whole packet of any protocol: `ip({ src, dst, protocol: 50, payload: … })`. */
export function ip(o: IpOptions & { protocol: number; payload?: Payload }): Uint8Array<ArrayBuffer> {
  const src = addressBytes(o.src), dst = addressBytes(o.dst), payload = payloadBytes(o.payload);
  if (src.length !== dst.length) throw new TypeError(`${o.src} and ${o.dst} are of different families`);
  const trailer = new Uint8Array(o.trailer ?? 0).fill(0xee);
  if (src.length === 4) {
    const options = new Uint8Array(Math.ceil((o.ipOptions?.length ?? 0) / 4) * 4);
    options.set(o.ipOptions ?? []);
    const headerLength = 20 + options.length;
    const flags = ((o.evil ? 4 : 0) | ((o.df ?? !(o.mf || o.offset)) ? 2 : 0) | (o.mf ? 1 : 0)) << 13;
    const header = concat(
      [((o.version ?? 4) << 4) | (o.ihl ?? headerLength / 4), o.tos ?? 0],
      be(o.totalLength ?? headerLength + payload.length, 2),
      be(o.id ?? contentId(src, dst, o.protocol, payload), 2),
      be(flags | ((o.offset ?? 0) >> 3), 2),
      [o.ttl ?? 64, o.protocol, 0, 0],
      src,
      dst,
      options,
    );
    const sum = checksum(header) ^ (o.badIpChecksum ? 0x5555 : 0);
    header[10] = sum >> 8;
    header[11] = sum & 255;
    return concat(header, payload, trailer);
  }
  let extensions = [...o.extensions ?? []];
  if (o.offset !== undefined || o.mf) {
    extensions = [...extensions, { header: "fragment", offset: o.offset, mf: o.mf, id: o.id }];
  }
  const chain: Uint8Array[] = [];
  let next = o.protocol;
  for (const e of extensions.reverse()) {
    chain.unshift(extensionBytes(e, next));
    next = EXTENSION_NUMBER[e.header];
  }
  const body = concat(...chain, payload);
  const word = (((o.version ?? 6) << 28) | ((o.tos ?? 0) << 20) | (o.flowLabel ?? 0)) >>> 0;
  return concat(
    be(word, 4),
    be(o.totalLength ?? body.length, 2),
    [next, o.ttl ?? 64],
    src,
    dst,
    body,
    trailer,
  );
}

/** Puts the transport checksum into a segment at `at` and wraps it in IP. */
function withChecksum(
  o: IpOptions & ChecksumOptions,
  protocol: number,
  segment: Uint8Array,
  at: number,
  pseudo = true,
): Uint8Array<ArrayBuffer> {
  const src = addressBytes(o.src), dst = addressBytes(o.dst);
  let sum = checksum(pseudo ? concat(pseudoHeader(src, dst, protocol, segment.length), segment) : segment);
  if (sum === 0 && protocol === 17) sum = 0xffff;
  if (o.badChecksum) sum = sum === 0x1234 ? 0x4321 : 0x1234;
  if (o.checksum !== undefined) sum = o.checksum;
  segment[at] = sum >> 8;
  segment[at + 1] = sum & 255;
  return ip({ ...o, protocol, payload: segment });
}

/** One TCP option, or bytes that stand in the option area as they are. */
export type TcpOption =
  | { mss: number }
  | { wscale: number }
  | { sackPermitted: true }
  | { sack: readonly (readonly [number, number])[] }
  | { timestamp: readonly [number, number] }
  | { nop: true }
  | { raw: readonly number[] };

function tcpOptionBytes(option: TcpOption): number[] {
  if ("mss" in option) return [2, 4, ...be(option.mss, 2)];
  if ("wscale" in option) return [3, 3, option.wscale];
  if ("sackPermitted" in option) return [4, 2];
  if ("sack" in option) {
    return [5, 2 + 8 * option.sack.length, ...option.sack.flatMap(([a, b]) => [...be(a, 4), ...be(b, 4)])];
  }
  if ("timestamp" in option) return [8, 10, ...be(option.timestamp[0], 4), ...be(option.timestamp[1], 4)];
  if ("nop" in option) return [1];
  return [...option.raw];
}

/** Letters of the TCP flags, lowest bit first. */
export const TCP_FLAG_LETTERS = "FSRPAUEC";

export interface TcpOptions extends IpOptions, ChecksumOptions {
  sport: number;
  dport: number;
  /** Letters of FSRPAUEC, for example "SA"; "" is a segment without flags. */
  flags: string;
  seq?: number;
  ack?: number;
  win?: number;
  urgent?: number;
  options?: readonly TcpOption[];
  /** The data offset field in words, when it should lie. */
  dataOffset?: number;
  /** Bytes of the segment that are really there. */
  cut?: number;
}

/** A TCP segment (RFC 9293). */
export function tcp(o: TcpOptions): Uint8Array<ArrayBuffer> {
  const options = (o.options ?? []).flatMap(tcpOptionBytes);
  while (options.length % 4) options.push(0);
  let flags = 0;
  for (const letter of o.flags) {
    const bit = TCP_FLAG_LETTERS.indexOf(letter);
    if (bit < 0) throw new TypeError(`TCP flag ${letter}`);
    flags |= 1 << bit;
  }
  const segment = concat(
    be(o.sport, 2),
    be(o.dport, 2),
    be(o.seq ?? 0, 4),
    be(o.ack ?? 0, 4),
    [((o.dataOffset ?? 5 + options.length / 4) << 4) & 0xf0, flags],
    be(o.win ?? 65535, 2),
    [0, 0],
    be(o.urgent ?? 0, 2),
    options,
    payloadBytes(o.payload),
  );
  return withChecksum(o, 6, o.cut === undefined ? segment : segment.slice(0, o.cut), 16);
}

export interface UdpOptions extends IpOptions, ChecksumOptions {
  sport: number;
  dport: number;
  /** The UDP length field, when it should lie. */
  udpLength?: number;
  cut?: number;
}

/** A UDP datagram (RFC 768). `checksum: 0` sends it without. */
export function udp(o: UdpOptions): Uint8Array<ArrayBuffer> {
  const payload = payloadBytes(o.payload);
  const datagram = concat(
    be(o.sport, 2),
    be(o.dport, 2),
    be(o.udpLength ?? 8 + payload.length, 2),
    [0, 0],
    payload,
  );
  return withChecksum(o, 17, o.cut === undefined ? datagram : datagram.slice(0, o.cut), 6);
}

/** UDP-Lite (RFC 3828) that covers the whole datagram, or its first `coverage` bytes. */
export function udplite(o: UdpOptions & { coverage?: number }): Uint8Array<ArrayBuffer> {
  const src = addressBytes(o.src), dst = addressBytes(o.dst);
  const datagram = concat(
    be(o.sport, 2),
    be(o.dport, 2),
    be(o.coverage ?? 0, 2),
    [0, 0],
    payloadBytes(o.payload),
  );
  const covered = datagram.subarray(0, o.coverage || datagram.length);
  let sum = checksum(concat(pseudoHeader(src, dst, 136, datagram.length), covered)) || 0xffff;
  if (o.badChecksum) sum = sum === 0x1234 ? 0x4321 : 0x1234;
  if (o.checksum !== undefined) sum = o.checksum;
  datagram[6] = sum >> 8;
  datagram[7] = sum & 255;
  return ip({ ...o, protocol: 136, payload: o.cut === undefined ? datagram : datagram.slice(0, o.cut) });
}

/** Any ICMP or ICMPv6 message: `rest` are the four bytes behind the checksum. */
export function icmp(
  o: IpOptions & ChecksumOptions & {
    type: number;
    code?: number;
    rest?: number | readonly number[];
    cut?: number;
  },
): Uint8Array<ArrayBuffer> {
  const rest = typeof o.rest === "number" || o.rest === undefined ? be(o.rest ?? 0, 4) : o.rest;
  let message = concat([o.type, o.code ?? 0, 0, 0], rest, payloadBytes(o.payload));
  if (o.cut !== undefined) message = message.slice(0, o.cut);
  return familyOf(o.src) === 4 ? withChecksum(o, 1, message, 2, false) : withChecksum(o, 58, message, 2);
}

/** An echo request, or with `reply` its answer, of either family. */
export function icmpEcho(
  o: IpOptions & ChecksumOptions & { echoId?: number; echoSeq?: number; reply?: boolean },
): Uint8Array<ArrayBuffer> {
  const types = familyOf(o.src) === 4 ? [8, 0] : [128, 129];
  const rest = ((o.echoId ?? 1) << 16) | (o.echoSeq ?? 1);
  return icmp({ payload: 56, ...o, type: types[o.reply ? 1 : 0], rest });
}

/**
 * An ICMP error of either family about a packet. `quoted` is the packet (or any bytes), `quote` how many bytes
 * behind its IP header are kept (all when not given); `rest` carries a next-hop MTU or pointer.
 */
export function icmpError(
  o: IpOptions & ChecksumOptions & {
    type: number;
    code?: number;
    rest?: number;
    quoted: Uint8Array;
    quote?: number;
  },
): Uint8Array<ArrayBuffer> {
  const header = o.quoted[0] >> 4 === 6 ? 40 : (o.quoted[0] & 15) * 4;
  const most = familyOf(o.src) === 4 ? 548 : 1232;
  const end = o.quote === undefined ? most : header + o.quote;
  return icmp({ ...o, payload: o.quoted.slice(0, Math.min(end, most)) });
}

/** One SCTP chunk (RFC 9260 3.2). */
export interface SctpChunk {
  type: number;
  flags?: number;
  body?: readonly number[] | Uint8Array;
  /** The length field, when it should lie. */
  length?: number;
}

export interface SctpOptions extends IpOptions {
  sport: number;
  dport: number;
  vtag: number;
  chunks: readonly SctpChunk[];
  badChecksum?: boolean;
}

/** Chunk type numbers by name. */
export const SCTP_CHUNK = {
  DATA: 0,
  INIT: 1,
  INIT_ACK: 2,
  SACK: 3,
  HEARTBEAT: 4,
  HEARTBEAT_ACK: 5,
  ABORT: 6,
  SHUTDOWN: 7,
  SHUTDOWN_ACK: 8,
  ERROR: 9,
  COOKIE_ECHO: 10,
  COOKIE_ACK: 11,
  SHUTDOWN_COMPLETE: 14,
} as const;

/** An SCTP packet with its CRC32c. */
export function sctp(o: SctpOptions): Uint8Array<ArrayBuffer> {
  const packet = concat(
    be(o.sport, 2),
    be(o.dport, 2),
    be(o.vtag, 4),
    [0, 0, 0, 0],
    ...o.chunks.map((c) => {
      const body = Uint8Array.from(c.body ?? []);
      const padded = new Uint8Array(Math.ceil(body.length / 4) * 4);
      padded.set(body);
      return concat([c.type, c.flags ?? 0], be(c.length ?? 4 + body.length, 2), padded);
    }),
  );
  const crc = (crc32c(packet) ^ (o.badChecksum ? 0x55 : 0)) >>> 0;
  packet.set([crc & 255, (crc >>> 8) & 255, (crc >>> 16) & 255, crc >>> 24], 8);
  return ip({ ...o, protocol: 132, payload: packet });
}

/** An INIT or INIT ACK chunk with initiate tag and initial TSN. */
export function sctpInit(tag: number, tsn: number, ack = false): SctpChunk {
  return {
    type: ack ? SCTP_CHUNK.INIT_ACK : SCTP_CHUNK.INIT,
    body: [...be(tag, 4), ...be(65536, 4), ...be(1, 2), ...be(1, 2), ...be(tsn, 4)],
  };
}

/** A GRE packet (RFC 2784, 2890), or with `pptp` the enhanced header of RFC 2637. */
export function gre(
  o: IpOptions & {
    protocolType?: number;
    key?: number;
    pptp?: { callId: number; seq?: number };
    payload?: Payload;
  },
): Uint8Array<ArrayBuffer> {
  const payload = payloadBytes(o.payload);
  const header = o.pptp
    ? [
      o.pptp.seq === undefined ? 0x20 : 0x30,
      1,
      ...be(0x880b, 2),
      ...be(payload.length, 2),
      ...be(o.pptp.callId, 2),
      ...(o.pptp.seq === undefined ? [] : be(o.pptp.seq, 4)),
    ]
    : [
      o.key === undefined ? 0 : 0x20,
      0,
      ...be(o.protocolType ?? 0x0800, 2),
      ...(o.key === undefined ? [] : be(o.key, 4)),
    ];
  return ip({ ...o, protocol: 47, payload: concat(header, payload) });
}

/**
 * Cuts a packet into IP fragments whose payloads have these sizes (a single number: all of that size); what is left
 * makes the last one. Sizes but the last must be multiples of eight. IPv6 packets are cut behind the 40-byte header.
 */
export function fragments(
  packet: Uint8Array,
  sizes: number | readonly number[],
  id?: number,
): Uint8Array<ArrayBuffer>[] {
  const v6 = packet[0] >> 4 === 6;
  const headerLength = v6 ? 40 : (packet[0] & 15) * 4;
  const header = packet.slice(0, headerLength), payload = packet.slice(headerLength);
  const out: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 0, i = 0; at < payload.length; i++) {
    const wanted = typeof sizes === "number" ? sizes : sizes[i] ?? payload.length - at;
    const part = payload.slice(at, at + wanted), last = at + part.length >= payload.length;
    if (!last && part.length % 8) throw new RangeError(`fragment of ${part.length} bytes is not the last`);
    out.push(fragment(header, part, at, !last, id));
    at += part.length;
  }
  return out;
}

/** One fragment with this header, payload, offset in bytes and more-fragments flag. */
export function fragment(
  header: Uint8Array,
  part: Uint8Array,
  offset: number,
  more: boolean,
  id?: number,
): Uint8Array<ArrayBuffer> {
  if (header[0] >> 4 === 6) {
    const extension = extensionBytes({ header: "fragment", offset, mf: more, id: id ?? 1 }, header[6]);
    const packet = concat(header.subarray(0, 40), extension, part);
    packet[6] = EXTENSION_NUMBER.fragment;
    packet.set(be(extension.length + part.length, 2), 4);
    return packet;
  }
  const packet = concat(header, part);
  packet.set(be(packet.length, 2), 2);
  if (id !== undefined) packet.set(be(id, 2), 4);
  const df = packet[6] & 0x40;
  packet.set(be((df << 8) | (more ? 0x2000 : 0) | (offset >> 3), 2), 6);
  return fixIpChecksum(packet);
}

/** Recomputes the IPv4 header checksum in place, after a test changed the header; returns the packet. */
export function fixIpChecksum<T extends Uint8Array>(packet: T): T {
  if (packet[0] >> 4 !== 4) return packet;
  packet[10] = packet[11] = 0;
  const sum = checksum(packet.subarray(0, (packet[0] & 15) * 4));
  packet[10] = sum >> 8;
  packet[11] = sum & 255;
  return packet;
}
