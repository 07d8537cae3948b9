/**
 * `deno task demo`: two network namespaces, Weir between them with `examples/gateway.ts`, and real programs that talk
 * through it. Prints what happened; ends with 0 only if every step worked; leaves nothing behind.
 */

import { Lab, ROOT, type Running, unavailable } from "../netns/lab.ts";
import { cannotInstall, install } from "../netns/programs.ts";
import { startFtp, startWeb } from "../netns/services.ts";
import { complain, print } from "../../src/cli/output.ts";
import { removeRules } from "../../src/control/rules_file.ts";
import { statePath } from "../../src/control/state_file.ts";

const LAN = "192.0.2.2", LAN6 = "2001:db8:1::2", WAN = "198.51.100.2", WAN6 = "2001:db8:2::2";
/** Weir's own addresses at the wan, behind which MASQUERADE hides the LAN. */
const GATE = "198.51.100.1", GATE6 = "2001:db8:2::1";
/** The router's name: this machine may have others. */
const NAME = `demo-${Deno.pid}`;
const MEGABYTES = 64;
const DOCUMENT = "What the FTP server sent is what arrived.\n".repeat(2_000);

/** What the demo needs, by the names of the programs. */
const PROGRAMS = ["ip", "nsenter", "unshare", "mount", "ping", "curl", "vsftpd"];

/** One thing to show: does it and says what happened, or throws. */
type Step = [title: string, show: (lab: Lab) => Promise<string>];

const STEPS: Step[] = [
  ["ping, lan to wan", (lab) => ping(lab, "lan", WAN, WAN6)],
  ["ping, wan to lan", (lab) => ping(lab, "wan", LAN, LAN6)],
  ["HTTP download, wan to lan", async (lab) => {
    const said: string[] = [];
    for (const [host, gate] of [[WAN, GATE], [`[${WAN6}]`, GATE6]]) {
      const seen = await lab.ok("lan", ...curl(`http://${host}:8080/`));
      if (seen !== `hello, ${gate}\n`) throw new Error(`the server was to see ${gate}, but it said: ${seen}`);
      const url = `http://${host}:8080/bytes/${MEGABYTES << 20}`;
      const [size, time] =
        (await lab.ok("lan", ...curl("-o", "/dev/null", "-w", "%{size_download} %{time_total}", url)))
          .split(" ").map(Number);
      if (size !== MEGABYTES << 20) throw new Error(`${size} bytes arrived`);
      said.push(`${MEGABYTES} MiB in ${time.toFixed(2)} s`);
    }
    return `${said.join(", IPv6 ")}; the server saw ${GATE} and ${GATE6}`;
  }],
  ["FTP, passive, lan to wan", (lab) => ftp(lab, "PASV", ["--disable-epsv"], WAN)],
  ["FTP, active, through MASQUERADE", (lab) => ftp(lab, "PORT", ["--ftp-port", "-", "--disable-eprt"], WAN)],
  ["FTP, active, IPv6", (lab) => ftp(lab, "EPRT", ["--ftp-port", "-"], `[${WAN6}]`)],
  ["port 80 with NOTRACK, wan to lan", async (lab) => {
    for (const [host, client] of [[LAN, WAN], [`[${LAN6}]`, WAN6]]) {
      const seen = await lab.ok("wan", ...curl(`http://${host}/`));
      if (seen !== `hello, ${client}\n`) {
        throw new Error(`the server was to see ${client}, but it said: ${seen}`);
      }
    }
    const tracked = (await flows(lab)).filter((flow) => /\bdport=80\b/.test(flow));
    if (tracked.length > 0) throw new Error(`there is a flow for it:\n${tracked.join("\n")}`);
    return "answered over IPv4 and IPv6, and the flow table knows nothing of it";
  }],
  ["the flow table, as conntrack -L", async (lab) => {
    const table = await flows(lab);
    for (const [what, pattern] of EXPECTED) {
      if (!table.some((flow) => pattern.test(flow))) {
        throw new Error(`no ${what} in it:\n${table.join("\n")}`);
      }
    }
    return `${table.length} flows\n\n${table.join("\n")}\n`;
  }],
];

/** What the flow table has to show, among others. */
const EXPECTED: [string, RegExp][] = [
  ["HTTP flow", new RegExp(`^tcp .*src=${LAN} dst=${WAN} .*dport=8080 src=${WAN} dst=${GATE} `)],
  [
    "HTTP flow over IPv6",
    new RegExp(`^tcp .*src=${LAN6} dst=${WAN6} .*dport=8080 src=${WAN6} dst=${GATE6} `),
  ],
  ["FTP control connection", new RegExp(`^tcp .*src=${LAN} dst=${WAN} .*dport=21 `)],
  ["FTP data connection opened by the server", new RegExp(`^tcp .*src=${WAN} dst=${GATE} sport=20 `)],
];

async function ping(lab: Lab, from: string, ...hosts: string[]): Promise<string> {
  const said: string[] = [];
  for (const host of hosts) {
    const text = await lab.ok(from, "ping", "-c", "3", "-i", "0.2", "-W", "2", host);
    const received = /(\d+) received/.exec(text)?.[1];
    if (received !== "3") throw new Error(text);
    said.push(`${host}: 3 of 3 answers, ${/= [\d.]+\/([\d.]+)\//.exec(text)?.[1]} ms`);
  }
  return said.join("; ");
}

