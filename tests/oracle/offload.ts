/**
 * Packets as devices with a virtio-net header hand them over: checksums that are begun, bursts that are cut later.
 *
 * @module
 */
import { addressBytes, checksum, pseudoHeader } from "../kit/packets.ts";
import { parse } from "../kit/show.ts";
import type { Answer, Step } from "./scenario.ts";

const TCP = 6, UDP = 17;
/** VIRTIO_NET_HDR_F_* and VIRTIO_NET_HDR_GSO_*. */
const NEEDS_CSUM = 1;
const GSO_TCPV4 = 1, GSO_TCPV6 = 4, GSO_UDP_L4 = 5;
/** Linux takes no burst of more datagrams. */
const UDP_MAX_SEGMENTS = 128;

/** The fields of struct virtio_net_hdr. */
interface Front {
  flags: number;
  type: number;
  size: number;
  start: number;
  offset: number;
}

function frontBytes(f: Front, headers: number): Uint8Array {
  const b = new Uint8Array(10), view = new DataView(b.buffer);
  b[0] = f.flags;
  b[1] = f.type;
  [headers, f.size, f.start, f.offset].forEach((value, i) => view.setUint16(2 + 2 * i, value, true));
  return b;
}

/** What stands in front of a packet that came out, but for `hdr_len`: how much of a buffer is in one piece. */
export function readFront(b: Uint8Array): Front {
  const view = new DataView(b.buffer, b.byteOffset), word = (at: number) => view.getUint16(at, true);
  return { flags: b[0], type: b[1], size: word(4), start: word(6), offset: word(8) };
}

/** A packet as a device hands it over. */
export interface Handed {
  bytes: Uint8Array<ArrayBuffer>;
  vnet: Uint8Array;
}

/**
 * A TCP or UDP packet whose checksum is begun only, and with `size` one that stands for several of so many bytes each.
 * Null when it is none that anybody would offload: a fragment, not whole, or wrong in some way.
 */
export function handOver(whole: Uint8Array, size = 0): Handed | null {
  const s = parse(whole), at = s.l4 + (s.protocol === TCP ? 16 : 6);
  if ((s.protocol !== TCP && s.protocol !== UDP) || s.sport === undefined || s.errors.length > 0) return null;
  // A routing header changes the address that the checksum is of; a checksum of 0 is none.
  if (s.mf || s.offset > 0 || s.extensions.some((e) => e === 43 || e === 44)) return null;
  if (whole[at] === 0 && whole[at + 1] === 0) return null;
  const bytes = whole.slice(), headers = s.l4 + (s.protocol === UDP ? 8 : (bytes[s.l4 + 12] >> 4) * 4);
  const payload = bytes.length - headers;
  if (s.protocol === UDP && size > 0) size = Math.max(size, Math.ceil(payload / UDP_MAX_SEGMENTS));
  // Behind extension headers Linux takes the first of them for the transport header, and measures segments wrongly.
  if (payload <= size || s.extensions.length > 0) size = 0;
  const pseudo = pseudoHeader(addressBytes(s.src), addressBytes(s.dst), s.protocol, bytes.length - s.l4);
  new DataView(bytes.buffer).setUint16(at, ~checksum(pseudo) & 0xffff);
  const type = size === 0 ? 0 : s.protocol === UDP ? GSO_UDP_L4 : s.family === 4 ? GSO_TCPV4 : GSO_TCPV6;
  const front = { flags: NEEDS_CSUM, type, size, start: s.l4, offset: at - s.l4 };
  return { bytes, vnet: frontBytes(front, size === 0 ? 0 : headers) };
}

/** The step in which such a packet arrives. */
export function offloaded(iface: string, whole: Uint8Array, size = 0): Step {
  const handed = handOver(whole, size);
  if (handed === null) throw new TypeError("nobody offloads that");
  return { do: "packet", iface, ...handed };
}

/**
 * The packet with its checksum, as a device would send it. A burst stays as it is: each segment gets its own. What Linux
 * makes itself it leaves unfinished where it can.
 */
export function finish(bytes: Uint8Array<ArrayBuffer>, vnet: Uint8Array): Uint8Array<ArrayBuffer> {
  const { flags, type, start, offset } = readFront(vnet);
  if ((flags & NEEDS_CSUM) === 0 || type !== 0) return bytes;
  const whole = bytes.slice(), sum = checksum(whole.subarray(start));
  new DataView(whole.buffer).setUint16(start + offset, sum === 0 ? 0xffff : sum);
  return whole;
}

/** In what the headers in front of the packets of two answers differ. The packets themselves are `compare`'s. */
export function compareFronts(linux: Answer, weir: Answer): string[] {
  const list = ({ emitted }: Answer) =>
    emitted.map((e) => {
      const { type, size } = readFront(e.vnet!);
      return `step ${e.step} ${e.iface} ${
        type === 0 ? "one packet" : `a burst of type ${type}, ${size} bytes each`
      }`;
    }).sort();
  const k = list(linux), w = list(weir), out: string[] = [];
  for (let i = 0; i < Math.max(k.length, w.length); i++) {
    if (k[i] !== w[i]) out.push(`  linux ${k[i]}`, `  weir  ${w[i]}`);
  }
  return out;
}
