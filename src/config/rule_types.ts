/**
 * One rule as a user writes it.
 *
 * Every key is an iptables option by its long name in camelCase. All conditions of a rule must hold. A condition is
 * turned round as in iptables, by a string that begins with `!` (`"! 192.0.2.0/24"`), or for any value by
 * `{ not: value }`.
 *
 * @module
 */
import type { Packet } from "../packet/packet.ts";

/** A value, or anything but it. Strings may also say it with a leading `!`. */
export type Negatable<T> = T | { readonly not: T };

/** A port or port range: `22`, `"22"`, `"1024:65535"`, `":1023"`, or a well-known service's name. */
export type PortConfig = number | string;

/** Seconds by state of the flow's protocol; what is not given keeps its sysctl's value. */
export interface TimeoutConfig {
  /** TCP: a SYN was seen. */
  synSent?: number;
  /** SYN and SYN/ACK were seen. */
  synRecv?: number;
  /** TCP, SCTP: the connection is open. */
  established?: number;
  /** One side has sent its FIN. */
  finWait?: number;
  /** The FIN was acknowledged. */
  closeWait?: number;
  /** Both sides have sent their FIN. */
  lastAck?: number;
  /** Both FINs were acknowledged. */
  timeWait?: number;
  /** A RST was seen. */
  close?: number;
  /** Both sides have sent a SYN. */
  synSent2?: number;
  /** After too many retransmissions. */
  retrans?: number;
  /** Data waits for its acknowledgement. */
  unacknowledged?: number;
  /** SCTP: an ABORT or the end was seen. */
  closed?: number;
  /** SCTP: an INIT was seen. */
  cookieWait?: number;
  /** SCTP: COOKIE ECHO was seen. */
  cookieEchoed?: number;
  /** SCTP: the opener has sent SHUTDOWN. */
  shutdownSent?: number;
  /** SCTP: the answerer has sent SHUTDOWN. */
  shutdownRecd?: number;
  /** SCTP: SHUTDOWN was acknowledged. */
  shutdownAckSent?: number;
  /** SCTP: a second path was opened by HEARTBEAT. */
  heartbeatSent?: number;
  /** UDP, UDP-Lite, GRE: packets in one direction only. */
  unreplied?: number;
  /** UDP, UDP-Lite, GRE: packets in both directions. */
  replied?: number;
  /** ICMP, ICMPv6 and every protocol that has no states of its own. */
  timeout?: number;
}

/** One rule. */
export interface RuleConfig {
  // ── what every rule can ask ───────────────────────────────────────────────────────────────────────────────────
  /** Source address, with or without prefix length or mask; several, joined by commas or as an array, make a rule each. */
  source?: Negatable<string> | readonly string[];
  /** Destination address, likewise. */
  destination?: Negatable<string> | readonly string[];
  /** Protocol by name or number: `"tcp"`, `"udp"`, `"icmp"`, `"icmpv6"`, `47`. */
  protocol?: Negatable<string | number>;
  /** Interface it came in by; `"eth+"` for all whose names begin so. */
  inInterface?: Negatable<string>;
  /** Interface it leaves by. */
  outInterface?: Negatable<string>;
  /** True: only fragments after the first; false (or `{ not: true }`): all others. IPv4. */
  fragment?: Negatable<boolean>;

  // ── transport headers ─────────────────────────────────────────────────────────────────────────────────────────
  /** Source port, range, or (as an array) several of them. Needs `protocol` tcp, udp, udplite, sctp or dccp. */
  sport?: Negatable<PortConfig | readonly PortConfig[]>;
  /** Destination port, range, or several of them. */
  dport?: Negatable<PortConfig | readonly PortConfig[]>;
  /** The same as arrays, by iptables' names for them. */
  sports?: Negatable<PortConfig | readonly PortConfig[]>;
  /** Destination ports as an array, likewise. */
  dports?: Negatable<PortConfig | readonly PortConfig[]>;
  /** Source or destination port, or several of them. */
  ports?: Negatable<PortConfig | readonly PortConfig[]>;
  /** TCP flags to look at and those that must be set: `"SYN,ACK SYN"`, or `{ mask: ["SYN", "ACK"], set: ["SYN"] }`. */
  tcpFlags?: Negatable<
    string | { readonly mask: string | readonly string[]; readonly set: string | readonly string[] }
  >;
  /** SYN set, ACK, RST and FIN clear: the opening of a TCP connection; false for all others. */
  syn?: Negatable<boolean>;
  /** A TCP option of this kind (1 to 255) is present. */
  tcpOption?: Negatable<number>;
  /** ICMP type by name (`"echo-request"`), number, or `"3/4"`. IPv4; needs `protocol: "icmp"`. */
  icmpType?: Negatable<string | number>;
  /** ICMPv6 type, likewise. Needs `protocol: "icmpv6"`. */
  icmpv6Type?: Negatable<string | number>;

