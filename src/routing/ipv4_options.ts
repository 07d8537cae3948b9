/**
 * IPv4 options that routers write into: record route and timestamps (RFC 791, 3.1), as Linux fills them in.
 *
 * Linux does it in three steps, and each shows on the wire. On receipt (ip_options_compile) the address that the sender
 * knows the router by and the time go into the next free places; the header checksum is left as it was, and an ICMP
 * error about the packet quotes it so. When the packet is sent on (ip_forward_options), record route gets the address
 * towards the next hop instead, a timestamp keeps the first one, and the checksum is written. An answer to the packet
 * carries the options back (ip_options_echo), with Weir's address and time added once more.
 *
 * What the receipt found is remembered until the next packet; packets are handled one at a time.
 */
import type { Clock } from "../clock.ts";
import { Reason } from "../netfilter.ts";
import { copyBytes } from "../packet/copy.ts";
import { IPV4_CHECKSUM, IPV4_HEADER, ipv4HeaderLength, writeHeaderChecksum } from "../packet/ipv4.ts";
import { checkOptions, IPOPT_CIPSO, IPOPT_END, IPOPT_LSRR, IPOPT_NOOP, IPOPT_RR } from "../packet/options.ts";
import { IPOPT_SSRR, IPOPT_TIMESTAMP } from "../packet/options.ts";
import type { Packet } from "../packet/packet.ts";
import type { Routing } from "./route.ts";

const BAD_OPTION = Reason["bad-option"];
/** Timestamp options: times only, with addresses, at addresses that the sender names. */
const TS_TSONLY = 0, TS_TSANDADDR = 1, TS_PRESPEC = 3;

/** Milliseconds since midnight UT, as timestamps have them. */
export function timestamp(clock: Clock): number {
  return Math.floor((clock.wall % 86400) * 1000) | 0;
}

export class Ipv4Options {
  readonly #routing: Routing;
  readonly #clock: Clock;
  readonly #acceptSourceRoute: boolean;
  /** Offsets of the options in the packet at hand, 0 for none. */
  #recordRoute = 0;
  #timestamp = 0;
  /** A CIPSO label that Linux does not accept, and sends back with its complaint. */
  #security = 0;
  /** An address or time was written there, so an answer gets one too. */
  #recordRouteOpen = false;
  #timestampAddress = false;
  #timestampTime = false;
  /** The header is not what its checksum says. */
  #changed = false;
  readonly #words = new Int32Array(4);

  constructor(options: { routing: Routing; clock: Clock; acceptSourceRoute?: boolean }) {
    this.#routing = options.routing;
    this.#clock = options.clock;
    this.#acceptSourceRoute = options.acceptSourceRoute ?? false;
  }

