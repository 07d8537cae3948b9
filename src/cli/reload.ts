/** `weir reload`: gives a running router another configuration, through its socket. */

import { parseArgs } from "@std/cli/parse-args";
import type { Reloaded } from "../control/reload.ts";
import { ask, CommandError, socketPath } from "../control/socket.ts";
import { stateDirectory, statePath } from "../control/state_file.ts";
import { type Command, Refused, unknownOption, Usage } from "./command.ts";
import { locate } from "./load.ts";
import { complain, print } from "./output.ts";
import { openRunning } from "./running.ts";

export const reload: Command = {
  name: "reload",
  usage: "[NAME] [--config FILE] [--check] [--zero] [--json]",
  summary: "gives a running router its configuration anew, without losing a connection",
  help: `
Has the running router NAME read its configuration again, with all modules that it imports, and says what has changed.
It is done as a whole or not at all: a mistake anywhere is told with its place, and then not one rule, flow or counter
is another. Packets go by the old configuration or by the new one, never by a mixture, and none is lost on the way.

Connections stay, with their translations, helpers, marks and labels. Counters stay for rules that stand in the same
chain with the same text, and so does what \`limit\`, \`recent\`, \`hashlimit\`, \`connlimit\`, \`quota\` and their like
remember; members stay in a set that has the same text. A helper that is not listed any more lets go of its flows, and
flows masqueraded behind an interface or address that is gone end, as in Linux. Timeouts hold from a flow's next packet
on. The numbers of workers, of flows and of expectations need a new start.

  --config FILE   takes this configuration instead of the one that the router was started with
  --check         only says what would change
  --zero          lets the counters of all rules begin anew, as iptables-restore without -c does
  --json          prints an object

SIGHUP does the same without options; the answer is among what the router says.

Example:
  $ weir reload
  gateway: reloaded in 190 ms, 1.2 of them without a router
    iptables filter FORWARD: 2 rules added, 1 rule removed
    net.netfilter.nf_conntrack_udp_timeout: 30 → 60`,
  async run(args) {
    const options = parseArgs(args, {
      boolean: ["check", "zero", "json"],
      string: ["_", "config"],
      unknown: unknownOption,
    });
    if (options._.length > 1) {
      throw new Usage(`one NAME only, but there are ${options._.length}: ${options._.join(" ")}`);
    }
    if (options.config === "") throw new Usage("the file's name is missing");
    const name = options._.length === 0 ? undefined : String(options._[0]);
    const config = options.config === undefined ? undefined : locate(options.config).href;
    const { name: found, result } = await askReload(
      { config, check: options.check, zero: options.zero },
      name,
    );
    for (const warning of result.warnings) complain(`weir: warning: ${warning}`);
    print(options.json ? JSON.stringify(forJson(found, result)) : described(found, result));
    return 0;
  },
};

/** What is asked of the router. */
export interface Asked {
  readonly config?: string;
  readonly check?: boolean;
  readonly zero?: boolean;
}

/** Has a router reload: `name`, or the only one. `Refused` with all that is wrong. */
async function askReload(
  asked: Asked,
  name?: string,
  directory = stateDirectory(),
): Promise<{ name: string; result: Reloaded }> {
  const running = openRunning(name, directory);
  running.view.close();
  try {
    const path = socketPath(statePath(running.name, directory));
    return {
      name: running.name,
      result: await ask(path, { command: "reload", ...asked }) as unknown as Reloaded,
    };
  } catch (error) {
    if (error instanceof CommandError) throw new Refused(error.message);
    throw error;
  }
}

function forJson(router: string, { config, changes, warnings, gap, took, taken }: Reloaded): object {
  return { router, config, reloaded: gap !== null, changes, warnings, gap, took, taken };
}

function described(name: string, { lines, gap, took, taken }: Reloaded): string {
  const list = lines.map((line) => `  ${line}`);
  if (lines.length === 0 && gap === null) return `${name}: nothing would change`;
  if (lines.length === 0) list.push("  nothing changes");
  const lost = taken === null ? [] : [
    ...taken.unhelped > 0
      ? [`${taken.unhelped} ${taken.unhelped === 1 ? "flow goes" : "flows go"} on without helper`]
      : [],
    ...taken.expectations > 0
      ? [`${taken.expectations} ${taken.expectations === 1 ? "expectation is" : "expectations are"} gone`]
      : [],
    ...taken.ended > 0 ? [`${taken.ended} ${taken.ended === 1 ? "flow has" : "flows have"} ended`] : [],
  ];
  if (lost.length > 0) list.push(`  ${lost.join(", ")}`);
  const head = gap === null
    ? `${name}: this would change`
    : `${name}: reloaded in ${took} ms, ${gap.toFixed(1)} of them without a router`;
  return [head, ...list].join("\n");
}
