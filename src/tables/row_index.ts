/**
 * Which of a long chain's rows can hold for a packet: what saves walking the others.
 *
 * Overview: rows that look at the same fields, under the same masks, make a group; a group is a hash table from those
 * fields' values to the rows that ask for them, in order (tuple space search). A packet is looked up once in each
 * group. That leaves a few ascending lists, and the walk takes the smallest row of them all, again and again; a row
 * that asks for nothing that can be looked up stands in a group without fields, so in one of the lists always.
 *
 * ```
 *  group (source/32, tcp, dport)   10.0.0.7, tcp, 80 → 12, 900        ┐
 *  group (source/24)               10.0.0.0          → 31             ├─▶ 3, 12, 31, 44, 900, …, the policy's row
 *  group ()                                          → 3, 44, policy  ┘
 * ```
 *
 * What comes out may hold and is judged in full by the walk; what does not come out cannot hold, and asking it would
 * have changed nothing. So a slot keeps no more of its key than the hash: rows of two keys with one hash are all asked.
 *
 * Limits: a match that finds a transport header too short, or a later fragment in its place, may drop the packet, and
 * cut extension headers let every rule that asks for a protocol drop it. For such packets there is a second index, that
 * goes by what is asked first and changes nothing: addresses and interfaces, in IPv4 the protocol.
 *
 * @module
 */
import { DCCP, type Family, ICMP, ICMPV6, NEW, NO_CT, SCTP, TCP, UDP, UDPLITE } from "../netfilter.ts";
import { ICMP_HEADER } from "../packet/icmp.ts";
import { IPV4_DESTINATION, IPV4_SOURCE } from "../packet/ipv4.ts";
import { IPV6_DESTINATION, IPV6_SOURCE } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import { SCTP_HEADER } from "../packet/sctp.ts";
import { TCP_HEADER } from "../packet/tcp.ts";
import { UDP_HEADER } from "../packet/udp.ts";
import { mix } from "./mix.ts";

// ── words of a group ────────────────────────────────────────────────────────────────────────────────────────────
/** BY_* bits. */
export const FIELDS = 0;
/** Masks of the addresses, four words each. */
export const SOURCE_MASK = 1, DESTINATION_MASK = 5;
/** Mask of both ports, the source's in the upper half, and of the packet's mark. */
export const PORTS_MASK = 9, MARK_MASK = 10;
/** Where the group's slots begin, and their number less one. */
export const SLOTS = 11, SLOTS_MASK = 12;
/** The last row of the group. */
export const LAST = 13;
/** Words of a group. */
export const GROUP_WORDS = 14;

// ── FIELDS ──────────────────────────────────────────────────────────────────────────────────────────────────────
/** Addresses, in their first word, and in the others. */
export const BY_SOURCE = 1 << 0, BY_SOURCE_WIDE = 1 << 1;
export const BY_DESTINATION = 1 << 2, BY_DESTINATION_WIDE = 1 << 3;
/** Ports; only of protocols that have them, so that BY_PROTOCOL is there, too. */
export const BY_PORTS = 1 << 4;
export const BY_PROTOCOL = 1 << 5, BY_IN = 1 << 6, BY_OUT = 1 << 7, BY_RELATION = 1 << 8, BY_MARK = 1 << 9;
/** What stands together in one word of the key. */
const BY_STANDING = BY_PROTOCOL | BY_IN | BY_OUT | BY_RELATION;

/** Words of a slot: the key's hash, and where its rows begin in `lists`, 0 when it is free. */
export const SLOT_WORDS = 2;
/** Behind the last row of each list. */
export const END_OF_LIST = 0x7fffffff;

/** Bytes that the transport header must have for its matches to judge it. */
const HEADERS = new Uint8Array(256);
HEADERS[TCP] = TCP_HEADER;
HEADERS[UDP] = UDP_HEADER;
HEADERS[SCTP] = SCTP_HEADER;
HEADERS[ICMP] = HEADERS[ICMPV6] = ICMP_HEADER;
/** multiport looks at the ports alone. */
HEADERS[UDPLITE] = HEADERS[DCCP] = 4;

