/**
 * TFTP (RFC 1350), conntrack half: the server answers a request from a port of its own choice.
 *
 * ```
 *  client:p → server:69     RRQ or WRQ
 *  server:? → client:p      DATA or ACK, RELATED
 *  client:p → server:?      ACK or DATA, ESTABLISHED
 * ```
 *
 * Only the two bytes of the opcode are read, in either direction. The first packet of a flow already announces, so the
 * expectation is there before its master is confirmed; should the packet die, it dies with the flow.
 */
import type { Conntrack } from "../conntrack/core.ts";
import { EXPECT_OK } from "../conntrack/expect.ts";
import { CT_STATUS, FLOW_WORDS, IPS_NAT_MASK, tupleAt } from "../conntrack/flow.ts";
import type {
  ConntrackHelper,
  ExpectPolicy,
  HelperLimits,
  HelperMistake,
  OnFailure,
} from "../conntrack/helper.ts";
import { DST, PORTS, SRC, tupleFamily } from "../conntrack/tuple.ts";
import { ACCEPT, Reason, REPLY, UDP, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { udpPayload } from "../packet/udp.ts";
import { type HelperPolicy, limitsOf, Mistakes, namesOf, onFailureOf, portsOf } from "./policy.ts";

/** The NAT half: changes the expectation and registers it. */
export type NatTftp = (conntrack: Conntrack, p: Packet, ct: number, exp: number) => Verdict;

/** How to listen for TFTP. */
export interface ConntrackTftpOptions extends HelperPolicy {
  /** Server ports, 69 by default; eight at most. */
  ports?: readonly number[];
  /** The NAT half, without which the server's answers find no way back to a translated client. */
  nat?: NatTftp;
}

const TFTP_PORT = 69;
/** Opcodes that ask for a transfer (RFC 1350, 5). */
const RRQ = 1, WRQ = 2;

const POLICIES: readonly ExpectPolicy[] = [{ name: "tftp", maxExpected: 1, timeout: 300 }];

class TftpHelper implements ConntrackHelper {
  readonly name: string;
  readonly names: readonly string[];
  readonly protocol = UDP;
  readonly families = [4, 6] as const;
  readonly ports: readonly number[];
  readonly autoAssign: boolean;
  readonly limits: HelperLimits | null;
  readonly onFailure: OnFailure;
  readonly mistakes: readonly HelperMistake[];
  readonly policies = POLICIES;
  readonly #nat: NatTftp | null;

  constructor(o: ConntrackTftpOptions) {
    const mistakes = new Mistakes();
    this.mistakes = mistakes.list;
    const ports = portsOf(mistakes, o.ports, [TFTP_PORT]);
    this.ports = ports;
    this.names = namesOf("tftp", ports, TFTP_PORT, "place");
    this.name = this.names.find((name) => name === "tftp") ?? this.names[0];
    this.autoAssign = o.autoAssign ?? true;
    this.limits = limitsOf(mistakes, o, ["ports", "nat"]);
    this.onFailure = onFailureOf(mistakes, o);
    this.#nat = o.nat ?? null;
  }

  help(conntrack: Conntrack, p: Packet, ct: number): Verdict {
    const from = udpPayload(p);
    if (from + 2 > p.length) return ACCEPT;
    const opcode = p.view.getUint16(from);
    if (opcode !== RRQ && opcode !== WRQ) return ACCEPT;
    const exp = conntrack.expectAlloc(ct);
    if (exp < 0) {
      conntrack.log("nf_ct_tftp: dropping packet: cannot alloc expectation");
      return p.drop(Reason["helper-expect-refused"]);
    }
    const w = conntrack.flows.words, reply = tupleAt(ct, REPLY);
    const family = tupleFamily(w, reply), port = w[reply + PORTS] & 0xffff;
    conntrack.expectInit(exp, 0, family, w, reply + SRC, w, reply + DST, UDP, -1, port);
    if (!conntrack.expectAllowed(exp, from, p.length)) {
      conntrack.expectPut(exp);
      return ACCEPT;
    }
    let verdict: Verdict = ACCEPT;
    if (this.#nat !== null && (w[ct * FLOW_WORDS + CT_STATUS] & IPS_NAT_MASK) !== 0) {
      verdict = this.#nat(conntrack, p, ct, exp);
    } else if (conntrack.expectRelated(exp) !== EXPECT_OK) {
      conntrack.log("nf_ct_tftp: dropping packet: cannot add expectation");
      verdict = p.drop(Reason["helper-expect-refused"]);
    }
    conntrack.expectPut(exp);
    return verdict;
  }
}

/**
 * The conntrack half of the TFTP helper: makes transfers RELATED. With `nat` it also gets them through NAT.
 *
 * ```ts
 * conntrackTftp({ ports: [69] })
 * ```
 */
export function conntrackTftp(o: ConntrackTftpOptions = {}): ConntrackHelper {
  return new TftpHelper(o);
}
