/**
 * Notifies systemd of the service's state: sd_notify(3), one datagram per message. Without
 * NOTIFY_SOCKET it does nothing.
 */
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import { close, connect, send, socket, unixAddress } from "../os/libc.ts";
import {
  AF_UNIX,
  MSG_NOSIGNAL,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  UNIX_PATH_MAX,
} from "../os/posix.ts";
import { errnoText } from "../os/system-error.ts";

export interface SystemdNotifierOptions {
  /**
   * The source of the variables. They are removed, so that no child process acts as the service.
   */
  readonly environment: { [name: string]: string | undefined };
  readonly pid: number;
  readonly clock: Clock;
  readonly log: Logger;
  /**
   * Called before each watchdog message. If it returns false, none is sent and systemd restarts us.
   */
  readonly healthy: () => boolean;
}

export class SystemdNotifier {
  readonly #address: Uint8Array | undefined;
  readonly #log: Logger;
  #cancel = () => {};
  #stopped = false;

  /** If the watchdog is enabled, starts sending messages after half its period. */
  constructor({ environment, pid, clock, log, healthy }: SystemdNotifierOptions) {
    this.#log = log.from("systemd-notify.ts");
    const path = takeVariable(environment, "NOTIFY_SOCKET");
    const periodMs = Number(takeVariable(environment, "WATCHDOG_USEC") ?? 0) / 1000;
    const watched = takeVariable(environment, "WATCHDOG_PID") ?? `${pid}`;
    this.#address = path === undefined ? undefined : socketAddress(path);
    if (path !== undefined && this.#address === undefined) {
      this.#log.warn("Ignored NOTIFY_SOCKET, which is not an absolute path or abstract name", {
        value: path,
      });
    }
    if (this.#address === undefined || !(periodMs > 0) || watched !== `${pid}`) return;
    const sendWatchdog = () => {
      if (healthy()) this.#send("WATCHDOG=1");
      this.#cancel = clock.after(periodMs / 2, sendWatchdog);
    };
    this.#cancel = clock.after(periodMs / 2, sendWatchdog);
  }

  /** Reports that the service is ready. `status` is one line for `systemctl status`. */
  ready(status: string): void {
    this.#send(`READY=1\nSTATUS=${onOneLine(status)}`);
  }

  /** Reports that the service is stopping. No message follows. */
  stopping(): void {
    this.#send("STOPPING=1");
    this.#stopped = true;
    this.#cancel();
  }

  #send(message: string): void {
    if (this.#address === undefined || this.#stopped) return;
    const result = sendDatagram(this.#address, bytesOf(message));
    const failure = "Could not notify systemd";
    if (result >= 0) this.#log.rearm(failure);
    else if (this.#log.firstTime(failure)) {
      this.#log.warn(failure, { message, err: errnoText(-result) });
    }
  }
}

function takeVariable(
  environment: SystemdNotifierOptions["environment"],
  name: string,
): string | undefined {
  const value = environment[name];
  delete environment[name];
  return value === "" ? undefined : value;
}

/** Copies the text to a buffer of its own, as libc.ts requires. */
function bytesOf(text: string): Uint8Array {
  const encoded = new TextEncoder().encode(text);
  const bytes = new Uint8Array(new ArrayBuffer(encoded.length));
  bytes.set(encoded);
  return bytes;
}

/** Returns undefined if the path is neither absolute nor an abstract name, or too long. */
function socketAddress(path: string): Uint8Array | undefined {
  if (!(path.startsWith("@") || path.startsWith("/"))) return undefined;
  return bytesOf(path).length < UNIX_PATH_MAX ? unixAddress(path) : undefined;
}

/** Opens a socket for each message, because the receiver may have been replaced. Never blocks. */
function sendDatagram(address: Uint8Array, message: Uint8Array): number {
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return fd;
  const connected = connect(fd, address);
  const result = connected < 0 ? connected : send(fd, message, message.length, MSG_NOSIGNAL);
  close(fd);
  return result;
}

function onOneLine(text: string): string {
  return text.replace(/\s+/g, " ");
}
