/**
 * The seam of a protocol helper's conntrack half (struct nf_conntrack_helper).
 *
 * A helper is made by a factory in the user's configuration, before any router exists; everything that belongs to
 * a router comes as an argument of `help`.
 */
import type { Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import type { Expector } from "./expector.ts";
import type { ExpectPolicy } from "./expect.ts";

export type { ExpectPolicy } from "./expect.ts";

/**
 * What a helper may open, where Linux opens whatever is announced. Nothing is limited unless it is asked for. An
 * announcement that a limit forbids passes as it is, without an expectation; a counter and a log line say so.
 */
export interface HelperLimits {
  /** Lowest port that an announcement may open: 1024 keeps it away from the well-known services. */
  readonly minPort?: number;
  /**
   * Only between the two ends of the announcing flow. An announcement for a third host opens nothing, and one that
   * anybody may take up is for the flow's other end alone.
   */
  readonly samePeer?: boolean;
  /** Most expectations that one flow may make in a minute. */
  readonly expectationsPerMinute?: number;
  /**
   * A TCP conversation whose client speaks as a browser does (HTTP, TLS, STUN) loses the helper: a page could make its
   * reader's browser say an announcement (NAT slipstreaming). What it has announced before is closed.
   */
  readonly refuseBrowsers?: boolean;
  /** Keep the bytes that announced a pinhole beside the flow and the rule (`Conntrack.pinholes`), and log each one. */
  readonly record?: boolean;
}

/** What becomes of a packet in which its helper fails. */
export type OnFailure = "accept" | "drop";

/** An option of a helper that is not as it should be. */
export interface HelperMistake {
  readonly option: string;
  readonly message: string;
}

/** Finds announcements in the payload of the flows it is attached to. */
export interface ConntrackHelper {
  /** What `-m helper` and `-j CT --helper` call it, as in Linux: `ftp`, or `ftp-2121` for another port. */
  readonly name: string;
  /** What it is called on each of `ports`, where Linux registers a helper for each; absent: one name for all. */
  readonly names?: readonly string[];
  /** IP protocol number of the flows it serves. */
  readonly protocol: number;
  /** Families it serves. */
  readonly families: readonly (4 | 6)[];
  /** Server ports it serves by itself when `autoAssign` is on. */
  readonly ports: readonly number[];
  /** Attach to new flows on `ports` without a rule, as Linux did before 6.0. */
  readonly autoAssign: boolean;
  /** Class 0 first; four at most. */
  readonly policies: readonly ExpectPolicy[];
  /** What it may open; null or absent for no limits, as in Linux. */
  readonly limits?: HelperLimits | null;
  /** What becomes of a packet in which it throws or runs wild; `"accept"` when absent. The flow loses it either way. */
  readonly onFailure?: OnFailure;
  /** What was wrong with the options it was made with: `validate` reports it, and no router takes such a helper. */
  readonly mistakes?: readonly HelperMistake[];
  /**
   * Called once for each router that lists it, in the order of the list. What it has to remember beside the six words of
   * each flow it takes from `conntrack.arena` here, so that all workers of the router see the same.
   */
  attach?(conntrack: Expector): void;
  /**
   * Reads a packet of a flow it is attached to, at the end of the path, after NAT has rewritten the headers.
   * `ct` is a handle, `ctinfo` the packet's relation. ACCEPT or DROP, with the reason set (`p.drop`); see helping.ts for
   * what happens to one that answers something else, or not at all.
   */
  help(conntrack: Expector, p: Packet, ct: number, ctinfo: number): Verdict;
}

/** A helper as Linux registers it: one for each port that has a name of its own. All do their work in the same object. */
export function perPort(helper: ConntrackHelper): readonly ConntrackHelper[] {
  const { names, ports } = helper;
  return names === undefined || ports.length === 1
    ? [helper]
    : ports.map((port, i) => new OnePort(helper, names[i], port));
}

/** A helper on one of its ports. */
class OnePort implements ConntrackHelper {
  readonly protocol: number;
  readonly families: readonly (4 | 6)[];
  readonly ports: readonly number[];
  readonly autoAssign: boolean;
  readonly policies: readonly ExpectPolicy[];
  readonly limits: HelperLimits | null;
  readonly onFailure: OnFailure;
  readonly #whole: ConntrackHelper;

  constructor(whole: ConntrackHelper, readonly name: string, port: number) {
    this.#whole = whole;
    this.protocol = whole.protocol;
    this.families = whole.families;
    this.ports = Object.freeze([port]);
    this.autoAssign = whole.autoAssign;
    this.policies = whole.policies;
    this.limits = whole.limits ?? null;
    this.onFailure = whole.onFailure ?? "accept";
  }

  help(conntrack: Expector, p: Packet, ct: number, ctinfo: number): Verdict {
    return this.#whole.help(conntrack, p, ct, ctinfo);
  }
}
