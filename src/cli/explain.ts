/** `weir explain CONFIG --in IFACE PACKET`: how a packet would go through a router, and why. */

import type { Explainer, Explanation } from "../explain/mod.ts";
import type { ValidConfig } from "../config/valid.ts";
import { arrange, helperKey, type Order } from "../config/order.ts";
import { namesIn } from "../control/reload.ts";
import type { StateView } from "../control/state_file.ts";
import { BatchClock } from "../dataplane/clock.ts";
import { Memory } from "../memory.ts";
import type { VirtualState } from "../replay/virtual.ts";
import { geometryOf } from "../geometry.ts";
import { PcapngError, readPcapng } from "../replay/pcapng.ts";
import { type Command, Refused, Usage } from "./command.ts";
import { openRunning } from "./running.ts";
import { load, validated } from "./load.ts";
import { print, screen } from "./output.ts";

export const explain: Command = {
  name: "explain",
  usage:
    "CONFIG --in IFACE PACKET [--after TIME] [--in IFACE PACKET …] [--at MOMENT] [--state NAME] [--verbose] [--json]",
  summary: "tells how a packet would go through a router, rule by rule, and why",
  help: `
Sends PACKET into the router that CONFIG describes, by interface IFACE, and prints its way: which flow it belongs to, each
rule that was asked and what it said, translation, helper, route, and what leaves where, or why nothing does. It is the
router that \`run\` would make, in memory, with a clock that stands still: no devices, no privilege.

Several packets go in one after the other, each by the interface of the last --in before it, so that an answer, or what
a helper has announced, can be explained too.

PACKET is one word, in quotes:
  "tcp 192.0.2.2:1000 > 203.0.113.9:80 syn"              flags, seq, ack, win; a SYN when nothing is said
  'udp [2001:db8::2]:1000 > [2001:db8::9]:53 "text"'     a payload as text or hex:0102
  "icmp 192.0.2.2 > 203.0.113.9 echo-request id 5"       other types by name, or type and code
  "icmp 203.0.113.9 > 192.0.2.2 unreachable code 3 about (udp 192.0.2.2:1000 > 203.0.113.9:53)"
  with ttl, tos, id, len, mark (what it is marked with when it comes in); or a line that explain has printed
  4500001c…                                              the bytes of an IP packet
  FILE.pcapng                                            all packets of a capture, by its own interfaces and times

  --in IFACE     the interface by which the packets behind it come in; the host device's name for packets that programs of
                 this machine send
  --after TIME   time passes before the next packet: 2s, 500ms, 5m, 1h
  --at MOMENT    the packets come then, 2026-01-31T22:00 (UTC), for rules that ask for the time; now otherwise
  --state NAME   with the flows that the running router NAME has at this moment, or those of a state file by its path: a
                 copy, which it does not notice. CONFIG must be its configuration.
  --verbose      every rule that was asked, and the ways of answers; without it rows of rules that did not match are
                 counted
  --seed N       where chance begins (ports that NAT chooses); 1 by default
  --json         prints an array, one object for each packet

Example:
  $ weir explain examples/gateway.ts --in wan "tcp 198.51.100.2:4000 > 192.0.2.2:22"
  in wan: IPv4 198.51.100.2:4000 > 192.0.2.2:22 TCP SYN seq 1 win 64240 len 0
  …
  dropped: policy-drop, by filter FORWARD policy`,
  async run(args) {
    const asked = read(args);
    const config = validated(asked.config, (await load(asked.config)).config);
    // Loaded when it is asked for: `run` starts without it.
    const explain = await import("../explain/mod.ts");
    const { valid, state } = asked.state === null
      ? { valid: config, state: undefined }
      : stateOf(asked.state, config);
    const explainer = new explain.Explainer(valid, { seed: asked.seed, state, begins: asked.begins });
    const packet = (text: string) => {
      try {
        return explain.parsePacket(text);
      } catch (error) {
        if (!(error instanceof explain.PacketTextError)) throw error;
        const quotes = /\s/.test(text) ? "" : " (a packet is one word, in quotes)";
        throw new Usage(`${text}: ${error.message}${quotes}`);
      }
    };
    const explained: Explanation[] = [], texts: string[] = [];
    const style = { ...screen(), verbose: asked.verbose };
    for (const step of asked.steps) {
      if ("after" in step) {
        const sent = explainer.advance(step.after);
        texts.push([`after ${step.text}`, ...sent.map((s) => `out ${s.interface}: ${s.packet}`)].join("\n"));
        continue;
      }
      for (const coming of packetsOf(step, explainer, packet)) {
        explainer.advance(coming.wait);
        const explanation = attempt(() => explainer.send(coming.interface, coming.bytes, coming.mark));
        explained.push(explanation);
        texts.push(explain.printExplanation(explanation, style));
      }
    }
    print(asked.json ? JSON.stringify(explained, hexBytes) : texts.join("\n\n"));
    return 0;
  },
};

/** What is to happen: time passes, or a packet comes in. */
type Asked = { readonly after: number; readonly text: string } | Given;

/** A packet as it was given. */
interface Given {
  readonly interface: string | null;
  readonly packet: string;
}

