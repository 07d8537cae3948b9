/**
 * `examples/gateway.ts` with real programs: a LAN behind one address, IPv4 and IPv6. The programs run in the
 * namespaces, Weir stands between them, and the flow table is asked what it saw.
 */

import { assert, assertEquals, assertMatch, assertNotMatch, assertStringIncludes } from "@std/assert";
import { Lab, ROOT } from "./lab.ts";
import { FAMILIES, flows } from "./addresses.ts";
import { labTest } from "./lab_testing.ts";
import { startFtp, startWeb } from "./services.ts";

const CONFIG = `${ROOT}examples/gateway.ts`;
/** Long enough for several segments, and for the FTP server's announcement of its size to matter. */
const DOCUMENT = Array.from({ length: 20_000 }, (_, i) => `line ${i} of the document\n`).join("");

labTest("gateway: ping both ways, and to Weir itself", ["ping"], async () => {
  await using lab = await Lab.private("lan", "wan");
  await lab.weir(CONFIG);
  for (const { lan, wan, weirLan, weirWan } of FAMILIES) {
    for (
      const [from, to] of [["lan", wan], ["wan", lan], ["lan", weirLan], ["lan", weirWan], ["wan", weirWan]]
    ) {
      const text = await lab.ok(from, "ping", "-c", "3", "-i", "0.1", "-W", "2", to);
      assertStringIncludes(text, "3 received", `${from} to ${to}`);
    }
    // A full packet, and one that has to be taken apart.
    for (const size of ["1400", "6000"]) {
      assertStringIncludes(
        await lab.ok("lan", "ping", "-c", "2", "-i", "0.1", "-W", "2", "-s", size, wan),
        "2 received",
      );
    }
  }
});

labTest("gateway: traceroute and traceroute6 show Weir", ["traceroute"], async () => {
  await using lab = await Lab.private("lan", "wan");
  await lab.weir(CONFIG);
  for (const { option, wan, weirLan } of FAMILIES) {
    for (const method of [[], ["-I"], ["-T", "-p", "8080"]]) {
      const text = await lab.ok(
        "lan",
        "traceroute",
        option,
        ...method,
        "-n",
        "-q",
        "1",
        "-w",
        "2",
        "-m",
        "4",
        wan,
      );
      const hops = text.split("\n").filter((line) => /^ *\d+ /.test(line)).map((line) =>
        line.trim().split(/\s+/)[1]
      );
      assertEquals(hops, [weirLan, wan], `traceroute ${option} ${method.join(" ")}`);
    }
  }
});

labTest("gateway: curl downloads and uploads; the server sees the gateway's address", ["curl"], async () => {
  await using lab = await Lab.private("lan", "wan");
  await lab.weir(CONFIG);
  await startWeb(lab, "wan", 8080);
  for (const { lan, wan, weirWan, host } of FAMILIES) {
    const url = `http://${host(wan)}:8080`;
    assertEquals(await lab.ok("lan", "curl", "-sS", "--max-time", "10", `${url}/`), `hello, ${weirWan}\n`);
    const size = await lab.ok(
      "lan",
      ...[
        "curl",
        "-sS",
        "--max-time",
        "15",
        "-o",
        "/dev/null",
        "-w",
        "%{size_download}",
        `${url}/bytes/20000000`,
      ] as const,
    );
    assertEquals(size, "20000000");
    const table = await flows(lab);
    assertMatch(
      table,
      new RegExp(`^tcp .*src=${lan} dst=${wan} .*dport=8080 src=${wan} dst=${weirWan} `, "m"),
    );
  }
});

labTest("gateway: nobody outside opens connections to the LAN, but to its web server", ["curl"], async () => {
  await using lab = await Lab.private("lan", "wan");
  await lab.weir(CONFIG);
  await startWeb(lab, "lan", 8080);
  await startWeb(lab, "lan", 80);
  for (const { lan, wan, host } of FAMILIES) {
    const closed = await lab.run("wan", "curl", ["-sS", "--max-time", "1", `http://${host(lan)}:8080/`]);
    assertEquals(closed.code, 28, `curl timed out: ${closed.stderr}`);
    assertEquals(
      await lab.ok("wan", "curl", "-sS", "--max-time", "5", `http://${host(lan)}/`),
      `hello, ${wan}\n`,
    );
  }
});

labTest("gateway: port 80 with NOTRACK leaves no flow", ["curl", "ping"], async () => {
  await using lab = await Lab.private("lan", "wan");
  await lab.weir(CONFIG);
  await startWeb(lab, "lan", 80);
  for (const { lan, wan, host } of FAMILIES) {
    await lab.ok("lan", "ping", "-c", "1", wan);
    await lab.ok(
      "wan",
      "curl",
      "-sS",
      "--max-time",
      "10",
      "-o",
      "/dev/null",
      `http://${host(lan)}/bytes/5000000`,
    );
  }
  const table = await flows(lab);
  assertMatch(table, /^icmp /m);
  assertMatch(table, /^icmpv6 /m);
  assertNotMatch(table, /^tcp /m);
});

