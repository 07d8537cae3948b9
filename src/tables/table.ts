/**
 * A table at work: rules laid out flat, walked without allocating.
 *
 * Overview: chains stand one behind the other in one array of rows, as in the kernel's ipt_replace. A row is a rule:
 * first its basic part (protocol, interfaces, addresses, fragment), compared from words of one Int32Array, then ports
 * and the relation to the flow, where the rule's first matches ask for nothing else; only when all that holds are the
 * rule's other match objects asked. Each chain ends with a row of its own: in a built-in chain the policy, in a user
 * chain a RETURN. So walking needs no end test, and a policy counts like a rule.
 *
 * The next row to be judged is the next one, and in a long chain the next that can hold (see row_index.ts).
 *
 * Jumps push the next row on a stack of int32; RETURN pops it, or goes to the policy of the built-in chain when the
 * stack is empty. `goto` does not push. The stack has room for every user chain at once, since a chain that is
 * already on it would be a loop, which the validator refuses; several times over, because a target that makes a
 * packet (REJECT) sends it through tables while this walk waits.
 *
 * A rule's counters go up when all its conditions hold, before its target runs. Bytes are the packet's IP length, of an
 * offloaded packet as a whole, as the kernel counts skb->len. Counters live in memory given from outside.
 *
 * Limits: a table never judges what `parse` has refused, so header fields can be read without asking again.
 *
 * @module
 */
import { type Hook, Reason, type Verdict } from "../netfilter.ts";
import * as netfilterModule from "../netfilter.ts";
import * as addressModule from "../packet/address.ts";
import * as ipv4Module from "../packet/ipv4.ts";
import * as ipv6Module from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import type { Match, TableName, Target } from "./extension.ts";
import * as extensionModule from "./extension.ts";
import * as rowModule from "./row.ts";
import type { RowIndex } from "./row_index.ts";

// Constants of this module, not imports: each new flow reads them (CONTRIBUTING.md).
const { ACCEPT, CONTINUE, DROP, NEW, NO_CT, RETURN, TCP } = netfilterModule;
const { ADDRESS_WORDS } = addressModule;
const { IPV4_DESTINATION, IPV4_SOURCE } = ipv4Module;
const { IPV6_DESTINATION, IPV6_SOURCE } = ipv6Module;
const { NO_FLOW } = extensionModule;
const {
  FLAGS,
  SRC,
  DST,
  PROTOCOL,
  IN,
  OUT,
  MATCHES,
  MATCHES_END,
  ACTION,
  ARGUMENT,
  RELATIONS,
  HEADER,
  SPORT_MIN,
  SPORT_MAX,
  DPORT_MIN,
  DPORT_MAX,
  INDEX,
  ROW_WORDS,
  ROW_SRC,
  ROW_SRC_WIDE,
  ROW_SRC_INVERT,
  ROW_DST,
  ROW_DST_WIDE,
  ROW_DST_INVERT,
  ROW_PROTOCOL,
  ROW_PROTOCOL_INVERT,
  ROW_IN,
  ROW_OUT,
  ROW_FRAGMENT,
  ROW_FRAGMENT_INVERT,
  ROW_RELATION,
  ROW_PORTS,
  ROW_SPORT_INVERT,
  ROW_DPORT_INVERT,
  ROW_CHANGES,
  ROW_INDEXED,
  ACTION_VERDICT,
  ACTION_CONTINUE,
  ACTION_JUMP,
  ACTION_GOTO,
  ACTION_POLICY,
} = rowModule;

/** What else stands in the IP header. */
const ROW_NETWORK = ROW_SRC | ROW_DST | ROW_FRAGMENT;

const RULE_DROP = Reason["rule-drop"], POLICY_DROP = Reason["policy-drop"];
const HOTDROP = Reason["match-hotdrop"], LOOP = Reason.loop;
/** Stands for the protocol when the extension headers end before it: a rule that asks for one drops the packet. */
const CUT = -1;

/** A table's rows and what they point to; made by `compileTable`. */
export interface Program {
  readonly name: TableName;
  /** `ROW_WORDS` words per row. */
  readonly rows: Int32Array;
  /** For each set one byte per interface index, 1 where it is accepted. */
  readonly interfaceSets: Uint8Array;
  readonly matches: readonly Match[];
  readonly targets: readonly Target[];
  readonly indexes: readonly RowIndex[];
  /** First row of the built-in chain of each hook, -1 where the table has none. */
  readonly entries: Int32Array;
  /** Policy row of the built-in chain of each hook. */
  readonly underflows: Int32Array;
  /** User chains. */
  readonly chains: number;
}

