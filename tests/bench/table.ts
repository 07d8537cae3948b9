/**
 * The table of a run, in Markdown. Everything in it is computed from the raw samples, so that table and JSON cannot
 * disagree.
 */
import { CONTENDERS } from "./contenders/mod.ts";
import type { Results } from "./results.ts";
import type { Measure, Target } from "./scenario.ts";
import { SCENARIOS } from "./scenarios/mod.ts";
import { ratios, type Summary, summary } from "./statistics.ts";

/** The one that is compared with the others. */
const OWN = "weir";
const BESIDE = ["floor", "kernel"] as const;

/** A target and what was measured of it. */
export interface Judged {
  readonly text: string;
  readonly value: number;
  readonly met: boolean;
}

/** One measure, as far as it was measured. */
export interface Row {
  readonly scenario: string;
  readonly measure: Measure;
  readonly cells: Record<string, Summary | null>;
  readonly beside: Record<string, Summary | null>;
  readonly judged: readonly Judged[];
}

/** All measures of which there is a sample, in the order of the scenarios. */
export function rowsOf(results: Results): Row[] {
  const rows: Row[] = [];
  for (const { name, measures } of SCENARIOS) {
    const found = results.scenarios[name];
    if (found === undefined) continue;
    for (const measure of measures) {
      const values = (contender: string) =>
        (found.samples[contender] ?? []).map((sample) => sample?.[measure.key]);
      const cells = Object.fromEntries(
        CONTENDERS.map((c) => [c.name, summary(values(c.name).filter((v) => v !== undefined))]),
      );
      if (Object.values(cells).every((cell) => cell === null)) continue;
      const beside = Object.fromEntries(
        BESIDE.map((other) => [other, summary(ratios(values(OWN), values(other)))]),
      );
      const judged = (measure.targets ?? []).flatMap((target) => judge(target, cells[OWN], beside));
      rows.push({ scenario: name, measure, cells, beside, judged });
    }
  }
  return rows;
}

function judge(target: Target, own: Summary | null, beside: Row["beside"]): Judged[] {
  const { beside: other, least, most } = target;
  const value = (other === undefined ? own : beside[other])?.median;
  if (value === undefined) return [];
  const bound = least !== undefined ? `≥ ${least}` : `≤ ${most}`;
  const text = other === undefined ? bound : `${bound} × ${titleOf(other)}`;
  return [{ text, value, met: value >= (least ?? -Infinity) && value <= (most ?? Infinity) }];
}

function titleOf(contender: string): string {
  return CONTENDERS.find((c) => c.name === contender)!.title;
}

/** The table with the targets: what the README shows. */
export function targetTable(results: Results): string {
  const rows = rowsOf(results).filter((row) => row.judged.length > 0);
  return `${table(results, rows, (cell) => number(cell.median))}\n\n${circumstances(results)}\n`;
}

/** All rows with their spread, and why cells are empty. */
export function fullTable(results: Results): string {
  const spread = ({ median, least, most }: Summary) =>
    least === most ? number(median) : `${number(median)} (${number(least)}–${number(most)})`;
  const text = `${table(results, rowsOf(results), spread)}\n\n${circumstances(results)}\n`;
  const empty = reasons(results);
  return empty.length > 0
    ? `${text}\nWhy cells are empty:\n\n${empty.map((line) => `- ${line}`).join("\n")}\n`
    : text;
}

function table(results: Results, rows: readonly Row[], show: (cell: Summary) => string): string {
  const contenders = CONTENDERS.filter((c) =>
    Object.values(results.scenarios).some(({ samples }) => samples[c.name]?.some((sample) => sample !== null))
  );
  const beside = BESIDE.filter((other) => contenders.some((c) => c.name === other));
  const cell = (value: Summary | null, shown = show) => value === null ? "–" : shown(value);
  const lines = [
    ["", ...contenders.map((c) => c.title), ...beside.map((other) => `÷ ${titleOf(other)}`), "target", "met"],
    ["---", ...[...contenders, ...beside].map(() => "---:"), "---", "---"],
    ...rows.map(({ measure, cells, beside: quotients, judged }) => [
      measure.unit === "" ? measure.title : `${measure.title}, ${measure.unit}`,
      ...contenders.map((c) => cell(cells[c.name])),
      ...beside.map((other) => cell(quotients[other], (value) => value.median.toFixed(2))),
      judged.map((j) => j.text).join("; "),
      judged.map((j) => j.met ? "yes" : "no").join("; "),
    ]),
  ];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** Three digits that matter. */
function number(value: number): string {
  if (value >= 100) return Math.round(value).toLocaleString("en-US");
  if (value >= 10) return value.toFixed(1);
  return value >= 0.1 || value === 0 ? value.toFixed(2) : value.toPrecision(2);
}

/** When, where and how it was measured. */
function circumstances({ date, machine, pinned, rounds, seconds, missing }: Results): string {
  const text = `Measured on ${date}: ${machine.cpu}, ${machine.cores} cores, ${machine.memory}, Linux ` +
    `${machine.kernel}, Deno ${machine.deno}, load average before the run ${
      machine.load.toFixed(1)
    }; ${pinned}. Medians of ${rounds} interleaved rounds, ${seconds} s per ` +
    "measurement; ratios are medians of the ratios of each round.";
  const left = Object.entries(missing).map(([name, why]) => `${titleOf(name)} (${why})`);
  return left.length > 0 ? `${text} Left out: ${left.join(", ")}.` : text;
}

/** One line per scenario and reason. */
function reasons(results: Results): string[] {
  const lines: string[] = [];
  for (const [name, { leftOut, partly, failed }] of Object.entries(results.scenarios)) {
    const why = new Map<string, string[]>();
    const note = (contender: string, reason: string) => {
      const titles = why.get(reason) ?? [];
      if (!titles.includes(titleOf(contender))) why.set(reason, [...titles, titleOf(contender)]);
    };
    for (const [contender, reason] of Object.entries({ ...leftOut, ...partly })) note(contender, reason);
    for (const [contender, all] of Object.entries(failed)) {
      for (const reason of all) note(contender, `failed: ${reason}`);
    }
    for (const [reason, titles] of why) lines.push(`${name}, ${titles.join(" and ")}: ${reason}`);
  }
  return lines;
}
