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
 * Limits: payloads are read as they pass, packet by packet; nothing is put together from several segments, unless a
 * helper is asked to (`strict: false`). What a helper may open can be limited (`HelperPolicy`), and one that fails is
 * contained (`conntrack/helping.ts`).
 *
 * Helpers of your own are made by `defineHelper`; README.md is the guide, `weir/testing` the test kit.
 *
 * @module
 */
import type { ConntrackHelper } from "../conntrack/helper.ts";
import { conntrackAmanda, type ConntrackAmandaOptions } from "./conntrack_amanda.ts";
import { conntrackFtp, type ConntrackFtpOptions } from "./conntrack_ftp.ts";
import { conntrackIrc, type ConntrackIrcOptions } from "./conntrack_irc.ts";
import { conntrackSane, type ConntrackSaneOptions } from "./conntrack_sane.ts";
import { conntrackTalk, type ConntrackTalkOptions } from "./conntrack_talk.ts";
import { conntrackTftp, type ConntrackTftpOptions } from "./conntrack_tftp.ts";
import { natAmanda } from "./nat_amanda.ts";
import { natFtp } from "./nat_ftp.ts";
import { natIrc, natIrcPort } from "./nat_irc.ts";
import { natTalk } from "./nat_talk.ts";
import { natTftp } from "./nat_tftp.ts";

export { conntrackAmanda, type ConntrackAmandaOptions, natAmanda };
export { conntrackFtp, type ConntrackFtpOptions, natFtp };
export { conntrackIrc, type ConntrackIrcOptions, natIrc, natIrcPort };
export { conntrackSane, type ConntrackSaneOptions };
export { conntrackTalk, type ConntrackTalkOptions, natTalk };
export { conntrackTftp, type ConntrackTftpOptions, natTftp };
export { defineHelper, type HelperDefinition, type HelperOptions } from "./define.ts";
export type { Announcement, Payload } from "./payload.ts";
export type { HelperPolicy } from "./policy.ts";
export type { Granted, NatHalf, Writer } from "./rewriting.ts";
export type { NatAmanda } from "./conntrack_amanda.ts";
export type { NatFtp } from "./conntrack_ftp.ts";
export type { NatIrc, NatIrcPort } from "./conntrack_irc.ts";
export type { NatTalk } from "./conntrack_talk.ts";
export type { NatTftp } from "./conntrack_tftp.ts";

/** FTP, both halves: data connections are RELATED, and work through NAT in either direction. */
export function ftp(o: Omit<ConntrackFtpOptions, "nat"> = {}): ConntrackHelper {
  return conntrackFtp({ ...o, nat: natFtp });
}

/** IRC, both halves: DCC connections to the client are RELATED, and work through NAT. IPv4 only. */
export function irc(o: Omit<ConntrackIrcOptions, "nat" | "natPort"> = {}): ConntrackHelper {
  return conntrackIrc({ ...o, nat: natIrc, natPort: natIrcPort });
}

/** TFTP, both halves: the server's answers from another port are RELATED, and work through NAT in either direction. */
export function tftp(o: Omit<ConntrackTftpOptions, "nat"> = {}): ConntrackHelper {
  return conntrackTftp({ ...o, nat: natTftp });
}

/** Amanda, both halves: backup connections are RELATED, and work through NAT in either direction. */
export function amanda(o: Omit<ConntrackAmandaOptions, "nat"> = {}): ConntrackHelper {
  return conntrackAmanda({ ...o, nat: natAmanda });
}

/** SANE: image connections are RELATED. There is no NAT half, in Linux neither. */
export function sane(o: ConntrackSaneOptions = {}): ConntrackHelper {
  return conntrackSane(o);
}

/** talk and ntalk, both halves: the callee's question and the talk's connection are RELATED, through NAT, too. IPv4. */
export function talk(o: Omit<ConntrackTalkOptions, "nat"> = {}): ConntrackHelper {
  return conntrackTalk({ ...o, nat: natTalk });
}
