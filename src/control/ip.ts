/**
 * The `ip` program of iproute2, which gives devices their addresses and routes.
 *
 * All commands for one namespace go to one process (`ip -batch -`), since starting one costs more than what it does.
 */

/** What `ip` refused, or that there is none. One line. */
export class IpError extends Error {
  override readonly name = "IpError";
}

/** One command: the arguments of `ip`, and what it is for, as in "cannot add address 192.0.2.2/24 to lan". */
export interface IpCommand {
  readonly args: readonly string[];
  readonly what: string;
}

/** Runs commands in a namespace, the own one by null; they stop at the first that fails. */
export async function ip(netns: string | null, commands: readonly IpCommand[]): Promise<void> {
  if (commands.length === 0) return;
  for (const { args, what } of commands) {
    // One argument must stay one argument, and one line one command.
    if (args.some((arg) => !/^[^\s"'#\\]+$/.test(arg))) {
      throw new IpError(`${what}: not a word that \`ip\` can read`);
    }
  }
  const place = netns === null ? [] : ["-n", netns];
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command("ip", {
      args: [...place, "-batch", "-"],
      stdin: "piped",
      stdout: "null",
      stderr: "piped",
      env: { LC_ALL: "C" },
    }).spawn();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw new IpError(
        "cannot set up devices: there is no `ip` program; install iproute2 (`apt install iproute2`)",
      );
    }
    throw error;
  }
  const writer = child.stdin.getWriter();
  const text = commands.map((command) => command.args.join(" ") + "\n").join("");
  try {
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
  } catch {
    // It ended before it read all; its own words tell why.
  }
  const { success, stderr } = await child.output();
  if (!success) throw explain(new TextDecoder().decode(stderr), commands, netns);
}

/** Makes one line of what `ip` printed: "Error: …" or "RTNETLINK answers: …", then "Command failed -:3". */
function explain(printed: string, commands: readonly IpCommand[], netns: string | null): IpError {
  const line = Number(printed.match(/Command failed -:(\d+)/)?.[1] ?? 0);
  const what = commands[line - 1]?.what ?? "cannot set up devices";
  const why = printed.split("\n").filter((text) => text !== "" && !text.startsWith("Command failed"))
    .map((text) => text.replace(/^(RTNETLINK answers|Error): /, "").replace(/\.$/, "")).join("; ");
  const advice = /File exists/.test(why)
    ? "; it is there already"
    : /not permitted/.test(why)
    ? "; it takes CAP_NET_ADMIN, run it as root"
    : /IPv6 is disabled/.test(why)
    ? "; switch it on there (`sysctl net.ipv6.conf.all.disable_ipv6=0`), or leave out the IPv6 addresses"
    : "";
  return new IpError(
    `${what}${netns === null ? "" : ` in namespace ${netns}`}: ${why || "ip failed"}${advice}`,
  );
}
