/**
 * Choosing what a flow looks like on the other side (get_unique_tuple).
 *
 * ```
 *  source, port not random ──┬─ the tuple fits the range and is free ──────────▶ keep it
 *                            └─ it does not fit, but the socket has a mapping ─▶ use that one for the new target, too
 *  address from the range (by hash of who talks to whom)
 *  port not random ──────────── fits and free ─────────────────────────────────▶ keep the port
 *  search ports of the class: 128 tries, then 64, 32, 16, 8 from new places ───▶ the last tried, free or not
 * ```
 *
 * "Free" means that no other flow's answers look like this flow's answers would. A tuple that is not free after all
 * is handed out nevertheless; the packet dies when its flow is confirmed.
 */
import type { Conntrack } from "../conntrack/core.ts";
import * as flowModule from "../conntrack/flow.ts";
import * as tcpWindowModule from "../conntrack/proto/tcp_window.ts";
import { copyTuple, invertTuple, newTuple } from "../conntrack/tuple.ts";
import * as tupleModule from "../conntrack/tuple.ts";
import * as netfilterModule from "../netfilter.ts";
import type { BySource } from "./bysource.ts";
import { isMapped, type Mappings } from "./mapping.ts";
import { jhash4, scale, swap32 } from "./jhash.ts";
import type { Manip } from "./maniptype.ts";
import * as maniptypeModule from "./maniptype.ts";
import type { NatRange } from "./range.ts";
import * as rangeModule from "./range.ts";

// Constants of this module, not imports: each new flow reads them (CONTRIBUTING.md).
const {
  CT_BYSOURCE_NEXT,
  CT_MASTER,
  CT_ORIGINAL,
  CT_REPLY,
  CT_STATUS,
  FLOW_WORDS,
  IPS_DYING,
  IPS_FIXED_TIMEOUT,
  IPS_SRC_NAT,
} = flowModule;
const { END, STATE, TCP_SEEN, TCP_SYN_SENT, TCP_TIME_WAIT } = tcpWindowModule;
const { DST, PORTS, PROTO, SRC } = tupleModule;
const { GRE, ICMP, ICMPV6, REPLY, SCTP, TCP, UDP, UDPLITE } = netfilterModule;
const { MANIP_DST, MANIP_SRC } = maniptypeModule;
const { RANGE_MAP_IPS, RANGE_PERSISTENT, RANGE_PROTO_OFFSET, RANGE_PROTO_RANDOM_ALL, RANGE_PROTO_SPECIFIED } =
  rangeModule;

/** Tries in the first round; each further round has half as many, down to 8. */
const MAX_ATTEMPTS = 128;
/** So few tries before the end of a round, a TCP flow in TIME_WAIT may lose its port to a newer one. */
const HARDER = MAX_ATTEMPTS / 4;

const answer = newTuple();

/** Finds tuples. One per router. */
export class UniqueTuples {
  readonly #conntrack: Conntrack;
  readonly #bySource: BySource;
  /** Null: mappings as Linux has them. */
  readonly #mappings: Mappings | null;
  /** weir.nat_paired_pooling */
  readonly #paired: boolean;
  /** weir.nat_port_parity */
  readonly #parity: boolean;

  constructor(conntrack: Conntrack, bySource: BySource, mappings: Mappings | null) {
    this.#conntrack = conntrack;
    this.#bySource = bySource;
    this.#mappings = mappings;
    this.#paired = conntrack.sysctl.get("weir.nat_paired_pooling") !== 0;
    this.#parity = conntrack.sysctl.get("weir.nat_port_parity") !== 0;
  }

