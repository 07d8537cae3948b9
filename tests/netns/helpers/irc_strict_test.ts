/**
 * What `strict: false` adds for IRC, between clients that speak DCC as people's clients do and a real ngircd: Linux and
 * Weir as Linux does it on the one side, Weir with the option on the other.
 */

import { assert, assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import { type Lab, ROOT, type Running } from "../lab.ts";
import { labTest } from "../lab_testing.ts";
import { IMPLEMENTATIONS, ROUTER_PROGRAMS } from "../routers.ts";
import { CONTROL, startIrc } from "./irc.ts";
import { helperLab, PLAIN, routerBeside, SNAT, withHelper } from "./kit.ts";

const SERVER = SNAT.asked[4];
const OWN: Readonly<Record<string, string>> = {
  lan: "192.0.2.2",
  lan2: "203.0.113.2",
  plain: PLAIN.seen[4],
  wan: "198.51.100.2",
};
const TEXT = "a line of the file that somebody offers\n".repeat(2000);

/** Starts a client in a namespace; waits until the server has welcomed it. */
async function client(
  lab: Lab,
  where: string,
  role: "offer" | "passive" | "take",
  nick: string,
  port: number,
  ...rest: string[]
): Promise<Running> {
  const program = `${ROOT}tests/netns/helpers/irc_client.ts`;
  const running = lab.spawn(where, Deno.execPath(), [
    ...["run", "--no-config", "-N", program, role, SERVER, nick, OWN[where], `${port}`],
    ...rest,
  ]);
  await running.waitFor(/^welcome$/m);
  return running;
}

/** A file with a blank in its name goes from `lan` to the world. Here and below: who takes, and who gives. */
async function quoted(lab: Lab): Promise<[Running, Running]> {
  const taker = await client(lab, "wan", "take", "q-takes", 0);
  return [taker, await client(lab, "lan", "offer", "q-gives", 5000, "q-takes", '"a file.txt"')];
}

/** Two clients behind one address offer the same port, and of the second one's file only the rest is wanted. */
async function resumed(lab: Lab): Promise<[Running, Running]> {
  const taker = await client(lab, "plain", "take", "r-takes", 0, "1");
  const first = await client(lab, "lan", "offer", "r-first", 5002, "r-first", "first.txt");
  await first.waitFor(/DCC SEND first/); // it offers it to itself, so it is known when the offer has passed
  return [taker, await client(lab, "lan2", "offer", "r-gives", 5002, "r-takes", "second.txt")];
}

/** `lan` offers a file to `plain`, which is to listen. */
async function passive(lab: Lab): Promise<[Running, Running]> {
  const taker = await client(lab, "plain", "take", "p-takes", 5001);
  return [taker, await client(lab, "lan", "passive", "p-gives", 0, "p-takes", "file.txt")];
}

for (const { name, start } of IMPLEMENTATIONS) {
  labTest(
    `IRC, ${name} as the router, strict: no file with a blank in its name, none whose rest is asked for at a changed port`,
    ["ngircd", ...ROUTER_PROGRAMS],
    async () => {
      await using lab = await helperLab();
      await startIrc(lab, "wan");
      await start(lab, routerBeside(CONTROL));
      const [taker] = await quoted(lab);
      assertEquals(await taker.ended.then(({ code, stdout }) => [code, stdout]), [1, ""], taker.text);
      assertMatch(taker.text, /cannot dial 192\.0\.2\.2 5000/, "the offer arrived as it was made");
      const [, giver] = await resumed(lab);
      assertEquals((await giver.ended).code, 1, giver.text);
      assertMatch(giver.text, /RESUME for port (?!5002 )\d+, which nobody offered/);
    },
  );
}

labTest(
  "IRC, strict: false: a file with a blank in its name, the rest of a file at a changed port, a passive offer",
  ["ngircd"],
  async () => {
    for (const strict of [false, true]) {
      await using lab = await helperLab();
      await startIrc(lab, "wan");
      const weir = await withHelper(lab, CONTROL, `{ strict: ${strict} }`);
      if (!strict) {
        const scenarios = [
          [quoted, TEXT, /SEND "a file.txt" \d+ 5000 /],
          [resumed, TEXT.slice(1), /SEND second\.txt \d+ (?!5002 )\d+ /],
        ] as const;
        for (const [scenario, text, offer] of scenarios) {
          const [taker, giver] = await scenario(lab);
          const { code, stdout } = await taker.ended;
          assertEquals([code, (await giver.ended).code], [0, 0], taker.text + giver.text);
          assertMatch(taker.text, offer);
          assert(stdout === text, `${scenario.name}: ${stdout.length} bytes`);
        }
      }
      // Strict or not, passive offers pass as they are; Linux calls them forged.
      const [taker, giver] = await passive(lab);
      const { code, stdout } = await taker.ended;
      assertEquals([code, (await giver.ended).code], [0, 0], taker.text + giver.text);
      assert(stdout === TEXT);
      const forged = /nf_conntrack_irc: Forged DCC command from 192\.0\.2\.2: 192\.0\.2\.2:0/;
      if (strict) await weir.waitFor(forged);
      else assertNotMatch(weir.text, forged);
    }
  },
);
