/**
 * A small web server for the demo and the tests: `deno run -N web_server.ts PORT [ADDRESS]`.
 * `/` greets and says who asked; `/bytes/N` is N bytes, the same each time.
 */

const port = Number(Deno.args[0]);
const hostname = Deno.args[1] ?? "::";
const line = new TextEncoder().encode("All work and no play makes a dull packet.\n");

Deno.serve({
  port,
  hostname,
  onListen: () => Deno.stdout.writeSync(new TextEncoder().encode(`web server on port ${port}\n`)),
}, (request, { remoteAddr }) => {
  const size = /^\/bytes\/(\d+)$/.exec(new URL(request.url).pathname)?.[1];
  if (size === undefined) {
    const client = "hostname" in remoteAddr ? remoteAddr.hostname : "you";
    return new Response(`hello, ${client.replace(/^::ffff:/, "")}\n`); // IPv4 on a socket for both families
  }
  let left = Number(size);
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      const chunk = new Uint8Array(Math.min(left, 65_536));
      for (let i = 0; i < chunk.length; i++) chunk[i] = line[i % line.length];
      left -= chunk.length;
      if (chunk.length > 0) controller.enqueue(chunk);
      if (left === 0) controller.close();
    },
  });
  return new Response(body, { headers: { "content-length": size } });
});