  // ── the flow ──────────────────────────────────────────────────────────────────────────────────────────────────
  /** Relation to its flow: NEW, ESTABLISHED, RELATED, INVALID, UNTRACKED; one or several. */
  state?: Negatable<string | readonly string[]>;
  /** As `state`, and SNAT and DNAT for flows that are translated. */
  ctstate?: Negatable<string | readonly string[]>;
  /** Protocol of the flow. */
  ctproto?: Negatable<string | number>;
  /** Addresses of the flow as its opener sent them, and as the answer carries them. */
  ctorigsrc?: Negatable<string>;
  /** Destination as the opener sent it. */
  ctorigdst?: Negatable<string>;
  /** Source as the answer carries it. */
  ctreplsrc?: Negatable<string>;
  /** Destination as the answer carries it. */
  ctrepldst?: Negatable<string>;
  /** Ports likewise: one or a range. */
  ctorigsrcport?: Negatable<PortConfig>;
  /** Destination port as the opener sent it. */
  ctorigdstport?: Negatable<PortConfig>;
  /** Source port as the answer carries it. */
  ctreplsrcport?: Negatable<PortConfig>;
  /** Destination port as the answer carries it. */
  ctrepldstport?: Negatable<PortConfig>;
  /** NONE, EXPECTED, SEEN_REPLY, ASSURED, CONFIRMED; one or several. */
  ctstatus?: Negatable<string | readonly string[]>;
  /** Remaining life in seconds, one value or `"min:max"`. */
  ctexpire?: Negatable<number | string>;
  /** Direction of the packet within its flow. */
  ctdir?: "ORIGINAL" | "REPLY";
  /** Mark of the flow: `"0x1"`, `"0x1/0xff"`, or a number. */
  connmark?: Negatable<string | number>;
  /** The flow has this label, 0 to 127. */
  connlabel?: Negatable<number>;
  /** With `connlabel`: the flow gets the label. */
  setConnlabel?: true;
  /** The flow was opened by this helper's control connection; `""` for any helper. With `jump: "CT"` see below. */
  helper?: Negatable<string>;

