/**
 * What one configuration has in the state: the names of its interfaces, what its devices and rules have counted, its
 * helpers, and the numbers under which flows know its rules and timeout policies.
 *
 * ```
 *  header … pinholes │ flows, expectations │ generation │ generation │ …
 *                                            ▲ the header names the one that is in force
 * ```
 *
 * Life-cycle: a router that is given another configuration lays out another generation beside the one in force, fills
 * it, and has the header name it: one word, so whoever opens the state finds the old configuration or the new one. The
 * place of the one before is free again. Flows speak of interfaces, helpers, rules and policies by numbers, which a
 * successor keeps (`config/order.ts`).
 */
import type { ConntrackHelper } from "./conntrack/helper.ts";
import { HelperRoster } from "./conntrack/roster.ts";
import { MOST_RULES, RuleTexts } from "./conntrack/rule_texts.ts";
import { TimeoutPolicies } from "./conntrack/timeout_policies.ts";

/** How much room a configuration needs. */
export interface GenerationGeometry {
  /** Interfaces, the host device not counted; their indices are 1 … n. */
  readonly interfaces: number;
  /** Rules whose packets and bytes are counted. */
  readonly rules: number;
}

/** Float64 counters per interface: `interfaces[index * INTERFACE_COUNTERS + RX_PACKETS]`. Index 0 is the host device. */
export const INTERFACE_COUNTERS = 8;

export const PAGE = 4096, LINE = 64;
/** Bytes of an interface's name (IFNAMSIZ). */
const NAME_SIZE = 16;
/** "GENE", interfaces, rules, FLAG_*. */
const MAGIC = 0, INTERFACES = 1, RULES = 2, FLAGS = 3, HEAD_WORDS = 16;
const MAGIC_WORD = 0x454e4547;
/** Flows count their packets and bytes. */
const FLAG_ACCOUNTING = 1;

/** The next offset that is a multiple. */
export const align = (at: number, to: number) => Math.ceil(at / to) * to;

function layoutOf(g: GenerationGeometry) {
  const names = HEAD_WORDS * 4;
  const interfaces = align(names + (g.interfaces + 1) * NAME_SIZE, LINE);
  const rules = align(interfaces + (g.interfaces + 1) * INTERFACE_COUNTERS * 8, LINE);
  const keys = align(rules + g.rules * 16, LINE);
  const roster = align(keys + g.rules * 8, LINE);
  const policies = align(roster + HelperRoster.BYTES, LINE);
  const texts = align(policies + TimeoutPolicies.BYTES, LINE);
  return {
    names,
    interfaces,
    rules,
    keys,
    roster,
    policies,
    texts,
    bytes: align(texts + RuleTexts.bytes(MOST_RULES), PAGE),
  };
}

/** One configuration's part of the state. */
export class Generation {
  readonly geometry: GenerationGeometry;
  /** Bytes that it takes. */
  readonly bytes: number;
  /** INTERFACE_COUNTERS per interface. */
  readonly interfaces: Float64Array<ArrayBuffer>;
  /** Packets and bytes by rule. */
  readonly rules: Float64Array<ArrayBuffer>;
  /** Two words for each rule, by which a successor knows it again; zero where nobody has named it. */
  readonly keys: Int32Array<ArrayBuffer>;
  /** The helpers. */
  readonly roster: HelperRoster;
  /** Timeouts that rules give to flows. */
  readonly policies: TimeoutPolicies;
  /** Rules that give helpers to flows. */
  readonly ruleTexts: RuleTexts;
  /** Rules that the generation before had, too; null until they were looked for. */
  #kept: Run[] | null = null;
  readonly #head: Int32Array<ArrayBuffer>;
  readonly #names: Uint8Array<ArrayBuffer>;

  private constructor(buffer: ArrayBuffer, readonly at: number, geometry: GenerationGeometry) {
    const layout = layoutOf(geometry), { interfaces, rules } = geometry;
    this.geometry = geometry;
    this.bytes = layout.bytes;
    this.#head = new Int32Array(buffer, at, HEAD_WORDS);
    this.#names = new Uint8Array(buffer, at + layout.names, (interfaces + 1) * NAME_SIZE);
    this.interfaces = new Float64Array(buffer, at + layout.interfaces, (interfaces + 1) * INTERFACE_COUNTERS);
    this.rules = new Float64Array(buffer, at + layout.rules, rules * 2);
    this.keys = new Int32Array(buffer, at + layout.keys, rules * 2);
    this.roster = new HelperRoster(buffer, at + layout.roster);
    this.policies = new TimeoutPolicies(buffer, at + layout.policies);
    this.ruleTexts = new RuleTexts(MOST_RULES, buffer, at + layout.texts);
  }

