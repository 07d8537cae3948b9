/**
 * An FTP client that cuts its commands where it is told, for anonymous downloads in active mode:
 * `deno run -N ftp_client.ts SERVER OWN-ADDRESS PORT CONVERSATION`. The conversation is JSON: of each entry, the
 * segments of `send` go out one by one, and `answers` are waited for. What comes to `OWN-ADDRESS` `PORT` goes to
 * standard output, what the server says to standard error. Ends with 1 when it says no, with 2 when it says nothing for
 * three seconds.
 */

interface Exchange {
  readonly send: readonly string[];
  readonly answers: number;
}

const encoder = new TextEncoder(), decoder = new TextDecoder();
const [server, hostname, port, conversation] = Deno.args;
const data = Deno.listen({ hostname, port: Number(port) });
const control = await Deno.connect({ hostname: server, port: 21 });
control.setNoDelay(true); // a write is a segment
/** Ends the program if nothing more is said for a while. */
const wait = () => setTimeout(() => Deno.exit(2), 3_000);
let patience = wait();

/** Lines that were not asked for yet, the last of them maybe not whole. */
let unread = "";

/** The next answer; ends the program where it is a no. */
async function answer(): Promise<void> {
  const buffer = new Uint8Array(4096);
  let found: RegExpExecArray | null;
  while ((found = /^\d{3} .*\r\n/m.exec(unread)) === null) {
    const length = await control.read(buffer);
    if (length === null) Deno.exit(1);
    unread += decoder.decode(buffer.subarray(0, length));
  }
  unread = unread.slice(found.index + found[0].length);
  Deno.stderr.writeSync(encoder.encode(found[0]));
  clearTimeout(patience);
  patience = wait();
  if (found[0] >= "4") Deno.exit(1);
}

/** What is sent to the data connection, written to standard output. */
async function download(): Promise<void> {
  const conn = await data.accept();
  await conn.readable.pipeTo(Deno.stdout.writable, { preventClose: true });
}

const downloaded = download();
await answer();
for (const { send, answers } of JSON.parse(conversation) as Exchange[]) {
  for (const segment of send) await control.write(encoder.encode(segment));
  for (let i = 0; i < answers; i++) await answer();
}
await downloaded;
clearTimeout(patience);
Deno.exit(0);