/** The command line. Its order counts, which is why no parser of options does it. */
function read(args: readonly string[]) {
  const steps: Asked[] = [], words: string[] = [];
  let iface: string | null = null,
    state: string | null = null,
    begins = Date.now() / 1000,
    seed = 1,
    verbose = false,
    json = false;
  for (let i = 0; i < args.length; i++) {
    const [, name, inline] = /^(--[a-z]+)(?:=(.*))?$/s.exec(args[i]) ?? [];
    const value = () => {
      const text = inline ?? args[++i];
      if (text === undefined || text === "") throw new Usage(`${name} is followed by a value`);
      return text;
    };
    if (name === "--in") iface = value();
    else if (name === "--state") state = value();
    else if (name === "--after") {
      const text = value();
      steps.push({ after: milliseconds(text), text });
    } else if (name === "--at") {
      const text = value();
      begins = Date.parse(/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?$/.test(text) ? `${text}Z` : text) / 1000;
      if (!(begins >= 0)) {
        throw new Usage(`--at ${text}: a moment such as 2026-01-31 or 2026-01-31T22:00, in UTC`);
      }
    } else if (name === "--seed") {
      const text = value();
      seed = Number(text);
      if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff) {
        throw new Usage(`--seed ${text}: a whole number from 0 to 4294967295`);
      }
    } else if (args[i] === "--verbose" || args[i] === "-v") verbose = true;
    else if (args[i] === "--json") json = true;
    else if (args[i].startsWith("-")) throw new Usage(`unknown option ${args[i]}`);
    else if (words.push(args[i]) > 1) {
      if (iface === null && !isCapture(args[i])) {
        throw new Usage("--in says by which interface the packet comes in");
      }
      steps.push({ interface: iface, packet: args[i] });
    }
  }
  if (words.length === 0) throw new Usage("CONFIG is missing");
  if (words.length === 1) throw new Usage("PACKET is missing");
  return { config: words[0], steps, state, begins, seed, verbose, json };
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function milliseconds(text: string): number {
  const [, number, unit = "s"] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  if (number === undefined) throw new Usage(`--after ${text}: a time such as 2s, 500ms, 5m, 1h`);
  return Number(number) * UNITS[unit];
}

function isCapture(word: string): boolean {
  return /\.pcapng$/i.test(word);
}

/** A packet to send, and how long after the one before. */
interface Coming {
  readonly interface: string;
  readonly bytes: Uint8Array;
  readonly mark: number;
  readonly wait: number;
}

function packetsOf(
  given: Given,
  explainer: Explainer,
  read: (text: string) => { bytes: Uint8Array; mark: number },
): Coming[] {
  if (isCapture(given.packet)) return captured(given, explainer);
  return [{ interface: given.interface!, ...read(given.packet), wait: 0 }];
}

/**
 * A copy of the state of a running router, by its name or by the path of its state file, and the configuration with the
 * numbers that its flows speak of: a reload keeps them.
 */
function stateOf(name: string, config: ValidConfig): { valid: ValidConfig; state: VirtualState } {
  const clock = new BatchClock();
  const buffer = name.includes("/")
    ? attempt(() => Deno.readFileSync(name).buffer, name)
    : copied(openRunning(name).view);
  const memory = attempt(() => Memory.open(buffer), name), { geometry } = memory;
  const order = namesIn(memory), valid = arrange(config, order), wanted = geometryOf(valid);
  const sizes = ["interfaces", "rules", "flows", "expects"] as const;
  if (!areOf(order, config) || sizes.some((size) => geometry[size] !== wanted[size])) {
    throw new Refused(`${name} is the state of a router with another configuration`);
  }
  return { valid, state: { buffer, clock } };
}

/** True if these are the names of this configuration's interfaces and helpers, in whatever order. */
function areOf({ interfaces, helpers }: Order, config: ValidConfig): boolean {
  const same = (a: readonly string[], b: readonly string[]) =>
    a.filter((name) => name !== "").sort().join("\n") === b.toSorted().join("\n");
  return same(interfaces, config.interfaces.map(({ name }) => name)) &&
    same(helpers, config.helpers.map(helperKey));
}

/** Read from the file, whose holes stay holes then. */
function copied(view: StateView): ArrayBuffer {
  try {
    return Deno.readFileSync(view.path).buffer;
  } finally {
    view.close();
  }
}

/** The packets of a capture, by their own interfaces, or by that of --in where the router has no such one. */
function captured({ interface: iface, packet: path }: Given, explainer: Explainer): Coming[] {
  const capture = attempt(() => readPcapng(Deno.readFileSync(path)), path);
  if (capture.packets.length === 0) throw new Refused(`${path}: there is no packet in it`);
  let before = capture.packets[0].time;
  return capture.packets.map(({ interface: number, time, bytes }) => {
    const own = capture.interfaces[number].name, name = explainer.has(own) ? own : iface ?? own;
    const wait = Math.max(0, Number(time - before) / 1_000_000);
    if (time > before) before = time;
    return { interface: name, bytes, mark: 0, wait };
  });
}

function attempt<T>(f: () => T, path?: string): T {
  try {
    return f();
  } catch (error) {
    if (error instanceof RangeError) throw new Refused(error.message);
    const known = error instanceof PcapngError || path !== undefined && error instanceof Error;
    if (known) throw new Refused(`${path}: ${error.message.replace(/ \(os error \d+\).*/, "")}`);
    throw error;
  }
}

/** Bytes are text in JSON. */
function hexBytes(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? value.toHex() : value;
}
