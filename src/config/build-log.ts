/** Logging, by the rules of k8s.io/component-base/logs/api/v1 (options.go). */
import type { LogSettings } from "../base/log.ts";
import type { Config } from "./config.ts";
import { printDuration } from "./duration.ts";
import { INT32_MAX, type Settings } from "./settings.ts";

const OPTIONS_GATE = "LoggingAlphaOptions";

export function loggingOf(settings: Settings): Pick<Config, "verbosity" | "logFormat" | "vmodule"> {
  const logFormat = settings.oneOf("logging.format", ["text", "json"]);
  const vmodule = settings.get("logging.vmodule");
  if (logFormat !== "text" && vmodule.length > 0) {
    settings.fault("logging.vmodule", "must be empty unless logging.format is text", vmodule);
  }
  const flush = settings.get("logging.flushFrequency");
  if (flush <= 0) {
    settings.fault("logging.flushFrequency", "must be greater than 0", printDuration(flush));
  }
  checkOptions(settings);
  return {
    verbosity: settings.integer("logging.verbosity", 0, INT32_MAX),
    logFormat,
    vmodule: vmodule.map(({ filePattern, verbosity }) => ({ pattern: filePattern, verbosity })),
  };
}

/** splitStream needs the gate too, but kube-proxy loses it on the way from a file, and takes the file. */
function checkOptions(settings: Settings): void {
  if (settings.get("featureGates")[OPTIONS_GATE] === true) return;
  for (const format of ["text", "json"] as const) {
    const path = `logging.options.${format}.infoBufferSize` as const;
    const bytes = settings.get(path);
    if (/^[+-]?[0.]+\D*$/.test(String(bytes))) continue;
    settings.fault(path, `must not be set without the feature gate ${OPTIONS_GATE}`, bytes);
  }
}

/** Of a configuration. */
export function logSettings(config: Config): LogSettings {
  const { verbosity, logFormat, vmodule } = config;
  return { verbosity, format: logFormat, vmodule };
}