const HAS_PORTS = new Uint8Array(256);
HAS_PORTS[TCP] =
  HAS_PORTS[UDP] =
  HAS_PORTS[SCTP] =
  HAS_PORTS[UDPLITE] =
  HAS_PORTS[DCCP] =
    1;

/** The packet's relation to its flow as the key has it: directions do not differ, as in a rule. */
const RELATION_NEW = 2, RELATION_UNTRACKED = 3, RELATION_NONE = 4;
const KIND_OF_CTINFO = Uint8Array.of(
  0,
  1,
  RELATION_NEW,
  0,
  1,
  RELATION_NEW,
  RELATION_NONE,
  RELATION_UNTRACKED,
);

/** The kinds among accepted relations, given as `Match.relations` has them. */
export function relationKinds(accepted: number): number[] {
  const kinds = new Set<number>();
  KIND_OF_CTINFO.forEach((kind, ctinfo) => {
    if ((accepted & (1 << ctinfo)) !== 0 && kind !== RELATION_NONE) kinds.add(kind);
  });
  if (accepted >>> KIND_OF_CTINFO.length !== 0) kinds.add(RELATION_NONE);
  return [...kinds];
}

/** The word of a key for what a packet is rather than what it says; each is 0 where the group does not look at it. */
export function standing(
  protocol: number,
  inInterface: number,
  outInterface: number,
  relation: number,
): number {
  return protocol | relation << 8 | inInterface << 11 ^ outInterface << 21;
}

/** The hash of a row's key, as `start` makes it of a packet. */
export function hashOf(
  fields: number,
  standing: number,
  ports: number,
  mark: number,
  source: Int32Array,
  sourceMask: Int32Array,
  destination: Int32Array,
  destinationMask: Int32Array,
): number {
  let hash = fields;
  if ((fields & BY_STANDING) !== 0) hash = mix(hash, standing);
  if ((fields & BY_PORTS) !== 0) hash = mix(hash, ports);
  if ((fields & BY_MARK) !== 0) hash = mix(hash, mark);
  if ((fields & BY_SOURCE) !== 0) {
    const words = (fields & BY_SOURCE_WIDE) !== 0 ? 4 : 1;
    for (let i = 0; i < words; i++) hash = mix(hash, source[i] & sourceMask[i]);
  }
  if ((fields & BY_DESTINATION) !== 0) {
    const words = (fields & BY_DESTINATION_WIDE) !== 0 ? 4 : 1;
    for (let i = 0; i < words; i++) hash = mix(hash, destination[i] & destinationMask[i]);
  }
  return hash;
}

/** The rows of one chain, and their place in the lists of the packet in hand. */
export class RowIndex {
  readonly #family: Family;
  readonly #groups: Int32Array;
  readonly #slots: Int32Array;
  readonly #lists: Int32Array;
  /** Places in `lists` of those rows of the packet that come next; the first `#count` are in use. */
  readonly #heads: Int32Array;
  #count = 0;
  readonly #plain: RowIndex | null;

  /** `plain`: the second index; null in itself. */
  constructor(
    family: Family,
    groups: Int32Array,
    slots: Int32Array,
    lists: Int32Array,
    plain: RowIndex | null,
  ) {
    this.#family = family;
    this.#groups = groups;
    this.#slots = slots;
    this.#lists = lists;
    this.#heads = new Int32Array(groups.length / GROUP_WORDS);
    this.#plain = plain;
  }

  /** Looks the packet up, and returns the index to be asked for the rows from `row` on. */
  start(row: number, p: Packet, protocol: number): RowIndex {
    const odd = protocol < 0 || p.fragmentOffset !== 0 || p.length - p.l4 < HEADERS[protocol];
    const index = odd && this.#plain !== null ? this.#plain : this;
    index.#lookUp(row, p, protocol);
    return index;
  }

