/**
 * Rules from text, as iptables-legacy-restore reads it: `*table`, `:CHAIN policy`, rules, COMMIT.
 *
 * Overview: each line is cut into words (blanks separate, double quotes group, a backslash escapes within them) and
 * read as getopt would: long options by any beginning that is not ambiguous, the newest match first, `!` before an
 * option, and a protocol's own match loaded when one of its options turns up. At COMMIT it is known from which
 * hooks each chain is reached, and what was read is judged as the kernel would judge it.
 *
 * Limits: interfaces need not exist, as in Linux. Names are not resolved. Commands other than -A, -I, -R, -D, -N,
 * -F, -X and -P have no place in a configuration.
 *
 * @module
 */
import { ACCEPT, DROP, type Hook, HOOK_NAMES } from "../netfilter.ts";
import type { ChainSpec, RuleSet, RuleSpec, TableSpec } from "../tables/entry.ts";
import { TABLE_NAMES, type TableName } from "../tables/extension.ts";
import { TABLES } from "../tables/mod.ts";
import { effectOf } from "./effect.ts";
import { type Problems, suggest } from "./problems.ts";
import { reach } from "./reach.ts";
import { builtinChains, chainNameProblem } from "./rules.ts";
import {
  type DraftRule,
  draftRule,
  finishRule,
  type LineContext,
  type RestoreContext,
  TextError,
  type Word,
} from "./iptables_rule.ts";

interface DraftChain {
  readonly rules: DraftRule[];
  policy: number;
  packets: number;
  bytes: number;
}

/** Reads a whole text; problems are at `label:line:column`. */
export function restoreRules(text: string, label: string, c: RestoreContext): RuleSet {
  return new Restorer(label, c).read(text);
}

/** Cuts a line into words (add_param_to_argv). */
export function splitWords(line: string, from = 0): Word[] {
  const words: Word[] = [];
  let text = "", start = -1, quoted = false, open = false;
  const end = () => {
    if (start >= 0 && (text !== "" || quoted)) words.push({ text, column: start + 1 });
    text = "";
    start = -1;
    quoted = false;
  };
  for (let i = from; i < line.length; i++) {
    const letter = line[i];
    if (open) {
      if (letter === "\\" && i + 1 < line.length) text += line[++i];
      else if (letter === '"') {
        open = false;
        end();
      } else text += letter;
    } else if (letter === '"') {
      if (start < 0) start = i;
      open = quoted = true;
    } else if (letter === " " || letter === "\t") {
      end();
    } else {
      if (start < 0) start = i;
      text += letter;
    }
  }
  if (open) throw new TextError("the double quote is never closed", start + 1);
  end();
  return words;
}

/** What is wrong with a line that no table has. */
function outsideOfTables(line: string): string {
  const said = JSON.stringify(line.slice(0, 40));
  return /(^|[\s/;])ip6?tables(-legacy|-nft)?\s+-/.test(line)
    ? `${said} is a command for a shell; run the script, and take what iptables-save prints then`
    : `${said} stands outside of a table; begin one with *filter`;
}

class Restorer {
  readonly #label: string;
  readonly #c: RestoreContext;
  readonly #problems: Problems;
  readonly #tables = new Map<TableName, TableSpec>();
  #line = 0;
  #table: TableName | null = null;
  #chains = new Map<string, DraftChain>();
  #userChains = new Set<string>();
  #builtin: readonly string[] = [];
  /** In a table that may stand there as long as it says nothing. */
  #idle = false;

  constructor(label: string, c: RestoreContext) {
    this.#label = label;
    this.#c = c;
    this.#problems = c.problems;
  }