/** Walks tables in place of themselves while it is active, and does the same. */
export interface WalkRecorder {
  readonly active: boolean;
  walk(table: Table, hook: Hook, p: Packet): Verdict;
}

/** How many walks of one table may wait for each other: packets made by targets of packets made by targets. */
const NESTING = 4;

/** One table of one family. */
export class Table {
  readonly name: TableName;
  /** Packets and bytes of each row: `counters[2 * row]`, `counters[2 * row + 1]`. */
  readonly counters: Float64Array;
  readonly program: Program;
  /** Who takes notes of walks, if anybody does. */
  recorder: WalkRecorder | null = null;
  readonly #rows: Int32Array;
  readonly #sets: Uint8Array;
  readonly #matches: readonly Match[];
  readonly #targets: readonly Target[];
  readonly #indexes: readonly RowIndex[];
  readonly #entries: Int32Array;
  readonly #underflows: Int32Array;
  readonly #stack: Int32Array;
  /** First free place of the stack: not 0 while a walk waits for a nested one. */
  #top = 0;

  constructor(program: Program, counters: Float64Array) {
    if (counters.length < 2 * (program.rows.length / ROW_WORDS)) {
      throw new RangeError("counters are fewer than the table's rows");
    }
    this.name = program.name;
    this.program = program;
    this.counters = counters;
    this.#rows = program.rows;
    this.#sets = program.interfaceSets;
    this.#matches = program.matches;
    this.#targets = program.targets;
    this.#indexes = program.indexes;
    this.#entries = program.entries;
    this.#underflows = program.underflows;
    this.#stack = new Int32Array((program.chains + 1) * NESTING);
  }

  /** Walks the built-in chain of a hook. ACCEPT when the table has none there. */
  run(hook: Hook, p: Packet): Verdict {
    const row = this.#entries[hook];
    if (row < 0) return ACCEPT;
    if (this.recorder !== null && this.recorder.active) return this.recorder.walk(this, hook, p);
    return row === this.#underflows[hook] ? this.#policy(row, p) : this.#walk(row, hook, p);
  }

  #walk(row: number, hook: Hook, p: Packet): Verdict {
    const rows = this.#rows, sets = this.#sets, stack = this.#stack, bottom = this.#top;
    const protocol = p.headerChainCut ? CUT : p.protocol;
    let top = bottom;
    /** The index that has looked the packet up as it is, in the chain where the walk is. */
    let index: RowIndex | null = null;
    p.hotdrop = false;
    for (;;) {
      const at = row * ROW_WORDS, flags = rows[at + FLAGS];
      judged: {
        if (
          (flags & ROW_PROTOCOL) !== 0 && protocol !== CUT &&
            (protocol === rows[at + PROTOCOL]) === ((flags & ROW_PROTOCOL_INVERT) !== 0) ||
          (flags & ROW_IN) !== 0 && sets[rows[at + IN] + p.inInterface] === 0 ||
          (flags & ROW_OUT) !== 0 && sets[rows[at + OUT] + p.outInterface] === 0 ||
          (flags & ROW_NETWORK) !== 0 && !networkHolds(p, rows, at, flags)
        ) break judged;
        if (protocol === CUT && (flags & ROW_PROTOCOL) !== 0) return p.drop(HOTDROP);
        if (
          (flags & ROW_PORTS) !== 0 && !portsHold(p, rows, at, flags) ||
          (flags & ROW_RELATION) !== 0 && (rows[at + RELATIONS] & relationOf(p)) === 0
        ) {
          if (p.hotdrop) return p.drop(HOTDROP);
          break judged;
        }
        const end = rows[at + MATCHES_END];
        let m = rows[at + MATCHES];
        if (m < end) {
          while (m < end && this.#matches[m].match(p)) m++;
          if ((flags & ROW_CHANGES) !== 0) index = null;
          if (m < end) {
            if (p.hotdrop) return p.drop(HOTDROP);
            break judged;
          }
        }

        const action = rows[at + ACTION];
        if (action === ACTION_POLICY) return this.#policy(row, p);
        this.#count(row, p);
        const argument = rows[at + ARGUMENT];
        switch (action) {
          case ACTION_CONTINUE:
            row++;
            continue;
          case ACTION_VERDICT:
            if (argument === RETURN) break;
            return argument === DROP ? p.drop(RULE_DROP) : argument as Verdict;
          case ACTION_JUMP:
            if (top === stack.length) return p.drop(LOOP);
            stack[top++] = row + 1;
            row = argument;
            index = null;
            continue;
          case ACTION_GOTO:
            row = argument;
            index = null;
            continue;
          default: {
            // A target that makes a packet may bring it back here: what is on the stack must stay.
            this.#top = top;
            const verdict = this.#targets[argument].target(p);
            this.#top = bottom;
            index = null;
            if (verdict === CONTINUE) {
              row++;
              continue;
            }
            if (verdict === RETURN) break;
            return verdict === DROP ? p.drop(RULE_DROP) : verdict;
          }
        }
        row = top === bottom ? this.#underflows[hook] : stack[--top];
        index = null;
        continue;
      }

      // It does not hold: to the next one that can.
      row++;
      if ((flags & ROW_INDEXED) === 0) continue;
      if (index === null) index = this.#indexes[rows[at + INDEX]].start(row, p, protocol);
      row = index.next(row);
    }
  }

