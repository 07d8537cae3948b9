/**
 * The router's state as one stretch of memory, over any ArrayBuffer: a mapped file when it runs, a plain one in
 * tests and in replay.
 *
 * ```
 *  page 0      header: WEIRSTAT, layout version, geometry, whose it is and since when
 *  page 1      control: command, status, heartbeat, command ring, totals     written by both threads, by Atomics
 *  then        drop counters, what conntrack has counted, the newest pinholes that helpers have opened, and events
 *  then        flows, expectations                                           read and written by their tables
 *  then        what belongs to one configuration (generation.ts), at the place that the header names
 * ```
 *
 * Life-cycle: `create` lays it out in zeroed memory and writes the magic last, so whoever finds the magic finds a
 * whole header. `open` believes only what it understands: another layout or a size that does not fit is refused
 * with the reason.
 *
 * Limits: one thread at a time writes each word; several data planes take turns by a lock. Counters are float64, exact
 * up to 2⁵³; a reader in another thread or process sees each of them whole, but not all of one moment. Of packets'
 * payloads nothing is kept here but the announcements that helpers with `record` have found.
 */
import { EventRing } from "./conntrack/events.ts";
import { EXP_WORDS, ExpectTable } from "./conntrack/expect.ts";
import { FLOW_WORDS } from "./conntrack/flow.ts";
import { Pinholes } from "./conntrack/pinholes.ts";
import { FlowTable } from "./conntrack/table.ts";
import { STATS } from "./conntrack/tracker.ts";
import { align, Generation, type GenerationGeometry, INTERFACE_COUNTERS, LINE, PAGE } from "./generation.ts";
import { REASONS } from "./netfilter.ts";
import { PIECE } from "./space.ts";

/** Grows with every change of the layout, flow and expectation records included. */
export const LAYOUT_VERSION = 8;

/** "WEIRSTAT" as two little-endian words. */
const MAGIC_0 = 0x52494557, MAGIC_1 = 0x54415453;

// ── header words ────────────────────────────────────────────────────────────────────────────────────────────────
const MAGIC = 0, VERSION = 2, REASON_COUNT = 4, FLOWS = 6, EXPECTS = 7;
const FLOW_SIZE = 8, EXPECT_SIZE = 9, PID = 10, RESTARTS = 11;
/**
 * Float64 index: milliseconds since 1970 when it began, bytes in front of the generations, ticks since boot when the
 * process began.
 */
const STARTED = 8, BYTES = 9, PROCESS_STARTED = 10;
/** Four words that differ from boot to boot. */
const BOOT = 24;
/** Page at which the generation in force begins. */
const GENERATION = 28;

// ── control words ───────────────────────────────────────────────────────────────────────────────────────────────
/** What the control plane wants: the data planes of a generation to route (from COMMAND_RUN on), or COMMAND_STOP. */
export const CONTROL_COMMAND = 0;
/** What the data plane does: STATUS_*. */
export const CONTROL_STATUS = 1;
/**
 * Grows with every turn of a data plane's loop: the n-th one's at CONTROL_HEARTBEAT + n * HEARTBEAT_STRIDE, for up to
 * 64.
 */
export const CONTROL_HEARTBEAT = 512, HEARTBEAT_STRIDE = 8;
/** Flows and expectations in the tables, as of the last batch. */
export const CONTROL_FLOWS = 3, CONTROL_EXPECTS = 4;
/** Workers of the data plane that are still to leave, and whether the next ones have taken over: `Handover`'s. */
export const CONTROL_HANDED = 16, CONTROL_TAKEN = 32;
/** Entries ever put into the ring, and ever carried out. */
const RING_HEAD = 6, RING_TAIL = 7;
/** The ring. */
const RING = 64, RING_ENTRIES = 32;
/** Words of one command: what, then its arguments. */
export const COMMAND_WORDS = 8;
/** Float64 index of the totals. */
const TOTALS = (RING + RING_ENTRIES * COMMAND_WORDS) / 2;

