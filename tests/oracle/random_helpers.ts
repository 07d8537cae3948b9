/**
 * What IRC, TFTP and Amanda helpers may have to read: lines nearly right, cut, doubled and sent again.
 *
 * @module
 */
import { tcp, udp } from "../kit/packets.ts";
import { C, COUNT, nat, NET, raw, S, S2, WAN } from "./cases/case.ts";
import type { Dice } from "./random.ts";
import { dump, packet, type Scenario, type Step } from "./scenario.ts";

const HELPERS = raw(
  "-A PREROUTING -p tcp -m tcp --dport 6667 -j CT --helper irc",
  "-A PREROUTING -p udp -m udp --dport 69 -j CT --helper tftp",
  "-A PREROUTING -p udp -m udp --dport 10080 -j CT --helper amanda",
);

/** A text with a piece taken out, put in, or put twice. */
export function spoilt(d: Dice, text: string): string {
  const at = d.below(text.length), n = 1 + d.below(3);
  return d.one(
    text.slice(0, at),
    text.slice(0, at) + text.slice(at + n),
    text.slice(0, at) + text.slice(at, at + n) + text.slice(at),
    text.slice(0, at) + d.one(" ", "\n", "\r", "\0", "9", ",", ":", "\x01") + text.slice(at),
  );
}

const number = (address: string) => address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);

function ircLine(d: Dice, port: number, target: string): string {
  const who = d.one(C, C, C, target, S, "192.0.2.9");
  const verb = d.one("SEND file", "CHAT chat", "MOVE f", "TSEND f", "SCHAT x", "RESUME f", "send f");
  const line = `PRIVMSG you :\x01DCC ${verb} ${number(who)} ${port}${d.one("", " 1000")}\x01\r\n`;
  return d.one("", "", "", "\r\n", " ") + (d.once(4) ? line.toLowerCase() : line) + (d.once(6) ? line : "");
}

function amandaLine(d: Dice, port: number): string {
  const words = ["DATA", "MESG", "INDEX", "STATE"].slice(0, 1 + d.below(4)).map((w, i) => `${w} ${port + i}`);
  if (d.once(5)) words.reverse();
  return `${d.one("", "OPTIONS features=x;\n")}CONNECT ${words.join(" ")}\n`;
}

export function helpersScenario(d: Dice): Scenario {
  // No two announce the same port, so none has to be drawn, and all are wide enough to keep their digits.
  const steps: Step[] = [], target = d.one(WAN, "203.0.113.50", "9.9.9.9", "203.0.1.1");
  let port = 20000;
  for (let n = 0; n < 3; n++) {
    let client = 1000, grown = 0;
    const sport = 1000 + n;
    const say = (flags: string, payload: string) => {
      steps.push(
        packet(
          "lan",
          tcp({
            src: C,
            sport,
            dst: S,
            dport: 6667,
            flags,
            seq: client,
            ack: flags === "S" ? 0 : 5001,
            payload,
          }),
        ),
      );
      if (!d.once(8)) client += payload.length + (flags === "S" ? 1 : 0);
    };
    say("S", "");
    client = 1001;
    steps.push(
      packet(
        "wan",
        tcp({ src: S, sport: 6667, dst: target, dport: sport, flags: "SA", seq: 5000, ack: 1001 }),
      ),
    );
    say("A", "");
    for (let i = 0; i < 6; i++) {
      port += 7;
      const line = ircLine(d, port, target);
      say("PA", d.once(3) ? spoilt(d, line) : line);
      grown += String(number(target)).length - String(number(C)).length;
      if (d.once(4)) {
        steps.push(
          packet(
            "wan",
            tcp({
              src: S,
              sport: 6667,
              dst: target,
              dport: sport,
              flags: "A",
              seq: 5001,
              ack: client + grown,
            }),
          ),
        );
      }
      if (d.once(2)) {
        steps.push(
          packet(
            "wan",
            tcp({ src: d.one(S, S2), sport: 3000 + i, dst: target, dport: port, flags: "S", seq: 1 }),
          ),
        );
      }
    }
  }
  for (let n = 0; n < 6; n++) {
    const sport = 2000 + n;
    const request = d.one(
      "\0\x01f\0octet\0",
      "\0\x02f\0octet\0",
      "\0\x03\0\x01x",
      "\0\x05\0\x01x\0",
      "\x01\0",
      "\0",
    );
    steps.push(
      packet(
        "lan",
        udp({ src: C, sport, dst: S, dport: 69, payload: request, ...d.once(6) ? { checksum: 0 } : {} }),
      ),
    );
    for (let i = d.below(3); i > 0; i--) {
      steps.push(
        packet(
          "wan",
          udp({
            src: d.one(S, S, S2),
            sport: d.one(69, 3000 + n),
            dst: target,
            dport: sport,
            payload: "\0\x03\0\x01data",
          }),
        ),
      );
    }
  }
  for (let n = 0; n < 5; n++) {
    const sport = 4000 + n;
    port += 10;
    const line = amandaLine(d, n === 0 && d.once(2) ? 65530 : port);
    steps.push(packet("lan", udp({ src: C, sport, dst: S, dport: 10080, payload: "Amanda REQ\n" })));
    steps.push(
      packet(
        "wan",
        udp({
          src: S,
          sport: 10080,
          dst: target,
          dport: sport,
          payload: d.once(3) ? spoilt(d, line) : line,
          ...d.once(5) ? { checksum: 0 } : {},
        }),
      ),
    );
    if (d.once(2)) {
      steps.push(
        packet("lan", tcp({ src: C, sport: 6000 + n, dst: S, dport: port + d.below(2), flags: "S", seq: 1 })),
      );
    }
  }
  const rules = COUNT + HELPERS + nat(`-A POSTROUTING -o wan -j SNAT --to-source ${target}`);
  return {
    ...NET,
    iptables: rules,
    steps: steps.flatMap((step, i) => (i + 1) % 15 ? [step] : [step, dump(`after ${i + 1}`)]),
  };
}
