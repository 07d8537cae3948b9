/**
 * SANE's network protocol (sane-project.org, The SANE Network Protocol): a scanner's server names the port where the
 * image can be had. Only the conntrack half: Linux has no NAT half for it.
 *
 * ```
 *  client → server:6566     SANE_NET_START: code 7, handle
 *  server:6566 → client     status 0, port, …
 *  client → server:port     RELATED
 * ```
 *
 * Whether the server's next segment answers a SANE_NET_START is remembered with the flow. The server names no address,
 * so nobody but the server itself can be reached by what it says.
 */
import type { Conntrack } from "../conntrack/core.ts";
import { EXPECT_OK } from "../conntrack/expect.ts";
import { CT_HELP, tupleAt } from "../conntrack/flow.ts";
import type {
  ConntrackHelper,
  ExpectPolicy,
  HelperLimits,
  HelperMistake,
  OnFailure,
} from "../conntrack/helper.ts";
import { DST, SRC, tupleFamily } from "../conntrack/tuple.ts";
import { ACCEPT, ESTABLISHED, ESTABLISHED_REPLY, ORIGINAL, Reason, TCP, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { tcpPayload } from "../packet/tcp.ts";
import { type HelperPolicy, limitsOf, Mistakes, namesOf, onFailureOf, portsOf } from "./policy.ts";

/** How to listen for SANE. */
export interface ConntrackSaneOptions extends HelperPolicy {
  /** Server ports, 6566 by default; eight at most. */
  ports?: readonly number[];
}

const SANE_PORT = 6566;
const SANE_NET_START = 7, SANE_STATUS_SUCCESS = 0;
/** Bytes of a request: code and handle; and of an answer as far as it is read: status, two bytes of zero, port. */
const REQUEST = 8, ANSWER = 8;

/** Word of CT_HELP: 1 while the answer to SANE_NET_START is awaited. */
const HELP_STARTED = CT_HELP;

const POLICIES: readonly ExpectPolicy[] = [{ name: "sane", maxExpected: 1, timeout: 300 }];

class SaneHelper implements ConntrackHelper {
  readonly name: string;
  readonly names: readonly string[];
  readonly protocol = TCP;
  readonly families = [4, 6] as const;
  readonly ports: readonly number[];
  readonly autoAssign: boolean;
  readonly limits: HelperLimits | null;
  readonly onFailure: OnFailure;
  readonly mistakes: readonly HelperMistake[];
  readonly policies = POLICIES;

  constructor(o: ConntrackSaneOptions) {
    const mistakes = new Mistakes();
    this.mistakes = mistakes.list;
    const ports = portsOf(mistakes, o.ports, [SANE_PORT]);
    this.ports = ports;
    this.names = namesOf("sane", ports, SANE_PORT, "port");
    this.name = this.names.find((name) => name === "sane") ?? this.names[0];
    this.autoAssign = o.autoAssign ?? true;
    this.limits = limitsOf(mistakes, o, ["ports"]);
    this.onFailure = onFailureOf(mistakes, o);
  }

  help(conntrack: Conntrack, p: Packet, ct: number, ctinfo: number): Verdict {
    if (ctinfo !== ESTABLISHED && ctinfo !== ESTABLISHED_REPLY) return ACCEPT;
    const from = tcpPayload(p), length = p.length - from;
    if (length <= 0) return ACCEPT;
    const w = conntrack.flows.words, started = conntrack.flows.side(ct) + HELP_STARTED;
    if (ctinfo === ESTABLISHED) {
      if (length === REQUEST) w[started] = p.view.getInt32(from) === SANE_NET_START ? 1 : 0;
      return ACCEPT;
    }
    if (w[started] === 0) return ACCEPT;
    w[started] = 0;
    if (
      length < ANSWER || p.view.getInt32(from) !== SANE_STATUS_SUCCESS || p.view.getUint16(from + 4) !== 0
    ) {
      return ACCEPT;
    }
    return this.#expect(conntrack, p, ct, from, p.view.getUint16(from + 6));
  }

  #expect(conntrack: Conntrack, p: Packet, ct: number, from: number, port: number): Verdict {
    const exp = conntrack.expectAlloc(ct);
    if (exp < 0) {
      conntrack.log("nf_ct_sane: dropping packet: cannot alloc expectation");
      return p.drop(Reason["helper-expect-refused"]);
    }
    const w = conntrack.flows.words, original = tupleAt(ct, ORIGINAL);
    const family = tupleFamily(w, original);
    conntrack.expectInit(exp, 0, family, w, original + SRC, w, original + DST, TCP, -1, port);
    if (!conntrack.expectAllowed(exp, from + 6, from + ANSWER)) {
      conntrack.expectPut(exp);
      return ACCEPT;
    }
    let verdict: Verdict = ACCEPT;
    if (conntrack.expectRelated(exp) !== EXPECT_OK) {
      conntrack.log("nf_ct_sane: dropping packet: cannot add expectation");
      verdict = p.drop(Reason["helper-expect-refused"]);
    }
    conntrack.expectPut(exp);
    return verdict;
  }
}

/**
 * The SANE helper: makes image connections RELATED.
 *
 * ```ts
 * conntrackSane({ ports: [6566] })
 * ```
 */
export function conntrackSane(o: ConntrackSaneOptions = {}): ConntrackHelper {
  return new SaneHelper(o);
}
