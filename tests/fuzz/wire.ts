/**
 * Places of fields in a packet, and changing them so that right checksums stay right and wrong ones wrong.
 *
 * @module
 */
import { crc32c } from "../kit/packets.ts";

/** Where things stand; 0 for what is not there. */
export interface Field {
  family: 4 | 6;
  addressLength: number;
  src: number;
  dst: number;
  protocol: number;
  l4: number;
  /** Ports, or the identifier of an ICMP query in the place of the side that chose it. */
  sport: number;
  dport: number;
  checksum: number;
  /** A fragment behind the first. */
  later: boolean;
}

export const read16 = (b: Uint8Array, at: number): number => (b[at] << 8) | b[at + 1];
export const read32 = (b: Uint8Array, at: number): number =>
  (b[at] << 24) | (b[at + 1] << 16) | (b[at + 2] << 8) | b[at + 3];

/** The fields of a packet, or null when it has none. */
export function fields(b: Uint8Array): Field | null {
  let protocol: number, l4: number, later = false, first = false;
  const family = b.length > 0 ? b[0] >> 4 : 0;
  if (family === 4 && b.length >= 20) {
    protocol = b[9];
    l4 = (b[0] & 15) * 4;
    later = (read16(b, 6) & 0x1fff) !== 0;
    first = (b[6] & 0x20) !== 0;
  } else if (family === 6 && b.length >= 40) {
    protocol = b[6];
    l4 = 40;
    while (
      (protocol === 0 || protocol === 43 || protocol === 44 || protocol === 60) && l4 + 8 <= b.length &&
      !later
    ) {
      const fragment = protocol === 44;
      if (fragment) later = (read16(b, l4 + 2) & 0xfff8) !== 0, first = (b[l4 + 3] & 1) !== 0;
      protocol = b[l4];
      l4 += fragment ? 8 : (b[l4 + 1] + 1) * 8;
    }
  } else return null;
  const f: Field = {
    family: family as 4 | 6,
    addressLength: family === 4 ? 4 : 16,
    src: family === 4 ? 12 : 8,
    dst: family === 4 ? 16 : 24,
    protocol,
    l4,
    sport: 0,
    dport: 0,
    checksum: 0,
    later,
  };
  if (later) return f;
  const room = b.length - l4;
  if (protocol === 6 || protocol === 17 || protocol === 132 || protocol === 136) {
    if (room >= 4) f.sport = l4, f.dport = l4 + 2;
    if (protocol === 6 && room >= 18) f.checksum = l4 + 16;
    if ((protocol === 17 || protocol === 136) && room >= 8) f.checksum = l4 + 6;
    if (protocol === 132 && room >= 12 && !first) f.checksum = l4 + 8;
  } else if ((protocol === 1 || protocol === 58) && room >= 8) {
    f.checksum = l4 + 2;
    const type = b[l4];
    const request = protocol === 1 ? [8, 13, 15, 17].includes(type) : type === 128;
    const reply = protocol === 1 ? [0, 14, 16, 18].includes(type) : type === 129;
    if (request) f.sport = l4 + 4;
    if (reply) f.dport = l4 + 4;
  }
  return f;
}

/** The address at a place. */
export function addressAt(b: Uint8Array, f: Field, at: number): Uint8Array {
  return b.slice(at, at + f.addressLength);
}

/** Updates a checksum for a word that changes (RFC 1624). */
function update(b: Uint8Array, at: number, old: number, now: number): void {
  let sum = (~read16(b, at) & 0xffff) + (~old & 0xffff) + now;
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  const value = ~sum & 0xffff;
  b[at] = value >> 8;
  b[at + 1] = value & 255;
}

/** SCTP's checksum covers the whole, so it is made anew, if it was right before. */
function crcRight(b: Uint8Array, f: Field): boolean {
  const copy = b.slice(f.l4);
  copy.fill(0, 8, 12);
  const crc = crc32c(copy), at = f.checksum;
  return ((b[at] | (b[at + 1] << 8) | (b[at + 2] << 16) | (b[at + 3] << 24)) >>> 0) === crc;
}

/** Makes SCTP's checksum. */
export function putCrc(b: Uint8Array, f: Field): void {
  b.fill(0, f.checksum, f.checksum + 4);
  const crc = crc32c(b.subarray(f.l4));
  for (let i = 0; i < 4; i++) b[f.checksum + i] = (crc >>> (8 * i)) & 255;
}

/** Writes a 16-bit word at an even place. */
export function write16(b: Uint8Array, f: Field, at: number, now: number): void {
  const old = read16(b, at);
  if (old === now) return;
  const address = at < f.l4;
  const sctp = f.protocol === 132 && f.checksum !== 0;
  const right = sctp && !address && crcRight(b, f);
  b[at] = now >> 8;
  b[at + 1] = now & 255;
  if (address && f.family === 4) update(b, 10, old, now);
  if (sctp) {
    if (right) putCrc(b, f);
    return;
  }
  if (f.checksum === 0 || (address && f.protocol === 1)) return;
  if (f.protocol === 17 && read16(b, f.checksum) === 0) return;
  update(b, f.checksum, old, now);
}

/** Writes a 32-bit word at an even place. */
export function write32(b: Uint8Array, f: Field, at: number, now: number): void {
  write16(b, f, at, now >>> 16);
  write16(b, f, at + 2, now & 0xffff);
}

/** Writes an address. */
export function write(b: Uint8Array, f: Field, at: number, address: Uint8Array): void {
  for (let i = 0; i < address.length; i += 2) write16(b, f, at + i, read16(address, i));
}
