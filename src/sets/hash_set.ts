/**
 * A set of one family at work: looked up, added to and taken from by packets. Hashes and bitmaps are the same here, since
 * both find a member by its key.
 *
 * Networks are looked up by their prefix lengths, the longest first, as the kernel does it (mtype_test_cidrs): the first
 * that is there decides, and if it is an exception (nomatch) the answer is no. With two networks in a member each length
 * of the first is tried with each of the second. Interfaces belong to their network: when a network is there for any
 * interface, no wider one is asked.
 *
 * @module
 */
import type { Arena } from "../arena.ts";
import type { Clock } from "../clock.ts";
import { ADDRESS_WORDS, setPrefixMask } from "../packet/address.ts";
import type { Packet } from "../packet/packet.ts";
import type { Interfaces } from "../routing/interfaces.ts";
import { Elements, NOMATCH, USED, WILDCARD } from "./elements.ts";
import type { SetHeader } from "./header.ts";
import { findMember, interfaceHolds, interfaceWord } from "./interface_name.ts";
import { judge } from "./judge.ts";
import { PacketKey } from "./packet_key.ts";
import { Prefixes } from "./prefixes.ts";
import { Question } from "./question.ts";
import type { HashSpec } from "./spec.ts";
import { addressWords, dimensionsOf, keyLayout, PHYSDEV } from "./type.ts";

/** Answers of the kernel's test: no, yes, and found as an exception. */
const NO = 0, YES = 1, EXCEPTION = -1;

/** What sets at work are bound to. */
export interface SetBinding {
  readonly clock: Clock;
  readonly arena: Arena;
  readonly interfaces: Interfaces;
  /** Seed of the hashes; the same for all data planes. */
  readonly seed: number;
  /** Commands change sets: each has room for what it may have. */
  readonly roomy: boolean;
}

/** A set that packets are looked up in. */
export class HashSet {
  readonly header: SetHeader;
  readonly elements: Elements;
  readonly #clock: Clock;
  readonly #key: PacketKey;
  /** What is looked up: the packet's key under masks. */
  readonly #wanted: Int32Array;
  /** Words of the networks' addresses, and of the prefix lengths. */
  readonly #nets: readonly number[];
  readonly #cidr: number;
  readonly #width: number;
  readonly #iface: number;
  readonly #prefixes: readonly Prefixes[];
  /** Masks by prefix length, ADDRESS_WORDS words each. */
  readonly #masks: Int32Array;
  readonly #dimensions: number;
  readonly #timed: boolean;
  /** A network was there, for whatever interface. */
  #there = false;

