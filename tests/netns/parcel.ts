/**
 * The parcel service of examples/own_helper.ts, both ends: `deno run -N parcel.ts serve PORT`, and
 * `deno run -N parcel.ts order SERVER PORT OWN-ADDRESS OWN-PORT`, which prints the parcel. A server that cannot deliver
 * says why where it was asked.
 */

const encoder = new TextEncoder(), decoder = new TextDecoder();
const [what, ...args] = Deno.args;

/** What a stream has to say, to its end or to the end of a line. */
async function read(conn: Deno.Conn, line = false): Promise<string> {
  let text = "";
  for (const buffer = new Uint8Array(4096); !line || !text.endsWith("\n");) {
    const length = await conn.read(buffer);
    if (length === null) break;
    text += decoder.decode(buffer.subarray(0, length));
  }
  return text;
}

async function serve(port: number): Promise<never> {
  const listener = Deno.listen({ hostname: "::", port });
  Deno.stdout.writeSync(encoder.encode(`parcel service on port ${port}\n`));
  while (true) await deliver(await listener.accept());
}

async function deliver(customer: Deno.Conn): Promise<void> {
  const [, hostname, port] = (await read(customer, true)).trim().split(" ");
  try {
    const door = await Deno.connect({ hostname, port: Number(port) });
    await door.write(encoder.encode(`a parcel for ${hostname} ${port}\n`));
    door.close();
  } catch (error) {
    await customer.write(encoder.encode(`not delivered to ${hostname} ${port}: ${error}\n`));
  }
  customer.close();
}

async function order(server: string, port: number, hostname: string, door: number): Promise<void> {
  const listener = Deno.listen({ hostname, port: door });
  const conn = await Deno.connect({ hostname: server, port });
  await conn.write(encoder.encode(`DELIVER ${hostname} ${door}\n`));
  const parcel = listener.accept().then((conn) => read(conn));
  // A service that has nothing to complain about ends in silence: the parcel is on its way.
  const complaint = read(conn).then((text) => text === "" ? parcel : text);
  const delivered = await Promise.race([parcel, complaint]);
  Deno.stdout.writeSync(encoder.encode(delivered));
  Deno.exit(0);
}

if (what === "serve") await serve(Number(args[0]));
else await order(args[0], Number(args[1]), args[2], Number(args[3]));