  /**
   * Writes into `out` what flow `ct`, which now looks like `original`, becomes within the range. False when mappings
   * are endpoint-independent and none is left for it.
   */
  get(out: Int32Array, original: Int32Array, range: NatRange, ct: number, manip: Manip): boolean {
    if (manip === MANIP_SRC && this.#mappings !== null && isMapped(original[PROTO] & 0xff)) {
      if (this.#findMapping(out, original, range, ct)) return true;
      this.#choose(out, original, range, ct, manip, true);
      return !this.#mappings.occupied(out, ct);
    }
    this.#choose(out, original, range, ct, manip, false);
    return true;
  }

  #choose(
    out: Int32Array,
    original: Int32Array,
    range: NatRange,
    ct: number,
    manip: Manip,
    independent: boolean,
  ): void {
    const random = (range.flags & RANGE_PROTO_RANDOM_ALL) !== 0;
    if (manip === MANIP_SRC && !random && !independent) {
      if (inRange(original, range)) {
        if (!this.#conntrack.tupleTaken(original, 0, ct)) {
          copyTuple(out, 0, original, 0);
          return;
        }
      } else if (
        this.#findAppropriateSource(out, original, range, ct) && !this.#conntrack.tupleTaken(out, 0, ct)
      ) {
        return;
      }
    }
    copyTuple(out, 0, original, 0);
    this.#chooseAddress(out, range, ct, manip);
    if (manip === MANIP_DST && (range.flags & RANGE_PROTO_SPECIFIED) === 0 && isService(out[PROTO] & 0xff)) {
      return;
    }
    if (!random) {
      if ((range.flags & RANGE_PROTO_SPECIFIED) === 0) {
        if (!this.#taken(out, ct, independent)) return;
      } else if (
        (range.flags & RANGE_PROTO_OFFSET) === 0 && portInRange(out, range, manip) &&
        (range.minPort === range.maxPort || !this.#taken(out, ct, independent))
      ) {
        return;
      }
    }
    this.#choosePort(out, range, ct, manip, independent);
  }

  /** The mapping that the flow's source has already, if it lies within the range; whether by chance or by order. */
  #findMapping(out: Int32Array, original: Int32Array, range: NatRange, ct: number): boolean {
    const mappings = this.#mappings!,
      flows = this.#conntrack.flows.words,
      own = ct * FLOW_WORDS + CT_ORIGINAL;
    copyTuple(out, 0, original, 0);
    for (let m = mappings.ofSource(flows, own, flows[own + PROTO]); m >= 0; m = mappings.next(m)) {
      const w = mappings.words, at = mappings.outerAt(m);
      for (let i = 0; i < 4; i++) out[SRC + i] = w[at + i];
      out[PORTS] = (w[at + 4] << 16) | (original[PORTS] & 0xffff);
      if (inRange(out, range)) return true;
    }
    return false;
  }

  /** True when the answers to a tuple are another flow's, or its source is another inside endpoint's. */
  #taken(tuple: Int32Array, ct: number, independent: boolean): boolean {
    return this.#conntrack.tupleTaken(tuple, 0, ct) || (independent && this.#mappings!.occupied(tuple, ct));
  }

