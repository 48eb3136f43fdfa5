/**
 * Implements a netlink socket for slow dumps. The kernel walks its connection table inside the
 * system calls that request and read a dump. One call takes about 0.3 s if a filter leaves few of
 * 1,000,000 entries. The socket therefore uses read(2) and write(2) in the runtime's thread pool,
 * and the event loop continues meanwhile.
 */
import { read, write } from "node:fs";
import { describeCause } from "../base/errors.ts";
import { NETLINK_NETFILTER } from "../netlink/constants.ts";
import { openNetlink } from "../netlink/socket.ts";
import { close } from "../os/libc.ts";
import { systemError } from "../os/system-error.ts";

/** Runs one dump at a time; tests provide a fake. */
export interface EntryDump {
  /** @throws SluiceError NETLINK_SOCKET, NETLINK_REFUSED, PERMISSION_DENIED */
  request(bytes: Uint8Array, length: number): Promise<void>;
  /**
   * The next datagram: a view that is valid until the next call. Fails if there is none, and never
   * waits for one.
   */
  read(): Promise<Uint8Array>;
  /** Do not call it during `request` or `read`. */
  close(): void;
}

/**
 * The kernel fills at most 32 KiB at a time, even if the reader offers more
 * (net/netlink/af_netlink.c).
 */
const READ_SIZE = 1 << 16;

export class DumpSocket implements EntryDump {
  readonly #fd = openNetlink(NETLINK_NETFILTER);
  readonly #buffer = new Uint8Array(new ArrayBuffer(READ_SIZE));

  async request(bytes: Uint8Array, length: number): Promise<void> {
    await this.#call(`send ${length} bytes to netlink socket`, (done) =>
      write(this.#fd, bytes, 0, length, null, done),
    );
  }

  async read(): Promise<Uint8Array> {
    const length = await this.#call("receive from netlink socket", (done) =>
      read(this.#fd, this.#buffer, 0, READ_SIZE, null, done),
    );
    return this.#buffer.subarray(0, length);
  }

  close(): void {
    close(this.#fd);
  }

  /** Repeats the call while signals interrupt it. */
  async #call(what: string, call: (done: Done) => void): Promise<number> {
    for (;;) {
      const { error, count } = await new Promise<{ error: ErrnoError; count: number }>((resolve) =>
        call((error, count) => resolve({ error, count })),
      );
      if (error === null) return count;
      if (error.code !== "EINTR") {
        throw systemError(what, Math.abs(error.errno ?? 0), "NETLINK_SOCKET", describeCause(error));
      }
    }
  }
}

type ErrnoError = NodeJS.ErrnoException | null;
type Done = (error: ErrnoError, count: number) => void;
