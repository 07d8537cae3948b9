/**
 * How a packet went through the router, as data: what `weir explain --json` prints and `testRouter` returns.
 *
 * Steps stand in the order in which the packet took them. What the router said because of it (an ICMP error, a reset, an
 * echo reply) is a packet with a way of its own, an `answer` among the steps.
 *
 * @module
 */
import type { ReasonName } from "../netfilter.ts";
import type { TableName } from "../tables/extension.ts";

/**
 * What became of a packet. `forwarded` it left; `delivered` it was for the router itself; `waits` it is a fragment, kept
 * until the others are there; `dropped` it died.
 */
export type Outcome = "forwarded" | "delivered" | "waits" | "dropped";

/** A packet that has left. */
export interface Sent {
  readonly interface: string;
  /** One line. */
  readonly packet: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The router has made it because of the packet; otherwise it is the packet. */
  readonly answer: boolean;
}

/** The way of one packet. */
export interface Way {
  /** One line. */
  readonly packet: string;
  readonly steps: readonly Step[];
  readonly outcome: Outcome;
  /** Why it died; null for one that did not. */
  readonly reason: ReasonName | null;
  /** The rule or policy that ended it. */
  readonly by: RulePlace | null;
  /** It left by this interface, as this. Several where it left in pieces. */
  readonly left: readonly { readonly interface: string; readonly packet: string }[];
  /** What differs between how it came and how it left: `source 192.0.2.2:1000 → 198.51.100.1:1000`, `ttl 64 → 63`. */
  readonly changes: readonly string[];
}

/** The whole of it. */
export interface Explanation extends Way {
  /** The interface it came in by. */
  readonly interface: string;
  /** Seconds on the virtual clock. */
  readonly time: number;
  /** All that left because of it, answers included, in the order of leaving. */
  readonly sent: readonly Sent[];
}

/** Where a rule stands: `tables.filter.FORWARD.rules[1]`, `iptables:12:1`; for a policy its table and chain. */
export interface RulePlace {
  readonly place: string;
  /** As it was written, as far as that is known. */
  readonly text: string;
}

/** A rule that was asked. */
export interface AskedRule extends RulePlace {
  readonly chain: string;
  /** As `iptables -L --line-numbers` counts, from 1. */
  readonly number: number;
  readonly matched: boolean;
  /** What it did: `ACCEPT`, `goes to chain web`, `MASQUERADE, then on`. Empty when it did not match. */
  readonly does: string;
  /** The first condition that said no: `--dport 22: it is 80`. Empty when it matched. */
  readonly no: string;
}

/** What a step speaks of: one stage of the way. */
export type Step =
  /** Nothing looked at it yet; `reason` when Linux would not even look. */
  | { readonly stage: "parse"; readonly says: string }
  /** A fragment came to those that wait. */
  | { readonly stage: "defrag"; readonly hook: string; readonly says: string }
  | ConntrackStep
  | TableStep
  | NatStep
  | { readonly stage: "routing"; readonly says: string }
  | HelperStep
  /** The flow is in the table now, or its numbers were adjusted. */
  | { readonly stage: "confirm"; readonly hook: string; readonly says: string }
  | { readonly stage: "answer"; readonly why: string; readonly way: Way }
  /** An answer that was not made. */
  | { readonly stage: "silence"; readonly why: string }
  /** A line of the LOG target, or of a part of the router. */
  | { readonly stage: "log"; readonly says: string }
  /** For Weir itself. */
  | { readonly stage: "local"; readonly says: string };

/** Which flow. */
export interface ConntrackStep {
  readonly stage: "conntrack";
  readonly hook: string;
  readonly state: "NEW" | "ESTABLISHED" | "RELATED" | "INVALID" | "UNTRACKED" | "DROP";
  readonly why: string;
  /** The flow as `conntrack -L` prints it; null without one. */
  readonly flow: string | null;
}

/** A chain was walked. */
export interface TableStep {
  readonly stage: "table";
  readonly hook: string;
  readonly table: TableName;
  readonly rules: readonly AskedRule[];
  /** `ACCEPT`, `DROP`. */
  readonly verdict: string;
  /** The policy has decided. */
  readonly policy: boolean;
}

/** Addresses or ports have changed, or were to. */
export interface NatStep {
  readonly stage: "nat";
  readonly hook: string;
  readonly says: string;
}

/** A helper has read the packet. */
export interface HelperStep {
  readonly stage: "helper";
  readonly hook: string;
  readonly helper: string;
  /** What the packet said, unprintable bytes as dots. */
  readonly read: string;
  /** What it says now, when that differs. */
  readonly wrote: string | null;
  /** `tcp 198.51.100.7 → 192.0.2.2:5000`. */
  readonly expects: readonly string[];
}