  // ── the packet ────────────────────────────────────────────────────────────────────────────────────────────────
  /** Packet mark: `"0x1"`, `"0x1/0xff"`, or a number. */
  mark?: Negatable<string | number>;
  /** At most so many matches: `"5/second"`, `"3/minute"`, `"10/hour"`, `"1/day"`, after a burst. */
  limit?: string;
  /** Matches before the limit counts, 1 to 10000; 5 by default. */
  limitBurst?: number;
  /** Some of the packets that come this far: with `"nth"` one of `every`, beginning with number `packet`; by chance with `"random"`. */
  mode?: "nth" | "random";
  /** One of so many packets, 1 at least. */
  every?: Negatable<number>;
  /** Which of them, from 0 to `every` - 1. */
  packet?: number;
  /** From 0 to 1. */
  probability?: Negatable<number>;
  /** Addresses from one to another: `"192.0.2.10-192.0.2.20"`. */
  srcRange?: Negatable<string>;
  /** The same of the destination. */
  dstRange?: Negatable<string>;
  /**
   * A set of the configuration, and which part of the packet is to be in it, `src` or `dst` for each part of its members:
   * `"blocked src"`, `"servers dst,dst"`. With fewer than the members have the packet is in no set.
   */
  matchSet?: Negatable<string>;
  /** With matchSet: the packet is in the set as an exception (a member with `nomatch`). */
  returnNomatch?: boolean;
  /** With matchSet: `{ not: true }` leaves the counters of the set's members alone. */
  updateCounters?: Negatable<boolean>;
  /** The same of the sets in a list. */
  updateSubcounters?: Negatable<boolean>;
  /** With matchSet: packets that the member has counted, this one among them: equal to, below, above. */
  packetsEq?: Negatable<number>;
  packetsLt?: number;
  packetsGt?: number;
  /** The same of bytes. */
  bytesEq?: Negatable<number>;
  bytesLt?: number;
  bytesGt?: number;
  /** Length of the IP packet in bytes, one value or `"min:max"`. */
  length?: Negatable<number | string>;
  /** IPv4 TTL equal to, below, above. */
  ttlEq?: Negatable<number>;
  /** IPv4 TTL below. */
  ttlLt?: number;
  /** IPv4 TTL above. */
  ttlGt?: number;
  /** IPv6 hop limit equal to, below, above. */
  hlEq?: Negatable<number>;
  /** IPv6 hop limit below. */
  hlLt?: number;
  /** IPv6 hop limit above. */
  hlGt?: number;
  /** TOS byte or traffic class: `"0x10"`, `"0x10/0x3f"`, or a name such as `"Minimize-Delay"`. */
  tos?: Negatable<string | number>;
  /** DSCP, 0 to 63. */
  dscp?: Negatable<number | string>;
  /** DSCP by class: `"EF"`, `"AF11"`, `"CS1"`. */
  dscpClass?: Negatable<string>;
  /** Explicit congestion notification in the IP header: the lower two bits of TOS byte or traffic class, 0 to 3. */
  ecnIpEct?: Negatable<number>;
  /** TCP's bits for it. Need `protocol: "tcp"`. */
  ecnTcpEce?: Negatable<boolean>;
  ecnTcpCwr?: Negatable<boolean>;
  /** Words of the packet, as iptables' u32 reads them: `"6&0xff=1 && 0>>22&0x3c@0>>24=0:3,8"`. */
  u32?: Negatable<string>;
  /** Sort of the address in Weir's routing: `"LOCAL"`, `"UNICAST"`, `"BROADCAST"`, `"MULTICAST"`; one or several. */
  srcType?: Negatable<string | readonly string[]>;
  /** The same of the destination. */
  dstType?: Negatable<string | readonly string[]>;
  /** With `srcType`/`dstType`: judge by the incoming, respectively the outgoing, interface alone. */
  limitIfaceIn?: true;
  /** The same with the outgoing interface. */
  limitIfaceOut?: true;
  /**
   * More connections than that at once from the packet's address, its own one among them. Closed ones do not count. Rules
   * that ask for `syn` as well cost packets of established flows nothing.
   */
  connlimitAbove?: Negatable<number>;
  /** At most so many. */
  connlimitUpto?: Negatable<number>;
  /** Prefix length of the addresses that count as one. */
  connlimitMask?: number;
  /** The source address, which is meant anyway. */
  connlimitSaddr?: true;
  /** The destination address: connections to it. */
  connlimitDaddr?: true;
  /**
   * What the flow has carried, this packet included: at least so much (`1000000`, `"1000000:"`), or between two numbers
   * (`"1000:2000"`). Needs `connbytesMode` and `connbytesDir`. Flows are counted then, as with nf_conntrack_acct.
   */
  connbytes?: Negatable<number | string>;
  /** In packets, in bytes, or in bytes of the average packet. */
  connbytesMode?: "packets" | "bytes" | "avgpkt";
  connbytesDir?: "original" | "reply" | "both";
  /** Packets, until their lengths together come to more than so many bytes; then none any more. */
  quota?: Negatable<number | string>;
  /** At most so many matches for each value of what `hashlimitMode` names, `"5/second"`, or bytes, `"512kb/s"`. */
  hashlimitUpto?: Negatable<string>;
  /** What is more than that. */
  hashlimitAbove?: Negatable<string>;
  /** Buckets of this name, which all rules of the family share that have it. Needed. */
  hashlimitName?: string;
  /** `"srcip"`, `"dstip"`, `"srcport"`, `"dstport"`; one or several. Without it all packets share one bucket. */
  hashlimitMode?: string | readonly string[];
  /** Packets that may come at once, 5 by default; bytes, `"1mb"`, beside a rate of bytes, which has one second's anyway. */
  hashlimitBurst?: number | string;
  /** Prefix length of the addresses that count as one. */
  hashlimitSrcmask?: number;
  hashlimitDstmask?: number;
  /** Milliseconds after which a bucket is forgotten; by default the unit of the rate. */
  hashlimitHtableExpire?: number;
  /** Most buckets, 65536 by default; packets that would need another one are dropped. */
  hashlimitHtableMax?: number;
  /** Heads of the table, and how often Linux looks for old buckets: here each new bucket looks. */
  hashlimitHtableSize?: number;
  hashlimitHtableGcinterval?: number;
  /** In UTC: from a time of day on, `"8:00"`, and until one; also over midnight. */
  timestart?: string;
  timestop?: string;
  /** On these days: `"Mon"`, … or 1 to 7; one or several. */
  weekdays?: Negatable<string | number | readonly (string | number)[]>;
  /** On these days of the month, 1 to 31. */
  monthdays?: Negatable<string | number | readonly (string | number)[]>;
  /** From a date on, `"2026-01-31T12:00:00"`, and until one. */
  datestart?: string;
  datestop?: string;
  /** With times over midnight: the hours behind it belong to the day before. */
  contiguous?: true;
  /** Refused: Weir has UTC only. */
  kerneltz?: true;
  /** A list of addresses that rules fill: the packet's source (`rdest`: destination) is put into it. Always true. */
  recentSet?: Negatable<boolean>;
  /** The address is in the list; seen within `seconds`, at least `hitcount` times, if those are given. */
  rcheck?: Negatable<boolean>;
  /** As `rcheck`, and where it holds the address is seen once more. */
  update?: Negatable<boolean>;
  /** The address is in the list, and is taken out. */
  remove?: Negatable<boolean>;
  /** With `rcheck`, `update`: seen within so many seconds. */
  seconds?: number;
  /** With `rcheck`, `update`: seen so often, 1 to 65534. */
  hitcount?: number;
  /** With `seconds`: the oldest address of the list goes when it is older than that. */
  reap?: true;
  /** With `rcheck`, `update`, `remove`: only if the packet's TTL is that of the one that was kept. */
  rttl?: true;
  /** Which list; `"DEFAULT"` otherwise. It keeps 100 addresses, the newest. */
  recentName?: string;
  /** Bits of the address that count, `"255.255.255.0"`; all otherwise. */
  recentMask?: string;
  /** The source address, which is meant anyway. */
  rsource?: true;
  /** The destination address. */
  rdest?: true;
  /** In OUTPUT and POSTROUTING: a socket has sent the packet, as Linux would; what is forwarded has none. */
  socketExists?: Negatable<boolean>;
  /**
   * Which user or group has sent it, `1000` or `"1000-1999"`. Weir sends for nobody, so this fits none and the negation
   * all; beside `host`, where programs send, it is refused.
   */
  uidOwner?: Negatable<number | string>;
  gidOwner?: Negatable<number | string>;
  /** With gidOwner: other groups of the sender count, too. */
  supplGroups?: true;
  /** Text anywhere in the packet, headers included. */
  string?: Negatable<string>;
  /** The same with bytes between bars: `"GET|20 2f|"`. */
  hexString?: Negatable<string>;
  /** With `string`, `hexString`: offsets between which the text stands, counted from the IP header's first byte. */
  stringFrom?: number;
  stringTo?: number;
  /** The same without regard to case. */
  icase?: true;
  /** Taken for the sake of iptables; it makes no difference. */
  algo?: "bm" | "kmp";
  /** The maximum segment size that a TCP segment announces, one value or `"min:max"`. Needs `protocol: "tcp"`. */
  mss?: Negatable<number | string>;
  /** An IPv6 routing header of this type. */
  rtType?: Negatable<number>;
  /** With so many segments left, one value or `"min:max"`. */
  rtSegsleft?: Negatable<number | string>;
  /** Of so many bytes. */
  rtLen?: Negatable<number>;
  /** ESP's security parameters index, one or `"min:max"`. Needs `protocol: "esp"`. */
  espSpi?: Negatable<number | string>;
  /** The same of the authentication header; in IPv4 with `protocol: "ah"`. */
  ahSpi?: Negatable<number | string>;
  /** In IPv6: its length in bytes, and whether its reserved bits are zero. */
  ahLen?: Negatable<number>;
  ahRes?: true;
  /** An IPv6 fragment header, in rules of routers that do not track: its identification, one or `"min:max"`. */
  fragId?: Negatable<number | string>;
  /** Its reserved bits are zero; it is the first, one with more to come, the last. */
  fragRes?: true;
  fragFirst?: true;
  fragMore?: true;
  fragLast?: true;
  /** Taken for the sake of iptables: the header is always of 8 bytes, and Linux does not look. */
  fragLen?: Negatable<number>;
  /** IPv6 hop-by-hop options: their length in bytes, and what they begin with, `"5:2,1"` by type and length. */
  hbhLen?: Negatable<number>;
  hbhOpts?: number | string;
  /** The same of the destination options. */
  dstLen?: Negatable<number>;
  dstOpts?: number | string;
  /** Which headers an IPv6 packet has, and no others: of `hop, dst, route, frag, auth, esp, none, prot`. */
  ipv6Header?: Negatable<string | readonly string[]>;
  /** These, and perhaps others; negated, none of these. */
  ipv6HeaderSoft?: true;
  /** In raw and mangle PREROUTING: no route leads back by the interface that the packet came in by. */
  rpInvert?: true;
  /** Reverse path: any route back will do. */
  loose?: true;
  /** Reverse path: packets from Weir's own addresses may be right. */
  acceptLocal?: true;
  /** Taken for the sake of iptables: routes do not depend on marks. */
  validmark?: true;
  /** How the packet was addressed on its link: `"unicast"`, which it always is on TUN devices, `"broadcast"`, `"multicast"`. */
  pktType?: Negatable<string>;
  /** The sender's Ethernet address: packets of TUN devices have none, so nothing fits. */
  macSource?: Negatable<string>;
  /** About bridges: Weir has none, so only what is negated fits. */
  physdevIsIn?: Negatable<boolean>;
  physdevIn?: Negatable<string>;
  physdevIsOut?: Negatable<boolean>;
  physdevOut?: Negatable<string>;
  physdevIsBridged?: Negatable<boolean>;
  /** About IPsec, which Weir has not: `pol: "none"` fits every packet, `pol: "ipsec"` none. */
  pol?: "none" | "ipsec";
  /** With `pol`: what is asked of, the way in or the way out. */
  dir?: "in" | "out";
  /** With `pol: "ipsec"`, as iptables has them; `proto` is `"esp"`, `"ah"` or `"ipcomp"`, `policyMode` `"transport"` or `"tunnel"`. */
  strict?: true;
  reqid?: Negatable<number>;
  spi?: Negatable<number | string>;
  proto?: Negatable<string>;
  policyMode?: Negatable<string>;
  /** Free text, up to 255 bytes, shown in listings. */
  comment?: string;
  /**
   * A function as a condition: gets the packet, must not change it, keep it, or wait. It runs on the packet path:
   * one that allocates slows every packet down. If it throws, the packet is dropped (`match-hotdrop`).
   */
  match?: (p: Packet) => boolean;