  /** `tupleTaken`; but with few tries left a new TCP connection takes the port of one that has ended. */
  #usedHarder(tuple: Int32Array, ct: number, left: number): boolean {
    const flows = this.#conntrack.flows, w = flows.words, at = ct * FLOW_WORDS;
    if (left > HARDER || (tuple[PROTO] & 0xff) !== TCP || w[at + STATE] !== TCP_SYN_SENT) {
      return this.#conntrack.tupleTaken(tuple, 0, ct);
    }
    invertTuple(answer, 0, tuple, 0);
    const hit = this.#conntrack.find(answer, 0);
    if (hit < 0) return false;
    const old = (hit >> 1) * FLOW_WORDS, status = w[old + CT_STATUS];
    if (
      (hit & 1) !== REPLY || w[old + STATE] < TCP_TIME_WAIT || (status & IPS_SRC_NAT) === 0 ||
      (status & (IPS_FIXED_TIMEOUT | IPS_DYING)) !== 0 ||
      ((w[flows.proto(ct) + TCP_SEEN + END] - w[flows.proto(hit >> 1) + TCP_SEEN + END]) | 0) <= 0
    ) {
      return true;
    }
    this.#conntrack.delete(hit >> 1);
    return false;
  }

  /** The mapping that this source has for another target already, if it lies within the range. */
  #findAppropriateSource(out: Int32Array, original: Int32Array, range: NatRange, ct: number): boolean {
    const w = this.#conntrack.flows.words, own = ct * FLOW_WORDS + CT_ORIGINAL;
    for (let link = this.#bySource.first(original, 0, w[own + PROTO]); link !== 0;) {
      const other = (link - 1) * FLOW_WORDS;
      if (this.#bySource.sameSource(link - 1, original, 0, w[own + PROTO])) {
        invertTuple(out, 0, w, other + CT_REPLY);
        for (let i = DST; i < DST + 4; i++) out[i] = original[i];
        out[PORTS] = (out[PORTS] & 0xffff0000) | (original[PORTS] & 0xffff);
        out[PROTO] = original[PROTO];
        if (inRange(out, range)) return true;
      }
      link = w[other + CT_BYSOURCE_NEXT];
    }
    return false;
  }

  /** find_best_ips_proto */
  #chooseAddress(tuple: Int32Array, range: NatRange, ct: number, manip: Manip): void {
    if ((range.flags & RANGE_MAP_IPS) === 0) return;
    const min = range.min, max = range.max, at = manip === MANIP_SRC ? SRC : DST;
    if (min[0] === max[0] && min[1] === max[1] && min[2] === max[2] && min[3] === max[3]) {
      for (let i = 0; i < 4; i++) tuple[at + i] = min[i];
      return;
    }
    const persistent = this.#paired || (range.flags & RANGE_PERSISTENT) !== 0;
    const last = (tuple[PROTO] >> 8 & 0xff) === 4 ? 0 : 3;
    const w = this.#conntrack.flows.words, own = ct * FLOW_WORDS;
    const zone = w[own + CT_ORIGINAL + PROTO] >>> 16 || w[own + CT_REPLY + PROTO] >>> 16;
    let hash = jhash4(
      swap32(tuple[SRC]),
      swap32(tuple[SRC + 1]),
      swap32(tuple[SRC + 2]),
      swap32(tuple[SRC + 3]),
      persistent ? 0 : swap32(tuple[DST + last]) ^ zone,
    );
    // Once a word lies below its maximum, the words behind it are free.
    let free = false;
    for (let i = 0; i <= last; i++) {
      const from = free ? 0 : min[i], size = free ? -1 : (max[i] - min[i] + 1) | 0;
      tuple[at + i] = from + scale(hash, size);
      if (tuple[at + i] !== max[i]) free = true;
      if (!persistent) hash ^= swap32(tuple[DST + i]);
    }
  }

  /** nf_nat_l4proto_unique_tuple */
  #choosePort(tuple: Int32Array, range: NatRange, ct: number, manip: Manip, independent: boolean): void {
    const specified = (range.flags & RANGE_PROTO_SPECIFIED) !== 0;
    const protocol = tuple[PROTO] & 0xff;
    // An ICMP identifier stands where source ports stand, whatever is rewritten.
    const shift = manip === MANIP_SRC || protocol === ICMP || protocol === ICMPV6 ? 16 : 0;
    const port = tuple[PORTS] >>> shift & 0xffff;
    let min = range.minPort, max = range.maxPort;
    switch (protocol) {
      case ICMP:
      case ICMPV6:
        if (!specified) {
          min = 0;
          max = 0xffff;
        }
        break;
      case GRE: // keys are PPTP's alone
        if (this.#conntrack.flows.aside(ct, CT_MASTER) === 0) return;
        if (!specified) {
          min = 1;
          max = 0xffff;
        }
        break;
      case TCP:
      case UDP:
      case UDPLITE:
      case SCTP:
        if (!specified) {
          min = port < 512 ? 1 : port < 1024 ? 600 : 1024;
          max = port < 512 ? 511 : port < 1024 ? 1023 : 0xffff;
        } else if (max < min) {
          min = range.maxPort;
          max = range.minPort;
        }
        break;
      default:
        return;
    }
    const random = this.#conntrack.random;
    let offset: number;
    if ((range.flags & RANGE_PROTO_OFFSET) !== 0) offset = (port - range.basePort) & 0xffff;
    else if (manip === MANIP_SRC || (range.flags & RANGE_PROTO_RANDOM_ALL) !== 0) {
      offset = random.next() & 0xffff;
    } else offset = 0;
    if (this.#parity && protocol === UDP && manip === MANIP_SRC && max > min) {
      // RFC 4787, REQ-4: an even port becomes an even one, as RTP wants it, as long as there are such.
      const first = min + ((min ^ port) & 1);
      if (this.#search(tuple, ct, shift, first, 2, ((max - first) >> 1) + 1, offset, independent)) return;
    }
    this.#search(tuple, ct, shift, min, 1, max - min + 1, offset, independent);
  }

  /** Tries every `step`th of `size` ports from `min` on, beginning at one of them. False: the last tried is not free. */
  #search(
    tuple: Int32Array,
    ct: number,
    shift: number,
    min: number,
    step: number,
    size: number,
    offset: number,
    independent: boolean,
  ): boolean {
    const others = tuple[PORTS] & ~(0xffff << shift);
    let attempts = Math.min(size, MAX_ATTEMPTS);
    for (;;) {
      for (let i = 0; i < attempts; i++) {
        tuple[PORTS] = others | (min + offset % size * step & 0xffff) << shift;
        if (
          !this.#usedHarder(tuple, ct, attempts - i) &&
          !(independent && this.#mappings!.occupied(tuple, ct))
        ) return true;
        offset = (offset + 1) & 0xffff;
      }
      if (attempts >= size || attempts < 16) return false;
      attempts >>= 1;
      offset = this.#conntrack.random.next() & 0xffff;
    }
  }
}

