/**
 * struct virtio_net_hdr, between the ten bytes in front of a packet and the offload fields of `Packet`
 * (virtio 1.2, 5.1.6; the byte order is the machine's, little-endian wherever Deno runs).
 *
 * ```
 *  0 flags   1 gso_type   2 hdr_len   4 gso_size   6 csum_start   8 csum_offset
 * ```
 *
 * The header speaks of places in the packet, and NAT, helpers and the router change the packet. So reading turns it
 * into properties (unfinished checksum, size of segments), and writing derives the places anew from the packet as it is.
 */
import * as netfilterModule from "../netfilter.ts";
import { fold, sum16 } from "../packet/checksum.ts";
import type { Packet } from "../packet/packet.ts";
import * as packetModule from "../packet/packet.ts";
import * as ipv6Module from "../packet/ipv6.ts";
import { tcpHeaderLength } from "../packet/tcp.ts";
import * as tcpModule from "../packet/tcp.ts";
import * as udpModule from "../packet/udp.ts";

// Constants of this module, not imports: each packet reads them (CONTRIBUTING.md).
const { TCP, UDP } = netfilterModule;
const { GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, VNET_HDR_LENGTH } = packetModule;
const { IPV6_HEADER } = ipv6Module;
const { TCP_CHECKSUM } = tcpModule;
const { UDP_CHECKSUM, UDP_HEADER } = udpModule;

/** The fields of `Packet.vnet`. The first has the flags in its lower half and the type in its upper. */
const FLAGS_TYPE = 0, HDR_LEN = 1, GSO_SIZE = 2, CSUM_START = 3, CSUM_OFFSET = 4;
const TYPE_SHIFT = 8;

const F_NEEDS_CSUM = 1, F_DATA_VALID = 2;

/**
 * Takes over the header of the packet in `p.raw`, of which the device has just read `n` bytes, and which has been reset:
 * `p.length` and the offload fields. False when the header makes no sense: the packet is to be dropped as "bad-offload".
 */
export function readVnetHeader(p: Packet, n: number): boolean {
  const { vnet } = p, first = vnet[FLAGS_TYPE], flags = first & 0xff, type = first >> TYPE_SHIFT;
  const length = n - VNET_HDR_LENGTH;
  p.length = length;
  if (first === 0) return true; // as `reset` left it: nothing is left to a device
  p.partialChecksum = (flags & F_NEEDS_CSUM) !== 0;
  p.checksumValid = (flags & F_DATA_VALID) !== 0;
  if ((flags & F_NEEDS_CSUM) === 0) {
    // Linux always leaves the checksum of segments unfinished; whole ones would all be wrong on the wire.
    return type === GSO_NONE;
  }
  p.gsoType = type & ~GSO_ECN;
  p.gsoEcn = type & GSO_ECN;
  p.gsoSize = p.gsoType === GSO_NONE ? 0 : vnet[GSO_SIZE];
  const start = vnet[CSUM_START], offset = vnet[CSUM_OFFSET];
  if (start + offset + 2 > length) return false;
  const outer = isOuterTransport(p, start, offset);
  if (p.gsoType === GSO_NONE) {
    if (!outer) complete(p, start, offset);
    return true;
  }
  return outer && p.gsoSize > 0 && offset === (p.gsoType === GSO_UDP_L4 ? UDP_CHECKSUM : TCP_CHECKSUM) &&
    (p.gsoType === GSO_UDP_L4 || p.gsoType === (p.bytes[0] >> 4 === 6 ? GSO_TCPV6 : GSO_TCPV4));
}

/**
 * True when the unfinished checksum is that of the TCP or UDP header right behind the IP header, or behind IPv6
 * extension headers: the place that writing will name again.
 */
function isOuterTransport(p: Packet, start: number, offset: number): boolean {
  const b = p.bytes;
  let protocol = 0;
  if (b[0] >> 4 === 4) {
    if (start !== (b[0] & 15) << 2) return false;
    protocol = b[9];
  } else {
    protocol = b[6];
    // Which protocol follows extension headers is found out by parse; it must lie behind the fixed header.
    if (start > IPV6_HEADER && protocol !== TCP && protocol !== UDP) {
      return offset === TCP_CHECKSUM || offset === UDP_CHECKSUM;
    }
    if (start !== IPV6_HEADER) return false;
  }
  return protocol === TCP ? offset === TCP_CHECKSUM : protocol === UDP && offset === UDP_CHECKSUM;
}

/** Finishes a checksum that stands somewhere else, as in a tunnel's inner packet. */
function complete(p: Packet, start: number, offset: number): void {
  const sum = ~fold(sum16(p.view, start, p.length)) & 0xffff;
  // 0 would say "no checksum" in UDP, and is the same number as 0xffff everywhere else.
  p.view.setUint16(start + offset, sum === 0 ? 0xffff : sum);
  p.partialChecksum = false;
}

/** Writes the header of a packet that is about to leave; `p.l4` and `p.protocol` are valid. */
export function writeVnetHeader(p: Packet): void {
  const { vnet, l4 } = p;
  if (!p.partialChecksum) return writeFields(vnet, p.checksumValid ? F_DATA_VALID : 0, 0, 0, 0, 0);
  const tcp = p.protocol === TCP, offset = tcp ? TCP_CHECKSUM : UDP_CHECKSUM;
  if (p.gsoType === GSO_NONE) return writeFields(vnet, F_NEEDS_CSUM, 0, 0, l4, offset);
  const type = p.gsoType | p.gsoEcn, headers = l4 + (tcp ? tcpHeaderLength(p) : UDP_HEADER);
  writeFields(vnet, F_NEEDS_CSUM | (type << TYPE_SHIFT), headers, p.gsoSize, l4, offset);
}

function writeFields(
  vnet: Uint16Array,
  flagsType: number,
  headers: number,
  size: number,
  start: number,
  offset: number,
): void {
  vnet[FLAGS_TYPE] = flagsType;
  vnet[HDR_LEN] = headers;
  vnet[GSO_SIZE] = size;
  vnet[CSUM_START] = start;
  vnet[CSUM_OFFSET] = offset;
}
