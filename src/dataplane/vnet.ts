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
import { TCP, UDP } from "../netfilter.ts";
import { fold, sum16 } from "../packet/checksum.ts";
import {
  GSO_ECN,
  GSO_NONE,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP_L4,
  type Packet,
  VNET_HDR_LENGTH,
} from "../packet/packet.ts";
import { IPV6_HEADER } from "../packet/ipv6.ts";
import { TCP_CHECKSUM, tcpHeaderLength } from "../packet/tcp.ts";
import { UDP_CHECKSUM, UDP_HEADER } from "../packet/udp.ts";

const FLAGS = 0, GSO_TYPE = 1, HDR_LEN = 2, GSO_SIZE = 4, CSUM_START = 6, CSUM_OFFSET = 8;

const F_NEEDS_CSUM = 1, F_DATA_VALID = 2;

/**
 * Takes over the header of the packet in `p.raw`, of which the device has just read `n` bytes: `p.length` and the
 * offload fields. False when the header makes no sense: the packet is to be dropped as "bad-offload".
 */
export function readVnetHeader(p: Packet, n: number): boolean {
  const raw = p.raw;
  const flags = raw[FLAGS], type = raw[GSO_TYPE];
  const length = n - VNET_HDR_LENGTH;
  p.length = length;
  p.partialChecksum = (flags & F_NEEDS_CSUM) !== 0;
  p.checksumValid = (flags & F_DATA_VALID) !== 0;
  if ((flags & F_NEEDS_CSUM) === 0) {
    // Linux always leaves the checksum of segments unfinished; whole ones would all be wrong on the wire.
    if (type !== GSO_NONE) return false;
    p.gsoType = GSO_NONE;
    p.gsoSize = 0;
    p.gsoEcn = 0;
    return true;
  }
  p.gsoType = type & ~GSO_ECN;
  p.gsoEcn = type & GSO_ECN;
  p.gsoSize = p.gsoType === GSO_NONE ? 0 : raw[GSO_SIZE] | (raw[GSO_SIZE + 1] << 8);
  const start = raw[CSUM_START] | (raw[CSUM_START + 1] << 8);
  const offset = raw[CSUM_OFFSET] | (raw[CSUM_OFFSET + 1] << 8);
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
  const raw = p.raw;
  if (!p.partialChecksum) {
    raw[FLAGS] = p.checksumValid ? F_DATA_VALID : 0;
    raw[GSO_TYPE] = GSO_NONE;
    raw[HDR_LEN] =
      raw[HDR_LEN + 1] =
      raw[GSO_SIZE] =
      raw[GSO_SIZE + 1] =
        0;
    raw[CSUM_START] =
      raw[CSUM_START + 1] =
      raw[CSUM_OFFSET] =
      raw[CSUM_OFFSET + 1] =
        0;
    return;
  }
  const l4 = p.l4, tcp = p.protocol === TCP;
  raw[FLAGS] = F_NEEDS_CSUM;
  raw[CSUM_START] = l4 & 0xff;
  raw[CSUM_START + 1] = l4 >> 8;
  raw[CSUM_OFFSET] = tcp ? TCP_CHECKSUM : UDP_CHECKSUM;
  raw[CSUM_OFFSET + 1] = 0;
  if (p.gsoType === GSO_NONE) {
    raw[GSO_TYPE] = GSO_NONE;
    raw[HDR_LEN] =
      raw[HDR_LEN + 1] =
      raw[GSO_SIZE] =
      raw[GSO_SIZE + 1] =
        0;
    return;
  }
  const headers = l4 + (tcp ? tcpHeaderLength(p) : UDP_HEADER);
  raw[GSO_TYPE] = p.gsoType | p.gsoEcn;
  raw[HDR_LEN] = headers & 0xff;
  raw[HDR_LEN + 1] = headers >> 8;
  raw[GSO_SIZE] = p.gsoSize & 0xff;
  raw[GSO_SIZE + 1] = p.gsoSize >> 8;
}
