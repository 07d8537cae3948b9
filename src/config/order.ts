/**
 * The numbers under which flows know interfaces and helpers. A configuration that takes another's place keeps the numbers
 * of what both have; what is new gets new ones, and what is gone leaves its own free for as long as flows may have it.
 *
 * @module
 */
import type { ConntrackHelper } from "../conntrack/helper.ts";
import { MOST_HELPERS } from "../conntrack/roster.ts";
import { ACCEPT } from "../netfilter.ts";
import type { ValidConfig, ValidInterface } from "./valid.ts";

/** Names by number; "" where nobody has it. */
export interface Order {
  /** Interfaces; the first has index 1. */
  readonly interfaces: readonly string[];
  /** Helpers, by name and protocol (`helperKey`); the first has index 0. */
  readonly helpers: readonly string[];
}

/** What tells a helper apart from others of its router. */
export function helperKey({ name, protocol }: { readonly name: string; readonly protocol: number }): string {
  return name === "" ? "" : `${name} ${protocol}`;
}

/** The order of what is listed in `names`, after another one. */
export function follow(names: Order, before: Order | null): Order {
  return {
    interfaces: place(names.interfaces, before?.interfaces ?? [], Infinity),
    helpers: place(names.helpers, before?.helpers ?? [], MOST_HELPERS),
  };
}

/** Who was there stays; who is new comes behind, or, where there is no room behind, to a place that was free before. */
function place(names: readonly string[], before: readonly string[], most: number): string[] {
  const order = before.map((name) => names.includes(name) ? name : "");
  for (const name of names) {
    if (order.includes(name)) continue;
    if (order.length < most) order.push(name);
    else order[before.findIndex((other, i) => other === "" && order[i] === "")] = name;
  }
  // What was free already has no flows any more.
  while (order.length > 0 && order.at(-1) === "" && (before[order.length - 1] ?? "") === "") order.pop();
  return order;
}

/** The configuration with its interfaces and helpers at these numbers. */
export function arrange(config: ValidConfig, order: Order): ValidConfig {
  return {
    ...config,
    interfaces: arrangeInterfaces(config.interfaces, order),
    helpers: arrangeHelpers(config, order),
  };
}

/** Interfaces at these numbers; where nobody is there is one without a name. */
export function arrangeInterfaces(interfaces: readonly ValidInterface[], order: Order): ValidInterface[] {
  return order.interfaces.map((name, i) => {
    const there = interfaces.find((candidate) => candidate.name === name);
    return {
      ...there ?? { name: "", device: "", addresses: [], mtu: 0, offload: false, peer: null, up: false },
      index: i + 1,
    };
  });
}

function arrangeHelpers({ helpers }: ValidConfig, order: Order): ConntrackHelper[] {
  return order.helpers.map((key) => helpers.find((helper) => helperKey(helper) === key) ?? NOBODY);
}

/** Keeps a helper's number free. */
const NOBODY: ConntrackHelper = {
  name: "",
  protocol: 0,
  families: [],
  ports: [],
  autoAssign: false,
  policies: [],
  help: () => ACCEPT,
};
