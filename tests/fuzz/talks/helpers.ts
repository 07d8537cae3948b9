/**
 * The other protocols with helpers: TFTP, whose server answers from another port; IRC, whose clients offer files; and
 * Amanda, whose answers name three ports.
 *
 * @module
 */
import { addressBytes, udp } from "../../kit/packets.ts";
import type { Chance } from "../chance.ts";
import type { Family } from "../net.ts";
import type { End, Step } from "../steps.ts";
import { atLength, ends, Talk } from "./talk.ts";
import { Tcp } from "./tcp.ts";

/** Breaks a text somewhere, now and then. */
function broken(c: Chance, text: string): string {
  if (!c.is(0.2)) return text;
  const at = c.below(text.length + 1);
  return c.weighted<() => string>([
    [2, () => text.slice(0, at)],
    [1, () => text.slice(0, at) + String.fromCharCode(c.below(256)) + text.slice(at + 1)],
    [1, () => text + text],
    [1, () => text.replace(/\d+/, (d) => String(c.pick([0, 1, 65536, 70000, 4294967295, `0${d}`])))],
    [1, () => text.replace(" ", "  ")],
  ])();
}

/** A block, its acknowledgement, options agreed upon (RFC 2347), an error. */
const SAID = ["\0\x03\0\x01data", "\0\x04\0\x01", "\0\x06blksize\x001428\0", "\0\x05\0\x01none\0"];

/** A file is asked for or brought; its blocks come from a port of their own. */
export function tftpTalk(c: Chance, number: number, family: Family): Step[] {
  const sides = ends(c, family, c.weighted([[5, 69], [1, 6969]])), t = new Talk(c, number, family, sides);
  const ask = () =>
    t.send(
      0,
      udp({
        ...t.head(0),
        payload: broken(
          c,
          `\0${c.pick(["\x01", "\x02", "\x01", "\x03"])}file\0octet\0${
            c.pick(["", "blksize\x001428\0tsize\x000\0"])
          }`,
        ),
      }),
    );
  ask();
  if (c.is(0.2)) ask();
  const caller = { ...sides[1], port: c.is(0.9) ? c.between(30000, 40000) : 69 };
  const data = new Talk(c, number + 1, family, [caller, sides[0]]);
  for (let n = c.between(1, 5); n > 0; n--) {
    const from: End = c.is(0.6) ? 0 : 1;
    data.send(from, udp({ ...data.head(from), payload: c.pick(SAID) }));
    if (c.is(0.1)) data.complain((1 - from) as End);
    if (c.is(0.1)) ask();
  }
  const steps = data.steps.map((s): Step => s.from === 0 ? { ...s, dial: number, told: 1 } : s);
  return [...t.steps.slice(0, 2), ...steps, ...t.steps.slice(2)];
}

/** A chat in which files are offered, and fetched by whoever is at the server's end. */
export function ircTalk(c: Chance, number: number, _family: Family): Step[] {
  const sides = ends(c, 4, c.weighted([[5, 6667], [1, 6668]])), t = new Tcp(c, number, 4, sides);
  t.open();
  t.data(0, "NICK me\r\n");
  t.data(1, ":server 001 me :welcome\r\n");
  for (let n = c.between(1, 5), data = number + 1; n > 0; n--) {
    const b = addressBytes(c.is(0.9) ? sides[0].address : sides[1].address);
    const word = ((b[0] << 24) | (b[1] << 16) | (b[2] << 8) | b[3]) >>> 0;
    const port = c.weighted([[5, c.between(1024, 60000)], [1, c.pick([0, 80, 5001])]]);
    const verb = c.pick(["SEND", "CHAT", "MOVE", "TSEND", "SCHAT", "RESUME", "send"]);
    t.data(
      c.is(0.9) ? 0 : 1,
      atLength(c, broken(c, `PRIVMSG you :\x01DCC ${verb} file.bin ${word} ${port} 1000\x01\r\n`)),
    );
    if (c.is(0.7) && data < number + 6) {
      const call = new Tcp(c, data++, 4, [{ ...sides[1], port: c.between(20000, 30000) }, {
        ...sides[0],
        port,
      }]);
      call.open();
      call.data(1, 100);
      call.close();
      t.steps.push(...call.steps.map((s): Step => s.from === 0 ? { ...s, dial: number, told: 1 } : s));
    }
    if (c.is(0.3)) t.data(1, ":server PRIVMSG me :hello\r\n");
  }
  t.close();
  return t.steps;
}

/** A backup server asks, and connects to the ports of the answer. */
export function amandaTalk(c: Chance, number: number, family: Family): Step[] {
  const sides = ends(c, family, c.weighted([[5, 10080], [1, 10081]])), t = new Talk(c, number, family, sides);
  t.send(0, udp({ ...t.head(0), payload: "Amanda 2.4 REQ HANDLE 1 SEQ 1\nSERVICE sendbackup\n" }));
  // Not the same ones over and over: what is drawn instead may differ in length, and the end of the line with it.
  const ports = Array.from({ length: 4 }, () => c.between(1024, 65535));
  const words = ["DATA", "MESG", "INDEX", "STATE"].map((w, i) => `${w} ${ports[i]}`).slice(
    0,
    c.between(1, 4),
  );
  const reply = () => {
    const none = family === 4 && c.is(0.2) ? { checksum: 0 } : {};
    t.send(
      1,
      udp({
        ...t.head(1),
        payload: atLength(
          c,
          broken(
            c,
            `Amanda 2.4 REP HANDLE 1 SEQ 1\n${
              c.weighted([[4, ""], [1, "CONNECT \n"], [1, `CONNECT ${words.toReversed().join(" ")}\n`]])
            }CONNECT ${words.join(" ")}\nOPTIONS\n`,
          ),
        ),
        ...none,
      }),
    );
  };
  reply();
  if (c.is(0.2)) reply();
  for (let i = 0; i < Math.min(3, words.length); i++) {
    if (c.is(0.3)) continue;
    const call = new Tcp(c, number + 1 + i, family, [{ ...sides[0], port: c.between(20000, 30000) }, {
      ...sides[1],
      port: ports[i],
    }]);
    call.open();
    call.data(0, 50);
    call.close();
    t.steps.push(...call.steps);
  }
  return t.steps;
}
