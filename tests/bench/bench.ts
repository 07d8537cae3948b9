/**
 * `deno task bench`: Weir with all tables in use beside a bare C forwarder (floor.c), in the same run.
 *
 * Each contender in turn gets fresh namespaces; rounds are interleaved (A B A B …) and the medians compared, because
 * machines are shared and noisy: only the ratios mean something. The router is pinned to core 1, generator and
 * programs to core 0, where there are two.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";

const HELP = `deno task bench [NAME…] [--rounds N] [--seconds N] [--json]

Runs Weir and a bare C forwarder in turn and prints medians and ratios.
NAME: bulk (TCP through iperf3), packets (64 bytes, one way), memory (resident with 10,000 flows); all by default.

Example: deno task bench packets --rounds 5 --json
`;

const SCENARIOS = ["bulk", "packets", "memory"];
const here = import.meta.dirname!;
const prefix = `wb${Deno.pid}`;
const lan = `${prefix}-lan`, wan = `${prefix}-wan`;
const LAN = "192.0.2.2", WAN = "198.51.100.2";
const PACKET_SIZE = 64;

/** A contender's process and how its packets were counted. */
interface Contender {
  readonly name: string;
  start(): Promise<Deno.ChildProcess>;
}

interface Sample {
  [measure: string]: number;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const say = (text: string) => Deno.stderr.writeSync(encoder.encode(text + "\n"));

async function sh(command: string, ...args: string[]): Promise<string> {
  const signal = AbortSignal.timeout(60_000);
  const child = new Deno.Command(command, { args, signal, stdout: "piped", stderr: "piped" });
  const { code, stdout, stderr } = await child.output();
  if (code !== 0) {
    throw new Error(`${command} ${args.join(" ")}: ${decoder.decode(stderr).trim() || `exit ${code}`}`);
  }
  return decoder.decode(stdout);
}

/** Runs a program in a namespace, on core 0 if there is another for the router. */
const inNetns = (netns: string, ...argv: string[]) => sh("ip", "netns", "exec", netns, ...pin(0), ...argv);
const pin = (core: number) => navigator.hardwareConcurrency > 1 ? ["taskset", "-c", String(core)] : [];

function spawnIn(netns: string, argv: string[]): Deno.ChildProcess {
  return new Deno.Command("ip", {
    args: ["netns", "exec", netns, ...pin(0), ...argv],
    stdout: "piped",
    stderr: "null",
  }).spawn();
}

/** Starts a contender on the core that it has for itself. */
function router(argv: string[], env: Record<string, string> = {}): Deno.ChildProcess {
  const [command, ...args] = [...pin(1), ...argv];
  return new Deno.Command(command, { args, env, stdout: "piped", stderr: "inherit" }).spawn();
}

/** Reads a child's output until `text` appears, then lets the rest run dry. */
async function waitFor(child: Deno.ChildProcess, text: string, what: string): Promise<void> {
  let seen = "";
  const reader = child.stdout.getReader();
  const timer = setTimeout(() => void reader.cancel(), 20_000);
  while (!seen.includes(text)) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`${what} did not become ready: ${seen}`);
    seen += decoder.decode(value);
  }
  clearTimeout(timer);
  reader.releaseLock();
  child.stdout.pipeTo(new WritableStream()).catch(() => {});
}

async function stop(child: Deno.ChildProcess): Promise<void> {
  try {
    child.kill("SIGTERM");
  } catch { /* it has ended by itself */ }
  await child.status;
}

/** CPU seconds that a process has used, all threads. */
async function cpuSeconds(pid: number): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function residentMegabytes(pid: number): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024;
}

async function received(): Promise<number> {
  return Number(await inNetns(wan, "cat", "/sys/class/net/wan/statistics/rx_packets"));
}

