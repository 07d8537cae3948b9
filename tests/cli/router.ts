/** A router in this process, as other processes see it: with its state file and its control socket. */

import { commandsOf } from "../../src/control/commands.ts";
import { CommandError, ControlSocket, socketPath } from "../../src/control/socket.ts";
import { openState, type State } from "../../src/control/state_file.ts";
import type { RouterConfig } from "../../src/config/types.ts";
import { validate } from "../../src/config/validate.ts";
import { BatchClock } from "../../src/dataplane/clock.ts";
import { SetCommands } from "../../src/dataplane/set_commands.ts";
import { COMMAND_WORDS, CONTROL_EXPECTS, CONTROL_FLOWS } from "../../src/memory.ts";
import { Packet } from "../../src/packet/packet.ts";
import { geometryOf } from "../../src/geometry.ts";
import { Router } from "../../src/router.ts";
import { load, seeded, tcp } from "../kit/mod.ts";
import { Folder } from "./weir.ts";

export const CLIENT = "192.0.2.2", SERVER = "198.51.100.7";

/** Routes no devices' packets: a test hands them in. */
export class OwnRouter implements Disposable {
  readonly folder = new Folder();
  readonly router: Router;
  readonly state: State;
  readonly log: string[] = [];
  readonly #socket: ControlSocket;
  #over = false;
  readonly #p = new Packet();
  /** What each client sends next. */
  readonly #next = new Map<number, number>();

  constructor(config: Partial<RouterConfig>, name = "gateway") {
    const valid = validate({
      interfaces: { lan: { addresses: ["192.0.2.1/24"] }, wan: { addresses: ["198.51.100.1/24"] } },
      sysctl: { "net.netfilter.nf_conntrack_max": 100 },
      ...config,
    });
    this.state = openState({ name, geometry: geometryOf(valid), directory: this.folder.path });
    const { memory } = this.state;
    for (const { index, name } of valid.interfaces) memory.generation.setInterfaceName(index, name);
    this.router = new Router({
      config: valid,
      clock: new BatchClock(), // Readers have the same one.
      random: seeded(3),
      memory,
      changeable: true,
      emit: () => {},
      log: (line) => this.log.push(line),
    });
    this.#socket = ControlSocket.open(
      socketPath(this.state.path),
      commandsOf({
        memory,
        command: (command, args) => {
          const number = memory.send(command, args), words = new Int32Array(COMMAND_WORDS);
          while (memory.take(words)) {
            this.router.command(words);
            memory.answer(words);
          }
          return Promise.resolve(memory.answered(number)!);
        },
        exchange: (_, text) => {
          const { done, text: answer } = new SetCommands(this.router.sets, new BatchClock()).answer(text);
          return done ? Promise.resolve(answer) : Promise.reject(new CommandError(answer));
        },
        reserve: (part, what) => this.state.reserve(part, what),
        reload: () => Promise.reject(new CommandError("this router takes no other configuration")),
      }),
    );
  }

  send(iface: number, bytes: Uint8Array): void {
    this.router.receive(load(this.#p, bytes), iface);
    const { control } = this.state.memory, { flows, expects } = this.router.conntrack;
    control[CONTROL_FLOWS] = flows.count;
    control[CONTROL_EXPECTS] = expects.count;
  }

  /** Opens an FTP control connection. */
  connect(sport = 4000): void {
    const o = { src: CLIENT, sport, dst: SERVER, dport: 21 },
      r = { src: SERVER, sport: 21, dst: CLIENT, dport: sport };
    this.send(1, tcp({ ...o, flags: "S", seq: 100 }));
    this.send(2, tcp({ ...r, flags: "SA", seq: 500, ack: 101 }));
    this.send(1, tcp({ ...o, flags: "A", seq: 101, ack: 501 }));
    this.#next.set(sport, 101);
    this.say("USER ftp\r\n", sport);
  }

  /** The client says a line on it. */
  say(text: string, sport = 4000): void {
    const seq = this.#next.get(sport)!, o = { src: CLIENT, sport, dst: SERVER, dport: 21 };
    this.send(1, tcp({ ...o, flags: "PA", seq, ack: 501, payload: text }));
    this.#next.set(sport, seq + text.length);
  }

  /** Nobody can ask it any more. */
  end(): void {
    if (!this.#over) this.#socket.close();
    this.#over = true;
  }

  [Symbol.dispose](): void {
    this.end();
    this.state.close(true);
    this.folder[Symbol.dispose]();
  }
}
