/**
 * Both ends of what the guide in src/helpers/README.md has helpers for: `serve OWN` streams over RTSP's SETUP and calls
 * beacons back, `ask OWN SERVER` asks for both and prints what came.
 */

const encoder = new TextEncoder(), decoder = new TextDecoder();
const [what, own, server] = Deno.args;
const RTSP = 554, STREAM = 4588, BEACON = 7701, CALLS = 5000;
/** Milliseconds after which nothing comes any more. */
const PATIENCE = 1500;

const datagrams = (port: number) => Deno.listenDatagram({ transport: "udp", hostname: own, port });

async function read(conn: Deno.Conn): Promise<string> {
  const buffer = new Uint8Array(4096), length = await conn.read(buffer);
  return decoder.decode(buffer.subarray(0, length ?? 0));
}

/** What comes, or "nothing" when it takes too long. */
function soon(coming: Promise<string>): Promise<string> {
  const late = new Promise<string>((resolve) => setTimeout(() => resolve("nothing"), PATIENCE));
  return Promise.race([coming, late]);
}

/** Sends to the ports that a client asks for, in each SETUP. */
async function stream(conn: Deno.TcpConn): Promise<void> {
  const out = datagrams(6256), { hostname } = conn.remoteAddr;
  const port = Number(/client_port=(\d+)-/.exec(await read(conn))![1]);
  for (const [i, text] of ["RTP", "RTCP"].entries()) {
    await out.send(encoder.encode(text), { transport: "udp", hostname, port: port + i });
  }
  await conn.write(
    encoder.encode(`RTSP/1.0 200 OK\r\nTransport: RTP/AVP;client_port=${port}-${port + 1}\r\n\r\n`),
  );
  out.close();
  conn.close();
}

/** Calls whoever announces itself. */
async function answerBeacons(): Promise<void> {
  for await (const [message] of datagrams(BEACON)) {
    const port = message[6] << 8 | message[7], hostname = message.subarray(8, 12).join(".");
    try {
      const conn = await Deno.connect({ hostname, port });
      await conn.write(encoder.encode(`hello, ${hostname}`));
      conn.close();
    } catch {
      // Nobody lets it in.
    }
  }
}

async function serve(): Promise<void> {
  answerBeacons();
  const listener = Deno.listen({ hostname: own, port: RTSP });
  Deno.stdout.writeSync(encoder.encode("ready\n"));
  for await (const conn of listener) await stream(conn);
}

async function ask(): Promise<void> {
  const media = [datagrams(STREAM), datagrams(STREAM + 1)];
  const conn = await Deno.connect({ hostname: server, port: RTSP });
  const transport = `RTP/AVP;unicast;client_port=${STREAM}-${STREAM + 1}`;
  await conn.write(encoder.encode(`SETUP rtsp://x/1 RTSP/1.0\r\nCSeq: 1\r\nTransport: ${transport}\r\n\r\n`));
  const came = media.map((port) => soon(port.receive().then(([bytes]) => decoder.decode(bytes))));

  const calls = Deno.listen({ hostname: own, port: CALLS });
  const message = Uint8Array.of(
    ...encoder.encode("BCN1"),
    1,
    0,
    CALLS >> 8,
    CALLS & 255,
    ...own.split(".").map(Number),
  );
  await datagrams(BEACON).send(message, { transport: "udp", hostname: server, port: BEACON });
  const call = soon(calls.accept().then(read));
  Deno.stdout.writeSync(encoder.encode(`${(await Promise.all([...came, call])).join("; ")}\n`));
  Deno.exit(0);
}

await (what === "serve" ? serve() : ask());