  /** `changing`: packets add to it, so there must be room for as many as it may have. */
  constructor(spec: HashSpec, binding: SetBinding, changing: boolean) {
    const { header } = spec, { arena, clock, interfaces } = binding, { type, family } = header;
    const layout = keyLayout(type, family), width = addressWords(family);
    this.header = header;
    this.#clock = clock;
    this.#key = new PacketKey(header, interfaces);
    this.#wanted = new Int32Array(layout.words);
    this.#nets = layout.at.filter((_, i) => type.dimensions[i] === "net");
    this.#cidr = layout.cidr;
    this.#width = width;
    this.#iface = interfaceWord(type.dimensions, layout.at);
    this.#prefixes = this.#nets.map(() => new Prefixes(arena));
    const bits = 32 * width;
    this.#masks = new Int32Array((bits + 1) * ADDRESS_WORDS);
    for (let length = 0; length <= bits; length++) {
      setPrefixMask(family, length, this.#masks, length * ADDRESS_WORDS);
    }
    this.#dimensions = dimensionsOf(type);
    this.#timed = header.timeout !== null;
    const filled = spec.elements;
    const room = changing || binding.roomy
      ? Math.max(filled.count, Math.min(header.maxelem, ROOM_MOST))
      : filled.count;
    this.elements = new Elements(layout, filled.extensions, room, arena, filled.comments);
    if (!arena.fresh) return;
    this.elements.adopt(filled, binding.seed, clock.now);
    if (this.#cidr < 0) return;
    for (let e = 0; e < this.elements.high; e++) this.#countPrefixes(e, true);
  }

  /** Whether a packet is in it, as a rule sees it. */
  ask(p: Packet, question: Question): boolean {
    if (question.dimensions < this.#dimensions || !this.#key.read(p, question.sources)) return false;
    const answer = this.#test(p.length, question);
    if (question.returnNomatch && this.header.type.nomatch) return answer === EXCEPTION;
    return answer === YES;
  }

  /** `port` is PHYSDEV for the port of a bridge, which no packet comes by. */
  #test(bytes: number, question: Question, port = 0): number {
    const nets = this.#nets, wanted = this.#wanted;
    wanted.set(this.#key.words);
    if (nets.length === 0) return this.#judge(this.elements.find(wanted), bytes, question);
    const first = this.#prefixes[0].list;
    this.#there = false;
    for (let i = 1; i <= first[0] && !this.#there; i++) {
      this.#narrow(0, first[i]);
      if (nets.length === 1) {
        wanted[this.#cidr] = first[i] | port;
        const answer = this.#iface < 0
          ? this.#judge(this.elements.find(wanted), bytes, question)
          : this.#testInterfaces(bytes, question);
        if (answer !== NO) return answer;
        continue;
      }
      const second = this.#prefixes[1].list;
      for (let j = 1; j <= second[0]; j++) {
        this.#narrow(1, second[j]);
        wanted[this.#cidr] = first[i] | second[j] << 8;
        const answer = this.#judge(this.elements.find(wanted), bytes, question);
        if (answer !== NO) return answer;
      }
    }
    return NO;
  }

  /** Those of a network, for the packet's interface. */
  #testInterfaces(bytes: number, question: Question): number {
    const { elements } = this, wanted = this.#wanted;
    for (let e = elements.first(wanted); e >= 0; e = elements.next(e, wanted)) {
      this.#there = true;
      if (!interfaceHolds(elements, e, this.#iface, wanted)) continue;
      const answer = this.#judge(e, bytes, question);
      if (answer !== NO) return answer;
      this.#there = false;
    }
    return NO;
  }

  /** Writes the packet's n-th network under the mask of a length. */
  #narrow(n: number, length: number): void {
    const at = this.#nets[n], key = this.#key.words, wanted = this.#wanted;
    for (let w = 0, m = length * ADDRESS_WORDS; w < this.#width; w++) {
      wanted[at + w] = key[at + w] & this.#masks[m + w];
    }
  }

  #judge(e: number, bytes: number, question: Question): number {
    if (e < 0 || !judge(this.elements, e, bytes, question, this.#clock.now)) return NO;
    return (this.elements.flags(e) & NOMATCH) !== 0 ? EXCEPTION : YES;
  }

  // ── additions and removals ────────────────────────────────────────────────────────────────────────────────────

  /** Adds the packet's key; `seconds` −1: for as long as the set says. True if it is a new member. */
  add(p: Packet, question: Question, exist: boolean, seconds: number): boolean {
    if (question.dimensions < this.#dimensions || !this.#readOwn(p, question)) return false;
    const { elements } = this, now = this.#clock.now, found = findMember(elements, this.#iface, this.#wanted);
    if (found >= 0 && !exist && !elements.expired(found, now)) return false;
    const e = found >= 0 ? found : this.#insert(this.#wanted);
    if (e < 0) return false;
    const { counters, skbinfo, comment } = elements.extensions;
    if (found >= 0) {
      elements.setFlags(e, elements.flags(e) & WILDCARD);
      // A hash keeps the comment.
      if (comment && this.header.type.bitmap) elements.setComment(e, "");
    }
    if (counters) {
      elements.counters[2 * e] = 1;
      elements.counters[2 * e + 1] = p.length;
    }
    if (skbinfo) elements.setSkbinfo(e, 0, 0, 0, 0);
    if (this.#timed) elements.setTimeout(e, seconds < 0 ? this.header.timeout! : seconds, now);
    return true;
  }

  /** Takes the packet's key out. True if it was a member. */
  delete(p: Packet, question: Question): boolean {
    if (question.dimensions < this.#dimensions || !this.#readOwn(p, question)) return false;
    const found = findMember(this.elements, this.#iface, this.#wanted);
    if (found < 0) return false;
    const alive = !this.elements.expired(found, this.#clock.now);
    this.#remove(found);
    return alive;
  }

  // ── by command ────────────────────────────────────────────────────────────────────────────────────────────────

  /** Whether a member is in it: an address as a packet's would be, a network only if it is there as it is. */
  holds(key: Int32Array): boolean {
    const lengths = this.#cidr < 0 ? 0 : key[this.#cidr];
    for (let n = 0; n < this.#nets.length; n++) {
      if ((lengths >>> 8 * n & 0xff) === 32 * this.#width) continue;
      const e = findMember(this.elements, this.#iface, key);
      return this.#judge(e, 0, SILENT) === YES;
    }
    this.#key.words.set(key);
    return this.#test(0, SILENT, lengths & PHYSDEV) === YES;
  }

  /** The element of a member, a new one if it is not there; −1 when there is no room. */
  put(key: Int32Array): number {
    const found = findMember(this.elements, this.#iface, key);
    return found >= 0 ? found : this.#insert(key);
  }

  /** The element of a member, −1 when it is not there, or its time is over. */
  find(key: Int32Array): number {
    const found = findMember(this.elements, this.#iface, key);
    return found >= 0 && this.elements.expired(found, this.#clock.now) ? -1 : found;
  }

  /** Takes an element out. */
  take(e: number): void {
    this.#remove(e);
  }

  /** Takes all out. */
  flush(): void {
    this.elements.clear();
    for (const prefixes of this.#prefixes) prefixes.clear();
  }

  /** The packet's key as a member: its networks as long as the longest that there is. */
  #readOwn(p: Packet, question: Question): boolean {
    if (!this.#key.read(p, question.sources)) return false;
    const wanted = this.#wanted;
    wanted.set(this.#key.words);
    if (this.#cidr < 0) return true;
    let lengths = 0;
    for (let n = 0; n < this.#nets.length; n++) {
      const list = this.#prefixes[n].list, length = list[0] > 0 ? list[1] : 32 * this.#width;
      this.#narrow(n, length);
      lengths |= length << 8 * n;
    }
    wanted[this.#cidr] = lengths;
    return true;
  }

  /** A place for a key; where the set is full, that of an expired one, or of any one if it was created so. */
  #insert(key: Int32Array): number {
    const { elements, header } = this, now = this.#clock.now;
    if (elements.count >= Math.min(header.maxelem, elements.capacity)) {
      const due = elements.due(now);
      if (due >= 0) this.#remove(due);
      else if (header.forceadd && elements.count > 0) this.#remove(elements.victim());
      else return -1;
    }
    const e = elements.insert(key);
    if (e >= 0) this.#countPrefixes(e, true);
    return e;
  }

  #remove(e: number): void {
    this.#countPrefixes(e, false);
    this.elements.remove(e);
  }

  #countPrefixes(e: number, more: boolean): void {
    if (this.#cidr < 0 || (this.elements.flags(e) & USED) === 0) return;
    const lengths = this.elements.key(e, this.#cidr);
    for (let n = 0; n < this.#prefixes.length; n++) {
      const length = lengths >>> 8 * n & 0xff;
      if (more) this.#prefixes[n].add(length);
      else this.#prefixes[n].remove(length);
    }
  }

  /** Takes out what has expired, at most so many. True when there is more. */
  sweep(most: number): boolean {
    if (!this.#timed) return false;
    const now = this.#clock.now;
    for (let n = 0; n < most; n++) {
      const due = this.elements.due(now);
      if (due < 0) return false;
      this.#remove(due);
    }
    return true;
  }
}

/** A question that changes nothing. */
const SILENT = new Question([], { updates: false });
/** Most members that memory is kept for when packets or commands add them. */
const ROOM_MOST = 1 << 20;
