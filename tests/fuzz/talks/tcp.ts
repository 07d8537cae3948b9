/**
 * TCP as hosts speak it: handshake with options, data both ways, SACK, retransmission, all ways to an end.
 *
 * @module
 */
import { type Payload, payloadBytes, tcp, type TcpOption } from "../../kit/packets.ts";
import type { Chance } from "../chance.ts";
import type { Family } from "../net.ts";
import type { End, Step } from "../steps.ts";
import { ends, type Side, Talk } from "./talk.ts";

/** A connection. */
export class Tcp extends Talk {
  /** Next sequence number of each end, and what each has acknowledged of the other. */
  readonly next: [number, number];
  readonly acked: [number, number];
  readonly #isn: readonly [number, number];
  readonly #sack: boolean;
  readonly #stamps: boolean;
  readonly #scale: readonly [number, number] | null;
  #clock: number;

  constructor(
    c: Chance,
    number: number,
    family: Family,
    sides: readonly [Side, Side],
    isn?: readonly [number, number],
  ) {
    super(c, number, family, sides);
    const start = () =>
      c.weighted<() => number>([[5, () => c.word()], [1, () => 0xfffffff0 + c.below(16)]])();
    this.#isn = isn ?? [start(), start()];
    this.next = [this.#isn[0], this.#isn[1]];
    this.acked = [0, 0];
    this.#sack = c.is(0.6);
    this.#stamps = c.is(0.5);
    this.#scale = c.is(0.6) ? [c.below(15), c.below(15)] : null;
    this.#clock = c.below(1 << 30);
  }

  /** One segment; `seq` and `ack` follow from what was said before. */
  segment(
    from: End,
    flags: string,
    payload: Payload = "",
    o: Partial<Parameters<typeof tcp>[0]> = {},
    more: Partial<Step> = {},
  ): void {
    const bytes = payloadBytes(payload);
    this.send(from, this.make(from, flags, bytes, o), more);
    if (o.seq === undefined) {
      this.next[from] =
        (this.next[from] + bytes.length + (flags.includes("S") ? 1 : 0) + (flags.includes("F") ? 1 : 0)) >>>
        0;
    }
    if (flags.includes("A") && o.ack === undefined) this.acked[from] = this.next[1 - from];
  }

  make(
    from: End,
    flags: string,
    payload: Payload,
    o: Partial<Parameters<typeof tcp>[0]> = {},
  ): Uint8Array<ArrayBuffer> {
    const options: TcpOption[] = [];
    const syn = flags.includes("S");
    if (syn) {
      options.push({ mss: this.c.pick([1460, 536, 8960]) });
      if (this.#sack) options.push({ sackPermitted: true });
    }
    if (this.#stamps) {
      if (!syn) options.push({ nop: true }, { nop: true });
      options.push({ timestamp: [this.#clock++, syn && !flags.includes("A") ? 0 : 77] });
    }
    if (syn && this.#scale !== null) options.push({ nop: true }, { wscale: this.#scale[from] });
    return tcp({
      ...this.head(from),
      flags,
      seq: this.next[from],
      ack: flags.includes("A") ? this.next[1 - from] : 0,
      win: this.c.pick([65535, 65535, 8192, 1000, 512]),
      options,
      payload,
      ...o,
    });
  }

  /** The handshake. */
  open(more: Partial<Step> = {}): void {
    this.segment(0, this.c.is(0.1) ? "SEC" : "S", "", {}, more);
    if (this.c.is(0.1)) this.steps.push(this.steps[this.steps.length - 1]);
    this.segment(1, "SA");
    this.segment(0, "A");
  }

  /** Both begin at once (RFC 9293, figure 8). */
  openBoth(): void {
    this.segment(0, "S");
    this.next[1] = this.#isn[1];
    this.send(1, this.make(1, "S", "", { ack: 0 }));
    this.send(0, this.make(0, "SA", "", { seq: this.#isn[0], ack: (this.#isn[1] + 1) >>> 0 }));
    this.segment(1, "SA");
  }

  /** Data and its acknowledgement. */
  data(from: End, payload: Payload): void {
    const c = this.c;
    const seq = this.next[from], bytes = payloadBytes(payload);
    if (c.is(0.08) && bytes.length > 1) { // Lost on the way in: the rest comes first, and SACK says so.
      const half = bytes.length >> 1, later = (seq + half) >>> 0;
      this.send(from, this.make(from, "PA", bytes.slice(half), { seq: later }));
      const sack: TcpOption[] = this.#sack
        ? [{ nop: true }, { nop: true }, { sack: [[later, (seq + bytes.length) >>> 0]] }]
        : [];
      this.send((1 - from) as End, this.make((1 - from) as End, "A", "", { ack: seq, options: sack }));
      this.send(from, this.make(from, "A", bytes.slice(0, half), { seq }));
      this.next[from] = (seq + bytes.length) >>> 0;
    } else {
      this.segment(from, c.is(0.7) ? "PA" : "A", bytes);
      if (c.is(0.05)) this.send(from, this.make(from, "PA", bytes, { seq })); // once more
    }
    if (c.is(0.75)) this.segment((1 - from) as End, "A");
  }

  /** Some way to end. */
  close(): void {
    const c = this.c, first = c.pick([0, 1] as const), second = (1 - first) as End;
    c.weighted<() => void>([
      [5, () => {
        this.segment(first, "FA");
        if (c.is(0.5)) this.segment(second, "A");
        if (c.is(0.3)) this.data(second, c.between(1, 40));
        this.segment(second, "FA");
        this.segment(first, "A");
      }],
      [1, () => {
        this.segment(first, "FA");
        this.segment(second, "FA", "", { ack: (this.next[first] - 1) >>> 0 });
        this.segment(first, "A");
        this.segment(second, "A");
      }],
      [2, () => this.segment(first, "RA")],
      [1, () => this.segment(first, "R")],
      [0.5, () => this.segment(first, "R", "", { seq: (this.next[first] + c.between(1, 100000)) >>> 0 })],
      [1, () => {}],
    ])();
  }

  /** Initial sequence numbers that a successor in TIME_WAIT may use. */
  after(): [number, number] {
    return [
      (this.next[0] + this.c.between(-10, 100000)) >>> 0,
      (this.next[1] + this.c.between(0, 100000)) >>> 0,
    ];
  }
}

const SIZES = [0, 1, 5, 20, 100, 536, 1000, 1400], LONG_SIZES = [...SIZES, 1449, 2896, 10000, 60000];

/** Opens, talks, closes; sometimes comes again between the same ports. */
export function tcpTalk(c: Chance, number: number, family: Family, sides = ends(c, family)): Step[] {
  let isn: readonly [number, number] | undefined;
  const steps: Step[] = [];
  for (let again = c.is(0.2) ? c.between(1, 2) : 0; again >= 0; again--) {
    const t = new Tcp(c, number, family, sides, isn);
    c.weighted<() => void>([
      [10, () => t.open()],
      [0.5, () => t.openBoth()],
      [0.6, () => t.segment(0, "S")],
      [0.6, () => {
        t.segment(0, "S");
        t.segment(1, "RA");
      }],
      [0.6, () => {}], // picked up in the middle
      [0.3, () => { // a challenge: the server still knows an older connection
        t.segment(0, "S");
        t.send(1, t.make(1, "A", "", { ack: (t.next[0] + 5000) >>> 0, seq: c.word() }));
        t.send(0, t.make(0, "R", "", { seq: (t.next[0] + 5000) >>> 0 }));
        t.send(0, t.make(0, "S", "", { seq: (t.next[0] - 1) >>> 0 }));
        t.segment(1, "SA");
      }],
    ])();
    for (let n = c.weighted([[2, 0], [5, c.below(6)], [1, c.below(25)]]); n > 0; n--) {
      c.weighted<() => void>([
        [10, () => t.data(c.pick([0, 1]), c.pick(c.long ? LONG_SIZES : SIZES))],
        [1, () => t.segment(c.pick([0, 1]), "A", "", { win: 0 })],
        [1, () => { // keep-alive
          const from = c.pick([0, 1] as const);
          t.send(from, t.make(from, "A", "", { seq: (t.next[from] - 1) >>> 0 }));
        }],
        [0.7, () => t.complain(c.pick([0, 1]))],
        [0.3, () => t.send(0, t.make(0, "S", "", { seq: c.word() }))],
        [0.3, () => t.send(c.pick([0, 1]), t.make(c.pick([0, 1]), "R", "", { seq: c.word() }))],
        [0.4, () => t.segment(c.pick([0, 1]), "PAU", 10, { urgent: 3 })],
      ])();
    }
    t.close();
    if (c.is(0.1)) t.complain(c.pick([0, 1]));
    steps.push(...t.steps);
    isn = t.after();
  }
  return steps;
}