/** Values of CONTROL_COMMAND. */
export const COMMAND_RUN = 0, COMMAND_STOP = -1;
/**
 * Commands in the ring, each with its arguments and, in their place, what it answers:
 * helper → nothing; helper → flows and expectations let go of; nothing → nothing; bytes of a request in the mailbox → 1
 * if it was carried out, and bytes of the answer there; handle and id of up to DELETED_TOGETHER flows, and who asks →
 * how many it deleted; handle + 1 to begin behind, and who asks → how many it deleted, and where to go on, 0 at the
 * end.
 */
export const LOAD_HELPER = 1,
  UNLOAD_HELPER = 2,
  ZERO_RULES = 3,
  CHANGE_SET = 4,
  DELETE_FLOWS = 5,
  FLUSH_FLOWS = 6;
/** Flows that one DELETE_FLOWS names. */
export const DELETED_TOGETHER = 3;
/** Values of CONTROL_STATUS; 0 until it runs. */
export const STATUS_RUNNING = 1, STATUS_STOPPED = 2;

/** Index in `Memory.totals`: packets and bytes read from the devices, packets and bytes written to them. */
export const TOTAL_RX_PACKETS = 0, TOTAL_RX_BYTES = 1, TOTAL_TX_PACKETS = 2, TOTAL_TX_BYTES = 3;

export { INTERFACE_COUNTERS };
/** What they count. A packet that the device handed over or took in one piece is one, whatever its size. */
export const RX_PACKETS = 0, RX_BYTES = 1, RX_DROPS = 2, TX_PACKETS = 3, TX_BYTES = 4, TX_DROPS = 5;

/** How much room there is. */
export interface Geometry extends GenerationGeometry {
  /** Flows (net.netfilter.nf_conntrack_max). */
  readonly flows: number;
  /** Expectations (net.netfilter.nf_conntrack_expect_max). */
  readonly expects: number;
}

/** Whose the memory is. */
export interface Owner {
  /** Process id, 0 for memory that no process shares. */
  readonly pid: number;
  /** When that process began, in ticks since boot (/proc/PID/stat, field 22): pid and this name one process. */
  readonly processStarted: number;
  /** Milliseconds since 1970 when it began to route. */
  readonly started: number;
  /** Four words that differ from boot to boot, when the memory may outlive one; timers mean nothing after it. */
  readonly boot?: Int32Array;
}

/** Byte offsets of the sections. */
interface Layout {
  readonly drops: number;
  readonly stats: number;
  readonly pinholes: number;
  readonly events: number;
  readonly flows: number;
  readonly expects: number;
  readonly bytes: number;
}

function layoutOf(g: Pick<Geometry, "flows" | "expects">, reasons: number): Layout {
  const drops = 2 * PAGE;
  const stats = align(drops + reasons * 16, LINE);
  const pinholes = align(stats + STATS.length * 8, PAGE);
  const events = align(pinholes + Pinholes.BYTES, PAGE);
  const flows = align(events + EventRing.bytes(), PAGE);
  const expects = align(flows + FlowTable.bytes(g.flows), PAGE);
  return {
    drops,
    stats,
    pinholes,
    events,
    flows,
    expects,
    bytes: align(expects + ExpectTable.bytes(g.expects), PAGE),
  };
}

function checkCount(name: keyof Geometry, value: number, least: number): void {
  if (!Number.isInteger(value) || value < least || value > 0x7fffffff) {
    throw new RangeError(`state geometry: ${name} is ${value}`);
  }
}

/** State that cannot be used, and why. */
export class MemoryError extends Error {
  override readonly name = "MemoryError";
}