  #lookUp(row: number, p: Packet, protocol: number): void {
    const groups = this.#groups, slots = this.#slots, lists = this.#lists, heads = this.#heads;
    const view = p.view, l4 = p.l4, ipv4 = this.#family === 4;
    const source = ipv4 ? IPV4_SOURCE : IPV6_SOURCE, destination = ipv4 ? IPV4_DESTINATION : IPV6_DESTINATION;
    const ports = HAS_PORTS[protocol] !== 0 ? view.getInt32(l4) : 0;
    const relation = p.ct !== NO_CT || p.ctinfo >= NEW ? KIND_OF_CTINFO[p.ctinfo] : RELATION_NONE;
    let count = 0;
    for (let g = 0; g < groups.length; g += GROUP_WORDS) {
      if (groups[g + LAST] < row) continue;
      const fields = groups[g + FIELDS];
      let hash = fields;
      if ((fields & BY_STANDING) !== 0) {
        hash = mix(
          hash,
          standing(
            (fields & BY_PROTOCOL) !== 0 ? protocol : 0,
            (fields & BY_IN) !== 0 ? p.inInterface : 0,
            (fields & BY_OUT) !== 0 ? p.outInterface : 0,
            (fields & BY_RELATION) !== 0 ? relation : 0,
          ),
        );
      }
      if ((fields & BY_PORTS) !== 0) hash = mix(hash, ports & groups[g + PORTS_MASK]);
      if ((fields & BY_MARK) !== 0) hash = mix(hash, p.mark & groups[g + MARK_MASK]);
      if ((fields & BY_SOURCE) !== 0) {
        hash = mix(hash, view.getInt32(source) & groups[g + SOURCE_MASK]);
        if ((fields & BY_SOURCE_WIDE) !== 0) hash = rest(hash, view, source, groups, g + SOURCE_MASK);
      }
      if ((fields & BY_DESTINATION) !== 0) {
        hash = mix(hash, view.getInt32(destination) & groups[g + DESTINATION_MASK]);
        if ((fields & BY_DESTINATION_WIDE) !== 0) {
          hash = rest(hash, view, destination, groups, g + DESTINATION_MASK);
        }
      }
      const first = groups[g + SLOTS], mask = groups[g + SLOTS_MASK];
      for (let slot = hash & mask;; slot = (slot + 1) & mask) {
        const at = first + slot * SLOT_WORDS, list = slots[at + 1];
        if (list === 0) break;
        if (slots[at] !== hash) continue;
        const head = lists[list] >= row ? list : search(lists, list, row);
        if (lists[head] !== END_OF_LIST) heads[count++] = head;
        break;
      }
    }
    this.#count = count;
  }

  /** The first row from `row` on that can hold; there always is one, the policy's. Asked for ascending rows. */
  next(row: number): number {
    const lists = this.#lists, heads = this.#heads, count = this.#count;
    let least = END_OF_LIST;
    for (let i = 0; i < count; i++) {
      let head = heads[i], candidate = lists[head];
      if (candidate < row) {
        do candidate = lists[++head]; while (candidate < row);
        heads[i] = head;
      }
      if (candidate < least) least = candidate;
    }
    return least;
  }
}

/** Folds the last three words of an address into a hash. */
function rest(hash: number, view: DataView, from: number, groups: Int32Array, mask: number): number {
  hash = mix(hash, view.getInt32(from + 4) & groups[mask + 1]);
  hash = mix(hash, view.getInt32(from + 8) & groups[mask + 2]);
  return mix(hash, view.getInt32(from + 12) & groups[mask + 3]);
}

/** The first place of a list whose row is `row` or a later one. The list's length stands in front of it. */
function search(lists: Int32Array, list: number, row: number): number {
  let from = list, to = list + lists[list - 1];
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (lists[middle] < row) from = middle + 1;
    else to = middle;
  }
  return from;
}
