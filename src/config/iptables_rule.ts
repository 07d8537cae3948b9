/**
 * One line of iptables text: getopt's work, and what iptables does with what getopt finds.
 *
 * @module
 */
import { MATCHES } from "../matches/mod.ts";
import { ACCEPT, DROP, type Family } from "../netfilter.ts";
import { readNetwork } from "../tables/addresses.ts";
import type { AddressSpec, InterfaceSpec, MatchSpec, RuleSpec, TargetSpec } from "../tables/entry.ts";
import {
  type AnyOptions,
  type Extension,
  type MatchExtension,
  type Option,
  OptionError,
  type OptionValue,
  type TableName,
  type TargetExtension,
  UnsupportedError,
} from "../tables/extension.ts";
import { parseNumber, PROTOCOL_NAMES, protocolName, protocolNumber } from "../tables/names.ts";
import { TARGETS } from "../targets/mod.ts";
import { checkPlace, finishOptions, IPTABLES } from "./finish.ts";
import type { LeftOut } from "./left_out.ts";
import { nearest, suggest } from "./problems.ts";
import { knownInterface, VERDICTS } from "./rule.ts";
import type { RulesContext } from "./rules.ts";
import {
  PERHAPS,
  UNSUPPORTED,
  type Unsupported,
  unsupportedMatch,
  unsupportedTarget,
} from "./unsupported.ts";

/** What the reader of a text needs to know beside it. */
export interface RestoreContext extends RulesContext {
  readonly family: Family;
  /** Where rules are noted that Weir cannot have; without it they are problems. */
  readonly leftOut?: LeftOut;
}

/** A word of a line, and the column of its first letter, from 1. */
export interface Word {
  readonly text: string;
  readonly column: number;
}

/** Something wrong with a line. */
export class TextError extends Error {
  override name = "TextError";
  constructor(message: string, readonly column: number) {
    super(message);
  }
}

/** Where the line stands. */
export interface LineContext {
  readonly table: TableName;
  readonly family: Family;
  readonly userChains: ReadonlySet<string>;
  readonly builtinChains: readonly string[];
  readonly path: string;
  /** The whole of it, without counters. */
  readonly line: string;
  readonly packets: number;
  readonly bytes: number;
  /** Counters stand before the rule. */
  readonly counted: boolean;
  /** A rule that Weir cannot have is read to its end, and says so itself. */
  readonly leaveOut: boolean;
}

/** What a line says: a command, the chain it is about, and a rule or another argument. */
export interface Line {
  readonly command: string;
  readonly chain: Word;
  readonly argument: number | null;
  /** Null when the line is for the other family (`-4`, `-6`). */
  readonly rule: DraftRule | null;
}

interface DraftExtension<E extends Extension> {
  readonly extension: E;
  readonly options: Record<string, OptionValue<unknown>>;
  readonly column: number;
}

/** A rule as far as its own line tells. */
export class DraftRule {
  sources: AddressSpec[] | null = null;
  destinations: AddressSpec[] | null = null;
  inInterface: InterfaceSpec | null = null;
  outInterface: InterfaceSpec | null = null;
  protocol = 0;
  protocolInvert = false;
  fragment = false;
  fragmentInvert = false;
  readonly matches: DraftExtension<MatchExtension>[] = [];
  verdict: keyof typeof VERDICTS | null = null;
  target: DraftExtension<TargetExtension> | null = null;
  chain: { name: string; goto: boolean } | null = null;
  /** A target that Weir has not. */
  missing: Unsupported | null = null;
  /** The first thing in it that Weir has not. */
  unsupported: { reason: string; column: number } | null = null;
  /** `-P`: the policy. */
  policy: number | null = null;
  interfaceColumn = 1;

  /** `text` is what stands behind the chain's name, its blanks and quotes normalized. */
  constructor(
    readonly path: string,
    readonly line: string,
    readonly text: string,
    public packets: number,
    public bytes: number,
  ) {}

  /** The user chain that it jumps to. */
  get jumpsTo(): string | null {
    return this.chain?.name ?? null;
  }

