/** Reads the API server's Status object, the body of every error answer, in JSON or protobuf. */
import {
  FIELD_STATUS_MESSAGE,
  FIELD_STATUS_REASON,
  FIELD_UNKNOWN_RAW,
  UNKNOWN_MAGIC,
  UNKNOWN_MAGIC_BYTES,
  WIRE_BITS,
  WIRE_BYTES,
  WIRE_MASK,
  WIRE_VARINT,
} from "../../asm/layout/fields.ts";
import { readU32LE } from "../base/bytes.ts";
import { SluiceError } from "../base/errors.ts";

export interface Status {
  /** HTTP status code. */
  readonly code: number;
  /** One CamelCase word, such as Expired or Forbidden; "" if absent. */
  readonly reason: string;
  readonly message: string;
  /** Retry-After of the answer; 0 if absent. */
  readonly retryAfterMs: number;
}

/** Reads as much as possible, because an HTTP proxy in between may answer with anything. */
export function readStatus(code: number, retryAfterMs: number, body: Uint8Array): Status {
  const { reason, message } = isProtobuf(body) ? fromProtobuf(body) : fromText(body);
  return { code, reason, message, retryAfterMs };
}

const HINTS: Readonly<Record<number, string>> = {
  401: " (check the token or client certificate)",
  403: " (grant the ClusterRole system:node-proxier)",
};

/**
 * Creates the error for a non-2xx answer or an ERROR event. `what` is, for example, "list
 * services".
 */
export function statusError(what: string, server: string, status: Status): SluiceError {
  const parts = [`${status.code} ${status.reason}`.trimEnd(), status.message];
  const answer = parts.filter((part) => part !== "").join(": ");
  return new SluiceError(
    status.code === 410 ? "API_GONE" : "API_STATUS",
    `${what}: ${answer}${HINTS[status.code] ?? ""}`,
    server,
    { cause: status },
  );
}

/** Limit in bytes. A Status has a few hundred bytes. */
const ERROR_BODY_MAX = 65_536;

/** Collects a non-2xx answer while it arrives. */
export class ErrorBodyReader {
  readonly #code: number;
  readonly #retryAfterMs: number;
  readonly #chunks: Uint8Array[] = [];
  #bytes = 0;

  constructor(code: number, retryAfterMs: number) {
    this.#code = code;
    this.#retryAfterMs = retryAfterMs;
  }

  /** Copies the bytes, up to ERROR_BODY_MAX in total. */
  feed(chunk: Uint8Array): void {
    const kept = chunk.slice(0, ERROR_BODY_MAX - this.#bytes);
    this.#bytes += kept.length;
    this.#chunks.push(kept);
  }

  /** Call this when the answer is complete. `what` is, for example, "list services". */
  error(what: string, server: string): SluiceError {
    const body = Buffer.concat(this.#chunks);
    return statusError(what, server, readStatus(this.#code, this.#retryAfterMs, body));
  }
}

/** Returns the Status behind an error made by `statusError`. */
export function statusOf(error: SluiceError): Status | undefined {
  const { cause } = error;
  return typeof cause === "object" && cause !== null && "retryAfterMs" in cause
    ? (cause as Status)
    : undefined;
}

/**
 * Reports whether the server has not reached the requested resourceVersion. The server lags behind
 * its peers, or its store went back in time. client-go checks the same text.
 */
export function isResourceVersionTooNew(status: Status): boolean {
  return status.message.includes("Too large resource version");
}

function fromText(body: Uint8Array): { reason: string; message: string } {
  const text = new TextDecoder().decode(body);
  try {
    const { reason = "", message = "" } = JSON.parse(text);
    return { reason: String(reason), message: String(message) };
  } catch {
    return { reason: "", message: text.trim().slice(0, 200) };
  }
}

function isProtobuf(body: Uint8Array): boolean {
  return body.length >= UNKNOWN_MAGIC_BYTES && readU32LE(body, 0) === UNKNOWN_MAGIC;
}

/** Decodes runtime.Unknown { raw: Status { message, reason } }. */
function fromProtobuf(body: Uint8Array): { reason: string; message: string } {
  const status = bytesField(body.subarray(UNKNOWN_MAGIC_BYTES), FIELD_UNKNOWN_RAW);
  const text = (field: number) => new TextDecoder().decode(bytesField(status, field));
  return { message: text(FIELD_STATUS_MESSAGE), reason: text(FIELD_STATUS_REASON) };
}

/**
 * Returns the last length-delimited field with this number; empty if absent or if the bytes are
 * malformed.
 */
function bytesField(message: Uint8Array, wanted: number): Uint8Array {
  let at = 0;
  let found: Uint8Array = new Uint8Array();
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; at < message.length; scale *= 128) {
      const byte = message[at++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
    }
    return value;
  };
  while (at < message.length) {
    const key = varint();
    const wire = key & WIRE_MASK;
    if (wire === WIRE_VARINT) varint();
    else if (wire === WIRE_BYTES) {
      const length = varint();
      if (key >>> WIRE_BITS === wanted) found = message.subarray(at, at + length);
      at += length;
    } else break;
  }
  return found;
}
