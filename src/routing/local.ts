/**
 * Weir's own addresses where no host device stands behind them: the answers of a Linux on which nothing listens.
 *
 * Echo and timestamp requests are answered, closed UDP ports with port unreachable, closed TCP ports with a reset,
 * other protocols with protocol unreachable, or in IPv6 with a parameter problem that points at the next header. What
 * is broken is dropped without a word, and broadcasts, multicasts (but IPv6 echo) and anycast get what Linux gives them.
 * Neighbour discovery and multicast listeners have no business on a TUN device and are ignored. Of ICMP errors those are
 * heard that say how long a packet may be.
 *
 * Datagrams in pieces are to be gathered before they come here; a piece gets no answer.
 */
import type { Clock } from "../clock.ts";
import { ICMP, ICMPV6, IGMP, Reason, TCP, UDP, UDPLITE } from "../netfilter.ts";
import { transportChecksum, verifyTransport } from "../packet/checksum.ts";
import { copyBytes } from "../packet/copy.ts";
import { ICMP_DEST_UNREACH, ICMP_ECHO, ICMP_ECHOREPLY, ICMP_PORT_UNREACH } from "../packet/icmp.ts";
import {
  ICMP_PROT_UNREACH,
  ICMP_TIMESTAMP,
  ICMP_TIMESTAMPREPLY,
  icmpCode,
  icmpHeaderOk,
} from "../packet/icmp.ts";
import { icmpType, ICMPV6_DEST_UNREACH, ICMPV6_ECHO_REPLY, ICMPV6_ECHO_REQUEST } from "../packet/icmp.ts";
import { ICMPV6_PORT_UNREACH } from "../packet/icmp.ts";
import { IPV4_DESTINATION, IPV4_HEADER, IPV4_SOURCE, tos } from "../packet/ipv4.ts";
import { IPV6_HEADER, trafficClass } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import { UDP_HEADER, udpChecksum, udpLength, udpliteHeaderOk } from "../packet/udp.ts";
import type { Sysctl } from "../sysctl.ts";
import { isLinkLocal, isMulticast6 } from "./address_scope.ts";
import type { IcmpErrors } from "./icmp_error.ts";
import { type Ipv4Options, timestamp } from "./ipv4_options.ts";
import { beginIpv4, beginIpv6, finishIcmp, finishIpv4 } from "./make.ts";
import { ROUTE_DROP, Routing } from "./route.ts";
import type { TcpResets } from "./tcp_reset.ts";
import type { TooBig } from "./too_big.ts";

const CLOSED = Reason["own-address-closed"];
/** Multicast routing's own protocol: heard, never answered. */
const PIM = 103;
const ICMP_HEADER = 8;
/** Length of a timestamp message. */
const TIMESTAMP_LENGTH = 20;

/** The stack behind Weir's own addresses. */
export class LocalStack {
  readonly #routing: Routing;
  readonly #errors: IcmpErrors;
  readonly #resets: TcpResets;
  readonly #options: Ipv4Options;
  readonly #tooBig: TooBig;
  readonly #clock: Clock;
  readonly #ttl: number;
  readonly #ignoreEcho: boolean;
  /** Scratch: the sender at 0, Weir's address at 4. */
  readonly #words = new Int32Array(8);

  constructor(o: {
    routing: Routing;
    errors: IcmpErrors;
    resets: TcpResets;
    options: Ipv4Options;
    tooBig: TooBig;
    sysctl: Sysctl;
    clock: Clock;
  }) {
    this.#routing = o.routing;
    this.#errors = o.errors;
    this.#resets = o.resets;
    this.#options = o.options;
    this.#tooBig = o.tooBig;
    this.#clock = o.clock;
    this.#ttl = o.sysctl.get("net.ipv4.ip_default_ttl");
    this.#ignoreEcho = o.sysctl.get("net.ipv4.icmp_echo_ignore_all") !== 0;
  }

  /**
   * Takes a packet that has passed INPUT. True if there is an answer: it is ready in `out`, for OUTPUT and
   * POSTROUTING, and `out.outInterface` is set.
   */
  answer(out: Packet, p: Packet): boolean {
    if (p.family === 4) return p.fragmentOffset === 0 && !p.moreFragments && this.#answer4(out, p);
    return this.#answer6(out, p);
  }

