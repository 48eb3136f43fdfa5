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
export const NO_EFFECT_REASONS = {
  ipvs: "IPVS is not supported",
  resync: "Sluice does not resync objects",
  requests: "Sluice sends few requests and does not limit their rate",
  encoding: "Sluice requests protobuf and accepts JSON",
  unbuffered: "Sluice writes each log line to stderr at once",
  hidden: "Sluice does not hide metrics",
  windows: "only for Windows",
  leftover: "kube-proxy does not use this either",
} as const satisfies { readonly [reason: string]: string };

export type NoEffectReason = keyof typeof NO_EFFECT_REASONS;

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
        /** The effect, for people: phrases or sentences without a final period. */
        readonly does: string;
        /** Whether a change is applied live, for people. Absent if it is. */
        readonly live?: string;
        readonly idle?: never;
      }
    | { readonly idle: NoEffectReason; readonly does?: never; readonly live?: never }
  );

/** One entry of logging.vmodule, as in the file. */
export interface VmoduleItem {
  readonly filePattern: ModuleVerbosity["pattern"];
  readonly verbosity: number;
}
