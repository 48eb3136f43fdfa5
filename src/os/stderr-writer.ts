/**
 * Writes each line immediately, so that the last line before the process exits is not lost. It does
 * not wait for a stalled reader: a stalled log must not stop a sync.
 */
import { writeSync } from "node:fs";
import { poll } from "./libc.ts";
import { EINTR, POLLOUT } from "./posix.ts";

/** PIPE_BUF in linux/limits.h: a writable pipe accepts this many bytes without blocking. */
const PIECE_BYTES = 4096;
/**
 * How long to wait for the reader of a full pipe after a burst. If the wait times out, later lines
 * do not wait until the reader reads again.
 */
const WAIT_MS = 250;

export class StderrWriter {
  readonly #fd: number;
  #waitMs = WAIT_MS;
  /** True if only part of the last line was written. */
  #lineCut = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Returns false if the line, or its end, is lost because there is no reader or no room. Never
   * throws.
   */
  write(line: string): boolean {
    const bytes = Buffer.from(this.#lineCut ? `\n${line}` : line);
    for (let at = 0; at < bytes.length; ) {
      const written = this.#writePiece(bytes.subarray(at, at + PIECE_BYTES));
      if (written === 0) {
        this.#lineCut ||= at > 0;
        return false;
      }
      at += written;
    }
    this.#lineCut = false;
    return true;
  }

  /** Returns the number of bytes written. */
  #writePiece(piece: Uint8Array): number {
    try {
      return this.#isWritable() ? writeSync(this.#fd, piece) : 0;
    } catch {
      // EPIPE, ENOSPC, or EAGAIN if another process writes too. There is no log to report it to.
      return 0;
    }
  }

  /** Called before each write, because a pipe or socket usually blocks. */
  #isWritable(): boolean {
    let ready: number;
    do ready = poll(this.#fd, POLLOUT, this.#waitMs);
    while (ready === -EINTR);
    this.#waitMs = ready === 0 ? 0 : WAIT_MS;
    return ready !== 0;
  }
}
