/** Servers that listen in a lab's namespaces. */

import { type Lab, ROOT, type Running } from "./lab.ts";
import { find } from "./programs.ts";

/** Starts the web server of `web_server.ts`. */
export async function startWeb(lab: Lab, where: string, port: number, address = "::"): Promise<Running> {
  const script = `${ROOT}tests/netns/web_server.ts`;
  const server = lab.spawn(where, Deno.execPath(), ["run", "--no-config", "-N", script, `${port}`, address]);
  await server.waitFor(/^web server on port/m);
  return server;
}

/** vsftpd for anonymous users: no account of this machine is involved. */
const VSFTPD = `
background=NO
listen_ipv6=YES
anonymous_enable=YES
local_enable=NO
write_enable=YES
anon_upload_enable=YES
anon_umask=022
connect_from_port_20=YES
port_enable=YES
pasv_enable=YES
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
xferlog_enable=NO
use_localtime=NO
`;

/**
 * Starts vsftpd; it offers `files` (name → content) and takes uploads into `upload/`. `more` are lines of its
 * configuration.
 */
export async function startFtp(
  lab: Lab,
  where: string,
  files: Record<string, string>,
  port = 21,
  more = "",
): Promise<Running> {
  const name = `${where || "here"}${port === 21 ? "" : `-${port}`}`;
  const root = `${lab.dir}/ftp-${name}`;
  // vsftpd refuses an anonymous root that its user may write to.
  Deno.mkdirSync(`${root}/upload`, { recursive: true });
  Deno.chmodSync(`${root}/upload`, 0o777);
  for (const [file, text] of Object.entries(files)) Deno.writeTextFileSync(`${root}/${file}`, text);
  Deno.mkdirSync(`${lab.dir}/empty`, { recursive: true });
  const config = lab.write(
    `vsftpd-${name}.conf`,
    `${VSFTPD}listen_port=${port}\nanon_root=${root}\nsecure_chroot_dir=${lab.dir}/empty\n${more}`,
  );
  const server = lab.spawn(where, find("vsftpd") ?? "vsftpd", [config]);
  await listening(lab, where, port, server);
  return server;
}

/** Waits until something listens on TCP `port` in `where`; an early end of `server` is an error with its words. */
export async function listening(lab: Lab, where: string, port: number, server: Running): Promise<void> {
  const local = `:${port.toString(16).toUpperCase().padStart(4, "0")} `;
  for (let tries = 0; tries < 100; tries++) {
    if (server.over) throw new Error(`${server.name} ended:\n${server.text}`);
    const { stdout } = await lab.run(where, "cat", ["/proc/net/tcp", "/proc/net/tcp6"]);
    // State 0A is LISTEN.
    const found = stdout.split("\n").some((line) =>
      / 0A /.test(line) && line.split(/\s+/)[2]?.endsWith(local.trim())
    );
    if (found) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`${server.name} does not listen on port ${port}:\n${server.text}`);
}
