/** `weir run CONFIG`: routes until it is stopped. */

import { parseArgs } from "@std/cli/parse-args";
import { isWorkers, WORKERS_MAX } from "../config/validate.ts";
import { type Command, onlyArgument, unknownOption, Usage } from "./command.ts";
import { counted, listed, load, validated } from "./load.ts";
import { complain } from "./output.ts";

export const run: Command = {
  name: "run",
  usage: "CONFIG [--name NAME] [--workers N]",
  summary: "routes, until SIGTERM or Ctrl-C",
  help: `
Runs the router that the configuration module CONFIG describes. It makes the TUN devices, gives the other side of each
what its \`peer\` asks for, and says "ready" when packets pass. In a terminal one line shows packets and bits per
second, flows and drops. SIGTERM and SIGINT end it; devices, addresses and routes go with it. SIGHUP has it read its
configuration anew, as \`weir reload\` does; when the terminal that it was started in has gone, SIGHUP ends it.

Killed in the middle (kill -9) and started again, it goes on with the connections that it had: flows, translations and
expectations are in its state file, which a clean end removes. The configuration may be another by then, but not the
numbers of flows and expectations.

It needs root (CAP_NET_ADMIN, and CAP_SYS_ADMIN for namespaces) and /dev/net/tun.

  --name NAME   of the router, for other commands and its state file; the configuration's file name by default
  --workers N   threads that route, instead of what the configuration says (1 by default)

Example:
  $ weir run examples/gateway.ts
  weir: ready, forwarding (lan, wan)`,
  async run(args) {
    const options = parseArgs(args, { string: ["_", "name", "workers"], unknown: unknownOption });
    const path = onlyArgument(options._, "CONFIG");
    const name = options.name ?? nameOf(path);
    if (!/^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/.test(name)) {
      throw new Usage(`--name ${name}: letters, digits, “.”, “_” and “-”, up to 64 of them`);
    }
    const asked = options.workers === undefined ? undefined : Number(options.workers || NaN);
    if (asked !== undefined && !isWorkers(asked)) {
      throw new Usage(`--workers ${options.workers}: a number of threads from 1 to ${WORKERS_MAX}`);
    }
    // A data plane loads what it is made of while this thread does, which is half of what a start takes.
    const first = new Worker(import.meta.resolve("../dataplane/worker.ts"), {
      type: "module",
      name: "weir data plane 0",
    });
    try {
      const [{ supervise }, { planDevices }, { geometryOf }, { summarize }] = await Promise.all([
        import("../control/supervisor.ts"),
        import("../control/plan.ts"),
        import("../geometry.ts"),
        import("../config/summary.ts"),
      ]);
      const { config, url } = await load(path);
      const valid = validated(path, config);
      if (valid.warnings.length > 0) {
        complain(listed(`weir: ${path}: ${counted(valid.warnings.length, "warning")}`, valid.warnings));
      }
      return await supervise({
        name,
        config: url.href,
        plan: planDevices(valid),
        geometry: geometryOf(valid),
        workers: asked ?? valid.workers,
        workersAsked: asked !== undefined,
        summary: () => summarize(valid),
        keep: () => true,
        first,
      });
    } catch (error) {
      first.terminate();
      throw error;
    }
  },
};

/** The file's name without folder and extension, in the letters that a router's name may have. */
function nameOf(path: string): string {
  const name = path.replace(/^.*\//, "").replace(/\.[^.]*$/, "").replace(/[^A-Za-z0-9._-]+/g, "-");
  return name.replace(/^[.-]+/, "").slice(0, 64) || "weir";
}
