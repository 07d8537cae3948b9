/**
 * The real programs that the demo and the tests talk through Weir with, and where Debian keeps them.
 */

/** Program → Debian package. `needs` names programs, because that is what a test runs. */
export const PACKAGES: Readonly<Record<string, string>> = {
  "ip": "iproute2",
  "unshare": "util-linux",
  "nsenter": "util-linux",
  "setpriv": "util-linux",
  "mount": "mount",
  "ping": "iputils-ping",
  "traceroute": "traceroute",
  "curl": "curl",
  "lftp": "lftp",
  "vsftpd": "vsftpd",
  "iperf3": "iperf3",
  "iptables-legacy-restore": "iptables",
  "conntrack": "conntrack",
  "gcc": "gcc libc6-dev",
};

/** Debian keeps servers and network tools outside an ordinary user's PATH. */
const FOLDERS = [...(Deno.env.get("PATH") ?? "").split(":"), "/usr/local/sbin", "/usr/sbin", "/sbin"];

/** Where a program lies, or null. */
export function find(program: string): string | null {
  for (const folder of FOLDERS) {
    const path = `${folder}/${program}`;
    try {
      const { isFile, mode } = Deno.statSync(path);
      if (isFile && mode !== null && (mode & 0o111) !== 0) return path;
    } catch {
      // Not in this folder.
    }
  }
  return null;
}

/** Those of `programs` that are not installed. */
export function missing(programs: Iterable<string>): string[] {
  return [...programs].filter((program) => find(program) === null);
}

/** Why packages cannot be installed here, or null if they can. */
export function cannotInstall(): string | null {
  if (Deno.uid() !== 0) return "it takes root to install them";
  if (find("apt-get") === null) return "there is no apt-get";
  return null;
}

/**
 * Installs what is missing of `programs` from Debian. `say` hears what happens; what apt-get prints is shown only if
 * it fails. Returns what is still missing.
 */
export async function install(programs: readonly string[], say: (line: string) => void): Promise<string[]> {
  const wanted = missing(programs);
  if (wanted.length === 0 || cannotInstall() !== null) return wanted;
  const packages = [...new Set(wanted.flatMap((program) => PACKAGES[program].split(" ")))];
  say(`installing from Debian: ${packages.join(" ")}`);
  // vsftpd's package would start its server on this machine, which nobody asked for.
  const policy = "/usr/sbin/policy-rc.d";
  let ours = false;
  try {
    Deno.writeTextFileSync(policy, "#!/bin/sh\nexit 101\n", { createNew: true, mode: 0o755 });
    ours = true;
  } catch {
    // The machine has its own policy, as containers do.
  }
  try {
    for (
      const args of [["update"], ["install", "-y", "--no-install-recommends", ...packages]]
    ) {
      const { success, stdout, stderr } = await new Deno.Command("apt-get", {
        args: ["-q", ...args],
        env: { DEBIAN_FRONTEND: "noninteractive" },
        stdin: "null",
      }).output();
      if (!success) {
        const text = new TextDecoder();
        say(`apt-get ${args[0]} failed:\n${text.decode(stdout)}${text.decode(stderr)}`.trimEnd());
      }
    }
  } finally {
    if (ours) Deno.removeSync(policy);
  }
  return missing(wanted);
}