  // ── what to do ────────────────────────────────────────────────────────────────────────────────────────────────
  /** ACCEPT, DROP, RETURN, a target (REJECT, LOG, MARK, …) or a user chain of the same table. Without it the rule only counts. */
  jump?: string;
  /** As `jump` to a user chain, but RETURN there goes back to where this chain was called from. */
  goto?: string;

  /** SNAT: new source, `"203.0.113.1"`, `"203.0.113.1-203.0.113.4:1024-65535"`, `"[2001:db8::1]:1024-2047"`, `":5000"`. */
  toSource?: string;
  /** DNAT: new destination, likewise; `":2000-2010/1000"` shifts a port range. */
  toDestination?: string;
  /** MASQUERADE, REDIRECT: a port or range `"1024-31000"`. Needs `protocol` tcp, udp, sctp, dccp or icmp. */
  toPorts?: string | number;
  /** NETMAP: the network whose host part is kept. */
  to?: string;
  /** SNAT, DNAT, MASQUERADE, REDIRECT: choose ports at random. */
  random?: true;
  /** SNAT, MASQUERADE: choose ports fully at random. */
  randomFully?: true;
  /** SNAT, DNAT: give a client the same address for every destination. */
  persistent?: true;
  /** REJECT: the answer, by iptables' names; `icmp-port-unreachable` and `icmp6-port-unreachable` by default. */
  rejectWith?: string;
  /** MARK, CONNMARK: clear the mask's bits, then OR the value: `"0x1"`, `"0x1/0xff"`. */
  setMark?: string | number;
  /** MARK, CONNMARK: clear the mask's bits, then XOR the value. */
  setXmark?: string | number;
  /** MARK, CONNMARK: keep only these bits. */
  andMark?: string | number;
  /** MARK, CONNMARK: set these bits. */
  orMark?: string | number;
  /** MARK, CONNMARK: turn these bits round. */
  xorMark?: string | number;
  /** CONNMARK: copy the packet's mark to the flow, or back, through masks. */
  saveMark?: true;
  /** CONNMARK: copy the flow's mark to the packet. */
  restoreMark?: true;
  /** CONNMARK: bits of the flow's mark that take part. */
  ctmask?: string | number;
  /** CONNMARK: bits of the packet's mark that take part. */
  nfmask?: string | number;
  /** CONNMARK: both masks at once. */
  mask?: string | number;
  /** CONNMARK: shift what is set, saved or restored, by 0 to 32 bits. */
  leftShiftMark?: number;
  /** CONNMARK: the same to the right. */
  rightShiftMark?: number;
  /** TTL: IPv4 TTL, 0 to 255. */
  ttlSet?: number;
  /** TTL: add, up to 255. */
  ttlInc?: number;
  /** TTL: subtract, down to 0. */
  ttlDec?: number;
  /** SNPT, DNPT: the IPv6 prefix that becomes `dstPfx`, both of at most 64 bits. */
  srcPfx?: string;
  /** SNPT, DNPT: the prefix that it becomes. */
  dstPfx?: string;
  /** HL: IPv6 hop limit, 0 to 255. */
  hlSet?: number;
  /** HL: add, up to 255. */
  hlInc?: number;
  /** HL: subtract, down to 0. */
  hlDec?: number;
  /** DSCP: 0 to 63, or by class. */
  setDscp?: number | string;
  /** DSCP: by class. */
  setDscpClass?: string;
  /** ECN: takes both bits out of TCP's header. Needs `protocol: "tcp"`. */
  ecnTcpRemove?: true;
  /** ECN: TCP's bits, and those of the IP header, to a value. */
  setTcpEce?: 0 | 1;
  setTcpCwr?: 0 | 1;
  setIpEct?: number;
  /** TOS: value, or `"value/mask"`, or a name. */
  setTos?: string | number;
  /** TOS: keep only these bits. */
  andTos?: string | number;
  /** TOS: set these bits. */
  orTos?: string | number;
  /** TOS: turn these bits round. */
  xorTos?: string | number;
  /** LOG: text before the line, up to 29 bytes. */
  logPrefix?: string;
  /** LOG: syslog level by name or number; warning (4) by default. */
  logLevel?: string | number;
  /** LOG: write sequence and acknowledgement numbers. */
  logTcpSequence?: true;
  /** LOG: write TCP options in hexadecimal. */
  logTcpOptions?: true;
  /** LOG: write IP options in hexadecimal. */
  logIpOptions?: true;
  /** LOG: taken for the sake of iptables; Weir knows no owner of a packet. */
  logUid?: true;
  /** LOG: taken for the sake of iptables; TUN devices have no link addresses. */
  logMacdecode?: true;
  /** CLASSIFY: a class of tc, `"1:10"`. It is kept, but a TUN device has no classes. */
  setClass?: string;
  /** CHECKSUM: writes a checksum that was left to a device. */
  checksumFill?: true;
  /** NFLOG: text before the line, up to 63 bytes. It is written as LOG's is. */
  nflogPrefix?: string;
  /** NFLOG: for daemons, and kept for the sake of iptables. */
  nflogGroup?: number;
  nflogSize?: number;
  nflogThreshold?: number;
  /** TCPMSS: largest segment size to announce, in bytes. */
  setMss?: number;
  /** TCPMSS: as large as both ways allow. */
  clampMssToPmtu?: true;
  /** CT: exempt from tracking; `jump: "NOTRACK"` is the same. */
  notrack?: true;
  /** CT: conntrack zone, 0 to 65535, or `"mark"`; of both directions or of one. `helper` with CT attaches that helper. */
  zone?: number | string;
  /** CT: zone of the original direction; answers are looked for in zone 0. */
  zoneOrig?: number | string;
  /** CT: zone of the reply direction; the opener stays in zone 0. */
  zoneReply?: number | string;
  /**
   * CT: life of the flow by state, or the name of a policy in `timeouts`. SET: seconds that the new member stays, 0 for
   * ever.
   */
  timeout?: string | number | TimeoutConfig;
  /** SET: adds the packet to a set, `"seen src"`. */
  addSet?: string;
  /** SET: a member that is there already begins its time anew. */
  exist?: boolean;
  /** SET: takes the packet out of a set. */
  delSet?: string;
  /** SET, in mangle: the set to take from what its member has for the packet. */
  mapSet?: string;
  /** SET: takes the mark, under its mask. */
  mapMark?: boolean;
  /** SET: takes the priority, takes the queue: as rules they are kept, but packets of a TUN device have neither. */
  mapPrio?: boolean;
  mapQueue?: boolean;
  /** CT: events to report: new, related, destroy, reply, assured, protoinfo, helper, mark, natseqinfo, secmark. */
  ctevents?: string | readonly string[];
  /** CT: expectation events to report: new. */
  expevents?: string | readonly string[];
}