  /** One rule for each pair of source and destination, as iptables makes them. */
  split(): DraftRule[] {
    if ((this.sources?.length ?? 1) === 1 && (this.destinations?.length ?? 1) === 1) return [this];
    const made: DraftRule[] = [];
    for (const source of this.sources ?? [null]) {
      for (const destination of this.destinations ?? [null]) {
        const rule = new DraftRule(this.path, this.line, this.text, this.packets, this.bytes);
        Object.assign(rule, this);
        rule.sources = source && [source];
        rule.destinations = destination && [destination];
        made.push(rule);
      }
    }
    return made;
  }
}

/** Options of iptables itself: letter, and whether a value follows. */
const BASE: readonly (readonly [long: string, letter: string, value: boolean])[] = [
  ["append", "A", true],
  ["delete", "D", true],
  ["check", "C", true],
  ["insert", "I", true],
  ["replace", "R", true],
  ["list", "L", false],
  ["list-rules", "S", false],
  ["flush", "F", false],
  ["zero", "Z", false],
  ["new-chain", "N", true],
  ["delete-chain", "X", false],
  ["rename-chain", "E", true],
  ["policy", "P", true],
  ["source", "s", true],
  ["src", "s", true],
  ["destination", "d", true],
  ["dst", "d", true],
  ["protocol", "p", true],
  ["in-interface", "i", true],
  ["out-interface", "o", true],
  ["jump", "j", true],
  ["goto", "g", true],
  ["match", "m", true],
  ["table", "t", true],
  ["fragments", "f", false],
  ["numeric", "n", false],
  ["verbose", "v", false],
  ["exact", "x", false],
  ["line-numbers", "0", false],
  ["set-counters", "c", true],
  ["ipv4", "4", false],
  ["ipv6", "6", false],
  ["wait", "w", false],
  ["modprobe", "M", true],
  ["version", "V", false],
  ["help", "h", false],
];
const COMMANDS = "ADIRNFXP", OTHER_COMMANDS = "CLSZE";

type Found =
  | { readonly kind: "base"; readonly letter: string; readonly value: boolean }
  | {
    readonly kind: "option";
    readonly owner: DraftExtension<Extension>;
    readonly name: string;
    readonly option: Option<unknown>;
  };

const BASE_BY_NAME = new Map<string, Found>(
  BASE.map(([long, letter, value]) => [long, { kind: "base", letter, value }]),
);
const BASE_BY_LETTER = new Map(BASE.toReversed().map((option) => [option[1], option]));
const MATCH_BY_NAME = new Map(MATCHES.map((match) => [match.name, match]));
const TARGET_BY_NAME = new Map(TARGETS.map((target) => [target.name, target]));

/** An extension's options by all spellings of their flags. */
const FLAGS = new Map<Extension, ReadonlyMap<string, readonly [name: string, option: Option<unknown>]>>(
  [...MATCHES, ...TARGETS, ...UNSUPPORTED].map((extension) => [
    extension,
    new Map(
      Object.entries(extension.options).flatMap(([name, option]) =>
        [option.flag, ...(option.aliases ?? [])].map((flag) => [flag, [name, option]] as const)
      ).toReversed(),
    ),
  ]),
);

/** Reads a line. */
export function draftRule(words: readonly Word[], c: LineContext): Line {
  return new LineReader(words, c).read();
}

class LineReader {
  readonly #words: readonly Word[];
  readonly #c: LineContext;
  readonly #rule: DraftRule;
  #at = 0;
  #command = "";
  #chain: Word = { text: "", column: 1 };
  #argument: number | null = null;
  #invert: Word | null = null;
  #otherFamily = false;
  /** Extensions in the order in which they were loaded; the newest is asked first. */
  readonly #loaded: DraftExtension<Extension>[] = [];
  #protocolLoaded = false;
  readonly #given = new Set<string>();
  /** What is read when the line is known: values that need the protocol, addresses, which `-4` and `-6` call off. */
  readonly #later: (() => void)[] = [];

  constructor(words: readonly Word[], c: LineContext) {
    this.#words = words;
    this.#c = c;
    const text = words.slice(2).map((word) => word.text).join(" ");
    this.#rule = new DraftRule(c.path, c.line, text, c.packets, c.bytes);
  }

