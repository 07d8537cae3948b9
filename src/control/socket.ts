/**
 * The control socket of a running router, beside its state file: other processes ask, the control plane answers. One
 * request per line, one answer per line, both JSON objects.
 *
 * ```
 *  {"command":"unload-helper","helper":"ftp"}   ─▶   {"ok":true,"flows":3,"expectations":1,"changed":true}
 *  {"command":"unload-helper","helper":"fpt"}   ─▶   {"ok":false,"error":"there is no helper \"fpt\"; …"}
 * ```
 *
 * Life-cycle: who holds the lock of the state file owns the socket beside it, so one that is there already is a dead
 * process's and goes. It is removed at every end but kill -9. Only its owner can reach it (mode 0600).
 *
 * Limits: a question of 64 KiB. What can be read from the state file is not asked here.
 */
import { removeIfThere } from "./remove.ts";

/** What is asked: a command by its name, and its arguments. */
export type Request = Readonly<Record<string, unknown>>;
/** What a command answers when it was carried out. */
export type Result = Readonly<Record<string, unknown>>;
/** A line back. */
export type Answer = Result & { readonly ok: true } | { readonly ok: false; readonly error: string };
/** Commands by name; `gone` tells when the asker has ended the conversation. They throw `CommandError` for what they refuse. */
export type Handlers = Readonly<Record<string, (request: Request, gone: AbortSignal) => Promise<Result>>>;

/** A command that was refused, or that nobody could be asked; one line for people. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

/** Bytes of a question, and of an answer, which may list the mistakes of a long configuration. */
const LONGEST_LINE = 65536, LONGEST_ANSWER = 1 << 26;
/** What sockaddr_un holds, without its final zero. */
const LONGEST_PATH = 107;
const SUFFIX = /\.state$/;

/** The path of the socket beside a state file. */
export function socketPath(statePath: string): string {
  return statePath.replace(SUFFIX, ".sock");
}

/** The listening side. */
export class ControlSocket {
  readonly path: string;
  readonly #handlers: Handlers;
  readonly #listener: Deno.UnixListener;
  /** Conversations, and what tells of their end. */
  readonly #connections = new Map<Deno.UnixConn, AbortController>();

  private constructor(path: string, handlers: Handlers, listener: Deno.UnixListener) {
    this.path = path;
    this.#handlers = handlers;
    this.#listener = listener;
    this.#accept();
  }

  /** Listens at a path that is this process's to use. Throws a `CommandError` of one line. */
  static open(path: string, handlers: Handlers): ControlSocket {
    if (new TextEncoder().encode(path).length > LONGEST_PATH) {
      throw new CommandError(`the control socket's path is longer than ${LONGEST_PATH} bytes: ${path}`);
    }
    const mask = Deno.umask(0o177);
    try {
      removeIfThere(path);
      return new ControlSocket(path, handlers, Deno.listen({ transport: "unix", path }));
    } catch (error) {
      throw new CommandError(`cannot listen at ${path}: ${(error as Error).message}`);
    } finally {
      Deno.umask(mask);
    }
  }

  /** Ends all conversations and removes the socket. */
  close(): void {
    this.#listener.close();
    for (const connection of [...this.#connections.keys()]) this.#end(connection);
    removeIfThere(this.path);
  }

  async #accept(): Promise<void> {
    for (;;) {
      let connection: Deno.UnixConn;
      try {
        connection = await this.#listener.accept();
      } catch (error) {
        if (error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted) return;
        // Out of descriptors, or the client has gone already: others may still come.
        await new Promise((done) => setTimeout(done, 100));
        continue;
      }
      const gone = new AbortController();
      this.#connections.set(connection, gone);
      this.#serve(connection, gone.signal);
    }
  }

  async #serve(connection: Deno.UnixConn, gone: AbortSignal): Promise<void> {
    try {
      for await (const line of lines(connection)) await send(connection, await this.#answer(line, gone));
    } catch (error) {
      if (error instanceof CommandError) {
        await send(connection, { ok: false, error: error.message }).catch(() => {});
      }
      // Otherwise it has gone in the middle, or the router ends: there is nobody to tell.
    } finally {
      this.#end(connection);
    }
  }

  async #answer(line: string, gone: AbortSignal): Promise<Answer> {
    try {
      const request = parse(line), { command } = request;
      const known = Object.keys(this.#handlers);
      if (typeof command !== "string" || !known.includes(command)) {
        throw new CommandError(
          `there is no command ${JSON.stringify(command)}; known are ${known.join(", ")}`,
        );
      }
      return { ...await this.#handlers[command](request, gone), ok: true };
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      return { ok: false, error: error.message };
    }
  }

  #end(connection: Deno.UnixConn): void {
    const gone = this.#connections.get(connection);
    if (gone === undefined) return;
    this.#connections.delete(connection);
    connection.close();
    gone.abort();
  }
}

/** Asks the router whose socket is at `path`. Throws a `CommandError` with its refusal, or when there is no answer. */
export async function ask(path: string, request: Request): Promise<Result> {
  using conversation = await converse(path, request);
  return conversation.answer;
}

/** A question that was answered, by a router that goes on with what it answered until the conversation ends. */
export interface Conversation extends Disposable {
  readonly answer: Result;
  /** The router has ended it: it is gone. */
  readonly ended: Promise<void>;
}

/** `ask`, and the conversation goes on. */
export async function converse(path: string, request: Request): Promise<Conversation> {
  let connection: Deno.UnixConn;
  try {
    connection = await Deno.connect({ transport: "unix", path });
  } catch (error) {
    throw new CommandError(`cannot reach the router at ${path}: ${(error as Error).message}`);
  }
  try {
    await send(connection, request);
    const answers = lines(connection, LONGEST_ANSWER), { value, done } = await answers.next();
    if (done) throw new CommandError("the router ended before it answered");
    const answer = parse(value) as unknown as Answer;
    if (!answer.ok) throw new CommandError(answer.error);
    let ended: Promise<void> | undefined;
    return {
      answer,
      get ended() {
        // Closed from this side, it has ended as well.
        return ended ??= answers.next().then(() => {}, () => {});
      },
      [Symbol.dispose]: () => connection.close(),
    };
  } catch (error) {
    connection.close();
    throw error;
  }
}

function parse(line: string): Request {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Request;
  } catch {
    // It is no JSON at all.
  }
  throw new CommandError("a line must be a JSON object");
}

async function send(connection: Deno.UnixConn, value: object): Promise<void> {
  let bytes = new TextEncoder().encode(`${JSON.stringify(value)}\n`);
  while (bytes.length > 0) bytes = bytes.subarray(await connection.write(bytes));
}

/** The lines that come in, up to the end; one without a line end at the end is not one. */
async function* lines(connection: Deno.UnixConn, longest = LONGEST_LINE): AsyncGenerator<string> {
  const decoder = new TextDecoder(), chunk = new Uint8Array(4096);
  let text = "";
  for (;;) {
    const read = await connection.read(chunk);
    if (read === null) return;
    text += decoder.decode(chunk.subarray(0, read), { stream: true });
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
    }
    if (text.length > longest) throw new CommandError(`a line is longer than ${longest} bytes`);
  }
}
