/** IP headers of packets that Weir makes itself, written into a reused `Packet`. */
import { ICMP, ICMPV6, OUTPUT } from "../netfilter.ts";
import { writeAddress } from "../packet/address.ts";
import { sum16, transportChecksum } from "../packet/checksum.ts";
import { IPV4_HEADER, writeHeaderChecksum } from "../packet/ipv4.ts";
import { IPV6_DESTINATION, IPV6_HEADER, IPV6_SOURCE } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import { hash } from "./address_index.ts";

/**
 * Begins an IPv4 packet of `length` bytes with room for `optionLength` bytes of options behind the header. The header
 * checksum is written by `finishIpv4`, when the options are there.
 */
export function beginIpv4(
  out: Packet,
  length: number,
  optionLength: number,
  tos: number,
  id: number,
  fragment: number,
  ttl: number,
  protocol: number,
  source: number,
  destination: number,
): void {
  const l4 = IPV4_HEADER + optionLength;
  begin(out, length, protocol, l4);
  out.family = 4;
  const view = out.view;
  view.setUint16(0, 0x4000 | (l4 << 6) | tos);
  view.setUint16(2, length);
  view.setUint16(4, id);
  view.setUint16(6, fragment);
  view.setUint16(8, (ttl << 8) | protocol);
  view.setUint16(10, 0);
  view.setInt32(12, source);
  view.setInt32(16, destination);
}

/** Writes the header checksum. */
export function finishIpv4(out: Packet): void {
  writeHeaderChecksum(out);
}

/** Begins an IPv6 packet of `length` bytes without extension headers. */
export function beginIpv6(
  out: Packet,
  length: number,
  trafficClass: number,
  label: number,
  hopLimit: number,
  protocol: number,
  source: Int32Array,
  sourceAt: number,
  destination: Int32Array,
  destinationAt: number,
): void {
  begin(out, length, protocol, IPV6_HEADER);
  out.family = 6;
  const view = out.view;
  view.setInt32(0, 0x60000000 | (trafficClass << 20) | label);
  view.setUint16(4, length - IPV6_HEADER);
  view.setUint16(6, (protocol << 8) | hopLimit);
  writeAddress(view, 6, IPV6_SOURCE, source, sourceAt);
  writeAddress(view, 6, IPV6_DESTINATION, destination, destinationAt);
}

function begin(out: Packet, length: number, protocol: number, l4: number): void {
  out.reset(0, length);
  out.hook = OUTPUT;
  out.protocol = protocol;
  out.l4 = l4;
}

/** Writes the checksum of the ICMP or ICMPv6 message in `out`. */
export function finishIcmp(out: Packet): void {
  const at = out.l4 + 2;
  out.view.setUint16(at, 0);
  if (out.protocol === ICMP) {
    // A message of zeros has checksum 0 in Linux, since its sum begins with all ones.
    const sum = sum16(out.view, out.l4, out.length);
    out.view.setUint16(at, sum === 0 ? 0 : ~sum & 0xffff);
  } else if (out.protocol === ICMPV6) out.view.setUint16(at, transportChecksum(out));
}

/**
 * The flow label of a packet that Weir makes (net.ipv6.auto_flowlabels, RFC 6437): the same for the same flow, and not
 * to be guessed from its addresses without `seed`. `ports` holds the ports, or type and code.
 */
export function flowLabel(
  seed: number,
  source: Int32Array,
  sourceAt: number,
  destination: Int32Array,
  destinationAt: number,
  protocol: number,
  ports: number,
): number {
  const a = hash(
    source[sourceAt],
    source[sourceAt + 1],
    source[sourceAt + 2],
    source[sourceAt + 3],
    seed ^ protocol,
  );
  const b = hash(
    destination[destinationAt],
    destination[destinationAt + 1],
    destination[destinationAt + 2],
    destination[destinationAt + 3],
    a ^ ports,
  );
  return (b ^ (b >>> 20)) & 0xfffff;
}
