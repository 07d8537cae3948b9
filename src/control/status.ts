/**
 * What a running router shows of itself: one line that is rewritten each second in a terminal, a plain line now and
 * then where there is none, and the lines that others want to show, in order between them.
 */
import { CONTROL_FLOWS, type Memory, TOTAL_RX_BYTES, TOTAL_RX_PACKETS } from "../memory.ts";

/** Where lines go. */
export interface Output {
  /** A terminal: the status line is rewritten in place. */
  readonly terminal: boolean;
  write(text: string): void;
  /** Width in columns; only a terminal has one. */
  columns?(): number;
}

/** Standard output of the process. */
export function standardOutput(): Output {
  const encoder = new TextEncoder();
  return {
    terminal: Deno.stdout.isTerminal(),
    write(text) {
      try {
        let bytes = encoder.encode(text);
        while (bytes.length > 0) bytes = bytes.subarray(Deno.stdout.writeSync(bytes));
      } catch {
        // Whoever read it has gone, or its terminal, or its disk is full; that is no reason to stop routing.
      }
    },
    columns() {
      try {
        return Deno.consoleSize().columns || 80; // 0 where nobody has said
      } catch {
        return 80;
      }
    },
  };
}

const UNITS = ["", "k", "M", "G", "T"];

/** A number as people read it: `rate(1234567)` is "1.23 M", `rate(12)` is "12 ". */
export function rate(n: number): string {
  let unit = 0;
  while (n >= 999.5 && unit < UNITS.length - 1) {
    n /= 1000;
    unit++;
  }
  const digits = unit === 0 ? 0 : n < 9.995 ? 2 : n < 99.95 ? 1 : 0;
  return `${n.toFixed(digits)} ${UNITS[unit]}`;
}

/** A count with its thousands apart: "1,204". */
export function count(n: number): string {
  return String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** Seconds between two lines where there is no terminal. */
const PLAIN_SECONDS = 10;

/** The status line of one router. */
export class Status {
  readonly #memory: Memory;
  readonly #output: Output;
  #shown = false;
  #at: number;
  #packets = 0;
  #bytes = 0;
  #plain = "";
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(memory: Memory, output: Output) {
    this.#memory = memory;
    this.#output = output;
    this.#at = performance.now();
  }

  /** Shows it from now on. */
  start(): void {
    const seconds = this.#output.terminal ? 1 : PLAIN_SECONDS;
    this.#at = performance.now();
    this.#timer = setInterval(() => this.show(), seconds * 1000);
  }

  /** Shows a line of somebody else. */
  log(line: string): void {
    this.#clear();
    this.#output.write(line + "\n");
  }

  /** Shows what happened since the last time. Without a terminal, a line that would say the same is left out. */
  show(): void {
    const now = performance.now();
    const line = this.line((now - this.#at) / 1000);
    this.#at = now;
    if (this.#output.terminal) {
      this.#output.write(`\r${line.slice(0, (this.#output.columns?.() ?? 80) - 1)}\x1b[K`);
      this.#shown = true;
    } else if (line !== this.#plain) {
      this.#output.write(line + "\n");
      this.#plain = line;
    }
  }

  /** The line about the last `seconds`. */
  line(seconds: number): string {
    const m = this.#memory, packets = m.totals[TOTAL_RX_PACKETS], bytes = m.totals[TOTAL_RX_BYTES];
    const over = Math.max(seconds, 0.001);
    const perSecond = rate((packets - this.#packets) / over), bits = rate((bytes - this.#bytes) * 8 / over);
    this.#packets = packets;
    this.#bytes = bytes;
    const flows = Atomics.load(m.control, CONTROL_FLOWS);
    return `${perSecond}packets/s · ${bits}bit/s · ${count(flows)} ${flows === 1 ? "flow" : "flows"} · ` +
      `${count(m.dropped)} dropped`;
  }

  /** Shows it no more. */
  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#clear();
  }

  #clear(): void {
    if (!this.#shown) return;
    this.#output.write("\r\x1b[K");
    this.#shown = false;
  }
}
