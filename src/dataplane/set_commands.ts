/**
 * What `weir set` asks of a running router's sets. The data plane carries it out, between two batches of packets: so
 * nobody else works on a set meanwhile. Request and answer are texts, JSON objects.
 *
 * @module
 */
import type { Clock } from "../clock.ts";
import { printHeader } from "../config/set_header.ts";
import { readBeside, wordsOf, writeBeside } from "../config/set_builder.ts";
import { MemberReader } from "../config/set_member.ts";
import { familyOf } from "../config/sets.ts";
import { order, sayEntry } from "../config/ipset_save.ts";
import { show } from "../tables/kinds.ts";
import { USED } from "../sets/elements.ts";
import type { HashSet } from "../sets/hash_set.ts";
import type { NamedSet, Sets } from "../sets/mod.ts";

/** What is asked. */
export interface SetRequest {
  readonly verb: "list" | "test" | "add" | "del" | "flush";
  readonly set: string;
  /** For test, add and del: what follows `ipset add NAME`. */
  readonly entry?: string;
  /** What is there already, or not there, is no mistake. */
  readonly exist?: boolean;
  /** For list: where to go on. */
  readonly from?: number;
}

/** An answer, or why it was refused. */
export interface SetAnswer {
  readonly done: boolean;
  readonly text: string;
}

/** Bytes of a listing that are sent at once: half a mailbox, so that the JSON around them fits. */
const LIST_BYTES = 1 << 13;
/** Elements that are looked at for one answer, so that packets do not wait. */
const LIST_LOOKS = 2000;
/** Most members that one text may stand for, for the same reason: they take some hundredths of a second. */
const MEMBERS_MOST = 1 << 16;

/** A request that is refused. */
class Refusal extends Error {}

/** Sets, as commands see them. */
export class SetCommands {
  readonly #sets: Sets;
  readonly #clock: Clock;

  constructor(sets: Sets, clock: Clock) {
    this.#sets = sets;
    this.#clock = clock;
  }

  /** Carries a request out. */
  answer(text: string): SetAnswer {
    try {
      return { done: true, text: JSON.stringify(this.#answer(JSON.parse(text) as SetRequest)) };
    } catch (error) {
      // Whatever is wrong with a request, packets go on.
      return { done: false, text: error instanceof Error ? error.message : String(error) };
    }
  }

  #answer(request: SetRequest): object {
    const { verb, set: name } = request, set = this.#sets.get(name);
    if (set === undefined) {
      const known = [...this.#sets.all()].map((other) => other.name).join(", ");
      throw new Refusal(
        `there is no set ${show(name)}; ${known === "" ? "none is listed" : `there are ${known}`}`,
      );
    }
    if (verb === "list") return this.#list(set, request.from ?? 0);
    if (set.list !== null) throw new Refusal(`${name} is a list: its sets stand in the configuration`);
    if (verb === "flush") {
      const members = set.count;
      for (const half of new Set([set.ipv4, set.ipv6])) half?.flush();
      this.#sets.changed();
      return { members };
    }
    const { entry } = request;
    if (typeof entry !== "string" || entry.trim() === "") throw new Refusal(`${verb} needs a member`);
    const half = halfFor(set, entry);
    refuseCrowd(half, wordsOf(entry)[0]);
    if (verb === "test") return { holds: this.#test(half, entry) };
    if (verb === "add") return { members: this.#add(half, entry, request.exist === true) };
    if (verb === "del") return { members: this.#delete(half, entry, request.exist === true) };
    throw new Refusal(`${show(verb)} is nothing that can be done with a set`);
  }

  #test(half: HashSet, entry: string): boolean {
    let all = true;
    new MemberReader(half.header).read(wordsOf(entry)[0], (key) => all = half.holds(key));
    return all;
  }

  #add(half: HashSet, entry: string, exist: boolean): number {
    const { header, elements } = half, now = this.#clock.now;
    const [member, ...words] = wordsOf(entry), { beside, always } = readBeside(header, words);
    let members = 0;
    try {
      new MemberReader(header).read(member, (key) => {
        const there = half.find(key) >= 0;
        if (there && !exist && !always) throw new Refusal(`${show(member)} is in the set already`);
        const e = half.put(key);
        if (e < 0) {
          throw new Refusal(`the set is full: it has ${elements.count} members, and room for no more`);
        }
        if (!there) {
          elements.setFlags(e, beside.flags);
          members++;
        }
        writeBeside(elements, e, beside);
        if (header.timeout !== null) elements.setTimeout(e, beside.timeout ?? header.timeout, now);
        return true;
      });
    } finally {
      this.#sets.changed();
    }
    return members;
  }

  #delete(half: HashSet, entry: string, exist: boolean): number {
    let members = 0;
    try {
      new MemberReader(half.header).read(wordsOf(entry)[0], (key) => {
        const e = half.find(key);
        if (e < 0 && !exist) throw new Refusal(`${show(entry)} is not in the set`);
        if (e >= 0) {
          half.take(e);
          members++;
        }
        return true;
      });
    } finally {
      this.#sets.changed();
    }
    return members;
  }

  /** How the set is created, and members from a place on. `next` is where to go on, null at the end. */
  #list(set: NamedSet, from: number): { create: string; entries: string[]; next: number | null } {
    const now = this.#clock.now;
    if (set.list !== null) {
      const printed = { ...set.list, members: set.list.members.map((member) => member.name) };
      const entries = order(printed, now).map((e) => sayEntry(printed, e, now));
      return { create: printHeader(set.list.header), entries, next: null };
    }
    const halves = [...new Set([set.ipv4, set.ipv6])].filter((half) => half !== null);
    const entries: string[] = [];
    let bytes = 0, looks = 0, at = from;
    // Places of the first half, then those of the second.
    for (const half of halves) {
      const { elements } = half;
      for (; at < elements.high; at++) {
        if (bytes > LIST_BYTES || ++looks > LIST_LOOKS) {
          return { create: printHeader(halves[0].header), entries, next: offset(halves, half) + at };
        }
        if ((elements.flags(at) & USED) === 0 || elements.expired(at, now)) continue;
        const entry = sayEntry(half, at, now);
        entries.push(entry);
        bytes += new TextEncoder().encode(JSON.stringify(entry)).length + 1;
      }
      at -= elements.high;
    }
    return { create: printHeader(halves[0].header), entries, next: null };
  }
}

/** Refuses a text that stands for more members than packets can wait for. */
function refuseCrowd({ header }: HashSet, member: string): void {
  let members = 0;
  new MemberReader(header).read(member, () => ++members <= MEMBERS_MOST);
  if (members <= MEMBERS_MOST) return;
  throw new Refusal(
    `${
      show(member)
    } is more than ${MEMBERS_MOST} members, too many at once for a router at work; give it in parts`,
  );
}

/** Places of the halves before one. */
function offset(halves: readonly HashSet[], half: HashSet): number {
  return halves.indexOf(half) === 0 ? 0 : halves[0].elements.high;
}

/** The half of a set that a member belongs to. */
function halfFor(set: NamedSet, entry: string): HashSet {
  const { ipv4, ipv6 } = set;
  if (ipv4 === null || ipv6 === null) return (ipv4 ?? ipv6)!;
  return familyOf(entry, ipv4.header.type) === 4 ? ipv4 : ipv6;
}
