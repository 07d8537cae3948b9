/** A packet's two ends as text. */
import { DCCP, SCTP, TCP, UDP, UDPLITE } from "../netfilter.ts";
import { formatAddress, readAddress } from "../packet/address.ts";
import { IPV4_DESTINATION, IPV4_SOURCE } from "../packet/ipv4.ts";
import { IPV6_DESTINATION, IPV6_SOURCE } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";

const PORTS: readonly number[] = [TCP, UDP, UDPLITE, SCTP, DCCP];

/** Where it comes from: `192.0.2.2:1000`, or the address alone. */
export function sourceText(p: Packet, port = true): string {
  return text(p, p.family === 4 ? IPV4_SOURCE : IPV6_SOURCE, port ? 0 : -1);
}

/** Where it goes to. */
export function destinationText(p: Packet, port = true): string {
  return text(p, p.family === 4 ? IPV4_DESTINATION : IPV6_DESTINATION, port ? 2 : -1);
}

function text(p: Packet, at: number, port: number): string {
  const words = new Int32Array(4);
  readAddress(p.view, p.family, at, words);
  const address = formatAddress(p.family, words);
  if (port < 0 || p.fragmentOffset !== 0 || p.length - p.l4 < 4 || !PORTS.includes(p.protocol)) {
    return address;
  }
  const number = p.view.getUint16(p.l4 + port);
  return p.family === 4 ? `${address}:${number}` : `[${address}]:${number}`;
}
