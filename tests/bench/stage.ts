/**
 * Where a contender is measured: fresh namespaces `lan` and `wan` in a lab of their own, the tools in them, and the
 * meters. The router runs on the last core, all that makes or takes traffic on the first; with one core nothing is
 * pinned.
 */
import { Lab, type Running } from "../netns/lab.ts";
import type { Contender, Router, Setting } from "./contender.ts";
import { FAR, RAW } from "./addresses.ts";

const CORES = navigator.hardwareConcurrency;
/** Cores, as they are said in the report. */
export const PINNED = CORES > 1 ? { router: CORES - 1, traffic: 0 } : null;

/** CPU seconds at a moment, and what wan had received until then. */
export interface Reading {
  /** Of the router's process; NaN without one. */
  readonly router: number;
  /** Of the whole machine. */
  readonly machine: number;
  readonly packets: number;
  readonly bytes: number;
}

/** What a blast did. */
export interface Blast {
  /** Packets that came out in wan, per second. */
  readonly rate: number;
  readonly packets: number;
  /** CPU microseconds of the router per packet; NaN without a process. */
  readonly cpu: number;
  /** CPU microseconds of the machine per packet, the generator's included. */
  readonly machine: number;
}

/** A flow generator's options, without those that the stage knows. */
export type Options = Record<string, string | number>;

/** See the head of this file. */
export class Stage implements AsyncDisposable {
  readonly lab: Lab;
  readonly #tools: string;
  /** Some process has to be in wan for its counters to be read from outside. */
  #anchor?: Running;
  #router: Router = { process: null, mac: "", memory: () => null };

  private constructor(lab: Lab, tools: string) {
    this.lab = lab;
    this.#tools = tools;
  }

  /** Namespaces without a router. `opened` hears of the lab before anything can fail in it. */
  static async open(tools: string, opened: (stage: Stage) => void): Promise<Stage> {
    const stage = new Stage(await Lab.private("lan", "wan"), tools);
    opened(stage);
    for (const netns of ["lan", "wan"]) {
      // New namespaces inherit what the machine forwards.
      await stage.lab.ok(netns, "sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward");
      await stage.lab.ok(netns, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6");
    }
    stage.#anchor = stage.spawn("wan", "sleep", "600");
    return stage;
  }

  async start(contender: Contender, setting: Setting): Promise<Router> {
    return this.#router = await contender.start(this, setting);
  }

  get router(): Router {
    return this.#router;
  }

  /** Starts a traffic program and leaves it running. */
  spawn(where: string, program: string, ...args: string[]): Running {
    return this.#spawn(PINNED?.traffic, where, [program, ...args]);
  }

  /** Starts the router's program, in the place where neither lan nor wan is. */
  spawnRouter(where: string, argv: readonly string[], env: Record<string, string> = {}): Running {
    return this.#spawn(PINNED?.router, where, argv, env);
  }

  #spawn(core: number | undefined, where: string, argv: readonly string[], env = {}): Running {
    const pin = core === undefined ? [] : ["taskset", "-c", String(core)];
    const [program, ...args] = [...pin, ...argv];
    return this.lab.spawn(where, program, args, { env });
  }

  /** Runs a traffic program to its good end; what it wrote. */
  async run(where: string, program: string, ...args: string[]): Promise<string> {
    const running = this.spawn(where, program, ...args);
    const { code, stdout } = await running.ended;
    if (code !== 0) throw new Error(`${running.name} ended with ${code}: ${running.text.trim()}`);
    return stdout;
  }

  /** Commands of `ip`, one per line, in one process. */
  async ip(where: string, commands: string): Promise<void> {
    const { code, stderr } = await this.lab.run(where, "ip", ["-batch", "-"], { stdin: commands });
    if (code !== 0) throw new Error(`ip: ${stderr.trim()}\n${commands}`);
  }

  /** Path of one of our own tools. */
  tool(name: string): string {
    return `${this.#tools}/${name}`;
  }

