/** Sets as the configuration gives them: headers and members, checked, not yet at work. */
import type { Family } from "../netfilter.ts";
import type { Elements } from "./elements.ts";
import type { SetHeader } from "./header.ts";

/** A hash or a bitmap. */
export interface HashSpec {
  readonly header: SetHeader;
  readonly elements: Elements;
}

/** A list of sets. Its elements' keys are numbers in `members`, in their order. */
export interface ListSpec {
  readonly header: SetHeader;
  readonly elements: Elements;
  /** Names of the sets. */
  readonly members: readonly string[];
}

/** A set by its name: one of each family for those sets of the configuration that have both. */
export interface SetSpec {
  readonly name: string;
  readonly ipv4: HashSpec | null;
  readonly ipv6: HashSpec | null;
  readonly list: ListSpec | null;
}

/** A text that differs when a set's header or its members, as the configuration says them, do. */
export function textOfSet({ ipv4, ipv6, list }: SetSpec): string {
  const part = (spec: HashSpec | null) => spec && [spec.header, spec.elements.digest()];
  return JSON.stringify([part(ipv4), ipv4 === ipv6 ? null : part(ipv6), part(list), list?.members]);
}

/** True when rules of a family can ask for a set. */
export function hasFamily(spec: SetSpec, family: Family): boolean {
  return spec.list !== null || (family === 4 ? spec.ipv4 : spec.ipv6) !== null;
}
