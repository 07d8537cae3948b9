/**
 * Software segmentation: what a device does to an offloaded packet, done here when the packet leaves where no device
 * will, in a capture, or by an interface without offload.
 *
 * A TCP packet of up to 64 KiB becomes segments with `gsoSize` bytes of payload each (the last one may have less), a UDP
 * one becomes datagrams (UDP_SEGMENT). Every segment repeats the headers; what differs is what Linux's
 * tcp_gso_segment, __udp_gso_segment and inet_gso_segment make differ.
 */
import { Reason, TCP } from "../netfilter.ts";
import { checksumField, MANGLED_ZERO, pseudoSum, sum16 } from "./checksum.ts";
import { copyBytes, copySum } from "./copy.ts";
import { IPV4_ID, IPV4_TOTAL_LENGTH, writeHeaderChecksum } from "./ipv4.ts";
import { IPV6_HEADER, IPV6_PAYLOAD_LENGTH } from "./ipv6.ts";
import { GSO_NONE, type Packet } from "./packet.ts";
import { CWR, FIN, PSH, TCP_CHECKSUM, TCP_FLAGS, TCP_SEQ, tcpHeaderLength, tcpHeaderOk } from "./tcp.ts";
import { UDP_CHECKSUM, UDP_HEADER, UDP_LENGTH } from "./udp.ts";

/** Completes a partial checksum (skb_checksum_help), which never writes 0, whatever the protocol. */
export function completeChecksum(p: Packet): void {
  if (!p.partialChecksum) return;
  p.partialChecksum = false;
  const field = checksumField(p.family, p.protocol);
  if (field < 0 || p.l4 + field + 2 > p.length) return;
  const checksum = ~sum16(p.view, p.l4, p.length) & 0xffff;
  p.view.setUint16(p.l4 + field, checksum === 0 ? MANGLED_ZERO : checksum);
}

/**
 * Makes a segment's checksum partial again. In Linux its device would have completed it, so an error about a segment
 * that does not leave quotes it as it was before.
 */
export function unfinishChecksum(p: Packet): void {
  const length = p.length - p.l4;
  p.view.setUint16(p.l4 + checksumField(p.family, p.protocol), pseudoSum(p, p.protocol, length));
  p.partialChecksum = true;
}

/** Bytes of headers in front of each segment's payload, or −1 if the packet cannot be segmented. */
function segmentHeader(p: Packet): number {
  if (p.protocol === TCP) return tcpHeaderOk(p) ? p.l4 + tcpHeaderLength(p) : -1;
  return p.l4 + UDP_HEADER <= p.length ? p.l4 + UDP_HEADER : -1;
}

/**
 * Emits the packet as it goes over a wire: each segment in `out`, with all checksums complete. What fits one segment,
 * or is not offloaded at all, is completed in place and emitted as `p` itself. Returns 0, or Reason "bad-offload" for a
 * packet whose header does not hold up.
 */
export function segment(p: Packet, out: Packet, emit: (o: Packet) => void): number {
  const header = p.gsoType === GSO_NONE ? 0 : segmentHeader(p);
  if (header < 0) return Reason["bad-offload"];
  if (header === 0 || p.length - header <= p.gsoSize || p.gsoSize <= 0) {
    p.gsoType = GSO_NONE;
    p.gsoSize = 0;
    p.gsoEcn = 0;
    completeChecksum(p);
    emit(p);
    return 0;
  }
  const l4 = p.l4;
  const field = p.protocol === TCP ? l4 + TCP_CHECKSUM : l4 + UDP_CHECKSUM;
  const ident = p.view.getUint16(IPV4_ID);
  const seq = p.protocol === TCP ? p.view.getInt32(l4 + TCP_SEQ) : 0;
  const flags = p.protocol === TCP ? p.view.getUint8(l4 + TCP_FLAGS) : 0;
  for (let at = header, index = 0; at < p.length; at += p.gsoSize, index++) {
    const last = p.length - at <= p.gsoSize;
    const size = last ? p.length - at : p.gsoSize;
    const view = out.view;
    out.inherit(p);
    out.length = header + size;
    copyBytes(p.view, 0, view, 0, header);
    const payload = copySum(p.view, at, view, header, size, 0);
    if (p.family === 4) {
      view.setUint16(IPV4_TOTAL_LENGTH, out.length);
      view.setUint16(IPV4_ID, (ident + index) & 0xffff);
      writeHeaderChecksum(out);
    } else {
      view.setUint16(IPV6_PAYLOAD_LENGTH, out.length - IPV6_HEADER);
    }
    if (p.protocol === TCP) {
      view.setInt32(l4 + TCP_SEQ, (seq + at - header) | 0);
      // RFC 3168, 6.1.2: CWR answers once. FIN and PSH belong to the end of the data.
      view.setUint8(l4 + TCP_FLAGS, flags & ~(index === 0 ? 0 : CWR) & ~(last ? 0 : FIN | PSH));
    } else {
      view.setUint16(l4 + UDP_LENGTH, out.length - l4);
    }
    view.setUint16(field, 0);
    const sum = sum16(view, l4, header, pseudoSum(out, p.protocol, out.length - l4) + payload);
    const checksum = ~sum & 0xffff;
    view.setUint16(field, checksum === 0 && p.protocol !== TCP ? MANGLED_ZERO : checksum);
    emit(out);
  }
  return 0;
}
