/** SCTP common header (RFC 9260, 3.1) and its CRC32c (appendix A). */

/** Bytes of the common header: ports, verification tag, checksum. */
export const SCTP_HEADER = 12;

/** One byte's step of CRC32c, reflected polynomial 0x82f63b78. */
const STEP = new Int32Array(256);
for (let i = 0; i < 256; i++) {
  let crc = i;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  STEP[i] = crc;
}

/** The checksum over the SCTP packet at `from`, its own field counting as 0; stored little-endian. */
export function sctpChecksum(bytes: Uint8Array, from: number, to: number): number {
  let crc = -1;
  for (let i = from; i < from + 8; i++) crc = (crc >>> 8) ^ STEP[(crc ^ bytes[i]) & 0xff];
  for (let i = 0; i < 4; i++) crc = (crc >>> 8) ^ STEP[crc & 0xff];
  for (let i = from + SCTP_HEADER; i < to; i++) crc = (crc >>> 8) ^ STEP[(crc ^ bytes[i]) & 0xff];
  return ~crc;
}

/** The checksum that the header carries. */
export function sctpChecksumField(view: DataView, at: number): number {
  return view.getInt32(at + 8, true);
}
