/**
 * Reads the lines of `conntrack -L`, `conntrack -L expect` and the text of `iptables-save -c`.
 *
 * @module
 */
import { lines } from "./scenario.ts";

/** One direction of a flow as listed; ICMP has `type`, `code` and `id` instead of ports. */
export type Direction = Readonly<Record<string, string>>;

/** One line of `conntrack -L`. */
export interface Flow {
  protocol: string;
  timeout: number;
  /** TCP, SCTP: the state's name. */
  state: string;
  original: Direction;
  reply: Direction;
  unreplied: boolean;
  assured: boolean;
  /** What follows the directions: mark, zone, helper … */
  rest: Direction;
  text: string;
}

/** One line of `conntrack -L expect`. */
export interface Expectation {
  timeout: number;
  tuple: Direction;
  mask: Direction;
  master: Direction;
  rest: Direction;
  text: string;
}

/** Reads a flow. */
export function readFlow(text: string): Flow {
  const words = text.trim().split(/\s+/);
  const flow = { protocol: words[0], timeout: NaN, state: "", unreplied: false, assured: false, text };
  const original: Record<string, string> = {},
    reply: Record<string, string> = {},
    rest: Record<string, string> = {};
  let side = original;
  for (const [i, word] of words.entries()) {
    if (i === 0 || i === 1) continue;
    const at = word.indexOf("=");
    if (word === "[UNREPLIED]") flow.unreplied = true;
    else if (word === "[ASSURED]") flow.assured = true;
    else if (at < 0 && /^\d+$/.test(word) && i === 2) flow.timeout = Number(word);
    else if (at < 0) flow.state = word;
    else {
      const name = word.slice(0, at);
      if (name === "src" && "src" in original) side = reply;
      else if (["mark", "secctx", "zone", "helper", "use", "id", "delta-time"].includes(name)) {
        if (!(name === "id" && !("id" in side) && "type" in side)) {
          rest[name] = word.slice(at + 1);
          continue;
        }
      }
      side[name] = word.slice(at + 1);
    }
  }
  return { ...flow, original, reply, rest };
}

/** Reads an expectation. */
export function readExpectation(text: string): Expectation {
  const tuple: Record<string, string> = {},
    mask: Record<string, string> = {},
    master: Record<string, string> = {};
  const rest: Record<string, string> = {};
  let side = tuple, timeout = NaN;
  for (const [i, word] of text.trim().split(/\s+/).entries()) {
    const at = word.indexOf("=");
    if (at < 0) {
      if (i === 0) timeout = Number(word);
      else rest[word] = "";
      continue;
    }
    let name = word.slice(0, at);
    if (name.startsWith("mask-")) [side, name] = [mask, name.slice(5)];
    else if (name.startsWith("master-")) [side, name] = [master, name.slice(7)];
    else if (["class", "helper", "zone"].includes(name)) side = rest;
    side[name] = word.slice(at + 1);
  }
  return { timeout, tuple, mask, master, rest, text };
}

/** The lines of each table of an iptables-save text. */
export function readTables(text: string): Map<string, string[]> {
  const tables = new Map<string, string[]>();
  let current: string[] = [];
  for (const line of lines(text)) {
    if (line.startsWith("*")) tables.set(line.slice(1), current = []);
    else if (line !== "COMMIT") current.push(line);
  }
  return tables;
}