/** The state of one router. */
export class Memory {
  /** Room of each kind. */
  readonly geometry: Geometry;
  /** Drop reasons counted: `REASONS` of the program that made it. */
  readonly reasons: number;
  /** CONTROL_* words; for Atomics. */
  readonly control: Int32Array<ArrayBuffer>;
  /** TOTAL_* counters. */
  readonly totals: Float64Array<ArrayBuffer>;
  /** Packets and bytes by reason: `drops[reason * 2]`, `drops[reason * 2 + 1]`. */
  readonly drops: Float64Array<ArrayBuffer>;
  /** The generation's, here since devices count into it, the totals and the drops (`DeviceCounters`). */
  readonly interfaces: Float64Array<ArrayBuffer>;
  /** What conntrack has counted, by STAT_*. */
  readonly stats: Float64Array<ArrayBuffer>;
  /** What helpers have opened. */
  readonly pinholes: Pinholes;
  /** What happens to flows, for those who listen. */
  readonly events: EventRing;
  /** Where the flow table's memory begins in `buffer`: `new FlowTable(buffer, flowsOffset, geometry.flows, …)`. */
  readonly flowsOffset: number;
  /** Where the expectation table's memory begins. */
  readonly expectsOffset: number;

  /** What belongs to one configuration: the one in force, or the one that is to be. */
  readonly generation: Generation;

  readonly #header: Int32Array<ArrayBuffer>;
  readonly #times: Float64Array<ArrayBuffer>;

  private constructor(
    readonly buffer: ArrayBuffer,
    flows: number,
    expects: number,
    reasons: number,
    generation: Generation,
  ) {
    const layout = layoutOf({ flows, expects }, reasons);
    this.geometry = { ...generation.geometry, flows, expects };
    this.generation = generation;
    this.reasons = reasons;
    this.#header = new Int32Array(buffer, 0, PAGE / 4);
    this.#times = new Float64Array(buffer, 0, PAGE / 8);
    this.control = new Int32Array(buffer, PAGE, PAGE / 4);
    this.totals = new Float64Array(buffer, PAGE + TOTALS * 8, 4);
    this.drops = new Float64Array(buffer, layout.drops, reasons * 2);
    this.interfaces = generation.interfaces;
    this.stats = new Float64Array(buffer, layout.stats, STATS.length);
    this.pinholes = new Pinholes(buffer, layout.pinholes);
    this.events = new EventRing(buffer, layout.events);
    this.flowsOffset = layout.flows;
    this.expectsOffset = layout.expects;
  }

  /** Bytes that a geometry takes. */
  static bytes(geometry: Geometry): number {
    checkCount("interfaces", geometry.interfaces, 0);
    checkCount("rules", geometry.rules, 0);
    checkCount("flows", geometry.flows, 1);
    checkCount("expects", geometry.expects, 1);
    return layoutOf(geometry, REASONS.length).bytes + Generation.bytes(geometry);
  }

  /**
   * What of the memory is used from the start, and so has to be there: all but the places of flows and events to come.
   * Pairs of offsets, in their order.
   */
  static beginnings(geometry: Geometry): [from: number, to: number][] {
    const { events, flows, expects } = layoutOf(geometry, REASONS.length), end = Memory.bytes(geometry);
    const parts = FlowTable.beginnings(geometry.flows).map(([from, to]) => [flows + from, flows + to]);
    const wanted = [[0, events + PAGE], ...parts, [expects, end]].sort(([a], [b]) => a - b);
    const merged: [number, number][] = [];
    for (const [from, to] of wanted) {
      // Whole pieces, for those that ask for more of one.
      const first = Math.floor(from / PIECE) * PIECE, last = Math.min(Math.ceil(to / PIECE) * PIECE, end);
      const before = merged.at(-1);
      if (before !== undefined && before[1] >= first) before[1] = Math.max(before[1], last);
      else merged.push([first, last]);
    }
    return merged;
  }

