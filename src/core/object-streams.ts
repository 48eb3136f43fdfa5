/** Feeds the bytes of an HTTP body to the core (asm/ingest/streams.ts). */
import {
  FEED_ERR_MEMORY,
  FEED_INITIAL_END,
  FEED_LIST_END,
  FEED_LIST_META,
  FEED_OBJECTS,
  FEED_STATUS,
  FEED_VERSION,
  KIND_ENDPOINT_SLICE,
  KIND_SERVICE,
  STREAM_CONTINUE,
  STREAM_CONTINUE_LENGTH,
  STREAM_LIST,
  STREAM_MESSAGE,
  STREAM_MESSAGE_LENGTH,
  STREAM_STATUS_CODE,
  STREAM_VERSION,
  STREAM_VERSION_LENGTH,
  STREAM_WATCH,
} from "../../asm/layout/stream.ts";
import { SluiceError } from "../base/errors.ts";
import type { FeedResult, ObjectKind, ObjectStream } from "./core.ts";
import { type HeapExports, outOfMemory, type Wasm } from "./load.ts";
import { decodeText } from "./name-table.ts";

/** Exports of asm/ingest/streams.ts. */
export interface StreamExports extends HeapExports {
  streamOpen(kind: number, format: number): number;
  streamReserve(stream: number, bytes: number): number;
  streamFeed(stream: number, bytes: number): number;
  streamClose(stream: number): void;
}

/** The core's number for a kind. */
export function kindNumber(kind: ObjectKind): number {
  return kind === "Service" ? KIND_SERVICE : KIND_ENDPOINT_SLICE;
}

const EMPTY_RESULT: FeedResult = { objects: false, initialEnd: false };
const OBJECTS: FeedResult = { objects: true, initialEnd: false };

/**
 * Opens a decoder in the core. `feed` translates the core's result (FEED_* bits and the texts in
 * the stream's record) into a FeedResult.
 * @throws SluiceError CORE_MEMORY
 */
export function openObjectStream(
  wasm: Wasm<StreamExports>,
  kind: ObjectKind,
  format: "list" | "watch",
): ObjectStream {
  const { exports } = wasm;
  const doing = `decode ${format} of ${kind} objects`;
  const stream =
    exports.streamOpen(kindNumber(kind), format === "list" ? STREAM_LIST : STREAM_WATCH) >>> 0;
  if (stream === 0) throw outOfMemory(doing, exports.memory.buffer.byteLength);
  let open = true;

  const text = (at: number, lengthAt: number): string =>
    decodeText(wasm.u8(), stream + at, wasm.view().getUint32(stream + lengthAt, true));

  const read = (bits: number): FeedResult => {
    if (bits === 0) return EMPTY_RESULT;
    if (bits === FEED_OBJECTS) return OBJECTS;
    return {
      objects: (bits & FEED_OBJECTS) !== 0,
      initialEnd: (bits & FEED_INITIAL_END) !== 0,
      ...(bits & FEED_VERSION && { resourceVersion: text(STREAM_VERSION, STREAM_VERSION_LENGTH) }),
      ...(bits & FEED_LIST_META && {
        continueToken: text(STREAM_CONTINUE, STREAM_CONTINUE_LENGTH),
      }),
      ...(bits & FEED_LIST_END && { listEnd: true }),
      ...(bits & FEED_STATUS && {
        status: {
          code: wasm.view().getInt32(stream + STREAM_STATUS_CODE, true),
          message: text(STREAM_MESSAGE, STREAM_MESSAGE_LENGTH),
        },
      }),
    };
  };

  return {
    reserve(bytes) {
      const at = exports.streamReserve(stream, bytes) >>> 0;
      if (at === 0) throw outOfMemory(doing, exports.memory.buffer.byteLength);
      return wasm.u8().subarray(at, at + bytes);
    },
    feed(bytes) {
      const bits = exports.streamFeed(stream, bytes);
      if (bits >= 0) return read(bits);
      if (bits === FEED_ERR_MEMORY) throw outOfMemory(doing, exports.memory.buffer.byteLength);
      throw new SluiceError("API_MALFORMED", `${doing}: invalid protobuf from the API server`);
    },
    close() {
      if (!open) return;
      open = false;
      exports.streamClose(stream);
    },
  };
}