  #count(row: number, p: Packet): void {
    const counters = this.counters;
    counters[2 * row]++;
    counters[2 * row + 1] += p.length;
  }

  #policy(row: number, p: Packet): Verdict {
    this.#count(row, p);
    const verdict = this.#rows[row * ROW_WORDS + ARGUMENT] as Verdict;
    return verdict === DROP ? p.drop(POLICY_DROP) : verdict;
  }
}

/** The packet's bit in RELATIONS. */
export function relationOf(p: Packet): number {
  return p.ct !== NO_CT || p.ctinfo >= NEW ? 1 << p.ctinfo : NO_FLOW;
}

/** Addresses and fragment. */
export function networkHolds(p: Packet, rows: Int32Array, at: number, flags: number): boolean {
  if ((flags & ROW_FRAGMENT) !== 0 && (p.fragmentOffset !== 0) === ((flags & ROW_FRAGMENT_INVERT) !== 0)) {
    return false;
  }
  const view = p.view, ipv4 = p.family === 4;
  if ((flags & ROW_SRC) !== 0) {
    const wide = (flags & ROW_SRC_WIDE) !== 0;
    const equal = addressHolds(view, ipv4 ? IPV4_SOURCE : IPV6_SOURCE, rows, at + SRC, wide);
    if (equal === ((flags & ROW_SRC_INVERT) !== 0)) return false;
  }
  if ((flags & ROW_DST) === 0) return true;
  const wide = (flags & ROW_DST_WIDE) !== 0;
  const equal = addressHolds(view, ipv4 ? IPV4_DESTINATION : IPV6_DESTINATION, rows, at + DST, wide);
  return equal !== ((flags & ROW_DST_INVERT) !== 0);
}

/** The address at `from` under the mask is the wanted one, which stands in `rows` in front of the mask. */
function addressHolds(view: DataView, from: number, rows: Int32Array, at: number, wide: boolean): boolean {
  const mask = at + ADDRESS_WORDS;
  if ((view.getInt32(from) & rows[mask]) !== rows[at]) return false;
  return !wide ||
    (view.getInt32(from + 4) & rows[mask + 1]) === rows[at + 1] &&
      (view.getInt32(from + 8) & rows[mask + 2]) === rows[at + 2] &&
      (view.getInt32(from + 12) & rows[mask + 3]) === rows[at + 3];
}

/** Ports as xt_tcpudp judges them. False with `p.hotdrop` when the header is cut. */
export function portsHold(p: Packet, rows: Int32Array, at: number, flags: number): boolean {
  if (p.fragmentOffset !== 0) {
    // RFC 1858: a fragment at offset 8 could overwrite the flags of one that has been judged. (IPv4 only: ip6tables
    // counts in bytes and asks for a 1.)
    if (p.fragmentOffset === 8 && p.family === 4 && p.protocol === TCP) p.hotdrop = true;
    return false;
  }
  const view = p.view, l4 = p.l4;
  if (p.length - l4 < rows[at + HEADER]) {
    p.hotdrop = true;
    return false;
  }
  const sport = view.getUint16(l4), dport = view.getUint16(l4 + 2);
  return (sport >= rows[at + SPORT_MIN] && sport <= rows[at + SPORT_MAX]) !==
      ((flags & ROW_SPORT_INVERT) !== 0) &&
    (dport >= rows[at + DPORT_MIN] && dport <= rows[at + DPORT_MAX]) !== ((flags & ROW_DPORT_INVERT) !== 0);
}
