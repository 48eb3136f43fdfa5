/** Defines a configuration field: its type, its default, and the reason if it has no effect. */
import type { ModuleVerbosity } from "../base/log.ts";

/** The format of a field's value, in the file and in a flag. */
export type FieldType =
  | "string"
  | "boolean"
  | "integer" // int32
  | "number"
  | "duration" // Go's text; milliseconds once read
  | "flush-period" // the same, or a number of nanoseconds
  | "quantity" // bytes: `4096` or `4Ki`
  | "strings"
  | "gates" // name → boolean
  | "vmodule"; // list of {filePattern, verbosity}

/** A stored value. Durations are in milliseconds; null occurs only as the default of a list. */
export type FieldValue = string | boolean | number | readonly string[] | object | null;

/**
 * Reasons why a setting of kube-proxy has no effect here. Sluice accepts such settings, so that a
 * file or command line written for kube-proxy also starts Sluice.
 */
export const REASONS = {
  ipvs: "IPVS is not served",
  resync: "objects are never resynced: nothing is ever missed that a resync would bring",
  requests:
    "there are a few watches and now and then an event: no client-side rate limit is needed",
  encoding:
    "objects are asked for as protobuf, and JSON is understood where a server has nothing else",
  unbuffered:
    "each line of the log is written to stderr at once: there is nothing to flush or to split",
  hidden: "no metric is hidden here",
  windows: "it is about Windows",
  leftover: "it is a leftover, kube-proxy makes no use of it either",
} as const satisfies { readonly [reason: string]: string };

export type Reason = keyof typeof REASONS;

interface AnyField {
  readonly type: FieldType;
  readonly default: FieldValue;
  /** The effective value of an unset field, if it differs from `default`. */
  readonly shown?: string;
  /** 0 and "" mean "not set", as in kube-proxy's defaulting. */
  readonly zeroIsUnset?: true;
}

/**
 * A field either has an effect, or is accepted and shown by /configz. If it is set without effect,
 * the reason is logged.
 */
export type ConfigField = AnyField &
  (
    | {
        /** The effect, for people: one sentence without a full stop, or several. */
        readonly does: string;
        /** Whether a running process applies a change, for people. Absent if it does. */
        readonly live?: string;
        readonly idle?: never;
      }
    | { readonly idle: Reason; readonly does?: never; readonly live?: never }
  );

/** One entry of logging.vmodule, as in the file. */
export interface VmoduleItem {
  readonly filePattern: ModuleVerbosity["pattern"];
  readonly verbosity: number;
}
