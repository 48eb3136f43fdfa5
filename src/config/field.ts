/** What a field of the configuration file is. */
import type { ModuleVerbosity } from "../base/log.ts";
import type { Reason } from "./reasons.ts";

/** How a field's value is written, in the file and by a flag. */
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

/** A value as it is kept: durations in milliseconds; null only as the default of a list. */
export type FieldValue = string | boolean | number | readonly string[] | object | null;

interface AnyField {
  readonly type: FieldType;
  readonly default: FieldValue;
  /** What comes of it when it is not set, where that is not the default itself. */
  readonly shown?: string;
  /** 0 and "" mean "not set", as upstream's defaulting has it. */
  readonly zeroIsUnset?: true;
}

/** A field does something here; or it is accepted, shown by /configz, and if it is set the log says why it does nothing. */
export type Field = AnyField &
  (
    | {
        /** What, for people: one sentence without a full stop, or several. */
        readonly does: string;
        /** Is a change in the file taken up by the running process? Absent: yes. Otherwise for people. */
        readonly live?: string;
        readonly idle?: never;
      }
    | { readonly idle: Reason; readonly does?: never; readonly live?: never }
  );

/** One entry of logging.vmodule, as the file has it. */
export interface VmoduleItem {
  readonly filePattern: ModuleVerbosity["pattern"];
  readonly verbosity: number;
}