  /** Bytes that a geometry takes: whole pages. */
  static bytes(geometry: GenerationGeometry): number {
    return layoutOf(geometry).bytes;
  }

  /** Lays one out at a byte offset, in memory that is all zero. */
  static create(buffer: ArrayBuffer, at: number, { interfaces, rules }: GenerationGeometry): Generation {
    const geometry = { interfaces, rules };
    const generation = new Generation(buffer, at, geometry);
    generation.#head[INTERFACES] = interfaces;
    generation.#head[RULES] = rules;
    generation.#head[MAGIC] = MAGIC_WORD;
    return generation;
  }

  /** One that `create` laid out, perhaps in another process; null if there is none, or not all of it. */
  static open(buffer: ArrayBuffer, at: number): Generation | null {
    if (at <= 0 || at % PAGE !== 0 || at + PAGE > buffer.byteLength) return null;
    const head = new Int32Array(buffer, at, HEAD_WORDS);
    if (head[MAGIC] !== MAGIC_WORD || head[INTERFACES] < 0 || head[RULES] < 0) return null;
    const geometry = { interfaces: head[INTERFACES], rules: head[RULES] };
    if (at + layoutOf(geometry).bytes > buffer.byteLength) return null;
    return new Generation(buffer, at, geometry);
  }

  /** Gives interface `index` its name. */
  setInterfaceName(index: number, name: string): void {
    const at = index * NAME_SIZE;
    const room = this.#names.subarray(at, at + NAME_SIZE);
    room.fill(0);
    new TextEncoder().encodeInto(name, room.subarray(0, NAME_SIZE - 1));
  }

  /** The name of interface `index`, "" when it has none: no interface has that index. */
  interfaceName(index: number): string {
    const at = index * NAME_SIZE;
    const room = this.#names.slice(at, at + NAME_SIZE);
    const end = room.indexOf(0);
    return new TextDecoder().decode(room.subarray(0, end < 0 ? NAME_SIZE : end));
  }

  /** Says what a reader outside needs to understand the flows: the helpers by index, and whether they are counted. */
  describe(helpers: readonly ConntrackHelper[], accounting: boolean, goesOn = false): void {
    this.roster.list(helpers, goesOn);
    this.#head[FLAGS] = accounting ? FLAG_ACCOUNTING : 0;
  }

  /** Flows count their packets and bytes. */
  get accounting(): boolean {
    return (this.#head[FLAGS] & FLAG_ACCOUNTING) !== 0;
  }

  /**
   * What has been counted goes on: of interfaces and helpers, and of rules that are the same unless they are to begin
   * anew. A helper that was taken out stays out.
   */
  adoptCounters(before: Generation, zero: boolean): void {
    const { interfaces, rules } = this;
    for (let i = 0; i <= Math.min(this.geometry.interfaces, before.geometry.interfaces); i++) {
      if (i > 0 && (this.interfaceName(i) === "" || this.interfaceName(i) !== before.interfaceName(i))) {
        continue;
      }
      const at = i * INTERFACE_COUNTERS;
      interfaces.set(before.interfaces.subarray(at, at + INTERFACE_COUNTERS), at);
    }
    this.roster.adopt(before.roster);
    if (zero) return;
    this.follow(before);
    for (const { to, from, length } of this.#kept!) {
      rules.set(before.rules.subarray(2 * from, 2 * (from + length)), 2 * to);
    }
  }

  /** Finds out which rules are the same, ahead of `adoptCounters`, when there is time for it. */
  follow(before: Generation): void {
    if (this.#kept !== null) return;
    const { keys } = this, there = new Map<string, number>(), kept: Run[] = this.#kept = [];
    for (let slot = 0; slot < before.geometry.rules; slot++) there.set(keyAt(before.keys, slot), slot);
    for (let slot = 0; slot < this.geometry.rules; slot++) {
      const from = keys[2 * slot] === 0 ? undefined : there.get(keyAt(keys, slot));
      if (from === undefined) continue;
      const run = kept.at(-1);
      if (run !== undefined && run.to + run.length === slot && run.from + run.length === from) run.length++;
      else kept.push({ to: slot, from, length: 1 });
    }
  }
}

/** Counter slots that stand side by side here and there. */
interface Run {
  readonly to: number;
  readonly from: number;
  length: number;
}

const keyAt = (keys: Int32Array, slot: number) => `${keys[2 * slot]} ${keys[2 * slot + 1]}`;
