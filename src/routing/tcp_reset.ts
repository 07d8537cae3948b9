/**
 * TCP resets: for segments that nobody listens to (tcp_v4_send_reset, tcp_v6_send_reset) and for the REJECT target
 * (nf_send_reset, nf_send_reset6), which differ in little and visibly: a listener's reset keeps the segment's DSCP and
 * carries a flow label, REJECT's has neither.
 *
 * Sequence numbers are RFC 9293's (3.10.7.1): the segment's acknowledgement if it has one, else 0 with ACK set and
 * everything that the segment occupies acknowledged. Nothing is ever sent in answer to a reset.
 */
import { TCP } from "../netfilter.ts";
import { MANGLED_ZERO, transportChecksum, verifyTransport } from "../packet/checksum.ts";
import { IPV4_DESTINATION, IPV4_DF, IPV4_HEADER, IPV4_SOURCE, tos } from "../packet/ipv4.ts";
import { IPV6_HEADER, trafficClass } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import { ACK, FIN, RST, SYN, TCP_HEADER, tcpAckSeq, tcpDestination, tcpFlags } from "../packet/tcp.ts";
import { tcpHeaderLength, tcpHeaderOk, tcpSeq, tcpSource } from "../packet/tcp.ts";
import type { Sysctl } from "../sysctl.ts";
import { isLinkLocal, isMulticast6, isUnicast6 } from "./address_scope.ts";
import type { IcmpErrors } from "./icmp_error.ts";
import type { Ipv4Options } from "./ipv4_options.ts";
import { beginIpv4, beginIpv6, finishIpv4 } from "./make.ts";
import { ROUTE_DROP, Routing } from "./route.ts";

/** ECN bits of the TOS byte; no reset is ECN-capable. */
const ECN_MASK = 0x03;

export class TcpResets {
  readonly #routing: Routing;
  readonly #errors: IcmpErrors;
  readonly #options: Ipv4Options | undefined;
  readonly #ttl: number;
  readonly #silentSyn: boolean;
  readonly #words = new Int32Array(8);

  constructor(o: { routing: Routing; errors: IcmpErrors; sysctl: Sysctl; options?: Ipv4Options }) {
    this.#routing = o.routing;
    this.#errors = o.errors;
    this.#options = o.options;
    this.#ttl = o.sysctl.get("net.ipv4.ip_default_ttl");
    this.#silentSyn = o.sysctl.get("weir.tcp_silent_syn") !== 0;
  }

  /** The answer to a segment for a port of Weir's that is closed. False if there is none. */
  closed(out: Packet, p: Packet): boolean {
    if (!tcpHeaderOk(p) || !verifyTransport(p)) return false;
    // RFC 5382, REQ-4: the other side of a simultaneous open may be about to answer.
    if (this.#silentSyn && (tcpFlags(p) & (SYN | ACK | RST)) === SYN) return false;
    return authOptionsOk(p) && this.#make(out, p, true);
  }

  /** The answer of `REJECT --reject-with tcp-reset`. False if there is none. */
  reject(out: Packet, p: Packet): boolean {
    if (p.protocol !== TCP || p.fragmentOffset !== 0 || p.length - p.l4 < TCP_HEADER) return false;
    if (!verifyTransport(p)) return false;
    return this.#make(out, p, false);
  }

  #make(out: Packet, p: Packet, listener: boolean): boolean {
    const flags = tcpFlags(p);
    if ((flags & RST) !== 0) return false;
    const words = this.#words;
    Routing.readSource(p, words, 0);
    Routing.readDestination(p, words, 4);
    const interfaces = this.#routing.interfaces;
    let link = 0;
    if (p.family === 4) {
      const destination = p.view.getInt32(IPV4_DESTINATION);
      if (interfaces.isBroadcast(destination) || (destination & 0xf0000000) === (0xe0000000 | 0)) {
        return false;
      }
      const service = listener ? tos(p) & ~ECN_MASK : 0;
      const options = this.#options;
      const optionLength = listener && options !== undefined ? options.echo(p, out, destination) : 0;
      beginIpv4(
        out,
        IPV4_HEADER + optionLength + TCP_HEADER,
        optionLength,
        service,
        0,
        IPV4_DF,
        this.#ttl,
        TCP,
        destination,
        p.view.getInt32(IPV4_SOURCE),
      );
    } else {
      if (isMulticast6(words, 0) || isMulticast6(words, 4)) return false;
      if (!listener && !(isUnicast6(words, 0) && isUnicast6(words, 4))) return false;
      if (listener && interfaces.isAnycast(words, 4, p.inInterface)) return false;
      const ports = (tcpDestination(p) << 16) | tcpSource(p);
      const label = listener ? this.#errors.label(words, 4, words, 0, TCP, ports) : 0;
      const service = listener ? trafficClass(p) & ~ECN_MASK : 0;
      beginIpv6(out, IPV6_HEADER + TCP_HEADER, service, label, 64, TCP, words, 4, words, 0);
      if (isLinkLocal(words, 0)) link = p.inInterface;
    }
    if (this.#routing.output(out, link) === ROUTE_DROP) return false;
    if (out.family === 4) finishIpv4(out);
    out.socket = listener && out.family === 4;
    const view = out.view;
    const at = out.l4;
    view.setUint16(at, tcpDestination(p));
    view.setUint16(at + 2, tcpSource(p));
    if ((flags & ACK) !== 0) {
      view.setInt32(at + 4, tcpAckSeq(p));
      view.setInt32(at + 8, 0);
      view.setUint16(at + 12, (TCP_HEADER << 10) | RST);
    } else {
      // REJECT does not mind a data offset that cannot be, and counts with it.
      const occupied = p.length - p.l4 - tcpHeaderLength(p) + ((flags & SYN) !== 0 ? 1 : 0) +
        ((flags & FIN) !== 0 ? 1 : 0);
      view.setInt32(at + 4, 0);
      view.setInt32(at + 8, (tcpSeq(p) + occupied) | 0);
      view.setUint16(at + 12, (TCP_HEADER << 10) | RST | ACK);
    }
    view.setInt32(at + 14, 0);
    view.setUint16(at + 18, 0);
    // Where Linux leaves the sum to the device, the device writes no 0 (skb_checksum_help).
    const sum = transportChecksum(out);
    view.setUint16(at + 16, sum === 0 && listener === (p.family === 6) ? MANGLED_ZERO : sum);
    return true;
  }
}

/** Options, and an MD5 signature among them (RFC 2385). */
const EOL = 0, NOP = 1, MD5SIG = 19, MD5SIG_LENGTH = 18;

/**
 * False for a segment that is signed, since nobody here has the key to sign the answer, and for one whose options
 * cannot be read. Once there is no room for a signature Linux does not read on (tcp_parse_auth_options).
 */
function authOptionsOk(p: Packet): boolean {
  const end = p.l4 + tcpHeaderLength(p);
  let at = p.l4 + TCP_HEADER;
  while (end - at >= MD5SIG_LENGTH) {
    const kind = p.bytes[at];
    if (kind === EOL) return true;
    if (kind === NOP) {
      at++;
      continue;
    }
    const length = p.bytes[at + 1];
    if (length < 2 || length > end - at || kind === MD5SIG) return false;
    at += length;
  }
  return true;
}