/** True for protocols whose destination port means something, or that have none: only a rule changes it. */
export function isService(protocol: number): boolean {
  return protocol !== ICMP && protocol !== ICMPV6 && protocol !== GRE;
}

/** True when rewriting the source to that of `tuple` meets the range. */
function inRange(tuple: Int32Array, range: NatRange): boolean {
  if ((range.flags & RANGE_MAP_IPS) !== 0 && !addressInRange(tuple, range)) return false;
  return (range.flags & RANGE_PROTO_SPECIFIED) === 0 || portInRange(tuple, range, MANIP_SRC);
}

function addressInRange(tuple: Int32Array, range: NatRange): boolean {
  return compare(tuple, range.min) >= 0 && compare(tuple, range.max) <= 0;
}

/** Order of the source address of a tuple and an address, as unsigned numbers. */
function compare(tuple: Int32Array, address: Int32Array): number {
  for (let i = 0; i < 4; i++) {
    const a = tuple[SRC + i] >>> 0, b = address[i] >>> 0;
    if (a !== b) return a < b ? -1 : 1;
  }
  return 0;
}

function portInRange(tuple: Int32Array, range: NatRange, manip: Manip): boolean {
  let port: number;
  switch (tuple[PROTO] & 0xff) {
    case ICMP:
    case ICMPV6:
      port = tuple[PORTS] >>> 16;
      break;
    case GRE:
    case TCP:
    case UDP:
    case UDPLITE:
    case SCTP:
      port = manip === MANIP_SRC ? tuple[PORTS] >>> 16 : tuple[PORTS] & 0xffff;
      break;
    default:
      return true;
  }
  return port >= range.minPort && port <= range.maxPort;
}
