/** Which flows of a table are meant: the options of `conntrack -L`, `-D` and `-E` that choose. */
import type { Family } from "../netfilter.ts";
import type { Masked } from "../packet/address.ts";
import type { Conntrack } from "./core.ts";
import { CT_MARK, CT_ORIGINAL, CT_REPLY, CT_STATE, FLOW_CONFIRMED, FLOW_WORDS } from "./flow.ts";
import { destinationPort, DST, sourcePort, SRC, tupleFamily, tupleProtocol, tupleZone } from "./tuple.ts";

/** What is asked of a flow; what is absent is not asked. Ports are those of tuples: ICMP's id is a source port. */
export interface FlowFilter {
  readonly family?: Family;
  /** IP protocol number. */
  readonly protocol?: number;
  /** Opener's tuple: source, destination, ports. */
  readonly source?: Masked;
  readonly destination?: Masked;
  readonly sport?: number;
  readonly dport?: number;
  /** The answers' tuple. */
  readonly replySource?: Masked;
  readonly replyDestination?: Masked;
  readonly replySport?: number;
  readonly replyDport?: number;
  readonly mark?: { readonly value: number; readonly mask: number };
  readonly zone?: number;
}

/** True when a flow is in the table and all that is asked fits. */
export function isMeant(f: FlowFilter, { flows }: Conntrack, ct: number): boolean {
  const w = flows.words, at = ct * FLOW_WORDS;
  return w[at + CT_STATE] === FLOW_CONFIRMED && fits(f, w, at + CT_ORIGINAL, at + CT_REPLY, w[at + CT_MARK]);
}

/** True when all that is asked fits a flow of these tuples and this mark. */
export function fits(f: FlowFilter, w: Int32Array, original: number, reply: number, mark: number): boolean {
  return fitsTuple(f, w, original) &&
    is(f.replySport, sourcePort(w, reply)) && is(f.replyDport, destinationPort(w, reply)) &&
    within(f.replySource, w, reply, SRC) && within(f.replyDestination, w, reply, DST) &&
    (f.mark === undefined || (mark & f.mark.mask) === (f.mark.value & f.mark.mask));
}

/** The same for what has one tuple, an expectation. */
export function fitsTuple(f: FlowFilter, w: Int32Array, tuple: number): boolean {
  return is(f.family, tupleFamily(w, tuple)) && is(f.protocol, tupleProtocol(w, tuple)) &&
    is(f.zone, tupleZone(w, tuple)) &&
    is(f.sport, sourcePort(w, tuple)) && is(f.dport, destinationPort(w, tuple)) &&
    within(f.source, w, tuple, SRC) && within(f.destination, w, tuple, DST);
}

function is(wanted: number | undefined, found: number): boolean {
  return wanted === undefined || wanted === found;
}

function within(wanted: Masked | undefined, w: Int32Array, tuple: number, side: number): boolean {
  if (wanted === undefined) return true;
  if (wanted.family !== tupleFamily(w, tuple)) return false;
  const { words, mask } = wanted;
  for (let i = 0; i < 4; i++) if (((w[tuple + side + i] ^ words[i]) & mask[i]) !== 0) return false;
  return true;
}