  read(text: string): RuleSet {
    // Lines without a table are one mistake, however many they are.
    let skipping = false, outside = false;
    for (const line of text.split(/\r?\n/)) {
      this.#line++;
      if (line === "" || line[0] === "#") continue;
      if (line[0] === "*" && this.#table === null) {
        skipping = !this.#begin(line);
        outside = false;
      } else if (line === "COMMIT" && (this.#table !== null || skipping)) {
        if (this.#table !== null) this.#commit(this.#table);
        this.#table = null;
        skipping = false;
      } else if (skipping) {
        if (this.#idle && line[0] !== ":") this.#idleRule(line);
      } else if (this.#table === null) {
        if (!outside) this.#problem(outsideOfTables(line), 1);
        outside = true;
      } else {
        this.#attempt(() => line[0] === ":" ? this.#chainLine(line) : this.#command(line));
      }
    }
    if (this.#table !== null) {
      this.#problem(`COMMIT is missing at the end of table ${this.#table}`, 1);
      this.#commit(this.#table);
    }
    const table = (name: TableName) => this.#tables.get(name) ?? null;
    return {
      family: this.#c.family,
      raw: table("raw"),
      mangle: table("mangle"),
      nat: table("nat"),
      filter: table("filter"),
    };
  }

  #place(line: number, column: number): string {
    return `${this.#label}:${line}:${column}`;
  }

  #problem(message: string, column: number): void {
    this.#problems.add(this.#place(this.#line, column), message);
  }

  #idleRule(line: string): void {
    const { leftOut } = this.#c, reason = "table security belongs to SELinux, which Weir has not";
    if (leftOut === undefined) return this.#problem(`${reason}; leave its rules out`, 1);
    leftOut.rules.push({
      path: this.#place(this.#line, 1),
      table: "security",
      chain: /(?:^|\s)-[AI]\s+(\S+)/.exec(line)?.[1] ?? "",
      before: 0,
      line: line.replace(/^\[[^\]]*\]\s*/, ""),
      reason,
      effect: { text: "Weir does not read that table", more: false },
    });
  }

  #attempt(read: () => void): void {
    try {
      read();
    } catch (error) {
      if (!(error instanceof TextError)) throw error;
      this.#problem(error.message, error.column);
    }
  }

  /** `*filter`. False when the table cannot be used and its lines are to be passed over. */
  #begin(line: string): boolean {
    const name = line.slice(1).trim().split(/\s+/)[0] as TableName;
    // RHEL's files have it, without a rule.
    this.#idle = name as string === "security";
    if (this.#idle) return false;
    if (!TABLE_NAMES.includes(name)) {
      this.#problem(`there is no table ${JSON.stringify(name)}; ${suggest(name, TABLE_NAMES)}`, 2);
      return false;
    }
    if (this.#tables.has(name)) {
      this.#problem(`table ${name} is there twice; put all its rules between one *${name} and its COMMIT`, 2);
      return false;
    }
    this.#table = name;
    this.#builtin = builtinChains(name);
    this.#userChains = new Set();
    this.#chains = new Map(
      this.#builtin.map((chain) => [chain, { rules: [], policy: ACCEPT, packets: 0, bytes: 0 }]),
    );
    return true;
  }

  /** `:FORWARD DROP [12:3456]` or `:mine - [0:0]`. */
  #chainLine(line: string): void {
    const words = splitWords(line, 1);
    const [chain, policy, counters] = words;
    if (chain === undefined) throw new TextError("a chain's name is missing after the colon", 2);
    if (policy === undefined) {
      throw new TextError(
        `chain ${chain.text} needs a policy, or - when it is a user chain`,
        line.length + 1,
      );
    }
    const builtin = this.#builtin.includes(chain.text);
    if (!builtin) this.#newChain(chain);
    if (policy.text === "-") return;
    if (!builtin) throw new TextError("only built-in chains have a policy; write - instead", policy.column);
    const draft = this.#chains.get(chain.text)!;
    draft.policy = this.#policy(policy);
    if (counters !== undefined) {
      // What follows the second number is not looked at (parse_counters).
      const found = /^\[(\d+):(\d+)/.exec(counters.text);
      if (found === null) {
        throw new TextError(`${counters.text} is not a pair of counters such as [0:0]`, counters.column);
      }
      draft.packets = Number(found[1]);
      draft.bytes = Number(found[2]);
    }
  }

  #policy(word: Word): number {
    if (word.text === "ACCEPT") return ACCEPT;
    if (word.text !== "DROP") {
      throw new TextError(`${word.text} is not a policy; write ACCEPT or DROP`, word.column);
    }
    return DROP;
  }

  #newChain(word: Word): void {
    const wrong = chainNameProblem(word.text);
    if (wrong !== null) throw new TextError(`${JSON.stringify(word.text)} ${wrong}`, word.column);
    if (this.#chains.has(word.text)) throw new TextError(`chain ${word.text} is there already`, word.column);
    this.#chains.set(word.text, { rules: [], policy: ACCEPT, packets: 0, bytes: 0 });
    this.#userChains.add(word.text);
  }

  #chain(word: Word): DraftChain {
    const chain = this.#chains.get(word.text);
    if (chain !== undefined) return chain;
    const known = [...this.#chains.keys()];
    throw new TextError(
      `there is no chain ${JSON.stringify(word.text)} in table ${this.#table}; ${suggest(word.text, known)}`,
      word.column,
    );
  }

  /** `[12:3456] -A FORWARD …`, or another command. */
  #command(line: string): void {
    const counters = /^\[(\d+)[^:\]]*:(\d+)[^\]]*\]/.exec(line);
    if (line[0] === "[" && counters === null) {
      throw new TextError("the counters are not a pair such as [0:0]", 1);
    }
    const words = splitWords(line, counters?.[0].length ?? 0);
    const context: LineContext = {
      table: this.#table!,
      family: this.#c.family,
      userChains: this.#userChains,
      builtinChains: this.#builtin,
      path: this.#place(this.#line, words[0]?.column ?? 1),
      line: line.slice(counters?.[0].length ?? 0).trim(),
      packets: Number(counters?.[1] ?? 0),
      bytes: Number(counters?.[2] ?? 0),
      counted: counters !== null,
      leaveOut: this.#c.leftOut !== undefined,
    };
    const { command, chain, argument, rule } = draftRule(words, context);
    if (rule === null) return; // For the other family (-4, -6).
    switch (command) {
      case "A":
        this.#chain(chain).rules.push(...rule!.split());
        return;
      case "I": {
        const { rules } = this.#chain(chain), at = argument ?? 1;
        if (at > rules.length + 1) {
          throw new TextError(
            `chain ${chain.text} has ${rules.length} rules; ${at} is too far`,
            chain.column,
          );
        }
        rules.splice(at - 1, 0, ...rule!.split().reverse());
        return;
      }
      case "R":
      case "D": {
        const { rules } = this.#chain(chain);
        const at = argument ?? rules.findIndex((other) => other.text === rule!.text) + 1;
        if (at < 1 || at > rules.length) {
          throw new TextError(`chain ${chain.text} has no such rule`, chain.column);
        }
        rules.splice(at - 1, 1, ...(command === "R" ? rule!.split() : []));
        return;
      }
      case "N":
        return this.#newChain(chain);
      case "F":
        if (chain.text === "") { for (const draft of this.#chains.values()) draft.rules.length = 0; }
        else this.#chain(chain).rules.length = 0;
        return;
      case "X":
        this.#chain(chain);
        if (this.#builtin.includes(chain.text)) {
          throw new TextError(`${chain.text} is built in`, chain.column);
        }
        this.#chains.delete(chain.text);
        this.#userChains.delete(chain.text);
        return;
      case "P":
        if (!this.#builtin.includes(chain.text)) {
          throw new TextError(`${chain.text} is not a built-in chain`, chain.column);
        }
        this.#chain(chain).policy = rule!.policy!;
        return;
    }
  }

  /** The end of a table: now everything that needs the whole of it can be judged. */
  #commit(name: TableName): void {
    const definition = TABLES[name];
    const listed: { name: string; hook: Hook | null }[] = [
      ...definition.hooks.map((hook) => ({ name: HOOK_NAMES[hook] as string, hook: hook as Hook | null })),
      ...[...this.#userChains].sort().map((chain) => ({ name: chain, hook: null })),
    ];
    const { hooks, loops } = reach(listed.map(({ name, hook }) => ({
      name,
      hook,
      jumps: this.#chains.get(name)!.rules.flatMap((rule) =>
        rule.jumpsTo === null ? [] : [{ to: rule.jumpsTo, path: rule.path }]
      ),
    })));
    for (const { chains, path } of loops) {
      this.#problems.add(path, `makes a loop: ${chains.join(" → ")}; a packet would never leave it`);
    }
    const chains = listed.map(({ name: chain, hook }): ChainSpec => {
      const draft = this.#chains.get(chain)!;
      return {
        name: chain,
        hook,
        policy: draft.policy as ChainSpec["policy"],
        packets: draft.packets,
        bytes: draft.bytes,
        rules: this.#finish(draft.rules, name, chain, hooks.get(chain)!),
      };
    });
    this.#tables.set(name, { name, family: this.#c.family, chains, counters: 0 });
  }

  /** The rules of a chain, without those that are left out. */
  #finish(drafts: readonly DraftRule[], table: TableName, chain: string, hooks: number): RuleSpec[] {
    const rules: RuleSpec[] = [], noted = new Set<string>();
    for (const draft of drafts) {
      const finished = finishRule(draft, { table, hooks, ...this.#c }), { unsupported, path } = draft;
      if (unsupported === null) rules.push(...finished);
      // A line with several addresses is several rules.
      if (unsupported === null || noted.has(path)) continue;
      noted.add(path);
      this.#c.leftOut!.rules.push({
        path: path.replace(/\d+$/, String(unsupported.column)),
        table,
        chain,
        before: rules.length,
        line: draft.line,
        reason: unsupported.reason,
        effect: effectOf(draft, table, chain, this.#chains),
      });
    }
    return rules;
  }
}
