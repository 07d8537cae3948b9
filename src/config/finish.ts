/**
 * What both doors of rules share: whether a match or target may stand where it stands, and what its options mean
 * together.
 *
 * @module
 */
import type { Family } from "../netfilter.ts";
import { HOOK_NAMES } from "../netfilter.ts";
import {
  type AnyOptions,
  type CheckContext,
  type Extension,
  OptionError,
  type TableName,
} from "../tables/extension.ts";
import { protocolName } from "../tables/names.ts";

/** Where a rule stands and what it asks for beside its matches. */
export interface Place {
  readonly table: TableName;
  readonly family: Family;
  /** Hooks that its chain is reached from, as bits; 0 when it is not reached. */
  readonly hooks: number;
  /** 0 for any protocol or a negated one. */
  readonly protocol: number;
}

/** How a door calls an option, and how it writes a protocol. */
export interface Wording {
  option(extension: Extension, name: string): string;
  protocol(name: string): string;
}

/** Options as a user of `tables` writes them. */
export const TYPESCRIPT: Wording = {
  option: (_, name) => name,
  protocol: (name) => `protocol: "${name}"`,
};

/** Options as iptables writes them. */
export const IPTABLES: Wording = {
  option: (extension, name) => `--${extension.options[name].flag}`,
  protocol: (name) => `-p ${name}`,
};

/** Names joined as in a sentence. */
function either(names: readonly string[]): string {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`;
}

/** Judges where the extension stands; throws `OptionError`. */
export function checkPlace(extension: Extension, place: Place, words: Wording): void {
  if (extension.families !== undefined && !extension.families.includes(place.family)) {
    throw new OptionError(`${extension.name} does not exist in IPv${place.family}`);
  }
  if (extension.tables !== undefined && !extension.tables.includes(place.table)) {
    throw new OptionError(
      `${extension.name} is not allowed in table ${place.table}; it belongs in ${either(extension.tables)}`,
    );
  }
  if (extension.hooks !== undefined && (place.hooks & ~extension.hooks) !== 0) {
    const names = (mask: number) => HOOK_NAMES.filter((_, hook) => (mask & (1 << hook)) !== 0);
    throw new OptionError(
      `${extension.name} is not allowed in ${either(names(place.hooks & ~extension.hooks))}; use it in ${
        either(names(extension.hooks))
      }`,
    );
  }
  if (extension.protocols !== undefined && !extension.protocols.includes(place.protocol)) {
    const wanted = extension.protocols.map((number) => words.protocol(protocolName(number)));
    throw new OptionError(`${extension.name} needs ${either(wanted)} in the same rule, not negated`);
  }
}

/** Judges the options together and returns them in the form that is kept; throws `OptionError`. */
export function finishOptions(
  extension: Extension,
  given: AnyOptions,
  c: CheckContext,
  words: Wording,
): AnyOptions {
  const has = (name: string) => given[name] !== undefined;
  const called = (names: readonly string[]) => names.map((name) => words.option(extension, name));
  const both = (extension.exclusive ?? []).filter(has);
  if (both.length > 1) throw new OptionError(`${called(both).join(" and ")} exclude each other; keep one`);
  if (extension.required !== undefined && !extension.required.some(has)) {
    throw new OptionError(`${extension.name} needs ${either(called(extension.required))}`);
  }
  return extension.finish === undefined ? given : extension.finish(given, c) as AnyOptions;
}

/** Whether these options switch tracking on. */
export function tracks(extension: Extension, options: AnyOptions): boolean {
  return typeof extension.tracks === "function" ? extension.tracks(options) : extension.tracks === true;
}
