/**
 * Rates of bytes as hashlimit keeps and prints them: by the period of a chunk of 16 bytes, in parts of 2³².
 *
 * @module
 */

/** Bytes are counted in chunks of 16 (XT_HASHLIMIT_BYTE_SHIFT). */
export const CHUNK_SHIFT = 4;
/** The largest number of bytes of a burst. */
export const BYTES_MAX = 0xffffffff;
/** That of a rate: a chunk less than what 32 bits can count. */
export const RATE_MAX = BYTES_MAX * 2 ** CHUNK_SHIFT - 1;
/** Periods that are too short and too long to be told from none. */
export const FASTEST = 1, SLOWEST = 0xffffffff;

const KILO = 1024, MEGA = 1024 * 1024;

/** The period of a chunk at so many bytes a second (bytes_to_cost). */
export function bytePeriod(bytes: number): number {
  return Math.floor(BYTES_MAX / (Math.floor(bytes / 2 ** CHUNK_SHIFT) + 1));
}

/** Bytes a second of a period (cost_to_bytes). */
export function byteRate(period: number): number {
  return (Math.floor(BYTES_MAX / period) - 1) * 2 ** CHUNK_SHIFT;
}

/** In the largest unit that has the same period; iptables rounds the lower 32 bits alone. */
export function printByteRate(period: number): string {
  const bytes = byteRate(period), low = bytes % 2 ** 32;
  const unit = [MEGA, KILO].find((unit) => bytes >= unit && bytePeriod(low - low % unit) === period) ?? 1;
  return inUnits(bytes, unit);
}

/** In the largest unit, whatever is left over. */
export function printBytes(bytes: number): string {
  return inUnits(bytes, [MEGA, KILO].find((unit) => bytes >= unit) ?? 1);
}

function inUnits(bytes: number, unit: number): string {
  return `${Math.floor(bytes / unit)}${unit === MEGA ? "mb" : unit === KILO ? "kb" : "b"}`;
}

/** A number of bytes written as `512kb`; null when it is none, or too large. */
export function readBytes(text: string, most: number): number | null {
  const found = /^(\d+)([km]?)b$/.exec(text);
  if (found === null) return null;
  const bytes = Number(found[1]) * (found[2] === "k" ? KILO : found[2] === "m" ? MEGA : 1);
  return bytes > most ? null : bytes;
}
