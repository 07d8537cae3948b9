/**
 * Linux's own names for Linux's own knobs, and `weir.*` for what Linux does not have. A part of the router reads its
 * values once, when it is made.
 *
 * @module
 */

/** One knob: its default, its bounds and what it does. */
export interface SysctlEntry {
  readonly default: number;
  readonly min: number;
  readonly max: number;
  readonly doc: string;
}

const seconds = (value: number, doc: string): SysctlEntry => ({
  default: value,
  min: 0,
  max: 2147483,
  doc: `${doc}, in seconds`,
});
const flag = (value: number, doc: string): SysctlEntry => ({ default: value, min: 0, max: 1, doc });
const count = (value: number, doc: string): SysctlEntry => ({ default: value, min: 0, max: 2147483647, doc });

/** Every name that Weir knows. */
export const SYSCTLS: Readonly<Record<string, SysctlEntry>> = {
  "net.netfilter.nf_conntrack_max": count(262144, "flows in the table"),
  "net.netfilter.nf_conntrack_expect_max": count(4096, "expectations in the table"),
  "net.netfilter.nf_conntrack_checksum": flag(
    1,
    "verify transport checksums; a wrong one makes the packet INVALID",
  ),
  "net.netfilter.nf_conntrack_acct": flag(0, "count packets and bytes per flow"),
  "net.netfilter.nf_conntrack_timestamp": flag(0, "remember when a flow began"),
  "net.netfilter.nf_conntrack_events": {
    default: 2,
    min: 0,
    max: 2,
    doc:
      "tell of what happens to flows that begin: 0 only where a rule says so, 1 all, 2 while somebody listens",
  },
  "net.netfilter.nf_conntrack_log_invalid": count(
    0,
    "log INVALID packets of this protocol number, 255 for all",
  ),
  "net.netfilter.nf_conntrack_generic_timeout": seconds(600, "life of a flow of an unknown protocol"),
  "net.netfilter.nf_conntrack_icmp_timeout": seconds(30, "life of an ICMP query"),
  "net.netfilter.nf_conntrack_icmpv6_timeout": seconds(30, "life of an ICMPv6 query"),
  "net.netfilter.nf_conntrack_udp_timeout": seconds(30, "life of a UDP flow"),
  "net.netfilter.nf_conntrack_udp_timeout_stream": seconds(120, "life of a UDP flow with traffic both ways"),
  "net.netfilter.nf_conntrack_tcp_timeout_syn_sent": seconds(120, "TCP SYN_SENT"),
  "net.netfilter.nf_conntrack_tcp_timeout_syn_recv": seconds(60, "TCP SYN_RECV"),
  "net.netfilter.nf_conntrack_tcp_timeout_established": seconds(432000, "TCP ESTABLISHED"),
  "net.netfilter.nf_conntrack_tcp_timeout_fin_wait": seconds(120, "TCP FIN_WAIT"),
  "net.netfilter.nf_conntrack_tcp_timeout_close_wait": seconds(60, "TCP CLOSE_WAIT"),
  "net.netfilter.nf_conntrack_tcp_timeout_last_ack": seconds(30, "TCP LAST_ACK"),
  "net.netfilter.nf_conntrack_tcp_timeout_time_wait": seconds(120, "TCP TIME_WAIT"),
  "net.netfilter.nf_conntrack_tcp_timeout_close": seconds(10, "TCP CLOSE"),
  "net.netfilter.nf_conntrack_tcp_timeout_max_retrans": seconds(300, "TCP after too many retransmissions"),
  "net.netfilter.nf_conntrack_tcp_timeout_unacknowledged": seconds(300, "TCP with unacknowledged data"),
  "net.netfilter.nf_conntrack_tcp_loose": flag(1, "pick up flows in the middle"),
  "net.netfilter.nf_conntrack_tcp_be_liberal": flag(0, "only RST out of window is INVALID"),
  "net.netfilter.nf_conntrack_tcp_max_retrans": count(3, "retransmissions before the shorter timeout"),
  "net.netfilter.nf_conntrack_tcp_ignore_invalid_rst": flag(
    0,
    "let RST out of window pass without judging it",
  ),
  "net.netfilter.nf_conntrack_gre_timeout": seconds(30, "life of a GRE flow"),
  "net.netfilter.nf_conntrack_gre_timeout_stream": seconds(180, "life of a GRE flow with traffic both ways"),
  "net.netfilter.nf_conntrack_sctp_timeout_closed": seconds(10, "SCTP CLOSED"),
  "net.netfilter.nf_conntrack_sctp_timeout_cookie_wait": seconds(3, "SCTP COOKIE_WAIT"),
  "net.netfilter.nf_conntrack_sctp_timeout_cookie_echoed": seconds(3, "SCTP COOKIE_ECHOED"),
  "net.netfilter.nf_conntrack_sctp_timeout_established": seconds(210, "SCTP ESTABLISHED"),
  "net.netfilter.nf_conntrack_sctp_timeout_shutdown_sent": seconds(3, "SCTP SHUTDOWN_SENT"),
  "net.netfilter.nf_conntrack_sctp_timeout_shutdown_recd": seconds(3, "SCTP SHUTDOWN_RECD"),
  "net.netfilter.nf_conntrack_sctp_timeout_shutdown_ack_sent": seconds(3, "SCTP SHUTDOWN_ACK_SENT"),
  "net.netfilter.nf_conntrack_sctp_timeout_heartbeat_sent": seconds(30, "SCTP HEARTBEAT_SENT"),
  "net.netfilter.nf_conntrack_frag6_timeout": seconds(
    60,
    "life of an incomplete IPv6 datagram that is to be tracked",
  ),
  "net.netfilter.nf_conntrack_frag6_high_thresh": count(
    4194304,
    "bytes of memory for IPv6 fragments to be tracked",
  ),
  "net.ipv4.ip_default_ttl": { default: 64, min: 1, max: 255, doc: "TTL of packets that the router makes" },
  "net.ipv4.ip_forward": flag(1, "forward IPv4 packets"),
  "net.ipv6.conf.all.forwarding": flag(1, "forward IPv6 packets"),
  "net.ipv4.ip_forward_use_pmtu": flag(0, "forward IPv4 packets by learned path MTUs too"),
  "net.ipv4.route.mtu_expires": seconds(600, "life of a learned IPv4 path MTU"),
  "net.ipv4.route.min_pmtu": { default: 552, min: 68, max: 65535, doc: "smallest IPv4 path MTU to believe" },
  "net.ipv6.route.mtu_expires": seconds(600, "life of a learned IPv6 path MTU"),
  "net.ipv4.icmp_ratelimit": count(1000, "milliseconds between ICMP errors to one target, 0 for no limit"),
  "net.ipv4.icmp_ratemask": count(6168, "ICMP types under icmp_ratelimit, as bits"),
  "net.ipv4.icmp_msgs_per_sec": count(1000, "ICMP errors per second to all targets"),
  "net.ipv4.icmp_msgs_burst": count(50, "ICMP errors in one burst to all targets"),
  "net.ipv6.icmp.ratelimit": count(100, "milliseconds between ICMPv6 errors to one target, 0 for no limit"),
  "net.ipv4.icmp_echo_ignore_all": flag(0, "do not answer IPv4 echo requests"),
  "net.ipv4.conf.all.send_redirects": flag(1, "tell a neighbour of a shorter way (ICMP redirects)"),
  "net.ipv4.conf.all.rp_filter": {
    default: 0,
    min: 0,
    max: 2,
    doc: "reverse path filter: 0 off, 1 strict, 2 loose",
  },
  "net.ipv4.conf.all.accept_source_route": flag(0, "accept packets with a source route option"),
  "net.ipv4.ipfrag_time": seconds(30, "life of an incomplete IPv4 datagram"),
  "net.ipv4.ipfrag_high_thresh": count(4194304, "bytes of memory for IPv4 fragments"),
  "net.ipv4.ipfrag_max_dist": count(
    64,
    "fragments of other datagrams from a source that a datagram outlives, 0 for all",
  ),
  "net.ipv6.ip6frag_time": seconds(60, "life of an incomplete IPv6 datagram"),
  "net.ipv6.ip6frag_high_thresh": count(4194304, "bytes of memory for IPv6 fragments"),
  "weir.busy_poll": count(30, "microseconds to look for packets before sleeping, 0 to sleep at once"),
  "weir.fastpath": flag(1, "remember how a flow's packets went, and send the next ones the same way at once"),
  "weir.nat_endpoint_independent": {
    default: 0,
    min: 0,
    max: 2,
    doc:
      "mappings: 0 as Linux, 1 endpoint-independent with hairpinning, 2 and open to everybody outside (RFC 4787)",
  },
  "weir.nat_paired_pooling": flag(0, "one client, one address of a SNAT pool (RFC 4787, REQ-2)"),
  "weir.nat_port_parity": flag(0, "an even UDP port becomes an even one, an odd one odd (RFC 4787, REQ-4)"),
  "weir.nat_refusal_errors": flag(
    0,
    "say so to the sender when there is no room for its flow (RFC 5508, REQ-8)",
  ),
  "weir.segment_grown": flag(
    1,
    "cut a TCP segment in two that a helper has made too long for its link; 0 refuses it with an ICMP error, as Linux",
  ),
  "weir.seqadj_exact": flag(
    1,
    "remember several sequence corrections at once and repair what Linux breaks; 0: byte for byte as Linux",
  ),
  "weir.tcp_silent_syn": flag(0, "no reset for a SYN to a closed port of Weir's own (RFC 5382, REQ-4)"),
};

/** The values in force. */
export class Sysctl {
  readonly #values = new Map<string, number>();

  constructor(values: Readonly<Record<string, number>> = {}) {
    for (const [name, value] of Object.entries(values)) {
      if (!(name in SYSCTLS)) throw new RangeError(`unknown sysctl ${name}`);
      this.#values.set(name, value);
    }
  }

  /** The same values but for one. */
  with(name: string, value: number): Sysctl {
    return new Sysctl({ ...Object.fromEntries(this.#values), [name]: value });
  }

  /** The value set, or the default. */
  get(name: string): number {
    const entry = SYSCTLS[name];
    if (entry === undefined) throw new RangeError(`unknown sysctl ${name}`);
    return this.#values.get(name) ?? entry.default;
  }
}
