/**
 * Profiles: sets of defaults for knobs. `"linux"` is what Linux does, and what everything else in Weir is measured
 * against; `"rfc"` is what the RFCs ask of a NAT (RFC 4787 for UDP, RFC 5382 for TCP, RFC 5508 for ICMP). What is
 * written in the configuration's `sysctl` wins over either. `src/nat/RFC.md` has both, requirement by requirement.
 *
 * @module
 */

/** Names of the profiles. */
export type Profile = "linux" | "rfc";

/** RFC 5382, REQ-5: a connection that is being opened or closed may be forgotten after four minutes at the soonest. */
const TRANSITORY = 240;
/** An open one after two hours and four minutes: TCP's keep-alives are two hours apart. */
const ESTABLISHED = 7440;
/**
 * A retransmitted SYN does not renew the time. By the exponential backoff of RFC 6298 the last of six comes 63 seconds
 * after the first one and is given up 64 seconds later.
 */
const SYN_RETRIES = 127;

const RFC: Readonly<Record<string, number>> = {
  // RFC 4787, REQ-5: not below two minutes, five recommended. Half a conversation is one, too.
  "net.netfilter.nf_conntrack_udp_timeout": 300,
  "net.netfilter.nf_conntrack_udp_timeout_stream": 300,
  // RFC 5508, REQ-2
  "net.netfilter.nf_conntrack_icmp_timeout": 60,
  "net.netfilter.nf_conntrack_icmpv6_timeout": 60,
  // RFC 5382, REQ-5. Five days of ESTABLISHED stay; data without answer does not shorten them below the least.
  "net.netfilter.nf_conntrack_tcp_timeout_max_retrans": ESTABLISHED,
  "net.netfilter.nf_conntrack_tcp_timeout_unacknowledged": ESTABLISHED,
  "net.netfilter.nf_conntrack_tcp_timeout_syn_sent": TRANSITORY + SYN_RETRIES,
  "net.netfilter.nf_conntrack_tcp_timeout_syn_recv": TRANSITORY,
  "net.netfilter.nf_conntrack_tcp_timeout_fin_wait": TRANSITORY,
  "net.netfilter.nf_conntrack_tcp_timeout_close_wait": TRANSITORY,
  "net.netfilter.nf_conntrack_tcp_timeout_last_ack": TRANSITORY,
  "net.netfilter.nf_conntrack_tcp_timeout_time_wait": TRANSITORY,
  "net.netfilter.nf_conntrack_tcp_timeout_close": TRANSITORY,
  // RFC 4787, REQ-1, 2, 3, 4, 8, 9; RFC 5382, REQ-1, 3, 7, 8; RFC 5508, REQ-1
  "weir.nat_endpoint_independent": 2,
  "weir.nat_paired_pooling": 1,
  "weir.nat_port_parity": 1,
  // RFC 5382, REQ-4
  "weir.tcp_silent_syn": 1,
  // RFC 5508, REQ-8
  "weir.nat_refusal_errors": 1,
};

/** Values of the knobs that a profile sets. */
export const PROFILES: Readonly<Record<Profile, Readonly<Record<string, number>>>> = { linux: {}, rfc: RFC };
