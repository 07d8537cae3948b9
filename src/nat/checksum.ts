/**
 * Lets a checksum field follow what NAT is about to change, before the bytes of the address are written.
 *
 * Of the packet itself (`ip` is 0) the field may hold an unfinished sum that a device completes, so only the pseudo
 * header counts there. The packet that an ICMP error quotes has a finished checksum, or none that anybody looks at.
 */
import { replace32, replaceInTransport, update16 } from "../packet/checksum.ts";
import type { Packet } from "../packet/packet.ts";

/** Offset of the address that a manip rewrites, within the IP header. */
export function addressOffset(p: Packet, manip: number): number {
  return p.family === 4 ? 12 + manip * 4 : 8 + manip * 16;
}

/** The field at `field` follows the address of the header at `ip` to the one at `address` in `words`. */
export function changeAddress(
  p: Packet,
  ip: number,
  field: number,
  manip: number,
  words: Int32Array,
  address: number,
): void {
  const view = p.view, from = ip + addressOffset(p, manip), end = from + (p.family === 4 ? 4 : 16);
  for (let at = from, word = address; at < end; at += 4, word++) {
    if (ip === 0) replaceInTransport(p, field, view.getInt32(at), words[word], true);
    else replace32(view, field, view.getInt32(at), words[word]);
  }
}

/** The field at `field` follows a port or identifier. */
export function changePort(p: Packet, ip: number, field: number, old: number, port: number): void {
  if (ip === 0) replaceInTransport(p, field, old, port, false);
  else p.view.setUint16(field, update16(p.view.getUint16(field), old, port));
}
