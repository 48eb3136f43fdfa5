/**
 * Bounds the connections of HTTP clients in number and time. Without a bound, idle clients use up
 * the file descriptors of the process, and the runtime then spins in accept(2).
 */
import { readdirSync, readFileSync } from "node:fs";
import type { Clock } from "../base/clock.ts";

/** A new connection must complete its first request within this time, in ms. */
export const FIRST_REQUEST_MS = 10_000;
/**
 * Time until the next complete request on a connection, in ms. It exceeds the usual scrape
 * interval.
 */
export const NEXT_REQUEST_MS = 120_000;
/** Time to answer a request, which includes the time that the client takes to read, in ms. */
export const ANSWER_MS = 60_000;

/** The usual maximum for each server; far more than probes and scrapers need. */
const CONNECTIONS_MAX = 256;
const CONNECTIONS_MIN = 2;
/** The servers for health, metrics and admin, and all healthCheckNodePorts together. */
const SHARES = 4;
/** Descriptors for everything else, such as a program with three pipes. */
const SPARE_DESCRIPTORS = 8;

/** The part of a socket that is used here. */
export interface ClientSocket {
  destroy(): unknown;
  once(event: "close", run: () => void): unknown;
}

interface ClientState {
  readonly busy: boolean;
  readonly cancel: () => void;
}

/**
 * The connections of one server. If there are too many, the one that has waited longest for a
 * request is closed, so that a new client is always served.
 */
export class ClientConnections {
  readonly #clock: Clock;
  readonly #max: number;
  /** Sorted from the oldest change of state to the newest. */
  readonly #open = new Map<ClientSocket, ClientState>();

  constructor(clock: Clock, max = connectionsMax()) {
    this.#clock = clock;
    this.#max = max;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Takes a new connection, and closes another one if there are too many. */
  add(socket: ClientSocket): void {
    this.#set(socket, false, FIRST_REQUEST_MS);
    socket.once("close", () => this.#forget(socket));
    if (this.#open.size <= this.#max) return;
    const others = [...this.#open].filter(([other]) => other !== socket);
    const [victim] = others.find(([, { busy }]) => !busy) ?? others[0] ?? [];
    if (victim !== undefined) this.#close(victim);
  }

  /** Reports that a complete request has arrived. */
  requestReceived(socket: ClientSocket): void {
    if (this.#open.has(socket)) this.#set(socket, true, ANSWER_MS);
  }

  /** Reports that the answer was sent. */
  answerSent(socket: ClientSocket): void {
    if (this.#open.has(socket)) this.#set(socket, false, NEXT_REQUEST_MS);
  }

  #set(socket: ClientSocket, busy: boolean, ms: number): void {
    this.#forget(socket);
    this.#open.set(socket, { busy, cancel: this.#clock.after(ms, () => this.#close(socket)) });
  }

  /** Forgets it at once, because its close event comes later than further connections. */
  #close(socket: ClientSocket): void {
    this.#forget(socket);
    socket.destroy();
  }

  #forget(socket: ClientSocket): void {
    this.#open.get(socket)?.cancel();
    this.#open.delete(socket);
  }
}

/**
 * Returns the maximum for one server, from the limit of file descriptors (proc_pid_limits(5)) and
 * those in use now.
 */
function connectionsMax(): number {
  let limit: number;
  let used: number;
  try {
    const limits = readFileSync("/proc/self/limits", "latin1");
    limit = Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY);
    used = readdirSync("/proc/self/fd").length;
  } catch {
    return CONNECTIONS_MIN;
  }
  const share = Math.floor((limit - used - SPARE_DESCRIPTORS) / SHARES);
  return Math.max(CONNECTIONS_MIN, Math.min(CONNECTIONS_MAX, share));
}
