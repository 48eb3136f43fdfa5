/**
 * Writes lines to a file at once, so that the last one before the end of the process is not lost, and without waiting
 * for a reader that does not read: a stalled log must stop no sync.
 */
import { writeSync } from "node:fs";
import { poll } from "./libc.ts";

/** poll.h */
const POLLOUT = 4;
/** errno.h */
const EINTR = 4;
/** PIPE_BUF in linux/limits.h: a pipe that takes anything takes so much without a wait. */
const PIECE_BYTES = 4096;
/** A reader gets so long for what a burst has filled; one that lets us wait in vain is not waited for again until it has read. */
const PATIENCE_MS = 250;

export class LineWriter {
  readonly #fd: number;
  #patienceMs = PATIENCE_MS;
  /** A line ended in its midst. */
  #torn = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** False if the line, or the end of it, is lost: nobody reads, or there is no room. Never throws. */
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
      // EPIPE, ENOSPC, or EAGAIN where somebody else writes too: there is no log that this could be said in.
      return 0;
    }
  }

  /** A pipe or socket blocks, unless whoever made it wished otherwise; so it is asked before. */
  #isWritable(): boolean {
    let ready: number;
    do ready = poll(this.#fd, POLLOUT, this.#patienceMs);
    while (ready === -EINTR);
    this.#patienceMs = ready === 0 ? 0 : PATIENCE_MS;
    return ready !== 0;
  }
}
