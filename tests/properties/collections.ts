/** What V8 collects while mixed_traffic.ts sends packets through the router. */

/** Between the end of warming up and the last packet. */
export interface Collections {
  /** Collections of young objects. */
  readonly young: number;
  /** Collections of the whole heap. */
  readonly whole: number;
  /** Bytes allocated on the heap by the measured packets, to V8's own resolution of 0.1 MB. */
  readonly allocated: number;
  /** Packets that left the router. */
  readonly emitted: number;
  readonly milliseconds: number;
}

/** `12:34 ms: Scavenge 8.4 (9.5) -> 8.3 (10.7) MB, …` */
const LINE = /^\[\d+:(0x[0-9a-f]+)\]\s+\d+ ms: (.*?) ([\d.]+) \([\d.]+\) -> ([\d.]+) \([\d.]+\) MB.*$/gm;

/** Runs mixed_traffic.ts in a process of its own. */
export async function collections(
  packets: number,
  traffic: "whole" | "fragments" | "heard",
  signal?: AbortSignal,
): Promise<Collections> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      "--v8-flags=--expose-gc,--trace-gc",
      `${import.meta.dirname}/mixed_traffic.ts`,
      String(packets),
      traffic,
    ],
    signal,
    stdin: "null",
    env: { NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder();
  if (!success) throw new Error(text.decode(stderr));
  const lines = [...text.decode(stdout).matchAll(LINE)];
  // Deno's own isolates collect as well; the router's is the one that was told to.
  const marks = lines.flatMap((line, i) => / testing;/.test(line[0]) ? [i] : []);
  if (marks.length !== 2) {
    throw new Error(`${marks.length} marks in V8's record, not two:\n${text.decode(stdout)}`);
  }
  const [from, to] = marks;
  const between = lines.slice(from, to + 1).filter((line) => line[1] === lines[from][1]);
  let allocated = 0;
  // What was there before a collection, beyond what the one before it left.
  for (let i = 1; i < between.length; i++) allocated += Number(between[i][3]) - Number(between[i - 1][4]);
  const inner = between.slice(1, -1);
  const young = inner.filter((line) => line[2].includes("Scavenge") || line[2].includes("Minor")).length;
  const { emitted, ms, settled } = JSON.parse(text.decode(stderr).trim().split("\n").at(-1)!);
  return {
    young,
    whole: inner.length - young,
    allocated: Math.max(0, allocated * 2 ** 20 - settled),
    emitted,
    milliseconds: ms,
  };
}
