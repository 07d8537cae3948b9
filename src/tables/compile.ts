/**
 * From checked rules to tables at work, bound to one router's services and counters.
 *
 * @module
 */
import {
  type Family,
  FORWARD,
  type Hook,
  INPUT,
  OUTPUT,
  POSTROUTING,
  PREROUTING,
  RETURN,
} from "../netfilter.ts";
import type { Interfaces } from "../routing/interfaces.ts";
import {
  type AddressSpec,
  counterSlots,
  describeRule,
  type InterfaceSpec,
  type RuleSet,
  type RuleSpec,
  type TableSpec,
} from "./entry.ts";
import type { CreateContext, Match, Target } from "./extension.ts";
import type { RowIndex } from "./row_index.ts";
import { indexRows } from "./row_indexer.ts";
import type { Rows } from "./row_wanted.ts";
import type { Services } from "./services.ts";
import * as T from "./table.ts";
import * as R from "./row.ts";

/** What rules are bound to. */
export interface Binding {
  readonly services: Services;
  /** All rule counters of the router: two numbers per slot. */
  readonly counters: Float64Array;
  /** What each counter slot is called: a rule's matches and targets keep what they remember under its name. */
  readonly names?: readonly string[];
  /** Rules that a chain must have to be indexed, for tests: `Infinity` makes tables that are walked row by row. */
  readonly indexFrom?: number;
}

/** The tables of one family, null where nobody mentions one. */
export interface CompiledTables {
  readonly raw: T.Table | null;
  readonly mangle: T.Table | null;
  readonly nat: T.Table | null;
  readonly filter: T.Table | null;
}

/** Where looking a packet up costs less than walking on. */
const INDEX_FROM = 16;
/** Rows at a chain's head that are walked all the same: there stands what settles most packets. */
const WALKED_HEAD = 4;

const HOOKS: readonly Hook[] = [PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING];

/** Compiles the rules of one family. */
export function compileRules(rules: RuleSet, binding: Binding): CompiledTables {
  return {
    raw: rules.raw && compileTable(rules.raw, binding),
    mangle: rules.mangle && compileTable(rules.mangle, binding),
    nat: rules.nat && compileTable(rules.nat, binding),
    filter: rules.filter && compileTable(rules.filter, binding),
  };
}

/** Lays one table out (see table.ts) and makes its match and target objects. */
function compileTable(table: TableSpec, binding: Binding): T.Table {
  const slots = counterSlots(table);
  const rows = new Int32Array(slots * R.ROW_WORDS);
  const matches: Match[] = [], targets: Target[] = [];
  const sets = new InterfaceSets(binding.services.interfaces);
  const entries = new Int32Array(HOOKS.length).fill(-1), underflows = new Int32Array(HOOKS.length).fill(-1);

  const firstRow = new Map<string, number>();
  let row = 0;
  for (const chain of table.chains) {
    firstRow.set(chain.name, row);
    row += chain.rules.length + 1;
  }

  const ends: number[] = [];
  const { services, names } = binding;
  row = 0;
  for (const chain of table.chains) {
    if (chain.hook !== null) {
      entries[chain.hook] = row;
      underflows[chain.hook] = row + chain.rules.length;
    }
    for (const rule of chain.rules) {
      const name = names?.[table.counters + row], at = row++ * R.ROW_WORDS;
      const context: CreateContext = {
        family: table.family,
        protocol: rule.protocolInvert ? 0 : rule.protocol,
        table: table.name,
        services: name === undefined ? services : { ...services, arena: services.arena.named(name) },
        rule: describeRule(rule),
      };
      basicPart(rows, at, rule, table.family, sets);
      const made = rule.matches.map((match) => match.extension.create(match.options, context))
        .filter((match) => match.always !== true);
      if (made.some((match) => match.changes)) rows[at + R.FLAGS] |= R.ROW_CHANGES;
      rows[at + R.MATCHES] = matches.length;
      matches.push(...made.slice(takeFirst(rows, at, made)));
      rows[at + R.MATCHES_END] = matches.length;

      const target = rule.target;
      if (target === null) {
        rows[at + R.ACTION] = R.ACTION_CONTINUE;
      } else if (target.kind === "verdict") {
        rows[at + R.ACTION] = R.ACTION_VERDICT;
        rows[at + R.ARGUMENT] = target.verdict;
      } else if (target.kind === "target") {
        rows[at + R.ACTION] = R.ACTION_TARGET;
        rows[at + R.ARGUMENT] = targets.length;
        targets.push(target.extension.create(target.options, context));
      } else {
        rows[at + R.ACTION] = target.kind === "jump" ? R.ACTION_JUMP : R.ACTION_GOTO;
        rows[at + R.ARGUMENT] = firstRow.get(target.chain)!;
      }
    }
    const at = row++ * R.ROW_WORDS;
    rows[at + R.ACTION] = chain.hook !== null ? R.ACTION_POLICY : R.ACTION_VERDICT;
    rows[at + R.ARGUMENT] = chain.hook !== null ? chain.policy : RETURN;
    ends.push(row);
  }
  const interfaceSets = sets.bytes();
  const indexed = { family: table.family, rows, interfaceSets, interfaces: sets.size, matches };
  const indexes = indexChains(indexed, ends, binding.indexFrom ?? INDEX_FROM);

  return new T.Table(
    {
      name: table.name,
      rows,
      interfaceSets,
      matches,
      targets,
      indexes,
      entries,
      underflows,
      chains: table.chains.filter((chain) => chain.hook === null).length,
    },
    binding.counters.subarray(2 * table.counters, 2 * (table.counters + slots)),
  );
}

