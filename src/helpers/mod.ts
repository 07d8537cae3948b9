/**
 * Protocol helpers: what makes RELATED flows of the connections that protocols announce in their payload.
 *
 * ```
 *  POSTROUTING, INPUT ── confirm ──▶ conntrack_<protocol>: finds the announcement, makes an expectation
 *                                        │ only when the flow is translated
 *                                        ▼
 *                                    nat_<protocol>: a free port, the payload rewritten, follow the master
 *  PREROUTING ── first packet of the announced flow fits the expectation ──▶ RELATED, bound like its master
 * ```
 *
 * Overview: a helper is two files and one line here. The conntrack half knows the protocol and works alone in a plain
 * firewall; the NAT half knows how to rewrite it. They meet in one optional function.
 *
 * Life-cycle: a factory is called in the user's configuration and makes a `ConntrackHelper`; conntrack attaches it to
 * flows, by port or by a rule, and calls it for every packet of theirs, after NAT has rewritten the headers.
 *
 * Limits: payloads are read as they pass, packet by packet; nothing is put together from several segments.
 *
 * @module
 */
import type { ConntrackHelper } from "../conntrack/helper.ts";
import { conntrackFtp, type ConntrackFtpOptions } from "./conntrack_ftp.ts";
import { natFtp } from "./nat_ftp.ts";

export { conntrackFtp, type ConntrackFtpOptions, natFtp };
export type { NatFtp } from "./conntrack_ftp.ts";

/** FTP, both halves: data connections are RELATED, and work through NAT in either direction. */
export function ftp(o: Omit<ConntrackFtpOptions, "nat"> = {}): ConntrackHelper {
  return conntrackFtp({ ...o, nat: natFtp });
}