async function bulk(child: Deno.ChildProcess, seconds: number): Promise<Sample> {
  const server = spawnIn(wan, ["iperf3", "-s", "-1", "--forceflush"]);
  await waitFor(server, "Server listening", "iperf3 server");
  try {
    const before = await cpuSeconds(child.pid);
    const result = JSON.parse(await inNetns(lan, "iperf3", "-c", WAN, "-t", String(seconds), "-J"));
    const cpu = await cpuSeconds(child.pid) - before;
    return {
      "bulk Gbit/s": result.end.sum_received.bits_per_second / 1e9,
      "bulk CPU s/GB": cpu / (result.end.sum_received.bytes / 1e9),
    };
  } finally {
    await stop(server);
  }
}

async function packets(child: Deno.ChildProcess, seconds: number): Promise<Sample> {
  const sink = spawnIn(wan, [`${build}/blast`, "--sink", WAN, "5000", String(seconds + 5)]);
  await waitFor(sink, "ready", "sink");
  try {
    const blast = (duration: number) =>
      inNetns(
        lan,
        `${build}/blast`,
        "lan",
        LAN,
        WAN,
        "5000",
        String(PACKET_SIZE),
        "64",
        String(duration),
        "0",
      );
    await blast(1); // let compilers and caches settle
    const cpuBefore = await cpuSeconds(child.pid),
      packetsBefore = await received(),
      began = performance.now();
    await blast(seconds);
    const elapsed = (performance.now() - began) / 1000;
    const count = await received() - packetsBefore, cpu = await cpuSeconds(child.pid) - cpuBefore;
    return { "64-byte kpackets/s": count / elapsed / 1000, "CPU µs/packet": cpu / count * 1e6 };
  } finally {
    await stop(sink);
  }
}

async function memory(child: Deno.ChildProcess): Promise<Sample> {
  // In small portions, so that the device's queue drops none: each of the 10,000 flows must arrive.
  for (let i = 0; i < 40; i++) {
    await inNetns(
      lan,
      `${build}/blast`,
      "lan",
      LAN,
      `198.51.100.${100 + i}`,
      "5000",
      "64",
      "250",
      "2",
      "250",
    );
  }
  return { "resident MB, 10,000 flows": await residentMegabytes(child.pid) };
}

/** The floor's namespaces get by hand what Weir gives its own. */
async function address(netns: string, device: string, own: string): Promise<void> {
  await sh("ip", "-n", netns, "addr", "add", `${own}/24`, "dev", device);
  await sh("ip", "-n", netns, "link", "set", device, "up");
  await sh("ip", "-n", netns, "route", "add", "default", "dev", device);
}

const all: Contender[] = [
  {
    name: "C floor",
    async start() {
      const child = router([`${build}/floor`, lan, "lan", wan, "wan"]);
      await waitFor(child, "ready", "floor");
      await address(lan, "lan", LAN);
      await address(wan, "wan", WAN);
      return child;
    },
  },
  {
    name: "Weir",
    async start() {
      const child = router(
        [Deno.execPath(), "run", "-A", `${here}/../../mod.ts`, "run", `${here}/weir.ts`],
        { WEIR_BENCH_LAN: lan, WEIR_BENCH_WAN: wan },
      );
      await waitFor(child, "forwarding", "Weir");
      return child;
    },
  },
];

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

async function removeNetns(): Promise<void> {
  for (const netns of [lan, wan]) await sh("ip", "netns", "del", netns).catch(() => {});
}

async function round(contender: Contender, chosen: string[], seconds: number): Promise<Sample> {
  await sh("ip", "netns", "add", lan);
  await sh("ip", "netns", "add", wan);
  await sh("ip", "-n", lan, "link", "set", "lo", "up");
  await sh("ip", "-n", wan, "link", "set", "lo", "up");
  let child: Deno.ChildProcess | undefined;
  try {
    child = await contender.start();
    const sample: Sample = {};
    if (chosen.includes("memory") && contender.name === "Weir") Object.assign(sample, await memory(child));
    if (chosen.includes("bulk")) Object.assign(sample, await bulk(child, seconds));
    if (chosen.includes("packets")) Object.assign(sample, await packets(child, seconds));
    return sample;
  } finally {
    if (child) await stop(child);
    await removeNetns();
  }
}

