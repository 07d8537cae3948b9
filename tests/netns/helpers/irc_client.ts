/**
 * An IRC client that does one DCC transfer and ends: `deno run -N irc_client.ts ROLE SERVER NICK OWN-ADDRESS PORT …`.
 *
 * - `offer … PEER FILE`: offers FILE, which it listens for at `OWN-ADDRESS` `PORT`. A RESUME must name that port.
 * - `passive … PEER FILE`: offers FILE and has the other one listen (port 0 and a token).
 * - `take … [OFFSET]`: takes the first offer that comes; the file's rest from OFFSET on if it is given (RESUME), by a
 *   port of its own if the offer is a passive one. What arrives goes to standard output.
 *
 * What is said of DCC goes to standard error. Ends with 1 when something is refused or wrong, with 2 when nothing happens.
 */

const TEXT = "a line of the file that somebody offers\n".repeat(2000);
const TOKEN = "42";
const encoder = new TextEncoder(), decoder = new TextDecoder();
const [role, server, nick, own, port, ...rest] = Deno.args;

const irc = await Deno.connect({ hostname: server, port: 6667 });
setTimeout(() => fail(2, "nothing happens"), 6_000);
let unread = "";

function say(text: string): void {
  Deno.stderr.writeSync(encoder.encode(`${text}\n`));
}

function fail(code: number, why: string): never {
  say(why);
  Deno.exit(code);
}

async function send(line: string): Promise<void> {
  await irc.write(encoder.encode(`${line}\r\n`));
}

/** Reads lines until one fits, in which the marks of CTCP are written `|`. */
async function until(pattern: RegExp): Promise<RegExpExecArray> {
  const buffer = new Uint8Array(4096);
  while (true) {
    for (let end; (end = unread.indexOf("\n")) >= 0;) {
      const line = unread.slice(0, end).trimEnd().replaceAll("\x01", "|");
      unread = unread.slice(end + 1);
      if (line.startsWith("PING")) await send(`PONG${line.slice(4)}`);
      if (line.includes("DCC")) say(line);
      const found = pattern.exec(line);
      if (found) return found;
    }
    const length = await irc.read(buffer);
    if (length === null) fail(1, "the server hangs up");
    unread += decoder.decode(buffer.subarray(0, length));
  }
}

function dcc(peer: string, words: string): Promise<void> {
  return send(`PRIVMSG ${peer} :\x01DCC ${words}\x01`);
}

/** An address as DCC writes it. */
function numberOf(address: string): number {
  return address.split(".").reduce((number, byte) => number * 256 + Number(byte), 0);
}

function addressOf(number: string): string {
  return [24, 16, 8, 0].map((shift) => Number(number) / 2 ** shift & 255).join(".");
}

async function dial(address: string, at: string): Promise<Deno.Conn> {
  try {
    return await Deno.connect({ hostname: addressOf(address), port: Number(at) });
  } catch (error) {
    fail(1, `cannot dial ${addressOf(address)} ${at}: ${error}`);
  }
}

async function give(conn: Deno.Conn, offset = 0): Promise<never> {
  const writer = conn.writable.getWriter();
  await writer.write(encoder.encode(TEXT.slice(offset)));
  await writer.close();
  Deno.exit(0);
}

async function receive(conn: Deno.Conn): Promise<never> {
  await conn.readable.pipeTo(Deno.stdout.writable, { preventClose: true });
  Deno.exit(0);
}

async function offer(peer: string, file: string): Promise<never> {
  const listener = Deno.listen({ hostname: own, port: Number(port) });
  await dcc(peer, `SEND ${file} ${numberOf(own)} ${port} ${TEXT.length}`);
  let offset = 0;
  until(/DCC RESUME .* (\d+) (\d+)\|$/).then(async ([, at, from]) => {
    if (at !== port) fail(1, `RESUME for port ${at}, which nobody offered`);
    offset = Number(from);
    await dcc(peer, `ACCEPT ${file} ${port} ${from}`);
  });
  return give(await listener.accept(), offset);
}

async function offerPassively(peer: string, file: string): Promise<never> {
  await dcc(peer, `SEND ${file} ${numberOf(own)} 0 ${TEXT.length} ${TOKEN}`);
  const [, address, at] = await until(new RegExp(`DCC SEND .* (\\d+) (\\d+) \\d+ ${TOKEN}\\|$`));
  return give(await dial(address, at));
}

async function take(offset: string | undefined): Promise<never> {
  const [, from, file, address, at, size, token] = await until(
    /^:([^!]+)!\S+ PRIVMSG \S+ :\|DCC SEND ("[^"]*"|\S+) (\d+) (\d+) (\d+)(?: (\d+))?\|$/,
  );
  if (at === "0") {
    const listener = Deno.listen({ hostname: own, port: Number(port) });
    await dcc(from, `SEND ${file} ${numberOf(own)} ${port} ${size} ${token}`);
    return receive(await listener.accept());
  }
  if (offset !== undefined) {
    await dcc(from, `RESUME ${file} ${at} ${offset}`);
    const [, accepted] = await until(/DCC ACCEPT .* (\d+) \d+\|$/);
    if (accepted !== at) fail(1, `ACCEPT for port ${accepted} instead of ${at}`);
  }
  return receive(await dial(address, at));
}

await send(`NICK ${nick}`);
await send(`USER ${nick} 0 * :${nick}`);
await until(/^:\S+ (376|422) /); // the end of the message of the day, or that there is none
say("welcome");
if (role === "offer") await offer(rest[0], rest[1]);
else if (role === "passive") await offerPassively(rest[0], rest[1]);
else await take(rest[0]);