/** Indexes the chains that are long enough; each ends in front of one of `ends`. */
function indexChains(program: Rows, ends: readonly number[], from: number): RowIndex[] {
  const indexes: RowIndex[] = [];
  let first = 0;
  for (const end of ends) {
    if (end - first - 1 >= from) {
      for (let row = first + WALKED_HEAD - 1; row < end; row++) {
        program.rows[row * R.ROW_WORDS + R.FLAGS] |= R.ROW_INDEXED;
        program.rows[row * R.ROW_WORDS + R.INDEX] = indexes.length;
      }
      indexes.push(indexRows(program, first, end - 1));
    }
    first = end;
  }
  return indexes;
}

function basicPart(rows: Int32Array, at: number, rule: RuleSpec, family: Family, sets: InterfaceSets): void {
  let flags = 0;
  if (rule.protocol !== 0) {
    flags |= R.ROW_PROTOCOL | (rule.protocolInvert ? R.ROW_PROTOCOL_INVERT : 0);
    rows[at + R.PROTOCOL] = rule.protocol;
  }
  if (asks(rule.source)) {
    flags |= R.ROW_SRC | (rule.source.invert ? R.ROW_SRC_INVERT : 0) | (family === 6 ? R.ROW_SRC_WIDE : 0);
    rows.set(rule.source.words, at + R.SRC);
    rows.set(rule.source.mask, at + R.SRC_MASK);
  }
  if (asks(rule.destination)) {
    flags |= R.ROW_DST | (rule.destination.invert ? R.ROW_DST_INVERT : 0) |
      (family === 6 ? R.ROW_DST_WIDE : 0);
    rows.set(rule.destination.words, at + R.DST);
    rows.set(rule.destination.mask, at + R.DST_MASK);
  }
  if (rule.inInterface !== null) {
    flags |= R.ROW_IN;
    rows[at + R.IN] = sets.add(rule.inInterface);
  }
  if (rule.outInterface !== null) {
    flags |= R.ROW_OUT;
    rows[at + R.OUT] = sets.add(rule.outInterface);
  }
  if (rule.fragment) flags |= R.ROW_FRAGMENT | (rule.fragmentInvert ? R.ROW_FRAGMENT_INVERT : 0);
  rows[at + R.FLAGS] = flags;
}

/**
 * Lets the row take over the rule's first matches, ports and then the relation to the flow, and says how many. Only the
 * first: what stands in front of a condition may drop the packet, or count, by being asked.
 */
function takeFirst(rows: Int32Array, at: number, matches: readonly Match[]): number {
  let taken = 0;
  const ports = matches[taken]?.ports;
  if (ports !== undefined) {
    taken++;
    const { header, sport, dport } = ports;
    rows[at + R.FLAGS] |= R.ROW_PORTS | (sport.invert ? R.ROW_SPORT_INVERT : 0) |
      (dport.invert ? R.ROW_DPORT_INVERT : 0);
    rows[at + R.HEADER] = header;
    rows[at + R.SPORT_MIN] = sport.min;
    rows[at + R.SPORT_MAX] = sport.max;
    rows[at + R.DPORT_MIN] = dport.min;
    rows[at + R.DPORT_MAX] = dport.max;
  }
  const relations = matches[taken]?.relations;
  if (relations !== undefined) {
    taken++;
    rows[at + R.FLAGS] |= R.ROW_RELATION;
    rows[at + R.RELATIONS] = relations;
  }
  return taken;
}

/** False for no address and for 0.0.0.0/0, which every packet has. */
function asks(address: AddressSpec | null): address is AddressSpec {
  return address !== null && (address.invert || address.mask.some((word) => word !== 0));
}

/** For each distinct interface condition one byte per interface, so that names are compared once, here. */
class InterfaceSets {
  readonly #names: readonly string[];
  readonly #sets = new Map<string, number>();
  readonly #bytes: number[] = [];

  /** Index 0, no interface, has the empty name. */
  constructor(interfaces: Interfaces) {
    this.#names = Array.from({ length: interfaces.count + 1 }, (_, i) => interfaces.name(i));
  }

  /** Offset of the condition's set. */
  add({ name, invert }: InterfaceSpec): number {
    const key = `${invert ? "!" : ""}${name}`;
    let offset = this.#sets.get(key);
    if (offset === undefined) {
      offset = this.#bytes.length;
      this.#sets.set(key, offset);
      for (const candidate of this.#names) {
        const equal = name.endsWith("+") ? candidate.startsWith(name.slice(0, -1)) : candidate === name;
        this.#bytes.push(equal !== invert ? 1 : 0);
      }
    }
    return offset;
  }

  /** Bytes of a set. */
  get size(): number {
    return this.#names.length;
  }

  bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}
