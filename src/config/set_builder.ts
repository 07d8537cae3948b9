/**
 * A set of the configuration while it is filled: members and what stands behind them, as ipset's `add` has it.
 *
 * @module
 */
import { LIST_KEY } from "../sets/list_set.ts";
import { Elements, extensionsOf, NOMATCH, WILDCARD } from "../sets/elements.ts";
import { findMember, interfaceWord } from "../sets/interface_name.ts";
import { COMMENT_MAX, type SetHeader, TIMEOUT_MAX } from "../sets/header.ts";
import { keyLayout } from "../sets/type.ts";
import { OptionError } from "../tables/extension.ts";
import { wholeNumber } from "../tables/kinds.ts";
import { suggest } from "./problems.ts";
import { MemberReader } from "./set_member.ts";

/** What an entry may say beside its member. */
export interface Beside {
  readonly flags: number;
  readonly timeout: number | null;
  /** Null: not said. */
  readonly packets: number | null;
  readonly bytes: number | null;
  readonly comment: string;
  readonly skbinfo: readonly [mark: number, mask: number, prio: number, queue: number] | null;
  readonly before: string | null;
  readonly after: string | null;
}

const NOTHING: Beside = {
  flags: 0,
  timeout: null,
  packets: null,
  bytes: null,
  comment: "",
  skbinfo: null,
  before: null,
  after: null,
};
/** What a key of `add` needs in the header. */
const NEEDS = {
  timeout: "timeout",
  packets: "counters",
  bytes: "counters",
  comment: "comment",
  skbmark: "skbinfo",
  skbprio: "skbinfo",
  skbqueue: "skbinfo",
} as const;
/** Members that there is room for at first. */
const FIRST = 64;
/** 2⁶⁴ − 2, the largest counter. */
const COUNTER_MAX = 18446744073709551614n;

/** Text cut at blanks, with what double quotes hold as one word. */
export function wordsOf(text: string): string[] {
  const words: string[] = [];
  for (const [, quoted, plain] of text.matchAll(/"([^"]*)"|(\S+)/g)) words.push(quoted ?? plain);
  return words;
}

/** One set and what it has so far. */
export class SetBuilder {
  /** Sets of a list, in order. */
  readonly members: string[] = [];
  readonly #reader: MemberReader | null;
  /** What each of a list's sets has beside its name. */
  readonly #besides: Beside[] = [];
  readonly #iface: number;
  #elements: Elements;

  constructor(readonly header: SetHeader) {
    const list = header.type.dimensions.length === 0;
    this.#reader = list ? null : new MemberReader(header);
    const layout = keyLayout(header.type, header.family);
    this.#iface = interfaceWord(header.type.dimensions, layout.at);
    this.#elements = new Elements(
      list ? LIST_KEY : layout,
      extensionsOf(header),
      FIRST,
    );
  }

  /** Members so far. */
  get count(): number {
    return this.#reader === null ? this.members.length : this.#elements.count;
  }

  /** The members, once there will be no more. */
  finish(): Elements {
    if (this.#reader === null) {
      this.members.forEach((_, i) => {
        this.#room();
        this.#beside(this.#elements.insert(Int32Array.of(i)), this.#besides[i]);
      });
    }
    return this.#elements;
  }

  /**
   * Takes what follows `add NAME`: a member, and what stands behind it. `exist`: what is there already is no mistake, and
   * gets what stands behind the member. Throws `OptionError`.
   */
  add(text: string, exist: boolean): void {
    const blank = text.indexOf(" ");
    if (blank < 0) return this.#add(text, NOTHING, exist);
    const [member, ...words] = wordsOf(text);
    const { beside, always } = readBeside(this.header, words);
    this.#add(member, beside, exist || always);
  }

  #add(member: string, beside: Beside, exist: boolean): void {
    if (this.#reader === null) return this.#addSet(member, beside, exist);
    this.#reader.read(member, (key) => {
      let e = findMember(this.#elements, this.#iface, key);
      if (e < 0) {
        if (this.#elements.count >= this.header.maxelem) {
          throw new OptionError(
            `${JSON.stringify(member)} is more than the set holds: maxelem is ${this.header.maxelem}` +
              (this.header.type.name === "hash:ip"
                ? ", and every address counts; hash:net holds networks"
                : ""),
          );
        }
        this.#room();
        e = this.#elements.insert(key);
        this.#elements.setFlags(e, beside.flags);
      } else if (!exist) {
        throw new OptionError(`${JSON.stringify(member)} is in the set already; leave it out`);
      }
      this.#beside(e, beside);
      return true;
    });
  }

  #room(): void {
    const { high, capacity } = this.#elements;
    if (high === capacity) this.#elements = this.#elements.grown(capacity * 4);
  }

  #addSet(name: string, beside: Beside, exist: boolean): void {
    const { members } = this;
    if (members.includes(name)) {
      if (exist) {
        this.#besides[members.indexOf(name)] = beside;
        return;
      }
      throw new OptionError(`${JSON.stringify(name)} is in the list already; leave it out`);
    }
    const near = beside.before ?? beside.after;
    let at = near === null ? members.length : members.indexOf(near);
    if (at < 0) throw new OptionError(`${JSON.stringify(near)} is not in the list`);
    if (beside.after !== null) at++;
    members.splice(at, 0, name);
    this.#besides.splice(at, 0, beside);
  }

  /** Takes out what `del NAME` names. */
  delete(text: string, exist: boolean): void {
    const [member] = wordsOf(text);
    if (this.#reader === null) {
      const at = this.members.indexOf(member);
      if (at >= 0) {
        this.members.splice(at, 1);
        this.#besides.splice(at, 1);
      } else if (!exist) throw new OptionError(`${JSON.stringify(member)} is not in the list`);
      return;
    }
    this.#reader.read(member, (key) => {
      const e = findMember(this.#elements, this.#iface, key);
      if (e >= 0) this.#elements.remove(e);
      else if (!exist) throw new OptionError(`${JSON.stringify(member)} is not in the set`);
      return true;
    });
  }

  /** Takes all out. */
  flush(): void {
    this.#elements.clear();
    this.members.length = this.#besides.length = 0;
  }

  #beside(e: number, beside: Beside): void {
    const elements = this.#elements, { header } = this;
    writeBeside(elements, e, beside);
    if (header.timeout !== null) elements.setSeconds(e, beside.timeout ?? header.timeout);
  }
}

