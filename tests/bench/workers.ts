/**
 * What several workers are worth when nobody else needs a core: packets are put into the device's queue while the router
 * is stopped (SIGSTOP), and the time is taken from SIGCONT until all have left. So the generator costs nothing.
 *
 * `chrt -R -f 20 deno run -A tests/bench/workers.ts [--rounds N] [--packets N] [--flows N] [--workers 1,2]`, as root.
 * Router and clock run before everything else on the machine (SCHED_FIFO), for a few seconds in all, and rounds of all
 * contenders are interleaved; medians, best rounds and CPU time are shown.
 *
 * @module
 */
import { MappedFile } from "deno_tun";
import { parseArgs } from "@std/cli/parse-args";
import { Memory, TOTAL_TX_PACKETS } from "../../src/memory.ts";
import { HERE, Lab, pathOf, ROOT, type Running } from "../netns/lab.ts";
import { FAR, RAW } from "./addresses.ts";
import { rules } from "./rules.ts";
import { summary } from "./statistics.ts";

interface Sample {
  /** Microseconds per packet: of the clock, and of all threads. */
  readonly wall: number;
  readonly cpu: number;
}

/** A router with so many workers, in a lab of its own. */
class Contender {
  readonly samples: Sample[] = [];

  private constructor(
    readonly workers: number,
    readonly lab: Lab,
    readonly weir: Running,
    readonly totals: Float64Array,
    readonly blast: string,
  ) {}

  static async start(workers: number, queue: number): Promise<Contender> {
    const lab = await Lab.private("lan", "wan");
    const blast = `${lab.dir}/blast`;
    await lab.ok(HERE, "gcc", "-O2", "-o", blast, `${ROOT}tests/bench/tools/blast.c`);
    const config = `${ROOT}tests/bench/contenders/weir_config.ts`;
    const args = ["run", "-A", "--no-prompt", `${ROOT}mod.ts`, "run", config, "--workers", `${workers}`];
    const env = { WEIR_BENCH_RULES: lab.write("rules.v4", rules()), WEIR_BENCH_FLOWS: "262144" };
    // Before everything else that runs on this machine.
    const weir = lab.spawn(HERE, "chrt", ["-f", "10", Deno.execPath(), ...args], { env });
    await weir.waitFor(/^weir: ready/m, 15_000);
    await lab.ok("lan", "ip", "link", "set", "lan", "txqueuelen", `${queue}`);
    const path = pathOf(weir.pid, "/run/weir/weir_config.state");
    const memory = Memory.open(new MappedFile(path, { readOnly: true }).map());
    return new Contender(workers, lab, weir, memory.totals, blast);
  }

  /** Puts packets into the queue: how many it took. */
  async send(packets: number, flows: number): Promise<number> {
    const said = await this.lab.ok(
      "lan",
      this.blast,
      "device=lan",
      `from=${RAW}`,
      `to=${FAR}`,
      `flows=${flows}`,
      "seconds=20",
      `count=${packets}`,
    );
    return parseInt(said);
  }

  /** Waits until so many packets have left. */
  async left(until: number): Promise<void> {
    for (let i = 0; i < 20_000; i++) {
      if (this.totals[TOTAL_TX_PACKETS] >= until) return;
      await new Promise((resolve) => setTimeout(resolve, 0.5));
    }
    throw new Error(`${this.totals[TOTAL_TX_PACKETS]} of ${until} packets left`);
  }

  async round(packets: number, flows: number): Promise<Sample> {
    const before = this.totals[TOTAL_TX_PACKETS];
    this.weir.signal("SIGSTOP");
    const sent = await this.send(packets, flows);
    const cpu = cpuNanoseconds(this.weir.pid), began = performance.now();
    this.weir.signal("SIGCONT");
    await this.left(before + sent);
    const wall = performance.now() - began;
    return { wall: wall * 1e3 / sent, cpu: (cpuNanoseconds(this.weir.pid) - cpu) / 1e3 / sent };
  }
}

/** Time on a core of all threads of a process. */
function cpuNanoseconds(pid: number): number {
  let sum = 0;
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    sum += Number(Deno.readTextFileSync(`/proc/${pid}/task/${name}/schedstat`).split(" ")[0]);
  }
  return sum;
}

const args = parseArgs(Deno.args, {
  string: ["rounds", "packets", "flows", "workers"],
  default: { rounds: "15", packets: "100000", flows: "64", workers: "1,2" },
});
const packets = Number(args.packets), flows = Number(args.flows);
const contenders: Contender[] = [];
try {
  for (const n of args.workers!.split(",")) contenders.push(await Contender.start(Number(n), packets + 1000));
  for (const contender of contenders) {
    for (let i = 0; i < 3; i++) await contender.round(packets, flows); // let compilers settle
  }
  for (let i = 0; i < Number(args.rounds); i++) {
    for (const contender of contenders) contender.samples.push(await contender.round(packets, flows));
  }
  const rows = contenders.map(({ workers, samples }) => {
    const wall = summary(samples.map((s) => s.wall))!, cpu = summary(samples.map((s) => s.cpu))!;
    return { workers, wall: wall.median, best: wall.least, cpu: cpu.median };
  });
  const number = (n: number) => n.toFixed(2).padStart(8);
  const lines = rows.map(({ workers, wall, best, cpu }) =>
    `${workers} workers${number(wall)} µs/packet${number(best)} best${number(cpu)} CPU${
      number(rows[0].wall / wall)
    } times as fast\n`
  );
  Deno.stdout.writeSync(new TextEncoder().encode(lines.join("")));
} finally {
  for (const contender of contenders) {
    contender.weir.signal("SIGCONT");
    await contender.weir.stop();
    await contender.lab.close();
  }
}
