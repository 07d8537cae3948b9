/** `weir metrics`: what a running router counts, in the words of Prometheus. */

import { parseArgs } from "@std/cli/parse-args";
import { metrics as metricsText } from "../control/metrics.ts";
import { stateDirectory } from "../control/state_file.ts";
import { type Command, unknownOption, Usage } from "./command.ts";
import { print } from "./output.ts";
import { openRunning, tablesOf } from "./running.ts";

export const metrics: Command = {
  name: "metrics",
  usage: "[--name NAME]",
  summary: "prints what a running router has counted, for Prometheus",
  help: `
Prints the counters of a running router in the text format of Prometheus: interfaces, drops by reason, flows and
expectations, what tracking and what each helper has done. They go on where a router that was killed goes on. It reads
the router's state file and disturbs nobody, so it may run as often as one likes.

  --name NAME   of the router of this name, where several run

Example:
  $ weir metrics > /var/lib/node_exporter/weir.new && mv /var/lib/node_exporter/weir.{new,prom}`,
  run(args) {
    const options = parseArgs(args, { string: ["_", "name"], unknown: unknownOption });
    if (options._.length > 0) throw new Usage(`too many arguments: ${options._.join(" ")}`);
    print(readMetrics(options.name).trimEnd());
    return Promise.resolve(0);
  },
};

/** The text about a running router: about `name`, or about the only one. */
export function readMetrics(name?: string, directory = stateDirectory()): string {
  const { name: found, view } = openRunning(name, directory);
  try {
    return metricsText(found, view.memory, tablesOf(view.memory));
  } finally {
    view.close();
  }
}
