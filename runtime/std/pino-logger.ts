// Owns the one real Logger: pino on a synchronous destination, so that nothing is lost at exit, and pino-pretty on a
// terminal. The door of both packages. Works in worker threads, because it writes to the descriptor itself and not to
// the thread's piped streams.

import { createRequire } from 'node:module';
import { isatty } from 'node:tty';
import { type DestinationStream, pino, stdSerializers, stdTimeFunctions } from 'pino';
import { lazily } from '#runtime/std/lazily.ts';
import type { Logger } from '#runtime/std/logger.ts';
import { visibleText } from '#runtime/std/visible-text.ts';

const pinoPretty = lazily<typeof import('pino-pretty')>(() => createRequire(import.meta.url)('pino-pretty'));

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

export interface LoggerOptions {
  /** @default 'info' */
  readonly level?: LogLevel;
  /** Lines for people instead of JSON; even then only when the descriptor is a terminal. @default true */
  readonly pretty?: boolean;
  /** Descriptor to write to: standard error, since standard output belongs to the commands. @default 2 */
  readonly fd?: number;
}

export function createLogger(options: LoggerOptions = {}): Logger {
  const fd = options.fd ?? 2;
  const output = pino.destination({ fd, sync: true });
  const pretty = (options.pretty ?? true) && isatty(fd);
  return pino(
    {
      level: options.level ?? 'info',
      base: null,
      formatters: { level: (label) => ({ level: label }) },
      timestamp: stdTimeFunctions.isoTime,
      serializers: { error: stdSerializers.err, err: stdSerializers.err },
    },
    pretty ? prettyDestination(output) : output,
  );
}

/** A factory instead of pino-pretty's stream: each line is written before the call that logs it returns. */
function prettyDestination(output: DestinationStream): DestinationStream {
  const prettify = prettifier();
  return { write: (line) => output.write(prettify(line)) };
}

/** Makes a line for people of one of JSON; in colours unless NO_COLOR or the terminal says otherwise. */
export function prettifier(): (line: string) => string {
  return pinoPretty().prettyFactory({
    colorize: pinoPretty().isColorSupported,
    translateTime: 'SYS:HH:MM:ss.l',
    errorLikeObjectKeys: ['err', 'error'],
    // Fields are quoted as JSON; the message is not.
    messageFormat: (log, messageKey) => visibleText(String(log[messageKey] ?? '')),
  });
}
