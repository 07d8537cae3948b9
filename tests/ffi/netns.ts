/**
 * What tests against real devices need: tests that say why they were left out, and namespaces that always go.
 *
 * @module
 */
import { libc, TUN_PATH } from "deno_tun";

/** Why tests with devices cannot run here, or "" when they can. */
export const leftOut: string = reason();

// The C library stays open for the life of the thread; opened in a test, the sanitizer would call it a leak.
if (Deno.build.os === "linux") libc();

function reason(): string {
  if (Deno.build.os !== "linux") return "needs Linux";
  if (Deno.uid() !== 0) return "needs root";
  try {
    Deno.statSync(TUN_PATH);
  } catch {
    return `needs ${TUN_PATH}`;
  }
  try {
    new Deno.Command("ip", { args: ["-V"], stdout: "null", stderr: "null" }).outputSync();
  } catch {
    return "needs ip (package iproute2)";
  }
  return "";
}

/** A test with the sanitizers on. */
export function test(name: string, fn: () => void | Promise<void>): void {
  Deno.test({ name, fn, sanitizeOps: true, sanitizeResources: true });
}

/** A test that needs real devices; elsewhere it is ignored and its name says why. */
export function deviceTest(name: string, fn: () => void | Promise<void>): void {
  const ignore = leftOut !== "";
  Deno.test({
    name: ignore ? `${name} [left out: ${leftOut}]` : name,
    ignore,
    fn,
    sanitizeOps: true,
    sanitizeResources: true,
  });
}

/** Runs a program and gives what it printed; throws when it fails. */
export async function run(...command: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command[0], { args: command.slice(1) }).output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`${command.join(" ")}: ${decoder.decode(stderr)}${decoder.decode(stdout)}`);
  return decoder.decode(stdout);
}

let made = 0;

/** Network namespaces of one test, deleted at its end. */
export class Namespaces implements AsyncDisposable {
  readonly names: string[] = [];

  /** Makes `count` namespaces with names that nobody else has. */
  static async make(count: number): Promise<Namespaces> {
    const self = new Namespaces();
    for (let i = 0; i < count; i++) {
      const name = `weirdev-${Deno.pid}-${made++}`;
      await run("ip", "netns", "add", name);
      self.names.push(name);
    }
    return self;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of this.names) await run("ip", "netns", "del", name);
  }
}
