/** Loads a configuration module that a user names, for the commands. */

import type { DefinedRouter } from "../config/define.ts";
import type { ValidConfig } from "../config/valid.ts";
import { importConfig, LoadError, validated as validatedOrThrow } from "../dataplane/loading.ts";
import { Refused } from "./command.ts";

export { counted, judge, listed } from "../dataplane/loading.ts";

/** A configuration and where it came from: the data plane imports it again, because functions cannot be sent. */
export interface Loaded {
  readonly config: DefinedRouter;
  readonly url: URL;
}

/** Imports the module at `path`, whose default export has to be made by `defineRouter`. */
export async function load(path: string): Promise<Loaded> {
  const url = locate(path);
  try {
    return { config: await importConfig(url, path), url };
  } catch (error) {
    throw refusal(error);
  }
}

/** The file that a user calls `path`. */
export function locate(path: string): URL {
  // `deno task start` runs in the project's folder; INIT_CWD is where the user stands.
  for (const folder of [Deno.cwd(), Deno.env.get("INIT_CWD")]) {
    if (folder === undefined) continue;
    const url = new URL(
      encodeURI(path).replaceAll("#", "%23").replaceAll("?", "%3F"),
      `file://${encodeURI(folder)}/`,
    );
    try {
      if (Deno.statSync(url).isFile) return url;
    } catch {
      // Not there.
    }
  }
  throw new Refused(`${path}: there is no such file`);
}

/** The validated configuration; `Refused` with all its mistakes, one a line, below a line that counts them. */
export function validated(file: string, config: DefinedRouter): ValidConfig {
  try {
    return validatedOrThrow(file, config);
  } catch (error) {
    throw refusal(error);
  }
}

function refusal(error: unknown): unknown {
  return error instanceof LoadError ? new Refused(error.message) : error;
}
