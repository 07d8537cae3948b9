/** An explanation as text for people: what decided in full, what did not on one line. */
import type { AskedRule, Explanation, HelperStep, Step, TableStep, Way } from "./explanation.ts";

/** How to print. */
export interface PrintOptions {
  /** Every rule that was asked, and the way of every answer. */
  readonly verbose?: boolean;
  /** Columns to keep to; lines are as long as they are when absent. */
  readonly width?: number;
  /** With the colours of a terminal. */
  readonly color?: boolean;
}

/** So many rules that did not match may stand in a row; of more, only their number is said. */
const MOST_REFUSED = 10;

type Style = "head" | "good" | "bad" | "dim" | "plain";
const CODES: Readonly<Record<Style, string>> = { head: "1", good: "32", bad: "31", dim: "2", plain: "" };

/** A line: where it begins, where it goes on when it is broken, and its words. */
interface Line {
  readonly indent: number;
  readonly hang: number;
  readonly text: string;
  readonly style: Style;
}

/** The whole text, without a line end at its end. */
export function printExplanation(e: Explanation, o: PrintOptions = {}): string {
  const page = new Page(o);
  page.line(0, `in ${e.interface}: ${e.packet}`, "head");
  page.way(e, 0, true);
  return page.text();
}

class Page {
  readonly #o: PrintOptions;
  readonly #lines: Line[] = [];

  constructor(o: PrintOptions) {
    this.#o = o;
  }

  line(indent: number, text: string, style: Style = "plain", hang = indent + 4): void {
    this.#lines.push({ indent, hang, text, style });
  }

  /** The steps of a packet and what became of it. */
  way(way: Way, indent: number, steps: boolean): void {
    let hook = "";
    for (const step of steps ? way.steps : []) {
      if ("hook" in step && step.hook !== hook && this.#says(step)) {
        this.line(indent, hook = step.hook, "head");
      }
      if (step.stage === "routing" || step.stage === "local") hook = "";
      this.#step(step, "hook" in step ? indent + 2 : indent);
    }
    for (const { interface: name, packet } of way.left) this.line(indent, `out ${name}: ${packet}`, "good");
    if (way.changes.length > 0) this.line(indent + 2, `changed: ${way.changes.join(", ")}`);
    if (way.outcome === "dropped") {
      const by = way.by === null ? "" : `, by ${way.by.place} ${way.by.text}`;
      this.line(indent, `dropped: ${way.reason}${by}`, "bad");
    } else if (way.outcome === "waits") this.line(indent, "it waits for the other fragments", "head");
    else if (way.outcome === "delivered") {
      this.line(indent, "it has arrived: it was for the router itself", "good");
    }
  }

  /** False for a table without rules that lets everything pass. */
  #says(step: Step): boolean {
    return this.#o.verbose === true || step.stage !== "table" || step.verdict !== "ACCEPT" || !step.policy ||
      step.rules.length > 1;
  }

  #step(step: Step, indent: number): void {
    switch (step.stage) {
      case "table":
        return this.#table(step, indent);
      case "conntrack":
        this.line(indent, `conntrack: ${step.state}, ${step.why}`);
        if (step.flow !== null) this.line(indent + 2, step.flow, "dim");
        return;
      case "helper":
        return this.#helper(step, indent);
      case "answer":
        this.line(indent, `${step.why}: ${step.way.packet}`);
        return this.way(step.way, indent + 2, this.#o.verbose === true || step.way.outcome === "dropped");
      case "silence":
        return this.line(indent, step.why);
      case "nat":
      case "confirm":
      case "log":
      case "defrag":
      case "routing":
      case "parse":
      case "local":
        return this.line(indent, `${step.stage}: ${step.says}`);
    }
  }

  #helper({ helper, read, wrote, expects }: HelperStep, indent: number): void {
    const nothing = wrote === null && expects.length === 0;
    this.line(indent, `helper ${helper} ${nothing ? "finds nothing in" : "reads"} "${read}"`);
    if (wrote !== null) this.line(indent + 2, `and makes of it "${wrote}"`);
    for (const expected of expects) this.line(indent + 2, `expects ${expected}`);
  }

  #table(step: TableStep, indent: number): void {
    if (!this.#says(step)) return;
    const policy = step.policy ? ` by the policy of ${step.rules.at(-1)!.chain}` : "";
    const refused = step.rules.length - (step.policy ? 1 : 0);
    const style = step.verdict === "DROP" ? "bad" : "plain";
    this.line(
      indent,
      `${step.table}: ${step.verdict}${policy}${refused === 0 ? ", no rule was asked" : ""}`,
      style,
    );
    let chain = step.hook;
    const rules = step.policy ? step.rules.slice(0, -1) : step.rules;
    for (let i = 0; i < rules.length;) {
      if (rules[i].chain !== chain) this.line(indent + 2, `chain ${chain = rules[i].chain}`, "head");
      let end = i;
      while (end < rules.length && !rules[end].matched && rules[end].chain === chain) end++;
      if (this.#o.verbose !== true && end - i > MOST_REFUSED) {
        this.line(
          indent + 2,
          `no   ${end - i} rules, ${rules[i].place} to ${rules[end - 1].place}`,
          "dim",
          indent + 7,
        );
        i = end;
        continue;
      }
      this.#rule(rules[i++], indent + 2);
    }
  }

  #rule(rule: AskedRule, indent: number): void {
    const word = rule.matched ? "yes  " : "no   ", hang = indent + word.length;
    this.line(indent, `${word}${rule.place} ${rule.text}`, rule.matched ? "plain" : "dim", hang + 2);
    this.line(hang, rule.matched ? `→ ${rule.does}` : rule.no, rule.matched ? styleOf(rule.does) : "dim");
  }

  text(): string {
    const { width, color } = this.#o;
    return this.#lines.flatMap(({ indent, hang, text, style }) => {
      const lines = width === undefined ? [" ".repeat(indent) + text] : broken(text, indent, hang, width);
      const code = color === true ? CODES[style] : "";
      return code === "" ? lines : lines.map((line) => `\x1b[${code}m${line}\x1b[0m`);
    }).join("\n");
  }
}

function styleOf(does: string): Style {
  return /^ACCEPT/.test(does) ? "good" : /^(DROP|REJECT)/.test(does) ? "bad" : "plain";
}

/** A text on lines of at most `width` columns, broken at blanks; a word that is longer stands alone. */
function broken(text: string, indent: number, hang: number, width: number): string[] {
  const lines: string[] = [];
  let line = " ".repeat(indent), empty = true;
  for (const word of text.split(/(?<=\S) /)) {
    if (!empty && line.length + 1 + word.length > width) {
      lines.push(line);
      line = " ".repeat(Math.min(hang, Math.floor(width / 2)));
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  return [...lines, line];
}
