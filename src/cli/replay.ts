/** `weir replay`: a capture through a router, without devices and in no time. */

import { parseArgs } from "@std/cli/parse-args";
import { replay as run, type Replayed, ReplayError } from "../replay/replay.ts";
import { PcapngError } from "../replay/pcapng.ts";
import { type Command, Refused, unknownOption, Usage } from "./command.ts";
import { counted, load, validated } from "./load.ts";
import { complain, print } from "./output.ts";

export const replay: Command = {
  name: "replay",
  usage: "CONFIG IN.pcapng OUT.pcapng [--seed N] [--dump DIR] [--json] | --batch FILE [--seed N]",
  summary: "takes a capture through a router: today's packets, tomorrow's rules",
  help: `
Reads the packets of IN.pcapng, takes them through the router that CONFIG describes, and writes what would have left to
OUT.pcapng. Each interface of the capture has an if_name that is an interface of the configuration, and link type 101
(raw IP). The clock follows the packets' timestamps, so timeouts and limits work as they would have; the same seed gives
the same bytes. It needs no privilege.

  --seed N      where chance begins (ports that NAT chooses, ids); 1 by default
  --dump DIR    writes the tables as they stand at the last packet: DIR/conntrack and DIR/expect as conntrack -L prints
                them, DIR/iptables and DIR/ip6tables as iptables-save -c does
  --json        prints what came of it: packets in and out, drops by reason
  --batch FILE  many at once: each line of FILE is CONFIG IN OUT DUMP-DIR. Each line answers for itself, with "ok" or
                with its reason; the exit code is 1 if any was refused.

Example:
  $ weir replay examples/gateway.ts monday.pcapng out.pcapng --dump tables
  7 packets in, 6 out; policy-drop 1`,
  async run(args) {
    const options = parseArgs(args, {
      boolean: ["json"],
      string: ["_", "seed", "dump", "batch"],
      unknown: unknownOption,
    });
    const seed = options.seed === undefined ? 1 : Number(options.seed);
    if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff || options.seed === "") {
      throw new Usage(`--seed ${options.seed}: a whole number from 0 to 4294967295`);
    }
    const words = options._.map(String);
    if (options.batch !== undefined) {
      if (words.length > 0 || options.dump !== undefined || options.json) {
        throw new Usage("--batch FILE stands alone, but for --seed");
      }
      return await batch(options.batch, seed);
    }
    if (words.length !== 3) {
      throw new Usage(`CONFIG, IN and OUT are needed, ${counted(words.length, "word")} given`);
    }
    const [config, input, output] = words;
    const result = await one(config, input, output, options.dump, seed);
    if (result.cut > 0) {
      complain(
        `weir: ${input} holds only the beginning of ${counted(result.cut, "packet")}; those die as too short`,
      );
    }
    print(options.json ? json(result) : summary(result));
    return 0;
  },
};

/** Replays one capture and writes its files: all of them, or none and a reason. */
async function one(
  config: string,
  input: string,
  output: string,
  dump: string | undefined,
  seed: number,
): Promise<Replayed> {
  const valid = validated(config, (await load(config)).config);
  const result = replayed(input, () => run(valid, read(input), { seed }));
  const files: [string, Uint8Array][] = [[output, result.output]];
  if (dump !== undefined) {
    attempt(dump, () => Deno.mkdirSync(dump, { recursive: true }));
    const encoder = new TextEncoder();
    for (const [name, text] of Object.entries(result.dumps)) {
      files.push([`${dump}/${name}`, encoder.encode(text)]);
    }
  }
  write(files);
  return result;
}

function replayed<T>(input: string, f: () => T): T {
  try {
    return f();
  } catch (error) {
    if (error instanceof PcapngError || error instanceof ReplayError) {
      throw new Refused(`${input}: ${error.message}`);
    }
    throw error;
  }
}

function read(path: string): Uint8Array {
  return attempt(path, () => Deno.readFileSync(path));
}

/** Writes every file beside its place first, so that a full disk leaves nothing half-written in it. */
function write(files: readonly [string, Uint8Array][]): void {
  const made: string[] = [];
  try {
    for (const [path, bytes] of files) {
      const beside = `${path}.${Deno.pid}.part`;
      made.push(beside);
      attempt(path, () => Deno.writeFileSync(beside, bytes));
    }
    for (const [i, [path]] of files.entries()) attempt(path, () => Deno.renameSync(made[i], path));
  } catch (error) {
    for (const path of made) {
      try {
        Deno.removeSync(path);
      } catch {
        // It was never made, or has its name already.
      }
    }
    throw error;
  }
}

function attempt<T>(path: string, f: () => T): T {
  try {
    return f();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new Refused(`${path}: ${error.message.replace(/ \(os error \d+\).*/, "")}`);
  }
}

async function batch(file: string, seed: number): Promise<number> {
  const text = new TextDecoder().decode(read(file));
  let refused = 0;
  for (const [i, line] of text.split("\n").entries()) {
    const words = line.trim().split(/\s+/);
    if (words[0] === "" || words[0].startsWith("#")) continue;
    const answer = await answerTo(words, seed);
    if (answer !== "ok") refused++;
    print(`${i + 1} ${answer}`);
  }
  return refused > 0 ? 1 : 0;
}

async function answerTo(words: readonly string[], seed: number): Promise<string> {
  if (words.length !== 4) {
    return `refused: CONFIG IN OUT DUMP-DIR are needed, ${counted(words.length, "word")} given`;
  }
  try {
    await one(words[0], words[1], words[2], words[3], seed);
    return "ok";
  } catch (error) {
    if (error instanceof Refused) return `refused: ${error.message.replaceAll("\n", "; ")}`;
    throw error;
  }
}

function summary({ received, emitted, drops }: Replayed): string {
  const dropped = drops.map(([name, packets]) => `${name} ${packets}`).join(", ");
  return `${counted(received, "packet")} in, ${emitted} out${dropped && `; ${dropped}`}`;
}

function json({ received, emitted, drops, cut }: Replayed): string {
  return JSON.stringify({ received, emitted, cut, drops: Object.fromEntries(drops) });
}
