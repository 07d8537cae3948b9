/**
 * A walk that takes notes: which counters a packet moves, and whether another packet of its flow, in the same direction
 * and from the same interface, is sure to move the same ones and to come out with the same verdict.
 *
 * The recorder walks the rows of a table as `Table.run` does, for a packet that is really on its way: everything
 * happens, and happens once. Beside that it looks at what each answer depends on (`Match.judges`, `Target.constant`):
 *
 * - What rows themselves ask for, addresses, ports, interfaces, protocol and relation, is the flow's.
 * - A match that judges the packet is a guard: the notes hold for packets of which it says the same again.
 * - Anything else ends the recording, and the packet goes on as ever. A condition that is not reached, because one in
 *   front of it fails, does no harm; nor does a guard in front of a flow's condition that fails, since it is all one
 *   what it says.
 */
import { CONTINUE, DROP, type Hook, NO_CT, Reason, RETURN, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import type { Match } from "./extension.ts";
import type { RowIndex } from "./row_index.ts";
import * as T from "./table.ts";
import * as R from "./row.ts";

const RULE_DROP = Reason["rule-drop"], POLICY_DROP = Reason["policy-drop"];
const HOTDROP = Reason["match-hotdrop"], LOOP = Reason.loop;

/** Most counters and guards that notes have room for. */
const MOST_ROWS = 256, MOST_GUARDS = 16;

/** Values of `Recorder.state`. */
export const IDLE = 0, RECORDING = 1, SPOILT = 2;

/** Takes notes of one packet at a time. */
export class Recorder implements T.WalkRecorder {
  /** IDLE, RECORDING, or SPOILT by a rule whose answer is not the flow's. */
  state = IDLE;
  /** Counters that went up by this packet, as places in the router's array of rule counters, in the order of walking. */
  readonly rows: Int32Array = new Int32Array(MOST_ROWS);
  rowCount = 0;
  /** What else was asked of the packet, and the answers. */
  readonly guards: Match[] = [];
  readonly answers: Uint8Array = new Uint8Array(MOST_GUARDS);
  guardCount = 0;

  readonly #counters: Float64Array;
  #stack = new Int32Array(0);
  #stateless = false;

  /** `counters` are those of the router, of which each table has a part. */
  constructor(counters: Float64Array) {
    this.#counters = counters;
  }

  /** Watches a table's walks. */
  attach(table: T.Table): void {
    table.recorder = this;
    // Room for every user chain at once: a chain that calls itself is a loop, which the validator refuses.
    const { chains } = table.program;
    if (chains > this.#stack.length) this.#stack = new Int32Array(chains);
  }

  /** From now on. `stateless`: of interest only as long as the packet has no flow. */
  begin(stateless: boolean): void {
    this.state = RECORDING;
    this.rowCount = this.guardCount = 0;
    this.#stateless = stateless;
  }

  /** No more of the packet in hand; the notes can still be read. */
  end(): void {
    this.state = IDLE;
  }

  /** Away with the notes. */
  forget(): void {
    this.rowCount = this.guardCount = 0;
  }

  get active(): boolean {
    return this.state === RECORDING;
  }

  /** What `Table.run` does, with notes. The table has a chain for the hook. */
  walk(table: T.Table, hook: Hook, p: Packet): Verdict {
    const { rows, interfaceSets: sets, targets, indexes, entries, underflows } = table.program;
    const stack = this.#stack;
    let row = entries[hook], top = 0;
    let index: RowIndex | null = null;
    if (this.#stateless && p.ct !== NO_CT) this.state = SPOILT;
    p.hotdrop = false;
    for (;;) {
      const at = row * R.ROW_WORDS, flags = rows[at + R.FLAGS];
      if (
        (flags & R.ROW_PROTOCOL) !== 0 &&
          (p.protocol === rows[at + R.PROTOCOL]) === ((flags & R.ROW_PROTOCOL_INVERT) !== 0) ||
        (flags & R.ROW_IN) !== 0 && sets[rows[at + R.IN] + p.inInterface] === 0 ||
        (flags & R.ROW_OUT) !== 0 && sets[rows[at + R.OUT] + p.outInterface] === 0 ||
        !T.networkHolds(p, rows, at, flags) ||
        (flags & R.ROW_PORTS) !== 0 && !T.portsHold(p, rows, at, flags) ||
        (flags & R.ROW_RELATION) !== 0 && (rows[at + R.RELATIONS] & T.relationOf(p)) === 0 ||
        !this.#matches(table.program, at, p)
      ) {
        if (p.hotdrop) return p.drop(HOTDROP);
        if ((flags & R.ROW_CHANGES) !== 0) index = null;
        row++;
        if ((flags & R.ROW_INDEXED) === 0) continue;
        if (index === null) index = indexes[rows[at + R.INDEX]].start(row, p, p.protocol);
        row = index.next(row);
        continue;
      }

      this.#count(table, row, p);
      const action = rows[at + R.ACTION], argument = rows[at + R.ARGUMENT];
      index = null;
      switch (action) {
        case R.ACTION_POLICY:
          return argument === DROP ? p.drop(POLICY_DROP) : argument as Verdict;
        case R.ACTION_CONTINUE:
          row++;
          continue;
        case R.ACTION_VERDICT:
          if (argument === RETURN) break;
          return argument === DROP ? p.drop(RULE_DROP) : argument as Verdict;
        case R.ACTION_JUMP:
          if (top === stack.length) return p.drop(LOOP);
          stack[top++] = row + 1;
          row = argument;
          continue;
        case R.ACTION_GOTO:
          row = argument;
          continue;
        default: {
          const target = targets[argument];
          // Before it acts: a packet that it makes is not to be recorded.
          if (target.constant !== true) this.state = SPOILT;
          const verdict = target.target(p);
          if (verdict === CONTINUE) {
            row++;
            continue;
          }
          if (verdict === RETURN) break;
          return verdict === DROP ? p.drop(RULE_DROP) : verdict;
        }
      }
      row = top === 0 ? underflows[hook] : stack[--top];
    }
  }

  /** Asks a rule's match objects in their order. */
  #matches(program: T.Program, at: number, p: Packet): boolean {
    const end = program.rows[at + R.MATCHES_END];
    for (let m = program.rows[at + R.MATCHES]; m < end; m++) {
      const match = program.matches[m];
      if (
        !(match.parts === undefined
          ? this.#ask(program, match, m, end, p)
          : this.#parts(program, match, m, end, p))
      ) {
        return false;
      }
    }
    return true;
  }

  #parts(program: T.Program, match: Match, m: number, end: number, p: Packet): boolean {
    const parts = match.parts!;
    for (let i = 0; i < parts.length; i++) if (!this.#ask(program, parts[i], m, end, p)) return false;
    return true;
  }

  #ask(program: T.Program, match: Match, m: number, end: number, p: Packet): boolean {
    if (match.judges === "flow") return match.match(p);
    if (match.judges !== "packet") {
      this.state = SPOILT;
      return match.match(p);
    }
    if (this.#refusedAnyway(program, m + 1, end, p)) return false;
    const answer = match.match(p);
    if (this.guardCount === MOST_GUARDS) {
      this.state = SPOILT;
      return answer;
    }
    this.guards[this.guardCount] = match;
    this.answers[this.guardCount++] = answer ? 1 : 0;
    return answer;
  }

  /** True if one of a rule's further matches refuses the flow, and none before it minds being asked or not. */
  #refusedAnyway({ matches }: T.Program, m: number, end: number, p: Packet): boolean {
    for (; m < end; m++) {
      const { judges } = matches[m];
      if (judges === undefined) return false;
      if (judges === "flow" && !matches[m].match(p)) return true;
    }
    return false;
  }

  /** Where the table's counters begin among the router's. */
  #base({ counters }: T.Table): number {
    return (counters.byteOffset - this.#counters.byteOffset) / counters.BYTES_PER_ELEMENT;
  }

  #count(table: T.Table, row: number, p: Packet): void {
    table.counters[2 * row]++;
    table.counters[2 * row + 1] += p.length;
    if (this.rowCount === MOST_ROWS) this.state = SPOILT;
    else this.rows[this.rowCount++] = this.#base(table) + 2 * row;
  }
}
