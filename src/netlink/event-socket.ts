/**
 * Receives events from netlink's multicast groups without a thread or a busy timer: Bun's event
 * loop watches the socket.
 *
 * `Bun.connect({ fd })` is not in Bun's types; each datagram causes one callback. If this call
 * fails, the socket is read on a timer instead.
 */
import type { Clock } from "../base/clock.ts";
import * as libc from "../os/libc.ts";
import { EINTR, ENOBUFS, MSG_DONTWAIT } from "../os/posix.ts";
import type { EventFilter } from "./event-filter.ts";
import { openNetlink } from "./socket.ts";

/** Interval in ms for reading a socket that the event loop cannot watch. */
const POLL_MS = 1000;
/** Minimum time in ms between opening a socket and reopening it after a failure. */
export const REOPEN_MS = 100;
const READ_SIZE = 1 << 16;

export interface Subscription {
  close(): void;
}

/** The part of Bun.connect's signature that is used here. */
type Connect = (options: {
  readonly fd: number;
  readonly socket: {
    data(socket: unknown, bytes: Uint8Array): void;
    error(): void;
    close(): void;
  };
}) => Promise<{ end(): void; terminate(): void; unref(): void }>;

/**
 * Receives one datagram of messages, valid during the call; undefined if some may have been lost.
 */
export type DatagramListener = (bytes: Uint8Array | undefined) => void;

export interface SubscribeOptions {
  /** Events that it drops are not reported. */
  readonly filter?: EventFilter;
  /** Replaces Bun.connect in tests. */
  readonly connect?: Connect;
}

/**
 * Calls `event` after each message in one of the groups, and after messages may have been lost.
 * @throws SluiceError NETLINK_SOCKET
 */
export function subscribe(
  protocol: number,
  groups: readonly number[],
  clock: Clock,
  event: DatagramListener,
  { filter, connect = Bun.connect as unknown as Connect }: SubscribeOptions = {},
): Subscription {
  let open = true;
  let stop = () => {};
  const start = (fd: number) => {
    let ended = false;
    const opened = clock.monotonic();
    // ENOBUFS after a burst ends the socket, because messages were lost.
    const reportLoss = () => {
      if (ended || !open) return;
      ended = true;
      stop = clock.after(Math.max(0, opened + REOPEN_MS - clock.monotonic()), restart);
    };
    const data = (_: unknown, bytes: Uint8Array) => event(bytes);
    connect({ fd, socket: { data, error: reportLoss, close: reportLoss } }).then(
      (socket) => {
        socket.unref();
        // The socket failed or was closed before it connected. By now `stop` belongs to its
        // successor.
        if (ended || !open) {
          ended = true;
          socket.terminate();
          return;
        }
        stop = () => {
          ended = true;
          socket.terminate();
        };
      },
      () => {
        if (ended) return;
        stop = pollSocket(fd, clock, event);
        if (!open) stop();
      },
    );
  };
  const restart = () => {
    if (!open) return;
    try {
      start(openNetlink(protocol, groups, filter));
      event(undefined);
    } catch {
      // The process is temporarily out of memory or descriptors.
      stop = clock.after(REOPEN_MS, restart);
    }
  };
  start(openNetlink(protocol, groups, filter));
  return {
    close() {
      open = false;
      stop();
    },
  };
}

/** Reads pending datagrams every POLL_MS. The returned function stops it and closes the socket. */
function pollSocket(fd: number, clock: Clock, event: DatagramListener): () => void {
  const buffer = new Uint8Array(new ArrayBuffer(READ_SIZE));
  let cancel = () => {};
  const look = () => {
    for (;;) {
      const result = libc.recv(fd, buffer, MSG_DONTWAIT);
      if (result === -EINTR) continue;
      // ENOBUFS means that messages were lost; the socket stays usable.
      if (result <= 0 && result !== -ENOBUFS) break;
      event(result > 0 ? buffer.subarray(0, result) : undefined);
    }
    cancel = clock.after(POLL_MS, look);
  };
  cancel = clock.after(POLL_MS, look);
  return () => {
    cancel();
    libc.close(fd);
  };
}