  read(): Line {
    while (this.#at < this.#words.length && !this.#otherFamily) {
      const word = this.#words[this.#at++];
      if (word.text === "!") {
        if (this.#invert !== null) {
          throw new TextError("two exclamation marks follow each other", word.column);
        }
        this.#invert = word;
        continue;
      }
      if (word.text === "--" && this.#at === this.#words.length) break; // The end of the options, getopt would say.
      if (word.text.startsWith("--") && word.text.length > 2) this.#long(word);
      else if (/^-[^-]/.test(word.text)) this.#short(word);
      else throw new TextError(`${JSON.stringify(word.text)} does not belong to any option`, word.column);
      this.#invert = null;
    }
    if (this.#otherFamily) {
      // What follows is not looked at, nor what had to wait.
      return { command: this.#command, chain: this.#chain, argument: this.#argument, rule: null };
    }
    if (this.#invert !== null) {
      throw new TextError("nothing follows the exclamation mark", this.#invert.column);
    }
    if (this.#command === "") {
      throw new TextError("there is no command; begin the line with -A CHAIN", this.#words[0]?.column ?? 1);
    }
    for (const read of this.#later) read();
    this.#checkLine();
    return {
      command: this.#command,
      chain: this.#chain,
      argument: this.#argument,
      rule: this.#rule,
    };
  }

  // ── getopt ────────────────────────────────────────────────────────────────────────────────────────────────────

  #long(word: Word): void {
    const equals = word.text.indexOf("=");
    const name = word.text.slice(2, equals < 0 ? undefined : equals);
    const inline = equals < 0
      ? null
      : { text: word.text.slice(equals + 1), column: word.column + equals + 1 };
    let found = this.#find(name, word);
    if (found === null && this.#loadProtocol(word.column)) found = this.#find(name, word);
    if (found === null) {
      const known = [
        ...BASE.map(([long]) => long),
        ...this.#loaded.flatMap(({ extension }) => Object.values(extension.options).map((o) => o.flag)),
      ];
      throw new TextError(`option --${name} is not known here; ${this.#hint(name, known)}`, word.column);
    }
    const takes = found.kind === "base" ? found.value : found.option.kind.words > 0;
    if (inline !== null && !takes) throw new TextError(`option --${name} takes no value`, inline.column);
    if (found.kind === "base") {
      if (inline !== null) this.#refuseAttached(found.letter, word);
      this.#base(found.letter, takes ? inline ?? this.#next(word, false) : word, word);
    } else {
      // Both take any text.
      const free = found.name === "comment" || found.name === "logPrefix" || found.name === "nflogPrefix";
      this.#extension(found, takes ? inline ?? this.#next(word, free) : word, word);
    }
  }

  #short(word: Word): void {
    for (let i = 1; i < word.text.length; i++) {
      const letter = word.text[i];
      const base = BASE_BY_LETTER.get(letter);
      if (base === undefined) throw new TextError(`option -${letter} is not known`, word.column);
      if (!base[2]) {
        this.#base(letter, word, word);
        if (this.#otherFamily) return;
        continue;
      }
      const rest = word.text.slice(i + 1);
      if (rest !== "") this.#refuseAttached(letter, word);
      this.#base(
        letter,
        rest === "" ? this.#next(word, false) : { text: rest, column: word.column + i + 1 },
        word,
      );
      return;
    }
  }

  /** iptables takes the whole word for the value of these, which is hardly ever meant. */
  #refuseAttached(letter: string, word: Word): void {
    if (!"psdioj".includes(letter)) return;
    throw new TextError(
      `${word.text} needs a blank before its value, or iptables reads another one`,
      word.column,
    );
  }

  /** An option by its whole name, or by a beginning that only one has. */
  #find(name: string, word: Word): Found | null {
    const base = BASE_BY_NAME.get(name);
    if (base !== undefined) return base;
    for (let i = this.#loaded.length - 1; i >= 0; i--) {
      const owner = this.#loaded[i], exact = FLAGS.get(owner.extension)!.get(name);
      if (exact !== undefined) return { kind: "option", owner, name: exact[0], option: exact[1] };
    }
    const near: { flag: string; found: Found }[] = [];
    for (const [flag, found] of BASE_BY_NAME) if (flag.startsWith(name)) near.push({ flag, found });
    for (const owner of this.#loaded.toReversed()) {
      for (const [flag, [option, definition]] of [...FLAGS.get(owner.extension)!].toReversed()) {
        if (!flag.startsWith(name)) continue;
        near.push({ flag, found: { kind: "option", owner, name: option, option: definition } });
      }
    }
    const same = (a: Found, b: Found) =>
      a.kind === "base"
        ? b.kind === "base" && a.letter === b.letter
        : b.kind === "option" && a.owner === b.owner && a.name === b.name;
    if (near.length === 0) return null;
    if (near.every((candidate) => same(candidate.found, near[0].found))) return near[0].found;
    throw new TextError(
      `option --${name} is ambiguous: ${near.map((n) => `--${n.flag}`).join(", ")}`,
      word.column,
    );
  }

  /** The value of an option, whatever it looks like. Old versions of iptables took a `!` here. */
  #next(option: Word, freeText: boolean): Word {
    const word = this.#words[this.#at++];
    if (word === undefined) throw new TextError(`${option.text} needs a value`, option.column);
    if (word.text === "!" && !freeText) {
      throw new TextError(`the exclamation mark stands before ${option.text}, not behind it`, word.column);
    }
    return word;
  }

  /** What may have been meant by an option that nobody here has. */
  #hint(name: string, known: readonly string[]): string {
    const elsewhere = [...MATCHES, ...TARGETS].filter(({ options }) =>
      Object.values(options).some((option) => option.flag === name || option.aliases?.includes(name))
    );
    if (elsewhere.length === 0) {
      const near = nearest(name, known);
      return near === null ? "Weir has no match or target with it" : `did you mean --${near}?`;
    }
    const how = (extension: Extension) =>
      TARGETS.includes(extension as TargetExtension) ? `-j ${extension.name}` : `-m ${extension.name}`;
    return `it belongs to ${elsewhere.map(how).join(", ")}`;
  }

