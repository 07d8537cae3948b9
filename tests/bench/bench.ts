/**
 * `deno task bench`: Weir, and who else could do its work, side by side in one run.
 *
 * ```
 *  scenario ─▶ round ─▶ contender: fresh namespaces ─▶ start ─▶ measure ─▶ all of it gone ─▶ next contender
 * ```
 *
 * Contenders take turns within each round (A B C A B C …), because machines are shared and noisy: what disturbs one
 * disturbs its neighbours, and only ratios mean something. A run that fails or takes too long is reported and costs
 * nothing but its own numbers.
 *
 * Life-cycle: everything happens in labs (tests/netns/lab.ts), which end with their processes. A signal closes the one
 * that is open.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { complain, print } from "../../src/cli/output.ts";
import { unavailable } from "../netns/lab.ts";
import { install, missing } from "../netns/programs.ts";
import type { Contender } from "./contender.ts";
import { CONTENDERS } from "./contenders/mod.ts";
import { keptResults, writePages } from "./pages.ts";
import { newResults, type Results, type ScenarioResults } from "./results.ts";
import { type Run, type Sample, type Scenario, USUAL } from "./scenario.ts";
import { SCENARIOS } from "./scenarios/mod.ts";
import { Stage } from "./stage.ts";
import { fullTable } from "./table.ts";

const NAMES = SCENARIOS.map((s) => s.name), WHO = CONTENDERS.map((c) => c.name);
const width = Math.max(...NAMES.map((name) => name.length));
const HELP = `deno task bench [NAME…] [OPTIONS]

Measures Weir beside ${CONTENDERS.slice(1).map((c) => c.title).join(", ")}, and prints one table
with ratios and targets. NAME is a scenario; all by default:

${SCENARIOS.map((s) => `  ${s.name.padEnd(width)}  ${s.about}`).join("\n")}

  --contenders A,B   of ${WHO.join(", ")}; all by default
  --rounds N         how often each is started; 3 by default
  --seconds N        for one measurement; 1.5 by default
  --json             print the raw samples as JSON
  --write            keep the results, and have README.md show them; takes a whole run
  --from FILE        show results that were kept, without measuring
  --install          install from Debian what is missing

Examples:
  $ deno task bench packets rules --contenders weir,floor --rounds 5
  $ deno task bench --install --write
`;

/** What the contenders and the scenarios need, by program, and Debian's package of it. */
const PACKAGES: Readonly<Record<string, string>> = {
  "ip": "iproute2",
  "unshare": "util-linux",
  "nsenter": "util-linux",
  "taskset": "util-linux",
  "mount": "mount",
  "gcc": "gcc libc6-dev",
  "iperf3": "iperf3",
  "iptables-legacy-restore": "iptables",
  "slirp4netns": "slirp4netns",
  "ovs-vswitchd": "openvswitch-switch",
  "ovsdb-server": "openvswitch-switch",
  "ovsdb-tool": "openvswitch-common",
  "ovs-vsctl": "openvswitch-switch",
  "ovs-ofctl": "openvswitch-common",
};
/** Without these there is no benchmark; the others belong to one contender each. */
const ALWAYS = ["ip", "unshare", "nsenter", "taskset", "mount", "gcc", "iperf3"];
const TOOLS = ["blast", "control", "floor", "flows", "pingpong", "probe", "reads", "uso"];
const here = import.meta.dirname!;

/** Labs that are open now: one, or none. */
const open = new Set<Stage>();
let tools = "";
let ending = false;
/** What has to wait for the end of the process, which comes as soon as all is cleaned up. */
const never = new Promise<never>(() => {});

async function clean(): Promise<void> {
  ending = true;
  await Promise.all([...open].map((stage) => stage.lab.close()));
  if (tools !== "") await Deno.remove(tools, { recursive: true }).catch(() => {});
}

async function compile(): Promise<void> {
  tools = await Deno.makeTempDir({ prefix: "weir-bench-" });
  await Promise.all(TOOLS.map(async (tool) => {
    const args = ["-O2", "-Wall", "-o", `${tools}/${tool}`, `${here}/tools/${tool}.c`];
    const { success, stderr } = await new Deno.Command("gcc", { args, stdin: "null" }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
  }));
}

/** One start of one contender. */
async function measure(scenario: Scenario, contender: Contender, seconds: number): Promise<Sample> {
  const opened = async () => {
    if (ending) await never;
    const stage = await Stage.open(tools, (stage) => open.add(stage));
    return stage;
  };
  const run: Run = {
    seconds,
    tools,
    open: opened,
    start: async (contender, setting) => {
      const stage = await opened();
      await stage.start(contender, { ...USUAL, ...setting });
      return stage;
    },
  };
  const limit = scenario.limit + 20 * seconds;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    for (const stage of open) void stage.lab.close();
  }, limit * 1000);
  try {
    return await scenario.run(contender, run);
  } catch (error) {
    if (ending) await never;
    const said = [...open].map((stage) => stage.router.process?.text.trim()).filter(Boolean);
    const why = late ? `it took over ${limit} s` : error instanceof Error ? error.message : String(error);
    throw new Error([why, ...said].join("; its router said: ").slice(0, 2000));
  } finally {
    clearTimeout(timer);
    for (const stage of open) await stage.lab.close();
    open.clear();
  }
}

