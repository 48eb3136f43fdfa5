/**
 * Runs in the network namespace of a node and opens real connections to clusterIPs. It reads
 * requests and writes answers as lines of JSON.
 *
 * usage: bun bench/caller.ts
 */
import { writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { writeSockaddr } from "../harness/netns/sockaddr.ts";
import { bind, close, connect, poll, recv, setOption, socket } from "../src/os/libc.ts";
import { MARKS } from "./monitor.ts";

/** A request. */
export type Request =
  /** The answer comes when a connection to each of `addresses` has reached an endpoint. */
  | { readonly ask: "served"; readonly addresses: readonly string[]; readonly port: number }
  /** The answer comes when a connection to the address has reached an endpoint of this mark. */
  | {
      readonly ask: "follow";
      readonly mark: number;
      readonly address: string;
      readonly port: number;
    }
  /**
   * Measures connecting to each address in turn, `rounds` times, from this source or from the
   * node's own address.
   */
  | {
      readonly ask: "connect";
      readonly to: readonly (readonly [address: string, port: number])[];
      readonly rounds: number;
      readonly source?: string;
    };

/** An answer: milliseconds since the epoch; microseconds of every connection to each address. */
export type Answer =
  | { readonly served: true; readonly at: number }
  | { readonly mark: number; readonly at: number }
  | { readonly took: readonly (readonly number[])[] };

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOL_IP = 0;
const IP_BIND_ADDRESS_NO_PORT = 24;
const SOL_TCP = 6;
/** Number of SYN retries. A lost SYN must not delay all other calls for minutes. */
const TCP_SYNCNT = 7;
const POLLIN = 1;
const SOCK_NONBLOCK = 0x800;
const EINPROGRESS = 115;
const ANSWER_MS = 1000;
/**
 * After this time without an answer, the call is repeated: its SYN was lost, or the endpoint is
 * gone.
 */
const ATTEMPT_MS = 100;
/** If only one call is left, wait for it instead of polling in rounds. */
const ALONE_MS = 1;
/** Number of addresses of each mark, for a Service with as many endpoints. */
export const ADDRESSES_OF_MARK = 8;
/** The caller rests this many times as long as it worked, to leave the processor to the proxies. */
const REST_PART = 3;
const LEAST_REST_MS = 1;

const sockaddr = new Uint8Array(new ArrayBuffer(28));
const answer = new Uint8Array(new ArrayBuffer(16));

/** Returns the microseconds of connecting; undefined without an answer. */
function call(address: string, port: number, source?: string): number | undefined {
  const fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) throw new Error(`call ${address}: socket: errno ${-fd}`);
  try {
    setOption(fd, SOL_TCP, TCP_SYNCNT, 1);
    if (source !== undefined) {
      setOption(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
      const bound = bind(fd, sockaddr.subarray(0, writeSockaddr(sockaddr, source, 0)));
      if (bound < 0) throw new Error(`call from ${source}: bind: errno ${-bound}`);
    }
    const to = sockaddr.subarray(0, writeSockaddr(sockaddr, address, port));
    const begun = performance.now();
    if (connect(fd, to) < 0) return undefined;
    const us = (performance.now() - begun) * 1000;
    if (poll(fd, POLLIN, ANSWER_MS) !== 1 || recv(fd, answer, 0) !== 4) return undefined;
    return us;
  } finally {
    close(fd);
  }
}

function markOf([first, second, third = 0, fourth = 0]: Uint8Array): number | undefined {
  if (first !== MARKS[0] || second !== MARKS[1]) return undefined;
  return Math.floor((third * 256 + fourth) / ADDRESSES_OF_MARK);
}

/** The addresses of an endpoint's mark, up to the number of endpoints of a Service. */
export function addressesOf(mark: number, count: number): string[] {
  return Array.from({ length: count }, (_, position) => {
    const number = mark * ADDRESSES_OF_MARK + position;
    return [...MARKS, number >> 8, number & 255].join(".");
  });
}

/** Calls one address repeatedly without blocking, so that others run in between. */
class Caller {
  readonly #address: string;
  readonly #port: number;
  #fd = -1;
  #begun = 0;

  constructor(address: string, port: number) {
    this.#address = address;
    this.#port = port;
  }

  /** Returns the endpoint that answered; undefined if none did yet. Waits at most this many ms. */
  look(ms: number): Uint8Array | undefined {
    if (this.#fd < 0 && !this.#begin()) return undefined;
    if (poll(this.#fd, POLLIN, ms) === 1) {
      const length = recv(this.#fd, answer, 0);
      this.#end();
      return length === 4 ? answer.subarray(0, 4) : undefined;
    }
    if (performance.now() - this.#begun > ATTEMPT_MS) this.#end();
    return undefined;
  }

  #begin(): boolean {
    this.#fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (this.#fd < 0) throw new Error(`call ${this.#address}: socket: errno ${-this.#fd}`);
    this.#begun = performance.now();
    const to = sockaddr.subarray(0, writeSockaddr(sockaddr, this.#address, this.#port));
    const result = connect(this.#fd, to);
    if (result >= 0 || result === -EINPROGRESS) return true;
    this.#end();
    return false;
  }

  #end(): void {
    close(this.#fd);
    this.#fd = -1;
  }
}

/** Polls until the condition holds, and sleeps in between. */
class AddressWatch {
  readonly #pending: ((ms: number) => boolean)[] = [];
  #running = false;

  /** `look` is called until it returns true. It may wait for this many ms. */
  add(look: (ms: number) => boolean): void {
    this.#pending.push(look);
    if (!this.#running) void this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#pending.length > 0) {
      const begun = performance.now();
      const ms = this.#pending.length === 1 ? ALONE_MS : 0;
      const left = this.#pending.filter((look) => !look(ms));
      this.#pending.splice(0, this.#pending.length, ...left);
      await sleep(Math.max(LEAST_REST_MS, (performance.now() - begun) * REST_PART));
    }
    this.#running = false;
  }
}

function say(line: Answer): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

function now(): number {
  return performance.timeOrigin + performance.now();
}

const watch = new AddressWatch();

function take(request: Request): void {
  switch (request.ask) {
    case "served": {
      const callers = request.addresses.map((address) => new Caller(address, request.port));
      watch.add(() => {
        while (callers[0]?.look(ALONE_MS) !== undefined) callers.shift();
        if (callers.length === 0) say({ served: true, at: now() });
        return callers.length === 0;
      });
      return;
    }
    case "follow": {
      const caller = new Caller(request.address, request.port);
      watch.add((ms) => {
        const endpoint = caller.look(ms);
        if (endpoint === undefined || markOf(endpoint) !== request.mark) return false;
        say({ mark: request.mark, at: now() });
        return true;
      });
      return;
    }
    case "connect": {
      const elapsed: number[][] = request.to.map(() => []);
      for (let round = 0; round < request.rounds; round++) {
        for (const [index, [address, port]] of request.to.entries()) {
          const us = call(address, port, request.source);
          if (us !== undefined) elapsed[index]?.push(us);
        }
      }
      say({ took: elapsed });
    }
  }
}

if (import.meta.main) {
  for await (const line of createInterface({ input: process.stdin }))
    take(JSON.parse(line) as Request);
}
