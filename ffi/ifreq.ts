/**
 * struct ifreq of <linux/if.h>, as far as TUN devices use it: 16 bytes of name, then a union.
 *
 * @module
 */

/** sizeof(struct ifreq) with 64-bit pointers. */
export const IFREQ_SIZE = 40;
/** IFNAMSIZ: bytes of a device name, the closing zero included. */
export const IFNAMSIZ = 16;

/** Offset of `ifr_flags`, a short. */
const IFR_FLAGS = 16;

/** Why a text cannot be the name of a network device (dev_valid_name of the kernel), or null when it can. */
export function invalidDeviceName(name: string): string | null {
  const length = new TextEncoder().encode(name).length;
  if (length === 0) return "it is empty";
  if (length >= IFNAMSIZ) return `it has ${length} bytes, ${IFNAMSIZ - 1} is the most`;
  if (name === "." || name === "..") return "it is a directory";
  if (/[\s/:\0]/.test(name)) return "white space, “/” and “:” are not allowed";
  if (name.includes("%")) return "“%” asks the kernel to number devices";
  return null;
}

/** A request with a name and flags. An empty name lets the kernel choose one. */
export function ifreq(name: string, flags: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(IFREQ_SIZE);
  new TextEncoder().encodeInto(name, bytes.subarray(0, IFNAMSIZ - 1));
  new DataView(bytes.buffer).setInt16(IFR_FLAGS, flags, true);
  return bytes;
}

/** The name in an answer. */
export function ifreqName(bytes: Uint8Array<ArrayBuffer>): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(bytes.subarray(0, end < 0 || end > IFNAMSIZ ? IFNAMSIZ : end));
}

/** `ifr_flags` of an answer. */
export function ifreqFlags(bytes: Uint8Array<ArrayBuffer>): number {
  return new DataView(bytes.buffer).getUint16(IFR_FLAGS, true);
}