  /**
   * Judges the options of a received packet and fills them in (ip_rcv_options): behind PREROUTING and routing, for
   * every IPv4 packet. Returns 0, or the Reason as `checkOptions` has it; "bad-option" is answered with a Parameter
   * Problem at `p.errorPointer`.
   */
  receive(p: Packet): number {
    this.#recordRoute = this.#timestamp = this.#security = 0;
    this.#recordRouteOpen =
      this.#timestampAddress =
      this.#timestampTime =
      this.#changed =
        false;
    if (p.family !== 4 || p.l4 === IPV4_HEADER) return 0;
    const checksum = p.view.getUint16(IPV4_CHECKSUM);
    const reason = checkOptions(p, this.#acceptSourceRoute);
    if (p.view.getUint16(IPV4_CHECKSUM) !== checksum) {
      // What stood behind the end of the options is cleared now, and summed when the packet is sent on.
      p.view.setUint16(IPV4_CHECKSUM, checksum);
      this.#changed = true;
    }
    if (reason !== 0 && reason !== BAD_OPTION) return reason;
    const bytes = p.bytes;
    // Options in front of a bad one have been filled in when Linux comes to it.
    const end = reason === 0 ? ipv4HeaderLength(p) : p.errorPointer;
    for (let at = IPV4_HEADER; at < end && bytes[at] !== IPOPT_END;) {
      const type = bytes[at];
      if (reason !== 0 && type !== IPOPT_NOOP && at + bytes[at + 1] > end) {
        if (type === IPOPT_CIPSO) this.#security = at;
        break;
      }
      if (reason !== 0 && (type === IPOPT_LSRR || type === IPOPT_SSRR) && hasBeenWalked(p, at)) {
        // Linux would send its complaint back along the source route; Weir takes no part in those.
        p.errorPointer = -1;
        return Reason["source-route"];
      }
      if (type === IPOPT_RR) this.#record(p, at);
      else if (type === IPOPT_TIMESTAMP) this.#stamp(p, at);
      at += type === IPOPT_NOOP ? 1 : bytes[at + 1];
    }
    return reason;
  }

  #record(p: Packet, at: number): void {
    this.#recordRoute = at;
    const pointer = p.bytes[at + 2];
    if (pointer > p.bytes[at + 1]) return;
    p.view.setInt32(at + pointer - 1, this.#routing.receiverAddress(p));
    p.bytes[at + 2] = pointer + 4;
    this.#recordRouteOpen = this.#changed = true;
  }

  #stamp(p: Packet, at: number): void {
    this.#timestamp = at;
    const pointer = p.bytes[at + 2];
    if (pointer > p.bytes[at + 1]) {
      // Full: the option counts the hops that found no place. The sum over the header is left wrong until it is sent.
      p.bytes[at + 3] += 0x10;
      this.#changed = true;
      return;
    }
    const slot = at + pointer - 1;
    const kind = p.bytes[at + 3] & 0x0f;
    if (kind === TS_TSONLY) {
      p.view.setInt32(slot, timestamp(this.#clock));
      p.bytes[at + 2] = pointer + 4;
    } else if (kind === TS_TSANDADDR) {
      p.view.setInt32(slot, this.#routing.receiverAddress(p));
      p.view.setInt32(slot + 4, timestamp(this.#clock));
      p.bytes[at + 2] = pointer + 8;
      this.#timestampAddress = true;
    } else if (kind === TS_PRESPEC) {
      // Only the router that the sender named writes its time.
      const words = this.#words;
      words[0] = p.view.getInt32(slot);
      if (!this.#routing.interfaces.isLocal(words, 0, 4)) return;
      p.view.setInt32(slot + 4, timestamp(this.#clock));
      p.bytes[at + 2] = pointer + 8;
    } else return;
    this.#timestampTime = this.#changed = true;
  }

  /** Finishes the options of a packet that goes on, behind FORWARD. */
  forward(p: Packet): void {
    if (!this.#changed || p.family !== 4 || p.l4 === IPV4_HEADER) return;
    const at = this.#recordRoute;
    if (this.#recordRouteOpen) p.view.setInt32(at + p.bytes[at + 2] - 5, this.#routing.senderAddress(p));
    writeHeaderChecksum(p);
  }

  /**
   * Makes the header of a packet right that leaves for a program behind the host device, as `forward` does for one that
   * goes on. Linux leaves that out for packets to itself, but then nobody looks at the checksum again.
   */
  deliver(p: Packet): void {
    if (this.#changed && p.family === 4 && p.l4 !== IPV4_HEADER) writeHeaderChecksum(p);
  }

  /**
   * Writes behind the header of `out` the options that an answer to `p` carries, and returns their length. `source` is
   * the answer's own address. Only record route and timestamp travel back; source routes are refused anyway.
   */
  echo(p: Packet, out: Packet, source: number): number {
    if (p.family !== 4 || p.l4 === IPV4_HEADER || p.inInterface === 0) return 0;
    let length = 0;
    if (this.#recordRoute !== 0) {
      const at = this.#recordRoute;
      const size = p.bytes[at + 1];
      const to = IPV4_HEADER + length;
      copyBytes(p.view, at, out.view, to, size);
      const pointer = p.bytes[at + 2];
      if (this.#recordRouteOpen && pointer <= size) {
        if (pointer + 3 > size) return 0;
        out.view.setInt32(to + pointer - 1, source);
        out.bytes[to + 2] = pointer + 4;
      }
      length += size;
    }
    if (this.#timestamp !== 0) {
      const at = this.#timestamp;
      const size = p.bytes[at + 1];
      const to = IPV4_HEADER + length;
      copyBytes(p.view, at, out.view, to, size);
      let pointer = p.bytes[at + 2];
      if (pointer <= size && this.#timestampTime && (p.bytes[at + 3] & 0x0f) !== TS_PRESPEC) {
        if (this.#timestampAddress && pointer + 7 <= size) {
          out.view.setInt32(to + pointer - 1, source);
          pointer += 4;
        }
        if (pointer + 3 <= size) {
          out.view.setInt32(to + pointer - 1, timestamp(this.#clock));
          pointer += 4;
        }
        out.bytes[to + 2] = pointer;
      }
      length += size;
    }
    if (this.#security !== 0) {
      const size = p.bytes[this.#security + 1];
      copyBytes(p.view, this.#security, out.view, IPV4_HEADER + length, size);
      length += size;
    }
    while ((length & 3) !== 0) out.bytes[IPV4_HEADER + length++] = IPOPT_END;
    return length;
  }
}

/** True if the source route at `at` has a stop behind it already. */
function hasBeenWalked(p: Packet, at: number): boolean {
  return Math.min(p.bytes[at + 2], p.bytes[at + 1] + 1) >= 8;
}
