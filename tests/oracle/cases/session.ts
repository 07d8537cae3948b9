/**
 * A text conversation over TCP through a router that may lengthen or shorten lines: keeps both sides' sequence numbers,
 * each as that side sees them.
 */
import { payloadBytes, tcp, type TcpOptions } from "../../kit/packets.ts";
import { packet, type Step } from "../scenario.ts";
import { C, S, WAN } from "./case.ts";

export interface SessionOptions {
  client?: string;
  server?: string;
  /** The client's address and port as the server sees them. */
  public?: string;
  publicPort?: number;
  /** The server's address as the client sees it. */
  called?: string;
  port?: number;
  clientPort?: number;
  clientIface?: string;
  serverIface?: string;
}

/** A server behind DNAT, and its client outside. */
export const INSIDE: SessionOptions = {
  client: S,
  server: C,
  public: S,
  called: WAN,
  clientIface: "wan",
  serverIface: "lan",
};

export class Session {
  readonly #steps: Step[] = [];
  readonly #o: Required<SessionOptions>;
  /** Next sequence number of each side, in its own counting. */
  #client = 1000;
  #server = 5000;
  /** By how much the router has lengthened what each side sent. */
  #clientGrown = 0;
  #serverGrown = 0;

  constructor(o: SessionOptions = {}) {
    const client = o.client ?? C, server = o.server ?? S, clientPort = o.clientPort ?? 1000;
    this.#o = {
      client,
      server,
      public: o.public ?? (client.includes(":") ? client : WAN),
      publicPort: o.publicPort ?? clientPort,
      called: o.called ?? server,
      port: o.port ?? 21,
      clientPort,
      clientIface: o.clientIface ?? "lan",
      serverIface: o.serverIface ?? "wan",
    };
  }

  /** The steps so far. */
  get steps(): Step[] {
    return this.#steps;
  }

  /** Three segments. */
  open(): this {
    this.#send("client", { flags: "S", seq: this.#client, ack: 0 });
    this.#client++;
    this.#send("server", { flags: "SA", seq: this.#server });
    this.#server++;
    return this.client("");
  }

  /** The six segments after which both sides' lines are read: opened, greeted, USER. */
  greeted(): this {
    return this.open().server("220 hi\r\n").client("USER a\r\n").server("331 pw\r\n");
  }

  /** The client says something; the router makes it longer by `grows`. */
  client(text: string, grows = 0, o: Partial<TcpOptions> = {}): this {
    this.#send("client", { flags: text === "" ? "A" : "PA", payload: text, ...o });
    this.#client += payloadBytes(text).length;
    this.#clientGrown += grows;
    return this;
  }

  /** The server says something. */
  server(text: string, grows = 0, o: Partial<TcpOptions> = {}): this {
    this.#send("server", { flags: text === "" ? "A" : "PA", payload: text, ...o });
    this.#server += payloadBytes(text).length;
    this.#serverGrown += grows;
    return this;
  }

  /** A segment of the client's that it does not count as sent. */
  lost(text: string, o: Partial<TcpOptions> = {}): this {
    this.#send("client", { flags: "PA", payload: text, ...o });
    return this;
  }

  /** A segment of the server's that it does not count as sent. */
  lostServer(text: string, o: Partial<TcpOptions> = {}): this {
    this.#send("server", { flags: "PA", payload: text, ...o });
    return this;
  }

  /** Some other step. */
  then(...steps: Step[]): this {
    this.#steps.push(...steps);
    return this;
  }

  /** What the client's next segment begins with. */
  get clientNext(): number {
    return this.#client;
  }

  get serverNext(): number {
    return this.#server;
  }

  #send(side: "client" | "server", o: Partial<TcpOptions> & { flags: string }): void {
    const { client, server, called, port, clientPort } = this.#o;
    this.#steps.push(
      side === "client"
        ? packet(
          this.#o.clientIface,
          tcp({
            src: client,
            sport: clientPort,
            dst: called,
            dport: port,
            seq: this.#client,
            ack: this.#server + this.#serverGrown,
            ...o,
          }),
        )
        : packet(
          this.#o.serverIface,
          tcp({
            src: server,
            sport: port,
            dst: this.#o.public,
            dport: this.#o.publicPort,
            seq: this.#server,
            ack: this.#client + this.#clientGrown,
            ...o,
          }),
        ),
    );
  }
}