  /** Lays out memory that is all zero. */
  static create(buffer: ArrayBuffer, geometry: Geometry, owner?: Owner): Memory {
    const bytes = Memory.bytes(geometry);
    if (buffer.byteLength < bytes) {
      throw new RangeError(`state takes ${bytes} bytes, there are ${buffer.byteLength}`);
    }
    const h = new Int32Array(buffer, 0, PAGE / 4), at = layoutOf(geometry, REASONS.length).bytes;
    if (h[MAGIC] !== 0) throw new MemoryError("the memory holds state already");
    const generation = Generation.create(buffer, at, geometry);
    const memory = new Memory(buffer, geometry.flows, geometry.expects, REASONS.length, generation);
    h[VERSION] = LAYOUT_VERSION;
    h[REASON_COUNT] = REASONS.length;
    h[FLOWS] = geometry.flows;
    h[EXPECTS] = geometry.expects;
    h[FLOW_SIZE] = FLOW_WORDS;
    h[EXPECT_SIZE] = EXP_WORDS;
    memory.#times[BYTES] = at;
    memory.publish();
    if (owner !== undefined) memory.adopt(owner);
    h[MAGIC + 1] = MAGIC_1;
    Atomics.store(h, MAGIC, MAGIC_0);
    return memory;
  }

  /**
   * Memory that `create` laid out, perhaps in another process. Throws a `MemoryError` with the reason. With `at` that
   * generation of it, whichever is in force.
   */
  static open(buffer: ArrayBuffer, at?: number): Memory {
    if (buffer.byteLength < 2 * PAGE) {
      throw new MemoryError(`not a Weir state: ${buffer.byteLength} bytes are too few for its header`);
    }
    const h = new Int32Array(buffer, 0, PAGE / 4);
    if (Atomics.load(h, MAGIC) !== MAGIC_0 || h[MAGIC + 1] !== MAGIC_1) {
      throw new MemoryError("not a Weir state: it does not begin with WEIRSTAT");
    }
    if (h[VERSION] !== LAYOUT_VERSION) {
      throw new MemoryError(
        `the state has layout version ${h[VERSION]}, this Weir reads ${LAYOUT_VERSION}: ` +
          "use the Weir that wrote it, or remove it",
      );
    }
    if (h[FLOW_SIZE] !== FLOW_WORDS || h[EXPECT_SIZE] !== EXP_WORDS) {
      throw new MemoryError(
        `the state has records of ${h[FLOW_SIZE]} and ${h[EXPECT_SIZE]} words, ` +
          `this Weir reads ${FLOW_WORDS} and ${EXP_WORDS}`,
      );
    }
    const flows = h[FLOWS], expects = h[EXPECTS], reasons = h[REASON_COUNT];
    if (flows < 1 || expects < 1 || reasons < 1) {
      throw new MemoryError("the state's header is damaged: its geometry makes no sense");
    }
    const { bytes } = layoutOf({ flows, expects }, reasons);
    if (bytes !== new Float64Array(buffer, 0, PAGE / 8)[BYTES]) {
      throw new MemoryError("the state's header is damaged: its size and its geometry disagree");
    }
    if (buffer.byteLength < bytes) {
      throw new MemoryError(`the state is cut short: ${buffer.byteLength} of ${bytes} bytes`);
    }
    const generation = Generation.open(buffer, at ?? Atomics.load(h, GENERATION) * PAGE);
    if (generation === null) {
      throw new MemoryError("the state is damaged: what its header names is not there");
    }
    return new Memory(buffer, flows, expects, reasons, generation);
  }

  /** Where another generation can be laid out, beside the one in force. */
  place(geometry: GenerationGeometry): number {
    const first = this.#times[BYTES], { at, bytes } = this.generation;
    return first + Generation.bytes(geometry) <= at ? first : at + bytes;
  }

  /** Lays out another generation at a place, over what was there; `publish` puts it in force. */
  successor(geometry: GenerationGeometry, at = this.place(geometry)): Memory {
    new Uint8Array(this.buffer, at, Generation.bytes(geometry)).fill(0);
    const { flows, expects } = this.geometry;
    return new Memory(
      this.buffer,
      flows,
      expects,
      this.reasons,
      Generation.create(this.buffer, at, geometry),
    );
  }