/** Gives an element what an entry says beside its member, but for its time. */
export function writeBeside(elements: Elements, e: number, beside: Beside): void {
  const { counters, skbinfo, comment } = elements.extensions;
  // That a name is a beginning belongs to the member, and stays.
  elements.setFlags(e, beside.flags & ~WILDCARD | elements.flags(e) & WILDCARD);
  if (counters) {
    // What is added once more goes on counting.
    elements.counters[2 * e] = beside.packets ?? elements.counters[2 * e];
    elements.counters[2 * e + 1] = beside.bytes ?? elements.counters[2 * e + 1];
  }
  if (skbinfo) {
    const [mark, mask, prio, queue] = beside.skbinfo ?? [0, 0, 0, 0];
    elements.setSkbinfo(e, mark, mask, prio, queue);
  }
  if (comment) elements.setComment(e, beside.comment);
}

/** Reads the words behind a member. `always`: `-exist` was among them. Throws `OptionError`. */
export function readBeside(
  header: SetHeader,
  words: readonly string[],
): { beside: Beside; always: boolean } {
  const { type } = header, list = type.dimensions.length === 0;
  let { flags, timeout, packets, bytes, comment, before, after } = NOTHING, always = false;
  const skbinfo: [number, number, number, number] = [0, 0, 0, 0];
  for (let i = 0; i < words.length; i++) {
    const key = words[i].replace(/^--?/, "");
    if (key === "exist" || words[i] === "-!") {
      always = true;
      continue;
    }
    if (key === "nomatch" && type.nomatch || key === "wildcard" && type.dimensions.includes("iface")) {
      flags |= key === "nomatch" ? NOMATCH : WILDCARD;
      continue;
    }
    const known = list ? ["before", "after", ...Object.keys(NEEDS)] : Object.keys(NEEDS);
    if (!known.includes(key)) {
      throw new OptionError(
        `${JSON.stringify(words[i])} is not known behind a member; ${suggest(key, known)}`,
      );
    }
    const needs = NEEDS[key as keyof typeof NEEDS] as
      | "timeout"
      | "counters"
      | "comment"
      | "skbinfo"
      | undefined;
    if (needs !== undefined && (header[needs] === null || header[needs] === false)) {
      throw new OptionError(`${key} needs a set that was created with ${needs}`);
    }
    const value = words[++i];
    if (value === undefined) throw new OptionError(`${key} needs a value`);
    const number = (max: number) => {
      const read = wholeNumber(value, 0, max);
      if (read === null) {
        throw new OptionError(`${key} ${JSON.stringify(value)} is not a whole number from 0 to ${max}`);
      }
      return read;
    };
    if (key === "timeout") timeout = number(TIMEOUT_MAX);
    else if (key === "packets") packets = counter(key, value);
    else if (key === "bytes") bytes = counter(key, value);
    else if (key === "comment") comment = readComment(value);
    else if (key === "before") before = value;
    else if (key === "after") after = value;
    else if (key === "skbqueue") skbinfo[3] = number(0xffff);
    else if (key === "skbprio") {
      const found = /^(?:0x)?([0-9a-f]{1,4}):(?:0x)?([0-9a-f]{1,4})$/i.exec(value);
      if (found === null) throw new OptionError(`skbprio ${JSON.stringify(value)} is not MAJOR:MINOR`);
      skbinfo[2] = parseInt(found[1], 16) << 16 | parseInt(found[2], 16);
    } else {
      const found = /^0x([0-9a-f]{1,8})(?:\/0x([0-9a-f]{1,8}))?$/i.exec(value);
      if (found === null) {
        throw new OptionError(`skbmark ${JSON.stringify(value)} is not 0xMARK or 0xMARK/0xMASK`);
      }
      skbinfo[0] = parseInt(found[1], 16) | 0;
      skbinfo[1] = found[2] === undefined ? -1 : parseInt(found[2], 16) | 0;
    }
  }
  return { beside: { flags, timeout, packets, bytes, comment, skbinfo, before, after }, always };
}

function counter(key: string, text: string): number {
  if (!/^\d+$/.test(text) || BigInt(text) > COUNTER_MAX) {
    throw new OptionError(`${key} ${JSON.stringify(text)} is not a whole number`);
  }
  return Number(text);
}

function readComment(text: string): string {
  const bytes = new TextEncoder().encode(text).length;
  if (bytes > COMMENT_MAX) {
    throw new OptionError(`comment is ${bytes} bytes long, not at most ${COMMENT_MAX}`);
  }
  if (text.includes('"')) throw new OptionError("comment has a double quote in it; leave that out");
  return text;
}
