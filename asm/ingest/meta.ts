// Reads the few relevant fields of ObjectMeta (k8s.io/apimachinery meta/v1), as addresses in the
// message.

import {
  FIELD_MAP_KEY,
  FIELD_MAP_VALUE,
  FIELD_META_ANNOTATIONS,
  FIELD_META_CREATION_TIMESTAMP,
  FIELD_META_LABELS,
  FIELD_META_NAME,
  FIELD_META_NAMESPACE,
  FIELD_META_RESOURCE_VERSION,
  FIELD_META_UID,
  FIELD_OBJECT_METADATA,
  FIELD_TIME_SECONDS,
  WIRE_BITS,
  WIRE_BYTES,
  WIRE_VARINT,
} from "../layout/fields";
import { isText } from "../memory/bytes";
import { hash64 } from "../memory/hash";
import {
  bytesAt,
  bytesLength,
  enterMessage,
  leaveMessage,
  more,
  readBytes,
  readTag,
  readVarint,
  skipField,
} from "./protobuf";

/** Tag of the metadata in every API object. */
export const TAG_OBJECT_METADATA: u32 = (FIELD_OBJECT_METADATA << WIRE_BITS) | WIRE_BYTES;

const TAG_META_NAME: u32 = (FIELD_META_NAME << WIRE_BITS) | WIRE_BYTES;
const TAG_META_NAMESPACE: u32 = (FIELD_META_NAMESPACE << WIRE_BITS) | WIRE_BYTES;
const TAG_META_UID: u32 = (FIELD_META_UID << WIRE_BITS) | WIRE_BYTES;
const TAG_META_RESOURCE_VERSION: u32 = (FIELD_META_RESOURCE_VERSION << WIRE_BITS) | WIRE_BYTES;
const TAG_META_CREATION_TIMESTAMP: u32 = (FIELD_META_CREATION_TIMESTAMP << WIRE_BITS) | WIRE_BYTES;
const TAG_META_LABELS: u32 = (FIELD_META_LABELS << WIRE_BITS) | WIRE_BYTES;
const TAG_META_ANNOTATIONS: u32 = (FIELD_META_ANNOTATIONS << WIRE_BITS) | WIRE_BYTES;
const TAG_TIME_SECONDS: u32 = (FIELD_TIME_SECONDS << WIRE_BITS) | WIRE_VARINT;
const TAG_MAP_KEY: u32 = (FIELD_MAP_KEY << WIRE_BITS) | WIRE_BYTES;
const TAG_MAP_VALUE: u32 = (FIELD_MAP_VALUE << WIRE_BITS) | WIRE_BYTES;

export const META_PROXY_NAME: u32 = 1; // label service.kubernetes.io/service-proxy-name, any value
export const META_HEADLESS: u32 = 2; // label service.kubernetes.io/headless
export const META_INITIAL_END: u32 = 4; // annotation k8s.io/initial-events-end

/** Maximum length of a DNS label or subdomain, with some reserve; longer ones are refused. */
const PART_MAX: usize = 253;
/** Two parts and the slash. */
const KEY_MAX: usize = 2 * PART_MAX + 1;

export let metaFlags: u32 = 0;
export let metaCreated: u32 = 0;
/** Hash of uid and resourceVersion; 0 without a resourceVersion. */
export let metaVersion: u64 = 0;
export let metaVersionAt: usize = 0;
export let metaVersionLength: usize = 0;
/** Value of the label kubernetes.io/service-name. */
export let metaServiceAt: usize = 0;
export let metaServiceLength: usize = 0;
/** Value of the annotation endpoints.kubernetes.io/last-change-trigger-time. */
export let metaTriggerAt: usize = 0;
export let metaTriggerLength: usize = 0;

/** `namespace/name` of the object; set by `composeKey`. */
export const objectKey: usize = memory.data(KEY_MAX);
export let objectKeyLength: usize = 0;
/** `namespace/service-name` of a slice; set by `composeServiceKey`. */
export const serviceKey: usize = memory.data(KEY_MAX);
export let serviceKeyLength: usize = 0;

let nameAt: usize = 0;
let nameLength: usize = 0;
let namespaceAt: usize = 0;
let namespaceLength: usize = 0;

/** Clears the metadata of the previous object. */
export function clearMeta(): void {
  metaFlags = 0;
  metaCreated = 0;
  metaVersion = 0;
  metaVersionLength = 0;
  metaServiceLength = 0;
  metaTriggerLength = 0;
  objectKeyLength = 0;
  serviceKeyLength = 0;
  nameLength = 0;
  namespaceLength = 0;
}

