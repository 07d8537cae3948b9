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
  "find": "findutils",
  "ping": "iputils-ping",
  "traceroute": "traceroute",
  "curl": "curl",
  "lftp": "lftp",
  "tnftp": "tnftp",
  "vsftpd": "vsftpd",
  "pure-ftpd": "libsodium23",
  "tftp": "tftp-hpa",
  "atftp": "atftp",
  "in.tftpd": "tftpd-hpa",
  "atftpd": "libpcre2-8-0 libwrap0",
  "inetd": "openbsd-inetd",
  "ngircd": "ngircd",
  "weechat-headless": "weechat-headless weechat-plugins",
  "amdump": "amanda-server libencode-locale-perl",
  "amservice": "amanda-client",
  "talk": "talk",
  "in.ntalkd": "libwrap0",
  "script": "bsdutils",
  "openssl": "openssl",
  "iperf3": "iperf3",
  "iptables-legacy-restore": "iptables",
  "conntrack": "conntrack",
  "ipset": "ipset",
  "nfct": "nfct",
  "gcc": "gcc libc6-dev",
};

/**
 * Servers whose package cannot be installed beside another one of these, as Debian takes one FTP server at a time, or
 * would serve this machine. Their package is unpacked into a folder of its own, and above stands what they are linked
 * with.
 */
const UNPACKED: Readonly<Record<string, string>> = {
  "pure-ftpd": "pure-ftpd",
  "atftpd": "atftpd",
  "in.ntalkd": "talkd",
};
const UNPACKED_FOLDER = "/var/cache/weir-tests";

/** Debian keeps servers and network tools outside an ordinary user's PATH. */
const FOLDERS = [
  ...(Deno.env.get("PATH") ?? "").split(":"),
  "/usr/local/sbin",
  "/usr/sbin",
  "/sbin",
  ...Object.values(UNPACKED).map((name) => `${UNPACKED_FOLDER}/${name}/usr/sbin`),
];

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
export async function install(
  programs: readonly string[],
  say: (line: string) => void,
  packages: Readonly<Record<string, string>> = PACKAGES,
): Promise<string[]> {
  const wanted = missing(programs);
  if (wanted.length === 0 || cannotInstall() !== null) return wanted;
  const names = [...new Set(wanted.flatMap((program) => packages[program].split(" ")))];
  say(`installing from Debian: ${names.join(" ")}`);
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
    await aptGet(["update"], say);
    await aptGet(["install", "-y", "--no-install-recommends", ...names], say);
  } finally {
    if (ours) Deno.removeSync(policy);
  }
  for (const program of wanted) {
    if (program in UNPACKED) await unpack(UNPACKED[program], say);
  }
  return missing(wanted);
}

/** Unpacks a package into its folder below `UNPACKED_FOLDER`: none of its scripts runs, nothing else is touched. */
async function unpack(name: string, say: (line: string) => void): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "weir-package-" });
  try {
    Deno.chmodSync(folder, 0o777); // apt-get downloads as a user of its own
    await aptGet(["download", name], say, folder);
    for (const { name: file } of Deno.readDirSync(folder)) {
      const to = `${UNPACKED_FOLDER}/${name}`;
      await Deno.mkdir(to, { recursive: true });
      await command("dpkg-deb", ["-x", `${folder}/${file}`, to], say);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function aptGet(args: readonly string[], say: (line: string) => void, cwd?: string): Promise<void> {
  return command("apt-get", ["-q", ...args], say, cwd);
}

/** Runs a program; what it printed is said only if it failed. */
async function command(
  program: string,
  args: readonly string[],
  say: (line: string) => void,
  cwd?: string,
): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    cwd,
    env: { DEBIAN_FRONTEND: "noninteractive" },
    stdin: "null",
  }).output();
  if (success) return;
  const text = new TextDecoder();
  say(`${program} ${args.join(" ")} failed:\n${text.decode(stdout)}${text.decode(stderr)}`.trimEnd());
}
