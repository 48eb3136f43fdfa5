/**
 * Defines the protocol of the switchboard: one JSON object per line, with answers matched by id.
 */
import type { Transport } from "./libc.ts";

export type { Transport };

/** A server that answers every connection and datagram with its name and the source it sees. */
export interface Listen {
  readonly do: "listen";
  readonly namespace: string;
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly transport: Transport;
}

/** Ends the servers of this name on the port, and the connections they hold. */
export interface Unlisten {
  readonly do: "unlisten";
  readonly name: string;
  readonly port: number;
}

export interface Connect {
  readonly do: "connect";
  readonly namespace: string;
  /** Source address to bind; the kernel chooses without. */
  readonly source?: string;
  /** Source port to bind; 0 or absent for any. */
  readonly sourcePort?: number;
  readonly address: string;
  readonly port: number;
  readonly transport: Transport;
  /** Milliseconds until the outcome is "timeout". */
  readonly patience: number;
  /** Keep the connection, and tell its handle. */
  readonly hold?: boolean;
  /**
   * Text to send instead of waiting for the server's answer; what comes back until the end is
   * `text`.
   */
  readonly request?: string;
}

/** One more question over a held connection. */
export interface Ask {
  readonly do: "ask";
  readonly handle: number;
  readonly patience: number;
}

export interface Hangup {
  readonly do: "hangup";
  readonly handle: number;
}

/** Writes /proc/sys/net values of a namespace. */
export interface Sysctl {
  readonly do: "sysctl";
  readonly namespace: string;
  readonly values: Readonly<Record<string, string>>;
}

/** What to remove when the other side is gone, however it went. */
export interface Adopt {
  readonly do: "adopt";
  readonly namespaces: readonly string[];
  readonly paths: readonly string[];
}

export type Command = Listen | Unlisten | Connect | Ask | Hangup | Sysctl | Adopt;
export type Request = Command & { readonly id: number };

/**
 * `reset`: the connection was cut after it had been established. `timeout`: nothing came back,
 * which is also what a packet dropped on its way out of the own host looks like.
 */
export type Outcome = "answered" | "refused" | "timeout" | "unreachable" | "reset";

export interface Reply {
  readonly outcome: Outcome;
  /** Name and port of the server that answered, "" and 0 without. */
  readonly name: string;
  readonly port: number;
  /** Source address and port that the server saw. */
  readonly saw: string;
  readonly sawPort: number;
  /** When it was begun, in milliseconds since the epoch, and how long the outcome took. */
  readonly began: number;
  readonly took: number;
  readonly handle: number;
  readonly text: string;
}

/** The answer to a command that is not about a connection has no reply. */
export interface Answer {
  readonly id: number;
  readonly reply?: Reply;
  readonly error?: string;
}
