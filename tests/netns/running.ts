/** A program that runs: what it says, waiting for words of it, and an end that cannot be forgotten. */

/** What is left of a program that ended. */
export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** A started program. */
export class Running {
  /** Everything it said so far, both streams. */
  text = "";
  stdout = "";
  stderr = "";
  readonly name: string;
  readonly ended: Promise<Ended>;
  readonly #child: Deno.ChildProcess;
  /** Called whenever something was said, and at the end. */
  readonly #listeners = new Set<() => void>();
  #over = false;
  /** The way it ended. */
  #how = "";

  constructor(name: string, child: Deno.ChildProcess) {
    this.name = name;
    this.#child = child;
    this.ended = this.#watch();
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** It ended, and all it said is there. */
  get over(): boolean {
    return this.#over;
  }

  /** The first match of `pattern` in what it says, or an error with all of it if it ends or `ms` pass before. */
  waitFor(pattern: RegExp, ms = 10_000): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const match = pattern.exec(this.text);
        if (match) done(() => resolve(match));
        else if (this.#over) {
          done(() => reject(this.#error(`ended (${this.#how}) before it said ${pattern}`)));
        }
      };
      const timer = setTimeout(
        () => done(() => reject(this.#error(`did not say ${pattern} within ${ms} ms`))),
        ms,
      );
      const done = (then: () => void) => {
        clearTimeout(timer);
        this.#listeners.delete(look);
        then();
      };
      this.#listeners.add(look);
      look();
    });
  }

  /** Sends a signal; a program that is gone does not mind. */
  signal(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch {
      // It ended in the meantime.
    }
  }

  /** Kills it with all that it started: it was spawned as the head of a process group. */
  kill(): void {
    try {
      Deno.kill(-this.pid, "SIGKILL");
    } catch {
      // Nothing is left of the group.
    }
  }

  /** Ends it: `signal`, or none where it ends by itself; after `ms`, SIGKILL. Resolves to how it ended. */
  async stop(signal: Deno.Signal | null = "SIGTERM", ms = 3_000): Promise<Ended> {
    if (!this.#over && signal !== null) this.signal(signal);
    const timer = setTimeout(() => this.kill(), ms);
    try {
      return await this.ended;
    } finally {
      clearTimeout(timer);
    }
  }

  async #watch(): Promise<Ended> {
    const read = async (stream: ReadableStream<Uint8Array>, as: "stdout" | "stderr") => {
      const decoder = new TextDecoder();
      for await (const chunk of stream) {
        const part = decoder.decode(chunk, { stream: true });
        this[as] += part;
        this.text += part;
        for (const listener of [...this.#listeners]) listener();
      }
    };
    const [{ code, signal }] = await Promise.all([
      this.#child.status,
      read(this.#child.stdout, "stdout"),
      read(this.#child.stderr, "stderr"),
    ]);
    this.#over = true;
    this.#how = signal ?? `exit code ${code}`;
    for (const listener of [...this.#listeners]) listener();
    return { code, stdout: this.stdout, stderr: this.stderr };
  }

  #error(what: string): Error {
    return new Error(`${this.name} ${what}${this.text ? `; it said:\n${this.text}` : ""}`);
  }
}
