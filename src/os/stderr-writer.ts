/**
 * Writes each line at once, so that the last line before the process ends is not lost. It does not
 * wait for a reader that does not read: a stalled log must not stop a sync.
 */
import { writeSync } from "node:fs";
import { poll } from "./libc.ts";
import { EINTR, POLLOUT } from "./posix.ts";

/** PIPE_BUF in linux/limits.h: a pipe that is writable takes this much without blocking. */
const PIECE_BYTES = 4096;
/**
 * How long to wait for a reader whose pipe is full after a burst. If it times out, later lines do
 * not wait until it reads again.
 */
const WAIT_MS = 250;

export class StderrWriter {
  readonly #fd: number;
  #waitMs = WAIT_MS;
  /** Only part of the last line was written. */
  #torn = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** False if the line or its end is lost: nobody reads, or there is no room. Never throws. */
  write(line: string): boolean {
    const bytes = Buffer.from(this.#torn ? `\n${line}` : line);
    for (let at = 0; at < bytes.length; ) {
      const written = this.#take(bytes.subarray(at, at + PIECE_BYTES));
      if (written === 0) {
        this.#torn ||= at > 0;
        return false;
      }
      at += written;
    }
    this.#torn = false;
    return true;
  }

  /** How many bytes were taken. */
  #take(piece: Uint8Array): number {
    try {
      return this.#isWritable() ? writeSync(this.#fd, piece) : 0;
    } catch {
      // EPIPE, ENOSPC, or EAGAIN if another process writes too. There is no log to report it in.
      return 0;
    }
  }

  /** Asked before each write, since a pipe or socket usually blocks. */
  #isWritable(): boolean {
    let ready: number;
    do ready = poll(this.#fd, POLLOUT, this.#waitMs);
    while (ready === -EINTR);
    this.#waitMs = ready === 0 ? 0 : WAIT_MS;
    return ready !== 0;
  }
}
