/** Runs the `weir` command in a process of its own, without privilege or router. */

import { ROOT } from "../tree.ts";

/** How it ended. */
export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** `weir ARGS`, in folder `cwd`. */
export async function weir(
  args: readonly string[],
  cwd = ROOT,
  env: Record<string, string> = {},
): Promise<Ended> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-prompt", `${ROOT}mod.ts`, ...args],
    cwd,
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

/** A folder for configurations that goes away again. */
export class Folder implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "weir-cli-" });

  /** Writes a file; returns its path. */
  write(name: string, text: string): string {
    Deno.writeTextFileSync(`${this.path}/${name}`, text);
    return `${this.path}/${name}`;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}
