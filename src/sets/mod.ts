/**
 * Sets at work, by their names, as rules ask for them (xt_set).
 *
 * ```
 *  create, add … ─▶ SetSpec ─▶ NamedSet ─▶ HashSet: IPv4        ask(p, question) by -m set
 *   configuration              │       └─▶ HashSet: IPv6        add, delete      by -j SET
 *                              └─▶ ListSet ─▶ NamedSet …
 * ```
 *
 * A set of the kernel is for one family; one of the configuration can be for both, which is two of these under one name.
 *
 * A set that nothing changes is `fixed`: what it says of a packet it says of all packets of the flow, and the fast path
 * need not ask again. Packets change a set by `-j SET`, time does by timeouts.
 *
 * @module
 */
import type { Family } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { HashSet, type SetBinding } from "./hash_set.ts";
import { ListSet } from "./list_set.ts";
import type { Question } from "./question.ts";
import { type SetSpec, textOfSet } from "./spec.ts";

export type { SetBinding } from "./hash_set.ts";

/** Expired members that a set lets go of in one turn. */
const SWEEP_MOST = 256;

/** A set of each family, or a list. */
export class NamedSet {
  readonly name: string;
  readonly ipv4: HashSet | null;
  readonly ipv6: HashSet | null;
  readonly list: ListSet | null;
  /** Neither packets nor time change what it holds. */
  readonly fixed: boolean;
  /** Its members, or those of its sets, have counters. */
  readonly counts: boolean;

  constructor(
    spec: SetSpec,
    binding: SetBinding,
    changing: boolean,
    members: (name: string) => NamedSet,
  ) {
    this.name = spec.name;
    this.ipv4 = spec.ipv4 && new HashSet(spec.ipv4, binding, changing);
    // Where a type has no family both stand for the same set.
    this.ipv6 = spec.ipv6 === spec.ipv4 ? this.ipv4 : spec.ipv6 && new HashSet(spec.ipv6, binding, changing);
    const inner = spec.list === null ? [] : spec.list.members.map(members);
    this.list = spec.list && new ListSet(spec.list, binding, inner);
    const parts = [this.ipv4, this.ipv6, this.list].filter((part) => part !== null);
    this.fixed = !changing && parts.every(({ elements }) => elements.timed === 0) &&
      inner.every((member) => member.fixed);
    this.counts = parts.some(({ elements }) => elements.extensions.counters) ||
      inner.some((member) => member.counts);
  }

  /** Whether a packet is in it. */
  ask(p: Packet, question: Question): boolean {
    if (this.list !== null) return this.list.ask(p, question);
    const set = p.family === 4 ? this.ipv4 : this.ipv6;
    return set !== null && set.ask(p, question);
  }

  /** Adds the packet; true if it was not there. */
  add(p: Packet, question: Question, exist: boolean, seconds: number): boolean {
    if (this.list !== null) return this.list.add(p, question, exist, seconds);
    const set = p.family === 4 ? this.ipv4 : this.ipv6;
    return set !== null && set.add(p, question, exist, seconds);
  }

  /** Takes the packet out; true if it was there. */
  delete(p: Packet, question: Question): boolean {
    if (this.list !== null) return this.list.delete(p, question);
    const set = p.family === 4 ? this.ipv4 : this.ipv6;
    return set !== null && set.delete(p, question);
  }

  /** Members of any family, the expired ones among them. */
  get count(): number {
    const other = this.ipv6 === this.ipv4 ? null : this.ipv6;
    return (this.ipv4?.elements.count ?? 0) + (other?.elements.count ?? 0);
  }

  /** Lets go of what has expired. */
  sweep(): boolean {
    const more = this.ipv4 !== null && this.ipv4.sweep(SWEEP_MOST);
    return this.ipv6 !== null && this.ipv6 !== this.ipv4 && this.ipv6.sweep(SWEEP_MOST) || more;
  }
}

/** All sets of one router. */
export class Sets {
  readonly #sets = new Map<string, NamedSet>();
  readonly #timed: NamedSet[];
  /** Grows when a set changes of which answers may be remembered; all data planes see it. */
  readonly version: Int32Array;

  /** `changing`: names of the sets that rules add to or take from. */
  constructor(specs: ReadonlyMap<string, SetSpec>, changing: ReadonlySet<string>, binding: SetBinding) {
    this.version = binding.arena.int32(1);
    const changes = new Set(changing);
    for (const name of changing) specs.get(name)?.list?.members.forEach((member) => changes.add(member));
    // A list's members can stand behind it in the configuration.
    const make = (name: string): NamedSet => {
      let made = this.#sets.get(name);
      if (made === undefined) {
        const spec = specs.get(name)!;
        // With the same text in another configuration it goes on with the members that it has.
        const arena = binding.arena.lazy(`set ${name} ${textOfSet(spec)}`);
        made = new NamedSet(spec, { ...binding, arena }, changes.has(name), make);
        this.#sets.set(name, made);
      }
      return made;
    };
    for (const name of specs.keys()) make(name);
    this.#timed = [...this.#sets.values()].filter(({ ipv4, ipv6 }) =>
      [ipv4, ipv6].some((set) => set !== null && set.header.timeout !== null)
    );
  }

  /** A set that the configuration has. */
  get(name: string): NamedSet {
    return this.#sets.get(name)!;
  }

  /** All of them. */
  all(): Iterable<NamedSet> {
    return this.#sets.values();
  }

  /** True when rules of the family can ask for the set. */
  has(name: string, family: Family): boolean {
    const set = this.#sets.get(name);
    return set !== undefined && (set.list ?? (family === 4 ? set.ipv4 : set.ipv6)) !== null;
  }

  /** Lets go of expired members, some of each set. True when more are due. */
  sweep(): boolean {
    let more = false;
    for (let i = 0; i < this.#timed.length; i++) {
      const set = this.#timed[i], before = set.count;
      more = set.sweep() || more;
      if (set.fixed && set.count !== before) this.version[0]++;
    }
    return more;
  }

  /** Members of a predecessor's sets have come: comments that commands gave them were texts of its own. */
  takeOver(): void {
    for (const { ipv4, ipv6 } of this.#sets.values()) {
      for (const set of [ipv4, ipv6]) set?.elements.forgetComments();
    }
  }

  /** A set has been changed by command. */
  changed(): void {
    this.version[0]++;
  }
}