let build = "";

async function main(): Promise<number> {
  const args = parseArgs(Deno.args, {
    boolean: ["json", "help"],
    string: ["rounds", "seconds"],
    default: { rounds: "3", seconds: "3" },
  });
  if (args.help) {
    Deno.stdout.writeSync(encoder.encode(HELP));
    return 0;
  }
  const names = args._.map(String);
  const unknown = names.find((name) => !SCENARIOS.includes(name));
  const rounds = Number(args.rounds), seconds = Number(args.seconds);
  if (unknown !== undefined || !(rounds >= 1) || !(seconds >= 1)) {
    say(unknown !== undefined ? `bench: no scenario ${unknown}; there are ${SCENARIOS.join(", ")}` : HELP);
    return 2;
  }
  const chosen = names.length ? names : SCENARIOS;
  if (Deno.uid() !== 0) {
    say("bench: needs root, for network namespaces and TUN devices");
    return 1;
  }

  build = await Deno.makeTempDir({ prefix: "weir-bench-" });
  const clean = async () => {
    await removeNetns();
    await Deno.remove(build, { recursive: true }).catch(() => {});
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => void clean().then(() => Deno.exit(130)));
  }
  try {
    for (const source of ["floor", "blast"]) {
      await sh("gcc", "-O2", "-o", `${build}/${source}`, `${here}/${source}.c`);
    }
    const samples = new Map<string, Sample[]>(all.map((c) => [c.name, []]));
    for (let i = 0; i < rounds; i++) {
      for (const contender of all) {
        const sample = await round(contender, chosen, seconds);
        samples.get(contender.name)!.push(sample);
        say(
          `round ${i + 1} ${contender.name}: ` +
            Object.entries(sample).map(([k, v]) => `${k} ${v.toFixed(2)}`).join(", "),
        );
      }
    }
    report(samples, args.json, rounds, seconds);
    return 0;
  } finally {
    await clean();
  }
}

function report(samples: Map<string, Sample[]>, json: boolean, rounds: number, seconds: number): void {
  const measures = [...new Set([...samples.values()].flat().flatMap(Object.keys))];
  const rows = measures.map((measure) => {
    const of = (name: string) => samples.get(name)!.map((s) => s[measure]).filter((v) => v !== undefined);
    const floor = of("C floor"), weir = of("Weir");
    return {
      measure,
      floor: floor.length ? median(floor) : null,
      weir: weir.length ? median(weir) : null,
      ratio: floor.length && weir.length ? median(weir) / median(floor) : null,
      spread: weir.length ? [Math.min(...weir), Math.max(...weir)] : null,
    };
  });
  if (json) {
    const machine = {
      kernel: Deno.osRelease(),
      cores: navigator.hardwareConcurrency,
      deno: Deno.version.deno,
    };
    const out = { machine, rounds, seconds, rows, samples: Object.fromEntries(samples) };
    Deno.stdout.writeSync(encoder.encode(JSON.stringify(out, null, 2) + "\n"));
    return;
  }
  const number = (v: number | null) => (v === null ? "–" : v.toFixed(2)).padStart(10);
  const line = (a: string, b: string, c: string, d: string) => `${a.padEnd(28)}${b}${c}${d}\n`;
  let text = line("", "C floor".padStart(10), "Weir".padStart(10), "ratio".padStart(10));
  for (const row of rows) text += line(row.measure, number(row.floor), number(row.weir), number(row.ratio));
  text += `Linux ${Deno.osRelease()}, ${navigator.hardwareConcurrency} cores, Deno ${Deno.version.deno}; ` +
    `medians of ${rounds} interleaved rounds of ${seconds} s\n`;
  Deno.stdout.writeSync(encoder.encode(text));
}

if (import.meta.main) Deno.exit(await main());
