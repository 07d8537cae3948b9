/**
 * `deno task bench`: Weir, and who else could do its work, side by side in one run.
 *
 * ```
 *  scenario ─▶ round ─▶ contender: fresh namespaces ─▶ start ─▶ measure ─▶ all of it gone ─▶ next contender
 * ```
 *
 * @moduledisturbs its neighbours, and only ratios mean something. A run that fails or takes too long is reported and costs
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
import { CONTENDERS } from "./contenders/mod.ts";
import { keptResults, writePages } from "./pages.ts";
import { Play } from "./play.ts";
import { newResults, type Results } from "./results.ts";
import { SCENARIOS } from "./scenarios/mod.ts";
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
  const results = newResults(rounds, seconds, left);
  const play = new Play(results);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, () => void play.close().then(() => Deno.exit(130)));
  }
  try {
    await play.compile();
    for (const scenario of SCENARIOS) {
      if (names.length > 0 && !names.includes(scenario.name)) continue;
      results.scenarios[scenario.name] = await play.rounds(scenario, contenders);
    }
    return show(results, args.json, args.write);
  } finally {
    await play.close();
  }
}

function show(results: Results, json: boolean, write: boolean): number {
  if (write) writePages(results);
  print(json ? JSON.stringify(results, null, 2) : fullTable(results));
  const failed = Object.values(results.scenarios).some((s) => Object.keys(s.failed).length > 0);
  return failed ? 1 : 0;
}

if (import.meta.main) Deno.exit(await main());
