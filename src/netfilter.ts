/**
 * The vocabulary of netfilter: hooks, verdicts, what a packet is to its connection, and why packets die.
 * Imports nothing; everything else may import it.
 *
 * ```
 *                    ┌────────────┐  routing   ┌─────────┐             ┌─────────────┐
 *  device ─ read ──▶ │ PREROUTING │ ─────┬───▶ │ FORWARD │ ──────────▶ │ POSTROUTING │ ── write ─▶ device
 *                    │ defrag     │      │     │ mangle  │             │ mangle      │
 *                    │ raw        │      │     │ filter  │             │ nat (SRC)   │
 *                    │ conntrack  │      │     └─────────┘             │ helper      │
 *                    │ mangle     │      ▼                             │ seqAdjust   │
 *                    │ nat (DST)  │  ┌────────┐          ┌──────────┐  │ confirm     │
 *                    └────────────┘  │ INPUT  │          │ OUTPUT   │  └─────────────┘
 *                                    │ mangle │          │ defrag   │         ▲
 *                                    │ filter │          │ raw      │         │
 *                                    │ nat    │          │ conntrack│ ────────┘
 *                                    │ confirm│          │ mangle   │  routing
 *                                    └────────┘          │ nat (DST)│
 *                                        ▼               │ filter   │
 *                                   own addresses        └──────────┘
 *                                   or the host TUN           ▲
 *                                          └──────────────────┘
 * ```
 *
 * @module
 */

/** A place in the path where tables are consulted (NF_INET_*). */
export type Hook = 0 | 1 | 2 | 3 | 4;
/** Every packet read from a device, before routing (NF_INET_PRE_ROUTING). */
export const PREROUTING = 0;
/** Packets for Weir's own addresses (NF_INET_LOCAL_IN). */
export const INPUT = 1;
/** Packets routed from one interface to another (NF_INET_FORWARD). */
export const FORWARD = 2;
/** Packets that Weir, or a program behind the host device, makes itself (NF_INET_LOCAL_OUT). */
export const OUTPUT = 3;
/** Every packet about to leave (NF_INET_POST_ROUTING). */
export const POSTROUTING = 4;
/** Names of the built-in chains, by hook number. */
export const HOOK_NAMES = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"] as const;

/** What a stage says about a packet. */
export type Verdict = 0 | 1 | 2 | 3 | 4;
/** The packet ends here; `Packet.reason` says why (NF_DROP). */
export const DROP = 0;
/** The packet goes on to the next stage (NF_ACCEPT). */
export const ACCEPT = 1;
/** The stage has taken the packet over, for example a fragment that waits for the others (NF_STOLEN). */
export const STOLEN = 2;
/** Inside a table: go on with the next rule (XT_CONTINUE). */
export const CONTINUE = 3;
/** Inside a table: back to the calling chain, or the policy in a built-in chain (XT_RETURN). */
export const RETURN = 4;

/** Address family as the IP version number. */
export type Family = 4 | 6;
/** Either the directions of a flow, or an index by them (IP_CT_DIR_*). */
export type Dir = 0 | 1;
/** From the side that opened the flow. */
export const ORIGINAL = 0;
/** From the side that answers. */
export const REPLY = 1;

/**
 * A packet's relation to its flow (enum ip_conntrack_info). Without a flow in `Packet.ct` it is `UNTRACKED` where raw
 * exempted the packet and `NEW` behind a rule `-j CT` of raw; anything else means INVALID then.
 */
export type CtInfo = 0 | 1 | 2 | 3 | 4 | 7;
/** Original direction of a flow that has seen a reply. */
export const ESTABLISHED = 0;
/** Starts an expected flow, or is an ICMP error about a flow, in the original direction. */
export const RELATED = 1;
/** Starts a new flow. */
export const NEW = 2;
/** Reply direction. Directions differ by `IS_REPLY`. */
export const ESTABLISHED_REPLY = 3;
/** An ICMP error in the reply direction. */
export const RELATED_REPLY = 4;
/** Exempted by raw's NOTRACK, or never tracked, as neighbour discovery. */
export const UNTRACKED = 7;
/** Added to ESTABLISHED or RELATED for the reply direction (IP_CT_IS_REPLY). */
export const IS_REPLY = 3;

/** The direction that a packet's ctinfo speaks of (CTINFO2DIR). */
export function ctinfoDir(ctinfo: number): Dir {
  return ctinfo >= IS_REPLY ? REPLY : ORIGINAL;
}

/** `Packet.ct` of a packet without a flow. */
export const NO_CT = -1;

/** IP protocol numbers by their names in /etc/protocols. */
export const ICMP = 1, IGMP = 2, TCP = 6, UDP = 17, DCCP = 33, GRE = 47, ESP = 50, AH = 51, ICMPV6 = 58;
export const SCTP = 132, UDPLITE = 136;

/**
 * Why a packet died or was refused. Each is a counter of the same name; 0 means it did not die.
 * Append only: the order is part of the state file's layout.
 */
export const REASONS = [
  "none",
  // Layer 3, before any hook
  "too-short",
  "bad-version",
  "bad-header-length",
  "bad-total-length",
  "bad-header-checksum",
  "source-route",
  "bad-option",
  "martian-source",
  "martian-destination",
  "reverse-path",
  "bad-extension-header",
  "bad-offload",
  // Fragments
  "fragment-overlap",
  "fragment-oversize",
  "fragment-timeout",
  "fragment-memory",
  "fragment-malformed",
  // Rules
  "rule-drop",
  "rule-reject",
  "policy-drop",
  "match-hotdrop",
  "loop",
  // Tracking and NAT
  "table-full",
  "insert-failed",
  "nat-no-address",
  "nat-no-port",
  "nat-mangle-failed",
  "nat-icmp-failed",
  "nat-oif-changed",
  "seqadj-failed",
  // Helpers
  "helper-partial",
  "helper-expect-refused",
  "helper-no-port",
  "helper-mangle-failed",
  "helper-malformed",
  "helper-failed",
  // Routing
  "no-route",
  "ttl-exceeded",
  "packet-too-big",
  "not-forwardable",
  "link-local",
  "own-address-closed",
  "address-unreachable",
  // Devices
  "device-full",
  "device-down",
  "device-error",
  // The state file's file system is full
  "no-space",
] as const;
/** A name in `REASONS`. */
export type ReasonName = typeof REASONS[number];
/** Index of each reason in `REASONS`, as a number that the packet path stores. */
export const Reason = Object.fromEntries(REASONS.map((name, i) => [name, i])) as Readonly<
  Record<ReasonName, number>
>;
