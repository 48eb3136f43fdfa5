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
  /** Accepts connections to any address, which TPROXY diverts to it. */
  readonly transparent?: boolean;
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
  /** Source address to bind; without it the kernel chooses. */
  readonly source?: string;
  /** Source port to bind; 0 or absent for any. */
  readonly sourcePort?: number;
  readonly address: string;
  readonly port: number;
  readonly transport: Transport;
  /** Milliseconds until the outcome is "timeout". */
  readonly timeoutMs: number;
  /** Keeps the connection and returns its handle. */
  readonly hold?: boolean;
  /**
   * Text to send instead of waiting for the server's answer. The reply is everything up to the end,
   * as `text`.
   */
  readonly request?: string;
}

/** Another request over a held connection. */
export interface Ask {
  readonly do: "ask";
  readonly handle: number;
  readonly timeoutMs: number;
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

/** Resources to remove when the other side ends for any reason. */
export interface Adopt {
  readonly do: "adopt";
  readonly namespaces: readonly string[];
  readonly paths: readonly string[];
}

export type Command = Listen | Unlisten | Connect | Ask | Hangup | Sysctl | Adopt;
export type Request = Command & { readonly id: number };

/**
 * `reset`: an established connection was cut. `timeout`: nothing came back. A packet that was
 * dropped on its way out of its own host looks the same.
 */
export type Outcome = "answered" | "refused" | "timeout" | "unreachable" | "reset";

export interface Reply {
  readonly outcome: Outcome;
  /** Name and port of the server that answered; "" and 0 without an answer. */
  readonly name: string;
  readonly port: number;
  /** Source address and port that the server saw. */
  readonly saw: string;
  readonly sawPort: number;
  /** Start time in milliseconds since the epoch, and the duration until the outcome. */
  readonly began: number;
  readonly took: number;
  readonly handle: number;
  readonly text: string;
}

/** The answer to a command without a connection has no reply. */
export interface Answer {
  readonly id: number;
  readonly reply?: Reply;
  readonly error?: string;
}
