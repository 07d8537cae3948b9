/**
 * Lets a checksum field follow what NAT changes, in one step for address and port.
 *
 * Of the packet itself (`ip` is 0) the field may hold an unfinished sum that a device completes, so only the pseudo
 * header counts there. The packet that an ICMP error quotes has a finished checksum, or none that anybody looks at.
 */
import { change32, changeTransport, patch } from "../packet/checksum.ts";
import type { Packet } from "../packet/packet.ts";

/** Offset of the address that a manip rewrites, within the IP header. */
export function addressOffset(p: Packet, manip: number): number {
  return p.family === 4 ? 12 + manip * 4 : 8 + manip * 16;
}

/** What sums change by when the address of the header at `ip` becomes the one at `address` in `words`. */
export function addressChange(
  p: Packet,
  ip: number,
  manip: number,
  words: Int32Array,
  address: number,
): number {
  const view = p.view, at = ip + addressOffset(p, manip);
  const first = change32(view.getInt32(at), words[address]);
  if (p.family === 4) return first;
  return first + change32(view.getInt32(at + 4), words[address + 1]) +
    change32(view.getInt32(at + 8), words[address + 2]) +
    change32(view.getInt32(at + 12), words[address + 3]);
}

/** The field at `field`, of the packet whose header stands at `ip`, follows what its addresses and ports changed by. */
export function follow(p: Packet, ip: number, field: number, address: number, ports: number): void {
  if (ip === 0) changeTransport(p, field, address, ports);
  else patch(p.view, field, address + ports);
}