/** All rounds of one scenario. */
async function play(
  scenario: Scenario,
  contenders: readonly Contender[],
  { rounds: most, seconds }: Results,
): Promise<ScenarioResults> {
  const results: ScenarioResults = { samples: {}, leftOut: {}, partly: {}, failed: {} };
  const asked = contenders.filter((contender) => {
    const why = scenario.leftOut(contender);
    if (why !== null) results.leftOut[contender.name] = why;
    const some = scenario.partly?.(contender) ?? null;
    if (why === null && some !== null) results.partly[contender.name] = some;
    return why === null;
  });
  const rounds = scenario.once ? 1 : most;
  for (let round = 1; round <= rounds; round++) {
    for (const contender of asked) {
      const title = `${scenario.name}, round ${round} of ${rounds}, ${contender.title}`;
      const samples = results.samples[contender.name] ??= [];
      try {
        const sample = await measure(scenario, contender, seconds);
        samples.push(sample);
        complain(
          `${title}: ${
            Object.entries(sample).map(([key, value]) => `${key} ${value.toPrecision(4)}`).join(", ")
          }`,
        );
      } catch (error) {
        samples.push(null);
        const why = (error as Error).message;
        (results.failed[contender.name] ??= []).push(why.replaceAll(/\s+/g, " ").slice(0, 200));
        complain(`${title} failed: ${why}`);
      }
    }
  }
  return results;
}

async function main(): Promise<number> {
  const unknown: string[] = [];
  const args = parseArgs(Deno.args, {
    boolean: ["json", "help", "write", "install"],
    string: ["_", "rounds", "seconds", "contenders", "from"],
    default: { rounds: "3", seconds: "1.5", contenders: WHO.join(",") },
    unknown: (arg, key) => key === undefined || void unknown.push(arg),
  });
  if (args.help) {
    print(HELP.trimEnd());
    return 0;
  }
  const names = args._.map(String), who = args.contenders!.split(",");
  const rounds = Number(args.rounds), seconds = Number(args.seconds);
  const wrong = unknown.length > 0
    ? `there is no option ${unknown[0]}`
    : names.some((name) => !NAMES.includes(name))
    ? `no such scenario; there are ${NAMES.join(", ")}`
    : who.some((name) => !WHO.includes(name))
    ? `no such contender; there are ${WHO.join(", ")}`
    : !(rounds >= 1 && Number.isInteger(rounds) && seconds > 0)
    ? "--rounds and --seconds are numbers"
    : args.write && args.from === undefined && (names.length > 0 || who.length < WHO.length)
    ? "--write takes a whole run, without NAME and --contenders"
    : null;
  if (wrong !== null) {
    complain(`bench: ${wrong} (--help)`);
    return 2;
  }
  if (args.from !== undefined) return show(keptResults(args.from), args.json, args.write);

  if (args.install) await install(Object.keys(PACKAGES), complain, PACKAGES);
  const lacking = missing(ALWAYS);
  const cannot = unavailable() ??
    (lacking.length > 0 ? `not installed: ${lacking.join(", ")} (--install)` : null);
  if (cannot !== null) {
    complain(`bench: ${cannot}`);
    return 1;
  }
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, () => void clean().then(() => Deno.exit(130)));
  }
  const left: Record<string, string> = {};
  const contenders = CONTENDERS.filter(({ name, title, needs }) => {
    if (!who.includes(name)) return false;
    const lacking = missing(needs);
    if (lacking.length > 0) {
      left[name] = `not installed: ${lacking.join(", ")}`;
      complain(`bench: ${title} is left out, ${left[name]} (--install)`);
    }
    return lacking.length === 0;
  });
  try {
    await compile();
    const results = newResults(rounds, seconds, left);
    for (const scenario of SCENARIOS) {
      if (names.length > 0 && !names.includes(scenario.name)) continue;
      results.scenarios[scenario.name] = await play(scenario, contenders, results);
    }
    return show(results, args.json, args.write);
  } finally {
    await clean();
  }
}

function show(results: Results, json: boolean, write: boolean): number {
  if (write) writePages(results);
  print(json ? JSON.stringify(results, null, 2) : fullTable(results));
  const failed = Object.values(results.scenarios).some((s) => Object.keys(s.failed).length > 0);
  return failed ? 1 : 0;
}

if (import.meta.main) Deno.exit(await main());
