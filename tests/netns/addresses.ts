/** Addresses of the examples, which the tests run as they are. */

import type { Lab } from "./lab.ts";

/** One family's side of the examples' drawing. */
export interface FamilyOfExample {
  readonly version: 4 | 6;
  /** For programs that are told the family. */
  readonly option: "-4" | "-6";
  readonly lan: string;
  readonly weirLan: string;
  readonly weirWan: string;
  readonly wan: string;
  /** An address as it stands in a URL. */
  host(address: string): string;
}

/** IPv4 and IPv6. */
export const FAMILIES: readonly FamilyOfExample[] = [
  {
    version: 4,
    option: "-4",
    lan: "192.0.2.2",
    weirLan: "192.0.2.1",
    weirWan: "198.51.100.1",
    wan: "198.51.100.2",
    host: (address) => address,
  },
  {
    version: 6,
    option: "-6",
    lan: "2001:db8:1::2",
    weirLan: "2001:db8:1::1",
    weirWan: "2001:db8:2::1",
    wan: "2001:db8:2::2",
    host: (address) => `[${address}]`,
  },
];

/** Weir's flow table, one flow a line, as `weir conntrack -L` prints it. */
export async function flows(lab: Lab): Promise<string> {
  const { code, stdout, stderr } = await lab.command(["conntrack", "-L"]);
  if (code !== 0) throw new Error(`weir conntrack -L ended with ${code}: ${stderr}`);
  return stdout;
}
