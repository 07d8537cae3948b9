/**
 * Timeouts by the state of a flow, as `-j CT --timeout` gives them: written in the rule, or in a policy that rules name
 * (nfct's `add timeout`).
 *
 * @module
 */
import { type Family, GRE, ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE } from "../netfilter.ts";

/** Seconds by state. */
export type Seconds = Readonly<Record<string, number>>;

/** A policy by its name. */
export interface TimeoutPolicy {
  readonly name: string;
  /** The protocol that has these states; GENERIC for those without a tracker of their own. */
  readonly protocol: number;
  /** The family of the rules that may name it, 0 for both. */
  readonly family: Family | 0;
  readonly seconds: Seconds;
}

/** Stands for all protocols without a tracker of their own (nf_conntrack_l4proto_generic). */
const GENERIC = 255;

/** Bytes of a policy's name (XT_TIMEOUT_NAME_LEN, without its end). */
export const MOST_NAME_BYTES = 31;

/** Names of timeouts, by protocol, with their place in the tracker's list (`timeouts` in conntrack/proto). */
const PLACES: Readonly<Record<number, Readonly<Record<string, number>>>> = {
  [TCP]: {
    synSent: 1,
    synRecv: 2,
    established: 3,
    finWait: 4,
    closeWait: 5,
    lastAck: 6,
    timeWait: 7,
    close: 8,
    synSent2: 9,
    retrans: 12,
    unacknowledged: 13,
  },
  [SCTP]: {
    closed: 1,
    cookieWait: 2,
    cookieEchoed: 3,
    established: 4,
    shutdownSent: 5,
    shutdownRecd: 6,
    shutdownAckSent: 7,
    heartbeatSent: 8,
  },
  [UDP]: { unreplied: 0, replied: 1 },
  [UDPLITE]: { unreplied: 0, replied: 1 },
  [GRE]: { unreplied: 0, replied: 1 },
  [ICMP]: { timeout: 0 },
  [ICMPV6]: { timeout: 0 },
  [GENERIC]: { timeout: 0 },
};

/** Protocols that a policy can be for, by the names that nfct has for them. */
export const TIMEOUT_PROTOCOLS: Readonly<Record<string, number>> = {
  tcp: TCP,
  udp: UDP,
  udplite: UDPLITE,
  icmp: ICMP,
  icmpv6: ICMPV6,
  sctp: SCTP,
  gre: GRE,
  generic: GENERIC,
};

/** The protocol whose tracker reads packets of a protocol. */
export function trackerOf(protocol: number): number {
  return protocol in PLACES ? protocol : GENERIC;
}

/** The name of a tracker's protocol. */
export function trackerName(protocol: number): string {
  return Object.keys(TIMEOUT_PROTOCOLS).find((name) => TIMEOUT_PROTOCOLS[name] === protocol) ?? "generic";
}

/** Names of a protocol's states. */
export function statesOf(protocol: number): string[] {
  return Object.keys(PLACES[trackerOf(protocol)]);
}

/** What a state's seconds must be, for messages. */
export const SECONDS = "a number of seconds from 1 to 2147483";

/** True for such a number. */
export function isSeconds(value: unknown): boolean {
  return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 2147483;
}

/** Seconds in the order of the tracker's list; 0 where nothing is said. */
export function secondsByPlace(seconds: Seconds, protocol: number): number[] {
  const places = PLACES[trackerOf(protocol)];
  const list: number[] = Array(Math.max(...Object.values(places)) + 1).fill(0);
  for (const [state, value] of Object.entries(seconds)) list[places[state]] = value;
  return list;
}
