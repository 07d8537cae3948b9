/** The IRC server of the tests: ngircd. */

import type { Lab } from "../lab.ts";
import { find } from "../programs.ts";
import type { Control } from "./kit.ts";

export const CONTROL: Control = { helper: "irc", protocol: "tcp", port: 6667 };

const NGIRCD = `
[Global]
Name = irc.example.net
Info = a server for tests
AdminInfo1 = nobody
Ports = 6667
ServerUID = root
ServerGID = root
[Limits]
MaxConnectionsIP = 0
MaxPenaltyTime = 0
[Options]
DNS = no
Ident = no
PAM = no
SyslogFacility = local1
`;

/** Starts ngircd in a namespace. */
export async function startIrc(lab: Lab, where: string): Promise<void> {
  const server = lab.spawn(where, find("ngircd") ?? "ngircd", [
    "--nodaemon",
    "--config",
    lab.write(`ngircd-${where}.conf`, NGIRCD),
  ]);
  await server.waitFor(/Now listening on \[0\.0\.0\.0\]:6667/);
}
