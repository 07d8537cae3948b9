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

/** Finds announcements in the payload of the flows it is attached to. */
export interface ConntrackHelper {
  /** What `-m helper` and `-j CT --helper` call it, as in Linux: `ftp`, or `ftp-2121` for another port. */
  readonly name: string;
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
  /**
   * Reads a packet of a flow it is attached to, at the end of the path, after NAT has rewritten the headers.
   * `ct` is a handle, `ctinfo` the packet's relation. Anything but ACCEPT ends the packet; set the reason.
   */
  help(conntrack: Expector, p: Packet, ct: number, ctinfo: number): Verdict;
}
