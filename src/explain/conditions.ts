/**
 * Which condition of a rule said no, and to what: `--dport 22: it is 80`, `dport 22: it is 80` in a rule that is an
 * object. Conditions are named as the rule names them.
 */
import type { Conntrack } from "../conntrack/core.ts";
import { formatMasked } from "../packet/address.ts";
import type { Packet } from "../packet/packet.ts";
import { protocolName } from "../tables/names.ts";
import type { AddressSpec, InterfaceSpec, MatchSpec, RuleSpec } from "../tables/entry.ts";
import type { AnyOptions, CreateContext, Match, ReadContext, TableName } from "../tables/extension.ts";
import type { Services } from "../tables/services.ts";
import type { Interfaces } from "../routing/interfaces.ts";
import * as T from "../tables/table.ts";
import * as R from "../tables/row.ts";
import { destinationText, sourceText } from "./ends.ts";
import { foundInstead } from "./found.ts";

/** Matches that are several conditions, each of which can be asked for itself without doing anything. */
const SEVERAL: readonly string[] = ["tcp", "udp", "sctp", "conntrack", "iprange", "addrtype", "ecn"];
/** FIN,SYN,RST,ACK of which SYN: what `--syn` stands for. */
const SYN_ONLY = "FIN,SYN,RST,ACK SYN";

/** Speaks for the rules of one table. */
export class Conditions {
  readonly #conntrack: Conntrack;
  readonly #interfaces: Interfaces;
  readonly #table: TableName;
  readonly #family: 4 | 6;

  constructor(conntrack: Conntrack, interfaces: Interfaces, table: TableName, family: 4 | 6) {
    this.#conntrack = conntrack;
    this.#interfaces = interfaces;
    this.#table = table;
    this.#family = family;
  }

  /** Of the basic part, in the order in which a table asks it. */
  basic(rule: RuleSpec, program: T.Program, at: number, p: Packet): string {
    const { rows, interfaceSets: sets } = program, flags = rows[at + R.FLAGS];
    if (
      (flags & R.ROW_PROTOCOL) !== 0 && !p.headerChainCut &&
      (p.protocol === rows[at + R.PROTOCOL]) === rule.protocolInvert
    ) {
      const asked = protocolName(rule.protocol);
      return says(rule, "-p", "protocol", asked, rule.protocolInvert, `it is ${protocolName(p.protocol)}`);
    }
    if ((flags & R.ROW_IN) !== 0 && sets[rows[at + R.IN] + p.inInterface] === 0) {
      return this.#interface(rule, "-i", "inInterface", rule.inInterface!, p.inInterface);
    }
    if ((flags & R.ROW_OUT) !== 0 && sets[rows[at + R.OUT] + p.outInterface] === 0) {
      return this.#interface(rule, "-o", "outInterface", rule.outInterface!, p.outInterface);
    }
    if (!T.networkHolds(p, rows, at, flags & (R.ROW_FRAGMENT | R.ROW_FRAGMENT_INVERT))) {
      const found = p.fragmentOffset === 0 ? "it is no later fragment" : "it is a later fragment";
      return says(rule, "-f", "fragment", "", rule.fragmentInvert, found);
    }
    if (!T.networkHolds(p, rows, at, flags & (R.ROW_SRC | R.ROW_SRC_WIDE | R.ROW_SRC_INVERT))) {
      return this.#address(rule, "-s", "source", rule.source!, sourceText(p, false));
    }
    return this.#address(rule, "-d", "destination", rule.destination!, destinationText(p, false));
  }

  #interface(rule: RuleSpec, flag: string, key: string, asked: InterfaceSpec, index: number): string {
    const found = index === 0 ? "there is none" : `it is ${this.#interfaces.name(index)}`;
    return says(rule, flag, key, asked.name, asked.invert, found);
  }

  #address(rule: RuleSpec, flag: string, key: string, asked: AddressSpec, found: string): string {
    const text = formatMasked(this.#family, asked.words, asked.mask);
    return says(rule, flag, key, text.replace(/\/(32|128)$/, ""), asked.invert, `it is ${found}`);
  }

  /** Of a match that said no. */
  match(rule: RuleSpec, { extension, options }: MatchSpec, p: Packet): string {
    const context: ReadContext = { family: this.#family, protocol: rule.protocolInvert ? 0 : rule.protocol };
    const names = Object.keys(extension.options).filter((name) => options[name] !== undefined);
    const name = names.find((name) =>
      names.length > 1 && this.#refuses(rule, { extension, options }, name, p)
    );
    const asked = name === undefined ? names : [name];
    const parts = asked.map((name) => option(rule, { extension, options }, name, context));
    const { value, invert } = options[asked[0]] ?? { value: undefined, invert: false };
    const helpers = this.#conntrack.helpers.flatMap((helper) => helper.name === "" ? [] : [helper.name]);
    const found = extension.never?.(options, helpers) ??
      foundInstead(extension.name, asked[0], p, this.#conntrack, value, invert);
    return `${parts.join(" ") || extension.name}: ${found}`;
  }

  /** True if this one option, alone, says no. */
  #refuses(rule: RuleSpec, { extension, options }: MatchSpec, name: string, p: Packet): boolean {
    if (!SEVERAL.includes(extension.name)) return false;
    const context: CreateContext = {
      family: this.#family,
      protocol: rule.protocolInvert ? 0 : rule.protocol,
      table: this.#table,
      // These matches ask the router for nothing else.
      services: { conntrack: this.#conntrack, interfaces: this.#interfaces } as Services,
      rule: rule.path,
    };
    // Flags say how the others are meant.
    const flags = Object.entries(options).filter(([other]) => extension.options[other].kind.words === 0);
    const hotdrop = p.hotdrop, one: AnyOptions = { ...Object.fromEntries(flags), [name]: options[name] };
    const alone: Match = extension.create(one, context);
    const holds = alone.match(p);
    p.hotdrop = hotdrop;
    return !holds;
  }
}

/** True for a rule that was written as text. */
function isText(rule: RuleSpec): boolean {
  return rule.line !== undefined;
}

function says(
  rule: RuleSpec,
  flag: string,
  key: string,
  value: string,
  invert: boolean,
  found: string,
): string {
  const text = isText(rule)
    ? `${invert ? "! " : ""}${flag} ${value}`
    : `${key} ${invert ? "! " : ""}${value}`;
  return `${text.trim()}: ${found}`;
}

/** One option as the rule has it. */
function option(rule: RuleSpec, { extension, options }: MatchSpec, name: string, c: ReadContext): string {
  const { flag, kind } = extension.options[name], { value, invert } = options[name]!;
  const not = invert ? "! " : "";
  let text = kind.words === 0 ? "" : ` ${kind.print(value as never, c)}`;
  let [words, key] = [flag, name];
  if (name === "tcpFlags" && text === ` ${SYN_ONLY}`) [words, key, text] = ["syn", "syn", ""];
  if (extension.name === "function") return `match${text}`;
  return isText(rule) ? `${not}--${words}${text}` : `${key}${invert ? " !" : ""}${text}`;
}
