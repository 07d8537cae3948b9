/**
 * A list of sets at work: asked one after the other, the first that holds the packet answers (ip_set_list_set). Members
 * can have timeouts, counters and skbinfo of their own, beside those of the sets they stand for.
 *
 * @module
 */
import type { Clock } from "../clock.ts";
import type { Packet } from "../packet/packet.ts";
import { Elements } from "./elements.ts";
import type { SetBinding } from "./hash_set.ts";
import type { SetHeader } from "./header.ts";
import { judge } from "./judge.ts";
import type { Question } from "./question.ts";
import type { ListSpec } from "./spec.ts";

/** A set that stands in a list. */
export interface Member {
  readonly name: string;
  ask(p: Packet, question: Question): boolean;
  add(p: Packet, question: Question, exist: boolean, seconds: number): boolean;
  delete(p: Packet, question: Question): boolean;
}

/** A list. */
export class ListSet {
  readonly header: SetHeader;
  readonly elements: Elements;
  readonly members: readonly Member[];
  readonly #clock: Clock;

  constructor(spec: ListSpec, binding: SetBinding, members: readonly Member[]) {
    this.header = spec.header;
    this.members = members;
    this.#clock = binding.clock;
    const filled = spec.elements;
    this.elements = new Elements(LIST_KEY, filled.extensions, filled.count, binding.arena, filled.comments);
    if (binding.arena.fresh) this.elements.adopt(filled, binding.seed, binding.clock.now);
  }

  /** Whether a packet is in one of them, as a rule sees it. */
  ask(p: Packet, question: Question): boolean {
    if (question.dimensions < 1) return false;
    const { members, elements } = this, sub = question.sub;
    for (let i = 0; i < members.length; i++) {
      if (!members[i].ask(p, sub)) continue;
      question.mark = sub.mark;
      question.mask = sub.mask;
      if (judge(elements, i, p.length, question, this.#clock.now)) return true;
    }
    return false;
  }

  /** Adds to the first set that takes the packet. */
  add(p: Packet, question: Question, exist: boolean, seconds: number): boolean {
    const { members, elements } = this, now = this.#clock.now;
    for (let i = 0; i < members.length; i++) {
      if (!elements.expired(i, now) && members[i].add(p, question, exist, seconds)) return true;
    }
    return false;
  }

  /** Takes the packet out of the first set that has it. */
  delete(p: Packet, question: Question): boolean {
    const { members, elements } = this, now = this.#clock.now;
    for (let i = 0; i < members.length; i++) {
      if (!elements.expired(i, now) && members[i].delete(p, question)) return true;
    }
    return false;
  }
}

/** A member's key is its number. */
export const LIST_KEY = { words: 1, hashed: 1 };
