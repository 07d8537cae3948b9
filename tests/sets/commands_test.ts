/** Random commands to sets at work: Linux's `ipset` beside `weir set`, what each refuses and what the sets then hold. */
import { assertEquals } from "@std/assert";
import { HeapArena } from "../../src/arena.ts";
import { validate } from "../../src/config/validate.ts";
import { SetCommands, type SetRequest } from "../../src/dataplane/set_commands.ts";
import { Interfaces } from "../../src/routing/interfaces.ts";
import { Sets } from "../../src/sets/mod.ts";
import { Chance } from "../fuzz/chance.ts";
import { VirtualClock } from "../kit/mod.ts";
import { find } from "../netns/programs.ts";
import { kernelAvailable } from "../oracle/kernel.ts";
import { inNewNetns } from "../oracle/netns.ts";
import { INTERFACES } from "../tables/rig.ts";
import { comparable } from "./lines.ts";
import { member, setText, TYPES } from "./random_sets.ts";

const able = kernelAvailable() && find("ipset") !== null;
const SEEDS = Number(Deno.env.get("WEIR_SET_SEEDS") ?? 4),
  FIRST = Number(Deno.env.get("WEIR_SET_FIRST") ?? 1);

/** Runs ipset: whether it says yes, and what it says. */
function ipset(args: readonly string[]): { done: boolean; text: string } {
  const { success, stdout, stderr } = new Deno.Command("ipset", { args: [...args] }).outputSync();
  const text = new TextDecoder();
  return { done: success, text: text.decode(stdout) + text.decode(stderr) };
}

/** A set of Weir that takes commands. */
class WeirSet {
  readonly #commands: SetCommands;

  constructor(text: string) {
    const config = validate({ interfaces: INTERFACES, ipset: text }), clock = new VirtualClock();
    const interfaces = new Interfaces(config.interfaces), arena = new HeapArena();
    const sets = new Sets(config.sets, new Set(), { clock, arena, interfaces, seed: 7, roomy: true });
    this.#commands = new SetCommands(sets, clock);
  }

  ask(request: SetRequest): { done: boolean; text: string } {
    const { done, text } = this.#commands.answer(JSON.stringify(request));
    return request.verb === "test" && done ? { done: JSON.parse(text).holds, text } : { done, text };
  }

  save(): string {
    let text = "", from: number | null = 0;
    while (from !== null) {
      const { create, entries, next } = JSON.parse(this.ask({ verb: "list", set: "a", from }).text);
      if (from === 0) text += `${create}\n`;
      for (const entry of entries) text += `add a ${entry}\n`;
      from = next;
    }
    return text;
  }
}

/** What stands behind the member of an `add`. */
function beside(c: Chance, create: string, type: string): string[] {
  const words: string[] = [];
  if (create.includes(" timeout ") && c.is(0.5)) words.push("timeout", String(c.pick([0, 100, 900])));
  // Where a member of a bitmap was taken out, Linux goes on with what it had counted if nobody says otherwise.
  if (create.includes(" counters") && (type.startsWith("bitmap:") || c.is(0.5))) {
    words.push("packets", "3", "bytes", String(c.below(900)));
  }
  if (create.includes(" comment") && c.is(0.5)) words.push("comment", `no${c.below(9)}`);
  if (create.includes(" skbinfo") && c.is(0.5)) words.push("skbmark", `0x${c.between(1, 3)}/0xf`);
  if (type.includes("net") && c.is(0.2)) words.push("nomatch");
  if (type.endsWith("iface") && c.is(0.2)) words.push("wildcard");
  return words;
}

/** A member; of several at once Linux tests the first, or none, and Weir all. */
function drawn(c: Chance, type: string, family: 4 | 6, verb: string): string {
  for (;;) {
    const text = member(c, type, family);
    if (verb !== "test" || !/\d-\d/.test(text)) return text;
  }
}

for (const type of TYPES) {
  for (const family of type.startsWith("bitmap:") ? [4] as const : [4, 6] as const) {
    Deno.test({
      name: `SetCommands: ipset and Weir agree about random commands to sets of type ${type}, IPv${family}`,
      ignore: !able || !inNewNetns(() => kernelHas(type)),
      fn() {
        for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
          inNewNetns(() => {
            const c = new Chance(seed * 100 + TYPES.indexOf(type)),
              text = setText(c, "a", type, family, c.below(6));
            const create = text.split("\n")[0], said = [text];
            const weir = new WeirSet(text);
            for (const line of text.trim().split("\n")) ipset(wordsOf(line));
            for (let n = 0; n < 50; n++) {
              const verb = c.weighted([[8, "add"], [4, "del"], [4, "test"], [0.2, "flush"]] as const);
              const exist = c.is(0.4), entry = verb === "flush" ? [] : [drawn(c, type, family, verb)];
              if (verb === "add") entry.push(...beside(c, create, type));
              said.push([verb, ...entry, exist ? "-exist" : ""].join(" "));
              const linux = ipset([verb, "a", ...entry, ...exist ? ["-exist"] : []]);
              const own = weir.ask({ verb, set: "a", entry: entry.join(" "), exist });
              const what = `seed ${seed}\n${said.join("\n")}\nlinux: ${linux.text}weir: ${own.text}\n`;
              assertEquals(own.done, linux.done, what);
              assertEquals(comparable(weir.save()), comparable(ipset(["save", "a"]).text), what);
            }
          });
        }
      },
    });
  }
}

function wordsOf(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain);
}

/** Whether this machine's kernel has a type. */
function kernelHas(type: string): boolean {
  const range: Record<string, string[]> = {
    "bitmap:ip": ["range", "192.0.2.0/24"],
    "bitmap:port": ["range", "0-9"],
  };
  return ipset(["create", "x", type, ...range[type] ?? []]).done;
}
