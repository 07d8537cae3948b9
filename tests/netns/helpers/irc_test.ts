/**
 * IRC through Weir: ngircd, and clients that offer each other files and chats by DCC. Whoever takes up an offer dials
 * the one who made it, through a rule set that lets in nothing but what the helper has read in the offer.
 *
 * DCC writes addresses as one number, so this is IPv4 alone.
 */

import { assertEquals, assertMatch } from "@std/assert";
import { flows } from "../addresses.ts";
import type { Lab } from "../lab.ts";
import { labTest } from "../lab_testing.ts";
import { CONTROL, startIrc } from "./irc.ts";
import { IMPLEMENTATIONS, ROUTER_PROGRAMS } from "../routers.ts";
import {
  assertSameFile,
  blind,
  DNAT,
  helperLab,
  makeFile,
  OUTER,
  PLAIN,
  routerBeside,
  SNAT,
  until,
  withHelper,
} from "./kit.ts";

const PROGRAMS = ["ngircd", "weechat-headless"];
const SIZE = 1024 * 1024;

/** A person at a client in a namespace. */
class Person {
  readonly nick: string;
  readonly where: string;
  readonly #lab: Lab;
  readonly #dir: string;
  /** By buffer, how much of its log belongs to earlier chats. */
  readonly #old: Record<string, number> = {};

  private constructor(lab: Lab, where: string, nick: string) {
    this.#lab = lab;
    this.where = where;
    this.nick = nick;
    this.#dir = `${lab.dir}/${this.nick}`;
  }

  /** Starts the client, connects it to `server` and waits until it is welcome there. Offers are taken at once. */
  static async at(lab: Lab, where: string, server: string, nick = `at-${where}`): Promise<Person> {
    const person = new Person(lab, where, nick), dir = person.#dir;
    Deno.mkdirSync(dir);
    const commands = [
      `/set fifo.file.path ${dir}/commands`,
      "/fifo enable",
      "/set logger.file.flush_delay 0",
      "/set logger.file.info_lines on",
      "/set xfer.file.auto_accept_files on",
      "/set xfer.file.auto_accept_chats on",
      "/set xfer.file.use_nick_in_filename off",
      "/set irc.server_default.anti_flood_prio_high 0",
      "/set irc.server_default.anti_flood_prio_low 0",
      `/server add lab ${server}/6667 -notls -nicks=${person.nick} -username=${where}`,
      "/connect lab",
    ];
    const client = lab.spawn(where, "weechat-headless", [
      ...["--stdout", "--dir", dir, "--plugins", "irc,xfer,fifo,logger"],
      ...commands.flatMap((command) => ["--run-command", command]),
    ], { env: { HOME: dir } });
    await person.reads("irc.server.lab", /End of MOTD|MOTD File is missing|No MOTD/i);
    if (client.over) throw new Error(client.text);
    return person;
  }

  /** Writes into one of the client's buffers. */
  async writes(buffer: string, text: string): Promise<void> {
    await Deno.writeTextFile(`${this.#dir}/commands`, `${buffer} *${text}\n`, { create: false });
  }

  /** Waits until something stands in one of the client's buffers. */
  reads(buffer: string, pattern: RegExp): Promise<RegExpExecArray> {
    return until(
      () => pattern.exec(this.log(buffer)),
      () => `${this.nick} reads no ${pattern}:\n${this.said}`,
    );
  }