/** Clears the version after malformed bytes, because it cannot be trusted. */
export function voidMetaVersion(): void {
  metaVersion = 0;
  metaVersionLength = 0;
}

/** Reads the ObjectMeta at the cursor. */
export function readMeta(): void {
  let uidAt: usize = 0;
  let uidLength: usize = 0;
  const outer = enterMessage();
  while (more()) {
    switch (readTag()) {
      case TAG_META_NAME:
        readBytes();
        nameAt = bytesAt;
        nameLength = bytesLength;
        break;
      case TAG_META_NAMESPACE:
        readBytes();
        namespaceAt = bytesAt;
        namespaceLength = bytesLength;
        break;
      case TAG_META_UID:
        readBytes();
        uidAt = bytesAt;
        uidLength = bytesLength;
        break;
      case TAG_META_RESOURCE_VERSION:
        readBytes();
        metaVersionAt = bytesAt;
        metaVersionLength = bytesLength;
        break;
      case TAG_META_CREATION_TIMESTAMP:
        metaCreated = readTimeSeconds();
        break;
      case TAG_META_LABELS:
        readLabel();
        break;
      case TAG_META_ANNOTATIONS:
        readAnnotation();
        break;
      default:
        skipField();
    }
  }
  leaveMessage(outer);
  if (metaVersionLength) {
    metaVersion = hash64(metaVersionAt, metaVersionLength) ^ rotl<u64>(hash64(uidAt, uidLength), 1);
    if (!metaVersion) metaVersion = 1;
  }
}

/** Writes `namespace/name` to `objectKey`. Returns false if either is missing or too long. */
export function composeKey(): bool {
  objectKeyLength = compose(objectKey, nameAt, nameLength);
  return objectKeyLength != 0;
}

/** Writes the key of the slice's Service to `serviceKey`. Returns false without a usable label. */
export function composeServiceKey(): bool {
  serviceKeyLength = compose(serviceKey, metaServiceAt, metaServiceLength);
  return serviceKeyLength != 0;
}

export function metaNameAt(): usize {
  return nameAt;
}

export function metaNameLength(): usize {
  return nameLength;
}

function compose(target: usize, at: usize, length: usize): usize {
  if (!length || length > PART_MAX || !namespaceLength || namespaceLength > PART_MAX) return 0;
  memory.copy(target, namespaceAt, namespaceLength);
  store<u8>(target + namespaceLength, 0x2f);
  memory.copy(target + namespaceLength + 1, at, length);
  return namespaceLength + 1 + length;
}

/** Reads the seconds of a Time message, limited to u32. */
function readTimeSeconds(): u32 {
  let seconds: i64 = 0;
  const outer = enterMessage();
  while (more()) {
    if (readTag() == TAG_TIME_SECONDS) seconds = <i64>readVarint();
    else skipField();
  }
  leaveMessage(outer);
  return seconds < 0 ? 0 : seconds > 0xffff_ffff ? 0xffff_ffff : <u32>seconds;
}

function readLabel(): void {
  readEntry();
  if (isText(keyAt, keyLength, "kubernetes.io/service-name")) {
    metaServiceAt = valueAt;
    metaServiceLength = valueLength;
  } else if (isText(keyAt, keyLength, "service.kubernetes.io/headless")) metaFlags |= META_HEADLESS;
  else if (isText(keyAt, keyLength, "service.kubernetes.io/service-proxy-name"))
    metaFlags |= META_PROXY_NAME;
}

function readAnnotation(): void {
  readEntry();
  if (isText(keyAt, keyLength, "endpoints.kubernetes.io/last-change-trigger-time")) {
    metaTriggerAt = valueAt;
    metaTriggerLength = valueLength;
  } else if (
    isText(keyAt, keyLength, "k8s.io/initial-events-end") &&
    isText(valueAt, valueLength, "true")
  ) {
    metaFlags |= META_INITIAL_END;
  }
}

let keyAt: usize = 0;
let keyLength: usize = 0;
let valueAt: usize = 0;
let valueLength: usize = 0;

/** Reads an entry of a map<string, string>. */
function readEntry(): void {
  keyLength = 0;
  valueLength = 0;
  const outer = enterMessage();
  while (more()) {
    const tag = readTag();
    if (tag == TAG_MAP_KEY) {
      readBytes();
      keyAt = bytesAt;
      keyLength = bytesLength;
    } else if (tag == TAG_MAP_VALUE) {
      readBytes();
      valueAt = bytesAt;
      valueLength = bytesLength;
    } else skipField();
  }
  leaveMessage(outer);
}