/** FTP clients: program, mode, arguments for a host, the command that they must have sent. */
const CLIENTS: [string, string, (host: string, file: string) => string[], number, RegExp][] = [
  ["curl", "passive PASV", (host, file) => ["--disable-epsv", ...curl(host, file)], 4, /^> PASV/m],
  ["curl", "passive EPSV", (host, file) => curl(host, file), 4, /^> EPSV/m],
  ["curl", "passive EPSV", (host, file) => curl(host, file), 6, /^> EPSV/m],
  ["curl", "active PORT", (host, file) => ["--disable-eprt", "-P", "-", ...curl(host, file)], 4, /^> PORT /m],
  ["curl", "active EPRT", (host, file) => ["-P", "-", ...curl(host, file)], 4, /^> EPRT \|1\|/m],
  ["curl", "active EPRT", (host, file) => ["-P", "-", ...curl(host, file)], 6, /^> EPRT \|2\|/m],
  ["lftp", "passive", (host, file) => lftp("on", host, file), 4, /^---> PASV/m],
  ["lftp", "passive", (host, file) => lftp("on", host, file), 6, /^---> EPSV/m],
  ["lftp", "active", (host, file) => lftp("off", host, file), 4, /^---> PORT /m],
  ["lftp", "active", (host, file) => lftp("off", host, file), 6, /^---> EPRT \|2\|/m],
];

function curl(host: string, file: string): string[] {
  return ["-sSv", "--max-time", "15", "-o", file, `ftp://${host}/document.txt`];
}

function lftp(passive: string, host: string, file: string): string[] {
  const settings = [`ftp:passive-mode ${passive}`, "net:max-retries 1", "net:timeout 5", "ftp:use-feat off"];
  return [
    "-d",
    "-c",
    [...settings.map((s) => `set ${s}`), `open ftp://${host}`, `get document.txt -o ${file}`].join("; "),
  ];
}

for (const [program, mode, args, version, command] of CLIENTS) {
  labTest(`gateway: FTP with ${program}, ${mode}, IPv${version}`, [program, "vsftpd"], async () => {
    await using lab = await Lab.private("lan", "wan");
    await lab.weir(CONFIG);
    await startFtp(lab, "wan", { "document.txt": DOCUMENT });
    const { wan, weirWan, host } = FAMILIES.find((family) => family.version === version)!;
    const file = `${lab.dir}/arrived.txt`;
    const ended = await lab.run("lan", program, args(host(wan), file));
    assertEquals(ended.code, 0, `${ended.stdout}${ended.stderr}`);
    assertMatch(ended.stdout + ended.stderr, command);
    assert(Deno.readTextFileSync(file) === DOCUMENT, "what arrived is what was sent");
    const table = await flows(lab);
    if (mode.startsWith("active")) {
      // The server opened it, to the gateway's address; the helper made the way into the LAN.
      assertMatch(table, new RegExp(`^tcp .*src=${wan} dst=${weirWan} sport=20 `, "m"));
    }
    assertEquals(table.match(/^tcp /gm)?.length, 2, `control and data:\n${table}`);
  });
}

labTest(
  "gateway: FTP uploads, and many transfers over one control connection",
  ["lftp", "vsftpd"],
  async () => {
    await using lab = await Lab.private("lan", "wan");
    await lab.weir(CONFIG);
    await startFtp(lab, "wan", { "document.txt": DOCUMENT });
    lab.write("sent.txt", DOCUMENT);
    for (const { version, wan, host } of FAMILIES) {
      const gets = Array.from(
        { length: 10 },
        (_, i) => `get document.txt -o ${lab.dir}/got-${version}-${i}.txt`,
      );
      const script = [
        "set ftp:passive-mode off",
        "set net:max-retries 1",
        "set net:timeout 5",
        `open ftp://${host(wan)}`,
        `put ${lab.dir}/sent.txt -o upload/sent-${version}.txt`,
        ...gets,
      ].join("; ");
      const { code, stdout, stderr } = await lab.run("lan", "lftp", ["-c", script], { timeout: 30_000 });
      assertEquals(code, 0, stdout + stderr);
      assert(
        Deno.readTextFileSync(`${lab.dir}/ftp-wan/upload/sent-${version}.txt`) === DOCUMENT,
        "the upload is whole",
      );
      for (let i = 0; i < 10; i++) {
        assert(
          Deno.readTextFileSync(`${lab.dir}/got-${version}-${i}.txt`) === DOCUMENT,
          `download ${i} is whole`,
        );
      }
    }
  },
);