  log(buffer: string): string {
    try {
      return Deno.readTextFileSync(`${this.#dir}/logs/${buffer}.weechatlog`).slice(this.#old[buffer] ?? 0);
    } catch {
      return ""; // nothing was said there yet
    }
  }

  /** What stands in all buffers. */
  get said(): string {
    return [...Deno.readDirSync(`${this.#dir}/logs`)].map(({ name }) =>
      `${name}:\n${Deno.readTextFileSync(`${this.#dir}/logs/${name}`)}`
    ).join("\n");
  }

  /** Offers a file to somebody. */
  async offers(other: Person, path: string): Promise<void> {
    await this.writes("irc.server.lab", `/dcc send ${other.nick} ${path}`);
  }

  /** Where files go that somebody offered. */
  get downloads(): string {
    return `${this.#dir}/xfer`;
  }

  /** Offers a file, which has to arrive as it is. */
  async sends(other: Person): Promise<void> {
    const name = `from-${this.nick}-to-${other.nick}.bin`, path = `${this.#lab.dir}/${name}`;
    makeFile(path, SIZE, name.length);
    await this.offers(other, path);
    await other.reads("core.weechat", new RegExp(`file ${name} received from ${this.nick} .*: OK`));
    // It gets its name when it is whole.
    const named = () => [...Deno.readDirSync(other.downloads)].some((entry) => entry.name === name);
    await until(() => named() ? true : null, () => other.said);
    await assertSameFile(`${other.downloads}/${name}`, path, name);
  }

  /** Offers a chat, in which both say something. */
  async chats(other: Person): Promise<void> {
    const mine = `xfer.irc_dcc.lab.${other.nick}`, theirs = `xfer.irc_dcc.lab.${this.nick}`;
    await this.writes("irc.server.lab", `/dcc chat ${other.nick}`);
    await this.reads(mine, /xfer: connected to /);
    await other.reads(theirs, /xfer: connected to /);
    await this.writes(mine, `${this.nick} asks`);
    await other.reads(theirs, new RegExp(`\t${this.nick} asks$`, "m"));
    await other.writes(theirs, `${other.nick} answers`);
    await this.reads(mine, new RegExp(`\t${other.nick} answers$`, "m"));
    await this.closes(mine);
    await other.closes(theirs);
  }

  /** Closes a buffer; the next one of this name begins empty. */
  async closes(buffer: string): Promise<void> {
    await this.writes(buffer, "/buffer close");
    await this.reads(buffer, /End of log/);
    this.#old[buffer] = (this.#old[buffer] ?? 0) + this.log(buffer).length;
  }
}

/** Each of the pair sends the other a file and has a chat with them. */
async function bothWays(one: Person, other: Person): Promise<void> {
  await one.sends(other);
  await other.sends(one);
  await one.chats(other);
  await other.chats(one);
}

labTest(
  "IRC, with and without MASQUERADE: DCC SEND and DCC CHAT in both directions, and to the world",
  PROGRAMS,
  async () => {
    await using lab = await helperLab();
    await startIrc(lab, SNAT.server);
    await withHelper(lab, CONTROL);
    const [lan, lan2, plain, world] = await Promise.all(
      ["lan", "lan2", "plain", "wan"].map((where) => Person.at(lab, where, SNAT.asked[4])),
    );
    await bothWays(plain, lan);
    await bothWays(lan, lan2); // behind one address, at which they dial each other
    for (const person of [plain, lan]) {
      await person.sends(world);
      await person.chats(world);
    }
    // Who dials somebody behind Weir seems to them to be the server, as in Linux.
    assertMatch(
      await flows(lab),
      new RegExp(`src=203\\.0\\.113\\.130 dst=${OUTER[4]} .* src=192\\.0\\.2\\.2 dst=${SNAT.asked[4]} `),
    );
  },
);

labTest(
  "IRC, with DNAT to the server: DCC SEND and DCC CHAT in both directions",
  PROGRAMS,
  async () => {
    await using lab = await helperLab();
    await startIrc(lab, DNAT.server);
    await withHelper(lab, CONTROL);
    const [plain, world] = await Promise.all(
      ["plain", "wan"].map((where) => Person.at(lab, where, DNAT.asked[4])),
    );
    await bothWays(plain, world);
    assertMatch(
      await flows(lab),
      new RegExp(`src=${DNAT.seen[4]} dst=${OUTER[4]} sport=\\d+ dport=6667 src=192\\.0\\.2\\.2 `),
    );
  },
);

labTest(
  "IRC, the closed rule set: an offer opens nothing without the helper, and brings the file with it",
  PROGRAMS,
  async () => {
    for (const helped of [false, true]) {
      await using lab = await helperLab();
      await startIrc(lab, "wan");
      await startIrc(lab, "lan");
      await (helped ? withHelper(lab, CONTROL) : blind(lab, CONTROL));
      // Each way with a pair of its own, the other one in a place that dials through Weir.
      await Promise.all([PLAIN, SNAT, DNAT].map(async (way, i) => {
        const server = way.asked[4];
        const [person, other] = await Promise.all([
          Person.at(lab, way.client, server, `offers-${i}`),
          Person.at(lab, way === DNAT ? "plain" : "wan", server, `takes-${i}`),
        ]);
        if (helped) return await person.sends(other);
        const path = `${lab.dir}/${person.nick}.bin`;
        makeFile(path, SIZE);
        await person.offers(other, path);
        // The offer arrived, as it was made, and the other one dials in vain.
        const address = (way === SNAT ? "192.0.2.2" : way.seen[4]).replaceAll(".", "\\.");
        const file = `${person.nick}.bin`;
        await other.reads("core.weechat", new RegExp(`incoming file from .*${address}.*name: ${file}`));
        await other.reads("core.weechat", new RegExp(`file ${file} received from .*: FAILED`));
      }));
      // Nothing is tracked but control connections: two to the server behind Weir, one from each of the others.
      if (!helped) {
        const table = await flows(lab);
        assertEquals(table.match(/^tcp .* dport=6667 /gm)?.length, 4);
        assertEquals(table.match(/^tcp /gm)?.length, 4, table);
      }
    }
  },
);

for (const { name, start, list } of IMPLEMENTATIONS) {
  labTest(
    `C14 ${name} as the router: two clients behind it, and DCC SEND of 1 MB from one to the other`,
    [...PROGRAMS, ...ROUTER_PROGRAMS],
    async () => {
      await using lab = await helperLab();
      await startIrc(lab, "wan");
      await start(lab, routerBeside(CONTROL));
      const [one, other] = await Promise.all(
        ["lan", "lan2"].map((where) => Person.at(lab, where, SNAT.asked[4])),
      );
      await one.sends(other);
      // Both are seen under one address, which the other one dials.
      const from = `src=203\\.0\\.113\\.2 dst=${OUTER[4]} .* src=192\\.0\\.2\\.2 dst=${SNAT.asked[4]} `;
      assertMatch(await list(lab, 4), new RegExp(from));
    },
  );
}