  #answer4(out: Packet, p: Packet): boolean {
    switch (p.protocol) {
      case ICMP:
        return this.#icmp4(out, p);
      case TCP:
        p.drop(CLOSED);
        return this.#resets.closed(out, p);
      case UDP:
        return this.#acceptUdp(p) && this.#errors.make(out, p, ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, 0);
      case UDPLITE:
        return this.#acceptUdplite(p) &&
          this.#errors.make(out, p, ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, 0);
      case IGMP:
      case PIM:
        return false;
      default:
        p.drop(CLOSED);
        return this.#errors.make(out, p, ICMP_DEST_UNREACH, ICMP_PROT_UNREACH, 0);
    }
  }

  #answer6(out: Packet, p: Packet): boolean {
    switch (p.protocol) {
      case ICMPV6:
        return this.#icmp6(out, p);
      case TCP:
        p.drop(CLOSED);
        return this.#resets.closed(out, p);
      case UDP:
        return this.#acceptUdp(p) && this.#errors.make(out, p, ICMPV6_DEST_UNREACH, ICMPV6_PORT_UNREACH, 0);
      case UDPLITE:
        return this.#acceptUdplite(p) &&
          this.#errors.make(out, p, ICMPV6_DEST_UNREACH, ICMPV6_PORT_UNREACH, 0);
      default: // PIM and "no next header": HeaderWalk lets nothing else come here
        return false;
    }
  }

  /** True if the datagram is sound. What stands behind its own length is cut off, also for the quote. */
  #acceptUdp(p: Packet): boolean {
    p.drop(CLOSED);
    const rest = p.length - p.l4;
    if (rest < UDP_HEADER) return false;
    const length = udpLength(p);
    const jumbo = p.family === 6 && length === 0;
    if (!jumbo && (length < UDP_HEADER || length > rest)) return false;
    // RFC 8200, 8.1: in IPv6 a UDP checksum is not optional.
    if (p.family === 6 && udpChecksum(p) === 0) return false;
    if (!jumbo) p.length = p.l4 + length;
    return verifyTransport(p);
  }

  /** UDP-Lite sums what its coverage says (RFC 3828, 3.1); `verifyTransport` has conntrack's other idea of it. */
  #acceptUdplite(p: Packet): boolean {
    p.drop(CLOSED);
    return udpliteHeaderOk(p) &&
      (p.partialChecksum || p.checksumValid || transportChecksum(p) === udpChecksum(p));
  }

  #icmp4(out: Packet, p: Packet): boolean {
    if (!icmpHeaderOk(p) || !verifyTransport(p)) return false;
    const destination = p.view.getInt32(IPV4_DESTINATION);
    const words = this.#words;
    words.fill(0);
    words[4] = destination;
    // net.ipv4.icmp_echo_ignore_broadcasts is on in Linux, and covers timestamps and multicasts too.
    if (!this.#routing.interfaces.isLocal(words, 4, 4)) return false;
    const type = icmpType(p);
    if (type === ICMP_ECHO) {
      return !this.#ignoreEcho && this.#reply4(out, p, ICMP_ECHOREPLY, icmpCode(p), p.length - p.l4);
    }
    if (type === ICMP_TIMESTAMP && p.length - p.l4 >= ICMP_HEADER + 4) {
      return this.#reply4(out, p, ICMP_TIMESTAMPREPLY, 0, TIMESTAMP_LENGTH);
    }
    this.#tooBig.hear(p);
    return false;
  }

  /** icmp_reply: the request's TOS, options, identifier and data; never DF. */
  #reply4(out: Packet, p: Packet, type: number, code: number, length: number): boolean {
    const destination = p.view.getInt32(IPV4_DESTINATION);
    const sender = p.view.getInt32(IPV4_SOURCE);
    const words = this.#words;
    words[0] = sender;
    const optionLength = this.#options.echo(p, out, destination);
    beginIpv4(
      out,
      IPV4_HEADER + optionLength + length,
      optionLength,
      tos(p),
      this.#errors.nextIdent(),
      0,
      this.#ttl,
      ICMP,
      destination,
      sender,
    );
    if (this.#routing.output(out) === ROUTE_DROP) return false;
    if (!this.#errors.allowReply(type, words, 0)) return false;
    finishIpv4(out);
    const at = out.l4;
    out.view.setUint16(at, (type << 8) | code);
    if (type === ICMP_ECHOREPLY) {
      copyBytes(p.view, p.l4 + 4, out.view, at + 4, length - 4);
    } else {
      copyBytes(p.view, p.l4 + 4, out.view, at + 4, 8);
      const now = timestamp(this.#clock);
      out.view.setInt32(at + 12, now);
      out.view.setInt32(at + 16, now);
    }
    finishIcmp(out);
    return true;
  }

  #icmp6(out: Packet, p: Packet): boolean {
    if (!icmpHeaderOk(p) || !verifyTransport(p)) return false;
    if (icmpType(p) === ICMPV6_ECHO_REQUEST) return this.#reply6(out, p);
    this.#tooBig.hear(p);
    return false;
  }

  /** icmpv6_echo_reply: traffic class and code of the request, from the address asked if it is one host's. */
  #reply6(out: Packet, p: Packet): boolean {
    const words = this.#words;
    Routing.readSource(p, words, 0);
    Routing.readDestination(p, words, 4);
    if (isMulticast6(words, 0)) return false;
    const link = isLinkLocal(words, 0) ? p.inInterface : 0;
    const { interfaces, fib } = this.#routing;
    if (isMulticast6(words, 4) || interfaces.isAnycast(words, 4, p.inInterface)) {
      // Asked by an address of many, Weir answers by one of its own, and only on the link that the question came by.
      const route = fib.lookup(6, words, 0, p.inInterface);
      if (route < 0 || !fib.source(6, route, words, 0, words, 4)) return false;
    }
    const length = p.length - p.l4;
    const label = this.#errors.label(words, 4, words, 0, ICMPV6, ICMPV6_ECHO_REPLY << 8);
    beginIpv6(
      out,
      IPV6_HEADER + length,
      trafficClass(p),
      label,
      64,
      ICMPV6,
      words,
      4,
      words,
      0,
    );
    if (this.#routing.output(out, link) === ROUTE_DROP) return false;
    out.view.setUint16(out.l4, (ICMPV6_ECHO_REPLY << 8) | icmpCode(p));
    copyBytes(p.view, p.l4 + 4, out.view, out.l4 + 4, length - 4);
    finishIcmp(out);
    return true;
  }
}