async function ftp(lab: Lab, command: string, options: string[], host: string): Promise<string> {
  const { code, stdout, stderr } = await lab.run("lan", "curl", [
    "-sSv",
    "--max-time",
    "10",
    ...options,
    `ftp://${host}/document.txt`,
  ]);
  if (code !== 0) throw new Error(`curl ended with ${code}:\n${stderr}`);
  if (stdout !== DOCUMENT) throw new Error(`${stdout.length} bytes arrived, and not those that were sent`);
  const said = new RegExp(`^> (${command}.*?)\\r?$`, "m").exec(stderr)?.[1];
  if (said === undefined) throw new Error(`curl did not use ${command}:\n${stderr}`);
  return `${said}; ${stdout.length} bytes arrived as they were sent`;
}

/** curl, quiet but for errors. */
function curl(...args: string[]): [string, ...string[]] {
  return ["curl", "-sS", "--max-time", "15", ...args];
}

async function flows(lab: Lab): Promise<string[]> {
  const { code, stdout, stderr } = await lab.command(["conntrack", "-L", "--name", NAME]);
  if (code !== 0) throw new Error(`weir conntrack -L ended with ${code}: ${stderr}`);
  return stdout.trimEnd().split("\n");
}

/** Namespaces `lan` and `wan`: on show, or in a lab of their own when those names are taken. */
function makeLab(): Promise<Lab> {
  const taken = ["lan", "wan"].filter((name) => {
    try {
      Deno.statSync(`/run/netns/${name}`);
      return true;
    } catch {
      return false;
    }
  });
  if (taken.length === 0) return Lab.open("lan", "wan");
  print(
    `Network namespaces of this machine are called ${
      taken.join(" and ")
    } already. They are left alone: the demo has ` +
      "its own in a mount namespace of its own.\n",
  );
  return Lab.private("lan", "wan");
}

/** All steps in order; the number of those that failed. */
async function show(lab: Lab, stopped: AbortSignal): Promise<number> {
  const services = await Promise.all([
    startWeb(lab, "wan", 8080),
    startWeb(lab, "lan", 80),
    startFtp(lab, "wan", { "document.txt": DOCUMENT }),
  ]);
  let weir: Running;
  try {
    weir = await lab.weir(`${ROOT}examples/gateway.ts`, "--name", NAME);
  } catch (error) {
    if (!stopped.aborted) complain(`✗ Weir does not start: ${words(error)}`);
    return 1;
  }
  print(`  ${services.length} servers and Weir are up\n`);
  let failed = 0;
  for (const [title, step] of STEPS) {
    if (stopped.aborted) return 1;
    try {
      print(`✓ ${title}\n    ${(await step(lab)).replaceAll("\n", "\n    ").trimEnd()}`);
    } catch (error) {
      if (stopped.aborted) return 1;
      failed++;
      print(`✗ ${title}\n    ${words(error).replaceAll("\n", "\n    ")}`);
    }
  }
  const { code } = await weir.stop();
  if (code !== 0) {
    failed++;
    print(`✗ Weir ended with ${code}:\n    ${weir.text.trimEnd().replaceAll("\n", "\n    ")}`);
  }
  return failed;
}

function words(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).trimEnd();
}

async function main(): Promise<number> {
  const stop = new AbortController();
  let lab: Lab | null = null;
  // Closing the lab ends whatever the current step waits for, so the demo comes to its end by itself.
  const onSignal = () => {
    stop.abort();
    lab?.close();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) Deno.addSignalListener(signal, onSignal);

  const gone = await install(PROGRAMS, print);
  if (gone.length > 0) {
    complain(`The demo needs ${gone.join(", ")}, and ${cannotInstall() ?? "apt-get did not install them"}.`);
    return 1;
  }
  const why = unavailable();
  if (why !== null) {
    complain(`The demo cannot run here: ${why}.`);
    return 1;
  }
  print(`Weir between two network namespaces, with examples/gateway.ts

  lan ${LAN} ────── 192.0.2.1 [ Weir ] ${GATE} ────── ${WAN} wan
`);
  const began = performance.now();
  try {
    lab = await makeLab();
    const failed = stop.signal.aborted ? 1 : await show(lab, stop.signal);
    if (stop.signal.aborted) {
      print("\nStopped; cleaning up.");
      return 130;
    }
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    print(
      failed === 0 ? `\nEvery step worked (${seconds} s).` : `\n${failed} of ${STEPS.length} steps failed.`,
    );
    return failed === 0 ? 0 : 1;
  } catch (error) {
    complain(stop.signal.aborted ? "\nStopped; cleaning up." : `The demo failed: ${words(error)}`);
    return stop.signal.aborted ? 130 : 1;
  } finally {
    await lab?.close();
    // A router that was killed leaves its state for the next one of its name, which there will not be.
    await Deno.remove(statePath(NAME)).catch(() => {});
    removeRules(statePath(NAME));
  }
}

if (import.meta.main) Deno.exit(await main());
