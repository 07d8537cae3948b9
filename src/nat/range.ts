/**
 * What a rule allows NAT to choose from (struct nf_nat_range2). Made when rules are compiled; the packet path reads
 * it, and fills scratch ranges of its own for MASQUERADE and its kin.
 */

/** `min` … `max` are given: translate the address. Without it only the port changes. */
export const RANGE_MAP_IPS = 1 << 0;
/** `minPort` … `maxPort` are given. */
export const RANGE_PROTO_SPECIFIED = 1 << 1;
/** `--random`: never keep the port. Since Linux 5.0 the same as `--random-fully`. */
export const RANGE_PROTO_RANDOM = 1 << 2;
/** `--persistent`: the address depends on the client alone. */
export const RANGE_PERSISTENT = 1 << 3;
/** `--random-fully`. */
export const RANGE_PROTO_RANDOM_FULLY = 1 << 4;
/** `--to-destination a:2000-2010/1000`: the port moves by the distance from `basePort` to `minPort`. */
export const RANGE_PROTO_OFFSET = 1 << 5;
/** NETMAP: `min` is the network, `min ^ max` its host bits. */
export const RANGE_NETMAP = 1 << 6;
/** Either kind of randomness. */
export const RANGE_PROTO_RANDOM_ALL = RANGE_PROTO_RANDOM | RANGE_PROTO_RANDOM_FULLY;

/** Addresses and ports to choose from, both ends included. */
export class NatRange {
  /** RANGE_* bits. */
  flags = 0;
  /** Lowest address, as in tuples: IPv4 in word 0, the rest zero. */
  readonly min: Int32Array = new Int32Array(4);
  /** Highest address. */
  readonly max: Int32Array = new Int32Array(4);
  /** Lowest port, ICMP id or GRE key; valid with PROTO_SPECIFIED. */
  minPort = 0;
  /** Highest. */
  maxPort = 0;
  /** Port that becomes `minPort`; valid with PROTO_OFFSET. */
  basePort = 0;

  /** One address, or from one to another. */
  addresses(min: ArrayLike<number>, max: ArrayLike<number> = min): this {
    this.flags |= RANGE_MAP_IPS;
    this.min.set(min);
    this.max.set(max);
    return this;
  }

  /** One port, or from one to another. */
  ports(min: number, max: number = min): this {
    this.flags |= RANGE_PROTO_SPECIFIED;
    this.minPort = min;
    this.maxPort = max;
    return this;
  }

  /** Exactly the address that stands at `at` in `words`. */
  setAddress(words: Int32Array, at: number): void {
    const min = this.min, max = this.max;
    for (let i = 0; i < 4; i++) min[i] = max[i] = words[at + i];
  }

  /** Takes the ports of a rule's range over, as the kernel does: not the base of an offset. */
  setPorts(range: NatRange): void {
    this.minPort = range.minPort;
    this.maxPort = range.maxPort;
  }
}