  // ── options of iptables itself ────────────────────────────────────────────────────────────────────────────────

  #base(letter: string, value: Word, option: Word): void {
    const rule = this.#rule, invert = this.#invert !== null;
    if (OTHER_COMMANDS.includes(letter)) {
      throw new TextError(
        `-${letter} has no place in a configuration; rules are written with -A`,
        option.column,
      );
    }
    if (COMMANDS.includes(letter)) return this.#setCommand(letter, value, option);
    if (invert && !"psdiof".includes(letter)) {
      throw new TextError(`${option.text} cannot be negated`, option.column);
    }
    if (!"mv46".includes(letter)) {
      const key = letter === "g" ? "j" : letter;
      if (this.#given.has(key)) throw new TextError(`${option.text} is given twice`, option.column);
      this.#given.add(key);
    }
    switch (letter) {
      case "p":
        return this.#protocol(value, invert);
      case "s":
        this.#later.push(() => rule.sources = this.#addresses(value, invert));
        return;
      case "d":
        this.#later.push(() => rule.destinations = this.#addresses(value, invert));
        return;
      case "i":
        rule.inInterface = this.#interface(value, invert);
        return;
      case "o":
        rule.outInterface = this.#interface(value, invert);
        return;
      case "f":
        if (this.#c.family === 6) throw new TextError("-f does not exist in IPv6", option.column);
        rule.fragment = true;
        rule.fragmentInvert = invert;
        return;
      case "m":
        this.#match(value);
        return;
      case "j":
        return this.#jump(value);
      case "g":
        if (!this.#c.userChains.has(value.text)) this.#noSuchTarget(value, true);
        rule.chain = { name: value.text, goto: true };
        return;
      case "c":
        if (this.#c.counted) {
          throw new TextError("-c cannot stand beside counters before the rule", option.column);
        }
        return this.#counters(value);
      case "t":
        throw new TextError(
          "-t cannot stand in a line; the table is named by the line that begins it",
          option.column,
        );
      case "4":
      case "6":
        if (Number(letter) !== this.#c.family) this.#otherFamily = true;
        return;
      case "v":
        return;
      default:
        throw new TextError(`${option.text} has no place in a rule`, option.column);
    }
  }

  #setCommand(letter: string, value: Word, option: Word): void {
    if (this.#command !== "") {
      throw new TextError(`-${letter} cannot stand beside -${this.#command}`, option.column);
    }
    if (this.#invert !== null) throw new TextError("a command cannot be negated", option.column);
    this.#command = letter;
    const next = this.#words[this.#at];
    const argument = next !== undefined && !/^[-!]/.test(next.text) ? next : null;
    if (letter === "F" || letter === "X") {
      this.#chain = argument ?? { text: "", column: option.column };
      if (argument !== null) this.#at++;
      if (letter === "X" && argument === null) {
        throw new TextError("-X needs the name of a chain", option.column);
      }
      return;
    }
    this.#chain = value;
    if (letter === "P") {
      if (argument === null || argument.text !== "ACCEPT" && argument.text !== "DROP") {
        throw new TextError("-P needs a chain and ACCEPT or DROP", (argument ?? option).column);
      }
      this.#rule.policy = argument.text === "DROP" ? DROP : ACCEPT;
      this.#at++;
    } else if (argument !== null && "DIR".includes(letter)) {
      const number = parseNumber(argument.text);
      if (number === null || number < 1) {
        throw new TextError(`${argument.text} is not the number of a rule`, argument.column);
      }
      this.#argument = number;
      this.#at++;
    } else if (letter === "R") throw new TextError("-R needs the number of a rule", option.column);
  }

  #protocol(value: Word, invert: boolean): void {
    const text = value.text.toLowerCase();
    const number = protocolNumber(text);
    if (number === null) {
      throw new TextError(
        `protocol ${JSON.stringify(text)} is not known; ${suggest(text, PROTOCOL_NAMES)}`,
        value.column,
      );
    }
    if (number === 0 && invert) throw new TextError("the rule would never match any protocol", value.column);
    this.#rule.protocol = number;
    this.#rule.protocolInvert = invert;
  }

  #addresses(value: Word, invert: boolean): AddressSpec[] {
    const list = value.text.split(",");
    if (invert && list.length > 1) throw new TextError("several addresses cannot be negated", value.column);
    return list.map((text) => {
      return { ...this.#read(() => readNetwork(text.trim(), this.#c.family), value), invert };
    });
  }

  #interface(value: Word, invert: boolean): InterfaceSpec {
    if (value.text === "") throw new TextError("the interface's name is empty", value.column);
    if (value.text.length > 15) {
      throw new TextError(
        `interface ${JSON.stringify(value.text)} is longer than 15 characters`,
        value.column,
      );
    }
    this.#rule.interfaceColumn = value.column;
    return { name: value.text, invert };
  }

  #counters(value: Word): void {
    const pair = value.text.includes(",")
      ? value.text.split(",")
      : [value.text, this.#words[this.#at++]?.text ?? ""];
    // As sscanf reads them: what follows a number is not looked at.
    const [packets, bytes] = pair.map((text) => /^\s*\+?(\d+)/.exec(text)?.[1]);
    if (packets === undefined || bytes === undefined) {
      throw new TextError("-c needs a packet and a byte counter", value.column);
    }
    this.#rule.packets = Number(packets);
    this.#rule.bytes = Number(bytes);
  }

  // ── extensions ────────────────────────────────────────────────────────────────────────────────────────────────

  #match(value: Word): void {
    const wanted = value.text === "icmpv6" || value.text === "ipv6-icmp" ? "icmp6" : value.text;
    const extension = wanted === "function" ? undefined : MATCH_BY_NAME.get(wanted);
    if (
      extension === undefined ||
      extension.families !== undefined && !extension.families.includes(this.#c.family)
    ) {
      const missing = extension === undefined ? unsupportedMatch(wanted) : null;
      if (missing !== null) {
        this.#unsupported(missing, value.column);
        return;
      }
      const known = MATCHES.filter((match) => match.name !== "function").map((match) => match.name);
      const why = extension === undefined
        ? `is not one that Weir has; ${suggest(wanted, known)}`
        : `does not exist in IPv${this.#c.family}`;
      throw new TextError(`match ${JSON.stringify(value.text)} ${why}`, value.column);
    }
    const draft = { extension, options: {}, column: value.column };
    this.#rule.matches.push(draft);
    this.#loaded.push(draft);
  }

  /** Loads the match of the rule's protocol, once. */
  #loadProtocol(column: number): boolean {
    if (this.#protocolLoaded || !this.#given.has("p")) return false;
    this.#protocolLoaded = true;
    const name = protocolName(this.#rule.protocol);
    const wanted = name === "ipv6-icmp" ? "icmp6" : name;
    const extension = MATCH_BY_NAME.get(wanted);
    if (extension === undefined) {
      const missing = unsupportedMatch(wanted);
      return missing !== null && this.#unsupported(missing, column);
    }
    const draft = { extension, options: {}, column };
    this.#rule.matches.push(draft);
    this.#loaded.push(draft);
    return true;
  }

  /** Takes what Weir has not as if it had it, where that may be left out. */
  #unsupported(extension: Unsupported, column: number): true {
    if (!this.#c.leaveOut) throw new TextError(extension.reason, column);
    this.#rule.unsupported ??= { reason: extension.reason, column };
    this.#loaded.push({ extension, options: {}, column });
    return true;
  }

  #jump(value: Word): void {
    const { userChains, table } = this.#c, name = value.text, rule = this.#rule;
    if (userChains.has(name)) rule.chain = { name, goto: false };
    else if (Object.hasOwn(VERDICTS, name)) {
      if (name === "DROP" && table === "nat") {
        throw new TextError(
          "DROP is not allowed in table nat, which sees first packets only; drop in filter",
          value.column,
        );
      }
      rule.verdict = name as keyof typeof VERDICTS;
    } else {
      const extension = TARGET_BY_NAME.get(name);
      if (extension === undefined) {
        rule.missing = unsupportedTarget(name) ?? this.#noSuchTarget(value, false);
        this.#unsupported(rule.missing, value.column);
        return;
      }
      rule.target = { extension, options: {}, column: value.column };
      this.#loaded.push(rule.target);
    }
  }

  /** `chains`: only a user chain would do. */
  #noSuchTarget(value: Word, chains: boolean): never {
    const known = [...this.#c.userChains];
    if (!chains) known.unshift(...Object.keys(VERDICTS), ...TARGETS.map((target) => target.name));
    if (this.#c.builtinChains.includes(value.text)) {
      throw new TextError(
        `${value.text} is a built-in chain; only user chains can be jumped to`,
        value.column,
      );
    }
    const what = chains ? "a user chain" : "neither a target that Weir has nor a user chain";
    const not = chains ? "not " : "";
    throw new TextError(
      `${JSON.stringify(value.text)} is ${not}${what} of table ${this.#c.table}; ${
        known.length === 0 ? "it has none" : suggest(value.text, known)
      }`,
      value.column,
    );
  }

  #extension(found: Found & { kind: "option" }, value: Word, option: Word): void {
    const { owner, name } = found, definition = found.option;
    if (owner.options[name] !== undefined) {
      throw new TextError(`${option.text} is given twice`, option.column);
    }
    if (this.#invert !== null && !definition.negatable) {
      throw new TextError(`${option.text} cannot be negated`, option.column);
    }
    let text = definition.kind.words === 0 ? "" : value.text;
    if (definition.kind.words === 2) {
      const second = this.#words[this.#at];
      if (second === undefined || /^[-!]/.test(second.text)) {
        throw new TextError(`${option.text} needs two values`, option.column);
      }
      this.#at++;
      text += ` ${second.text}`;
    }
    if (definition.kind === PERHAPS && !/^[-!]/.test(this.#words[this.#at]?.text ?? "-")) this.#at++;
    const invert = this.#invert !== null;
    const read = () => {
      const context = {
        family: this.#c.family,
        protocol: this.#rule.protocolInvert ? 0 : this.#rule.protocol,
        cut: true,
      };
      owner.options[name] = { value: this.#read(() => definition.kind.read(text, context), value), invert };
    };
    // `-m tcp --dport 1 -p tcp` is right, too, though not for a target; and a double use is to be seen in order.
    owner.options[name] = { value: text, invert };
    if (owner === this.#rule.target) read();
    else this.#later.push(read);
  }

  #read<T>(read: () => T, word: Word): T {
    try {
      return read();
    } catch (error) {
      if (error instanceof OptionError) throw new TextError(error.message, word.column);
      throw error;
    }
  }

  /** What iptables refuses of a whole line. */
  #checkLine(): void {
    const rule = this.#rule, chain = this.#chain.text;
    if (!"AIRD".includes(this.#command)) {
      if (this.#given.size > 0 || rule.matches.length > 0) {
        throw new TextError(`-${this.#command} takes no rule`, this.#chain.column);
      }
      return;
    }
    if (rule.outInterface !== null && (chain === "PREROUTING" || chain === "INPUT")) {
      throw new TextError(`-o is not known in ${chain}; use -i, or another chain`, rule.interfaceColumn);
    }
    if (rule.inInterface !== null && (chain === "POSTROUTING" || chain === "OUTPUT")) {
      throw new TextError(`-i is not known in ${chain}; use -o, or another chain`, rule.interfaceColumn);
    }
  }
}

/** Judges a rule once its table is whole. One with `unsupported` set is not to be used. */
export function finishRule(
  draft: DraftRule,
  c: RestoreContext & { table: TableName; hooks: number },
): RuleSpec[] {
  const place = {
    table: c.table,
    family: c.family,
    hooks: c.hooks,
    protocol: draft.protocolInvert ? 0 : draft.protocol,
  };
  const matches: MatchSpec[] = [];
  const at = (column: number) => draft.path.replace(/\d+$/, String(column));
  const finish = (extension: Extension, options: AnyOptions, column: number): AnyOptions | null => {
    try {
      checkPlace(extension, place, IPTABLES);
      const { helpers, timeouts, sets, setsLeftOut } = c, known = { helpers, timeouts, sets, setsLeftOut };
      return finishOptions(extension, options, { ...place, matches, ...known, cut: true }, IPTABLES);
    } catch (error) {
      if (!(error instanceof OptionError)) throw error;
      if (error instanceof UnsupportedError && c.leftOut !== undefined) {
        draft.unsupported ??= { reason: error.message, column };
      } else c.problems.add(at(column), error.message);
      return null;
    }
  };
  for (const { extension, options, column } of draft.matches) {
    const finished = finish(extension, options, column);
    if (finished !== null) matches.push({ extension, options: finished });
  }
  let target: TargetSpec | null = null;
  if (draft.verdict !== null) {
    target = { kind: "verdict", name: draft.verdict, verdict: VERDICTS[draft.verdict] };
  } else if (draft.chain !== null) {
    target = { kind: draft.chain.goto ? "goto" : "jump", chain: draft.chain.name };
  } else if (draft.target !== null) {
    const finished = finish(draft.target.extension, draft.target.options, draft.target.column);
    if (finished !== null) target = { kind: "target", extension: draft.target.extension, options: finished };
  }
  for (const spec of [draft.inInterface, draft.outInterface]) {
    if (spec !== null && !knownInterface(spec.name, c.interfaces)) {
      c.warnings.add(
        at(draft.interfaceColumn),
        `interface ${JSON.stringify(spec.name)} is not configured: the rule ${
          spec.invert ? "fits every packet" : "never fits"
        }`,
      );
    }
  }
  return [{
    source: draft.sources?.[0] ?? null,
    destination: draft.destinations?.[0] ?? null,
    inInterface: draft.inInterface,
    outInterface: draft.outInterface,
    protocol: draft.protocol,
    protocolInvert: draft.protocolInvert,
    fragment: draft.fragment,
    fragmentInvert: draft.fragmentInvert,
    matches,
    target,
    packets: draft.packets,
    bytes: draft.bytes,
    path: draft.path,
    line: draft.line,
  }];
}