  /** Puts its generation in force: from now on `open` finds that one. */
  publish(): void {
    Atomics.store(this.#header, GENERATION, this.generation.at / PAGE);
  }

  /** Bytes up to the end of its generation. */
  get end(): number {
    return this.generation.at + this.generation.bytes;
  }

  /** Takes the state over for a process; the flows stay. The control area and its totals begin anew. */
  adopt(owner: Owner): void {
    const h = this.#header;
    if (h[MAGIC] !== 0) h[RESTARTS]++;
    this.control.fill(0);
    this.totals.fill(0);
    this.events.wanted = 0; // Whoever listened has lost the process that was listened to.
    this.#times[STARTED] = owner.started;
    this.#times[PROCESS_STARTED] = owner.processStarted;
    if (owner.boot !== undefined) h.set(owner.boot.subarray(0, 4), BOOT);
    h[PID] = owner.pid;
  }

  /** Process that has it, and since when. */
  get owner(): Owner {
    const h = this.#header;
    return {
      pid: h[PID],
      processStarted: this.#times[PROCESS_STARTED],
      started: this.#times[STARTED],
      boot: h.slice(BOOT, BOOT + 4),
    };
  }

  /** How often a process took it over from another. */
  get restarts(): number {
    return this.#header[RESTARTS];
  }

  /** Counts a packet that died of `reason`. */
  countDrop(reason: number, bytes: number): void {
    const d = this.drops;
    d[reason * 2]++;
    d[reason * 2 + 1] += bytes;
  }

  /** Packets dropped, for whatever reason. */
  get dropped(): number {
    let sum = 0;
    for (let i = 1; i < this.reasons; i++) sum += this.drops[i * 2];
    return sum;
  }

  /** Control plane: puts a command and up to seven arguments into the ring: its number, −1 when the ring is full. */
  send(command: number, args: readonly number[] = []): number {
    const c = this.control;
    const head = c[RING_HEAD];
    if (((head - Atomics.load(c, RING_TAIL)) | 0) >= RING_ENTRIES) return -1;
    const at = RING + (head & (RING_ENTRIES - 1)) * COMMAND_WORDS;
    c[at] = command;
    for (let i = 1; i < COMMAND_WORDS; i++) c[at + i] = args[i - 1] ?? 0;
    Atomics.store(c, RING_HEAD, (head + 1) | 0);
    return head;
  }

  /** Control plane: the words that a command was answered with, null while it has not been carried out. */
  answered(number: number): Int32Array | null {
    const c = this.control;
    if (((Atomics.load(c, RING_TAIL) - number) | 0) <= 0) return null;
    const at = RING + (number & (RING_ENTRIES - 1)) * COMMAND_WORDS;
    return c.slice(at, at + COMMAND_WORDS);
  }

  /** Data plane: reads the oldest command into `out`, COMMAND_WORDS words. False when there is none. */
  take(out: Int32Array): boolean {
    const c = this.control;
    const tail = c[RING_TAIL];
    if (tail === Atomics.load(c, RING_HEAD)) return false;
    const at = RING + (tail & (RING_ENTRIES - 1)) * COMMAND_WORDS;
    for (let i = 0; i < COMMAND_WORDS; i++) out[i] = c[at + i];
    return true;
  }

  /** Data plane: the command that was taken has been carried out, and `words` is what it answers. */
  answer(words: Int32Array): void {
    const c = this.control;
    const tail = c[RING_TAIL];
    const at = RING + (tail & (RING_ENTRIES - 1)) * COMMAND_WORDS;
    for (let i = 0; i < COMMAND_WORDS; i++) c[at + i] = words[i];
    Atomics.store(c, RING_TAIL, (tail + 1) | 0);
  }
}
