/**
 * Two UDP streams whose packets take turns, for the tests of reloading. `two_streams.ts send ADDRESS PORT COUNT PAUSE`
 * sends COUNT pairs, the first packet of each from port 1001 and the second from 1002, each with its number, and sleeps
 * PAUSE milliseconds after every third pair. `two_streams.ts receive ADDRESS PORT` says at the end, a second after the
 * last packet, what came: `PORT NUMBER` a line.
 */
const [what, hostname, port, count, pause] = Deno.args;
const address = { transport: "udp", hostname, port: Number(port) } as const;

if (what === "send") {
  const sockets = [1001, 1002].map((own) =>
    Deno.listenDatagram({ transport: "udp", hostname: "0.0.0.0", port: own })
  );
  const packet = new Uint8Array(4), view = new DataView(packet.buffer);
  for (let n = 0; n < Number(count); n++) {
    view.setUint32(0, n);
    for (const socket of sockets) await socket.send(packet, address);
    if (n % 3 === 2) await new Promise((done) => setTimeout(done, Number(pause)));
  }
} else {
  const socket = Deno.listenDatagram(address), came: string[] = [];
  Deno.stdout.writeSync(new TextEncoder().encode("receiving\n"));
  const late = () => socket.close();
  let timer = setTimeout(late, 10_000);
  try {
    for (;;) {
      const [bytes, from] = await socket.receive();
      clearTimeout(timer);
      timer = setTimeout(late, 1000);
      came.push(
        `${(from as Deno.NetAddr).port} ${new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)}`,
      );
    }
  } catch {
    // Closed: nothing came for a second.
  }
  const text = new TextEncoder().encode(came.join("\n") + "\n");
  for (let at = 0; at < text.length;) at += Deno.stdout.writeSync(text.subarray(at));
}
