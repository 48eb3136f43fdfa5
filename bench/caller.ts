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

/** What is asked. */
export type Request =
  /** Answered when a connection to each of `addresses` has reached an endpoint. */
  | { readonly ask: "served"; readonly addresses: readonly string[]; readonly port: number }
  /** Answered when a connection to the address has reached an endpoint of this mark. */
  | {
      readonly ask: "follow";
      readonly mark: number;
      readonly address: string;
      readonly port: number;
    }
  /**
   * How long it takes to connect to each in turn, `rounds` times, from this source or the node's
   * own address.
   */
  | {
      readonly ask: "connect";
      readonly to: readonly (readonly [address: string, port: number])[];
      readonly rounds: number;
      readonly source?: string;
    };

/** What is answered: milliseconds since the epoch; microseconds of every connection to each. */
export type Answer =
  | { readonly served: true; readonly at: number }
  | { readonly mark: number; readonly at: number }
  | { readonly took: readonly (readonly number[])[] };

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOL_IP = 0;
const IP_BIND_ADDRESS_NO_PORT = 24;
const SOL_TCP = 6;
/** How often a SYN is sent again: a lost one must not hold up everybody else for minutes. */
const TCP_SYNCNT = 7;
const POLLIN = 1;
const SOCK_NONBLOCK = 0x800;
const EINPROGRESS = 115;
const ANSWER_MS = 1000;
/**
 * A call that nobody has answered by then is given up for another: its SYN was lost, or the one
 * that answers is gone.
 */
const ATTEMPT_MS = 100;
/** Whoever is alone is waited for, rather than looked at in the next round. */
const ALONE_MS = 1;
/** Each mark has so many addresses, so that it fits a Service with as many endpoints. */
export const ADDRESSES_OF_MARK = 8;
/** Of the processor's time that is left to the proxies: three parts of four. */
const REST_PART = 3;
const LEAST_REST_MS = 1;

const sockaddr = new Uint8Array(new ArrayBuffer(28));
const answer = new Uint8Array(new ArrayBuffer(16));

/** The microseconds that connecting took; undefined if nobody answered. */
function call(address: string, port: number, source?: string): number | undefined {
  const fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) throw new Error(`Cannot call ${address}: socket: errno ${-fd}`);
  try {
    setOption(fd, SOL_TCP, TCP_SYNCNT, 1);
    if (source !== undefined) {
      setOption(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
      const bound = bind(fd, sockaddr.subarray(0, writeSockaddr(sockaddr, source, 0)));
      if (bound < 0) throw new Error(`Cannot call from ${source}: bind: errno ${-bound}`);
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

/** The addresses of an endpoint's mark, as many as a Service may have endpoints. */
export function addressesOf(mark: number, count: number): string[] {
  return Array.from({ length: count }, (_, position) => {
    const number = mark * ADDRESSES_OF_MARK + position;
    return [...MARKS, number >> 8, number & 255].join(".");
  });
}

/**
 * Calls one address again and again, without waiting for the kernel: everybody else has a turn in
 * between.
 */
class Caller {
  readonly #address: string;
  readonly #port: number;
  #fd = -1;
  #begun = 0;

  constructor(address: string, port: number) {
    this.#address = address;
    this.#port = port;
  }

  /** The endpoint that answered; undefined: nobody yet. Waits so many ms at most. */
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
    if (this.#fd < 0) throw new Error(`Cannot call ${this.#address}: socket: errno ${-this.#fd}`);
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

/** Looks again and again whether it is so, and leaves the processor to the others in between. */
class AddressWatch {
  readonly #pending: ((ms: number) => boolean)[] = [];
  #running = false;

  /** `look` is called until it says true, and may wait for so many ms. */
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