  /** Runs one of our own tools; the numbers that it printed. */
  async measure(where: string, name: string, options: Options, ...verb: string[]): Promise<number[]> {
    const text = await this.run(where, this.tool(name), ...verb, ...words(options));
    return text.trim().split(/\s+/).map(Number);
  }

  /** Starts one of our own servers and waits until it says that it is ready. */
  async serve(where: string, name: string, ...args: string[]): Promise<Running> {
    const running = this.spawn(where, this.tool(name), ...args);
    await running.waitFor(/^ready/m);
    return running;
  }

  /** Path of a namespace, for tools that are in two. */
  netns(name: string): string {
    return `/run/netns/${name}`;
  }

  /** Opens flows from both sides: how many, in how many seconds, and how many packets were sent again. */
  flows(options: Options): Promise<number[]> {
    const ends = {
      lan: this.netns("lan"),
      wan: this.netns("wan"),
      from: RAW,
      to: FAR,
      mac: this.#router.mac,
    };
    return this.measure("", "flows", { ...ends, ...options });
  }

  /** Opens `count` flows, and makes sure of each. */
  async openFlows(count: number, options: Options = {}): Promise<void> {
    const [opened, seconds] = await this.flows({ count, seconds: 30, ...options });
    if (opened < count) {
      throw new Error(`only ${opened} of ${count} flows opened within ${seconds.toFixed(1)} s`);
    }
  }

  /** Sends from lan, and counts what comes out in wan and what it cost. */
  async blast(options: Options): Promise<Blast> {
    const before = await this.read();
    const [, seconds] = await this.measure("lan", "blast", {
      device: "lan",
      from: RAW,
      to: FAR,
      mac: this.#router.mac,
      ...options,
    });
    await new Promise((resolve) => setTimeout(resolve, 30)); // what is still queued comes out
    const after = await this.read();
    const packets = after.packets - before.packets;
    if (packets <= 0) throw new Error("no packet came through");
    const each = (cpu: number) => cpu / packets * 1e6;
    return {
      rate: packets / seconds,
      packets,
      cpu: each(after.router - before.router),
      machine: each(after.machine - before.machine),
    };
  }

  /** What the meters show. */
  async read(): Promise<Reading> {
    const { packets, bytes } = await this.received();
    const pid = this.#router.process?.pid;
    return {
      packets,
      bytes,
      router: pid === undefined ? NaN : await cpuOf(pid),
      machine: await cpuOfMachine(),
    };
  }

  /** What the device in wan has received. */
  async received(): Promise<{ packets: number; bytes: number }> {
    const text = await Deno.readTextFile(`/proc/${this.#anchor!.pid}/net/dev`);
    const line = /^\s*wan:\s*(\d+)\s+(\d+)/m.exec(text);
    return { bytes: Number(line?.[1] ?? 0), packets: Number(line?.[2] ?? 0) };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.lab.close();
  }
}

function words(options: Options): string[] {
  return Object.entries(options).filter(([, value]) => value !== "").map(([name, value]) =>
    `${name}=${value}`
  );
}

/** CPU seconds that a process has used, all threads; to the nanosecond, which /proc/PID/stat does not know. */
async function cpuOf(pid: number): Promise<number> {
  let nanoseconds = 0;
  for await (const { name } of Deno.readDir(`/proc/${pid}/task`)) {
    const text = await Deno.readTextFile(`/proc/${pid}/task/${name}/schedstat`).catch(() => "0"); // it has ended
    nanoseconds += Number(text.split(" ")[0]);
  }
  return nanoseconds / 1e9;
}

/** CPU seconds of all cores that were not idle. */
async function cpuOfMachine(): Promise<number> {
  const [line] = (await Deno.readTextFile("/proc/stat")).split("\n");
  const [user, nice, system, , , irq, softirq] = line.trim().split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq) / 100;
}
