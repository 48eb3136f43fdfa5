/**
 * Runs in the network namespace of a pod. As a client, it sends single datagrams, each from another
 * port, and reports what each costs. As a server, it reads none: full buffers make all runs alike.
 *
 * usage: bun bench/first-datagrams.ts client
 *        bun bench/first-datagrams.ts server
 */
import { writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { bind, close, send, socket } from "../src/os/libc.ts";
import { AF_INET6, at, cost, MSG_DONTWAIT, open, SOCK_DGRAM } from "./flood.ts";

export const SERVER_PORT = 5354;

/** A request for datagrams. */
export interface DatagramRequest {
  readonly to: string;
  /** Each datagram comes from the next port. */
  readonly firstPort: number;
  readonly count: number;
}

const byte = new Uint8Array(new ArrayBuffer(1));

async function runClient(): Promise<void> {
  writeSync(1, "ready\n");
  for await (const line of createInterface({ input: process.stdin })) {
    const { to, firstPort, count } = JSON.parse(line) as DatagramRequest;
    const ns = cost(count, (index) => {
      const fd = open(SOCK_DGRAM, to, SERVER_PORT, firstPort + index);
      send(fd, byte, 1, MSG_DONTWAIT);
      close(fd);
    });
    writeSync(1, `${ns}\n`);
  }
}

async function runServer(): Promise<void> {
  if (bind(socket(AF_INET6, SOCK_DGRAM, 0), at("::", SERVER_PORT)) < 0) throw new Error("bind");
  writeSync(1, "ready\n");
  for await (const _ of createInterface({ input: process.stdin }));
}

if (import.meta.main) await (process.argv[2] === "client" ? runClient() : runServer());
