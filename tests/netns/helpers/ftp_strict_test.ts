/**
 * What `strict: false` adds for FTP, with a client that writes its commands as it likes and a real vsftpd: Linux and
 * Weir as Linux does it on the one side, Weir with the option on the other.
 */

import { assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import { type Ended, type Lab, ROOT } from "../lab.ts";
import { labTest } from "../lab_testing.ts";
import { IMPLEMENTATIONS, ROUTER_PROGRAMS } from "../routers.ts";
import { startFtp } from "../services.ts";
import { type Control, helperLab, host, routerBeside, SNAT, type Way, WAYS, withHelper } from "./kit.ts";

const CONTROL: Control = { helper: "ftp", protocol: "tcp", port: 21 };
const DOCUMENT = Array.from({ length: 5000 }, (_, i) => `line ${i}\r\n`).join("");

/** A client's own address in its place. */
const OWN: Readonly<Record<string, Readonly<Record<4 | 6, string>>>> = {
  plain: { 4: "203.0.113.130", 6: "2001:db8:4::2" },
  lan: { 4: "192.0.2.2", 6: "2001:db8:1::2" },
  wan: { 4: "198.51.100.2", 6: "2001:db8:2::2" },
};

/** Ways to write an announcement: the segments that it and the commands around it go out in. */
interface Shape {
  readonly name: string;
  readonly write: (announcement: string) => readonly { send: readonly string[]; answers: number }[];
}

const cut = (announcement: string, at: number) => [announcement.slice(0, at), announcement.slice(at)];
const SHAPES: readonly Shape[] = [
  {
    name: "cut in the middle of the address",
    write: (line) => [{ send: cut(line, 10), answers: 1 }, { send: ["RETR document\r\n"], answers: 2 }],
  },
  {
    name: "cut in the middle of the command",
    write: (line) => [{ send: cut(line, 2), answers: 1 }, { send: ["RETR document\r\n"], answers: 2 }],
  },
  {
    name: "between two other commands",
    write: (line) => [{ send: [`TYPE I\r\n${line}RETR document\r\n`], answers: 4 }],
  },
  {
    name: "behind a command, and cut",
    write: (line) => {
      const [head, tail] = cut(line, 15);
      return [{ send: [`TYPE I\r\n${head}`, tail], answers: 2 }, { send: ["RETR document\r\n"], answers: 2 }];
    },
  },
];

/** Downloads the document over an announcement of that shape. */
function download(lab: Lab, way: Way, shape: Shape, version: 4 | 6, port: number): Promise<Ended> {
  const own = OWN[way.client][version];
  const announcement = version === 4
    ? `PORT ${own.replaceAll(".", ",")},${port >> 8},${port & 255}\r\n`
    : `EPRT |2|${own}|${port}|\r\n`;
  const conversation = [
    { send: ["USER anonymous\r\n"], answers: 1 },
    { send: ["PASS nobody@example.net\r\n"], answers: 1 },
    ...shape.write(announcement),
  ];
  const client = `${ROOT}tests/netns/helpers/ftp_client.ts`;
  return lab.run(way.client, Deno.execPath(), [
    ...["run", "--no-config", "-N", client, way.asked[version], own, `${port}`],
    JSON.stringify(conversation),
  ]);
}

for (const { name, start } of IMPLEMENTATIONS) {
  labTest(
    `FTP, ${name} as the router, strict: an announcement that is cut or stands behind another command brings nothing`,
    ["vsftpd", ...ROUTER_PROGRAMS],
    async () => {
      await using lab = await helperLab();
      await startFtp(lab, "wan", { document: DOCUMENT });
      await start(lab, routerBeside(CONTROL));
      for (const [i, shape] of SHAPES.entries()) {
        const { code, stdout, stderr } = await download(lab, SNAT, shape, 4, 40000 + i);
        assertEquals([code === 0, stdout], [false, ""], `${shape.name}: ${stderr}`);
        assertMatch(stderr, /^230 /m, "it got that far");
      }
    },
  );
}

labTest(
  "FTP, strict: false: an announcement that is cut or stands behind another command brings the file",
  ["vsftpd"],
  async () => {
    await using lab = await helperLab();
    for (const where of ["wan", "lan"]) await startFtp(lab, where, { document: DOCUMENT });
    await withHelper(lab, CONTROL, "{ strict: false }");
    for (const way of WAYS) {
      for (const version of [4, 6] as const) {
        for (const [i, shape] of SHAPES.entries()) {
          const { code, stdout, stderr } = await download(lab, way, shape, version, 40000 + i);
          assertEquals(code, 0, `${shape.name}, ${way.name}, IPv${version}: ${stderr}`);
          assertEquals(stdout, DOCUMENT);
        }
      }
    }
  },
);

labTest(
  "FTP, strict: false: curl and vsftpd agree on TLS, and Weir says that the helper is blind from there",
  ["vsftpd", "curl", "openssl"],
  async () => {
    await using lab = await helperLab();
    const key = `${lab.dir}/key.pem`, certificate = `${lab.dir}/certificate.pem`;
    const request = [
      "req",
      "-x509",
      "-newkey",
      "rsa:2048",
      "-nodes",
      "-days",
      "2",
      "-subj",
      "/CN=example.net",
    ];
    await lab.ok("wan", "openssl", ...request, "-keyout", key, "-out", certificate);
    const tls = {
      ssl_enable: "YES",
      allow_anon_ssl: "YES",
      rsa_private_key_file: key,
      rsa_cert_file: certificate,
    };
    const lines = Object.entries(tls).map(([name, value]) => `${name}=${value}\n`);
    await startFtp(lab, "wan", { document: DOCUMENT }, 21, lines.join(""));
    const weir = await withHelper(lab, CONTROL, "{ strict: false }");
    const blind = async (): Promise<number> => {
      const { stdout, stderr } = await lab.command(["helpers", "--json"]);
      assertEquals(stderr, "");
      return JSON.parse(stdout)[0].blind;
    };
    for (const [before, version] of ([4, 6] as const).entries()) {
      const url = `ftp://${host(SNAT.asked[version])}/document`;
      const plain = await lab.ok("lan", "curl", "-sS", "--max-time", "5", url);
      assertEquals(plain, DOCUMENT);
      assertNotMatch(weir.text, /helper blind/, "nobody spoke of TLS");
      assertEquals(await blind(), before);
      const options = ["-sSv", "--ssl-reqd", "--insecure", "--connect-timeout", "2", "--max-time", "5"];
      const { code, stderr } = await lab.run("lan", "curl", [...options, url]);
      assertMatch(stderr, /^> AUTH (TLS|SSL)/m);
      assertMatch(stderr, /^< 230 /m, "the server is spoken with");
      assertEquals(code === 0, false, "and nobody could read which data connection to let in");
      const said = /nf_ct_ftp: helper blind from here: flow tcp [^ ]+ → [^ ]+:21 goes on in TLS/g;
      await weir.waitFor(said);
      assertEquals(weir.text.match(said)?.length, 1);
      assertEquals(await blind(), before + 1);
      weir.text = "";
    }
  },
);
