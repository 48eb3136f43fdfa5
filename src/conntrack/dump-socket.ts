/**
 * A netlink socket for dumps that take long. The kernel walks its table of connections inside the system calls
 * that ask for a dump and read it, some 0.3 s in one of them where a filter leaves few of 1,000,000 entries. So
 * these are read(2) and write(2) in the runtime's pool of threads, and the event loop goes on meanwhile.
 */
import { read, write } from "node:fs";
import { NETLINK_NETFILTER } from "../netlink/constants.ts";
import { openNetlink } from "../netlink/socket.ts";
import { close } from "../os/libc.ts";
import { systemError } from "../os/system-error.ts";

/** One dump at a time; tests put a fake in its place. */
export interface EntryDump {
  /** @throws SluiceError NETLINK_SOCKET, NETLINK_REFUSED, PERMISSION_DENIED */
  request(bytes: Uint8Array, length: number): Promise<void>;
  /** The next datagram: a view that is valid until the next call. Never waits for one that does not come. */
  read(): Promise<Uint8Array>;
  /** Not while `request` or `read` is under way. */
  close(): void;
}

/** The kernel fills at most 32 KiB at a time for a reader that offers more (net/netlink/af_netlink.c). */
const READ_SIZE = 1 << 16;

export class DumpSocket implements EntryDump {
  readonly #fd = openNetlink(NETLINK_NETFILTER);
  readonly #buffer = new Uint8Array(new ArrayBuffer(READ_SIZE));

  async request(bytes: Uint8Array, length: number): Promise<void> {
    await this.#call(`send ${length} bytes over netlink`, (done) =>
      write(this.#fd, bytes, 0, length, null, done),
    );
  }

  async read(): Promise<Uint8Array> {
    const length = await this.#call("receive over netlink", (done) =>
      read(this.#fd, this.#buffer, 0, READ_SIZE, null, done),
    );
    return this.#buffer.subarray(0, length);
  }

  close(): void {
    close(this.#fd);
  }

  /** Until no signal interrupts it. */
  async #call(what: string, call: (done: Done) => void): Promise<number> {
    for (;;) {
      const { error, count } = await new Promise<{ error: ErrnoError; count: number }>((resolve) =>
        call((error, count) => resolve({ error, count })),
      );
      if (error === null) return count;
      if (error.code !== "EINTR") {
        throw systemError(what, Math.abs(error.errno ?? 0), "NETLINK_SOCKET", error.message);
      }
    }
  }
}

type ErrnoError = NodeJS.ErrnoException | null;
type Done = (error: ErrnoError, count: number) => void;
